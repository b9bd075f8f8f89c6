"""LuGre friction against its analytic properties and against MuJoCo's own."""

import math

import numpy as np
import pytest

import controller
from controller import ActuatorPhysics, Cohort, Friction, JointPhysics, LeadScrew, LuGre, RobotSpec, SpecError
from tests.controller.robots import PERIOD_S, joint

BRISTLES = LuGre(stiffness_nm_rad=100.0, damping_nms_rad=1.0, coulomb_nm=0.2, static_nm=0.35, stribeck_speed_rad_s=0.1)
WIDE = {"q_min_rad": -100.0, "q_max_rad": 100.0, "dq_max_rad_s": 1000.0, "tau_rate_nm_s": 1e9}


def bristled(lugre: LuGre, backend: str, *, period_s: float = PERIOD_S, inertia_kg_m2: float = 1.0) -> Cohort:
    made = ActuatorPhysics(default=JointPhysics(lugre=lugre, inertia_kg_m2=inertia_kg_m2))
    spec = RobotSpec(robot_model="one", joints=(joint(**WIDE),), watchdog_s=1e6)
    cohort = Cohort(spec, 1, period_s, dtype=np.float64, physics=made, backend=backend)
    cohort.arm(0)
    cohort.set_target(0, kp=0.0, kd=0.0)
    return cohort


def friction_nm(cohort: Cohort, dq_rad_s: float, ticks: int = 1) -> float:
    for _ in range(ticks):
        cohort.dq[:] = dq_rad_s
        cohort.step()
    return float(cohort.tau[0, 0] - cohort.tau_joint[0, 0])


@pytest.mark.parametrize("dq_rad_s", [0.05, 0.5, -0.2, 3.0])
def test_sliding_steadily_the_bristles_brake_as_stribecks_curve_says(backend: str, dq_rad_s: float) -> None:
    """tau_c + (tau_s - tau_c) exp(-(v/v_s)^2), against the movement, plus the viscous part."""
    lugre = LuGre(**{**vars(BRISTLES), "stiffness_nm_rad": 2000.0, "viscous_nms_rad": 0.03})
    expected = 0.2 + 0.15 * math.exp(-((dq_rad_s / 0.1) ** 2)) + 0.03 * abs(dq_rad_s)

    assert friction_nm(bristled(lugre, backend), dq_rad_s, 80) == pytest.approx(
        math.copysign(expected, dq_rad_s), rel=1e-9
    )


def test_before_it_slips_a_joint_is_a_spring_of_the_bristles_stiffness(backend: str) -> None:
    """Moved by a hundredth of the way to slipping and held there: torque over way is the stiffness, within 3 %."""
    cohort = bristled(BRISTLES, backend)
    way_rad = 0.01 * BRISTLES.static_nm / BRISTLES.stiffness_nm_rad
    friction_nm(cohort, way_rad / (100 * PERIOD_S), 100)
    held_nm = friction_nm(cohort, 0.0, 2)

    assert held_nm / way_rad == pytest.approx(BRISTLES.stiffness_nm_rad, rel=0.03)
    assert friction_nm(cohort, 0.0, 100) == held_nm, "at rest the bristles keep their bending"


def test_a_joint_on_bristles_holds_below_and_slips_above_its_static_friction(backend: str) -> None:
    """A free mass, pushed: it comes to rest at push/stiffness, or keeps gathering speed."""

    def moved(push_nm: float) -> tuple[float, float]:
        cohort = bristled(LuGre(**{**vars(BRISTLES), "damping_nms_rad": 10.0}), backend)
        cohort.set_target(0, tau_ff=push_nm, kp=0.0, kd=0.0)
        q_rad = dq_rad_s = 0.0
        for _ in range(600):
            cohort.q[:], cohort.dq[:] = q_rad, dq_rad_s
            cohort.step()
            dq_rad_s += float(cohort.tau_joint[0, 0]) * PERIOD_S / 1.0
            q_rad += dq_rad_s * PERIOD_S
        return q_rad, dq_rad_s

    held_rad, held_rad_s = moved(0.02)
    _, slipped_rad_s = moved(0.5)
    assert held_rad == pytest.approx(0.02 / BRISTLES.stiffness_nm_rad, rel=0.1)
    assert abs(held_rad_s) < 1e-3
    assert slipped_rad_s > 0.25


