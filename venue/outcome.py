"""How a demo went: the facts, and whether they are as they should be."""

import time
from dataclasses import dataclass, field, replace

from google.protobuf.timestamp_pb2 import Timestamp

from palaestra.v1 import job_pb2, venue_pb2, venue_service_pb2
from venue.plan import DemoJob

CANCEL_MAX_S = 2.0


@dataclass(frozen=True)
class Outcome:
    """Everything the summary and the report show."""

    venue: venue_pb2.Venue
    units: list[venue_pb2.Unit]
    planned: list[DemoJob]
    jobs: dict[str, job_pb2.Job]
    usage: list[venue_service_pb2.VendorUsage]
    faulted_unit: str
    # From the cancel call to the job's end as seen through the API.
    cancel_took_s: float | None
    problems: list[str] = field(default_factory=list)


def judge(outcome: Outcome) -> Outcome:
    """Return the outcome with everything that is not as it should be."""
    problems = []
    for planned in outcome.planned:
        job = outcome.jobs.get(planned.key)
        wanted = job_pb2.JOB_STATE_CANCELLED if planned.gets_cancelled else job_pb2.JOB_STATE_SUCCEEDED
        if job is None:
            problems.append(f"{planned.key} was never submitted")
        elif job.state != wanted:
            state = job_pb2.JobState.Name(job.state)
            problems.append(f"{planned.key} is {state}: {job.failure.message or 'no failure given'}")
        elif planned.gets_fault:
            problems += _judge_fault(planned.key, job, outcome.faulted_unit)
        elif job.WhichOneof("work") == "train" and job.result.return_after <= job.result.return_before:
            problems.append(
                f"{planned.key} did not learn: return {job.result.return_before:.3f} before, "
                f"{job.result.return_after:.3f} after"
            )
    if not outcome.faulted_unit:
        problems.append("no unit was broken")
    if outcome.cancel_took_s is None:
        problems.append("no job was cancelled")
    elif outcome.cancel_took_s > CANCEL_MAX_S:
        problems.append(f"the cancel took {outcome.cancel_took_s:.1f} s, at most {CANCEL_MAX_S:.0f} s are promised")
    return replace(outcome, problems=problems)


def _judge_fault(key: str, job: job_pb2.Job, faulted_unit: str) -> list[str]:
    """Say what is wrong with how a job came through the fault of one of its units."""
    unit = faulted_unit.rpartition("/")[2]
    attempts = in_order(job)
    struck = [attempt for attempt in attempts if attempt.failure.reason == "UNIT_FAULT" and unit in attempt.resources]
    if not struck:
        found = ", ".join(attempt.failure.reason or "none" for attempt in attempts)
        return [f"{key} was to lose {unit or 'a robot'} by a fault; its attempts failed by: {found}"]
    if unit in attempts[-1].resources:
        return [f"{key} ended on {unit}, the unit that broke"]
    return []


def in_order(job: job_pb2.Job) -> list[job_pb2.Attempt]:
    """Return the job's attempts, the first one first."""
    return sorted(job.attempts, key=lambda attempt: attempt.number)


def seconds_between(start: Timestamp, end: Timestamp | None) -> float:
    """Return the time from start to end, or to now; 0 if it has not started."""
    if not start.seconds:
        return 0.0
    end_s = time.time() if end is None or not end.seconds else end.seconds + end.nanos / 1e9
    return end_s - (start.seconds + start.nanos / 1e9)


def waited_s(job: job_pb2.Job) -> float:
    """Return how long the job waited for its first grant, so far."""
    return seconds_between(job.create_time, job.grant_time)


def ran_s(job: job_pb2.Job) -> float:
    """Return how long the job's attempts ran, together and so far."""
    return sum(seconds_between(attempt.start_time, attempt.end_time) for attempt in job.attempts)
