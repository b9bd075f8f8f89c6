"""The law and its limits, by physics and by name."""

import math
from typing import Any

import numpy as np
import pytest

from controller import ActuatorPhysics, Cohort, CommandError, Fault, Floor, JointPhysics, RobotSpec, State
from controller.block import Real
from controller.plant import PlantDriver
from tests.controller.robots import PERIOD_S, joint, robot, running, same_bits

STIFF = {"tau_rate_nm_s": 1e9, "q_min_rad": -100.0, "q_max_rad": 100.0, "dq_max_rad_s": 1000.0}


def envelope_nm(tau_max_nm: float, knee: float, noload: float, dq: Real) -> tuple[Real, Real]:
    """Bounds by interpolation between the corners of the curve, independent of the law's own formula."""
    far = 2.0 * noload - knee
    upper = np.interp(dq, [knee, noload, far], [tau_max_nm, 0.0, -tau_max_nm])
    lower = np.interp(dq, [-far, -noload, -knee], [tau_max_nm, 0.0, -tau_max_nm])
    return lower, upper


def test_the_torque_speed_curve_meets_published_points(backend: str) -> None:
    """G1 knee as Isaac Lab's DCMotor has it: stall 180, limit 139 N m, no-load 20 rad/s, so the knee of the
    curve is at 20 (1 - 139/180). Unitree N7520-14.3's driving side: 71 N m up to 22.63, 0 at 35.52 rad/s."""
    g1_knee = 20.0 * (1.0 - 139.0 / 180.0)
    spec = RobotSpec(
        robot_model="oracle",
        joints=(
            joint("g1_knee", tau_max_nm=139.0, v_knee_rad_s=g1_knee, v_noload_rad_s=20.0, **STIFF),
            joint("n7520", tau_max_nm=71.0, v_knee_rad_s=22.63, v_noload_rad_s=35.52, **STIFF),
        ),
    )
    cohort = running(spec, dtype=np.float64, backend=backend)

    def most(dq_rad_s: float, push_nm: float) -> list[float]:
        cohort.dq[:] = dq_rad_s
        cohort.set_target(0, tau_ff=push_nm, kp=0.0, kd=0.0)
        cohort.step()
        return [float(tau) for tau in cohort.tau[:, 0]]

    assert most(4.0, 1e4)[0] == pytest.approx(139.0)
    assert most(10.0, 1e4)[0] == pytest.approx(90.0)
    assert most(20.0, 1e4)[0] == pytest.approx(0.0, abs=1e-12)
    assert most(35.45, 1e4)[0] == pytest.approx(-139.0)
    for dq_rad_s in (0.0, 10.0, 20.0, 35.45):
        assert most(dq_rad_s, -1e4)[0] == pytest.approx(-139.0)
    assert most(22.0, 1e4)[1] == pytest.approx(71.0)
    assert most(29.0, 1e4)[1] == pytest.approx(35.913, abs=5e-4)
    assert most(-29.0, -1e4)[1] == pytest.approx(-35.913, abs=5e-4)
    assert most(35.52, 1e4)[1] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_torque_is_never_outside_the_envelope(backend: str, dtype: type) -> None:
    """Random states and commands, far beyond what is sensible, over many ticks. Only the block at the end of
    the range may take away even the torque that an over-fast motor cannot help."""
    spec = robot(4, overspeed_ratio=1e6)
    cohort = running(spec, units=50, dtype=dtype, backend=backend)
    random = np.random.default_rng(7)
    shape = cohort.q.shape
    bounded = 0
    for _ in range(200):
        cohort.q[:] = random.normal(0.0, 2.0, shape)
        cohort.dq[:] = random.normal(0.0, 25.0, shape)
        cohort.q_ref[:] = random.normal(0.0, 5.0, shape)
        cohort.dq_ref[:] = random.normal(0.0, 50.0, shape)
        cohort.tau_ff[:] = random.normal(0.0, 200.0, shape)
        cohort.kp[:] = random.exponential(200.0, shape)
        cohort.submit()
        cohort.step()
        for row, made in enumerate(spec.joints):
            lower, upper = envelope_nm(made.tau_max_nm, 10.0, 30.0, cohort.dq[row].astype(np.float64))
            slack = 1e-4 if dtype is np.float32 else 1e-9
            tau = cohort.tau[row]
            blocked = (np.abs(cohort.q[row]) > made.q_max_rad) & (tau == 0.0)
            assert (blocked | ((tau <= upper + slack) & (tau >= lower - slack))).all()
            bounded += int((np.abs(tau - upper) < slack).sum())
        outward = (cohort.q > cohort.block.parameters[:, 1:2]) & (cohort.tau > 0.0)
        assert not outward.any()
        inward = (cohort.q < cohort.block.parameters[:, 0:1]) & (cohort.tau < 0.0)
        assert not inward.any()

    assert bounded > 1000, "the case never reached the envelope"


