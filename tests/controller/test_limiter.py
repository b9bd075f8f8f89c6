"""Targets that jump become targets that a joint can follow."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import CommandError, TargetLimiter

T = 0.002


def limiter(low: float = -2.0, high: float = 2.0, v: float = 3.0, a: float = 40.0) -> TargetLimiter:
    made = TargetLimiter(low, high, v, a, T)
    made.start(0.0)
    return made


def shortest_s(distance: float, v: float, a: float) -> float:
    """The time of a trapezoid from rest to rest: no law under these limits is faster."""
    if distance * a < v * v:
        return 2.0 * math.sqrt(distance / a)
    return distance / v + v / a


finite = st.floats(-3.0, 3.0)
limits = st.tuples(st.floats(0.05, 50.0), st.floats(0.1, 2000.0))


@given(st.lists(st.tuples(finite, st.integers(1, 60)), min_size=1, max_size=8), limits, st.floats(-2.5, 2.5))
@settings(max_examples=50, deadline=None)
def test_whatever_the_targets_do_no_limit_is_exceeded(
    moves: list[tuple[float, int]], limit: tuple[float, float], speed: float
) -> None:
    v, a = limit
    made = TargetLimiter(-2.0, 2.0, v, a, T)
    made.start(0.3, speed)
    q, dq = made.q_ref, made.dq_ref
    for target, ticks in moves:
        for _ in range(ticks):
            q_next, dq_next = made.step(target)

            assert -2.0 <= q_next <= 2.0
            assert abs(dq_next) <= v
            assert abs(dq_next - dq) <= a * T * (1 + 1e-9) + 1e-12
            assert q_next - q == pytest.approx(0.5 * T * (dq + dq_next), abs=1e-9 * a * T * T + 1e-14)
            q, dq = q_next, dq_next


@given(st.floats(-2.0, 2.0), st.floats(-2.0, 2.0), limits)
@settings(max_examples=30, deadline=None)
def test_it_arrives_exactly_without_passing_and_hardly_later_than_the_fastest_possible(
    start: float, target: float, limit: tuple[float, float]
) -> None:
    v, a = max(limit[0], 2.0), max(limit[1], 10.0)
    made = TargetLimiter(-2.0, 2.0, v, a, T)
    made.start(start)
    best_s = shortest_s(abs(target - start), v, a)
    side = math.copysign(1.0, target - start)
    ticks = 0
    while (made.q_ref, made.dq_ref) != (target, 0.0):
        made.step(target)
        ticks += 1
        assert side * (target - made.q_ref) >= -1e-12
        assert ticks * T <= best_s + 4 * T, "later than the trapezoid"

    assert ticks * T >= best_s - 1e-9, "nothing is faster than the trapezoid"
    assert made.step(target) == (target, 0.0)


def test_joints_of_many_units_do_not_know_of_each_other() -> None:
    random = np.random.default_rng(3)
    targets = random.uniform(-2.0, 2.0, (29, 7))
    v, a = random.uniform(1.0, 9.0, (29, 1)), random.uniform(10.0, 90.0, (29, 1))
    together = TargetLimiter(-1.5, 1.5, v, a, T)
    together.start(np.zeros((29, 7)))
    alone = TargetLimiter(-1.5, 1.5, v[11, 0], a[11, 0], T)
    alone.start(0.0)
    for _ in range(300):
        q, _ = together.step(targets)
        q_alone, _ = alone.step(targets[11, 4])

    assert q[11, 4] == q_alone
    assert q.shape == (29, 7)


def test_a_target_that_turns_back_at_full_speed_is_braked_for_and_met() -> None:
    made = limiter()
    for _ in range(150):
        made.step(2.0)
    assert made.dq_ref == 3.0
    passed = float(made.q_ref)
    for _ in range(400):
        made.step(0.0)

    assert made.q_ref == 0.0 and made.dq_ref == 0.0
    assert passed > 0.0


def test_a_start_that_could_not_stop_inside_the_range_is_cut_to_one_that_can() -> None:
    made = TargetLimiter(-2.0, 2.0, 3.0, 10.0, T)
    made.start(1.999, 3.0)

    assert 0.0 < made.dq_ref < 0.2
    for _ in range(200):
        q, _ = made.step(5.0)
        assert q <= 2.0
    assert q == 2.0


def test_what_is_no_limit_and_no_target_is_refused_by_name() -> None:
    with pytest.raises(CommandError, match="q_min_rad"):
        TargetLimiter(1.0, 1.0, 1.0, 1.0, T)
    with pytest.raises(CommandError, match="dq_max_rad_s"):
        TargetLimiter(-1.0, 1.0, 0.0, 1.0, T)
    with pytest.raises(CommandError, match="ddq_max_rad_s2"):
        TargetLimiter(-1.0, 1.0, 1.0, [1.0, math.inf], T)
    with pytest.raises(CommandError, match="period_s"):
        TargetLimiter(-1.0, 1.0, 1.0, 1.0, -T)
    made = limiter()
    with pytest.raises(CommandError, match="numbers"):
        made.step(math.nan)
    with pytest.raises(CommandError, match="shape"):
        made.step([0.0, 1.0])
    with pytest.raises(CommandError, match="finite"):
        made.start(math.inf)
    pair = TargetLimiter([-1.0, -1.0], 1.0, 1.0, 1.0, T)
    with pytest.raises(CommandError, match="shape"):
        pair.step([0.0, 0.0, 0.0])
    assert made.step(math.inf)[0] > 0.0
