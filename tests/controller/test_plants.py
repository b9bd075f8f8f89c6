"""Plants obey their equation, agree with their compiled form to the bit, and are blind rather than stale."""

import ctypes
import math
import multiprocessing
import threading
import time
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import mujoco
import numpy as np
import pytest

from controller import ActuatorPhysics, Cohort, CommandError, Fault, Friction, JointPhysics, State
from controller.loop import VirtualClock
from controller.plant import PlantDriver
from controller.plants import DriverPlant, JointPlant, PlantError, SteppedPlant
from controller.realtime import RealtimeLoop
from controller.realtime_library import loaded
from controller.shared_plant import SharedPlant, _get, _put, _slot
from tests.controller.realtime_pairs import both, compiled_only
from tests.controller.robots import PERIOD_S, robot, same_bits


def drive(loop: RealtimeLoop, ticks: int, **target: Any) -> None:
    ticket = loop.arm(0)
    loop.run(1)
    assert ticket.done()
    loop.set_target(0, **target)
    loop.run(ticks - 1)


@both
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_joints_move_as_the_dry_robot_does_to_the_bit(backend: Any, dtype: Any) -> None:
    spec = robot(5, watchdog_s=60.0)
    options: dict[str, Any] = {"inertia_kg_m2": [0.01, 0.1, 1.0, 0.3, 0.7], "damping_nms_rad": 0.3, "q_start_rad": 0.1}
    moved, driven = Cohort(spec, 1, PERIOD_S, dtype=dtype), Cohort(spec, 1, PERIOD_S, dtype=dtype)
    plant, driver = JointPlant(moved, **options), PlantDriver(spec, period_s=PERIOD_S, **options)
    drive(RealtimeLoop(moved, plant, clock=VirtualClock(), backend=backend), 200, q_ref=0.7)
    drive(RealtimeLoop(driven, DriverPlant(driven, 0, driver), clock=VirtualClock()), 200, q_ref=0.7)

    assert same_bits(plant.q_rad[:, 0], driver.q_rad)
    assert same_bits(plant.dq_rad_s[:, 0], driver.dq_rad_s)
    assert np.abs(plant.dq_rad_s).max() > 0.01


@both
def test_simulations_take_the_torque_that_friction_leaves_and_robots_the_motors(backend: Any) -> None:
    friction = ActuatorPhysics(default=JointPhysics(friction=Friction(coulomb_nm=1.0)))
    cohort = Cohort(robot(2, watchdog_s=60.0), 3, PERIOD_S, physics=friction)
    simulated, real = (SharedPlant(cohort, first=unit, units=1, stale_s=60.0, simulated=unit == 0) for unit in (0, 1))
    rest = SharedPlant(cohort, first=2, units=1, stale_s=60.0)
    loop = RealtimeLoop(cohort, [simulated, real, rest], clock=VirtualClock(), backend=backend)
    for plant in (simulated, real, rest):
        plant.measure(np.zeros((2, 1)), np.zeros((2, 1)), 0)
    for unit in (0, 1):
        loop.arm(unit)
    loop.run(1)
    for unit in (0, 1):
        loop.set_target(unit, tau_ff=5.0, kp=0.0, kd=0.0)
    loop.run(1)

    assert np.allclose(simulated.torque()[1], 4.0)
    assert np.allclose(real.torque()[1], 5.0)


