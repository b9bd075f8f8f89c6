"""The scheduler's side of HostService, in process, for tests of the host: grants what the test says."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio

from palaestra.v1 import host_service_pb2 as pb
from palaestra.v1 import host_service_pb2_grpc as services

PATIENCE_S = 20.0
"""How long a test waits for what must happen; a busy machine needs far less."""


async def eventually(what: str, holds: Callable[[], bool]) -> None:
    """Wait until `holds()`; fail with `what` if it never does."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


class FakeScheduler(services.HostServiceServicer):
    """Sends `grants` and `orders` to the host whenever `push` is called, and again every 0.2 s."""

    def __init__(self) -> None:
        self.grants: dict[str, pb.UnitGrant] = {}
        self.orders: list[pb.UnitOrder] = []
        self.ended: list[pb.EndedEpoch] = []
        self.hellos: list[pb.HostHello] = []
        self.beats: list[pb.HostBeat] = []
        self.tokens: list[str] = []
        self.silent = False
        self._push = asyncio.Event()

    async def start(self, port: int = 0) -> str:
        """Serve on loopback and return the address."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        services.add_HostServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port(f'127.0.0.1:{port}')}"
        await self._server.start()
        return self.address

    async def stop(self) -> None:
        """Vanish, streams and all."""
        await self._server.stop(grace=None)

    async def Connect(self, requests: AsyncIterator[pb.ConnectRequest], context: Any) -> None:
        metadata = dict(context.invocation_metadata())
        self.tokens.append(metadata.get("authorization", ""))
        reading = asyncio.create_task(self._read(requests))
        try:
            while not reading.done():
                if not self.silent:
                    await context.write(
                        pb.ConnectResponse(grants=list(self.grants.values()), orders=self.orders, ended=self.ended)
                    )
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await self._push.wait()
                self._push.clear()
        finally:
            reading.cancel()

    async def _read(self, requests: AsyncIterator[pb.ConnectRequest]) -> None:
        async for request in requests:
            if request.HasField("hello"):
                self.hellos.append(request.hello)
            else:
                self.beats.append(request.beat)

    def grant(self, unit: str, epoch: int, *, ttl_s: float = 30.0) -> pb.UnitGrant:
        """Grant the unit to lease "lease-{epoch}", whose token is "token-{epoch}"."""
        grant = pb.UnitGrant(
            unit=unit,
            lease=f"lease-{epoch}",
            epoch=epoch,
            token_sha256=hashlib.sha256(f"token-{epoch}".encode()).digest(),
            ttl_s=ttl_s,
        )
        self.grants[unit] = grant
        self._push.set()
        return grant

    def withdraw(self, unit: str) -> None:
        """Grant the unit to nobody."""
        del self.grants[unit]
        self._push.set()

    def order(self, unit: str, **action: Any) -> None:
        """Send an order with the next number."""
        self.orders.append(pb.UnitOrder(order=len(self.orders) + 1, unit=unit, **action))
        self._push.set()

    def status(self, unit: str) -> pb.UnitStatus:
        """Return the unit as of the newest beat; an empty one before the first."""
        for beat in reversed(self.beats):
            for status in beat.units:
                if status.unit == unit:
                    return status
        return pb.UnitStatus()
