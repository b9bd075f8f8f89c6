"""Wakes those who wait for the next commit."""

import asyncio


class Hub:
    """Knows the highest committed sequence number. `committed` may be called from any thread, the rest from the loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sequence: int) -> None:
        self._loop = loop
        self._waiters: set[asyncio.Future[None]] = set()
        self.sequence = sequence

    def committed(self, sequence: int) -> None:
        self._loop.call_soon_threadsafe(self._notify, sequence)

    def _notify(self, sequence: int) -> None:
        self.sequence = max(self.sequence, sequence)
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def after(self, sequence: int, timeout_s: float) -> bool:
        """Wait until something later than `sequence` is committed. Returns whether it was, within the time."""
        deadline_s = self._loop.time() + timeout_s
        while self.sequence <= sequence:
            left_s = deadline_s - self._loop.time()
            if left_s <= 0:
                return False
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.add(waiter)
            await asyncio.wait([waiter], timeout=left_s)
            self._waiters.discard(waiter)
        return True
