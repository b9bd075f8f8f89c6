"""Small robots for tests: what a case does not care about stays here."""

from typing import Any

import numpy as np

from controller import Cohort, JointSpec, RobotSpec

PERIOD_S = 0.002


def joint(name: str = "knee", **changes: Any) -> JointSpec:
    """A joint with a range of +-2 rad and 100 N m."""
    numbers: dict[str, Any] = {
        "q_min_rad": -2.0, "q_max_rad": 2.0, "dq_max_rad_s": 20.0, "tau_max_nm": 100.0, "tau_rate_nm_s": 2e4,
        "kp_nm_rad": 20.0, "kd_nms_rad": 2.0, "v_knee_rad_s": 10.0, "v_noload_rad_s": 30.0,
    }  # fmt: skip
    return JointSpec(name=name, **(numbers | changes))


def robot(joints: int = 3, *, robot_model: str = "own_arm", **changes: Any) -> RobotSpec:
    """A robot whose joints differ, so that a mixed-up row shows."""
    made = tuple(
        joint(f"joint_{i}", tau_max_nm=100.0 - 3.0 * i, q_max_rad=2.0 - 0.05 * i, kp_nm_rad=20.0 + i)
        for i in range(joints)
    )
    return RobotSpec(robot_model=robot_model, joints=made, **changes)


def running(spec: RobotSpec, units: int = 1, **options: Any) -> Cohort:
    """A cohort whose units hold their position 0."""
    cohort = Cohort(spec, units, PERIOD_S, **options)
    for unit in range(units):
        cohort.arm(unit)
        cohort.set_target(unit)
    cohort.step()
    return cohort


def keep_commanding(cohort: Cohort, ticks: int) -> None:
    """Step with a fresh, unchanged command in each tick."""
    for _ in range(ticks):
        cohort.submit()
        cohort.step()


def same_bits(a: Any, b: Any) -> bool:
    """Equal as bytes: tells -0.0 from 0.0 and takes NaN as equal to itself."""
    return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()
