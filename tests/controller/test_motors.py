"""Torque-speed curves of motors whose makers or users published them."""

import numpy as np
import pytest

from controller import ActuatorPhysics, Friction, JointPhysics, RobotSpec
from tests.controller.robots import joint, running

WIDE = {"tau_rate_nm_s": 1e9, "q_min_rad": -100.0, "q_max_rad": 100.0, "dq_max_rad_s": 1000.0}


def test_the_cheetah_3_meets_its_published_torques(backend: str) -> None:
    """Cheetah-Software's ActuatorModel: gear 7.667, kt 0.266, 0.45 Ohm, 65 V, motor torque at most 27.2, damping
    0.1, dry friction 1, command 230 N m: 208.53 at rest (less our friction there), 162.6 at 10, 23.5 at 15 rad/s."""
    gear, kt = 7.667, 0.266
    slope, noload = gear * 1.5 * kt * (gear * kt * 2.0) / 0.45, 65.0 / (gear * kt * 2.0)
    most = 27.2 * gear
    curve = WIDE | {"tau_max_nm": most, "v_knee_rad_s": noload - most / slope, "v_noload_rad_s": noload}
    made = ActuatorPhysics(default=JointPhysics(friction=Friction(viscous_nms_rad=0.1, coulomb_nm=1.0)))
    spec = RobotSpec(robot_model="hip", joints=(joint(**curve),))
    cohort = running(spec, dtype=np.float64, physics=made, backend=backend)
    seen = []
    for dq_rad_s in (0.0, 10.0, 15.0):
        cohort.dq[:] = dq_rad_s
        cohort.set_target(0, tau_ff=230.0, kp=0.0, kd=0.0)
        cohort.step()
        seen.append(float(cohort.tau_joint[0, 0]))

    assert seen == pytest.approx([208.54 - 1.0, 162.6, 23.5], abs=0.06)


UNITREE = {
    "N7520-14.3": (22.63, 35.52, 71.0), "N7520-22.5": (14.5, 22.7, 111.0), "N5020-16": (30.86, 40.13, 24.8),
    "N5010-16": (27.0, 41.5, 9.5), "W4010-25": (15.3, 24.76, 4.8), "M107-15": (14.0, 25.6, 150.0),
    "M107-24": (8.8, 16.0, 240.0), "Go2HV": (13.5, 30.0, 20.2),
}  # fmt: skip


@pytest.mark.parametrize("name", UNITREE)
def test_unitrees_published_curves_hold_full_torque_to_their_knee_and_fall_to_zero(name: str, backend: str) -> None:
    """Driving side of the curves of Unitree's RL lab: speeds X1 and X2 [rad/s], torque Y1 [N m]; N7520-14.3 has
    35.913 N m at 29 rad/s. The braking side, Y2, is 8 to 79 % higher there: ours has one limit for both."""
    knee_rad_s, noload_rad_s, most_nm = UNITREE[name]
    curve = WIDE | {"tau_max_nm": most_nm, "v_knee_rad_s": knee_rad_s, "v_noload_rad_s": noload_rad_s}
    spec = RobotSpec(robot_model="unitree", joints=(joint(**curve),))
    cohort = running(spec, dtype=np.float64, backend=backend)

    def most(dq_rad_s: float) -> float:
        cohort.dq[:] = dq_rad_s
        cohort.set_target(0, tau_ff=1e4, kp=0.0, kd=0.0)
        cohort.step()
        return float(cohort.tau[0, 0])

    half_way = 0.5 * (knee_rad_s + noload_rad_s)
    expected = [most_nm, most_nm, 0.5 * most_nm, 0.0]
    assert [most(v) for v in (0.0, knee_rad_s, half_way, noload_rad_s)] == pytest.approx(expected, abs=1e-9)
    if name == "N7520-14.3":
        assert most(29.0) == pytest.approx(35.913, abs=5e-4)
