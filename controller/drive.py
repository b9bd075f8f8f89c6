"""UnitHostService: the stream through which the holder of a lease drives a unit.

The handler takes raw bytes and parses them itself: gRPC would answer bytes that are no message with UNKNOWN
and without a reason.
"""

import asyncio
import contextlib
import logging
import math
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import grpc.aio
import numpy as np
from google.protobuf.message import DecodeError

from controller.errors import LatchedError, NoAuthorityError, NotReadyError
from controller.grants import Grant
from controller.recorder import Recorder, Row
from controller.safety import State
from controller.settings import HostSettings
from controller.station import Station
from controller.unit import HostedUnit, Target
from palaestra import errors, rules
from palaestra.errors import PalaestraError
from palaestra.v1 import unit_host_service_pb2 as pb

log = logging.getLogger(__name__)

SAMPLE_RATE_HZ = 100.0
"""Where the caller names none."""

BLOCK_S = 0.02
"""How long samples are gathered before they are sent: fifty messages a second at most."""

DISPLACE_S = 0.5
"""How long the stream of an older epoch may take to end before it is cut."""

CLOSE_S = 1.0
"""How long the end of a drive waits for the loop to let go of the unit; a tick, as long as there are ticks."""

MESSAGE_MAX_B = 4 << 20
STREAMS_MAX = 200

Context = grpc.aio.ServicerContext[bytes, pb.DriveResponse]


@dataclass(frozen=True)
class _Drive:
    epoch: int
    task: "asyncio.Task[Any]"


class Grants(Protocol):
    """What the drive service asks about grants."""

    def grant(self, unit: str) -> Grant | None:
        """Return the grant that holds on the unit now."""
        ...

    def newest(self, unit: str) -> int:
        """Return the highest epoch of the unit that the host has heard of."""
        ...


def permit(
    request: pb.DriveOpen, grant: Grant | None, *, known: bool, newest: int, now_s: float
) -> PalaestraError | None:
    """Return why the unit may not be opened with this request, or None if it may."""
    if not known:
        return PalaestraError("NOT_FOUND", f"{request.unit} is not on this host")
    if request.epoch < newest:
        return PalaestraError(
            "STALE_EPOCH",
            f"{request.unit}: epoch {request.epoch} is over, the unit is at {newest}",
            metadata={"epoch": str(request.epoch), "newest_epoch": str(newest)},
        )
    asked = f"lease {request.lease!r}, epoch {request.epoch}"
    if grant is None or grant.deadline_s <= now_s:
        return PalaestraError("LEASE_NOT_ACTIVE", f"{request.unit}: no lease holds it, not {asked}")
    if (request.lease, request.epoch) != (grant.lease, grant.epoch):
        return PalaestraError("LEASE_NOT_ACTIVE", f"{request.unit}: another lease holds it, not {asked}")
    if not grant.opens_with(request.token):
        return PalaestraError("LEASE_TOKEN_INVALID", f"{request.unit}: the token is not that of {asked}")
    return None


def refuse_target(message: pb.DriveTarget, joints: int) -> tuple[str, str] | None:
    """Return reason and message of what is wrong with a target for `joints` joints, or None."""
    fields = ("position_rad", "velocity_rad_s", "feedforward_nm", "kp_nm_rad", "kd_nms_rad")
    for name in fields:
        values = getattr(message, name)
        if len(values) != joints and (values or name == "position_rad"):
            return "WRONG_SHAPE", f"{name} has {len(values)} values, the unit has {joints} joints"
        for index, value in enumerate(values):
            if not math.isfinite(value):
                return "COMMAND_NOT_FINITE", f"{name}[{index}] is {value}"
            if value < 0.0 and name in ("kp_nm_rad", "kd_nms_rad"):
                return "INVALID_FIELD", f"{name}[{index}] is {value}: a gain is not negative"
    return None


