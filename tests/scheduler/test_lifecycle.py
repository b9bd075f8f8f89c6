"""The life cycles as tables."""

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import pytest

from palaestra.errors import PalaestraError
from palaestra.v1 import job_pb2, venue_pb2
from scheduler import lifecycle
from scheduler.lifecycle import AttemptState, JobState, LeaseState, Step

CYCLES = [
    (JobState, lifecycle.JOB, lifecycle.advance_job, JobState.QUEUED),
    (AttemptState, lifecycle.ATTEMPT, lifecycle.advance_attempt, AttemptState.GRANTED),
    (LeaseState, lifecycle.LEASE, lifecycle.advance_lease, LeaseState.OFFERED),
]
Table = dict[tuple[Any, Step], Any]


@pytest.mark.parametrize(("states", "table", "advance", "first"), CYCLES)
def test_a_step_is_taken_if_the_table_has_it_and_refused_if_not(
    states: type[IntEnum], table: Table, advance: Callable[[Any, Step], Any], first: Any
) -> None:
    for state in states:
        for step in Step:
            if (state, step) in table:
                assert advance(state, step) is table[state, step]
            else:
                with pytest.raises(PalaestraError, match=state.name.lower()):
                    advance(state, step)


@pytest.mark.parametrize(("states", "table", "advance", "first"), CYCLES)
def test_every_state_can_be_reached(
    states: type[IntEnum], table: Table, advance: Callable[[Any, Step], Any], first: Any
) -> None:
    reached = {first}
    while more := {after for (before, _), after in table.items() if before in reached} - reached:
        reached |= more

    assert reached == set(states)


def test_nothing_comes_after_an_end() -> None:
    """Except that a cancelled job may be cancelled again."""
    again = (JobState.CANCELLED, Step.CANCEL)
    assert not any(state.ended and (state, step) != again for state, step in lifecycle.JOB)
    assert lifecycle.JOB[again] is JobState.CANCELLED
    assert not any(state.ended for state, _ in lifecycle.ATTEMPT)
    assert not any(state in (LeaseState.RELEASED, LeaseState.EXPIRED) for state, _ in lifecycle.LEASE)


@pytest.mark.parametrize(
    ("states", "contract"),
    [(JobState, job_pb2.JobState), (AttemptState, job_pb2.AttemptState), (LeaseState, venue_pb2.LeaseState)],
)
def test_the_numbers_are_those_of_the_contract(states: type[IntEnum], contract: Any) -> None:
    prefix = {JobState: "JOB_STATE_", AttemptState: "ATTEMPT_STATE_", LeaseState: "LEASE_STATE_"}[states]  # type: ignore[index]
    ours = {f"{prefix}{state.name}": state.value for state in states}

    assert ours == {name: number for name, number in contract.items() if number}
