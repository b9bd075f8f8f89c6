"""What can be known of a submitted job before its transaction: read once, on the caller's time and not the writer's."""

import hashlib
from dataclasses import dataclass
from typing import Any

from palaestra.errors import PalaestraError
from palaestra.v1 import job_pb2, job_service_pb2
from scheduler.snapshot.queue import NO_DEADLINE_NS

OUTPUT_FIELDS = (
    "name", "state", "create_time", "grant_time", "start_time", "end_time", "attempts", "progress", "result",
    "failure", "episode_count", "etag", "sequence", "array", "array_index",
)  # fmt: skip
_OUTPUT_NUMBERS = frozenset(job_pb2.Job.DESCRIPTOR.fields_by_name[name].number for name in OUTPUT_FIELDS)
_NOT_PLAIN = frozenset(
    job_pb2.Job.DESCRIPTOR.fields_by_name[name].number for name in ("deadline", "after", "reservation", "sim_first")
)

# A job is kept for ever and goes with each of its events.
SPEC_BYTES_MAX = 64 * 1024


@dataclass(slots=True)
class Draft:
    """A job as it was submitted.

    Attributes:
        spec: The job without what only we may set. Not to be changed.
        body: Its bytes, which are kept.
        digest: What a repeat with the same request id must have too.
        places: The requests of the same batch that it comes after, by index.
        kind: Which work it is, None if it says none.
        alike: Jobs with the same are refused for the same reasons, as far as claim and work go.
        plain: Whether it names nothing that would have to be looked up: no time, job, policy or reservation.
        problem: Why it is refused before anything else is looked at.
    """

    spec: job_pb2.Job
    body: bytes
    digest: bytes
    request_id: str
    validate_only: bool
    places: tuple[int, ...]
    kind: str | None
    alike: tuple[object, ...]
    plain: bool
    problem: PalaestraError | None

    @property
    def deadline_ns(self) -> int:
        return self.spec.deadline.ToNanoseconds() if self.spec.HasField("deadline") else NO_DEADLINE_NS


def draft_of(request: job_service_pb2.SubmitJobRequest) -> Draft:
    """Return what a request asks for. The request's job loses what this version of the contract does not know."""
    spec, numbers = _spec_of(request.job)
    body, problem = spec.SerializeToString(deterministic=True), None
    if len(body) > SPEC_BYTES_MAX:
        problem = too_large(body)
    # The names of the batch's jobs are new each time, their places are not.
    places = tuple(request.after_indices)
    digest = hashlib.sha256(body + ",".join(map(str, places)).encode() if places else body).digest()
    kind = spec.WhichOneof("work")
    alike, plain = _alike(spec, kind), _NOT_PLAIN.isdisjoint(numbers) and not _policy_job(spec, kind)
    return Draft(spec, body, digest, request.request_id, request.validate_only, places, kind, alike, plain, problem)


def _spec_of(job: job_pb2.Job) -> tuple[job_pb2.Job, list[int]]:
    """Return the job without what only we may set, itself if it sets none of that, and the numbers of its fields."""
    job.DiscardUnknownFields()
    numbers = [field.number for field, _ in job.ListFields()]
    if _OUTPUT_NUMBERS.isdisjoint(numbers):
        return job, numbers
    spec = job_pb2.Job()
    spec.CopyFrom(job)
    for name in OUTPUT_FIELDS:
        spec.ClearField(name)
    return spec, numbers


def _policy_job(spec: job_pb2.Job, kind: str | None) -> str:
    return "" if kind is None else getattr(getattr(spec, kind), "policy_job", "")


def serialized(spec: job_pb2.Job) -> bytes:
    """Return the bytes that are kept of a job. Raises MESSAGE_TOO_LARGE."""
    body = spec.SerializeToString(deterministic=True)
    if len(body) > SPEC_BYTES_MAX:
        raise too_large(body)
    return body


def too_large(body: bytes) -> PalaestraError:
    return PalaestraError("MESSAGE_TOO_LARGE", f"the job has {len(body)} bytes, at most {SPEC_BYTES_MAX}")


def _alike(spec: job_pb2.Job, kind: str | None) -> tuple[object, ...]:
    """Return what claim and work are judged by. By its bytes, a claim is known again faster than it is read."""
    claim = spec.claim.SerializeToString(deterministic=True)
    if kind is None or kind == "check":
        return claim, spec.project, kind
    work = getattr(spec, kind)
    scene = _scene(work, kind)
    if kind == "collect":
        source = work.WhichOneof("source")
        return claim, spec.project, kind, source, work.motion, work.policy_task, work.robot_model, scene
    return claim, spec.project, kind, work.task, work.robot_model, getattr(work, "motion", ""), scene


def _scene(work: Any, kind: str) -> tuple[object, ...]:
    """Return what else a job asks of its worlds: of most, nothing."""
    found: list[object] = [term.SerializeToString(deterministic=True) for term in work.randomisation]
    if kind != "train":
        found += [sensor.SerializeToString(deterministic=True) for sensor in work.sensors]
    if kind in ("collect", "evaluate") and work.HasField("policy"):
        found += [work.policy.openpi, work.policy_job]
    # Some quantities are of one kind of actuators alone.
    return (*found, work.actuators) if found else ()
