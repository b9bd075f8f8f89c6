"""Streams last as long as what opened them: a key that is revoked, or a certificate that expires, ends its streams."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from palaestra.errors import PalaestraError
from scheduler.identity import Identification, Shown

LOOK_PERIOD_S = 1.0


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

    @asynccontextmanager
    async def lasting(self, shown: Shown) -> AsyncIterator[None]:
        """Hold a stream open while what was shown is good; raise then what a new call would be refused with."""
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
