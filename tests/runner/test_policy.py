"""Policies are data that anybody may have written."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from runner.errors import AttemptError
from runner.policy import STD_MIN, VALUE_MAX, LinearPolicy

NUMBERS = st.floats(-VALUE_MAX, VALUE_MAX)
GOOD: dict[str, Any] = {
    "kind": "linear",
    "task": "reach",
    "robot_model": "own_arm",
    "weights": [[0.5, -1.0]],
    "mean": [0.0, 0.1],
    "std": [1.0, 2.0],
}


@given(
    arrays.arrays(np.float64, (2, 3), elements=NUMBERS),
    arrays.arrays(np.float64, 3, elements=NUMBERS),
    arrays.arrays(np.float64, 3, elements=st.floats(STD_MIN, VALUE_MAX)),
)
def test_a_policy_comes_back_from_json_to_the_last_bit(weights: Any, mean: Any, std: Any) -> None:
    policy = LinearPolicy("reach", "own_arm", weights, mean, std)

    back = LinearPolicy.from_json(policy.to_json())

    assert (back.task, back.robot_model) == ("reach", "own_arm")
    for name in ("weights", "mean", "std"):
        assert getattr(back, name).tobytes() == getattr(policy, name).tobytes()


def test_a_policy_acts_on_normalised_observations() -> None:
    policy = LinearPolicy.from_json(json.dumps(GOOD).encode())

    actions = policy.act(np.array([[1.0, 0.1], [0.0, 2.1]]))

    assert actions.tolist() == [[0.5], [-1.0]]


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "pickle"},
        {"task": ["reach"]},
        {"robot_model": None},
        {"weights": [1.0, 2.0]},
        {"weights": [[1.0, 2.0], [3.0]]},
        {"weights": [[1.0, 2.0, 3.0]]},
        {"weights": "0.5"},
        {"weights": [[float("nan"), 0.0]]},
        {"weights": [[float("inf"), 0.0]]},
        {"weights": [[1e300, 0.0]]},
        {"weights": [[10**400, 0.0]]},
        {"mean": [0.0]},
        {"std": [0.0, 1.0]},
        {"std": [-1.0, 1.0]},
        {"std": [float("nan"), 1.0]},
        {"std": [float("inf"), 1.0]},
    ],
    ids=str,
)
def test_a_policy_with_a_wrong_field_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(AttemptError) as refused:
        LinearPolicy.from_json(json.dumps(GOOD | change).encode())

    assert (refused.value.reason, refused.value.retryable) == ("BROKEN_MODEL", False)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe", b"null", b"[]", b'"kind"', b"{}", b"[" * 100_000, b"\x80\x04K\x01."], ids=repr
)
def test_bytes_that_are_no_policy_are_refused(data: bytes) -> None:
    with pytest.raises(AttemptError, match="not a policy of ours"):
        LinearPolicy.from_json(data)


def test_a_policy_for_another_robot_or_shape_is_refused() -> None:
    policy = LinearPolicy.zero("reach", "own_arm", 4, 2)
    policy.check_fits("reach", "own_arm", 4, 2)

    for task, robot, obs, act in [("walk", "own_arm", 4, 2), ("reach", "x", 4, 2), ("reach", "own_arm", 5, 2)]:
        with pytest.raises(AttemptError, match="the policy is for task reach on own_arm"):
            policy.check_fits(task, robot, obs, act)
