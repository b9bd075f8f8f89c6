"""HostService: one stream for each unit host, grants out, states in."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from typing import Any

from palaestra.errors import PalaestraError
from palaestra.failpoint import Failpoint
from palaestra.v1 import host_service_pb2, host_service_pb2_grpc
from scheduler import names
from scheduler.commands import fleet, stopping
from scheduler.core import Core
from scheduler.guard import caller
from scheduler.strays import Strays

log = logging.getLogger(__name__)
REFRESH_S = 1.0
REGISTERED = Failpoint("scheduler.host.registered", "a host's hello is committed; it has heard of no grant yet")
TELLING = Failpoint("scheduler.host.telling", "a host's grants are read; it has not heard them")
HEARING = Failpoint("scheduler.host.hearing", "a host's beat has come; nothing of it is written down")


class HostService(host_service_pb2_grpc.HostServiceServicer):
    def __init__(self, core: Core) -> None:
        self._core = core

    async def Connect(
        self, requests: AsyncIterator[host_service_pb2.ConnectRequest], context: Any
    ) -> AsyncIterator[host_service_pb2.ConnectResponse]:
        core = self._core
        first = await anext(aiter(requests), None)
        if first is None or not first.HasField("hello"):
            problem = "the first message of a host must be its hello"
            raise PalaestraError("INVALID_FIELD", f"message: {problem}", metadata={"field": "message", "rule": problem})
        hello = first.hello
        caller().check_process(hello.host)
        self._check_places(hello)
        connection = _Connection(core, hello)
        # Known as live before it is registered, so that of two hosts that come at once with one unit the second loses.
        core.hosts[connection.key] = connection
        try:
            await core.run(fleet.hello(hello, core.venue, core.hosts))
            REGISTERED()
            reader = asyncio.create_task(connection.read(requests))
            try:
                async for response in connection.responses(reader):
                    yield response
            finally:
                reader.cancel()
        finally:
            # A host that comes back after a cut may be here before we notice the cut: then its units are not gone.
            if connection.newest:
                del core.hosts[connection.key]
                await core.host_gone(hello.host, hello.instance)

    def _check_places(self, hello: host_service_pb2.HostHello) -> None:
        """Raise HOST_CONFLICT for a unit that the venue file gives to another host, whether that is there or not."""
        hosts = {names.unit(self._core.venue, unit.id): unit.host for unit in self._core.settings.venue.units}
        for declared in hello.units:
            if hosts.get(declared.unit, "") not in ("", hello.host):
                raise PalaestraError(
                    "HOST_CONFLICT", f"{declared.unit} is of host {hosts[declared.unit]} in the venue file"
                )


class _Connection:
    """One open stream."""

    def __init__(self, core: Core, hello: host_service_pb2.HostHello) -> None:
        self._core = core
        self._host = hello.host
        self._instance = hello.instance
        self._units = frozenset(names.parts(declared.unit)[1] for declared in hello.units)
        self._last: dict[str, bytes] = {}
        # Epochs that the database is known to have reached.
        self._reached: dict[str, int] = {}
        self._granted: frozenset[str] = frozenset()
        self._strays = Strays()
        self.key = f"{hello.host}/{hello.instance}"

    @property
    def newest(self) -> bool:
        """Whether no later stream of the same host process took this one's place."""
        return self._core.hosts.get(self.key) is self

    async def read(self, requests: AsyncIterator[host_service_pb2.ConnectRequest]) -> None:
        """Write down what changes from beat to beat. Ends when the host closes."""
        async for request in requests:
            if not request.HasField("beat"):
                continue
            HEARING()
            now_ns = self._core.clock.now_ns()
            told = (names.parts(status.unit) for status in request.beat.units)
            # Of others it knows nothing; and what is kept of each must not grow with what somebody makes up.
            self._core.seen_ns.update((unit, now_ns) for venue, unit in told if unit in self._units)
            changed = [status for status in request.beat.units if self._is_news(status)]
            done = list(request.beat.orders_done)
            if changed or done:
                command = fleet.status_changed(self._host, self._instance, changed, done)
                await self._core.run(command, urgent=True)
            await self._stop_strays(request.beat)

    async def _stop_strays(self, beat: host_service_pb2.HostBeat) -> None:
        """Ask for a protective stop of whatever is driven though nobody has a lease on it."""
        driven = {
            unit
            for status in beat.units
            if status.motion == host_service_pb2.MOTION_STATE_DRIVEN
            and (unit := names.parts(status.unit)[1]) in self._units
        }
        for unit in self._strays.seen(driven, self._granted, asyncio.get_running_loop().time()):
            log.error("%s is driven by host %s without a lease; it is stopped", unit, self._host)
            try:
                await self._core.run(stopping.stop_unit(unit, "driven without a lease"), urgent=True)
            except PalaestraError as error:
                log.error("%s cannot be stopped: %s", unit, error)
                self._strays.again(unit)

    def _is_ahead(self, unit: str, epoch: int) -> bool:
        """Whether the host holds an epoch that nobody granted, as after the database was put back to an older one."""
        if epoch > self._reached.get(unit, 0):
            row = self._core.read.execute("SELECT epoch FROM unit WHERE id = ?", (unit,)).fetchone()
            self._reached[unit] = row["epoch"] if row is not None else 0
        return epoch > self._reached.get(unit, 0)

    def _is_news(self, status: host_service_pb2.UnitStatus) -> bool:
        """Whether anything that the database keeps is different from the last beat."""
        unit = names.parts(status.unit)[1]
        if unit not in self._units:
            return False
        if self._is_ahead(unit, status.epoch):
            return True
        kept = host_service_pb2.UnitStatus(
            motion=status.motion,
            fault=status.fault,
            safe_epoch=status.safe_epoch,
            battery=round(status.battery, 2),
            charging=status.charging,
        ).SerializeToString(deterministic=True)
        if self._last.get(status.unit) == kept:
            return False
        self._last[status.unit] = kept
        return True

    async def responses(self, reader: "asyncio.Task[None]") -> AsyncIterator[host_service_pb2.ConnectResponse]:
        """Yield the full set of grants whenever it changes and at least every second."""
        core = self._core
        said: object = None
        sent_s, over = 0.0, False
        loop = asyncio.get_running_loop()
        while not reader.done() and self.newest:
            seen = core.hub.sequence
            response = self._grants()
            now = (
                [(grant.unit, grant.lease, grant.epoch) for grant in response.grants],
                [order.order for order in response.orders],
                [(ended.unit, ended.epoch) for ended in response.ended],
            )
            if now != said or over or loop.time() - sent_s >= REFRESH_S:
                said, sent_s = now, loop.time()
                TELLING()
                yield response
            # A wait that is over tells so itself: by rounding, its end may seem to lie ahead still, and a wait for that
            # is over at once, again and again.
            over = not await core.hub.after(seen, REFRESH_S - (loop.time() - sent_s))
        if reader.done():
            await reader

    def _grants(self) -> host_service_pb2.ConnectResponse:
        core = self._core
        now_ns = core.clock.now_ns()
        # Only what is still this process's: a unit that moved to another host must not be driven by both.
        rows = core.read.execute(
            """
            SELECT lu.unit, lu.epoch, l.uid, l.vendor, l.expire_ns
            FROM unit u JOIN lease_unit lu ON lu.unit = u.id AND lu.free_ns IS NULL JOIN lease l ON l.id = lu.lease_id
            WHERE u.host = ? AND u.host_instance = ? AND l.state IN (1, 2) AND l.expire_ns > ? ORDER BY lu.unit
            """,
            (self._host, self._instance, now_ns),
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
        self._granted = frozenset(row["unit"] for row in rows)
        orders = core.read.execute(
            """
            SELECT o.* FROM unit u JOIN unit_order o ON o.unit = u.id AND o.done_ns IS NULL
            WHERE u.host = ? AND u.host_instance = ? ORDER BY o.id
            """,
            (self._host, self._instance),
        ).fetchall()
        unconfirmed = core.read.execute(
            """
            SELECT u.id, u.epoch FROM unit u WHERE u.host = ? AND u.host_instance = ? AND u.safe_epoch < u.epoch
              AND NOT EXISTS (SELECT 1 FROM lease_unit lu JOIN lease l ON l.id = lu.lease_id
                WHERE lu.unit = u.id AND lu.free_ns IS NULL AND l.state IN (1, 2)) ORDER BY u.id
            """,
            (self._host, self._instance),
        ).fetchall()
        for row in unconfirmed:
            response.ended.add(unit=names.unit(core.venue, row["id"]), epoch=row["epoch"])
        for row in orders:
            order = host_service_pb2.UnitOrder.FromString(row["body"])
            order.order = row["id"]
            order.unit = names.unit(core.venue, row["unit"])
            response.orders.append(order)
        return response
