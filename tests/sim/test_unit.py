"""Emulated units: the driver contract, gravity, the gantry, jammed joints."""

import numpy as np
import pytest

from controller import Cohort, Driver, State
from controller.driver import Restarting, Sticking
from controller.errors import DriverError
from sim.catalog import find
from sim.unit import EmulatedUnit
from tests.controller.driver_contract import DriverContract

PERIOD_S = 0.002


def unit(robot: str = "own_quadruped", **kwargs: object) -> EmulatedUnit:
    return EmulatedUnit(find(robot), "unit-1", period_s=PERIOD_S, **kwargs)  # type: ignore[arg-type]


class TestEmulatedUnit(DriverContract):
    """Everything a driver must do."""

    def make(self) -> Driver:
        return unit()

    def test_it_can_be_restarted_and_its_joints_can_jam(self) -> None:
        assert isinstance(self.make(), Restarting)
        assert isinstance(self.make(), Sticking)


def hold_home(robot: str, *, seconds: float) -> tuple[EmulatedUnit, Cohort]:
    """Drive a unit with the control core, home as the target."""
    emulated = unit(robot)
    core = Cohort(emulated.spec, 1, PERIOD_S)
    emulated.read(core.q[:, 0], core.dq[:, 0])
    core.arm(0)
    home = np.array(core.q[:, 0])
    for tick in range(round(seconds / PERIOD_S)):
        emulated.read(core.q[:, 0], core.dq[:, 0])
        if tick % 10 == 0:
            core.set_target(0, q_ref=home)
        core.step()
        emulated.write(core.tau[:, 0])
    return emulated, core


@pytest.mark.parametrize("robot", ["own_quadruped", "own_humanoid"])
def test_our_robots_stand_under_the_control_core(robot: str) -> None:
    emulated, core = hold_home(robot, seconds=2.5)
    pose = np.zeros(7)

    assert emulated.base_pose(pose)
    start = emulated.model.key("home").qpos
    assert pose[2] > 0.9 * start[2]
    assert 1 - 2 * (pose[4] ** 2 + pose[5] ** 2) > 0.95
    assert core.unit_state(0) is State.RUN


def test_a_powered_robot_whose_torques_do_not_hold_it_falls() -> None:
    """A torque far too small to stand on powers the joints but lets the body sink."""
    emulated = unit()
    pose = np.zeros(7)
    for _ in range(500):
        emulated.write(np.full(12, 1e-6))
    emulated.base_pose(pose)

    assert pose[2] < 0.6 * emulated.model.key("home").qpos[2]


def test_the_gantry_holds_an_unpowered_robot_and_a_restart_puts_it_home() -> None:
    emulated = unit()
    for _ in range(500):
        emulated.write(np.full(12, 1e-6))
    fallen, held, home = np.zeros(7), np.zeros(7), np.zeros(7)
    emulated.base_pose(fallen)
    for _ in range(100):
        emulated.write(np.zeros(12))
    emulated.base_pose(held)
    emulated.restart()
    emulated.base_pose(home)

    assert np.array_equal(fallen, held)
    assert not np.array_equal(fallen, home)
    assert np.array_equal(home, emulated.model.key("home").qpos[:7])


def test_a_robot_that_holds_its_pose_is_powered_and_bears_its_weight() -> None:
    """Even when the target equals the first reading exactly, encoder noise makes the core push, and gravity acts."""
    emulated, core = hold_home("own_quadruped", seconds=0.5)
    knees = [i for i, name in enumerate(emulated.spec.joint_names) if name.endswith("knee")]

    assert (np.abs(core.tau[knees, 0]) > 1.0).all()


def test_encoder_noise_is_small_and_belongs_to_the_serial_number() -> None:
    readings = []
    for serial in ("a", "a", "b"):
        emulated = EmulatedUnit(find("own_arm"), serial, period_s=PERIOD_S)
        q, dq = np.zeros(7), np.zeros(7)
        emulated.write(np.zeros(7))
        emulated.read(q, dq)
        readings.append(q - emulated.model.key("home").qpos)

    assert np.array_equal(readings[0], readings[1])
    assert not np.array_equal(readings[0], readings[2])
    assert 0 < np.abs(readings[0]).max() < 1e-4


