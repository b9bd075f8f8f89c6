"""Who gets what now: a pure function of the state.

Between vendors: weighted dominant-resource fairness (Ghodsi et al., NSDI 2011): again and again the vendor whose
largest share of any one resource is smallest may start its best job. Past use breaks ties, then the age of the job.
Within a vendor: priority, then age. A claim is granted whole or not at all.

Over time: the planned ends of what runs tell when a blocked job can start. The first blocked jobs hold such planned
starts as reservations, and from then on a job starts only if it delays none of them: it ends before, or uses only what
they leave. The job that has waited longest of all (of those that could start at all with what is in order) holds the
first one, so that a large gang starts when the leases that it waits for end. What may hold one and how many, `Config`
says. The same code decides in a venue and in a replay.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from scheduler.kinds import Kinds
from scheduler.profile import Profile
from scheduler.state import Backfill, Claim, Config, Decisions, Grant, Job, Order, Reservation, State, Vendor


@dataclass
class _Share:
    """A vendor's holdings while deciding, and its jobs, the best one last."""

    vendor: Vendor
    units: int
    slots: int
    cells: int
    queue: list[Job] = field(default_factory=list)

    def take(self, grant: Grant) -> None:
        self.units += len(grant.units)
        self.slots += len(grant.slots) + grant.unnamed
        self.cells += grant.cell is not None


class _Plan:
    """What is given and planned so far within one decision."""

    def __init__(self, state: State, config: Config) -> None:
        self._now_ns, self._config = state.now_ns, config
        self._kinds = Kinds(state)
        self._profile = Profile(state.now_ns, self._kinds.free(), self._kinds.ends)
        # Free counts only shrink within a decision, so a claim that failed once fails for the rest of it.
        self._hopeless: set[Claim] = set()
        self.grants: list[Grant] = []
        self.reservations: list[Reservation] = []

    @property
    def full(self) -> bool:
        return len(self.reservations) >= self._config.reservations

    def possible(self, claim: Claim) -> bool:
        """Whether the claim could start if only the running leases ended."""
        return self._profile.ever(self._kinds.need(claim))

    def start(self, job: Job) -> Grant | None:
        """Start the job if that delays no reservation."""
        claim = job.claim
        if claim in self._hopeless:
            return None
        duration_ns = _duration_ns(claim)
        entries = self._profile.now(self._kinds.need(claim), duration_ns)
        if entries is None:
            self._hopeless.add(claim)
            return None
        self._profile.take(entries, self._now_ns, self._now_ns + duration_ns)
        grant = self._kinds.grant(job, entries)
        self.grants.append(grant)
        return grant

    def reserve(self, job: Job) -> bool:
        """Plan the job's start; return whether there is one."""
        duration_ns = _duration_ns(job.claim)
        planned = self._profile.earliest(self._kinds.need(job.claim), duration_ns)
        if planned is None:
            return False
        start_ns, entries = planned
        self._profile.take(entries, start_ns, start_ns + duration_ns)
        self.reservations.append(Reservation(job.job, start_ns))
        return True


def decide(state: State, config: Config) -> Decisions:
    """Return the grants to make now, in order, and the starts planned for blocked jobs.

    Every unit, slot and cell occurs in at most one grant.
    """
    if not state.runner_ready or not state.jobs:
        return Decisions()
    plan = _Plan(state, config)
    shares = _shares(state, config)
    elders: set[int] = set()

    for job in _elders(state, config, plan):
        elders.add(job.job)
        grant = plan.start(job)
        if grant is not None:
            shares[_queue_of(job, config)].take(grant)
        elif plan.reserve(job) and config.backfill is Backfill.NONE:
            return Decisions(tuple(plan.grants), tuple(plan.reservations))

    totals = (len(state.units), len(state.slots) + state.unnamed.count, len(state.cells))
    shortest_first = False
    while candidates := [share for share in shares.values() if share.queue]:
        if plan.full and config.backfill is Backfill.SHORTEST and not shortest_first:
            shortest_first = True
            for share in candidates:
                share.queue.sort(key=_by_length, reverse=True)
        share = candidates[0] if len(candidates) == 1 else min(candidates, key=lambda s: _turn(s, totals))
        job = share.queue.pop()
        if job.job in elders:
            continue
        grant = plan.start(job)
        if grant is not None:
            share.take(grant)
            continue
        if not plan.full and state.now_ns - job.create_ns >= config.hold_after_s * 1e9:
            plan.reserve(job)
        if config.backfill is Backfill.NONE and plan.possible(job.claim):
            break
    return Decisions(tuple(plan.grants), tuple(plan.reservations))


def dominant_share(vendor: Vendor, units: int, slots: int, cells: int, totals: tuple[int, int, int]) -> float:
    """Return the largest of the vendor's shares of units, slots and cells, divided by its weight."""
    pairs = zip((units, slots, cells), totals, strict=True)
    return max((held / total for held, total in pairs if total), default=0.0) / vendor.weight


def in_order(jobs: Sequence[Job]) -> list[Job]:
    """Return a vendor's jobs as they are considered: priority, then age."""
    return sorted(jobs, key=lambda job: (-job.priority, job.create_ns, job.job))


_by_age = attrgetter("create_ns", "job")


def _by_length(job: Job) -> tuple[int, float, int, int]:
    return -job.priority, job.claim.duration_s, job.create_ns, job.job


def _duration_ns(claim: Claim) -> int:
    return int(claim.duration_s * 1e9)


def _queue_of(job: Job, config: Config) -> str:
    return job.vendor if config.order is Order.FAIR else ""


def _shares(state: State, config: Config) -> dict[str, _Share]:
    """Return the queues by vendor, or all as one where only the time of submission counts."""
    if config.order is Order.SUBMIT:
        return {"": _Share(Vendor(""), 0, 0, 0, sorted(state.jobs, key=_by_age, reverse=True))}
    shares = {
        vendor.vendor: _Share(vendor, vendor.held_units, vendor.held_slots, vendor.held_cells)
        for vendor in sorted(state.vendors, key=lambda v: v.vendor)
    }
    for job in state.jobs:
        shares[job.vendor].queue.append(job)
    for share in shares.values():
        share.queue = in_order(share.queue)[::-1]
    return shares


def _turn(share: _Share, totals: tuple[int, int, int]) -> tuple[float, float, int, int]:
    job = share.queue[-1]
    mine = dominant_share(share.vendor, share.units, share.slots, share.cells, totals)
    return mine, share.vendor.used_share_s / share.vendor.weight, job.create_ns, job.job


def _elders(state: State, config: Config, plan: _Plan) -> Iterator[Job]:
    """Yield the oldest job that has waited too long and would start if only leases ended, and all beyond the bound.

    What waits for a broken or absent unit is passed over: nobody knows when that ends, and until then the whole venue
    would be kept waiting with it.
    """
    first = True
    for job in sorted(state.jobs, key=_by_age):
        age_ns = state.now_ns - job.create_ns
        if age_ns < config.hold_after_s * 1e9 or (not first and age_ns < config.age_max_s * 1e9):
            return
        if plan.possible(job.claim):
            first = False
            yield job