@both
def test_shared_arrays_carry_measurements_in_and_torques_out(backend: Any) -> None:
    clock = VirtualClock(10.0)
    cohort = Cohort(robot(2), 3, PERIOD_S)
    shared = SharedPlant(cohort, first=1)
    with pytest.raises(PlantError, match="nothing new"):
        shared.torque()
    loop = RealtimeLoop(cohort, [resting(cohort), shared], clock=clock, backend=backend)
    q_rad = np.array([[0.1, 0.2], [0.3, 0.4]])
    shared.measure(q_rad, -q_rad, clock.now_ns())
    ticket = loop.arm(1)
    loop.run(1)
    assert ticket.done()
    loop.set_target(1, tau_ff=[3.0, -4.0], kp=0.0, kd=0.0)
    loop.run(1)
    tick, tau_nm = shared.torque()

    assert np.array_equal(cohort.q[:, 1:], q_rad.astype(np.float32))
    assert np.array_equal(cohort.dq[:, 1:], -q_rad.astype(np.float32))
    assert tick == 1
    assert np.array_equal(tau_nm, [[3.0, 0.0], [-4.0, 0.0]])
    loop.stop()
    assert shared.torque()[0] == -1
    assert not shared.torque()[1].any()


def resting(cohort: Cohort) -> Any:
    """The first unit alone, at rest."""
    plant = SharedPlant(cohort, first=0, units=1, stale_s=1e6)
    plant.measure(np.zeros((2, 1)), np.zeros((2, 1)), 0)
    return plant


@pytest.mark.parametrize("library", [pytest.param("compiled", marks=compiled_only), "numpy"])
def test_a_writer_that_dies_in_the_middle_leaves_the_last_whole_measurement(library: str) -> None:
    """Each new one is written beside it; it can be read at any moment of that, and the next writer goes on."""
    cohort = Cohort(robot(2), 1, PERIOD_S)
    plant = SharedPlant(cohort)
    if library == "numpy":
        plant._library = None
    for turn in range(1, 6):
        plant.measure(np.full((2, 1), float(turn)), np.full((2, 1), -float(turn)), turn)
        following = int(plant._measured[0]) + 1
        _slot(plant._measured, following)[:3] = 12345
        plant.read(0, turn)
        assert (cohort.q == turn).all() and (cohort.dq == -turn).all()


@both
def test_measurements_that_nobody_refreshes_stop_the_unit(backend: Any) -> None:
    clock = VirtualClock()
    cohort = Cohort(robot(2, watchdog_s=60.0), 1, PERIOD_S)
    plant = SharedPlant(cohort, stale_s=5.5 * PERIOD_S)
    loop = RealtimeLoop(cohort, plant, clock=clock, backend=backend)
    plant.measure(np.zeros((2, 1)), np.zeros((2, 1)), clock.now_ns())
    drive(loop, 6, q_ref=0.5)
    assert cohort.unit_state(0) is State.RUN
    loop.run(1)

    assert cohort.unit_state(0) is State.STOPPED
    assert Fault.SENSOR_NOT_FINITE in cohort.unit_faults(0)
    assert loop.snapshot().plant_error == "SharedPlant 0: nothing new was measured for too long"


@both
@pytest.mark.parametrize("stamp_ns", [1_700_000_000 * 10**9, 2**63 - 1, -(2**63)])
def test_a_stamp_of_another_clock_does_not_keep_one_measurement_fresh_for_ever(backend: Any, stamp_ns: int) -> None:
    cohort = Cohort(robot(2), 1, PERIOD_S)
    plant = SharedPlant(cohort)
    loop = RealtimeLoop(cohort, plant, clock=VirtualClock(10.0), backend=backend)
    plant.measure(np.zeros((2, 1)), np.zeros((2, 1)), stamp_ns)
    loop.run(1)

    assert Fault.SENSOR_NOT_FINITE in cohort.unit_faults(0)


@compiled_only
def test_a_slow_reader_beside_a_fast_writer_gets_one_whole_measurement_or_none() -> None:
    """So many numbers that a read takes longer than many a write: both run without the GIL, on two cores."""
    library = loaded().handle
    count = 300_000
    side = np.zeros(1 + 2 * (1 + count), np.uint64)
    over = threading.Event()
    writes = 0

    def write() -> None:
        nonlocal writes
        while not over.is_set():
            writes += 1
            _put(library, side, np.full(count, writes, np.uint64), writes)
            if writes % 4 == 0:
                time.sleep(0.001)

    writer = threading.Thread(target=write)
    writer.start()
    words = np.empty(count, np.uint64)
    whole = set()
    begun_s = time.monotonic()
    try:
        while time.monotonic() - begun_s < 1.0 or (len(whole) < 3 and time.monotonic() - begun_s < 20.0):
            try:
                stamp = _get(library, side, words)
            except PlantError:
                continue
            assert (words == stamp).all()
            whole.add(stamp)
    finally:
        over.set()
        writer.join()

    assert len(whole) >= 3
    assert writes > len(whole)


