"""How much of one vendor is worked on at a time: what comes beyond that waits at the gate, in nobody else's way.

Calls that are let in share the loop, the writer's queue and a commit with everybody's: who comes while hundreds of
another vendor's are there waits until all of these are done. So each vendor has a window, and its calls beyond that
wait for its own. By this every vendor that wants something gets its turn in each commit, as by deficit round robin
with one window as the quantum (Shreedhar and Varghese 1996, "Efficient fair queuing using deficit round robin").
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

# Costs (see `rates`) of one vendor that is alone. A commit of so many single calls is as good for throughput as one of
# four times as many: the disk's part of it is spread thin enough.
SIZE = 64
# Of one beside others, who wait for it: a call then costs about a tenth more.
SHARED_SIZE = 16
# Others are there if one of them has called within this time.
SHARED_S = 1.0


@dataclass(slots=True)
class _Line:
    """Of one vendor: costs that are inside, and who waits, the longest first, with what it costs."""

    inside: int = 0
    waiting: deque[tuple["asyncio.Future[None]", int]] = field(default_factory=deque)


class Windows:
    """The windows of all vendors. For the event loop's thread.

    Args:
        size, shared_size: Of a vendor that is alone, and of one beside others.
        now_s: A clock [s].
    """

    def __init__(
        self, size: int = SIZE, shared_size: int = SHARED_SIZE, now_s: Callable[[], float] | None = None
    ) -> None:
        self._size, self._shared_size = size, shared_size
        # Asked for now and not at import: in a venue in virtual time the clock is another one.
        self._now_s = now_s or time.monotonic
        self._lines: dict[str, _Line] = {}
        # Who called last and when [s], and who did last of all others.
        self._latest, self._other = ("", -math.inf), ("", -math.inf)

    async def enter(self, vendor: str, cost: int) -> None:
        """Wait until a call may be worked on, behind those of the vendor that wait already; `leave` must follow.

        One that costs more than the window is let in alone. Who is cancelled while waiting was never inside.
        """
        if vendor != self._latest[0]:
            self._other = self._latest
        self._latest = vendor, self._now_s()
        line = self._lines.get(vendor)
        if line is None:
            line = self._lines[vendor] = _Line()
        if not line.waiting and self._fits(vendor, line, cost):
            line.inside += cost
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.waiting.append((place, cost))
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                # The next may be one that fits. The line may have ended meanwhile, and another one begun.
                self._let_in(vendor)
            else:
                # Let in and cancelled in the same turn of the loop.
                self.leave(vendor, cost)
            raise

    def leave(self, vendor: str, cost: int) -> None:
        """Say that a call is over, and let in who fits then."""
        self._lines[vendor].inside -= cost
        self._let_in(vendor)

    def _let_in(self, vendor: str) -> None:
        line = self._lines.get(vendor)
        if line is None:
            return
        while line.waiting:
            place, cost = line.waiting[0]
            if not place.done():
                if not self._fits(vendor, line, cost):
                    return
                line.inside += cost
                place.set_result(None)
            line.waiting.popleft()
        if not line.inside:
            del self._lines[vendor]

    def _fits(self, vendor: str, line: _Line, cost: int) -> bool:
        _, seen_s = self._other if vendor == self._latest[0] else self._latest
        size = self._shared_size if self._now_s() - seen_s < SHARED_S else self._size
        return not line.inside or line.inside + cost <= size
