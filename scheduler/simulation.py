"""What counts as the same work in simulation and on units, and as having passed: pure functions."""

import math
from collections.abc import Mapping

from palaestra.v1 import job_pb2
from scheduler.contradiction import claims

# The 97.5 % quantile of the normal distribution, for a two-sided interval of 95 %.
Z_95 = 1.959963984540054


def work_in_slots(job: job_pb2.Job) -> str:
    """Return the work of a job that runs without units, in words that are equal for equal work."""
    return _on(_source(job), getattr(job, job.WhichOneof("work") or "").robot_model)


def works_on_units(job: job_pb2.Job, model_of: Mapping[str, str]) -> frozenset[str] | None:
    """Return the works that must have passed before the job may reach units: its source on each model it asks for.

    None if a unit is asked for neither by model nor by name, so that nobody can say which models it may get.
    model_of: Robot models of the venue's units by their names, "venues/*/units/*".
    """
    models = set()
    for _, claim in claims(job):
        for request in claim.units:
            model = request.selector.robot_model or model_of.get(request.selector.unit, "")
            if not model:
                return None
            models.add(model)
    return frozenset(_on(_source(job), model) for model in models)


def success_low(successes: int, trials: int) -> float:
    """Return the lower end of the 95 % Wilson score interval of a success rate (E. B. Wilson, JASA 1927).

    Four successes in four trials are 0.51, three in three 0.44: a few lucky episodes do not pass as one half.
    """
    if trials <= 0 or successes <= 0:
        return 0.0
    p = successes / trials
    centre = p + Z_95**2 / (2 * trials)
    half = Z_95 * math.sqrt(p * (1 - p) / trials + Z_95**2 / (4 * trials**2))
    return min(max((centre - half) / (1 + Z_95**2 / trials), 0.0), 1.0)


def _source(job: job_pb2.Job) -> str:
    """Return what drives: the motion or the policy, whatever task, seed and number of episodes."""
    kind = job.WhichOneof("work")
    if kind == "train":
        return f"training of {job.train.task}"
    if kind in ("collect", "evaluate") and getattr(job, kind).scenario:
        return _trials(getattr(job, kind))
    if kind == "evaluate":
        policy_job = job.evaluate.policy_job
        if job.evaluate.HasField("policy"):
            return f"policy served at {job.evaluate.policy.openpi}"
        return f"policy of {policy_job}" if policy_job else f"no policy for {job.evaluate.task}"
    if kind == "serve":
        return f"a program elsewhere at {job.serve.task or job.serve.motion}"
    if job.collect.HasField("policy"):
        return f"policy served at {job.collect.policy.openpi}"
    return f"motion {job.collect.motion}" if job.collect.motion else f"policy of {job.collect.policy_job}"


def _trials(work: job_pb2.CollectSpec | job_pb2.EvaluateSpec) -> str:
    """Return what drives the trials of a scenario."""
    who = f"policy served at {work.policy.openpi}" if work.HasField("policy") else f"script {work.script or 'idle'}"
    return f"{who} in {work.scenario} at level {work.level or 1}"


def _on(source: str, robot_model: str) -> str:
    return f"{source} on {robot_model}"
