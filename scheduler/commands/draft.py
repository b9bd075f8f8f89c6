"""What can be known of a submitted job before its transaction: read once, on the caller's time and not the writer's."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from palaestra.errors import PalaestraError
from palaestra.v1 import job_pb2, job_service_pb2
from scheduler.snapshot.queue import NO_DEADLINE_NS, Wishes, wishes_of

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
# Forms that are remembered, and how long the bytes of one may be.
FORMS_MAX = 4096
FORM_BYTES_MAX = 1024


@dataclass(slots=True, eq=False)
class Form:
    """What jobs have in common that differ in the seed of their work alone.

    Attributes:
        alike: Jobs with the same are refused for the same reasons, as far as claim and work go.
        plain: Whether it names nothing that would have to be looked up: no time, job, policy or reservation.
    """

    alike: str
    plain: bool
    project: str
    priority: int
    deadline_ns: int
    _wishes: dict[str, Wishes] = field(default_factory=dict)

    def wishes(self, body: bytes, vendor: str) -> Wishes:
        """Return what a plain job of this form wants. body: Of any such job of the vendor."""
        found = self._wishes.get(vendor)
        if found is None:
            found = self._wishes[vendor] = wishes_of(body, vendor)
        return found


# By the bytes that such jobs have without their seeds, of those with nothing in them that would be left out.
_forms: dict[bytes, Form] = {}


@dataclass(slots=True)
class Draft:
    """A job as it was submitted.

    Attributes:
        body: The bytes of the job without what only we may set, which are kept.
        digest: What a repeat with the same request id must have too.
        places: The requests of the same batch that it comes after, by index.
        problem: Why it is refused before anything else is looked at.
        message: The same as `body`, None while nobody needed it.
    """

    form: Form
    body: bytes
    digest: bytes
    request_id: str
    validate_only: bool = False
    places: tuple[int, ...] = ()
    problem: PalaestraError | None = None
    message: job_pb2.Job | None = None

    @property
    def spec(self) -> job_pb2.Job:
        """The job without what only we may set. Not to be changed."""
        if self.message is None:
            self.message = job_pb2.Job.FromString(self.body)
        return self.message

    @property
    def deadline_ns(self) -> int:
        return self.form.deadline_ns


def draft_of(request: job_service_pb2.SubmitJobRequest) -> Draft:
    """Return what a request asks for. The request's job loses what this version of the contract does not know."""
    spec, body, form = _read(request.job)
    problem = too_large(body) if len(body) > SPEC_BYTES_MAX else None
    # The names of the batch's jobs are new each time, their places are not.
    places = tuple(request.after_indices)
    digest = hashlib.sha256(body + ",".join(map(str, places)).encode() if places else body).digest()
    return Draft(form, body, digest, request.request_id, request.validate_only, places, problem, spec)


def _read(job: job_pb2.Job) -> tuple[job_pb2.Job, bytes, Form]:
    """Return the job without what only we may set, itself if it sets none of that, its bytes and its form."""
    kind = job.WhichOneof("work")
    body = job.SerializeToString(deterministic=True)
    key = body if kind is None or kind == "check" else _without_seed(job, kind, body)
    form = _forms.get(key)
    if form is not None:
        return job, body, form
    job.DiscardUnknownFields()
    numbers = [field.number for field, _ in job.ListFields()]
    spec = job
    if not _OUTPUT_NUMBERS.isdisjoint(numbers):
        spec = job_pb2.Job()
        spec.CopyFrom(job)
        for name in OUTPUT_FIELDS:
            spec.ClearField(name)
    form = _form_of(spec, kind, numbers)
    cleaned = spec.SerializeToString(deterministic=True)
    if cleaned == body and len(key) <= FORM_BYTES_MAX:
        if len(_forms) >= FORMS_MAX:
            _forms.clear()
        _forms[key] = form
    return spec, cleaned, form


def _without_seed(job: job_pb2.Job, kind: str, body: bytes) -> bytes:
    """Return the bytes of a job but for the seed of its work. body: All of them."""
    work = getattr(job, kind)
    seed = work.seed
    if not seed:
        return body
    # And put back: to copy the job would cost more than all the rest here.
    work.seed = 0
    data: bytes = job.SerializeToString()
    work.seed = seed
    return data


def _form_of(spec: job_pb2.Job, kind: str | None, numbers: list[int]) -> Form:
    plain = _NOT_PLAIN.isdisjoint(numbers) and not _policy_job(spec, kind)
    # As text, whose hash is computed once.
    return Form(repr(_alike(spec, kind)), plain, spec.project, spec.priority, _deadline_ns(spec))


def _deadline_ns(spec: job_pb2.Job) -> int:
    if not spec.HasField("deadline"):
        return NO_DEADLINE_NS
    try:
        return int(spec.deadline.ToNanoseconds())
    except ValueError:
        # No time at all: the job is refused for it at its field, later and with the words for it.
        return NO_DEADLINE_NS


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
    if kind in ("collect", "evaluate") and (work.scenario or work.level or work.script):
        # Rare, and many fields have a say: all but where its chance comes from.
        alone = type(work)()
        alone.CopyFrom(work)
        alone.ClearField("seed")
        return claim, spec.project, kind, alone.SerializeToString(deterministic=True)
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
