"""A station that leads units to their targets within a limit of acceleration."""

import numpy as np
import pytest

from controller import CommandError, State
from controller.loop import VirtualClock
from controller.plant import PlantDriver
from controller.station import Station
from controller.unit import Authority, HostedUnit, Target
from tests.controller.robots import PERIOD_S, robot

A = "venues/v/units/a"
ACCELERATION = 20.0


class Bench:
    """One unit, driven by a target every tenth tick, as over the network; what the law is told is kept."""

    def __init__(self, ddq_max_rad_s2: float | None, **spec_changes: float) -> None:
        spec = robot(**spec_changes)
        self.clock = VirtualClock()
        self.driver = PlantDriver(spec, period_s=PERIOD_S, serial="a", inertia_kg_m2=0.5)
        self.station = Station(
            [HostedUnit(name=A, driver=self.driver, spec=spec)],
            period_s=PERIOD_S, clock=self.clock, ddq_max_rad_s2=ddq_max_rad_s2,
        )  # fmt: skip
        self.told: list[float] = []
        self.k = 0
        self.station.authorise(A, Authority(1, 1e9))
        opening = self.station.open(A, epoch=1, every_ticks=1)
        self.tick()
        opening.result(timeout=0.0)

    def tick(self) -> None:
        self.station.tick(self.k)
        self.k += 1
        self.clock.advance(PERIOD_S)
        self.told.append(float(self.station._seats[A].q_ref[0]))

    def drive(self, ticks: int, q_ref_rad: float = 1.5, every: int = 10) -> None:
        for i in range(ticks):
            if i % every == 0:
                self.station.send(A, Target(1, [q_ref_rad] * 3))
            self.tick()


def test_a_jump_becomes_a_ramp_that_arrives_exactly() -> None:
    bench = Bench(ACCELERATION)
    start = float(bench.driver.q_rad[0])
    bench.drive(400)
    told = np.array(bench.told[1:])
    acceleration = np.diff(told, 2) / PERIOD_S**2

    assert told[-1] == np.float32(1.5)
    assert abs(told[0] - start) < 1e-3, "no jump"
    assert np.abs(acceleration).max() <= ACCELERATION * 1.1, "f32 rounding of positions"
    assert np.abs(acceleration).max() > 0.9 * ACCELERATION, "and no slower than allowed"


def test_without_the_limit_targets_reach_the_law_as_they_come() -> None:
    bench = Bench(None)
    bench.drive(1)

    assert bench.told[-1] == np.float32(1.5)


def test_moving_on_between_targets_is_no_sign_of_life() -> None:
    """The last target is far away when the stream dies: the watchdog stops the unit on its way, on time."""
    bench = Bench(0.5, watchdog_s=20 * PERIOD_S)
    bench.drive(1)
    bench.drive(20, every=1000)
    assert bench.station.status(A).state is State.RUN
    silent = Bench(0.5, watchdog_s=20 * PERIOD_S)
    silent.drive(1)
    for _ in range(21):
        silent.tick()

    assert silent.station.status(A).state is State.STOPPING
    assert silent.told[-1] < 1.5


def test_nonsense_is_rejected_by_the_core_and_the_way_goes_on() -> None:
    bench = Bench(ACCELERATION)
    bench.drive(20)
    before = bench.told[-1]
    bench.station.send(A, Target(1, [float("nan")] * 3))
    bench.tick()
    bench.tick()

    assert before < bench.told[-1] < 1.5
    assert np.isfinite(bench.told).all()


def test_a_limit_that_is_none_is_refused() -> None:
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(CommandError, match="ddq_max_rad_s2"):
            Bench(bad)
