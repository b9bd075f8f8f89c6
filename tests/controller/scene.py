"""A host, a scheduler and callers in one process, over real gRPC."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from controller import RobotSpec
from controller.host import UnitHost
from controller.plant import PlantDriver
from controller.settings import HostSettings
from controller.unit import HostedUnit
from palaestra import errors
from palaestra.errors import PalaestraError
from palaestra.v1 import host_service_pb2 as up
from palaestra.v1 import unit_host_service_pb2 as pb
from tests.controller.fake_scheduler import PATIENCE_S, FakeScheduler, eventually
from tests.controller.robots import robot

A, B = "venues/v/units/a", "venues/v/units/b"
PERIOD_S = 0.005


def settings(folder: Path, scheduler: str, **changes: Any) -> HostSettings:
    # Patient, for these tests share a busy machine: what they look at is order, not speed.
    patient: dict[str, Any] = {"period_s": PERIOD_S, "watchdog_s": 5.0, "beat_s": 0.2, "reconnect_max_s": 0.2}
    return HostSettings(
        host="host-1", scheduler=scheduler, token="host-secret", state_folder=folder, **(patient | changes)
    )


def hosted(spec: RobotSpec | None = None, driver: type[PlantDriver] = PlantDriver) -> list[HostedUnit]:
    spec = spec or robot(stop_dwell_s=0.02, stop_timeout_s=1.0)
    return [
        HostedUnit(
            name=name,
            driver=driver(spec, period_s=PERIOD_S, serial=f"serial-{name[-1]}", inertia_kg_m2=0.05),
            spec=spec,
            robot_class="arm",
            maker="Own",
            labels={"gripper": "yes"},
        )
        for name in (A, B)
    ]


class Scene:
    """A scheduler, a host with units a and b, and a channel to the host."""

    def __init__(self, scheduler: FakeScheduler, host: UnitHost, channel: grpc.aio.Channel) -> None:
        self.scheduler = scheduler
        self.host = host
        self.units = host.station.units
        self._drive = channel.stream_stream("/palaestra.v1.UnitHostService/Drive")

    def call(self) -> Any:
        """A drive stream of raw bytes."""
        return self._drive(timeout=PATIENCE_S * 2)

    async def granted(self, unit: str = A, epoch: int = 1, **options: Any) -> None:
        self.scheduler.grant(unit, epoch, **options)
        await eventually(f"{unit} granted {epoch}", lambda: self.host.highest(unit) >= epoch)

    async def open(self, unit: str = A, epoch: int = 1, **changes: Any) -> "Stream":
        return await Stream(self.call()).open(unit, epoch, **changes)

    async def refused(self, data: bytes) -> PalaestraError:
        """Send one message and return the error that the stream ends with."""
        call = self.call()
        await call.write(data)
        return await ended_with(call)

    async def is_resting(self, unit: str = A, epoch: int = 1) -> None:
        await eventually(
            f"{unit} at rest and epoch {epoch} safe",
            lambda: (
                self.scheduler.status(unit).safe_epoch >= epoch
                and self.scheduler.status(unit).motion == up.MOTION_STATE_RESTING
            ),
        )


class Stream:
    """A caller that drives one unit."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.sequence = 0

    async def open(self, unit: str, epoch: int, **changes: Any) -> "Stream":
        await self.call.write(opening(unit, epoch, **changes))
        self.opened = (await self.receive("opened")).opened
        return self

    async def send(self, **target: Any) -> None:
        self.sequence += 1
        message = pb.DriveTarget(sequence=self.sequence, **target)
        await self.call.write(pb.DriveRequest(target=message).SerializeToString())

    async def receive(self, kind: str) -> pb.DriveResponse:
        """Return the next response of that kind."""
        while True:
            data = await self.call.read()
            if data is grpc.aio.EOF:
                code = await self.call.code()
                if code is grpc.StatusCode.OK:
                    raise AssertionError(f"the stream ended without {kind}")
                raise await ended_with(self.call)
            response = pb.DriveResponse.FromString(data)
            if response.WhichOneof("message") == kind:
                return response

    async def drive_until_torque(self) -> pb.SampleBlock:
        """Send a target and return the first samples that carry torque."""
        await self.send(position_rad=[1.0, 1.0, 1.0])
        while True:
            samples = (await self.receive("samples")).samples
            if any(samples.torque_nm):
                return samples


def opening(unit: str = A, epoch: int = 1, **changes: Any) -> bytes:
    fields: dict[str, Any] = {"lease": f"lease-{epoch}", "epoch": epoch, "token": f"token-{epoch}"}
    return pb.DriveRequest(open=pb.DriveOpen(unit=unit, **(fields | changes))).SerializeToString()


async def ended_with(call: Any) -> PalaestraError:
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return errors.from_rpc(error)
    code = await call.code()
    assert code is not grpc.StatusCode.OK, "the stream was not refused"
    return errors.from_rpc(grpc.aio.AioRpcError(code, None, await call.trailing_metadata(), await call.details()))


@asynccontextmanager
async def scene(folder: Path, units: list[HostedUnit] | None = None, **changes: Any) -> AsyncIterator[Scene]:
    scheduler = FakeScheduler()
    address = await scheduler.start()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    host = UnitHost(units or hosted(), settings(folder, address, **changes), announce=ready.set_result)
    running = asyncio.create_task(host.run())
    async with grpc.aio.insecure_channel(await asyncio.wait_for(ready, PATIENCE_S)) as channel:
        try:
            await eventually("hello", lambda: bool(scheduler.hellos))
            yield Scene(scheduler, host, channel)
        finally:
            host.end()
            await asyncio.wait_for(running, PATIENCE_S)
            await scheduler.stop()


def play(
    folder: Path,
    act: Callable[[Scene], Awaitable[None]],
    units: list[HostedUnit] | None = None,
    **changes: Any,
) -> None:
    """Run one act in a fresh scene."""

    async def whole() -> None:
        async with scene(folder, units, **changes) as here:
            await asyncio.wait_for(act(here), 3 * PATIENCE_S)

    asyncio.run(whole())
