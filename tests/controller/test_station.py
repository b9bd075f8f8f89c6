"""The loop's half of a host, tick by tick in virtual time."""

from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from controller import CommandError, DriverError, Fault, State
from controller.driver import Driver, Vector
from controller.errors import LatchedError, NoAuthorityError, NotReadyError
from controller.injection import InjectableDriver, InjectedFault
from controller.loop import VirtualClock
from controller.plant import PlantDriver
from controller.recorder import Recorder
from controller.station import Station
from controller.unit import Authority, Charge, HostedUnit, Target
from tests.controller.driver_contract import DriverContract
from tests.controller.robots import PERIOD_S, robot

A, B = "venues/v/units/a", "venues/v/units/b"
FAR_S = 1e9


class MuteDriver(PlantDriver):
    """A robot that stops answering when told to."""

    mute_read = mute_write = False

    def read(self, q_out: Vector, dq_out: Vector) -> None:
        if self.mute_read:
            raise DriverError("no answer to a read")
        super().read(q_out, dq_out)

    def write(self, tau: Vector) -> None:
        if self.mute_write:
            raise DriverError("no answer to a write")
        super().write(tau)


class BatteryDriver(PlantDriver):
    """A robot on a battery that goes to its charger by itself."""

    level, charging = 0.5, False

    def charge_level(self) -> float | None:
        return self.level

    def is_charging(self) -> bool:
        return self.charging

    def charge(self, on: bool) -> None:
        self.charging = on


class TestInjectable(DriverContract):
    """A driver that can be broken is a driver like any other."""

    def make(self) -> Driver:
        return InjectableDriver(PlantDriver(robot(), period_s=PERIOD_S))


