"""Which leases to end early, and for whom: only to honour a guarantee, a booking, or safety.

Guarantee: an account that holds less than it is guaranteed, with a job waiting that would not take it beyond, gets back
what others have borrowed: leases of accounts that hold more than they are guaranteed, and only so many that these keep
their own guarantee. So nobody can be preempted by the one that it has preempted. Victims are those whose end loses
least: low priority first, then least work since the start or checkpoint, then the latest start; a second pass puts
back those that turn out not to be needed. Young leases are left alone, and rounds keep a distance in time.
"""

from collections.abc import Iterable
from itertools import islice

from scheduler.account import Accounts, Holding, promises, short_of
from scheduler.matching import Entry
from scheduler.option import CHARGERS, SEATS, SLOTS, Option
from scheduler.plan import Plan
from scheduler.standing import Standing
from scheduler.state import Amounts, Booking, Cause, Config, Job, Lease, Preemption
from scheduler.turns import AgeTurns, FairTurns

# Jobs for which victims are sought in one decision: each takes a look at every lease.
TRIED = 4
# First jobs of each account, in its own order, among which the oldest is sought.
LOOKED_AT = 16


def preemptions(
    standing: Standing, plan: Plan, turns: FairTurns | AgeTurns, now_ns: int, config: Config
) -> tuple[Preemption, ...]:
    """Return the leases to end, after what the plan has granted and reserved."""
    found = list(for_safety(standing, plan, now_ns))
    chosen = {preemption.lease for preemption in found}
    if now_ns - standing.preempted_ns < config.preempt_period_s * 1e9:
        return tuple(found)
    accounts = standing.accounts
    if not plan.unserved and not accounts.guaranteed:
        return tuple(found)
    # Those whose end loses least first.
    leases = sorted(
        standing.leases.values(),
        key=lambda lease: (lease.priority, now_ns - lease.safe_ns, -lease.start_ns, lease.lease),
    )
    for booking in plan.unserved:
        waiting = standing.queue.booked.get(booking.booking)
        if waiting and not found:
            option = standing.booked_options(booking)[0].reduced(booking.held)
            job = standing.queue.jobs[waiting[0][-1]]
            victims = _victims(option, leases, accounts, plan, now_ns, config, job, booking=booking)
            found += [Preemption(lease, Cause.BOOKING, waiting[0][-1]) for lease in victims if lease not in chosen]
    if found or isinstance(turns, AgeTurns):
        return tuple(found)
    latest_ns = now_ns - int(config.preempt_after_s * 1e9)
    for job, _, option in islice(guaranteed(standing, plan, turns, latest_ns), TRIED):
        whose = _inside_guarantee(accounts, turns, job.vendor, option.amounts)
        victims = _victims(option, leases, accounts, plan, now_ns, config, job, whose=whose)
        if victims:
            return tuple(Preemption(lease, Cause.GUARANTEE, job.job) for lease in victims)
    return ()


def for_safety(standing: Standing, plan: Plan, now_ns: int) -> Iterable[Preemption]:
    """Yield the leases to end because what they hold is closed now, and nothing may run there."""
    stopping = [c for c in standing.closures if c.stop_running and c.start_ns <= now_ns < c.end_ns]
    if not stopping:
        return
    floor = plan.floor
    for lease in sorted(standing.leases.values(), key=lambda lease: lease.lease):
        units = [floor.units[unit] for unit in lease.units if unit in floor.units]
        cells = [floor.cells[lease.cell]] if lease.cell is not None and lease.cell in floor.cells else []
        if not lease.ending and any(
            closure.venue or any(map(closure.covers_unit, units)) or any(map(closure.covers_cell, cells))
            for closure in stopping
        ):
            yield Preemption(lease.lease, Cause.SAFETY)


def guaranteed(standing: Standing, plan: Plan, turns: FairTurns, latest_ns: int) -> Iterable[tuple[Job, int, Option]]:
    """Yield the waiting jobs from before `latest_ns` that would not take their accounts beyond what these are
    guaranteed, the oldest first: with their shapes and the way to meet them."""
    accounts, queue = standing.accounts, standing.queue
    candidates: list[tuple[int, int, int]] = []
    for leaf in accounts.guaranteed & queue.heads_of.keys():
        if not any(short_of(turns.holding(link), accounts.vendors[link].guarantee) for link in accounts.chains[leaf]):
            continue
        for *_, shape in queue.heads_of[leaf][:LOOKED_AT]:
            left = (key for key in queue.shapes[shape].of_vendor[leaf] if key[-1] not in plan.granted)
            key = next(left, None)
            if key is not None and key[-2] <= latest_ns:
                candidates.append((key[-2], key[-1], shape))
    for _, job_id, shape in sorted(candidates):
        job = queue.jobs[job_id]
        for option in plan.options(shape):
            if (
                plan.profile.possible(option)
                and turns.allowed(job.vendor, option.amounts)
                and _inside_guarantee(accounts, turns, job.vendor, option.amounts)
            ):
                yield job, shape, option
                break


