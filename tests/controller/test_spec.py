"""Specifications are checked once, when they are made."""

import math
import pickle

import pytest

from controller import JointSpec, RobotSpec, SpecError
from tests.controller.robots import joint, robot

NUMBERS = (
    "q_min_rad", "q_max_rad", "dq_max_rad_s", "tau_max_nm", "tau_rate_nm_s", "kp_nm_rad", "kd_nms_rad",
    "v_knee_rad_s", "v_noload_rad_s",
)  # fmt: skip


@pytest.mark.parametrize("quantity", NUMBERS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, "1", True])
def test_a_number_that_is_not_finite_is_refused_by_joint_field_and_value(quantity: str, bad: object) -> None:
    with pytest.raises(SpecError) as refused:
        joint("left_knee", **{quantity: bad})

    assert "left_knee" in str(refused.value)
    assert quantity in str(refused.value)
    assert repr(bad) in str(refused.value)


@pytest.mark.parametrize("quantity", ["dq_max_rad_s", "tau_max_nm", "tau_rate_nm_s"])
@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_a_limit_must_be_positive(quantity: str, bad: float) -> None:
    with pytest.raises(SpecError, match=quantity):
        joint(**{quantity: bad})


@pytest.mark.parametrize(
    "contradiction",
    [
        {"q_min_rad": 2.0, "q_max_rad": 2.0},
        {"v_knee_rad_s": 30.0, "v_noload_rad_s": 30.0},
        {"v_knee_rad_s": None},
        {"v_noload_rad_s": None},
        {"kp_nm_rad": -1.0},
        {"kd_nms_rad": -0.1},
        {"name": ""},
        {"name": "left knee"},
        {"sources": {"tau_peak_nm": "a data sheet"}},
    ],
)
def test_numbers_that_contradict_each_other_are_refused(contradiction: dict[str, object]) -> None:
    with pytest.raises(SpecError):
        joint(**contradiction)


def test_a_joint_without_a_torque_speed_curve_is_fine() -> None:
    assert joint(v_knee_rad_s=None, v_noload_rad_s=None).v_noload_rad_s is None


def test_each_number_says_where_it_comes_from() -> None:
    made = joint(sources={"tau_max_nm": "data sheet, table 2", "*": "URDF"})

    assert made.source("tau_max_nm") == "data sheet, table 2"
    assert made.source("q_min_rad") == "URDF"
    assert joint().source("q_min_rad") is None


def test_a_robot_refuses_no_joints_twin_names_and_a_watchdog_of_zero() -> None:
    with pytest.raises(SpecError, match="empty"):
        RobotSpec(robot_model="arm", joints=())
    with pytest.raises(SpecError, match="'knee'"):
        RobotSpec(robot_model="arm", joints=(joint("knee"), joint("knee")))
    with pytest.raises(SpecError, match="watchdog_s = 0"):
        robot(watchdog_s=0.0)
    with pytest.raises(SpecError, match="overspeed_ratio"):
        robot(overspeed_ratio=0.9)


def test_a_spec_travels_between_processes() -> None:
    spec = robot()

    assert pickle.loads(pickle.dumps(spec)) == spec
    assert hash(spec) == hash(robot())
    assert isinstance(spec.joints[0], JointSpec)
