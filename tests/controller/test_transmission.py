"""Lead screws against the textbook, and as joints of a cohort."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import ActuatorPhysics, Cohort, JointPhysics, LeadScrew, RobotSpec, SpecError, load_actuator
from tests.controller.robots import joint, running

SHIGLEY = {"pitch_m": 0.004, "starts": 2, "mean_diameter_m": 0.030, "friction": 0.08}
WIDE = {
    "tau_rate_nm_s": 1e9, "q_min_rad": -100.0, "q_max_rad": 100.0, "dq_max_rad_s": 1000.0, "tau_max_nm": 1e4,
    "v_knee_rad_s": None, "v_noload_rad_s": None,
}  # fmt: skip


def test_the_textbooks_screw_needs_the_textbooks_torques() -> None:
    """Shigley's worked example: square double thread of 32 mm with 4 mm pitch, all coefficients 0.08, a collar of
    40 mm, 6.4 kN: 26.18 N m raise it, 9.77 N m lower it, the efficiency is 0.311."""
    screw = LeadScrew.of_thread(**SHIGLEY, collar_friction=0.08, collar_diameter_m=0.040)

    assert screw.motor_torque_nm(6400.0, raising=True) == pytest.approx(26.18, abs=5e-3)
    assert screw.motor_torque_nm(6400.0, raising=False) == pytest.approx(9.77, abs=5e-3)
    assert screw.efficiency_forward == pytest.approx(0.311, abs=5e-4)
    assert screw.self_locking


def test_without_its_collar_the_textbooks_screw_runs_down_by_itself() -> None:
    """15.94 N m of the 26.18 belong to the thread; lowering, the thread alone drives with 0.466 N m."""
    screw = LeadScrew.of_thread(**SHIGLEY)

    assert screw.motor_torque_nm(6400.0, raising=True) == pytest.approx(15.94, abs=5e-3)
    assert screw.motor_torque_nm(6400.0, raising=False) == pytest.approx(-0.466, abs=5e-4)
    assert not screw.self_locking


@given(angle=st.floats(0.01, 0.7), friction=st.floats(0.0, 0.4))
def test_efficiencies_are_those_of_lead_angle_and_friction_angle(angle: float, friction: float) -> None:
    """tan(l)/tan(l + p) and tan(l - p)/tan(l); a screw locks itself just where the friction angle is the larger."""
    diameter_m = 0.02
    screw = LeadScrew.of_thread(
        pitch_m=math.pi * diameter_m * math.tan(angle), mean_diameter_m=diameter_m, friction=friction
    )
    phi = math.atan(friction)

    assert screw.efficiency_forward == pytest.approx(math.tan(angle) / math.tan(angle + phi), rel=1e-9)
    assert screw.efficiency_backward == pytest.approx(math.tan(angle - phi) / math.tan(angle), rel=1e-9, abs=1e-9)
    assert screw.self_locking == (screw.efficiency_backward <= 0.0)


def linear(screw: LeadScrew, backend: str) -> Cohort:
    made = ActuatorPhysics(default=JointPhysics(lead_screw=screw, inertia_kg_m2=5.0))
    return running(
        RobotSpec(robot_model="lift", joints=(joint(**WIDE),)), dtype=np.float64, physics=made, backend=backend
    )


def force_n(cohort: Cohort, motor_n: float, load_n: float, dq_m_s: float = 0.0) -> float:
    """The force of the motor less friction, plus the load: what accelerates the joint."""
    cohort.dq[:] = dq_m_s
    cohort.set_target(0, tau_ff=motor_n, kp=0.0, kd=0.0)
    cohort.tau_external[:] = load_n
    cohort.step()
    return float(cohort.tau_joint[0, 0]) + load_n


def test_a_loaded_screw_starts_upwards_and_downwards_where_its_efficiencies_say(backend: str) -> None:
    """Load 100 N: raised from 100/0.8 N on, let down below 100 * 0.7 N, held between."""
    cohort = linear(LeadScrew(lead_m=0.01, efficiency_forward=0.8, efficiency_backward=0.7), backend)

    assert force_n(cohort, 126.0, -100.0) == pytest.approx(0.8 * 126.0 - 100.0)
    assert force_n(cohort, 124.0, -100.0) == 0.0
    assert force_n(cohort, 71.0, -100.0) == 0.0
    assert force_n(cohort, 69.0, -100.0) == pytest.approx(69.0 - 0.7 * 100.0)
    assert force_n(cohort, 0.0, -100.0) == pytest.approx(-70.0), "an unpowered screw is driven back"


def test_a_self_locking_screw_is_moved_by_its_motor_alone(backend: str) -> None:
    """The textbook's screw with its collar: no load moves it, and lowering one takes torque downwards."""
    screw = LeadScrew.of_thread(**SHIGLEY, collar_friction=0.08, collar_diameter_m=0.040)
    cohort = linear(screw, backend)
    lowering_n = screw.motor_torque_nm(6400.0, raising=False) * screw.ratio_rad_m
    raising_n = screw.motor_torque_nm(6400.0, raising=True) * screw.ratio_rad_m

    assert force_n(cohort, 0.0, -6400.0) == 0.0
    assert force_n(cohort, -0.99 * lowering_n, -6400.0) == pytest.approx(0.0, abs=1e-9)
    assert force_n(cohort, -1.01 * lowering_n, -6400.0) < -1.0
    assert force_n(cohort, 0.99 * min(raising_n, 1e4), -6400.0) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("backend_name", ["numpy"])