def test_the_torque_changes_no_faster_than_its_rate(backend: str) -> None:
    cohort = running(RobotSpec(robot_model="arm", joints=(joint(tau_rate_nm_s=1000.0),)), backend=backend)
    step_nm = 1000.0 * PERIOD_S
    taus = []
    for q_ref_rad in [2.0] * 30 + [-2.0] * 60:
        cohort.set_target(0, q_ref=q_ref_rad, kp=500.0)
        cohort.step()
        taus.append(float(cohort.tau[0, 0]))
    changes = np.abs(np.diff([0.0, *taus]))

    assert changes.max() == pytest.approx(step_nm, rel=1e-5)
    assert max(taus) > 10 * step_nm
    assert min(taus) < -10 * step_nm


def test_outside_the_range_torque_leads_inward_only(backend: str) -> None:
    cohort = running(RobotSpec(robot_model="arm", joints=(joint(tau_rate_nm_s=1e9),)), backend=backend)
    cohort.q[:] = 2.5
    cohort.set_target(0, tau_ff=50.0, kp=0.0, kd=0.0)
    cohort.step()
    assert cohort.tau[0, 0] == 0.0
    assert cohort.unit_faults(0) == Fault.POSITION_LIMIT
    cohort.set_target(0, q_ref=3.0, tau_ff=0.0, kp=20.0)
    cohort.step()

    assert cohort.tau[0, 0] == pytest.approx(20.0 * (2.0 - 2.5)), "the target is clamped to the range"
    assert cohort.unit_state(0) == State.RUN


def test_a_speed_target_is_clamped_to_the_speed_limit(backend: str) -> None:
    cohort = running(RobotSpec(robot_model="arm", joints=(joint(tau_rate_nm_s=1e9),)), backend=backend)
    cohort.set_target(0, dq_ref=-500.0, kp=0.0, kd=1.0)
    cohort.step()

    assert cohort.tau[0, 0] == pytest.approx(-20.0)


def overshoot(period_s: float, backend: str) -> float:
    """Overshoot of a unit step of inertia 0.01 kg m2 under kp 20, kd 0.3."""
    spec = RobotSpec(robot_model="mass", joints=(joint(v_knee_rad_s=None, v_noload_rad_s=None, **STIFF),))
    driver = PlantDriver(spec, period_s=period_s, inertia_kg_m2=0.01, q_start_rad=0.0)
    cohort = Cohort(spec, 1, period_s, dtype=np.float64, backend=backend)
    cohort.arm(0)
    peak_rad = 0.0
    for _ in range(round(0.2 / period_s)):
        driver.read(cohort.q[:, 0], cohort.dq[:, 0])
        cohort.set_target(0, q_ref=1.0, kp=20.0, kd=0.3)
        cohort.step()
        driver.write(cohort.tau[:, 0])
        peak_rad = max(peak_rad, float(driver.q_rad[0]))
    return peak_rad - 1.0


def test_a_pd_joint_overshoots_as_the_analytic_second_order_system(backend: str) -> None:
    """omega_n = sqrt(kp/J), zeta = kd / (2 sqrt(kp J)): overshoot exp(-pi zeta / sqrt(1 - zeta^2)) = .326765.
    Semi-implicit Euler is of first order: half the period, half the error."""
    zeta = 0.3 / (2.0 * math.sqrt(20.0 * 0.01))
    exact = math.exp(-math.pi * zeta / math.sqrt(1.0 - zeta * zeta))
    errors = [abs(overshoot(period_s, backend) - exact) for period_s in (1e-3, 5e-4, 2.5e-4)]

    assert exact == pytest.approx(0.326765, abs=1e-6)
    assert errors[0] < 0.05
    assert 1.6 < errors[0] / errors[1] < 2.4
    assert 1.6 < errors[1] / errors[2] < 2.4


