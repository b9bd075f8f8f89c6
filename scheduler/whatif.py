"""When a job would start, and when it would if it asked for something else: by deciding, never by a rule of thumb.

The same code as in the venue decides on the same standing, with the job as it is or changed. Starts are as the planned
ends of leases tell: an upper bound as long as nothing fails and nobody with a better claim comes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from scheduler.decide import planned
from scheduler.standing import Standing
from scheduler.state import Claim, Config, Job, Placement, State, UnitRequest
from scheduler.turns import FairTurns

# Changes that are tried, those that are told, and what a change must gain to be worth telling.
TRIED, TOLD = 24, 5
GAIN_S, GAIN_SHARE = 30.0, 0.05


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """A change of a claim in words, the claim after it, and when the job would start then."""

    change: str
    claim: Claim
    start_ns: int


def start_of(standing: Standing, job: Job, now_ns: int, config: Config) -> int | None:
    """Return when a waiting job of the standing would start; `now_ns` if it is granted now, None for never."""
    plan = planned(standing, now_ns, config)
    if job.job in plan.granted:
        return now_ns
    for reservation in plan.reservations:
        if reservation.job == job.job:
            return max(reservation.start_ns, now_ns + 1)
    if job.booking:
        return next((max(b.start_ns, now_ns + 1) for b in standing.bookings if b.booking == job.booking), None)
    # Where a limit leaves no room, nobody can tell when it will.
    turns = FairTurns(standing.accounts, standing.queue, standing.floor.size, set())
    options = [option for option in standing.floor.options(job.claim) if turns.allowed(job.vendor, option.amounts)]
    starts = (plan.profile.earliest(option) for option in options)
    found = min((start[0] for start in starts if start is not None), default=None)
    # It is not granted now, whatever room there seems to be: others come first.
    return None if found is None else max(found, now_ns + 1)


def counterfactuals(job: Job, state: State, config: Config) -> tuple[Counterfactual, ...]:
    """Return the small changes with which the job would start clearly sooner, the soonest first."""
    others = tuple(other for other in state.jobs if other.job != job.job)
    standing = Standing(replace(state, jobs=(*others, job)))
    now_ns = state.now_ns
    present_ns = start_of(standing, job, now_ns, config)
    if present_ns is not None and present_ns <= now_ns:
        return ()
    gain_ns = 0 if present_ns is None else int(max(GAIN_S * 1e9, GAIN_SHARE * (present_ns - now_ns)))
    found: list[Counterfactual] = []
    for change, claim in _some(_changes(job.claim, state)):
        changed = replace(job, claim=claim)
        standing.withdraw(job.job)
        standing.submit(changed)
        start_ns = start_of(standing, changed, now_ns, config)
        if start_ns is not None and (present_ns is None or start_ns <= present_ns - gain_ns):
            found.append(Counterfactual(change, claim, start_ns))
        standing.withdraw(job.job)
        standing.submit(job)
    # Changes come in the order of how little they ask of the vendor: of equal starts the first is told.
    return tuple(sorted(found, key=lambda told: told.start_ns)[:TOLD])


def _some(changes: Iterator[tuple[str, Claim]]) -> Iterator[tuple[str, Claim]]:
    seen: set[Claim] = set()
    for change, claim in changes:
        if claim not in seen:
            seen.add(claim)
            yield change, claim
        if len(seen) == TRIED:
            return


def _changes(claim: Claim, state: State) -> Iterator[tuple[str, Claim]]:
    """Yield small changes of a claim, in words and done."""
    bare = replace(claim, alternatives=())
    for share in (2, 4):
        shorter_s = float(round(claim.duration_s / share))
        if shorter_s >= 1:
            yield f"for {span(shorter_s)} instead of {span(claim.duration_s)}", replace(bare, duration_s=shorter_s)
    if claim.placement is not Placement.ANYWHERE:
        yield "with units anywhere in the venue", replace(bare, placement=Placement.ANYWHERE)
    for place, request in enumerate(claim.units):
        for words, other in _requests(request):
            units = (*claim.units[:place], other, *claim.units[place + 1 :])
            yield words, replace(bare, units=units)
    if claim.cell is not None:
        if claim.cell.cell and claim.cell.scenario:
            yield f"in any cell for {claim.cell.scenario}", replace(bare, cell=replace(claim.cell, cell=""))
        if claim.cell.level and (claim.cell.cell or claim.cell.scenario):
            yield f"not only at level {claim.cell.level}", replace(bare, cell=replace(claim.cell, level=0))
        scenarios = sorted({cell.scenario for cell in state.cells if cell.scenario} - {claim.cell.scenario})
        for scenario in scenarios[:4]:
            other_cell = replace(claim.cell, cell="", scenario=scenario)
            yield f"in a cell for {scenario}", replace(bare, cell=other_cell)
    if claim.sim_slots > 1:
        fewer = claim.sim_slots // 2
        yield f"with {fewer} sim slots instead of {claim.sim_slots}", replace(bare, sim_slots=fewer)


def _requests(request: UnitRequest) -> Iterator[tuple[str, UnitRequest]]:
    what = request.robot_model or request.robot_class or "unit"
    for count in sorted({request.count - 1, request.count // 2, 1} - {0, request.count}, reverse=True):
        if count < request.count:
            yield f"with {count} x {what} instead of {request.count}", replace(request, count=count, count_max=0)
    if request.unit:
        yield f"with any unit instead of {request.unit}", replace(request, unit="")
    if request.robot_model and request.robot_class:
        yield f"with any {request.robot_class} instead of {request.robot_model}", replace(request, robot_model="")
    for key, value in request.labels:
        left = tuple(pair for pair in request.labels if pair[0] != key)
        yield f"without {key}={value}", replace(request, labels=left)
    if request.maker:
        yield f"by any maker instead of {request.maker}", replace(request, maker="")
    if request.firmware:
        yield f"with any firmware instead of {request.firmware}", replace(request, firmware="")
    if request.end_effector:
        yield f"with any end effector instead of {request.end_effector}", replace(request, end_effector="")


def span(seconds: float) -> str:
    """Return a length of time in words."""
    if seconds < 120:
        return f"{seconds:g} s"
    minutes = seconds / 60
    if minutes < 120:
        return f"{minutes:.0f} min" if minutes == round(minutes) else f"{minutes:.1f} min"
    return f"{minutes / 60:.0f} h" if minutes % 60 == 0 else f"{minutes / 60:.1f} h"
