"""HostService: one stream for each unit host, grants out, states in."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from typing import Any

from palaestra.errors import PalaestraError
from palaestra.v1 import host_service_pb2, host_service_pb2_grpc

from scheduler import names
from scheduler.commands import fleet
from scheduler.core import Core

log = logging.getLogger(__name__)
REFRESH_S = 1.0


class HostService(host_service_pb2_grpc.HostServiceServicer):
    def __init__(self, core: Core) -> None:
        self._core = core

    async def Connect(
        self, requests: AsyncIterator[host_service_pb2.ConnectRequest], context: Any
    ) -> AsyncIterator[host_service_pb2.ConnectResponse]:
        core = self._core
        first = await anext(aiter(requests), None)
        if first is None or not first.HasField("hello"):
            raise PalaestraError("INVALID_FIELD", "message: the first message of a host must be its hello")
        hello = first.hello
        key = f"{hello.host}/{hello.instance}"
        await core.run(fleet.hello(hello, core.venue, frozenset(core.hosts)))
        core.hosts.add(key)
        connection = _Connection(core, hello)
        reader = asyncio.create_task(connection.read(requests))
        try:
            async for response in connection.responses(reader):
                yield response
        finally:
            reader.cancel()
            core.hosts.discard(key)
            await core.run(fleet.offline(hello.host, hello.instance))


class _Connection:
    """One open stream."""

    def __init__(self, core: Core, hello: host_service_pb2.HostHello) -> None:
        self._core = core
        self._units = [names.parts(declared.unit)[1] for declared in hello.units]
        self._last: dict[str, bytes] = {}

    async def read(self, requests: AsyncIterator[host_service_pb2.ConnectRequest]) -> None:
        """Write down what changes from beat to beat. Ends when the host closes."""
        async for request in requests:
            if not request.HasField("beat"):
                continue
            changed = [status for status in request.beat.units if self._is_news(status)]
            done = list(request.beat.orders_done)
            if changed or done:
                await self._core.run(fleet.status_changed(changed, done))

    def _is_news(self, status: host_service_pb2.UnitStatus) -> bool:
        """Whether anything that the database keeps is different from the last beat."""
        if names.parts(status.unit)[1] not in self._units:
            return False
        kept = host_service_pb2.UnitStatus(
            motion=status.motion, fault=status.fault, safe_epoch=status.safe_epoch, battery=round(status.battery, 2)
        ).SerializeToString(deterministic=True)
        if self._last.get(status.unit) == kept:
            return False
        self._last[status.unit] = kept
        return True

    async def responses(self, reader: "asyncio.Task[None]") -> AsyncIterator[host_service_pb2.ConnectResponse]:
        """Yield the full set of grants whenever it changes and at least every second."""
        core = self._core
        granted: list[tuple[str, str, int]] | None = None
        ordered: list[int] = []
        sent_s = 0.0
        loop = asyncio.get_running_loop()
        while not reader.done():
            seen = core.hub.sequence
            response = self._grants()
            now = [(grant.unit, grant.lease, grant.epoch) for grant in response.grants]
            orders = [order.order for order in response.orders]
            if now != granted or orders != ordered or loop.time() - sent_s >= REFRESH_S:
                granted, ordered, sent_s = now, orders, loop.time()
                yield response
            await core.hub.after(seen, REFRESH_S - (loop.time() - sent_s))
        await reader

    def _grants(self) -> host_service_pb2.ConnectResponse:
        core = self._core
        now_ns = core.clock.now_ns()
        marks = ",".join("?" * len(self._units))
        rows = core.read.execute(
            f"""
            SELECT lu.unit, lu.epoch, l.uid, l.vendor, l.expire_ns FROM lease_unit lu JOIN lease l ON l.id = lu.lease_id
            WHERE lu.unit IN ({marks}) AND lu.free_ns IS NULL AND l.state IN (1, 2) AND l.expire_ns > ? ORDER BY lu.unit
            """,
            (*self._units, now_ns),
        ).fetchall()
        response = host_service_pb2.ConnectResponse(
            grants=[
                host_service_pb2.UnitGrant(
                    unit=names.unit(core.venue, row["unit"]),
                    lease=names.lease(row["vendor"], row["uid"]),
                    epoch=row["epoch"],
                    token_sha256=hashlib.sha256(core.lease_token(row["uid"]).encode()).digest(),
                    ttl_s=(row["expire_ns"] - now_ns) / 1e9,
                )
                for row in rows
            ]
        )
        orders = core.read.execute(
            f"SELECT * FROM unit_order WHERE unit IN ({marks}) AND done_ns IS NULL ORDER BY id", self._units
        ).fetchall()
        for row in orders:
            order = host_service_pb2.UnitOrder.FromString(row["body"])
            order.order = row["id"]
            order.unit = names.unit(core.venue, row["unit"])
            response.orders.append(order)
        return response
