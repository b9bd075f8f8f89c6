"""Messages of the contract in words."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from palaestra.cli.text import curve, seconds
from palaestra.names import last
from palaestra.v1.claim_pb2 import CellRequest, Claim, EnvironmentLevel, Placement, UnitRequest
from palaestra.v1.event_pb2 import Event
from palaestra.v1.job_array_pb2 import JobArray
from palaestra.v1.job_pb2 import AttemptState, Failure, Job, JobState


def state(job: Job) -> str:
    """Return the job's state in lower case."""
    return JobState.Name(job.state).removeprefix("JOB_STATE_").lower()


def work(job: Job) -> str:
    """Return what the job does, in a few words."""
    match job.WhichOneof("work"):
        case "collect":
            source = job.collect.motion or f"policy of {last(job.collect.policy_job)}"
            if job.collect.HasField("policy"):
                source = f"policy served at {job.collect.policy.openpi}"
            return f"collect {source}"
        case "train":
            return f"train {job.train.task} with {job.train.robot_model}"
        case "evaluate":
            return f"evaluate {job.evaluate.task} with {job.evaluate.robot_model}"
        case "serve":
            return f"serve {job.serve.task or job.serve.motion} with {job.serve.robot_model}"
        case "check":
            return "check a unit's health"
    return ""


def claim(job: Job) -> str:
    """Return what the job asks for."""
    return " or else ".join(
        f"{asked(wanted)} for at most {seconds(wanted.duration.ToTimedelta().total_seconds())}"
        for wanted in (job.claim, *job.claim.alternatives)
    )


def progress(job: Job) -> str:
    """Return how far the job is, or was when it failed."""
    if not job.HasField("progress") or job.state == JobState.JOB_STATE_SUCCEEDED:
        return ""
    return f"{job.progress.fraction:.0%} {job.progress.message}".strip()


def waited(job: Job, now: datetime) -> str:
    """Return how long the job waited for its first grant, or has waited so far."""
    return _span(job, "create_time", ("grant_time", "end_time"), now)


def ran(job: Job, now: datetime) -> str:
    """Return how long the job ran, or has run so far."""
    return _span(job, "start_time", ("end_time",), now)


def change(job: Job) -> str:
    """Return a watched job as one line."""
    parts = [clock(datetime.now(UTC)), state(job), progress(job)]
    return "  ".join(part for part in parts if part)


def facts(job: Job, now: datetime) -> Iterator[tuple[str, str]]:
    """Yield everything about a job as labels and values."""
    yield "job", job.name
    yield "name", job.display_name
    yield "state", state(job)
    yield "work", work(job)
    yield "claim", claim(job)
    yield "array", f"{job.array}, index {job.array_index}" if job.array else ""
    yield "after", ", ".join(last(name) for name in job.after)
    yield "deadline", str(job.deadline.ToDatetime(UTC).astimezone()) if job.HasField("deadline") else ""
    yield "reservation", job.reservation
    yield "sim first", "yes" if job.sim_first else ""
    yield "progress", progress(job)
    yield "waited", waited(job, now)
    yield "ran", ran(job, now)
    yield "episodes", str(job.episode_count or "")
    yield "labels", ", ".join(f"{key}={job.labels[key]}" for key in sorted(job.labels))
    for attempt in job.attempts:
        number_state = AttemptState.Name(attempt.state).removeprefix("ATTEMPT_STATE_").lower()
        words = [number_state, ", ".join(last(name) for name in attempt.resources), failure(attempt.failure)]
        yield f"attempt {attempt.number}", ": ".join(word for word in words if word)
    yield from _result(job)
    yield "failure", failure(job.failure)


def array(value: JobArray) -> Iterator[tuple[str, str]]:
    """Yield everything about an array of jobs as labels and values."""
    yield "array", value.name
    yield "size", str(value.size)
    for found in value.counts:
        yield JobState.Name(found.state).removeprefix("JOB_STATE_").lower(), str(found.count)


def failure(value: Failure) -> str:
    """Return a failure as one sentence, or nothing."""
    return f"{value.message} [{value.reason}]" if value.reason else value.message


def event(value: Event) -> str:
    """Return an event as one line."""
    time = clock(value.time.ToDatetime(UTC)) if value.HasField("time") else ""
    return "  ".join(part for part in (time, value.kind, value.resource, value.message) if part)


def level(value: EnvironmentLevel) -> str:
    """Return an environment level, such as "L2 structured"."""
    name = EnvironmentLevel.Name(value).removeprefix("ENVIRONMENT_LEVEL_").lower()
    return f"L{int(value)} {name}" if value else ""


def clock(time: datetime) -> str:
    """Return the time of day where the reader is."""
    return time.astimezone().strftime("%H:%M:%S")


def _result(job: Job) -> Iterator[tuple[str, str]]:
    result = job.result
    if result.HasField("return_after"):
        before = f"{result.return_before:.4g} before, " if result.HasField("return_before") else ""
        yield "return", f"{before}{result.return_after:.4g} after training"
    yield "return curve", curve(result.return_curve)
    if result.HasField("success_rate"):
        interval = ""
        if result.HasField("success_low") and result.HasField("success_high"):
            interval = f", 95 % interval {result.success_low:.0%} to {result.success_high:.0%}"
        yield "success", f"{result.success_rate:.0%} ({result.successes} of {result.trials}{interval})"
    if result.HasField("policy"):
        yield "policy", f"sha256 {result.policy.sha256}, {result.policy.size_bytes} bytes"


def asked(wanted: Claim) -> str:
    """Return what a claim asks for, but for how long."""
    parts = [_units(request) for request in wanted.units]
    if wanted.placement > Placement.PLACEMENT_ANYWHERE:
        parts.append(Placement.Name(wanted.placement).removeprefix("PLACEMENT_").lower())
    for count, name in ((wanted.sim_slots, "sim slot"), (wanted.seats, "seat"), (wanted.chargers, "charger")):
        if count:
            parts.append(f"{count} {name}{'s' if count > 1 else ''}")
    if wanted.HasField("cell"):
        parts.append(_cell(wanted.cell))
    return ", ".join(parts) or "nothing"


def _units(request: UnitRequest) -> str:
    selector = request.selector
    wants = [f"{key}={selector.labels[key]}" for key in sorted(selector.labels)]
    if selector.joint_count_min:
        wants.append(f"with {selector.joint_count_min} joints or more")
    if selector.payload_min_kg:
        wants.append(f"for {selector.payload_min_kg:g} kg")
    wants += [f"with {what}" for what in (selector.end_effector, *selector.sensors) if what]
    if selector.firmware:
        wants.append(f"firmware {selector.firmware}")
    named = [selector.maker, selector.robot_model, selector.robot_class, last(selector.unit), *wants]
    least = request.count or 1
    count = f"{least} to {request.count_max}" if request.count_max > least else str(least)
    return f"{count} x {' '.join(word for word in named if word) or 'any unit'}"


def _cell(request: CellRequest) -> str:
    words = [last(request.cell), request.scenario, level(request.level)]
    return f"cell {' '.join(word for word in words if word)}".strip()


def _span(job: Job, start: str, ends: tuple[str, ...], now: datetime) -> str:
    """Return the time between two of the job's timestamps; `ends` are tried in order, then `now`."""
    message: Any = job
    if not message.HasField(start):
        return ""
    end = next((getattr(job, name).ToDatetime(UTC) for name in ends if message.HasField(name)), now)
    begin: datetime = getattr(job, start).ToDatetime(UTC)
    return seconds(max((end - begin).total_seconds(), 0.0))
