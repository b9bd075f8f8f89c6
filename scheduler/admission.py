"""Streams last as long as what opened them: a key that is revoked, or a certificate that expires, ends its streams.

And there are so many at a time of each vendor and of each role of the house, since each costs memory and is told of
every change: nobody's programs that open one after the other and forget them take the place of others.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from palaestra.errors import PalaestraError
from scheduler.identity import Identification, Identity, Shown

LOOK_PERIOD_S = 1.0
STREAMS_MAX = 2_000
# They end when programs do, not by a clock: it is no use to ask again at once.
RETRY_S = 1.0


class _Stream:
    def __init__(self, shown: Shown, scope: asyncio.Timeout) -> None:
        self.shown = shown
        self.scope = scope
        self.refusal: PalaestraError | None = None


class OpenStreams:
    """The streams that are open now. For one event loop."""

    def __init__(self, identification: Identification) -> None:
        self._identification = identification
        self._open: set[_Stream] = set()
        self._counts: Counter[str] = Counter()

    @asynccontextmanager
    async def lasting(self, shown: Shown, who: Identity) -> AsyncIterator[None]:
        """Hold a stream open while what was shown is good; raise then what a new call would be refused with.

        Raises TOO_MANY_STREAMS.
        """
        whose = who.vendor or who.role.value
        if self._counts[whose] >= STREAMS_MAX:
            raise PalaestraError(
                "TOO_MANY_STREAMS", f"{whose} has {STREAMS_MAX} streams open, the most at a time", retry_after_s=RETRY_S
            )
        self._counts[whose] += 1
        try:
            async with asyncio.timeout(None) as scope:
                stream = _Stream(shown, scope)
                self._open.add(stream)
                try:
                    yield
                finally:
                    self._open.discard(stream)
        except TimeoutError:
            # Of ours, or of what runs inside.
            if stream.refusal is None:
                raise
            raise stream.refusal from None
        finally:
            self._counts[whose] -= 1

    def look(self) -> None:
        """Look again at what opened each stream, and end those that would not be let in now."""
        now_s = asyncio.get_running_loop().time()
        for stream in self._open:
            if stream.refusal is None:
                try:
                    self._identification.identify(stream.shown)
                except PalaestraError as refusal:
                    stream.refusal = refusal
                    stream.scope.reschedule(now_s)
