"""The unit host: one process that serves one robot or a farm of them to whoever holds a lease.

Two halves. The loop's half (`controller/station.py`) owns every joint and needs nobody to stop by itself.
This half, on asyncio, decides who may drive: it keeps the stream to the scheduler, the grants, the epochs on
disk, and serves the drives. If this half hangs, the deadlines that it handed over run out in the other one.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import atan2

import grpc.aio

from controller import grants
from controller.drive import MESSAGE_MAX_B, STREAMS_MAX, DriveService
from controller.epochs import EpochFile
from controller.errors import ControllerError, HostError
from controller.grants import Change, Grant, Offer
from controller.injection import InjectedFault
from controller.loop import WallClock
from controller.safety import State
from controller.settings import HostSettings
from controller.station import Station
from controller.unit import Authority, Charge, HostedUnit, Status
from controller.uplink import Uplink
from palaestra.channel import is_loopback
from palaestra.failpoint import Failpoint
from palaestra.ids import new_id
from palaestra.tls_files import NoCertificate, ServerFiles, TlsFiles
from palaestra.v1 import body_pb2, venue_service_pb2
from palaestra.v1 import host_service_pb2 as pb

log = logging.getLogger(__name__)

EXPIRY_S = 0.05
"""How often deadlines are looked at on this side, to tell the scheduler and the callers; the loop looks each
tick."""

LAST_BEAT_S = 0.1
"""Time for the last beat, which says that all units are at rest, to leave the process."""

HEARD = Failpoint("controller.host.heard", "the full set of grants has come; nothing of it holds yet")
OVER = Failpoint("controller.host.over", "what is over is over here; new grants do not hold yet")
HOLDS = Failpoint("controller.host.holds", "grants hold; the scheduler has not heard what is over")

INJECTED = {
    venue_service_pb2.FAULT_KIND_ENCODER_DROPOUT: InjectedFault.ENCODER_DROPOUT,
    venue_service_pb2.FAULT_KIND_ENCODER_FROZEN: InjectedFault.ENCODER_FROZEN,
    venue_service_pb2.FAULT_KIND_JOINT_STUCK: InjectedFault.JOINT_STUCK,
}


class UnitHost:
    """One host process. Make it inside a running event loop, then `run` it."""

    def __init__(
        self,
        units: Sequence[HostedUnit],
        settings: HostSettings,
        *,
        announce: Callable[[str], None] = lambda address: None,
    ) -> None:
        """Take the units; `announce` is called with the address once drives are served there.

        Raises:
            CommandError: the units do not fit together; see `Station`.
            EpochFileError: the epochs on disk cannot be understood.
        """
        if settings.watchdog_s is not None:
            units = [replace(u, spec=replace(u.spec, watchdog_s=settings.watchdog_s)) for u in units]
        self._settings = settings
        self._announce = announce
        self._instance = new_id()
        self._address = ""
        self._epochs = EpochFile(settings.state_folder / f"epochs-{settings.host}.json")
        self._held: Mapping[str, Grant] = {}
        self._offered: dict[str, int] = {}
        self._granting = asyncio.Lock()
        self._order = 0
        # Carried out but listed by the scheduler still: each beat reports them until they are not.
        self._orders_done: frozenset[int] = frozenset()
        self._events = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._events.create_future()
        clock = WallClock(spin_s=settings.spin_s)
        self._now_s = clock.now_s
        self.station = Station(
            units,
            period_s=settings.period_s,
            clock=clock,
            dtype=settings.dtype,
            backend=settings.backend,
            ddq_max_rad_s2=settings.ddq_max_rad_s2,
            on_change=lambda: self._from_loop(self._notify),
            on_death=lambda error: self._from_loop(self._die, error),
        )
        self._drives = DriveService(self.station, self, settings, clock.now_s)
        self._uplink = Uplink(self, settings)
        for unit in self.station.units:
            # A new process drives nothing yet: all that was granted before is over for good.
            self.station.revoke(unit, self._epochs.highest(unit))

    def grant(self, unit: str) -> Grant | None:
        """Return the grant that holds on the unit now."""
        return self._held.get(unit)

    def highest(self, unit: str) -> int:
        """Return the unit's highest epoch, as on disk."""
        return self._epochs.highest(unit)

    def newest(self, unit: str) -> int:
        """Return the highest epoch that the host has heard of, on disk or not yet."""
        return max(self.highest(unit), self._offered.get(unit, 0))

    async def run(self) -> None:
        """Serve until `end`, or until the process is told to stop; then bring all units to rest.

        Raises:
            HostError: the address cannot be listened on, or the control loop died.
        """
        server = grpc.aio.server(
            options=[
                # Two hosts on one port would share it silently.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", MESSAGE_MAX_B),
                ("grpc.max_send_message_length", MESSAGE_MAX_B),
                ("grpc.max_concurrent_streams", STREAMS_MAX),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_time_ms", 10_000),
                ("grpc.keepalive_timeout_ms", 5_000),
            ],
            maximum_concurrent_rpcs=STREAMS_MAX,
        )
        server.add_generic_rpc_handlers((self._drives.handler(),))
        try:
            self._address = _listen(server, self._settings.listen, self._settings.tls)
            await server.start()
            await self._serve()
        finally:
            await server.stop(grace=0.5)

    async def _serve(self) -> None:
        self.station.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            # Not the main thread (tests), or no such signals: somebody else calls `end`.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                self._events.add_signal_handler(number, self.end)
        tasks = [asyncio.create_task(self._uplink.run()), asyncio.create_task(self._expire())]
        for task in tasks:
            task.add_done_callback(self._task_ended)
        log.info(
            "host %s serves %d units on %s, core: %s",
            self._settings.host, len(self.station.units), self._address, self.station.backend,
        )  # fmt: skip
        self._announce(self._address)
        try:
            await self._ended
        finally:
            # The joints first; meanwhile callers learn why; the scheduler hears of it in the last beat.
            self._drives.shut_down()
            await asyncio.to_thread(self.station.stop)
            self._notify()
            await asyncio.sleep(LAST_BEAT_S)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def end(self) -> None:
        """Have `run` bring all units to rest and return."""
        if not self._ended.done():
            self._ended.set_result(None)

    def hello(self) -> pb.HostHello:
        """Return who this host is and what it serves."""
        return pb.HostHello(
            host=self._settings.host,
            address=self._address,
            instance=self._instance,
            units=[_declaration(unit, self.highest(unit.name)) for unit in self.station.units.values()],
        )

    def beat(self) -> pb.HostBeat:
        """Return all units as they are."""
        return pb.HostBeat(
            units=[
                _status(
                    unit,
                    self.station.status(unit),
                    self.highest(unit),
                    self._base_pose(unit),
                    self.station.charge(unit),
                )
                for unit in self.station.units
            ],
            orders_done=sorted(self._orders_done),
        )

    async def obey(self, response: pb.ConnectResponse) -> None:
        """Take over the full set of grants and carry out orders not seen before."""
        offers = [Offer(g.unit, g.lease, g.epoch, g.token_sha256, g.ttl_s) for g in response.grants]
        HEARD()
        async with self._granting:
            highest = {unit: self.highest(unit) for unit in self.station.units}
            change = grants.receive(self._held, offers, highest=highest, now_s=self._now_s())
            # What is over is over at once, whatever the disk does next.
            self._offered |= change.raised
            self._held = {unit: grant for unit, grant in self._held.items() if unit not in change.over}
            self._end_epochs(change.over)
            OVER()
            try:
                await asyncio.to_thread(self._epochs.raise_to, change.raised)
            except OSError as error:
                log.error("epochs are not on disk, new grants are not taken: %s", error)
                kept = {unit: grant for unit, grant in change.held.items() if unit not in change.raised}
                change = replace(change, held=kept)
            self._apply(change)
            HOLDS()
            await self._end_unheard({e.unit: e.epoch for e in response.ended})
        for order in sorted(response.orders, key=lambda order: order.order):
            if order.order > self._order:
                self._order = order.order
                await self._carry_out(order)
        done = frozenset(order.order for order in response.orders)
        if done - self._orders_done:
            self._notify()
        self._orders_done = done

    async def _end_unheard(self, ended: Mapping[str, int]) -> None:
        """Make epochs that the scheduler has ended impossible here, also those that never reached this host."""
        unheard = {u: e for u, e in ended.items() if u in self.station.units and e > self.highest(u)}
        if not unheard:
            return
        try:
            await asyncio.to_thread(self._epochs.raise_to, unheard)
        except OSError as error:
            # Not confirmed, so not granted again either; the scheduler asks once more in a second.
            log.error("epochs are not on disk, their end is not confirmed: %s", error)
            return
        self._end_epochs(unheard)
        self._notify()

    def _base_pose(self, unit: str) -> list[float] | None:
        pose = self.station.base_pose(unit)
        return None if pose is None else [float(part) for part in pose]

    def _apply(self, change: Change) -> None:
        self._held = change.held
        for unit, grant in change.held.items():
            self.station.authorise(unit, Authority(grant.epoch, grant.deadline_s))
        if change.over or change.raised:
            self._notify()

    def _end_epochs(self, over: Mapping[str, int]) -> None:
        for unit, epoch in over.items():
            self.station.revoke(unit, epoch)

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(EXPIRY_S)
            async with self._granting:
                change = grants.expire(self._held, now_s=self._now_s())
                if change.over:
                    log.warning("no word from the scheduler, grants ran out: %s", dict(change.over))
                    self._held = change.held
                    self._end_epochs(change.over)
                    self._apply(change)

    async def _carry_out(self, order: pb.UnitOrder) -> None:
        if order.unit not in self.station.units:
            log.warning("order %d is for %s, which is not here", order.order, order.unit)
            return
        action = order.WhichOneof("action")
        try:
            if action == "inject_fault":
                kind = INJECTED.get(order.inject_fault.kind)
                if kind is None:
                    log.warning("order %d: unknown fault kind %d", order.order, order.inject_fault.kind)
                    return
                answer = self.station.inject(order.unit, kind, order.inject_fault.joint)
            elif action == "reset_fault":
                answer = self.station.reset(order.unit)
            elif action == "protective_stop":
                answer = self.station.protect(order.unit)
            elif action == "charge":
                answer = self.station.plug(order.unit)
            else:
                log.warning("order %d: nothing that this host knows", order.order)
                return
            await asyncio.wrap_future(answer)
            log.info("order %d carried out: %s %s", order.order, action, order.unit)
        except ControllerError as error:
            log.warning("order %d refused: %s", order.order, error)
        self._notify()

    def _notify(self) -> None:
        self._uplink.notify()
        self._drives.notify()

    def _from_loop(self, call: Callable[..., None], *arguments: object) -> None:
        # The event loop may be gone already when the last tick reports.
        with contextlib.suppress(RuntimeError):
            self._events.call_soon_threadsafe(call, *arguments)

    def _die(self, error: BaseException) -> None:
        if not self._ended.done():
            self._ended.set_exception(HostError(f"the control loop died: {error!r}"))

    def _task_ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None and not self._ended.done():
            self._ended.set_exception(HostError(f"a part of the host failed: {task.exception()!r}"))


