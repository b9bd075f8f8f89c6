"""Decayed use: the worked examples of HTCondor's and KAI's documentation, and what must hold of any mean."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.decay import HOUR_S, by_hour, decayed, mean_of_hours, normalised, remaining, weight

DAY_S = 86_400.0


def test_who_runs_nothing_is_forgiven_half_in_each_half_life() -> None:
    """HTCondor: priority 10 and no jobs is 5 after one day, 2.5 after two."""
    one = decayed(10.0, 0.0, DAY_S, DAY_S, floor=0.5)

    assert one == 5.0
    assert decayed(one, 0.0, DAY_S, DAY_S, floor=0.5) == 2.5


def test_a_hundred_cores_are_three_quarters_counted_after_two_half_lives() -> None:
    """HTCondor: 100 cores from t = 0 give about 75.0 at 48 h; exactly 75.125, as priorities start at 0.5."""
    assert decayed(0.5, 100.0, 2 * DAY_S, DAY_S, floor=0.5) == 75.125
    assert decayed(0.0, 100.0, 2 * DAY_S, DAY_S) == 75.0


def test_half_the_priority_means_twice_the_slots() -> None:
    """HTCondor: slots go in inverse proportion to effective priority, which is priority times factor: 5 gets twice what
    10 gets. Here the factor is one over the weight, and whoever stands better has the ground until he does not."""
    factors, means, given_s = (0.5, 1.0), [0.0, 0.0], [0.0, 0.0]
    for _ in range(20 * 24):
        best = min((0, 1), key=lambda n: means[n] * factors[n])
        given_s[best] += HOUR_S
        means = [decayed(mean, 30.0 * (n == best), HOUR_S, DAY_S) for n, mean in enumerate(means)]

    assert given_s[0] / given_s[1] == pytest.approx(2.0, rel=0.05)


def test_use_is_normalised_by_what_could_have_been_used() -> None:
    """KAI: 24 GPU hours of 10 GPUs over 10 hours are 0.24."""
    assert normalised(24 * HOUR_S, 10, 10 * HOUR_S) == 0.24
    assert normalised(0.0, 0, 10.0) == 0.0


def test_many_small_steps_are_one_large_one() -> None:
    mean = 0.0
    for _ in range(48 * 60):
        mean = decayed(mean, 7.0, 60.0, DAY_S)

    assert mean == pytest.approx(decayed(0.0, 7.0, 2 * DAY_S, DAY_S), rel=1e-12)


@pytest.mark.parametrize(("age_s", "half_life_s"), [(-1.0, 1.0), (1.0, 0.0), (1.0, -2.0), (1.0, math.nan)])
def test_times_that_cannot_be_are_refused(age_s: float, half_life_s: float) -> None:
    with pytest.raises(ValueError, match="half-life"):
        remaining(age_s, half_life_s)


spans_s = st.floats(0.0, 30 * DAY_S)


@given(start_s=spans_s, held_s=spans_s, rest_s=spans_s, half_life_s=st.floats(60.0, 30 * DAY_S))
def test_a_weight_is_the_law_applied_to_holding_and_then_resting(
    start_s: float, held_s: float, rest_s: float, half_life_s: float
) -> None:
    held = decayed(0.0, 1.0, held_s, half_life_s)
    rested = decayed(held, 0.0, rest_s, half_life_s)

    end_s = start_s + held_s
    assert weight(start_s, end_s, end_s + rest_s, half_life_s) == pytest.approx(rested, abs=1e-9)
    assert 0.0 <= rested <= 1.0


@given(start_ms=st.integers(0, 10**13), length_ms=st.integers(0, 8 * 86_400_000))
def test_hours_add_up_to_the_whole(start_ms: int, length_ms: int) -> None:
    parts = by_hour(start_ms, start_ms + length_ms)

    assert sum(ms for _, ms in parts) == length_ms
    assert all(0 < ms <= 3_600_000 for _, ms in parts)
    assert [hour for hour, _ in parts] == list(range(start_ms // 3_600_000, start_ms // 3_600_000 + len(parts)))


@given(
    start_ms=st.integers(0, 5 * 86_400_000),
    length_ms=st.integers(1, 5 * 86_400_000),
    rest_s=st.floats(0.0, 5 * DAY_S),
    half_life_s=st.floats(3600.0, 10 * DAY_S),
)
def test_an_account_by_the_hour_says_nearly_what_the_exact_times_say(
    start_ms: int, length_ms: int, rest_s: float, half_life_s: float
) -> None:
    end_ms = start_ms + length_ms
    now_s = end_ms / 1000 + rest_s
    hours = by_hour(start_ms, end_ms)
    mean = mean_of_hours([(hour, ms / 1000) for hour, ms in hours], now_s, half_life_s)

    exact = weight(start_ms / 1000, end_ms / 1000, now_s, half_life_s)
    assert mean == pytest.approx(exact, rel=1.0 / remaining(HOUR_S, half_life_s) - 1.0 + 1e-9)


@given(half_life_s=st.floats(3600.0, 10 * DAY_S), hours=st.integers(1, 500))
def test_the_mean_of_a_constant_comes_near_it_and_never_above(half_life_s: float, hours: int) -> None:
    mean = mean_of_hours([(hour, 4 * HOUR_S) for hour in range(hours)], hours * HOUR_S, half_life_s)

    assert mean == pytest.approx(decayed(0.0, 4.0, hours * HOUR_S, half_life_s))
    assert mean <= 4.0
