"""Jobs on which deciding fails: found, and no others."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from scheduler.standing import Standing
from scheduler.state import Claim, Job, State
from scheduler.suspects import ASIDE_NS, SOUGHT_MAX, Aside, suspects

JOBS = tuple(
    Job(number, "acme", Claim(sim_slots=1 + number % 7, duration_s=60.0), create_ns=number) for number in range(40)
)


def failing_on(bad: Callable[[Job], bool]) -> Callable[[Standing], None]:
    def decide(standing: Standing) -> None:
        if any(bad(job) for job in standing.queue.jobs.values()):
            raise ValueError("no decision")

    return decide


@given(st.sets(st.integers(0, 39), max_size=SOUGHT_MAX))
def test_single_jobs_are_found_and_no_others(bad: set[int]) -> None:
    found = suspects(State(0, jobs=JOBS), failing_on(lambda job: job.job in bad))

    alike = [job.claim for job in JOBS if job.job in bad]
    if len(set(alike)) == len(alike):
        assert {job.job for job in found.jobs} == bad
    assert bad <= {job.job for job in found.jobs}
    assert {job.claim for job in found.jobs} == set(alike)
    assert found.suffice


@given(st.integers(1, 7))
def test_a_claim_is_condemned_by_its_second_job_and_keeps_later_ones_out(slots: int) -> None:
    found = suspects(State(0, jobs=JOBS), failing_on(lambda job: job.claim.sim_slots == slots))
    later = replace(JOBS[slots - 1], job=99)
    aside = Aside()
    aside.put(found, 5)
    standing = Standing.of(State(0, jobs=(*JOBS, later)))

    assert {job.job for job in found.jobs} == {job.job for job in JOBS if job.claim.sim_slots == slots}
    assert found.suffice and found.claims == {later.claim}
    assert {job.job for job in aside.of(standing, 6)} == {job.job for job in found.jobs} | {99}
    assert aside.of(standing, 5 + ASIDE_NS) == []


def test_two_that_fail_only_together_are_parted() -> None:
    def decide(standing: Standing) -> None:
        if {3, 30} <= standing.queue.jobs.keys():
            raise ValueError("no decision")

    found = suspects(State(0, jobs=JOBS), decide)
    assert [job.job for job in found.jobs] == [30] and found.suffice


def test_where_more_is_wrong_than_is_sought_at_once_that_is_said() -> None:
    jobs = tuple(
        Job(number, "acme", Claim(sim_slots=1 + number, duration_s=60.0), create_ns=number) for number in range(9)
    )
    found = suspects(State(0, jobs=jobs), failing_on(lambda job: True))

    assert len(found.jobs) == SOUGHT_MAX and not found.suffice


def test_no_job_is_suspected_where_deciding_fails_without_any_or_not_at_all() -> None:
    def always(standing: Standing) -> None:
        raise ValueError("no decision")

    assert not suspects(State(0, jobs=JOBS), always).suffice
    found = suspects(State(0, jobs=JOBS), lambda standing: None)
    assert found.jobs == () and found.suffice
