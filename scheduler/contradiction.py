"""What no venue could ever make sense of in a claim, whatever it has: pure functions on the contract's message."""

from collections.abc import Iterator

from palaestra.v1 import claim_pb2, job_pb2

# Each is compared with every kind of units in every decision.
REQUESTS_MAX = 64


def contradiction(job: job_pb2.Job) -> tuple[str, str] | None:
    """Return (field, problem) of the first contradiction in a job's claim or in one of its alternatives, or None."""
    requests = sum(len(claim.units) for _, claim in claims(job))
    if requests > REQUESTS_MAX:
        return "job.claim", f"has {requests} requests for units, alternatives included; {REQUESTS_MAX} are allowed"
    for place, claim in claims(job):
        problem = _in_claim(claim, place) or _for_work(job, claim, place)
        if problem is not None:
            return problem
    for index, alternative in enumerate(job.claim.alternatives):
        if alternative.alternatives:
            return f"job.claim.alternatives[{index}].alternatives", "an alternative has no alternatives of its own"
    return None


def claims(job: job_pb2.Job) -> Iterator[tuple[str, claim_pb2.Claim]]:
    """Yield the job's claim and its alternatives, each with the path of its field."""
    yield "job.claim", job.claim
    for index, alternative in enumerate(job.claim.alternatives):
        yield f"job.claim.alternatives[{index}]", alternative


def has_units(job: job_pb2.Job) -> bool:
    """Whether the job could be granted units."""
    return any(claim.units for _, claim in claims(job))


def _in_claim(claim: claim_pb2.Claim, place: str) -> tuple[str, str] | None:
    if not claim.units and not claim.sim_slots:
        return place, "needs units or sim slots"
    named: dict[str, int] = {}
    for index, request in enumerate(claim.units):
        path = f"{place}.units[{index}]"
        count = request.count or 1
        unit = request.selector.unit
        if request.count_max and request.count_max < count:
            return f"{path}.count_max", f"is {request.count_max}, less than the count of {count}"
        if unit and max(count, request.count_max) > 1:
            return f"{path}.count", f"is {max(count, request.count_max)}, of the one unit {unit}"
        if unit in named:
            return f"{path}.selector.unit", f"{unit} is already asked for in units[{named[unit]}]"
        if unit:
            named[unit] = index
        sensors = list(request.selector.sensors)
        twice = next((sensor for rank, sensor in enumerate(sensors) if sensor in sensors[:rank]), None)
        if twice is not None:
            return f"{path}.selector.sensors", f"{twice} is asked for twice"
    return None


def _for_work(job: job_pb2.Job, claim: claim_pb2.Claim, place: str) -> tuple[str, str] | None:
    kind = job.WhichOneof("work")
    if kind in ("train", "evaluate", "serve") and not claim.sim_slots:
        return f"{place}.sim_slots", f"a job to {kind} needs at least one sim slot"
    if kind == "serve" and claim.units:
        return f"{place}.units", "a job to serve leaves worlds to somebody, and no units"
    if kind == "collect" and not claim.units and not job.collect.robot_model:
        where = "the claim" if place == "job.claim" else place
        return "job.collect.robot_model", f"is required when {where} has no units"
    return None
