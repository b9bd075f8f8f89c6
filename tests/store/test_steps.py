"""The even step view."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import ACTION, BASE_POSE, STATE
from store.steps import METHODS, resample, step_times


@pytest.mark.parametrize("fps", [1, 10, 50, 100])
@pytest.mark.parametrize("start_s", [0.0, 0.013, 1e5])
def test_an_even_recording_at_a_multiple_of_the_rate_is_copied_exactly(fps: int, start_s: float) -> None:
    """Every 100/fps-th row of a 100 Hz recording, bit for bit, in spite of rounding of the times."""
    time_s = start_s + np.arange(1001) * 0.01
    values = np.random.default_rng(0).standard_normal((1001, 4)).round().astype(np.float32)
    at_s = step_times(time_s, fps)

    assert len(at_s) == 10 * fps + 1
    for signal in METHODS:
        wide = np.hstack([values, values])[:, :7] if signal == BASE_POSE else values
        assert np.array_equal(resample(signal, time_s, wide, at_s), wide[:: 100 // fps])


def test_positions_are_drawn_straight_and_commands_stay_in_force() -> None:
    """Between 0 s and 1 s: a quarter of the way, and still the old command."""
    time_s = np.array([0.0, 1.0, 3.0])
    values = np.array([[0.0], [4.0], [8.0]], np.float32)
    at_s = np.array([0.25, 1.0, 2.0])

    assert resample(STATE, time_s, values, at_s)[:, 0].tolist() == [1.0, 4.0, 6.0]
    assert resample(ACTION, time_s, values, at_s)[:, 0].tolist() == [0.0, 4.0, 4.0]


def test_an_orientation_turns_the_short_way_and_stays_a_rotation() -> None:
    """From q to a near rotation written as -q': the middle lies between, not at the antipode."""
    angle = 0.2
    start = np.array([0, 0, 0, 1, 0, 0, 0], np.float32)
    end = -np.array([0, 0, 0, np.cos(angle / 2), 0, 0, np.sin(angle / 2)], np.float32)
    end[:3] = 2.0

    middle = resample(BASE_POSE, np.array([0.0, 1.0]), np.stack([start, end]), np.array([0.5]))[0]

    assert np.allclose(middle[:3], 1.0)
    assert np.allclose(middle[3:], [np.cos(angle / 4), 0, 0, np.sin(angle / 4)], atol=1e-6)


def test_a_single_row_is_a_single_step() -> None:
    """An episode that ended at once."""
    at_s = step_times(np.array([3.0]), 50)

    assert at_s.tolist() == [3.0]
    assert resample(STATE, np.array([3.0]), np.array([[1.5]], np.float32), at_s).tolist() == [[1.5]]


@given(
    gaps_s=st.lists(st.floats(1e-4, 0.5), min_size=1, max_size=40),
    fps=st.integers(1, 200),
    seed=st.integers(0, 100),
)
def test_steps_are_even_within_the_recording_and_never_beyond_its_values(
    gaps_s: list[float], fps: int, seed: int
) -> None:
    """Any rising clock: steps cover it, values stay between the lowest and the highest sample."""
    time_s = np.concatenate([[0.0], np.cumsum(gaps_s)])
    values = np.random.default_rng(seed).standard_normal((len(time_s), 2)).astype(np.float32)

    at_s = step_times(time_s, fps)

    assert at_s[0] == 0.0
    assert np.allclose(np.diff(at_s), 1 / fps)
    assert at_s[-1] <= time_s[-1] + 1e-9
    assert at_s[-1] + 1 / fps > time_s[-1]
    for signal in (STATE, ACTION):
        steps = resample(signal, time_s, values, at_s)
        assert steps.shape == (len(at_s), 2)
        assert (steps >= values.min(axis=0)).all()
        assert (steps <= values.max(axis=0)).all()