def test_bristles_are_those_of_mujocos_dc_motor_to_first_order() -> None:
    """The same speeds, to and fro, through slip and stick, for MuJoCo's dcmotor and for us: the largest
    difference is small and halves with the time step."""
    mujoco = pytest.importorskip("mujoco")

    def largest_difference_nm(period_s: float) -> float:
        model = mujoco.MjModel.from_xml_string(
            f"""<mujoco><option timestep="{period_s}" gravity="0 0 0"><flag contact="disable"/></option>
            <worldbody><body><joint name="j"/><geom size=".1"/></body></worldbody><actuator>
            <dcmotor joint="j" motorconst="0.1" resistance="0.5" lugre="100 1 0.2 0.35 0.1"/></actuator></mujoco>"""
        )
        data = mujoco.MjData(model)
        cohort, worst_nm = bristled(BRISTLES, controller.backend(), period_s=period_s), 0.0
        for tick in range(round(1.0 / period_s)):
            dq_rad_s = 0.3 * math.sin(2.0 * math.pi * tick * period_s) ** 3
            data.qvel[0] = dq_rad_s
            mujoco.mj_step(model, data)
            mujocos_nm = -float(data.actuator_force[0]) - 0.1 * 0.1 * dq_rad_s / 0.5
            worst_nm = max(worst_nm, abs(friction_nm(cohort, dq_rad_s) - mujocos_nm))
        return worst_nm

    coarse_nm, fine_nm = largest_difference_nm(2e-3), largest_difference_nm(1e-3)
    assert coarse_nm < 0.05
    assert fine_nm == pytest.approx(0.5 * coarse_nm, rel=0.15)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e308])
def test_a_speed_that_cannot_be_leaves_bristles_and_torque_finite(backend: str, bad: float) -> None:
    cohort = bristled(BRISTLES, backend)
    friction_nm(cohort, 0.5, 10)
    for _ in range(3):
        cohort.dq[:] = bad
        cohort.step()
        assert np.isfinite(cohort.tau_joint).all()
    assert cohort.block.physics is not None
    assert np.isfinite(cohort.block.physics.bristle).all()


def test_bristles_that_the_period_cannot_carry_are_refused_and_the_limit_is_sharp() -> None:
    """A mass on bristles, simulated: just below the bound it comes to rest, beyond it, it does not."""
    inertia_kg_m2, damping_nms_rad = 0.01, 1.0
    bound = (4.0 - 2.0 * damping_nms_rad * PERIOD_S / inertia_kg_m2) * inertia_kg_m2 / PERIOD_S**2

    def stiff(share: float) -> LuGre:
        # So much Coulomb friction that nothing slips: the linear case that the bound is about.
        return LuGre(
            stiffness_nm_rad=share * bound, damping_nms_rad=damping_nms_rad, coulomb_nm=1e9, static_nm=1e9,
            stribeck_speed_rad_s=1.0,
        )  # fmt: skip

    with pytest.raises(SpecError, match="joint 'knee': lugre: too stiff"):
        bristled(stiff(1.01), "numpy", inertia_kg_m2=inertia_kg_m2)
    cohort = bristled(stiff(0.97), "numpy", inertia_kg_m2=inertia_kg_m2)
    dq_rad_s = 1e-3
    for _ in range(800):
        cohort.dq[:] = dq_rad_s
        cohort.step()
        dq_rad_s += float(cohort.tau_joint[0, 0]) * PERIOD_S / inertia_kg_m2
    assert abs(dq_rad_s) < 1e-6


def test_bristles_beside_another_friction_or_with_impossible_numbers_are_refused() -> None:
    with pytest.raises(SpecError, match="stands beside one"):
        JointPhysics(lugre=BRISTLES, friction=Friction(coulomb_nm=0.1))
    with pytest.raises(SpecError, match="stands beside one"):
        JointPhysics(lugre=BRISTLES, lead_screw=LeadScrew(lead_m=0.01, efficiency_forward=0.9, efficiency_backward=0.8))
    for wrong, reason in (
        ({"static_nm": 0.1}, "must not be below coulomb_nm"),
        ({"coulomb_nm": 0.0}, "coulomb_nm = 0.0: must be above 0"),
        ({"stiffness_nm_rad": math.inf}, "stiffness_nm_rad = inf: must be a finite number"),
        ({"viscous_nms_rad": -1.0}, "viscous_nms_rad = -1.0: must be finite and not negative"),
    ):
        with pytest.raises(SpecError, match=reason):
            LuGre(**{**vars(BRISTLES), **wrong})