def test_targets_go_by_joint_name_and_leave_the_other_joints_where_they_are(backend: str) -> None:
    cohort = Cohort(robot(), 2, PERIOD_S, backend=backend)
    cohort.q[:, 1] = [0.1, 0.2, 0.3]
    cohort.arm(1)
    cohort.set_target(1, q_ref={"joint_2": 0.7}, kp={"joint_0": 5.0})
    cohort.step()

    assert cohort.joint("joint_2") == 2
    assert cohort.block.held_q_ref[:, 1] == pytest.approx([0.1, 0.2, 0.7])
    assert cohort.block.held_kp[:, 1] == pytest.approx([5.0, 21.0, 22.0])
    assert cohort.unit_state(0) == State.INIT


def test_bad_calls_are_refused_by_name_and_write_nothing(backend: str) -> None:
    cohort = running(robot(), units=2, backend=backend)
    before = cohort.q_ref.copy()
    for wrong in (
        lambda: cohort.set_target(0, q_ref={"elbow": 1.0}),
        lambda: cohort.set_target(0, q_ref=[1.0, 1.0]),
        lambda: cohort.set_target(0, q_ref=1.0, kp=[[1.0, 1.0, 1.0]]),
        lambda: cohort.set_target(2, q_ref=1.0),
        lambda: cohort.set_target(-1, q_ref=1.0),
        lambda: Cohort(robot(), 0, PERIOD_S),
        lambda: Cohort(robot(), 1, 0.0),
        lambda: Cohort(robot(), 1, math.nan),
        lambda: Cohort(robot(), 1, PERIOD_S, dtype=np.int32),
        lambda: Floor([Cohort(robot(), 1, 0.002), Cohort(robot(), 1, 0.001)]),
    ):
        with pytest.raises(CommandError):
            wrong()

    assert same_bits(cohort.q_ref, before)
    assert not cohort.block.fresh.any()
    with pytest.raises(CommandError, match="own_arm has no joint 'elbow'"):
        cohort.joint("elbow")


def test_outputs_cannot_be_written_from_outside() -> None:
    cohort = Cohort(robot(), 1, PERIOD_S)

    for output in (cohort.tau, cohort.fault, cohort.state, cohort.unit_fault, cohort.age_ticks):
        with pytest.raises(ValueError, match="read-only"):
            output[:] = 1


def test_a_command_is_seen_only_when_it_was_submitted(backend: str) -> None:
    cohort = running(robot(), backend=backend)
    cohort.q_ref[:] = 1.0
    cohort.step()
    assert (cohort.tau == 0.0).all()
    cohort.submit([0])
    cohort.step()

    assert (cohort.tau != 0.0).all()


def test_a_floor_of_many_models_equals_each_cohort_alone(backend: str) -> None:
    """f32 and f64, 2, 3 and 7 joints, 1, 17 and 300 units."""
    random = np.random.default_rng(3)
    mix = [(2, 1, np.float32), (3, 17, np.float64), (7, 300, np.float32)]
    together = [running(robot(j), units=n, dtype=t, backend=backend) for j, n, t in mix]
    alone = [running(robot(j), units=n, dtype=t, backend=backend) for j, n, t in mix]
    floor = Floor(together)
    for _ in range(5):
        for a, b in zip(together, alone, strict=True):
            for name in ("q", "dq", "q_ref", "tau_ff"):
                getattr(a, name)[:] = getattr(b, name)[:] = random.normal(0.0, 1.0, a.q.shape)
            a.submit()
            b.submit()
            b.step()
        floor.step()

    for a, b in zip(together, alone, strict=True):
        assert (a.tau != 0.0).any()
        assert same_bits(a.tau, b.tau)


def test_a_floor_may_mix_backends() -> None:
    floor = Floor([running(robot(), backend="numpy"), running(robot())])
    for cohort in floor.cohorts:
        cohort.set_target(0, q_ref=0.5)
    floor.step()

    assert same_bits(floor.cohorts[0].tau, floor.cohorts[1].tau)
    assert (floor.cohorts[0].tau != 0.0).all()


def test_the_order_of_units_does_not_matter(backend: str) -> None:
    random = np.random.default_rng(5)
    a, b = running(robot(), units=40, backend=backend), running(robot(), units=40, backend=backend)
    order = random.permutation(40)
    for _ in range(5):
        for name in ("q", "dq", "q_ref", "dq_ref"):
            values = random.normal(0.0, 1.5, a.q.shape)
            getattr(a, name)[:] = values
            getattr(b, name)[:] = values[:, order]
        a.submit()
        b.submit()
        a.step()
        b.step()

    assert same_bits(a.tau[:, order], b.tau)
    assert same_bits(a.fault[:, order], b.fault)