def test_a_jammed_joint_stays_where_it_is_until_it_is_freed() -> None:
    emulated = unit("own_arm")
    q, dq = np.zeros(7), np.zeros(7)
    emulated.read(q, dq)
    jammed = float(q[3])
    emulated.stick(3, True)
    for _ in range(100):
        emulated.write(np.full(7, 5.0))
    emulated.read(q, dq)

    assert q[3] == pytest.approx(jammed, abs=1e-4)
    assert dq[3] == 0.0
    assert abs(q[0]) > 1e-3

    emulated.stick(3, False)
    for _ in range(20):
        emulated.write(np.full(7, 5.0))
    emulated.read(q, dq)

    assert abs(q[3] - jammed) > 1e-3


def test_units_that_share_a_model_do_not_share_a_state() -> None:
    first = unit()
    second = unit(model=first.model, spec=first.spec)
    before, after, dq = np.zeros(12), np.zeros(12), np.zeros(12)
    second.read(before, dq)
    for _ in range(50):
        first.write(np.full(12, 2.0))
    second.read(after, dq)

    assert np.array_equal(before, after)


def test_the_time_per_write_is_the_period_whatever_the_physics_step() -> None:
    """A 5 ms unit takes more, equal physics steps; gravity acts for as long as it says."""
    emulated = EmulatedUnit(find("own_arm"), "slow", period_s=0.005)

    assert emulated.model.opt.timestep <= 0.002
    assert emulated.capabilities().rate_max_hz == pytest.approx(200.0)
    steps = 0.005 / emulated.model.opt.timestep
    assert steps == pytest.approx(round(steps))


@pytest.mark.parametrize("period_s", [0.0, -0.1, float("nan")])
def test_a_period_that_is_no_positive_number_is_refused(period_s: float) -> None:
    with pytest.raises(DriverError):
        EmulatedUnit(find("own_arm"), "x", period_s=period_s)


def test_motors_warm_up_under_load_and_stay_warm_when_the_robot_is_put_back_home() -> None:
    emulated = unit("own_humanoid")
    knee = emulated.spec.joint_names.index("left_knee")
    emulated.stick(knee, True)
    cold = emulated.winding_c
    push = np.zeros(29)
    push[knee] = 100.0
    for _ in range(250):
        emulated.write(push)
    warm = emulated.winding_c
    emulated.restart()
    assert cold is not None
    assert warm is not None
    assert emulated.winding_c is not None

    assert warm[knee] > cold[knee] + 1.0
    assert warm[0] == pytest.approx(cold[0], abs=0.1)
    assert emulated.winding_c[knee] == warm[knee]
    for _ in range(250):
        emulated.write(np.zeros(29))
    assert emulated.winding_c[knee] < warm[knee]


def test_a_motor_gives_no_more_than_its_curve_whatever_is_asked_for() -> None:
    """A leg asked for ten times its torque moves exactly as one that is asked for its limit."""
    greedy, modest = unit(), unit()
    limit = np.array([joint.tau_max_nm for joint in greedy.spec.joints])
    ends = []
    for emulated, torque in ((greedy, 10 * limit), (modest, limit)):
        for _ in range(30):
            emulated.write(torque)
        q, dq = np.zeros(12), np.zeros(12)
        emulated.read(q, dq)
        ends.append((q, dq))

    assert np.array_equal(ends[0][1], ends[1][1])


def test_encoders_sit_on_the_motors_side_of_the_play() -> None:
    """The joint moves inside its play of half a milliradian, and the encoder does not see it."""
    emulated = unit("own_quadruped", encoder_noise_rad=0.0)
    q, dq = np.zeros(12), np.zeros(12)
    emulated.read(q, dq)
    before = q.copy()
    emulated._data.qpos[7] += 2e-4
    emulated.read(q, dq)
    assert q[0] == before[0]

    emulated._data.qpos[7] += 1e-3
    emulated.read(q, dq)
    assert q[0] == pytest.approx(before[0] + 2e-4 + 1e-3 - 2.5e-4, abs=1e-12)


def test_ideal_actuators_have_no_temperature() -> None:
    assert unit(actuators="ideal").winding_c is None
    assert "ideal" in unit(actuators="ideal").identity().firmware


def test_a_model_made_for_other_actuators_is_not_shared() -> None:
    """Its joints would rub twice, or not at all."""
    for mine, theirs in (("ideal", "physical"), ("physical", "ideal")):
        with pytest.raises(DriverError, match=f"other than {theirs}"):
            unit(actuators=theirs, model=unit(actuators=mine).model)