def _measure_elsewhere(name: str, ready: Any) -> None:
    memory = SharedMemory(name)
    cohort = Cohort(robot(2), 1, PERIOD_S)
    plant = SharedPlant(cohort, memory=memory.buf)
    for turn in range(1, 400):
        plant.measure(np.full((2, 1), turn / 1000.0), np.full((2, 1), turn / 1000.0), time.monotonic_ns())
        if turn == 1:
            ready.set()
        time.sleep(0.0005)
    del plant
    memory.close()


@compiled_only
def test_another_process_measures_and_no_measurement_is_torn() -> None:
    """Position and speed are always of the same moment."""
    cohort = Cohort(robot(2), 1, PERIOD_S)
    memory = SharedMemory(create=True, size=SharedPlant.memory_b(cohort, 1))
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    other = context.Process(target=_measure_elsewhere, args=(memory.name, ready))
    other.start()
    plant = SharedPlant(cohort, memory=memory.buf)
    assert ready.wait(30.0)
    seen = set()
    with RealtimeLoop(cohort, plant, backend="compiled") as loop:
        while other.is_alive():
            only = loop.snapshot().cohorts[0]
            if np.isfinite(only.q).all():
                assert (only.q == only.q[0, 0]).all() and (only.dq == only.q).all()
                seen.add(float(only.q[0, 0]))
    other.join()
    del loop, plant
    memory.close()
    memory.unlink()

    assert other.exitcode == 0
    assert len(seen) > 10


PENDULUM = """
<mujoco><option timestep="0.001"/><worldbody>
  <body><joint name="a" axis="0 1 0" damping="0.2"/><geom size="0.05" pos="0.3 0 0" mass="1"/>
    <body pos="0.3 0 0"><joint name="b" axis="0 1 0" damping="0.2"/><geom size="0.05" pos="0.2 0 0" mass="0.5"/></body>
  </body></worldbody>
  <actuator><motor joint="b"/><motor joint="a"/></actuator></mujoco>
"""


def pendulum(cohort: Cohort) -> tuple[Any, SteppedPlant]:
    model = mujoco.MjModel.from_xml_string(PENDULUM)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    step = ctypes.CDLL(str(next(_mujoco_library()))).mj_step
    step.restype = None
    return data, SteppedPlant(
        cohort, 0, position=data.qpos, velocity=data.qvel, control=data.ctrl,
        position_at=[0, 1], velocity_at=[0, 1], control_at=[1, 0],
        step=step, model=model._address, data=data._address, substeps=2, keep=(model, data),
    )  # fmt: skip


def _mujoco_library() -> Any:
    from pathlib import Path

    return Path(mujoco.__file__).parent.glob("libmujoco*")


@both
def test_mujoco_is_stepped_by_the_loop_as_python_steps_it_to_the_bit(backend: Any) -> None:
    spec = robot(2, watchdog_s=60.0)
    cohort, twin = Cohort(spec, 1, PERIOD_S), Cohort(spec, 1, PERIOD_S)
    data, plant = pendulum(cohort)
    drive(RealtimeLoop(cohort, plant, clock=VirtualClock(), backend=backend), 150, q_ref=[0.5, -0.4])
    model = mujoco.MjModel.from_xml_string(PENDULUM)
    other = mujoco.MjData(model)
    mujoco.mj_forward(model, other)
    for tick in range(150):
        twin.q[:, 0], twin.dq[:, 0] = other.qpos, other.qvel
        if tick == 0:
            twin.arm(0)
        if tick == 1:
            twin.set_target(0, q_ref=[0.5, -0.4])
        twin.step()
        other.ctrl[:] = twin.tau[::-1, 0]
        mujoco.mj_step(model, other, 2)

    assert same_bits(data.qpos, other.qpos)
    assert same_bits(data.qvel, other.qvel)
    assert data.time == other.time == pytest.approx(150 * PERIOD_S)
    assert abs(data.qpos[0]) > 0.01


