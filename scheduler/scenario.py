"""What a job that names a scenario may say, and what it may not: pure functions on the contract's message."""

from collections.abc import Iterator, Set
from difflib import get_close_matches

from palaestra.v1 import job_pb2
from scheduler.contradiction import has_units

Problem = tuple[str, str]
"""A field's path and what is wrong with it."""
_NOT_WITH_SCENARIO = {
    "task": "is another task; the scenario is one",
    "motion": "says what to do, and so does the scenario",
    "policy_job": "was trained for a task, and no scenario",
    "policy_task": "is another task; the scenario is one",
    "randomisation": "is the level's, in a scenario",
    "sensors": "are not read in scenarios",
    "cameras": "do not look at scenarios: each of their worlds is another scene",
    "episode_duration": "is the scenario's own",
}


def problem(job: job_pb2.Job) -> Problem | None:
    """Return the first contradiction about scenarios in a job's work, None if there is none."""
    kind = job.WhichOneof("work")
    if kind not in ("collect", "evaluate"):
        return None
    return next(_problems(job, kind), None)


def unknown(job: job_pb2.Job, known: Set[str]) -> tuple[str, str] | None:
    """Return the scenario that a job names and nobody knows, with the nearest known names; None if somebody does.

    known: Sectors and ids; empty: nobody has said yet, so nothing is refused.
    """
    name: str = getattr(getattr(job, job.WhichOneof("work") or "", None), "scenario", "")
    if not name or not known or name in known or any(one.endswith(f"/{name}") for one in known):
        return None
    close = get_close_matches(name, sorted(known | {one.rpartition("/")[2] for one in known}), n=3, cutoff=0.5)
    return name, f"; did you mean {', '.join(close)}?" if close else f"; known: {', '.join(sorted(known))}"


def _problems(job: job_pb2.Job, kind: str) -> Iterator[Problem]:
    work: job_pb2.CollectSpec | job_pb2.EvaluateSpec = getattr(job, kind)
    path = f"job.{kind}"
    if not work.scenario:
        for name in ("level", "script"):
            if getattr(work, name):
                yield f"{path}.{name}", "needs a scenario"
        if kind == "evaluate" and not job.evaluate.task:
            yield f"{path}.task", "is required, or scenario"
        return
    for name, why in _NOT_WITH_SCENARIO.items():
        field = work.DESCRIPTOR.fields_by_name.get(name)
        # What evaluation calls the task of the catalogue, collection calls the task in words.
        if field is None or (kind, name) == ("collect", "task"):
            continue
        given = work.HasField(name) if field.has_presence else bool(getattr(work, name))
        if given:
            yield f"{path}.{name}", why
    if work.script and work.HasField("policy"):
        yield f"{path}.script", "cannot stand beside policy, only one of them"
    if work.actuators == job_pb2.ACTUATORS_PHYSICAL:
        yield f"{path}.actuators", "are ideal in scenarios, whose robots are driven by torques"
    if kind == "collect" and has_units(job):
        yield f"{path}.scenario", "is for worlds, and the claim has units"
