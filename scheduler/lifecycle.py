"""The life cycles of jobs, attempts and leases, as tables. What is not in a table is an error and changes nothing.

A job waits (QUEUED) until its whole claim is granted; the grant makes an attempt and a lease. The attempt ends in one
of four ways; the job then ends too, or waits again. A lease ends in two steps, because a robot takes time to come to
rest: RELEASING after an orderly end, UNCERTAIN when its holder was lost; in both its units count as occupied until
their host confirms the stop.
"""

from enum import Enum, IntEnum

from palaestra.errors import PalaestraError


class JobState(IntEnum):
    QUEUED = 1
    GRANTED = 2
    RUNNING = 3
    CANCELLING = 4
    SUCCEEDED = 5
    FAILED = 6
    CANCELLED = 7

    @property
    def ended(self) -> bool:
        return self >= JobState.SUCCEEDED


class AttemptState(IntEnum):
    GRANTED = 1
    RUNNING = 2
    SUCCEEDED = 3
    FAILED = 4
    CANCELLED = 5
    LOST = 6

    @property
    def ended(self) -> bool:
        return self >= AttemptState.SUCCEEDED


class LeaseState(IntEnum):
    OFFERED = 1
    ACTIVE = 2
    RELEASING = 3
    RELEASED = 4
    UNCERTAIN = 5
    EXPIRED = 6

    @property
    def drives(self) -> bool:
        """Whether units may move under it."""
        return self in (LeaseState.OFFERED, LeaseState.ACTIVE)


class ReservationState(IntEnum):
    """PLANNED until its time comes, ACTIVE until it is over; the others are ends, each by its own step."""

    PLANNED = 1
    ACTIVE = 2
    ENDED = 3
    CANCELLED = 4
    UNUSED = 5

    @property
    def over(self) -> bool:
        return self >= ReservationState.ENDED


class Step(Enum):
    GRANT = "be granted"
    START = "start"
    SUCCEED = "succeed"
    FAIL = "fail"
    RETRY = "be tried again"
    CANCEL = "be cancelled"
    CANCELLED = "end as cancelled"
    LOSE = "be lost"
    REST = "come to rest"


JOB = {
    (JobState.QUEUED, Step.GRANT): JobState.GRANTED,
    (JobState.QUEUED, Step.CANCEL): JobState.CANCELLED,
    # Without a try: what it waits for will never come.
    (JobState.QUEUED, Step.FAIL): JobState.FAILED,
    (JobState.GRANTED, Step.START): JobState.RUNNING,
    (JobState.GRANTED, Step.CANCEL): JobState.CANCELLING,
    (JobState.GRANTED, Step.RETRY): JobState.QUEUED,
    (JobState.GRANTED, Step.FAIL): JobState.FAILED,
    (JobState.RUNNING, Step.SUCCEED): JobState.SUCCEEDED,
    (JobState.RUNNING, Step.FAIL): JobState.FAILED,
    (JobState.RUNNING, Step.RETRY): JobState.QUEUED,
    (JobState.RUNNING, Step.CANCEL): JobState.CANCELLING,
    # A job that ends by itself while it is being cancelled has ended by itself.
    (JobState.CANCELLING, Step.SUCCEED): JobState.SUCCEEDED,
    (JobState.CANCELLING, Step.FAIL): JobState.CANCELLED,
    (JobState.CANCELLING, Step.RETRY): JobState.CANCELLED,
    (JobState.CANCELLING, Step.CANCEL): JobState.CANCELLING,
    (JobState.CANCELLING, Step.CANCELLED): JobState.CANCELLED,
    # Asked for twice, for example because the first answer was lost.
    (JobState.CANCELLED, Step.CANCEL): JobState.CANCELLED,
}

ATTEMPT = {
    (AttemptState.GRANTED, Step.START): AttemptState.RUNNING,
    (AttemptState.GRANTED, Step.FAIL): AttemptState.FAILED,
    (AttemptState.GRANTED, Step.CANCELLED): AttemptState.CANCELLED,
    (AttemptState.GRANTED, Step.LOSE): AttemptState.LOST,
    (AttemptState.RUNNING, Step.SUCCEED): AttemptState.SUCCEEDED,
    (AttemptState.RUNNING, Step.FAIL): AttemptState.FAILED,
    (AttemptState.RUNNING, Step.CANCELLED): AttemptState.CANCELLED,
    (AttemptState.RUNNING, Step.LOSE): AttemptState.LOST,
}

LEASE = {
    (LeaseState.OFFERED, Step.START): LeaseState.ACTIVE,
    (LeaseState.OFFERED, Step.CANCELLED): LeaseState.RELEASING,
    (LeaseState.OFFERED, Step.FAIL): LeaseState.RELEASING,
    (LeaseState.OFFERED, Step.LOSE): LeaseState.UNCERTAIN,
    (LeaseState.ACTIVE, Step.SUCCEED): LeaseState.RELEASING,
    (LeaseState.ACTIVE, Step.FAIL): LeaseState.RELEASING,
    (LeaseState.ACTIVE, Step.CANCELLED): LeaseState.RELEASING,
    (LeaseState.ACTIVE, Step.LOSE): LeaseState.UNCERTAIN,
    (LeaseState.RELEASING, Step.REST): LeaseState.RELEASED,
    (LeaseState.UNCERTAIN, Step.REST): LeaseState.EXPIRED,
}


def advance_job(state: JobState, step: Step) -> JobState:
    """Return the state after a step. Raises JOB_ENDED for an ended job, INTERNAL for any other missing step."""
    after = JOB.get((state, step))
    if after is None:
        reason = "JOB_ENDED" if state.ended else "INTERNAL"
        raise PalaestraError(reason, f"a job that is {state.name.lower()} cannot {step.value}")
    return after


def advance_attempt(state: AttemptState, step: Step) -> AttemptState:
    """Return the state after a step. Raises ATTEMPT_NOT_ACTIVE where the table has no such step."""
    after = ATTEMPT.get((state, step))
    if after is None:
        raise PalaestraError("ATTEMPT_NOT_ACTIVE", f"an attempt that is {state.name.lower()} cannot {step.value}")
    return after


def advance_lease(state: LeaseState, step: Step) -> LeaseState:
    """Return the state after a step. Raises LEASE_NOT_ACTIVE where the table has no such step."""
    after = LEASE.get((state, step))
    if after is None:
        raise PalaestraError("LEASE_NOT_ACTIVE", f"a lease that is {state.name.lower()} cannot {step.value}")
    return after
