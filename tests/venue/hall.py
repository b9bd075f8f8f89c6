"""Small builders for the demo's tests: units, jobs and outcomes as the API gives them."""

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from palaestra.v1 import job_pb2, venue_pb2
from venue.outcome import Outcome
from venue.plan import DemoJob, plan

VENDORS = ("acme", "bolt", "core")
OWN = {"own_humanoid": "humanoid", "own_quadruped": "quadruped", "own_arm": "arm"}
REAL = {"unitree_g1": "humanoid", "unitree_go1": "quadruped", "franka_panda": "arm"}


def units(models: dict[str, str], count: int = 2) -> list[venue_pb2.Unit]:
    return [
        venue_pb2.Unit(
            name=f"venues/hall/units/{model}-{number}", robot_model=model, robot_class=kind, maker=f"{model}'s maker",
            state=venue_pb2.UNIT_STATE_IDLE,
        )
        for model, kind in models.items()
        for number in range(count)
    ]  # fmt: skip


def at(seconds: float) -> Timestamp:
    return Timestamp(seconds=1_000_000 + int(seconds), nanos=int(seconds % 1 * 1e9))


def attempt(number: int, start_s: float, end_s: float, *resources: str, **fields: Any) -> job_pb2.Attempt:
    given: dict[str, Any] = {"state": job_pb2.ATTEMPT_STATE_SUCCEEDED}
    return job_pb2.Attempt(
        number=number, grant_time=at(start_s), start_time=at(start_s), end_time=at(end_s), resources=resources,
        **(given | fields),
    )  # fmt: skip


def ended(planned: DemoJob, *attempts: job_pb2.Attempt, **fields: Any) -> job_pb2.Job:
    """The job as it is when all went well, with what the case changes."""
    job = job_pb2.Job()
    job.CopyFrom(planned.job)
    job.state = job_pb2.JOB_STATE_CANCELLED if planned.gets_cancelled else job_pb2.JOB_STATE_SUCCEEDED
    job.create_time.CopyFrom(at(0.0))
    job.grant_time.CopyFrom(at(2.0))
    # As the API gives them: the newest first.
    job.attempts.extend(reversed(attempts or (attempt(1, 2.0, 5.0, "dog-3"),)))
    if job.WhichOneof("work") == "train":
        job.result.return_before, job.result.return_after = 1.0, 2.0
        job.result.return_curve.extend([1.5, 2.0])
    job.MergeFrom(job_pb2.Job(**fields))
    return job


def broken(start_s: float, end_s: float, unit: str) -> job_pb2.Attempt:
    failure = job_pb2.Failure(reason="UNIT_FAULT", message=f"{unit} broke", retryable=True)
    return attempt(1, start_s, end_s, unit, state=job_pb2.ATTEMPT_STATE_FAILED, failure=failure)


def good_outcome(**changes: Any) -> Outcome:
    """A demo in which everything went as it should."""
    everything = plan(units(OWN), VENDORS)
    jobs = {
        planned.key: ended(planned, broken(2.0, 4.0, "dog-1"), attempt(2, 4.5, 9.0, "dog-2"))
        if planned.gets_fault
        else ended(planned)
        for planned in everything
    }
    given: dict[str, Any] = {
        "venue": venue_pb2.Venue(name="venues/hall", display_name="Hall", cell_count=5, sim_slot_count=2),
        "units": units(OWN),
        "planned": everything,
        "jobs": jobs,
        "usage": [],
        "faulted_unit": "venues/hall/units/dog-1",
        "cancel_took_s": 0.4,
    }
    return Outcome(**(given | changes))
