"""What is told of a job's start, over generated venues; and how what was told is judged."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra import rules
from scheduler import answers, snapshot
from scheduler.calibration import JOBS_MIN, Calibration, Told, calibration
from scheduler.estimate import Effort, Ratios
from scheduler.explain import Explanation
from scheduler.forecast import Expectation, Forecast, Past, forecast
from scheduler.state import Claim, Config, Job, Lease, SimSlot, State, Unit, UnitRequest, Unnamed, Vendor
from tests.scheduler.deciding import decide
from tests.scheduler.test_decide import claims, venues
from tests.scheduler.test_ground import grounds

CONFIG = Config(hold_after_s=0.001)
LITTLE = Effort(futures=12, cycles_max=100)
HALVES = tuple(("acme", 0.5) for _ in range(30))
S = 1_000_000_000


def told(job: Job, state: State, past: Past | None = None) -> Forecast:
    return forecast(job, state, CONFIG, Ratios(HALVES), past or Past(), effort=LITTLE)


def renamed(state: State, names: dict[str, str]) -> State:
    return replace(
        state,
        jobs=tuple(replace(job, vendor=names[job.vendor]) for job in state.jobs),
        vendors=tuple(replace(vendor, vendor=names[vendor.vendor]) for vendor in state.vendors),
    )


@settings(max_examples=40)
@given(grounds())
def test_quantiles_are_in_order_and_changes_help(state: State) -> None:
    for job in state.jobs[:2]:
        found = told(job, state)
        expected = found.expectation

        assert expected is not None
        if expected.p50_s is not None and expected.p90_s is not None:
            assert 0 <= expected.p50_s <= expected.p90_s
        granted = any(grant.job == job.job for grant in decide(state, CONFIG).grants)
        assert expected.starts_now == granted == (not found.explanation.reasons)
        starts_ns = [one.start_ns for one in found.counterfactuals]
        assert starts_ns == sorted(starts_ns)
        assert not (granted and starts_ns)
        assert expected.planned_ns is None or all(start_ns < expected.planned_ns for start_ns in starts_ns)


@settings(max_examples=60)
@given(venues(age_max_s=60))
def test_a_change_that_is_told_to_start_now_is_granted(state: State) -> None:
    for job in state.jobs[:3]:
        for one in told(job, state).counterfactuals:
            if one.start_ns == state.now_ns:
                jobs = tuple(replace(other, claim=one.claim) if other is job else other for other in state.jobs)
                assert any(grant.job == job.job for grant in decide(replace(state, jobs=jobs), CONFIG).grants)


def test_what_should_have_ended_by_now_but_has_not_is_not_told_to_be_free_now() -> None:
    waiting = Job(2, "acme", Claim(sim_slots=2, duration_s=100.0), create_ns=0)
    state = State(0, slots=(SimSlot("s-0", False, 0),), vendors=(Vendor("acme"),), jobs=(waiting,))
    overdue = replace(state, slots=(), unnamed=Unnamed(2, ((0, 2),)), leases=(Lease(1, 1, "acme", 0, 0, slots=2),))

    assert [(one.start_ns, one.claim.sim_slots) for one in told(waiting, state).counterfactuals] == [(1, 1)]
    expected = told(waiting, overdue).expectation
    assert expected is not None
    assert (expected.starts_now, expected.planned_ns) == (False, 1)


@settings(max_examples=40)
@given(venues(age_max_s=60), st.sampled_from("xyz"))
def test_nothing_that_is_told_depends_on_the_names_of_others_or_holds_one(state: State, own: str) -> None:
    """Names decide ties alone, so the others keep their order."""
    names = {name: name if name == own else f"{name}-nemesis" for name in "xyz"}
    other = renamed(state, names)
    for job, alike in zip(state.jobs, other.jobs, strict=True):
        if job.vendor == own:
            found = told(alike, other)
            assert found == told(job, state)
            assert "nemesis" not in repr(found)


@given(claims)
def test_a_claim_as_it_is_told_is_read_as_the_same_claim(claim: Claim) -> None:
    message = answers.claim("hall", claim)
    rules.check(message)

    assert snapshot.claim_of(message) == claim


def test_a_wait_is_stretched_by_what_came_of_earlier_ones_and_p90_never_lies_before_p50() -> None:
    waiting = Job(2, "acme", Claim((UnitRequest(1),), duration_s=100.0))
    state = State(
        now_ns=0,
        units=(Unit("u", "m", free=False, end_ns=1_000 * S),),
        vendors=(Vendor("acme"),),
        jobs=(waiting,),
        leases=(Lease(1, 1, "acme", 0, 1_000 * S, ("u",)),),
    )
    plain = told(waiting, state).expectation
    twice = told(waiting, state, Past([(440.0, 940.0)] * 40, [(440.0, 40.0)] * 40)).expectation

    assert plain is not None
    assert (plain.planned_ns, plain.p50_s, plain.p90_s) == (1_000 * S, 500.0, 500.0)
    assert twice is not None
    assert (twice.raw_p50_s, twice.p50_s) == (500.0, pytest.approx(2 * 560 - 60))
    assert twice.p90_s == twice.p50_s


def test_where_no_time_is_left_what_is_certain_is_told() -> None:
    waiting = Job(2, "acme", Claim(sim_slots=2, duration_s=100.0))
    slots = (SimSlot("s-0"), SimSlot("s-1", False, 1_000 * S))
    state = State(0, slots=slots, vendors=(Vendor("acme"),), jobs=(waiting,))
    spent = iter((0.7, 0.7, 0.9, *[1.1] * 99))
    found = forecast(waiting, state, CONFIG, Ratios(), Past(), spent=lambda: next(spent))

    assert found.expectation == Expectation(0, False, 1_000 * S)
    assert [(one.start_ns, one.claim.sim_slots) for one in found.counterfactuals] == [(0, 1)]


def test_a_job_that_is_not_looked_at_yet_starts_no_sooner_than_it_is() -> None:
    found = Forecast(Explanation("", 0, (), 0), Expectation(10 * S, False, 20 * S, 5.0, 50.0, 5.0, 50.0))
    message = answers.start("hall", found, Calibration(), not_before_ns=30 * S)

    assert message is not None
    assert [time.seconds for time in (message.planned_time, message.p50_time, message.p90_time)] == [30, 30, 60]
    assert answers.start("hall", Forecast(found.explanation), Calibration()) is None


def test_a_job_that_waits_longer_than_told_counts_before_it_starts() -> None:
    held = [Told(10.0, 40.0, 5.0)] * (JOBS_MIN - 1)
    late, early = Told(10.0, 40.0, 100.0, started=False), Told(10.0, 40.0, 30.0, started=False)

    assert calibration([*held, early]).jobs == 0
    found = calibration([*held, early, late])
    assert found.jobs == JOBS_MIN
    assert found.p90_held == found.p50_held == pytest.approx(1 - 1 / JOBS_MIN)
