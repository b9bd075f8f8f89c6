"""What one vendor may take of the service, so that others get theirs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.errors import PalaestraError
from palaestra.v1 import job_array_service_pb2, job_service_pb2
from scheduler.rates import JOBS_MAX, JOBS_PER_COST, MethodClass, Rate, Rates, class_of, cost_of
from scheduler.roles import ROLES

CALLS = st.lists(st.tuples(st.floats(0.0, 5.0), st.integers(1, 30)), max_size=60)


def refusal(rates: Rates, cost: int, now_s: float) -> PalaestraError | None:
    try:
        rates.take("acme", MethodClass.SUBMIT, cost, now_s)
    except PalaestraError as error:
        return error
    return None


def takes(rates: Rates, cost: int, now_s: float) -> bool:
    refused = refusal(rates, cost, now_s)
    assert refused is None or (refused.reason == "RATE_LIMITED" and (refused.retry_after_s or 0) > 0)
    return refused is None


@given(CALLS, st.floats(0.5, 50.0), st.floats(0.1, 5.0))
def test_nobody_takes_more_than_a_burst_and_the_rate_since(
    calls: list[tuple[float, int]], per_s: float, burst_s: float
) -> None:
    """Over any number of calls; the last of them may leave a debt, and nothing is let in before that is paid."""
    rates, now_s, taken, largest = Rates(Rate(per_s, burst_s)), 0.0, 0, 0
    for wait_s, cost in calls:
        now_s += wait_s
        if takes(rates, cost, now_s):
            taken, largest = taken + cost, max(largest, cost)

    assert taken <= max(1.0, per_s * burst_s) + per_s * now_s + largest + 1e-6


@given(CALLS, st.floats(0.5, 50.0))
def test_who_comes_again_when_told_is_let_in(calls: list[tuple[float, int]], per_s: float) -> None:
    rates, now_s = Rates(Rate(per_s, 1.0)), 0.0
    for wait_s, cost in calls:
        now_s += wait_s
        refused = refusal(rates, cost, now_s)
        if refused is not None:
            now_s += (refused.retry_after_s or 0.0) + 1e-6
            rates.take("acme", MethodClass.SUBMIT, cost, now_s)


def test_vendors_and_classes_have_buckets_of_their_own() -> None:
    rates = Rates(Rate(per_s=1.0, burst_s=1.0))
    rates.take("acme", MethodClass.SUBMIT, 1, 0.0)

    assert not takes(rates, 1, 0.0)
    rates.take("acme", MethodClass.CHANGE, 1, 0.0)
    rates.take("rival", MethodClass.SUBMIT, 1, 0.0)


def test_what_is_under_way_is_bounded_for_each_vendor_and_given_back() -> None:
    rates = Rates(Rate(under_way_max=10))
    rates.begin("acme", MethodClass.SUBMIT, 7)
    rates.begin("acme", MethodClass.SUBMIT, 3)
    with pytest.raises(PalaestraError) as caught:
        rates.begin("acme", MethodClass.SUBMIT, 1)
    assert (caught.value.reason, caught.value.retry_after_s) == ("RATE_LIMITED", 0.05)
    rates.begin("rival", MethodClass.SUBMIT, 1)
    with pytest.raises(PalaestraError):
        rates.begin("acme", MethodClass.READ, 1)

    rates.end("acme", MethodClass.SUBMIT, 7)
    rates.begin("acme", MethodClass.SUBMIT, 7)


def test_what_is_taken_back_or_changed_does_not_wait_for_a_flood_of_submissions() -> None:
    rates = Rates(Rate(under_way_max=2))
    rates.begin("acme", MethodClass.SUBMIT, 2)
    rates.begin("acme", MethodClass.CHANGE, 2)
    with pytest.raises(PalaestraError):
        rates.begin("acme", MethodClass.CHANGE, 1)

    rates.end("acme", MethodClass.CHANGE, 2)
    rates.begin("acme", MethodClass.CHANGE, 1)
    with pytest.raises(PalaestraError):
        rates.begin("acme", MethodClass.SUBMIT, 1)


def test_one_call_alone_is_let_in_however_much_it_costs() -> None:
    rates = Rates(Rate(under_way_max=1))
    rates.begin("acme", MethodClass.SUBMIT, 40)
    rates.end("acme", MethodClass.SUBMIT, 40)
    rates.begin("acme", MethodClass.SUBMIT, 40)


def test_a_call_costs_by_its_jobs_and_no_more_than_the_largest_that_could_be_right() -> None:
    one = job_service_pb2.SubmitJobRequest()
    assert cost_of(one) == 1
    assert cost_of(job_service_pb2.BatchSubmitJobsRequest(requests=[one] * 100)) == 1 + 100 // JOBS_PER_COST
    for size, cost in ((-(2**31), 1), (50, 1 + 50 // JOBS_PER_COST), (2**31 - 1, 1 + JOBS_MAX // JOBS_PER_COST)):
        assert cost_of(job_array_service_pb2.SubmitJobArrayRequest(size=size)) == cost


def test_every_method_has_the_class_that_its_verb_says() -> None:
    classes = {method: class_of(method) for method in ROLES}

    assert classes["JobService/BatchSubmitJobs"] is MethodClass.SUBMIT
    assert classes["JobService/CancelJob"] is MethodClass.CHANGE
    assert classes["VenueService/WatchEvents"] is MethodClass.READ
    assert {method for method, found in classes.items() if found is MethodClass.SUBMIT} == {
        "ApiKeyService/CreateApiKey", "CalendarService/CreateClosure", "DataService/CreateDataset",
        "DataService/CreateDatasetVersion", "JobArrayService/SubmitJobArray",
        "JobService/BatchSubmitJobs", "JobService/SubmitJob", "JobService/WhatIf",
        "ReservationService/CreateReservation",
    }  # fmt: skip
