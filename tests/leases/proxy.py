"""A TCP proxy that does to connections what networks do: late, silent in one direction or in both, broken off."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from enum import Enum
from typing import Any

PIECE_B = 65536
PATIENCE_S = 10.0


class Fault(Enum):
    NONE = "none"
    # A black hole, like a cable that is pulled out: what was sent arrives once it is mended.
    HOLD = "hold"
    # Half open: what the server sends does not arrive.
    DEAF = "deaf"
    # What is sent is gone, and so is the connection once it is mended, for no TCP connection may lose a part.
    DROP = "drop"
    # Every connection is broken off, and new ones too.
    RESET = "reset"


class _Pair:
    """A connection and the one that it is passed on to."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.writers = (near, far)
        self.torn = False

    def reset(self) -> None:
        for writer in self.writers:
            if not writer.transport.is_closing():
                # Closed like that, a socket says so by a reset.
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()


class Proxy:
    """Passes connections on to `target`, in a thread of its own. Use as a context.

    Args:
        target: "127.0.0.1:port".

    Attributes:
        address: Where it listens.
    """

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._fault = Fault.NONE
        self._delay_s = 0.0
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self.address = ""

    def __enter__(self) -> "Proxy":
        self._thread.start()
        self._do(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def set(self, fault: Fault, *, delay_s: float = 0.0) -> None:
        """From now on, for connections that are open and for new ones; each piece is late by `delay_s`."""
        self._do(self._set(fault, delay_s))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _open(self) -> None:
        self._changed = asyncio.Condition()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = "{}:{}".format(*self._server.sockets[0].getsockname())

    async def _close(self) -> None:
        self._server.close()
        for pair in list(self._pairs):
            pair.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _set(self, fault: Fault, delay_s: float) -> None:
        async with self._changed:
            self._fault, self._delay_s = fault, delay_s
            self._changed.notify_all()
        for pair in list(self._pairs):
            if fault is Fault.RESET or (pair.torn and fault is not Fault.DROP):
                pair.reset()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._fault is Fault.RESET:
            return
        far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        pair = _Pair(writer, far_writer)
        self._pairs.add(pair)
        try:
            # Where one direction ends, so does the other: gRPC knows no half-closed connections.
            ways = [self._pass(pair, reader, far_writer, False), self._pass(pair, far_reader, writer, True)]
            running = [asyncio.ensure_future(way) for way in ways]
            try:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in running:
                    way.cancel()
                await asyncio.gather(*running, return_exceptions=True)
        finally:
            self._pairs.discard(pair)
            pair.reset()

    async def _pass(
        self, pair: _Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE_B):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                async with self._changed:
                    await self._changed.wait_for(lambda: not self._holds(answers))
                if self._fault is Fault.DROP or pair.torn:
                    pair.torn = True
                    continue
                writer.write(piece)
                await writer.drain()

    def _holds(self, answers: bool) -> bool:
        return self._fault is Fault.HOLD or (self._fault is Fault.DEAF and answers)