@compiled_only
def test_mujoco_runs_in_the_loops_thread_while_python_holds_the_gil() -> None:
    cohort = Cohort(robot(2), 1, PERIOD_S)
    data, plant = pendulum(cohort)
    with RealtimeLoop(cohort, plant, backend="compiled"):
        before_s = data.time
        ctypes.PyDLL(None).usleep(100_000)
        after_s = data.time

    assert after_s - before_s > 5 * PERIOD_S


@both
def test_a_simulation_that_blows_up_stops_its_unit(backend: Any) -> None:
    cohort = Cohort(robot(2), 1, PERIOD_S)
    data, plant = pendulum(cohort)
    loop = RealtimeLoop(cohort, plant, clock=VirtualClock(), backend=backend)
    plant._arrays["velocity"][0] = 0.0
    drive(loop, 3, q_ref=0.2)
    plant._substeps = 0
    # Without a step the damage stays where it was done: MuJoCo would set the state back.
    loop = RealtimeLoop(cohort, plant, clock=VirtualClock(), backend=backend)
    data.qvel[0] = math.inf
    loop.run(2)

    assert cohort.unit_state(0) is State.STOPPED
    assert loop.snapshot().plant_error == "SteppedPlant 0: the simulation is no longer finite"


def test_what_does_not_fit_a_plant_is_refused_by_name() -> None:
    cohort = Cohort(robot(2), 2, PERIOD_S)
    row = np.zeros(2)

    def stepped(**changes: Any) -> SteppedPlant:
        given: dict[str, Any] = {
            "unit": 0, "position": row, "velocity": row, "control": row, "position_at": [0, 1], "velocity_at": [0, 1],
            "control_at": [0, 1], "step": None, "model": 0, "data": 0,
        }  # fmt: skip
        return SteppedPlant(cohort, **(given | changes))

    for match, call in {
        "inertia_kg_m2 = 0": lambda: JointPlant(cohort, inertia_kg_m2=0),
        "inertia_kg_m2 = nan": lambda: JointPlant(cohort, inertia_kg_m2=math.nan),
        "must be one or 2": lambda: JointPlant(cohort, damping_nms_rad=[1.0, 2.0, 3.0]),
        "damping_nms_rad = -1": lambda: JointPlant(cohort, damping_nms_rad=-1),
        "q_start_rad": lambda: JointPlant(cohort, q_start_rad=math.inf),
        "units 2 to 2": lambda: SharedPlant(cohort, first=2, units=1),
        "units 1 to 2": lambda: SharedPlant(cohort, first=1, units=2),
        "stale_s = 0": lambda: SharedPlant(cohort, stale_s=0),
        "memory of 8 bytes": lambda: SharedPlant(cohort, memory=bytearray(8)),
        "writable": lambda: SharedPlant(cohort, memory=bytes(SharedPlant.memory_b(cohort, 2))),
        "must be \\(2, 2\\)": lambda: SharedPlant(cohort).measure(np.zeros(2), np.zeros((2, 2)), 0),
        "position_at": lambda: stepped(position_at=[0, 2]),
        "control_at": lambda: stepped(control_at=[0]),
        "row of doubles": lambda: stepped(velocity=np.zeros(2, np.float32)),
        "substeps = 0": lambda: stepped(substeps=0),
        "the cohort a own_arm": lambda: DriverPlant(
            cohort, 0, PlantDriver(robot(2, robot_model="other"), period_s=PERIOD_S)
        ),
    }.items():
        with pytest.raises(CommandError, match=match):
            call()