def run_host(
    settings: HostSettings,
    units: Sequence[HostedUnit],
    *,
    announce: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve `units` until SIGTERM or SIGINT, then bring them to rest.

    Raises:
        CommandError, EpochFileError, HostError: as `UnitHost` and its `run`.
    """

    async def serve() -> None:
        await UnitHost(units, settings, announce=announce).run()

    asyncio.run(serve())


def _listen(server: grpc.aio.Server, address: str, tls: TlsFiles) -> str:
    try:
        if is_loopback(address):
            port = server.add_insecure_port(address)
        elif tls.cert is None or tls.key is None:
            raise HostError(
                f"{address} can be reached from other machines, where lease tokens would travel unencrypted: "
                "it needs --ca, --cert and --key"
            )
        else:
            port = server.add_secure_port(address, ServerFiles(tls.cert, tls.key, tls.ca).credentials())
    except (RuntimeError, NoCertificate) as error:
        raise HostError(f"cannot listen on {address}: {error}") from error
    if port == 0:
        raise HostError(f"cannot listen on {address}")
    return f"{address.rpartition(':')[0]}:{port}"


def _declaration(unit: HostedUnit, highest_epoch: int) -> pb.UnitDeclaration:
    identity = unit.driver.identity()
    return pb.UnitDeclaration(
        unit=unit.name,
        serial=identity.serial,
        robot_model=identity.robot_model,
        robot_class=unit.robot_class,
        maker=unit.maker,
        joint_count=len(identity.joints),
        highest_epoch=highest_epoch,
        emulated=unit.driver.capabilities().simulated,
        labels=dict(unit.labels),
        body=_body(unit, identity.firmware),
    )


def _body(unit: HostedUnit, firmware: str) -> body_pb2.Body:
    body = body_pb2.Body(
        payload_kg=unit.payload_kg,
        end_effector=unit.end_effector,
        sensors=unit.sensors,
        firmware=firmware,
    )
    if unit.battery is not None:
        body.battery.capacity_wh = unit.battery.capacity_wh
        body.battery.work_power_w = unit.battery.work_power_w
        body.battery.charge_power_w = unit.battery.charge_power_w
    return body


def motion(status: Status) -> pb.MotionState:
    """Return the unit's motion as the scheduler knows it."""
    if status.state is State.RUN:
        return pb.MOTION_STATE_DRIVEN
    if status.state is State.STOPPING:
        return pb.MOTION_STATE_STOPPING
    return pb.MOTION_STATE_LATCHED if status.latched else pb.MOTION_STATE_RESTING


def _status(
    unit: str, status: Status, highest: int, base_pose: Sequence[float] | None, charge: Charge
) -> pb.UnitStatus:
    message = pb.UnitStatus(
        unit=unit,
        epoch=highest,
        motion=motion(status),
        fault=status.fault_text if status.latched else "",
        safe_epoch=status.safe_epoch,
        first_torque_unix_ns=status.first_torque_unix_ns,
        charging=charge.charging,
    )
    if charge.level is not None:
        message.battery = charge.level
    if base_pose is not None:
        w, x, y, z = base_pose[3:]
        message.offset.x_m, message.offset.y_m = base_pose[0], base_pose[1]
        # Heading of a body from its quaternion: the yaw of the Z-Y-X Euler angles.
        message.offset.yaw_rad = atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    return message
