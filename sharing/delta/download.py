"""Sends a file's bytes, a piece at a time: each is asked for anew, and each has to be taken within a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sharing.errors import NotShared

PIECE_BYTES = 1 << 20
TAKEN_S = 30.0
"""A piece that is not taken within it ends the answer: 35 kB/s are the least."""
ANSWER_S = 300.0
ACTIVE_MAX, QUEUED_MAX = 8, 56


class Slots:
    """How many answers a consumer gets at a time; further ones wait, and too many of these are sent away."""

    def __init__(self, *, active: int = ACTIVE_MAX, queued: int = QUEUED_MAX) -> None:
        self._active, self._queued = active, queued
        self._of: dict[str, tuple[asyncio.Semaphore, list[int]]] = {}

    @asynccontextmanager
    async def one(self, consumer: str) -> AsyncIterator[None]:
        """Hold a slot. Raises HTTPException 429, which clients take for what it is: come again."""
        semaphore, count = self._of.setdefault(consumer, (asyncio.Semaphore(self._active), [0]))
        if count[0] >= self._active + self._queued:
            raise HTTPException(429, "too many files at a time", {"Retry-After": "1"})
        count[0] += 1
        try:
            async with semaphore:
                yield
        finally:
            count[0] -= 1
            if not count[0]:
                del self._of[consumer]


class Readable(Protocol):
    """A file that somebody may read now; `sharing.delta.shares.Opened`."""

    def read(self, begin: int, size_bytes: int) -> bytes:
        """Return bytes from a place on. Raises NotShared when they may not be had any more."""
        ...

    def note(self, begin: int, size_bytes: int) -> None:
        """Have it noted that bytes go out."""
        ...


class Download(Response):
    """An answer whose pieces are read while it is sent."""

    def __init__(
        self,
        file: Readable,
        slot: AbstractAsyncContextManager[None],
        begin: int,
        size_bytes: int,
        *,
        status: int,
        headers: dict[str, str],
        taken_s: float = TAKEN_S,
        answer_s: float = ANSWER_S,
    ) -> None:
        """slot: Held while it is sent."""
        super().__init__(None, status, headers, media_type="application/vnd.apache.parquet")
        self.headers["Content-Length"] = str(size_bytes)
        self._file, self._slot, self._begin, self._size_bytes = file, slot, begin, size_bytes
        self._taken_s, self._answer_s = taken_s, answer_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send. An answer that is cut off ends its connection, so that nobody takes it for whole."""
        async with self._slot:
            # Before the first byte, so that none goes unnoted.
            await run_in_threadpool(self._file.note, self._begin, self._size_bytes)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            gone = asyncio.ensure_future(_gone(receive))
            try:
                async with asyncio.timeout(self._answer_s):
                    await self._pieces(send, gone)
            except (NotShared, TimeoutError, OSError):
                return
            finally:
                gone.cancel()

    async def _pieces(self, send: Send, gone: "asyncio.Future[None]") -> None:
        place, end = self._begin, self._begin + self._size_bytes
        while place < end and not gone.done():
            piece = await run_in_threadpool(self._file.read, place, min(PIECE_BYTES, end - place))
            if not piece:
                return
            place += len(piece)
            async with asyncio.timeout(self._taken_s):
                await send({"type": "http.response.body", "body": piece, "more_body": place < end})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