def is_runner(shown: Mapping[str, Iterable[bytes]], venue: str) -> bool:
    """Whether a connection's peer may drive: the runner by its certificate, or anybody where none is asked for.

    shown: What gRPC knows of the connection. Without TLS, on loopback, there the lease's token says who drives.
    """
    if list(shown.get("transport_security_type", ())) != [b"ssl"]:
        return True
    named = [uri.decode("utf-8", "replace") for uri in shown.get("peer_spiffe_id", ())]
    return len(named) == 1 and re.fullmatch(f"spiffe://{re.escape(venue)}/runner/[a-z0-9-]+", named[0]) is not None


class DriveService:
    """Serves `UnitHostService.Drive`: one stream per unit at a time."""

    def __init__(self, station: Station, grants: Grants, settings: HostSettings, now_s: Callable[[], float]) -> None:
        self._station = station
        self._units = station.units
        self._grants = grants
        self._settings = settings
        self._now_s = now_s
        self._driven: dict[str, _Drive] = {}
        self._shutting_down = False
        self._changed: dict[str, asyncio.Event] = {name: asyncio.Event() for name in self._units}

    def handler(self) -> grpc.GenericRpcHandler:
        """Return what a gRPC server is given to serve the method."""
        drive: Any = grpc.stream_stream_rpc_method_handler(
            self.drive, request_deserializer=None, response_serializer=pb.DriveResponse.SerializeToString
        )
        return grpc.method_handlers_generic_handler("palaestra.v1.UnitHostService", {"Drive": drive})

    def notify(self) -> None:
        """Have every stream look at its unit now: something has changed."""
        for changed in self._changed.values():
            changed.set()

    def shut_down(self) -> None:
        """End every stream and refuse new ones: the process is stopping."""
        self._shutting_down = True
        self.notify()

    async def drive(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """Serve one stream from open to end."""
        try:
            await self._drive(requests, context)
        except PalaestraError as error:
            await _abort(context, error)
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except Exception:
            log.exception("a drive stream failed")
            await _abort(context, PalaestraError("INTERNAL", "the drive stream failed"))

    async def _drive(self, requests: AsyncIterator[bytes], context: Context) -> None:
        request = await self._opening(requests)
        # Only now: who is refused while he still sends may see his stream broken instead of the reason.
        venue = next(iter(self._units)).split("/")[1]
        if not is_runner(context.auth_context(), venue):
            raise PalaestraError("ROLE_DENIED", "units are driven by the venue's runner: the certificate is another's")
        unit = request.unit
        if self._shutting_down:
            raise PalaestraError("SHUTTING_DOWN", "the host is stopping")
        refusal = permit(
            request,
            self._grants.grant(unit),
            known=unit in self._units,
            newest=self._grants.newest(unit),
            now_s=self._now_s(),
        )
        if refusal is not None:
            raise refusal
        await self._displace(unit, request.epoch)
        task = asyncio.current_task()
        assert task is not None
        mine = self._driven[unit] = _Drive(request.epoch, task)
        try:
            await self._hold(request, requests, context)
        finally:
            # Also when the caller vanished: cancellation ends up here.
            if self._driven.get(unit) is mine:
                del self._driven[unit]
                self._station.close(unit)

    async def _displace(self, unit: str, epoch: int) -> None:
        """End the stream of an older epoch, which may hang because its caller does not read.

        Raises:
            PalaestraError: UNIT_BUSY, the stream is one of this epoch.
        """
        other = self._driven.get(unit)
        if other is None:
            return
        if other.epoch >= epoch:
            raise PalaestraError("UNIT_BUSY", f"{unit}: another stream drives it under epoch {other.epoch}")
        # One that reads ends by itself and says why; one that does not is cut.
        await asyncio.wait({other.task}, timeout=DISPLACE_S)
        other.task.cancel()
        if self._driven.get(unit) not in (None, other):
            raise PalaestraError("UNIT_BUSY", f"{unit}: another stream has just opened it")

    async def _hold(self, request: pb.DriveOpen, requests: AsyncIterator[bytes], context: Context) -> None:
        hosted = self._units[request.unit]
        rate_hz = request.sample_rate_hz or SAMPLE_RATE_HZ
        every_ticks = max(1, round(1.0 / (rate_hz * self._station.period_s)))
        q_rad, recorder = await self._ready(request, every_ticks)
        await context.write(pb.DriveResponse(opened=self._opened(hosted, q_rad)))
        answers: asyncio.Queue[pb.DriveResponse] = asyncio.Queue(maxsize=10)
        reading = asyncio.create_task(self._take_targets(request, hosted, requests, answers))
        try:
            ended = await self._send_samples(request, hosted, recorder, reading, answers, context)
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError, PalaestraError):
                await reading
        # Whoever is told that his drive has ended may give the lease back: by then no target of his is obeyed any more.
        await asyncio.wait({asyncio.wrap_future(self._station.close(request.unit))}, timeout=CLOSE_S)
        await context.write(pb.DriveResponse(ended=ended))

    async def _opening(self, requests: AsyncIterator[bytes]) -> pb.DriveOpen:
        try:
            async with asyncio.timeout(self._settings.open_patience_s):
                message = parse(await anext(requests))
        except TimeoutError:
            raise PalaestraError("INVALID_FIELD", "open: did not come in time") from None
        except StopAsyncIteration:
            raise PalaestraError("INVALID_FIELD", "open: the stream ended before it") from None
        if message.WhichOneof("message") != "open":
            raise PalaestraError("INVALID_FIELD", "open: must be the first message")
        rules.check(message)
        return message.open

    async def _ready(self, request: pb.DriveOpen, every_ticks: int) -> tuple[Any, Recorder]:
        """Wait until the unit has come to rest from its last drive, and arm it."""
        patience_s = 0.5 + self._units[request.unit].spec.stop_timeout_s
        give_up_s = self._now_s() + patience_s
        while True:
            opening = self._station.open(request.unit, epoch=request.epoch, every_ticks=every_ticks)
            try:
                return await asyncio.wrap_future(opening)
            except NotReadyError as error:
                if self._now_s() >= give_up_s:
                    raise PalaestraError("UNIT_BUSY", f"not ready in {patience_s} s: {error}") from error
                await asyncio.sleep(0.01)
            except NoAuthorityError as error:
                raise PalaestraError("LEASE_NOT_ACTIVE", str(error)) from error
            except LatchedError as error:
                raise PalaestraError("UNIT_FAULT", str(error)) from error

    def _opened(self, hosted: HostedUnit, q_rad: Any) -> pb.DriveOpened:
        identity = hosted.driver.identity()
        provenance = {"serial": identity.serial, "firmware": identity.firmware} | dict(identity.provenance)
        return pb.DriveOpened(
            joint_names=identity.joints,
            position_rad=[float(q) for q in q_rad],
            home_rad=hosted.home(),
            control_period_s=self._station.period_s,
            robot_model=identity.robot_model,
            controller_backend=self._station.backend,
            provenance=provenance,
        )

    async def _take_targets(
        self,
        request: pb.DriveOpen,
        hosted: HostedUnit,
        requests: AsyncIterator[bytes],
        answers: asyncio.Queue[pb.DriveResponse],
    ) -> None:
        """Pass targets on until the caller closes. Raises PalaestraError for what is no target."""
        joints = len(hosted.spec.joints)
        newest = -1
        async for data in requests:
            message = parse(data)
            kind = message.WhichOneof("message")
            if kind == "close":
                return
            if kind != "target":
                raise PalaestraError("INVALID_FIELD", f"{kind or 'message'}: a target or a close must follow")
            target = message.target
            if target.sequence <= newest:
                continue
            newest = target.sequence
            refusal = refuse_target(target, joints)
            if refusal is None:
                self._station.send(request.unit, _target(target, request.epoch))
            else:
                reason, text = refusal
                refused = pb.TargetRefused(sequence=target.sequence, reason=reason, message=text)
                # A caller that sends nonsense and does not read waits here, and its unit's watchdog acts.
                await answers.put(pb.DriveResponse(refused=refused))

    async def _send_samples(
        self,
        request: pb.DriveOpen,
        hosted: HostedUnit,
        recorder: Recorder,
        reading: "asyncio.Task[None]",
        answers: asyncio.Queue[pb.DriveResponse],
        context: Context,
    ) -> pb.DriveEnded:
        """Send samples and refusals until the drive is over; return how it ended."""
        changed = self._changed[request.unit]
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BLOCK_S):
                    await changed.wait()
            changed.clear()
            ended = self._ending(request, reading)
            while not answers.empty():
                await context.write(answers.get_nowait())
            rows = recorder.take()
            if rows:
                missed = self._station.missed_ticks - recorder.start_missed
                await context.write(pb.DriveResponse(samples=_block(rows, missed)))
            if ended is not None:
                ended.first_torque_unix_ns = self._station.status(request.unit).first_torque_unix_ns
                return ended

    def _ending(self, request: pb.DriveOpen, reading: "asyncio.Task[None]") -> pb.DriveEnded | None:
        """Return why the drive is over, or None. Raises what the caller did wrong."""
        if self._shutting_down:
            return pb.DriveEnded(reason="SHUTTING_DOWN", message="the host is stopping")
        grant = self._grants.grant(request.unit)
        newest = self._grants.newest(request.unit)
        status = self._station.status(request.unit)
        if newest > request.epoch:
            return pb.DriveEnded(reason="STALE_EPOCH", message=f"{request.unit} was granted again: {newest}")
        if grant is None or grant.deadline_s <= self._now_s():
            return pb.DriveEnded(reason="LEASE_NOT_ACTIVE", message=f"lease {request.lease} has ended")
        if status.state in (State.STOPPING, State.STOPPED):
            text = status.fault_text or "the unit was stopped"
            return pb.DriveEnded(reason="UNIT_FAULT", message=f"{request.unit}: {text}")
        if reading.done():
            failure = reading.exception()
            if failure is not None:
                raise failure
            return pb.DriveEnded()
        return None


