"""The table of health states, and when checks are due."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.errors import PalaestraError
from palaestra.v1 import venue_pb2
from scheduler.care import Care
from scheduler.health import HEALTH, ORDERED, Happening, Health, after, check_due, faults_are_many, serves

BY_PEOPLE = {
    Happening.SET_MAINTENANCE,
    Happening.SET_RETIRED,
    Happening.SET_BAD,
    Happening.RETURNED,
    Happening.VOUCHED,
}
H_NS = 3_600_000_000_000


def test_health_has_the_contracts_numbers() -> None:
    known = {name.removeprefix("UNIT_HEALTH_"): number for name, number in venue_pb2.UnitHealth.items() if number}
    assert known == {health.name: health.value for health in Health}


@given(st.sampled_from(Health), st.sampled_from(Happening))
def test_whatever_a_unit_does_by_itself_has_a_step_from_every_state(health: Health, happening: Happening) -> None:
    if happening not in BY_PEOPLE:
        assert after(health, happening) in Health


@given(st.lists(st.sampled_from([h for h in Happening if h not in BY_PEOPLE])))
def test_after_a_fault_only_a_passed_check_or_people_make_a_unit_serve_again(happenings: list[Happening]) -> None:
    health = after(Health.GOOD, Happening.FAULT)
    for happening in happenings:
        was, health = health, after(health, happening)
        if not serves(was, Care()) and serves(health, Care()):
            assert (was, happening) == (Health.SUSPECT, Happening.CHECK_PASSED)


@given(
    st.sampled_from([Health.BAD, Health.MAINTENANCE, Health.RETIRED]),
    st.lists(st.sampled_from([h for h in Happening if h not in BY_PEOPLE])),
)
def test_what_people_must_see_to_does_not_change_by_itself(health: Health, happenings: list[Happening]) -> None:
    state = health
    for happening in happenings:
        state = after(state, happening)
    assert state is health


def test_a_first_failed_check_makes_suspect_and_a_second_bad() -> None:
    first = after(Health.GOOD, Happening.CHECK_FAILED)
    assert (first, after(first, Happening.CHECK_FAILED)) == (Health.SUSPECT, Health.BAD)


def test_nobody_vouches_for_a_retired_unit() -> None:
    with pytest.raises(PalaestraError) as refused:
        after(Health.RETIRED, Happening.VOUCHED)
    assert refused.value.reason == "HEALTH_STEP_REFUSED"
    assert after(Health.RETIRED, Happening.RETURNED) is Health.SUSPECT


def test_every_order_leads_to_the_state_that_it_names() -> None:
    for wanted, happening in ORDERED.items():
        reached = {table[happening] for table in HEALTH.values() if happening in table}
        assert reached == {wanted}


def test_an_unknown_unit_serves_unless_the_venue_wants_it_checked() -> None:
    assert serves(Health.UNKNOWN, Care())
    assert not serves(Health.UNKNOWN, Care(check_unknown=True))
    assert check_due(Health.UNKNOWN, 0, 0.0, Care(check_unknown=True))
    assert not check_due(Health.UNKNOWN, 0, 0.0, Care())


@given(st.lists(st.integers(0, 100 * H_NS)), st.integers(0, 100 * H_NS), st.integers(1, 5))
def test_only_faults_within_the_window_count(faults: list[int], now_ns: int, faults_max: int) -> None:
    care = Care(faults_max=faults_max, faults_window_h=24.0)
    within = [at for at in faults if now_ns - 24 * H_NS < at <= now_ns]
    assert faults_are_many(faults, now_ns, care) == (len(within) >= faults_max)


@pytest.mark.parametrize(
    ("care", "jobs", "worked_s", "due"),
    [
        (Care(), 1000, 1e9, False),
        (Care(check_after_jobs=3), 2, 0.0, False),
        (Care(check_after_jobs=3), 3, 0.0, True),
        (Care(check_after_h=1.0), 0, 3599.0, False),
        (Care(check_after_h=1.0), 0, 3600.0, True),
    ],
)
def test_a_good_unit_is_checked_after_so_many_jobs_or_hours(care: Care, jobs: int, worked_s: float, due: bool) -> None:
    assert check_due(Health.GOOD, jobs, worked_s, care) is due
    assert not check_due(Health.BAD, jobs, worked_s, care)
    assert not check_due(Health.MAINTENANCE, jobs, worked_s, care)
