"""Who of several schedulers on one database leads, and how another one takes over.

The database names the leader: one row with an epoch that grows with every leader. Each transaction of a leader looks
at that row first, under the database's own write lock, so that one that was overtaken can commit nothing any more,
whatever it believes, and however long it was stopped. That alone is what safety rests on.

When to overtake is a matter of promptness. A leader whose process is gone is followed at once. One that is there but
does nothing (stopped, starved, hung) is followed when it has not beaten for its time to live, counted by whoever waits
for it on his own clock, with room for clocks that differ in speed. The leader counts the same time from before each
beat: once that is over it answers nobody before it has looked at the row again.

What is peculiar to a database stands behind `Seat`. For the theory: C. Gray, D. Cheriton, "Leases: An Efficient
Fault-Tolerant Mechanism for Distributed File Cache Consistency", SOSP 1989; epochs that the store compares: M. Burrows,
"The Chubby Lock Service for Loosely-Coupled Distributed Systems", OSDI 2006, section 2.4 (sequencers).
"""

import asyncio
import json
import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from palaestra.errors import PalaestraError
from scheduler.clock import DRIFT_MAX
from scheduler.sql import Connection

log = logging.getLogger(__name__)

TTL_S = 2.5
"""How long a leader that does nothing is waited for, unless the venue says otherwise."""
BEATS_PER_TTL = 10
LOOK_PERIOD_S = 0.1
MERCY_S = 1.0
"""How long an overtaken leader may take to end by itself before it is ended: its connections keep its clients."""


@dataclass(frozen=True)
class Mark:
    """The row in the database. epoch: grows with every leader; instance: of one process; address: "" if not known."""

    epoch: int
    instance: str
    address: str

    def to_bytes(self) -> bytes:
        return json.dumps([self.epoch, self.instance, self.address]).encode()

    @classmethod
    def from_bytes(cls, body: bytes) -> "Mark":
        return cls(*json.loads(body))


@dataclass(frozen=True)
class Sight:
    """What there is to see of the leader. mark: None before the first; beats: whatever changes while it works."""

    mark: Mark | None
    alive: bool = False
    beats: int = 0
    pid: int = 0


class Blocked(Exception):
    """The database cannot be written because the one to be overtaken holds it in the middle of a transaction."""


class Overtaken(PalaestraError):
    """Another scheduler leads; this one may do nothing more."""

    def __init__(self, epoch: int, now: Mark | None) -> None:
        by = f"another one leads in epoch {now.epoch}" if now is not None else "the database knows no leader"
        where = f" at {now.address}" if now is not None and now.address else ""
        super().__init__("NOT_LEADER", f"this scheduler led in epoch {epoch}; {by}{where}", metadata=leader_of(now))
        self.epoch, self.now = epoch, now

    def to_a_stranger(self) -> "Overtaken":
        """Return what somebody is told of it who may not know where anything is."""
        return Overtaken(self.epoch, replace(self.now, address="") if self.now is not None else None)


def leader_of(mark: Mark | None) -> dict[str, str]:
    """Return what a refusal tells programs of the leader."""
    return {"leader": mark.address} if mark is not None and mark.address else {}


class Seat(Protocol):
    """The one place from which a database is led, as this process sees it. Safe to use from several threads."""

    instance: str

    def look(self) -> Sight:
        """Return what there is to see of the leader."""
        ...

    def take(self, before: Mark | None, mark: Mark) -> bool:
        """Put `mark` in the place of `before`; False if that is not what is there. Raises Blocked."""
        ...

    def beat(self) -> None:
        """Show that this process works."""
        ...

    def mark_in(self, db: Connection) -> bytes | None:
        """Return the row as a transaction sees it, so that it cannot change before that ends."""
        ...

    def end(self, instance: str) -> bool:
        """End another process, or what it can do to the database; return whether that could be ordered."""
        ...

    def leave(self) -> None:
        """Let others lead."""
        ...


class Verdict(Enum):
    """Whether a leader may be followed."""

    HELD = "held"
    GONE = "gone"
    LAPSED = "lapsed"


class Vigil:
    """Judges a leader by how it looks from time to time. ttl_s: how long it is good for after a beat [s]."""

    def __init__(self, ttl_s: float) -> None:
        self._patience_s = ttl_s * (1.0 + DRIFT_MAX)
        self._last: tuple[Mark | None, int] | None = None
        self._since_s = -math.inf

    def judge(self, sight: Sight, *, now_s: float) -> Verdict:
        """Return what is to be done after a look at a monotonic time [s]."""
        if sight.mark is None or not sight.alive:
            return Verdict.GONE
        if (sight.mark, sight.beats) != self._last:
            self._last, self._since_s = (sight.mark, sight.beats), now_s
        return Verdict.LAPSED if now_s - self._since_s >= self._patience_s else Verdict.HELD


