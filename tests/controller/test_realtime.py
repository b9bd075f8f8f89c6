"""The realtime loop in virtual time keeps its schedule, its promises and its accounts, in both forms to the bit."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import (
    ActuatorPhysics,
    Cohort,
    CommandError,
    DriverError,
    Fault,
    Friction,
    JointPhysics,
    KernelUnavailableError,
    Plausibility,
    State,
    StateError,
    StopHeldError,
    realtime_library,
)
from controller.errors import LoopError, QueueFullError
from controller.library import Library
from controller.loop import VirtualClock, WallClock
from controller.plant import PlantDriver
from controller.plants import DriverPlant, JointPlant
from controller.realtime import RealtimeLoop
from tests.controller.realtime_pairs import Rig, WatchedPlant, both, compiled_only
from tests.controller.robots import PERIOD_S, robot, same_bits

STALLS_S = st.one_of(
    st.just(0.0),
    st.floats(0.0, 0.9 * PERIOD_S),
    st.sampled_from([PERIOD_S, 2 * PERIOD_S, 7 * PERIOD_S]),
    st.floats(PERIOD_S, 30 * PERIOD_S),
)


PHYSICS = ActuatorPhysics(
    default=JointPhysics(friction=Friction(viscous_nms_rad=0.1, coulomb_nm=0.4), backlash_rad=0.01),
    command_delay_s=2 * PERIOD_S,
)


@both
@settings(max_examples=60, deadline=None)
@given(
    stalls_s=st.lists(STALLS_S, min_size=1, max_size=30), pieces=st.lists(st.integers(0, 40), min_size=1, max_size=5)
)
def test_every_tick_that_was_due_ran_or_was_missed(backend: Any, stalls_s: list[float], pieces: list[int]) -> None:
    """Whatever stalls, and however the run is cut up: no tick twice, none before its time, none unaccounted."""
    rig = Rig(backend)
    period_ns = round(PERIOD_S * 1e9)
    start_ns = rig.clock.now_ns()
    ran: list[int] = []
    expected: list[int] = []
    free_ns = 0

    def stall(tick: int) -> None:
        ran.append(tick)
        rig.clock.advance(stalls_s[tick % len(stalls_s)])

    rig.plant.on_read = stall
    for piece in pieces:
        report = rig.loop.run(piece)
    for tick in range(sum(pieces)):
        # A tick runs unless the loop was busy until after its successor was due.
        if free_ns < (tick + 1) * period_ns:
            expected.append(tick)
            begun_ns = max(free_ns, tick * period_ns)
            free_ns = begun_ns + round(stalls_s[tick % len(stalls_s)] * 1e9)

    assert ran == expected
    assert rig.clock.now_ns() - start_ns == (free_ns if ran else 0)
    assert report.ticks + report.missed == sum(pieces) == report.due
    assert report.ticks == len(ran) == report.lateness_count.sum() == report.cost_count.sum()


@compiled_only
@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    wide=st.booleans(),
    physics=st.sampled_from([None, PHYSICS]),
    plausibility=st.sampled_from([None, Plausibility(interval_s=5 * PERIOD_S)]),
)
def test_the_compiled_loop_equals_the_python_loop_in_every_bit(
    data: st.DataObject, wide: bool, physics: Any, plausibility: Any
) -> None:
    """The same wishes and stalls at the same moments: the same torques of every tick, and all that cohorts remember."""
    dtype = np.float64 if wide else np.float32
    made = {"dtype": dtype, "physics": physics, "plausibility": plausibility}
    rigs = [Rig(name, units=2, leases=True, samples=64, **made) for name in ("compiled", "python")]
    number = st.one_of(st.floats(-3.0, 3.0), st.sampled_from([np.nan, np.inf, -0.0, 1e39, 5e-324]))
    stalls_s = data.draw(st.lists(STALLS_S, min_size=1, max_size=6))
    for rig in rigs:
        rig.plant.on_read = lambda tick, rig=rig: rig.clock.advance(stalls_s[tick % len(stalls_s)])  # type: ignore[misc]
    for _ in range(data.draw(st.integers(1, 14))):
        unit = data.draw(st.integers(0, 1))
        act = data.draw(st.sampled_from(["target", "target", "arm", "reset", "stop 0", "stop 1", "lease", "run"]))
        q_ref, kp = data.draw(number), data.draw(number)
        ticks = data.draw(st.integers(0, 12))
        for rig in rigs:
            if act == "target":
                rig.loop.set_target(unit, q_ref={"joint_1": q_ref}, kp=kp, tau_ff=0.5)
            elif act in ("arm", "reset"):
                (rig.loop.arm if act == "arm" else rig.loop.reset)(unit)
            elif act == "lease":
                rig.loop.renew_lease(unit, 40 * PERIOD_S)
            elif act.startswith("stop"):
                rig.loop.request_stop(unit, int(act[-1]))
            rig.loop.run(ticks)

        compiled, python = (rig.plant.torques for rig in rigs)
        assert list(compiled) == list(python)
        assert all(same_bits(compiled[tick], python[tick]) for tick in compiled)
    for name, kept in rigs[0].cohort.block.memory().items():
        assert same_bits(kept, rigs[1].cohort.block.memory()[name]), name
    first, second = (rig.loop.snapshot() for rig in rigs)
    for one, other in zip(first.cohorts, second.cohorts, strict=True):
        for name in ("q", "dq", "tau", "fault", "unit_fault", "state", "age_ticks"):
            assert same_bits(getattr(one, name), getattr(other, name)), name
    for name in ("tick", "time_s", "start_s", "commands", "stale_commands", "lease_stops", "plant_errors"):
        assert getattr(first, name) == getattr(second, name), name
    assert same_bits(first.report.lateness_count, second.report.lateness_count)
    first_samples, second_samples = (rig.loop.take_samples() for rig in rigs)
    assert same_bits(first_samples.time_s, second_samples.time_s)
    assert same_bits(first_samples.tick, second_samples.tick)
    for name in ("q", "dq", "tau", "q_ref"):
        assert same_bits(getattr(first_samples.cohorts[0], name), getattr(second_samples.cohorts[0], name)), name


@both
@pytest.mark.parametrize("phase", ["before", "reading", "writing"])
@pytest.mark.parametrize("category", [0, 1])
def test_a_stop_asked_for_at_any_moment_is_obeyed_within_one_tick(backend: Any, phase: str, category: int) -> None:
    """For each of many ticks, with targets streaming in and the queue full: category 0 gives no torque in the
    first tick that begins after it, category 1 brakes in it."""
    for at in range(2, 20):
        rig = Rig(backend, queue=2)
        rig.drive(tau_ff=5.0)

        def ask(tick: int, rig: Rig = rig, at: int = at) -> None:
            if tick == at:
                rig.loop.request_stop(0, category)

        if phase == "reading":
            rig.plant.on_read = ask
        elif phase == "writing":
            rig.plant.on_write = ask
        for tick in range(2, at + 3):
            if phase == "before":
                ask(tick)
            for _ in range(3):
                try:
                    rig.loop.set_target(0, q_ref=1.0, tau_ff=5.0)
                except QueueFullError:
                    break
            rig.loop.run(1)
            obeyed = tick >= at + (phase == "writing")
            if category == 0:
                assert rig.plant.torques[tick].any() != obeyed
            elif not obeyed:
                assert rig.cohort.unit_state(0) is State.RUN
            else:
                assert rig.cohort.unit_state(0) in (State.STOPPING, State.STOPPED)


@both
def test_a_watchdog_counts_the_ticks_that_were_missed(backend: Any) -> None:
    """A stall longer than the watchdog stops the unit in the first tick after it."""
    rig = Rig(backend)
    rig.drive()
    rig.plant.on_write = lambda tick: rig.clock.advance(25 * PERIOD_S)
    rig.loop.run(1)
    rig.plant.on_write = lambda tick: None
    assert rig.cohort.unit_state(0) is State.RUN
    rig.loop.run(26)

    assert Fault.WATCHDOG in rig.cohort.unit_faults(0)
    assert rig.loop.snapshot().report.missed == 24


@both
def test_a_target_from_before_a_stall_is_left(backend: Any) -> None:
    rig = Rig(backend)
    rig.drive()
    rig.loop.set_target(0, q_ref=-1.0)
    rig.loop.set_target(0, q_ref=-1.0, valid_s=1.0)
    rig.clock.advance(21 * PERIOD_S)
    rig.loop.run(22)

    assert (rig.loop.snapshot().commands, rig.loop.snapshot().stale_commands) == (4, 1)


@both
def test_a_lease_that_runs_out_stops_its_unit_in_that_tick_and_no_other(backend: Any) -> None:
    rig = Rig(backend, units=2, leases=True)
    for unit in (0, 1):
        rig.loop.renew_lease(unit, 1000 * PERIOD_S)
        rig.drive(unit)
    rig.loop.renew_lease(0, 5.5 * PERIOD_S)
    states = []
    for _ in range(8):
        for unit in (0, 1):
            rig.loop.set_target(unit, q_ref=1.0)
        rig.loop.run(1)
        states.append(rig.cohort.unit_state(0))

    # The clock stands at the newest tick that ran: the lease ends between the fifth and the sixth from there.
    assert states[:5] == [State.RUN] * 5
    assert states[5] is State.STOPPING
    assert rig.cohort.unit_state(1) is State.RUN
    assert rig.loop.snapshot().lease_stops == 1


@both
def test_without_a_lease_nobody_drives_and_a_loop_without_leases_refuses_them(backend: Any) -> None:
    rig = Rig(backend, leases=True)
    rig.loop.arm(0)
    rig.loop.run(2)
    assert rig.cohort.unit_state(0) is State.STOPPED

    with pytest.raises(CommandError, match="without leases"):
        Rig(backend).loop.renew_lease(0, 1.0)
    for wrong_s in (-1.0, np.nan, np.inf):
        with pytest.raises(CommandError, match="duration_s"):
            rig.loop.renew_lease(0, wrong_s)


@both
def test_a_full_queue_refuses_with_a_reason_and_loses_nothing(backend: Any) -> None:
    rig = Rig(backend, queue=4)
    rig.drive()
    for _ in range(4):
        rig.loop.set_target(0, q_ref=0.5)
    for refused in (lambda: rig.loop.set_target(0, q_ref=0.5), lambda: rig.loop.arm(0)):
        with pytest.raises(QueueFullError, match="4 messages wait"):
            refused()
    rig.loop.run(1)
    rig.loop.set_target(0, q_ref=0.5)
    rig.loop.run(1)

    assert rig.loop.snapshot().commands == 2 + 4 + 1


@both
def test_arm_and_reset_say_why_not(backend: Any) -> None:
    rig = Rig(backend)
    with pytest.raises(StateError, match="not in STOPPED"):
        _carried_out(rig, rig.loop.reset(0))
    rig.loop.request_stop(0, 0)
    with pytest.raises(StopHeldError, match="waiting"):
        _carried_out(rig, rig.loop.arm(0))
    rig.plant.dq_rad_s[1, 0] = 1e3
    with pytest.raises(StopHeldError, match="joint_1 moves faster"):
        _carried_out(rig, rig.loop.reset(0))
    rig.plant.q_rad[2, 0], rig.plant.dq_rad_s[1, 0] = np.nan, 0.0
    with pytest.raises(StopHeldError, match="joint_2 measures no finite"):
        _carried_out(rig, rig.loop.reset(0))
    rig.plant.q_rad[2, 0] = 0.0
    _carried_out(rig, rig.loop.reset(0))
    _carried_out(rig, rig.loop.arm(0))
    overtaken, newer = rig.loop.arm(0), rig.loop.arm(0)
    with pytest.raises(LoopError, match="newer"):
        _carried_out(rig, overtaken)
    with pytest.raises(StateError, match="not in INIT"):
        newer.done()
    with pytest.raises(LoopError, match="does not run"):
        rig.loop.arm(0).wait()


def _carried_out(rig: Rig, ticket: Any) -> None:
    assert not ticket.done()
    rig.loop.run(1)
    assert ticket.done()


@both
def test_a_plant_that_cannot_be_read_or_written_stops_its_own_units_only(backend: Any) -> None:
    def broken(tick: int) -> None:
        raise DriverError("no answer")

    for which in ("on_read", "on_write"):
        clock = VirtualClock()
        cohorts = [Cohort(robot(2), 1, PERIOD_S), Cohort(robot(3, robot_model="other"), 1, PERIOD_S)]
        plants = [WatchedPlant(cohort) for cohort in cohorts]
        loop = RealtimeLoop(cohorts, plants, clock=clock, backend=backend)
        for member in (0, 1):
            loop.arm(0, cohort=member)
        loop.run(1)
        for member in (0, 1):
            loop.set_target(0, q_ref=1.0, cohort=member)
        loop.run(1)
        setattr(plants[1], which, broken)
        loop.run(2)
        shot = loop.snapshot()

        assert cohorts[0].unit_state(0) is State.RUN
        assert cohorts[1].unit_state(0) is State.STOPPED
        assert not cohorts[1].tau.any()
        assert shot.plant_errors == 2
        assert shot.plant_error == "WatchedPlant 1: error -1 of its own"
        assert (Fault.SENSOR_NOT_FINITE in cohorts[1].unit_faults(0)) == (which == "on_read")


@both
def test_virtual_time_has_no_thread(backend: Any) -> None:
    with pytest.raises(LoopError, match="virtual"):
        Rig(backend).loop.start()


@both
def test_stop_leaves_no_torque_behind_and_ends_the_loop(backend: Any) -> None:
    rig = Rig(backend)
    rig.drive(tau_ff=5.0)
    assert rig.plant.tau_nm.any()
    report = rig.loop.stop()

    assert rig.loop.stop().due == report.due == 2
    assert not rig.plant.tau_nm.any() and not rig.cohort.tau.any() and rig.plant.rests == 1
    assert rig.cohort.unit_state(0) is State.STOPPED
    for late in (lambda: rig.loop.run(1), lambda: rig.loop.set_target(0, q_ref=0.0), rig.loop.start):
        with pytest.raises(LoopError):
            late()


@both
def test_a_cohort_is_driven_by_one_loop_at_a_time(backend: Any) -> None:
    cohort = Cohort(robot(), 1, PERIOD_S)
    first, second = (RealtimeLoop(cohort, JointPlant(cohort), clock=VirtualClock(), backend=backend) for _ in range(2))
    first.run(1)
    with pytest.raises(LoopError, match="another loop drives this cohort"):
        second.run(1)

    first.stop()

    assert second.run(1).due == 1


@pytest.mark.parametrize("period_s", [0.0, -0.001, float("nan"), float("inf"), 1e-9, 1e6])
def test_a_period_that_no_clock_keeps_is_refused(period_s: float) -> None:
    with pytest.raises(CommandError, match="period_s"):
        cohort = Cohort(robot(), 1, period_s)
        RealtimeLoop(cohort, JointPlant(cohort))


def test_what_does_not_fit_together_is_refused_by_name() -> None:
    cohort, other = Cohort(robot(), 2, PERIOD_S), Cohort(robot(), 1, 2 * PERIOD_S)
    plant = JointPlant(cohort)
    for match, call in {
        "at least one cohort": lambda: RealtimeLoop([], []),
        "share one period": lambda: RealtimeLoop([cohort, other], [plant, JointPlant(other)]),
        "given twice": lambda: RealtimeLoop([cohort, cohort], plant),
        "unit 0 has 0 plants": lambda: RealtimeLoop(cohort, []),
        "unit 0 has 2 plants": lambda: RealtimeLoop(cohort, [plant, JointPlant(cohort)]),
        "not one of the loop's": lambda: RealtimeLoop(cohort, [plant, JointPlant(other)]),
        "queue = 0": lambda: RealtimeLoop(cohort, plant, queue=0),
        "priority = 100": lambda: RealtimeLoop(cohort, plant, priority=100),
        "cpu = 4096": lambda: RealtimeLoop(cohort, plant, cpu=4096),
        "backend 'fast'": lambda: RealtimeLoop(cohort, plant, backend="fast"),  # type: ignore[arg-type]
        "below the period": lambda: RealtimeLoop(cohort, plant, clock=WallClock(spin_s=PERIOD_S)),
        "spin_s": lambda: RealtimeLoop(cohort, plant, clock=WallClock(spin_s=float("nan"))),
        "stop category 2": lambda: RealtimeLoop(cohort, plant).request_stop(0, 2),
        "unit 2": lambda: RealtimeLoop(cohort, plant).request_stop(2, 0),
        "cohort 1": lambda: RealtimeLoop(cohort, plant).request_stop(0, 0, cohort=1),
        "no joint 'tail'": lambda: RealtimeLoop(cohort, plant).set_target(0, q_ref={"tail": 0.0}),
        "valid_s": lambda: RealtimeLoop(cohort, plant).set_target(0, valid_s=float("nan")),
    }.items():
        with pytest.raises(CommandError, match=match):
            call()


@compiled_only
def test_what_is_python_is_driven_by_the_python_loop_and_it_says_why() -> None:
    cohort = Cohort(robot(), 1, PERIOD_S)
    plant = DriverPlant(cohort, 0, PlantDriver(cohort.spec, period_s=PERIOD_S))
    loop = RealtimeLoop(cohort, plant, clock=VirtualClock())
    ticket = loop.arm(0)
    loop.run(1)

    assert ticket.done()
    assert (loop.backend, loop.backend_reason) == ("python", "DriverPlant has no compiled form: it is Python")
    with pytest.raises(KernelUnavailableError, match="DriverPlant"):
        RealtimeLoop(cohort, plant, backend="compiled")


def test_without_a_library_the_python_loop_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime_library, "load", lambda folder: Library(None, "it is not built"))
    realtime_library.loaded.cache_clear()
    try:
        cohort = Cohort(robot(), 1, PERIOD_S)
        loop = RealtimeLoop(cohort, JointPlant(cohort), clock=VirtualClock())
        report = loop.run(10)
        with pytest.raises(KernelUnavailableError, match="it is not built"):
            RealtimeLoop(cohort, JointPlant(cohort), backend="compiled")
    finally:
        realtime_library.loaded.cache_clear()

    assert (loop.backend, loop.backend_reason, report.ticks) == ("python", "it is not built", 10)


@both
@settings(max_examples=25, deadline=None)
@given(
    room=st.integers(1, 9),
    every=st.integers(1, 4),
    pieces=st.lists(st.integers(0, 12), max_size=5),
    stall=st.booleans(),
)
def test_every_sampled_tick_comes_out_once_or_is_counted_as_lost(
    backend: Any, room: int, every: int, pieces: list[int], stall: bool
) -> None:
    """And it holds the torques of its tick."""
    rig = Rig(backend, samples=room, sample_every=every)
    rig.drive()
    if stall:
        rig.plant.on_write = lambda tick: rig.clock.advance(2.5 * PERIOD_S * (tick % 3 == 0))
    taken = [rig.loop.take_samples()]
    for piece in pieces:
        rig.loop.set_target(0, q_ref=0.1 * piece)
        rig.loop.run(piece)
        taken.append(rig.loop.take_samples())
    ticks = [int(tick) for part in taken for tick in part.tick]
    due, sampled = 0, 0
    for tick in rig.plant.torques:
        if tick >= due:
            due += every * (1 + (tick - due) // every)
            sampled += 1

    assert ticks == sorted(set(ticks))
    assert len(ticks) + rig.loop.snapshot().lost_samples == sampled
    for part in taken:
        for at, tick in enumerate(part.tick.tolist()):
            assert same_bits(part.cohorts[0].tau[at], rig.plant.torques[tick])
            assert part.time_s[at] >= 1.0 + tick * PERIOD_S - 1e-9
            assert part.cohorts[0].q.shape == (len(part.tick), 3, 1)


@compiled_only
def test_a_stale_broken_or_missing_library_is_not_used(tmp_path: Path) -> None:
    room = Path(realtime_library.__file__).parent
    folders = {name: tmp_path / name for name in ("whole", "stale", "broken", "missing")}
    for folder in folders.values():
        folder.mkdir()
        for name in [*realtime_library.SOURCES, *(path.name for path in room.glob("_realtime*.so"))]:
            shutil.copy(room / name, folder / name)
    with (folders["stale"] / "realtime.h").open("a") as source:
        source.write("/* another loop */\n")
    next(folders["broken"].glob("_realtime*.so")).write_bytes(b"this is no library")
    next(folders["missing"].glob("_realtime*.so")).unlink()

    for name, reason in {"stale": "other sources", "broken": "does not load", "missing": "not built"}.items():
        found = realtime_library.load(folders[name])
        assert found.handle is None
        assert reason in found.reason
    assert realtime_library.load(folders["whole"]).handle is not None
