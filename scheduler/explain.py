"""Why a job waits, and whether a claim is possible at all: pure functions that never name another vendor."""

from collections.abc import Collection
from dataclasses import dataclass

from scheduler.account import dominant_share
from scheduler.matching import cell_matches, choose, matches
from scheduler.queue import turn
from scheduler.state import Claim, Job, State


@dataclass(frozen=True, slots=True)
class Reason:
    """One constraint that holds a job back, with counts: asked for, fitting at all, free now."""

    constraint: str
    message: str
    requested: int = 0
    matching: int = 0
    free: int = 0
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    summary: str
    jobs_ahead: int
    reasons: tuple[Reason, ...]


def unknown_selector(claim: Claim, state: State) -> str | None:
    """Return a sentence if a request matches nothing that the venue has, whatever its number."""
    for request in claim.units:
        if not any(matches(request, unit) for unit in state.units):
            return f"no unit of this venue matches {request.describe()}"
    if claim.cell is not None and not any(cell_matches(claim.cell, cell) for cell in state.cells):
        return f"this venue has not {claim.cell.describe()}"
    return None


def impossible(claim: Claim, state: State) -> str | None:
    """Return a sentence if the claim could not be met even with everything free and healthy."""
    for request in claim.units:
        matching = sum(matches(request, unit) for unit in state.units)
        if request.count > matching:
            return f"the claim asks for {request.describe()}, the venue has {matching}"
    if choose(claim.units, state.units) is None:
        return "the venue has no distinct units for all requests of the claim together"
    if claim.sim_slots > len(state.slots):
        return f"the claim asks for {claim.sim_slots} sim slots, the venue has {len(state.slots)}"
    return None


def explain(job: Job, state: State, reserved: Collection[int]) -> Explanation:
    """Say why a waiting job has not started, given the blocked jobs whose starts are planned."""
    reasons = [*_units(job, state), *_slots(job, state), *_cell(job, state)]
    if not state.runner_ready:
        reasons.insert(0, Reason("RUNNER", "no runner is connected to the venue", fix="it restarts by itself; wait"))
    if not reasons and any(other != job.job for other in reserved):
        reasons.append(Reason("EARLIER_JOBS", "what it needs is planned for jobs that come first, before it would end"))
    ahead = _ahead(job, state)
    if not reasons and ahead:
        reasons.append(Reason("EARLIER_JOBS", f"{ahead} jobs of the same vendor come first by priority and age"))
    if not reasons and _others_first(job, state):
        reasons.append(Reason("VENDOR_SHARE", "others come first by fair share and age"))
    summary = reasons[0].message if reasons else "nothing holds it back; it starts with the next decision"
    return Explanation(summary, ahead, tuple(reasons))


def _units(job: Job, state: State) -> list[Reason]:
    reasons = []
    for request in job.claim.units:
        fitting = [unit for unit in state.units if matches(request, unit)]
        free = sum(unit.free and unit.usable for unit in fitting)
        if free >= request.count:
            continue
        unusable = sum(not unit.usable for unit in fitting)
        message = f"{request.describe()}: {free} of {len(fitting)} matching units free"
        if unusable:
            message += f", {unusable} out of order"
        fix = f"with {free} it could start now" if free else _wider(job, state)
        reasons.append(Reason("UNITS", message, request.count, len(fitting), free, fix))
    if not reasons and choose(job.claim.units, [unit for unit in state.units if unit.free and unit.usable]) is None:
        count = sum(request.count for request in job.claim.units)
        reasons.append(Reason("UNITS", "its requests compete for the same free units", count))
    return reasons


def _wider(job: Job, state: State) -> str:
    """Suggest another maker or model of the same class that is free now."""
    wanted = {unit.robot_class for unit in state.units for request in job.claim.units if matches(request, unit)}
    ready = [unit for unit in state.units if unit.free and unit.usable]
    spare = sorted({unit.robot_model for unit in ready if unit.robot_class in wanted})
    return f"free now in the same class: {', '.join(spare)}" if spare else "wait until a running lease ends"


def _slots(job: Job, state: State) -> list[Reason]:
    free = sum(slot.free for slot in state.slots)
    wanted = job.claim.sim_slots
    if free >= wanted:
        return []
    message = f"{wanted} sim slots wanted, {free} of {len(state.slots)} free"
    fix = f"with {free} sim slots it could start now" if free else "wait until a running lease ends"
    return [Reason("SIM_SLOTS", message, wanted, len(state.slots), free, fix)]


def _cell(job: Job, state: State) -> list[Reason]:
    request = job.claim.cell
    if request is None:
        return []
    fitting = [cell for cell in state.cells if cell_matches(request, cell)]
    free = sum(cell.free for cell in fitting)
    if free:
        return []
    message = f"{request.describe()}: {free} of {len(fitting)} free"
    return [Reason("CELL", message, 1, len(fitting), free, "wait until the cell's lease ends")]


def _ahead(job: Job, state: State) -> int:
    """Return how many waiting jobs of the same vendor are considered before this one."""
    # The job itself may not be among them: in a back-off, or further back than deciding looks.
    return sum(turn(other) < turn(job) for other in state.jobs if other.vendor == job.vendor)


def _others_first(job: Job, state: State) -> bool:
    """Whether jobs of other vendors are considered before this vendor's: whose share is smaller, or older at a tie."""
    totals = (len(state.units), len(state.slots), len(state.cells))
    vendors = {vendor.vendor: vendor for vendor in state.vendors}

    def share(name: str) -> float:
        vendor = vendors[name]
        return dominant_share(vendor.held_units, vendor.held_slots, vendor.held_cells, totals) / vendor.weight

    mine = share(job.vendor)
    return any(
        share(other.vendor) < mine or (share(other.vendor) == mine and other.create_ns < job.create_ns)
        for other in state.jobs
        if other.vendor != job.vendor
    )