@pytest.mark.parametrize("units", [0, -1, 1.5, "3", None, np.float64(2.0)])
def test_a_number_of_units_that_is_none_is_refused(units: Any) -> None:
    with pytest.raises(CommandError, match="units = "):
        Cohort(robot(), units, PERIOD_S)


@pytest.mark.parametrize("units", [1, 15, 16, 17, 255, 257])
def test_padding_lanes_never_leak(backend: str, units: int) -> None:
    """Poison past the last unit changes nothing, and no torque appears there."""
    clean, poisoned = running(robot(), units, backend=backend), running(robot(), units, backend=backend)
    for cohort in (clean, poisoned):
        cohort.q_ref[:] = 0.5
        cohort.submit()
    block = poisoned.block
    for array in (block.q, block.dq, block.staged_q_ref, block.held_q_ref, block.held_kp, block.tau):
        array[:, units:] = np.nan
    clean.step()
    poisoned.step()

    assert same_bits(clean.tau, poisoned.tau)
    assert same_bits(clean.unit_fault, poisoned.unit_fault)
    assert (block.tau[:, units:] == 0.0).all()
    assert block.lanes % 16 == 0
    assert block.lanes - units < 16


@pytest.mark.parametrize(
    "physics", [None, ActuatorPhysics(default=JointPhysics(backlash_rad=0.02), command_delay_s=0.004)]
)
def test_a_renewed_unit_is_as_a_new_one_and_the_others_are_as_they_were(
    backend: str, physics: ActuatorPhysics | None
) -> None:
    """Two of four units are stopped by a fault, with torques and commands of all kinds; one of them is renewed."""
    spec = robot()
    used, fresh = (Cohort(spec, 4, PERIOD_S, dtype=np.float64, backend=backend, physics=physics) for _ in range(2))
    q, dq = np.full((3, 4), 0.3), np.full((3, 4), 0.1)
    fresh.renew(range(4), q, dq)
    used.renew(range(4), np.zeros((3, 4)), dq)
    for tick in range(20):
        used.q_ref[:], used.tau_ff[:], used.kp[:] = 0.5, 3.0, 11.0
        used.dq[:, 1:3] = 1e3 if tick == 10 else 0.1
        used.submit()
        used.step()
    before = {name: array.copy() for name, array in used.block.memory().items()}
    assert used.unit_faults(1) & Fault.OVER_SPEED
    used.renew([1], q[:, :1], dq[:, :1])

    assert used.unit_state(1) is State.ARMED
    for name, array in used.block.memory().items():
        if array.shape[-1:] == (used.block.lanes,):
            assert same_bits(array[..., 1], fresh.block.memory()[name][..., 1]), name
            assert same_bits(np.delete(array, 1, axis=-1), np.delete(before[name], 1, axis=-1)), name


@pytest.mark.parametrize("unit", [-1, 4])
def test_a_unit_that_the_cohort_does_not_have_is_not_renewed(unit: int) -> None:
    with pytest.raises(CommandError, match=str(unit)):
        Cohort(robot(), 4, PERIOD_S).renew([0, unit], np.zeros((3, 2)), np.zeros((3, 2)))


def test_a_cohort_whose_memory_is_put_back_goes_on_to_the_bit(backend: str) -> None:
    physics = ActuatorPhysics(default=JointPhysics(backlash_rad=0.02), command_delay_s=0.006)
    cohort = running(robot(), 3, dtype=np.float64, backend=backend, physics=physics)

    def go_on() -> bytes:
        seen = []
        for tick in range(12):
            cohort.q_ref[:] = 0.1 * math.sin(tick)
            cohort.q[:] = 0.05 * math.cos(tick)
            cohort.submit()
            cohort.step()
            seen.append(cohort.tau.tobytes() + cohort.tau_joint.tobytes())
        return b"".join(seen)

    go_on()
    kept = {name: array.copy() for name, array in cohort.block.memory().items()}
    expected = go_on()
    for name, array in cohort.block.memory().items():
        array[...] = kept[name]

    assert go_on() == expected


@pytest.mark.parametrize("value", ["left", {"joint_1": None}, {"joint_1": "left"}, [[1.0], [2.0, 3.0]]])
def test_a_target_that_is_no_number_is_refused_by_name(value: Any) -> None:
    cohort = Cohort(robot(), 1, PERIOD_S)

    with pytest.raises(CommandError, match="joint_1" if isinstance(value, dict) else "q_ref"):
        cohort.set_target(0, q_ref=value)
    assert not cohort.q_ref.any()
