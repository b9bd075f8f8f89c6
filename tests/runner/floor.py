"""A floor with two own arms: a real unit host, the analytic plant behind it, and a scheduler that grants as told."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from controller.host import UnitHost
from controller.plant import PlantDriver
from controller.settings import HostSettings
from controller.unit import HostedUnit
from palaestra.v1 import host_service_pb2, runner_service_pb2, venue_service_pb2
from sim import catalog
from sim.body import body_of
from tests.controller.fake_scheduler import PATIENCE_S, FakeScheduler, eventually

A, B = "venues/v/units/a", "venues/v/units/b"
PERIOD_S = 0.005


class Floor:
    """The host in a thread of its own; its methods are called from the test's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="floor")
        self.scheduler = FakeScheduler()

    def start(self) -> None:
        self._thread.start()
        self._do(self._start())

    def stop(self) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def grant(self, unit: str, epoch: int = 1) -> runner_service_pb2.UnitEndpoint:
        """Grant a unit, wait until its host knows, and return where to drive it."""
        self._call(lambda: self.scheduler.grant(unit, epoch))
        self._eventually(f"{unit} granted {epoch}", lambda: self._host.highest(unit) >= epoch)
        return runner_service_pb2.UnitEndpoint(
            unit=unit, address=self.address, epoch=epoch, robot_model="own_arm", maker="Palaestra"
        )

    def break_encoder(self, unit: str) -> None:
        fault = host_service_pb2.InjectFault(kind=venue_service_pb2.FAULT_KIND_ENCODER_DROPOUT)
        self._call(lambda: self.scheduler.order(unit, inject_fault=fault))

    def inject(self, unit: str, kind: venue_service_pb2.FaultKind, joint: str) -> None:
        """Break a joint, and wait until the host has done so."""
        before = len(self.scheduler.beats)
        self._call(
            lambda: self.scheduler.order(unit, inject_fault=host_service_pb2.InjectFault(kind=kind, joint=joint))
        )
        done = len(self.scheduler.orders)
        beats = self.scheduler.beats
        self._eventually("an order done", lambda: any(done in beat.orders_done for beat in beats[before:]))

    def is_driven(self, unit: str) -> bool:
        return self.scheduler.status(unit).motion == host_service_pb2.MOTION_STATE_DRIVEN

    def rests(self, unit: str) -> None:
        """Wait until the unit rests, by itself or latched."""
        resting = (host_service_pb2.MOTION_STATE_RESTING, host_service_pb2.MOTION_STATE_LATCHED)
        self._eventually(f"{unit} at rest", lambda: self.scheduler.status(unit).motion in resting)

    async def _start(self) -> None:
        address = await self.scheduler.start()
        ready: asyncio.Future[str] = self._loop.create_future()
        entry = catalog.find("own_arm")
        spec, model = entry.robot_spec(), entry.model()
        home = tuple(float(q) for q in body_of(model, spec).home_q)
        # Slow and well damped under the model's gains: 10 rad/s.
        plant: dict[str, Any] = {
            "inertia_kg_m2": [joint.kp_nm_rad / 100.0 for joint in spec.joints],
            "damping_nms_rad": [joint.kp_nm_rad / 5.0 for joint in spec.joints],
        }
        units = [
            HostedUnit(
                name=name,
                driver=PlantDriver(spec, period_s=PERIOD_S, serial=name[-1], q_start_rad=home, **plant),
                spec=spec,
                home_rad=home,
                robot_class="arm",
                maker="Palaestra",
            )
            for name in (A, B)
        ]
        # Patient, for these tests share a busy machine.
        settings = HostSettings(
            host="host-1", scheduler=address, token="t", state_folder=self._folder, period_s=PERIOD_S,
            watchdog_s=5.0, beat_s=0.1, reconnect_max_s=0.2,
        )  # fmt: skip
        self._host = UnitHost(units, settings, announce=ready.set_result)
        self._running = asyncio.create_task(self._host.run())
        self.address = await asyncio.wait_for(ready, PATIENCE_S)
        await eventually("hello", lambda: bool(self.scheduler.hellos))

    async def _stop(self) -> None:
        self._host.end()
        await asyncio.wait_for(self._running, PATIENCE_S)
        await self.scheduler.stop()

    def _eventually(self, what: str, holds: Callable[[], bool]) -> None:
        self._do(eventually(what, holds))

    def _call(self, act: Callable[[], Any]) -> None:
        async def call() -> None:
            act()

        self._do(call())

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(3 * PATIENCE_S)


@contextmanager
def floor(folder: Path) -> Iterator[Floor]:
    made = Floor(folder)
    made.start()
    try:
        yield made
    finally:
        made.stop()
