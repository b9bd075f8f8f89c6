"""Why a job waits, and whether a claim is possible at all: pure functions that never name another vendor."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from scheduler.account import dominant_share
from scheduler.body import why_not
from scheduler.decide import decide, planned
from scheduler.floor import available_ns
from scheduler.matching import cell_matches, enough, matches
from scheduler.queue import turn
from scheduler.standing import Standing
from scheduler.state import Claim, Closure, Config, Job, Placement, State, Unit, UnitRequest, Unnamed
from scheduler.whatif import span, start_of


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
    """`planned_start_ns`: when it starts if everything takes as long as it may; None if nobody can tell."""

    summary: str
    jobs_ahead: int
    reasons: tuple[Reason, ...]
    planned_start_ns: int | None = None


def unknown_selector(claim: Claim, state: State) -> str | None:
    """Return a sentence if a request matches nothing that the venue has, whatever its number, in any alternative."""
    return _of_all(claim, lambda one: _unknown(one, state))


def impossible(claim: Claim, state: State) -> str | None:
    """Return a sentence if no alternative of the claim could be met even with everything free and healthy."""
    return _of_all(claim, lambda one: _impossible(one, state))


def explain(job: Job, state: State, config: Config) -> Explanation:
    """Say why a waiting job has not started, and when it is planned to."""
    # The job itself may not be among them: in a back-off, or further back than deciding looks.
    others = tuple(other for other in state.jobs if other.job != job.job)
    standing = Standing(replace(state, jobs=(*others, job)))
    start_ns = start_of(standing, job, state.now_ns, config)
    reasons = _reasons(job, replace(state, jobs=(*others, job)), standing, config, start_ns)
    ahead = sum(turn(other) < turn(job) for other in others if other.vendor == job.vendor)
    summary = reasons[0].message if reasons else "nothing holds it back; it starts with the next decision"
    return Explanation(summary, ahead, tuple(reasons), start_ns)


def _of_all(claim: Claim, problem: Callable[[Claim], str | None]) -> str | None:
    """Return the first problem if every alternative has one."""
    problems = [problem(one) for one in (replace(claim, alternatives=()), *claim.alternatives)]
    return None if None in problems else problems[0]


def _unknown(claim: Claim, state: State) -> str | None:
    for request in claim.units:
        if not any(matches(request, unit) for unit in state.units):
            return f"no unit of this venue matches {request.describe()}"
    if claim.cell is not None and not any(cell_matches(claim.cell, cell) for cell in state.cells):
        return f"this venue has not {claim.cell.describe()}"
    return None


def _impossible(claim: Claim, state: State) -> str | None:
    for request in claim.units:
        matching = sum(matches(request, unit) for unit in state.units)
        if request.count > matching:
            return f"the claim asks for {request.describe()}, the venue has {matching}"
    if not enough(claim.units, state.units):
        return "the venue has no distinct units for all requests of the claim together"
    slots = len(state.slots) + state.unnamed.count
    for wanted, have, what in (
        (claim.sim_slots, slots, "sim slots"),
        (claim.seats, state.seats.count, "operators' seats"),
        (claim.chargers, state.chargers.count, "chargers"),
    ):
        if wanted > have:
            return f"the claim asks for {wanted} {what}, the venue has {have}"
    if claim.placement is not Placement.ANYWHERE and not _placeable(claim, state):
        return f"the venue has no place where the units of the claim stand {claim.placement.value}"
    return None


def _placeable(claim: Claim, state: State) -> bool:
    """Whether the units of a claim could be placed as asked in a venue where everything is free and well."""
    idle = tuple(replace(u, free=True, usable=True, ready_ns=0, good_for_s=float("inf")) for u in state.units)
    bare = Claim(claim.units, placement=claim.placement)
    # As a waiting job: the units that it names are then kinds of their own.
    floor = Standing(State(state.now_ns, idle, jobs=(Job(0, "", bare),))).floor
    return any(o.within(floor.capacity.__getitem__, lambda part: part.kinds) is not None for o in floor.options(bare))


def _reasons(job: Job, state: State, standing: Standing, config: Config, start_ns: int | None) -> list[Reason]:
    if start_ns is not None and start_ns <= state.now_ns:
        return []
    found: list[Reason] = []
    if not state.runner_ready:
        found.append(Reason("RUNNER", "no runner is connected to the venue", fix="it restarts by itself; wait"))
    found += [*_booking(job, state), *_quota(job, standing)]
    claim = job.claim
    for request in claim.units:
        found += _units(request, claim, state)
    found += [*_pools(claim, state), *_cell(claim, state)]
    alone = replace(state, jobs=(job,), runner_ready=True)
    blocked = not decide(Standing(alone), state.now_ns, config).grants
    if blocked and not found:
        found += _by_trial(job, alone, config)
    if not blocked and not found:
        found += _others(job, state, standing, config)
    return found


def _booking(job: Job, state: State) -> list[Reason]:
    booking = next((b for b in state.bookings if b.booking == job.booking), None)
    if not job.booking or (booking is not None and booking.start_ns <= state.now_ns):
        return []
    if booking is None:
        return [Reason("RESERVATION", "the reservation that it starts in is not open")]
    wait = span(round((booking.start_ns - state.now_ns) / 1e9))
    return [Reason("RESERVATION", f"its reservation begins in {wait}", fix="without reservation it may start before")]


def _quota(job: Job, standing: Standing) -> list[Reason]:
    """Name the limits of the vendor, its project or its group that leave no room for the claim."""
    accounts = standing.accounts
    found = []
    units = sum(request.count for request in job.claim.units)
    wanted = (units, job.claim.sim_slots, int(job.claim.cell is not None))
    for link in accounts.chains.get(job.vendor, ()):
        told, held = accounts.vendors[link], accounts.holdings[link]
        # A group is shared with others: its numbers would tell what they hold.
        own = link == job.vendor or job.vendor.startswith(f"{link}/")
        what = f"{link} holds" if own else "the vendor's group holds"
        for name, more, have, most in (
            ("units", wanted[0], held.units, told.limit.units),
            ("sim slots", wanted[1], held.slots, told.limit.slots),
            ("cells", wanted[2], held.cells, told.limit.cells),
        ):
            if more and have + more > most:
                numbers = f"{have} of at most {most:g} {name}" if own else f"too many {name} for {more} more"
                found.append(Reason("QUOTA", f"{what} {numbers}", more, fix="it starts when leases of its own end"))
        if held.leases >= told.leases_max:
            numbers = f"{held.leases} of at most {told.leases_max:g} leases" if own else "as many leases as it may"
            found.append(Reason("QUOTA", f"{what} {numbers}", fix="it starts when leases of its own end"))
        if told.starts_left < 1:
            found.append(Reason("RATE", "as many jobs as may start in an hour have started", fix="wait"))
    return found


def _units(request: UnitRequest, claim: Claim, state: State) -> list[Reason]:
    now_ns, duration_ns = state.now_ns, int(claim.duration_s * 1e9)
    fitting = [unit for unit in state.units if matches(request, unit)]
    idle = [unit for unit in fitting if unit.free and unit.usable]
    able_ns = {unit.unit: available_ns(unit, duration_ns, charged=claim.charged) for unit in idle}
    able = [unit for unit in idle if able_ns[unit.unit] <= now_ns]
    closing = _closing(state, now_ns + duration_ns)
    open_now = [unit for unit in able if not any(closure.covers_unit(unit) for closure in closing)]
    if len(open_now) >= request.count:
        return []
    unusable = sum(not unit.usable for unit in fitting)
    counts = (request.count, len(fitting), len(open_now))
    message = f"{request.describe()}: {len(open_now)} of {len(fitting)} matching units free"
    for number, words in (
        (unusable, "out of order"),
        (len(idle) - len(able), "resting, charging, or with too little charge or calibration left"),
        (len(able) - len(open_now), "closed before it would end"),
    ):
        if number:
            message += f", {number} {words}"
    fix = f"with {len(open_now)} it could start now" if open_now else _wider(request, state)
    if len(able) >= request.count:
        return [Reason("CALENDAR", message, *counts, _until_closing(able, state))]
    if len(idle) >= request.count:
        # How long the count-th best of those that are rested could work.
        able_s = sorted((unit.good_for_s for unit in idle if unit.ready_ns <= now_ns), reverse=True)
        longest_s = able_s[request.count - 1] if len(able_s) >= request.count else 0.0
        shorter = f"for at most {span(float(int(longest_s)))} it could start now" if longest_s >= 1 else ""
        soonest = min((unit for unit in idle if able_ns[unit.unit] > now_ns), key=lambda unit: able_ns[unit.unit])
        waits = why_not(soonest, claim.duration_s, now_ns) or "wait until they are rested, charged or calibrated"
        return [Reason("BODY", message, *counts, shorter or waits)]
    return [Reason("UNITS", message, *counts, fix)]


def _wider(request: UnitRequest, state: State) -> str:
    """Suggest another maker or model of the same class that is free now."""
    wanted = {unit.robot_class for unit in state.units if matches(request, unit)}
    ready = [unit for unit in state.units if unit.free and unit.usable]
    spare = sorted({unit.robot_model for unit in ready if unit.robot_class in wanted})
    return f"free now in the same class: {', '.join(spare)}" if spare else "wait until a running lease ends"


def _closing(state: State, end_ns: int) -> list[Closure]:
    """Return the closures that last now or begin before the end."""
    return [closure for closure in state.closures if closure.start_ns < end_ns and closure.end_ns > state.now_ns]


def _until_closing(units: Iterable[Unit], state: State) -> str:
    """Tell how long a claim could be at most to end before the closures begin."""
    starts_ns = [
        min((c.start_ns for c in state.closures if c.end_ns > state.now_ns and c.covers_unit(unit)), default=0)
        for unit in units
    ]
    left_s = (max(starts_ns, default=0) - state.now_ns) // 1_000_000_000
    return f"for at most {span(float(left_s))} it could start now" if left_s > 0 else "wait until it opens"


def _pools(claim: Claim, state: State) -> list[Reason]:
    found = []
    slots_free = sum(slot.free for slot in state.slots) + _free(state.unnamed)
    slots = len(state.slots) + state.unnamed.count
    for constraint, what, wanted, have, free in (
        ("SIM_SLOTS", "sim slots", claim.sim_slots, slots, slots_free),
        ("SEATS", "operators' seats", claim.seats, state.seats.count, _free(state.seats)),
        ("CHARGERS", "chargers", claim.chargers, state.chargers.count, _free(state.chargers)),
    ):
        if free < wanted:
            fix = f"with {free} {what} it could start now" if free > 0 else "wait until a running lease ends"
            message = f"{wanted} {what} wanted, {max(free, 0)} of {have} free"
            found.append(Reason(constraint, message, wanted, have, max(free, 0), fix))
    return found


def _free(pool: Unnamed) -> int:
    return pool.count - sum(count for _, count in pool.busy)


def _cell(claim: Claim, state: State) -> list[Reason]:
    request = claim.cell
    if request is None:
        return []
    fitting = [cell for cell in state.cells if cell_matches(request, cell)]
    idle = [cell for cell in fitting if cell.free]
    if not idle:
        message = f"{request.describe()}: 0 of {len(fitting)} free"
        return [Reason("CELL", message, 1, len(fitting), 0, "wait until the cell's lease ends")]
    busy_zones = {cell.zone for cell in state.cells if not cell.free} & state.exclusive_zones
    if all(cell.zone in busy_zones for cell in idle):
        message = f"{request.describe()}: {len(idle)} free, but in zones of which another cell is in use"
        return [Reason("ZONE", message, 1, len(fitting), 0, "wait until the other cell's lease ends")]
    closing = _closing(state, state.now_ns + int(claim.duration_s * 1e9))
    if all(cell.zone in busy_zones or any(closure.covers_cell(cell) for closure in closing) for cell in idle):
        message = f"{request.describe()}: {len(idle)} free, but closed before it would end"
        return [Reason("CALENDAR", message, 1, len(fitting), 0, "ask for less time, or wait until it opens")]
    return []


def _by_trial(job: Job, alone: State, config: Config) -> list[Reason]:
    """Find the constraint without which the job, alone in the venue, would start now."""
    claim = job.claim
    anywhere = replace(job, claim=replace(claim, placement=Placement.ANYWHERE))
    count = sum(request.count for request in claim.units)

    def starts(**changes: object) -> bool:
        return bool(decide(Standing(replace(alone, **changes)), alone.now_ns, config).grants)  # type: ignore[arg-type]

    if starts(bookings=()):
        return [Reason("RESERVED", "what it needs is reserved for a time before it would end", count,
                       fix="ask for less time, or reserve a time of your own")]  # fmt: skip
    if starts(closures=()):
        return [Reason("CALENDAR", "the venue closes before it would end", fix="ask for less time")]
    if starts(jobs=(anywhere,)):
        return [Reason("PLACEMENT", f"its units are free, but do not stand {claim.placement.value}", count,
                       fix="with units anywhere it could start now")]  # fmt: skip
    if not enough(claim.units, [unit for unit in alone.units if unit.free and unit.usable]):
        return [Reason("UNITS", "its requests compete for the same free units", count)]
    return [Reason("TOGETHER", "each thing that it asks for is free, but not all together and for so long", count)]


def _others(job: Job, state: State, standing: Standing, config: Config) -> list[Reason]:
    """Say who comes first, where the venue alone is no reason."""
    own = [other for other in state.jobs if other.vendor == job.vendor and turn(other) < turn(job)]
    if any(held.job != job.job for held in planned(standing, state.now_ns, config).reservations):
        return [Reason("EARLIER_JOBS", "what it needs is planned for jobs that come first, before it would end")]
    if own:
        return [Reason("EARLIER_JOBS", f"{len(own)} jobs of the same vendor come first by priority and age")]
    if _others_first(job, state):
        return [Reason("VENDOR_SHARE", "others come first by fair share and age")]
    return [Reason("EARLIER_JOBS", "other jobs come first")]


def _others_first(job: Job, state: State) -> bool:
    """Whether jobs of other vendors are considered before this vendor's: whose share is smaller, or older at a tie."""
    totals = (len(state.units), len(state.slots) + state.unnamed.count, len(state.cells))
    vendors = {vendor.vendor: vendor for vendor in state.vendors}

    def share(name: str) -> float:
        vendor = vendors[name]
        held = dominant_share(vendor.held_units, vendor.held_slots, vendor.held_cells, totals)
        return (held + vendor.used_share) / vendor.weight

    mine, whose = share(job.vendor), job.vendor.split("/")[0]
    return any(
        share(other.vendor) < mine or (share(other.vendor) == mine and other.create_ns < job.create_ns)
        for other in state.jobs
        if other.vendor.split("/")[0] != whose
    )
