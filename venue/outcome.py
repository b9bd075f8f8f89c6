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
        elif planned.gets_fault and len(job.attempts) < 2:
            problems.append(f"{planned.key} was to lose a robot and be tried again, but was not")
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