def parse(data: bytes) -> pb.DriveRequest:
    """Return the message in `data`. Raises PalaestraError MALFORMED_MESSAGE if there is none."""
    try:
        return pb.DriveRequest.FromString(data)
    except DecodeError as error:
        raise PalaestraError("MALFORMED_MESSAGE", f"not a DriveRequest: {error}") from error


def _target(message: pb.DriveTarget, epoch: int) -> Target:
    return Target(
        epoch=epoch,
        q_ref_rad=list(message.position_rad),
        dq_ref_rad_s=list(message.velocity_rad_s) or 0.0,
        tau_ff_nm=list(message.feedforward_nm) or 0.0,
        kp_nm_rad=list(message.kp_nm_rad) or None,
        kd_nms_rad=list(message.kd_nms_rad) or None,
    )


def _block(rows: list[Row], missed_ticks: int) -> pb.SampleBlock:
    columns: Mapping[str, Any] = {
        "position_rad": [row.q_rad for row in rows],
        "velocity_rad_s": [row.dq_rad_s for row in rows],
        "torque_nm": [row.tau_nm for row in rows],
        "target_rad": [row.q_ref_rad for row in rows],
        "base_pose": [row.base_pose for row in rows if row.base_pose is not None],
    }
    block = pb.SampleBlock(rows=len(rows), time_s=[row.time_s for row in rows], missed_ticks=missed_ticks)
    for name, values in columns.items():
        if values:
            getattr(block, name).extend(np.concatenate(values).tolist())
    return block


async def _abort(context: Context, error: PalaestraError) -> None:
    await context.abort(error.code, error.message, errors.trailing(error))