class Leadership:
    """That this process leads, until it is `lost`.

    Without `keep` it shows no beats, lasts until somebody else takes over, and looks before each call whether one has.

    Attributes:
        mark: As it stands in the database.
        lost: Why it is over; None as long as it is not.
    """

    def __init__(self, seat: Seat, mark: Mark, ttl_s: float, since_s: float, former: str = "") -> None:
        """since_s: a moment before the mark was there, on the monotonic clock.

        former: instance that was overtaken while its process was there; it is ended if it does not end by itself.
        """
        self.mark = mark
        self.lost: Overtaken | None = None
        self._seat = seat
        self._bytes = mark.to_bytes()
        self._ttl_s = ttl_s
        self._former = former
        # Who waits for this one has counted from the mark on, whether there were beats or not.
        self._good_until_s = since_s + ttl_s
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def epoch(self) -> int:
        return self.mark.epoch

    def confirm(self, db: Connection) -> None:
        """Raise Overtaken if another one leads. To be called in each transaction that writes, before anything else."""
        found = self._seat.mark_in(db)
        if found != self._bytes:
            raise self._over(Mark.from_bytes(found) if found is not None else None)

    def check(self) -> None:
        """Raise Overtaken if another one leads; costs nothing as long as this one has beaten in time."""
        if self.lost is not None:
            raise self.lost
        if time.monotonic() >= self._good_until_s:
            self._look()

    def affirm(self) -> None:
        """Raise Overtaken if another one leads, by a look at once; or why nobody can say."""
        if self.lost is not None:
            raise self.lost
        self._look()

    def is_over(self) -> bool:
        """Whether another one leads, by a look at once; False if nobody can say, as of a server that is gone."""
        try:
            self.affirm()
        except Overtaken:
            pass
        except Exception as error:
            log.warning("who leads cannot be found out: %s", error)
        return self.lost is not None

    def keep(self, loop: asyncio.AbstractEventLoop, lost: Callable[[Overtaken], None]) -> None:
        """Beat from now on, as long as the loop turns; call `lost` in the loop when another one has taken over."""
        self._thread = threading.Thread(target=self._beat, args=(loop, lost), name="leadership", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Let others lead at once."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
        self._seat.leave()

    def _beat(self, loop: asyncio.AbstractEventLoop, lost: Callable[[Overtaken], None]) -> None:
        # A loop that was closed: the process could not go on with its start, and ends.
        with suppress(RuntimeError):
            self._beat_in(loop, lost)

    def _beat_in(self, loop: asyncio.AbstractEventLoop, lost: Callable[[Overtaken], None]) -> None:
        turned = threading.Event()
        turned.set()
        mercy_until_s = time.monotonic() + MERCY_S
        while True:
            now_s = time.monotonic()
            # A loop that does not turn serves nobody.
            if turned.is_set():
                turned.clear()
                try:
                    self._seat.beat()
                    self._look()
                    self._good_until_s = now_s + self._ttl_s
                except Overtaken as error:
                    loop.call_soon_threadsafe(lost, error)
                    return
                except Exception as error:
                    # The disk's, above all; what cannot be shown lapses.
                    log.warning("leadership could not be renewed: %s", error)
                loop.call_soon_threadsafe(turned.set)
            if self._former and now_s >= mercy_until_s:
                self._end_former()
            if self._ending.wait(self._ttl_s / BEATS_PER_TTL):
                return

    def _end_former(self) -> None:
        if self._seat.end(self._former):
            log.warning("the overtaken scheduler did not end by itself and was ended")
        self._former = ""

    def _look(self) -> None:
        found = self._seat.look().mark
        if found != self.mark:
            raise self._over(found)

    def _over(self, now: Mark | None) -> Overtaken:
        self.lost = self.lost or Overtaken(self.mark.epoch, now)
        return self.lost


class Candidate:
    """One that would lead as soon as nobody else does.

    Attributes:
        sight: What it saw last.
    """

    def __init__(self, seat: Seat, address: str = "", ttl_s: float = TTL_S) -> None:
        """address: where others will find it [host:port]; ttl_s: how long a leader is good for after a beat [s]."""
        self._seat = seat
        self._address = address
        self._ttl_s = ttl_s
        self._vigil = Vigil(ttl_s)
        self._told = ""
        self.sight = Sight(None)

    def attempt(self) -> Leadership | None:
        """Look once and take over if that may be; None if somebody else leads."""
        sight = self.sight = self._seat.look()
        now_s = time.monotonic()
        verdict = self._vigil.judge(sight, now_s=now_s)
        if verdict is Verdict.HELD:
            return None
        mark = Mark(sight.mark.epoch + 1 if sight.mark is not None else 1, self._seat.instance, self._address)
        try:
            if not self._seat.take(sight.mark, mark):
                return None
        except Blocked as error:
            # It was stopped in the middle of a transaction, which keeps everybody else from writing, for ever.
            self._unblock(sight, error)
            return None
        if verdict is Verdict.LAPSED:
            log.warning(
                "process %d has led and does nothing any more; this one leads in epoch %d", sight.pid, mark.epoch
            )
        return Leadership(self._seat, mark, self._ttl_s, now_s, self._former(verdict))

    async def wait(self, tell: Callable[[Mark | None], None] = lambda leader: None) -> Leadership:
        """Look until this one leads. tell: called with who leads."""
        while True:
            found = await asyncio.to_thread(self._tried)
            tell(self.sight.mark)
            if found is not None:
                return found
            await asyncio.sleep(LOOK_PERIOD_S)

    def _tried(self) -> Leadership | None:
        try:
            return self.attempt()
        except Exception as error:
            # A disk that is full, read-only or gone may be in order again when it matters.
            self._tell(f"cannot take over: {error}")
            return None

    def _former(self, verdict: Verdict) -> str:
        return self.sight.mark.instance if verdict is Verdict.LAPSED and self.sight.mark is not None else ""

    def _unblock(self, sight: Sight, error: Blocked) -> None:
        if sight.mark is not None and sight.alive and self._seat.end(sight.mark.instance):
            log.warning("process %d was stopped in the middle of a transaction and was ended", sight.pid)
        else:
            self._tell(f"cannot take over, and process {sight.pid} cannot be ended from here: {error}")

    def _tell(self, problem: str) -> None:
        if problem != self._told:
            log.error("%s", problem)
        self._told = problem