def _inside_guarantee(accounts: Accounts, turns: FairTurns, leaf: str, amounts: tuple[int, int, int]) -> str:
    """Return the lowest account above the job that stays within its guarantee in everything that the job takes."""
    for link in accounts.chains[leaf]:
        guarantee = accounts.vendors[link].guarantee
        if promises(guarantee) and _within(turns.holding(link), amounts, guarantee):
            return link
    return ""


def _within(held: Holding, amounts: tuple[int, int, int], guarantee: Amounts) -> bool:
    pairs = zip((held.units, held.slots, held.cells), amounts, (guarantee.units, guarantee.slots, guarantee.cells),
                strict=True)  # fmt: skip
    return all(more == 0 or have + more <= most for have, more, most in pairs)


def _victims(
    option: Option, leases: list[Lease], accounts: Accounts, plan: Plan, now_ns: int, config: Config, job: Job, *,
    booking: Booking | None = None, whose: str = "",
) -> list[int]:  # fmt: skip
    """Return the leases whose end lets the option start, or none if that is not to be had or on its way already.

    For the guarantee of the account `whose`, or for a booking. `leases` in the order in which they would have to end.
    """
    # A kind that a closure or a planned start takes can be below zero: what leases give back does not fill that hole.
    free = [max(0, n) for n in plan.profile.free]
    for lease in leases:
        if lease.ending:
            _add(free, lease, plan, 1)
    if _fits(option, free):
        return []
    left = {name: holding.copy() for name, holding in accounts.holdings.items()}
    victims: list[Lease] = []
    for lease in leases:
        young = now_ns - lease.start_ns < config.runtime_min_s * 1e9
        if lease.ending or young or lease.booking or not _borrows(lease, accounts, left, job, whose):
            continue
        for link in accounts.chains[lease.vendor]:
            left[link].add(_negative(lease), -1)
        _add(free, lease, plan, 1)
        victims.append(lease)
        if _fits(option, free):
            needed = _needed(option, victims, free, plan)
            if booking is not None or _lets_start(option, needed, leases, plan, job):
                return [lease.lease for lease in needed]
            return []
    return []


def _lets_start(option: Option, victims: list[Lease], leases: list[Lease], plan: Plan, job: Job) -> bool:
    """Whether the job could then really start, closures and what is planned for others considered."""
    freed: list[tuple[Entry, int]] = []
    for lease in [*victims, *(lease for lease in leases if lease.ending)]:
        freed += [(Entry(0, kind, 1), lease.end_ns) for kind in _held_by(lease, plan)]
        pools = ((SLOTS, lease.slots), (SEATS, lease.seats), (CHARGERS, lease.chargers))
        freed += [(Entry(0, pool, count), lease.end_ns) for pool, count in pools if count]
    return plan.could_start(job.job, option, freed)


def _needed(option: Option, victims: list[Lease], free: list[int], plan: Plan) -> list[Lease]:
    """Put back those without which it fits too, the ones whose end would lose most first."""
    kept = list(victims)
    for lease in reversed(victims):
        _add(free, lease, plan, -1)
        if _fits(option, free):
            kept.remove(lease)
        else:
            _add(free, lease, plan, 1)
    return kept


def _borrows(lease: Lease, accounts: Accounts, left: dict[str, Holding], job: Job, whose: str) -> bool:
    """Whether every account that holds the lease, and not the job, would keep what it is guaranteed without it.

    Nobody makes room for its own account's guarantee: it would be honoured no better than before. The venue's own
    leases have no account.
    """
    if lease.vendor not in accounts.chains or (whose and whose in accounts.chains[lease.vendor]):
        return False
    units, slots, cells = _amounts(lease)
    for link in accounts.chains[lease.vendor]:
        if link in accounts.chains[job.vendor]:
            continue
        guarantee, held = accounts.vendors[link].guarantee, left[link]
        if (
            (units and held.units - units < guarantee.units)
            or (slots and held.slots - slots < guarantee.slots)
            or (cells and held.cells - cells < guarantee.cells)
        ):
            return False
    return lease.vendor != job.vendor


def _fits(option: Option, free: list[int]) -> bool:
    return option.within(free.__getitem__, lambda part: part.kinds) is not None


def _amounts(lease: Lease) -> tuple[int, int, int]:
    return len(lease.units), lease.slots, int(lease.cell is not None)


def _negative(lease: Lease) -> tuple[int, int, int]:
    units, slots, cells = _amounts(lease)
    return -units, -slots, -cells


def _held_by(lease: Lease, plan: Plan) -> list[int]:
    floor = plan.floor
    kinds = [floor.kind_of[unit] for unit in lease.units if unit in floor.kind_of]
    if lease.cell is not None and lease.cell in floor.cells:
        kinds += floor.kinds_of_cell(lease.cell)
    return kinds


def _add(free: list[int], lease: Lease, plan: Plan, sign: int) -> None:
    for kind in _held_by(lease, plan):
        free[kind] += sign
    for pool, count in ((SLOTS, lease.slots), (SEATS, lease.seats), (CHARGERS, lease.chargers)):
        free[pool] += sign * count
