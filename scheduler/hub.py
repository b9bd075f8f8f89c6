"""Wakes those who wait for the next commit."""

import asyncio

from palaestra.errors import PalaestraError


class Hub:
    """Knows the highest committed sequence number.

    `committed` may be called from any thread, the rest from the loop's.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, sequence: int) -> None:
        self._loop = loop
        # In the order in which they came, so that who waits longest is woken first, each time alike.
        self._waiters: dict[asyncio.Future[None], None] = {}
        self._closed = False
        self.sequence = sequence

    def committed(self, sequence: int) -> None:
        self._loop.call_soon_threadsafe(self._notify, sequence)

    def close(self) -> None:
        """Send everybody home who waits or comes to wait."""
        self._closed = True
        self._notify(self.sequence)

    def _notify(self, sequence: int) -> None:
        self.sequence = max(self.sequence, sequence)
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def after(self, sequence: int, timeout_s: float) -> bool:
        """Wait until something later than `sequence` is committed. Returns whether it was, within the time.

        Raises SHUTTING_DOWN once the hub is closed.
        """
        deadline_s = self._loop.time() + timeout_s
        while True:
            if self._closed:
                raise PalaestraError("SHUTTING_DOWN", "the scheduler is stopping", retry_after_s=1.0)
            if self.sequence > sequence:
                return True
            left_s = deadline_s - self._loop.time()
            if left_s <= 0:
                return False
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters[waiter] = None
            await asyncio.wait([waiter], timeout=left_s)
            self._waiters.pop(waiter, None)