class Bench:
    """A station with units a and b of one model, in virtual time."""

    def __init__(self, *, kind: type[PlantDriver] = MuteDriver, **spec_changes: Any) -> None:
        self.spec = robot(stop_dwell_s=5 * PERIOD_S, **spec_changes)
        self.clock = VirtualClock()
        self.drivers = {name: kind(self.spec, period_s=PERIOD_S, serial=name, inertia_kg_m2=0.5) for name in (A, B)}
        self.changes = 0
        self.k = 0
        units = [HostedUnit(name=name, driver=self.drivers[name], spec=self.spec) for name in (A, B)]
        self.station = Station(units, period_s=PERIOD_S, clock=self.clock, on_change=self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def ticks(self, count: int = 1) -> None:
        for _ in range(count):
            self.station.tick(self.k)
            self.clock.advance(PERIOD_S)
            self.k += 1

    def done(self, future: "Future[Any]") -> Any:
        self.ticks()
        return future.result(timeout=0.0)

    def open(self, unit: str = A, epoch: int = 1, deadline_s: float = FAR_S) -> Recorder:
        self.station.authorise(unit, Authority(epoch, deadline_s))
        recorder: Recorder = self.done(self.station.open(unit, epoch=epoch, every_ticks=1))[1]
        return recorder

    def push(self, unit: str = A, epoch: int = 1, ticks: int = 1, q_ref_rad: float = 1.5) -> None:
        for _ in range(ticks):
            self.station.send(unit, Target(epoch, [q_ref_rad] * 3))
            self.ticks()

    def state(self, unit: str = A) -> State:
        return self.station.status(unit).state


def test_nothing_moves_without_an_open_and_a_target() -> None:
    bench = Bench()
    bench.station.authorise(A, Authority(1, FAR_S))
    bench.push(ticks=20)
    assert bench.state() == State.INIT
    bench.open()
    bench.ticks(20)
    assert bench.state() == State.ARMED
    assert not bench.drivers[A].tau_nm.any()
    bench.push()

    assert bench.state() == State.RUN
    assert bench.drivers[A].tau_nm.all()
    assert not bench.drivers[B].tau_nm.any()


def test_a_target_of_another_epoch_never_moves_a_joint() -> None:
    bench = Bench()
    bench.open(epoch=5)
    for epoch in (4, 6, 0):
        bench.push(epoch=epoch, ticks=5)

    assert bench.state() == State.ARMED
    assert not bench.drivers[A].tau_nm.any()
    with pytest.raises(NoAuthorityError):
        bench.done(bench.station.open(A, epoch=4, every_ticks=1))


def test_the_tick_that_finds_the_deadline_passed_brakes_although_targets_keep_coming() -> None:
    """Nobody but the loop looks at the clock here: it stops the unit by itself."""
    bench = Bench()
    bench.open(deadline_s=bench.clock.now_s() + 10.5 * PERIOD_S)
    bench.push(ticks=10)
    assert bench.state() == State.RUN
    bench.push()
    assert bench.state() == State.STOPPING
    bench.push(ticks=2000)

    assert bench.state() == State.STOPPED
    assert not bench.drivers[A].tau_nm.any()
    assert not bench.station.status(A).latched


def test_an_epoch_is_safe_only_when_its_torque_is_off() -> None:
    bench = Bench()
    bench.open(epoch=3)
    bench.push(epoch=3, ticks=30)
    bench.station.revoke(A, 3)
    seen = []
    for _ in range(2000):
        bench.push(epoch=3)
        status = bench.station.status(A)
        seen.append((status.state, status.safe_epoch))

    assert seen[0] == (State.STOPPING, 0)
    assert seen[-1] == (State.STOPPED, 3)
    assert all(safe == (3 if state == State.STOPPED else 0) for state, safe in seen)
    assert bench.station.status(B).safe_epoch == 0


def test_what_was_over_before_the_first_tick_is_safe_after_it() -> None:
    bench = Bench()
    bench.station.revoke(A, 7)
    bench.ticks()

    assert bench.station.status(A).safe_epoch == 7
    with pytest.raises(NoAuthorityError):
        bench.open(epoch=7)


def test_a_renewed_authority_keeps_the_unit_running() -> None:
    bench = Bench()
    bench.open(deadline_s=bench.clock.now_s() + 5 * PERIOD_S)
    for _ in range(20):
        bench.station.authorise(A, Authority(1, bench.clock.now_s() + 5 * PERIOD_S))
        bench.push()

    assert bench.state() == State.RUN


def test_the_next_holder_finds_the_emulation_where_it_started_and_drives_it() -> None:
    bench = Bench()
    bench.open(epoch=1)
    bench.push(ticks=100)
    moved = bench.drivers[A].q_rad.copy()
    bench.station.revoke(A, 1)
    bench.ticks(2000)
    recorder = bench.open(epoch=2)
    start = recorder.take()[0]

    assert not np.allclose(moved, bench.drivers[B].q_rad)
    assert start.q_rad == pytest.approx(bench.drivers[B].q_rad, rel=1e-6)
    bench.push(epoch=2)
    assert bench.state() == State.RUN
    assert bench.station.status(A).first_torque_unix_ns > 0


def test_the_same_holder_opens_again_where_the_unit_came_to_rest() -> None:
    bench = Bench()
    bench.open()
    bench.push(ticks=100)
    bench.done(bench.station.close(A))
    with pytest.raises(NotReadyError, match="STOPPING"):
        bench.done(bench.station.open(A, epoch=1, every_ticks=1))
    bench.ticks(2000)
    rest = bench.drivers[A].q_rad.copy()
    bench.open()

    assert bench.state() == State.ARMED
    # A plant without friction creeps on at the speed that counts as rest; going back would be over 1 rad.
    assert bench.drivers[A].q_rad == pytest.approx(rest, abs=0.01)
    assert (rest - bench.drivers[B].q_rad > 1.0).all()


def test_a_silent_caller_is_stopped_by_the_watchdog_and_may_open_again() -> None:
    bench = Bench(watchdog_s=10 * PERIOD_S)
    bench.open()
    bench.push(ticks=30)
    bench.ticks(11)
    assert bench.state() == State.STOPPING
    assert "WATCHDOG" in bench.station.status(A).fault_text
    bench.ticks(2000)
    assert not bench.station.status(A).latched
    bench.open()

    assert bench.state() == State.ARMED


def test_a_blind_unit_is_latched_until_it_is_mended_and_reset() -> None:
    bench = Bench()
    bench.open()
    bench.push(ticks=30)
    bench.done(bench.station.inject(A, InjectedFault.ENCODER_DROPOUT, "joint_1"))
    bench.push()
    status = bench.station.status(A)
    assert status.state == State.STOPPED
    assert status.latched
    assert status.fault_text == "SENSOR_NOT_FINITE at joint_1"
    assert not bench.drivers[A].tau_nm.any()
    with pytest.raises(LatchedError, match="SENSOR_NOT_FINITE at joint_1"):
        bench.open(epoch=2)
    bench.done(bench.station.reset(A))
    bench.ticks(2)

    assert bench.state() == State.INIT
    assert not bench.station.status(A).latched
    assert not bench.drivers[A].tau_nm.any()
    bench.open(epoch=3)


def test_a_protective_stop_is_latched_without_any_fault_until_reset() -> None:
    bench = Bench()
    bench.open()
    bench.push(ticks=30)
    bench.done(bench.station.protect(A))
    bench.push(ticks=2000)
    assert bench.station.status(A).latched
    assert bench.station.status(A).fault_text == "protective stop"
    with pytest.raises(LatchedError, match="protective stop"):
        bench.open()
    bench.done(bench.station.reset(A))
    bench.ticks(2)

    assert bench.state() == State.INIT
    assert bench.state(B) == State.INIT


def test_a_protective_stop_of_a_unit_that_already_rests_is_latched_and_told() -> None:
    bench = Bench()
    bench.open()
    bench.push(ticks=30)
    bench.station.revoke(A, 1)
    bench.ticks(2000)
    assert bench.state() == State.STOPPED
    assert not bench.station.status(A).latched
    told = bench.changes
    bench.done(bench.station.protect(A))

    assert bench.station.status(A).latched
    assert bench.changes > told
    with pytest.raises(LatchedError):
        bench.open(epoch=2)


def test_a_reset_right_after_a_protective_stop_waits_for_it() -> None:
    """Both orders arrive within one tick."""
    bench = Bench()
    bench.open()
    bench.push(ticks=30)
    bench.station.protect(A)
    bench.done(bench.station.reset(A))
    assert bench.state() == State.STOPPING
    bench.ticks(600)

    assert bench.state() == State.INIT


def test_a_reset_that_comes_to_nothing_does_not_clear_a_later_fault() -> None:
    """One comes while nothing is wrong; one while the cause holds, which outlasts its patience."""
    bench = Bench()
    bench.open()
    bench.push(ticks=5)
    bench.done(bench.station.reset(A))
    bench.drivers[A].mute_read = True
    bench.push(ticks=5)
    assert bench.station.status(A).latched
    bench.done(bench.station.reset(A))
    bench.ticks(round(3.0 / PERIOD_S))
    bench.drivers[A].mute_read = False
    bench.ticks(10)

    assert bench.state() == State.STOPPED
    assert bench.station.status(A).latched
    bench.done(bench.station.reset(A))
    bench.ticks(1)
    assert bench.state() == State.INIT


def test_a_robot_that_does_not_answer_a_read_stops_and_the_others_go_on() -> None:
    bench = Bench()
    bench.open(A)
    bench.open(B)
    for _ in range(20):
        bench.station.send(A, Target(1, [1.0] * 3))
        bench.push(B)
    bench.drivers[A].mute_read = True
    bench.push(B)

    assert bench.state(A) == State.STOPPED
    assert "no answer to a read" in bench.station.status(A).fault_text
    assert bench.state(B) == State.RUN


def test_a_robot_that_does_not_answer_a_write_is_latched() -> None:
    bench = Bench()
    bench.open()
    bench.push(ticks=20)
    bench.drivers[A].mute_write = True
    bench.push(ticks=2)

    assert bench.state() == State.STOPPED
    assert bench.station.status(A).latched
    assert "no answer to a write" in bench.station.status(A).fault_text


def test_a_frozen_encoder_repeats_and_a_jammed_joint_stays() -> None:
    bench = Bench()
    bench.done(bench.station.inject(A, InjectedFault.JOINT_STUCK, "joint_0"))
    bench.done(bench.station.inject(A, InjectedFault.ENCODER_FROZEN, "joint_1"))
    before = bench.drivers[A].q_rad.copy()
    recorder = bench.open()
    bench.push(ticks=50)
    last = recorder.take()[-1]

    assert bench.drivers[A].q_rad[0] == before[0]
    assert bench.drivers[A].q_rad[1] > before[1]
    assert last.q_rad[1] == pytest.approx(before[1], rel=1e-6)
    assert last.dq_rad_s[1] == 0.0
    assert last.q_rad[2] > before[2]
    with pytest.raises(CommandError, match="'elbow'"):
        bench.done(bench.station.inject(A, InjectedFault.ENCODER_DROPOUT, "elbow"))


def test_a_recorder_keeps_every_nth_tick_and_the_newest_rows() -> None:
    bench = Bench()
    bench.station.authorise(A, Authority(1, FAR_S))
    _, recorder = bench.done(bench.station.open(A, epoch=1, every_ticks=5))
    bench.push(ticks=100)
    rows = recorder.take()

    assert [row.time_s for row in rows] == pytest.approx([i * 5 * PERIOD_S for i in range(21)])
    assert rows[3].q_ref_rad == pytest.approx([1.5] * 3)
    assert rows[1].tau_nm.all()
    bench.push(ticks=5000)
    kept = recorder.take()
    assert len(kept) == 400
    assert kept[-1].time_s == pytest.approx(5100 * PERIOD_S)
    assert recorder.take() == []


def test_a_missed_tick_costs_no_sample_that_the_next_tick_can_give() -> None:
    """Every fifth tick is due; the loop runs two of three ticks only."""
    bench = Bench()
    bench.station.authorise(A, Authority(1, FAR_S))
    _, recorder = bench.done(bench.station.open(A, epoch=1, every_ticks=5))
    for _ in range(100):
        bench.k += 1
        bench.ticks(2)
    late_ticks = [round(row.time_s / PERIOD_S) - 5 * i for i, row in enumerate(recorder.take())]

    assert len(late_ticks) == 61
    assert set(late_ticks) == {0, 1}


def test_a_change_is_told_once_and_quiet_ticks_tell_nothing() -> None:
    bench = Bench()
    bench.ticks(10)
    quiet = bench.changes
    bench.ticks(50)
    assert bench.changes == quiet
    bench.open()

    assert bench.changes > quiet


def test_a_driver_that_is_not_what_it_is_said_to_be_is_refused() -> None:
    spec = robot()
    good = HostedUnit(name=A, driver=PlantDriver(spec, period_s=PERIOD_S), spec=spec)
    wrong = [
        [],
        [good, good],
        [replace(good, spec=robot(2))],
        [replace(good, spec=robot(robot_model="other"))],
        [replace(good, home_rad=(0.0,))],
        [good, replace(good, name=B, spec=robot(watchdog_s=0.5))],
    ]
    for units in wrong:
        with pytest.raises(CommandError):
            Station(units, period_s=PERIOD_S, clock=VirtualClock())


def test_units_of_many_models_share_one_station() -> None:
    specs = [robot(2, robot_model="small"), robot(7, robot_model="large")]
    units = [
        HostedUnit(name=f"venues/v/units/{s.robot_model}", driver=PlantDriver(s, period_s=PERIOD_S), spec=s)
        for s in specs
    ]
    station = Station(units, period_s=PERIOD_S, clock=VirtualClock())
    for unit in units:
        station.authorise(unit.name, Authority(1, FAR_S))
        station.open(unit.name, epoch=1, every_ticks=1)
    station.tick(0)
    station.send(units[1].name, Target(1, [1.0] * 7))
    station.tick(1)

    assert station.status(units[0].name).state == State.ARMED
    assert station.status(units[1].name).state == State.RUN
    assert station.status(units[1].name).faults == Fault.NONE


def test_a_unit_goes_to_its_charger_when_told_and_leaves_it_when_opened() -> None:
    bench = Bench(kind=BatteryDriver)
    bench.ticks(60)
    assert bench.station.charge(A) == Charge(0.5, False)
    bench.done(bench.station.plug(A))
    assert (bench.station.charge(A).charging, bench.station.charge(B).charging) == (True, False)
    bench.open()
    bench.push()
    bench.ticks(60)
    assert not bench.station.charge(A).charging
    with pytest.raises(NotReadyError):
        bench.push()
        bench.done(bench.station.plug(A))


def test_a_unit_without_a_battery_says_so_when_sent_to_a_charger() -> None:
    bench = Bench()
    bench.ticks(60)
    assert bench.station.charge(A) == Charge()
    with pytest.raises(CommandError, match="no battery"):
        bench.done(bench.station.plug(A))
