"""Training: the arithmetic, and that it goes on where it was cut."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from palaestra import jobs
from palaestra.v1 import job_pb2
from runner.errors import AttemptError, Stopped
from runner.policy import STD_MIN, LinearPolicy
from runner.train import Statistics, train, update
from tests.runner.desk import Desk, attempt_at

BLOCKS = st.lists(
    st.integers(0, 6).flatmap(lambda n: arrays.arrays(np.float64, (n, 3), elements=st.floats(-1e3, 1e3))), max_size=6
)
JOB = jobs.train("reach", "own_arm", iterations=3, directions=2, seed=5)


@pytest.fixture(autouse=True)
def _few_worlds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough worlds to tell curves apart, and no more."""
    monkeypatch.setattr("runner.train.JUDGE_WORLDS", 2)


@given(BLOCKS)
def test_statistics_of_batches_are_those_of_all_of_it(blocks: list[np.ndarray]) -> None:
    seen = Statistics.empty(3)
    for block in blocks:
        seen.add(block)

    everything = np.concatenate([np.empty((0, 3)), *blocks])
    assert seen.count == len(everything)
    if len(everything) > 1:
        assert seen.mean == pytest.approx(everything.mean(axis=0), abs=1e-9)
        assert seen.std == pytest.approx(np.maximum(everything.std(axis=0), STD_MIN), rel=1e-6, abs=1e-6)


def test_updates_climb_a_quadratic() -> None:
    """Return -|w - goal|^2: hundred steps bring a distance of 2.2 below a tenth of it."""
    rng = np.random.default_rng(1)
    goal = np.array([[1.0, -2.0]])
    weights = np.zeros_like(goal)
    for _ in range(100):
        directions = rng.standard_normal((8, 1, 2))
        plus, minus = (-((weights + sign * 0.05 * directions - goal) ** 2).sum(axis=(1, 2)) for sign in (1, -1))
        weights = update(weights, directions, plus, minus, top=4, step_size=0.05)

    assert np.linalg.norm(weights - goal) < 0.1 * np.linalg.norm(goal)


def test_returns_that_are_all_equal_move_nothing() -> None:
    weights = np.ones((1, 2))
    same = np.zeros(4)

    after = update(weights, np.ones((4, 1, 2)), same, same, top=2, step_size=1.0)

    assert after is weights


def test_only_the_best_directions_count() -> None:
    directions = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    plus, minus = np.array([5.0, 1.0]), np.array([-5.0, -1.0])

    after = update(np.zeros((1, 2)), directions, plus, minus, top=1, step_size=1.0)

    # Deviation of (5, -5) is 5, difference is 10.
    assert after.tolist() == [[2.0, 0.0]]


def test_an_attempt_that_goes_on_gives_the_same_curve_and_policy_to_the_last_bit(tmp_path: Path) -> None:
    """Three iterations at one go, and three that are cut during the second: the same bytes."""
    whole_desk, cut_desk = Desk(), Desk()
    whole = train(attempt_at(whole_desk, tmp_path, JOB))
    first = attempt_at(cut_desk, tmp_path, JOB)
    saves = 0

    def cut(method: str) -> None:
        nonlocal saves
        saves += method == "SaveCheckpoint"
        if saves == 2 and method == "SaveCheckpoint":
            cut_desk.refuse = "ATTEMPT_NOT_ACTIVE"

    cut_desk.on_call = cut
    with pytest.raises(Stopped):
        train(first)
    cut_desk.refuse, cut_desk.on_call = "", lambda method: None
    second = train(attempt_at(cut_desk, tmp_path, JOB, number=2))

    assert any("goes on after iteration 1 " in line for line in cut_desk.log)
    assert len(whole.return_curve) == 3
    assert list(second.return_curve) == list(whole.return_curve)
    assert (second.return_before, second.policy.sha256) == (whole.return_before, whole.policy.sha256)


def test_another_seed_gives_another_curve(tmp_path: Path) -> None:
    other = jobs.train("reach", "own_arm", iterations=1, directions=2, seed=6)
    curves = [list(train(attempt_at(Desk(), tmp_path, job)).return_curve) for job in (JOB, other)]

    assert curves[0][0] != curves[1][0]


def test_what_was_trained_is_a_policy_of_its_task(desk: Desk, tmp_path: Path) -> None:
    attempt = attempt_at(desk, tmp_path, JOB)
    result = train(attempt)

    policy = LinearPolicy.from_json(attempt.fetch(result.policy))
    assert (policy.task, policy.robot_model) == ("reach", "own_arm")
    assert np.abs(policy.weights).max() > 0.0
    assert desk.progress[-1].fraction == 1.0


def test_a_broken_checkpoint_ends_the_job(desk: Desk, tmp_path: Path) -> None:
    desk.checkpoint = attempt_at(desk, tmp_path, JOB).keep(b'{"kind": "x"}', "application/json")

    with pytest.raises(AttemptError, match="checkpoint") as refused:
        train(attempt_at(desk, tmp_path, JOB, number=2))
    assert not refused.value.retryable


@pytest.mark.parametrize(
    ("job", "reason"),
    [(jobs.train("dance", "own_arm"), "UNKNOWN_WORK"), (jobs.train("reach", "robby"), "UNKNOWN_WORK")],
    ids=["task", "robot"],
)
def test_an_unknown_task_or_robot_is_refused_for_good(
    desk: Desk, tmp_path: Path, job: job_pb2.Job, reason: str
) -> None:
    with pytest.raises(AttemptError) as refused:
        train(attempt_at(desk, tmp_path, job))

    assert (refused.value.reason, refused.value.retryable) == (reason, False)