@given(motor_n=st.floats(-500, 500), load_n=st.floats(-500, 500), dq_m_s=st.floats(-0.3, 0.3))
def test_a_screw_takes_energy_and_never_gives_any(
    backend_name: str, motor_n: float, load_n: float, dq_m_s: float
) -> None:
    """The friction's power is not positive beyond what brings the joint to rest within the tick."""
    cohort = linear(LeadScrew(lead_m=0.01, efficiency_forward=0.6, efficiency_backward=-0.5), backend_name)
    friction_n = force_n(cohort, motor_n, load_n, dq_m_s) - motor_n - load_n
    after_m_s = dq_m_s + 0.002 * (motor_n + load_n) / 5.0

    assert friction_n * after_m_s <= 1e-9
    assert abs(friction_n) <= abs(after_m_s) * 5.0 / 0.002 + 1e-9


def test_a_linear_joint_has_its_motors_power() -> None:
    """Force times speed is torque times speed, at the knee and in the gains; 2 m of screw felt as mass."""
    screw = LeadScrew(lead_m=0.01, efficiency_forward=0.9, efficiency_backward=0.88)
    motor = joint("motor", v_knee_rad_s=100.0, v_noload_rad_s=300.0, tau_max_nm=2.0)
    made = screw.linear_joint(motor, name="lift", q_min_m=0.0, q_max_m=0.3)

    assert made.tau_max_nm == pytest.approx(2.0 * 2.0 * math.pi / 0.01)
    assert made.v_noload_rad_s == pytest.approx(300.0 * 0.01 / (2.0 * math.pi))
    assert made.tau_max_nm * (made.v_knee_rad_s or 0.0) == pytest.approx(200.0)
    assert made.kp_nm_rad * 0.01**2 == pytest.approx(motor.kp_nm_rad * (2.0 * math.pi) ** 2)
    assert (made.q_min_rad, made.q_max_rad) == (0.0, 0.3)
    assert screw.reflected_mass_kg(1e-5) == pytest.approx(1e-5 * (2.0 * math.pi / 0.01) ** 2)
    with pytest.raises(SpecError, match="q_min_rad"):
        screw.linear_joint(motor, name="lift", q_min_m=0.3, q_max_m=0.3)


def test_wrong_screws_are_refused_by_name(tmp_path: Path) -> None:
    good = {"lead_m": 0.01, "efficiency_forward": 0.9, "efficiency_backward": 0.8}
    for wrong in (
        {"lead_m": 0.0},
        {"efficiency_forward": 1.1},
        {"efficiency_forward": 0.0},
        {"efficiency_backward": 2},
    ):
        with pytest.raises(SpecError, match=next(iter(wrong))):
            LeadScrew(**{**good, **wrong})
    for wrong in ({"pitch_m": 0.0}, {"friction": -0.1}, {"starts": 0}, {"mean_diameter_m": math.nan}):
        with pytest.raises(SpecError, match=next(iter(wrong))):
            LeadScrew.of_thread(**{**SHIGLEY, **wrong})
    with pytest.raises(SpecError, match="in both directions"):
        LeadScrew.of_thread(pitch_m=0.1, mean_diameter_m=0.01, friction=0.5)
    file = tmp_path / "screw.toml"
    lines = (f'{name} = {{ value = {value}, source = "s" }}' for name, value in good.items())
    file.write_text("\n".join(("[lead_screw]", *lines)))

    assert load_actuator(file).lead_screw == LeadScrew(**good)
