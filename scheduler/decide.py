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

from collections.abc import Sequence
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
        self._grants: list[Grant] = []
        self._reservations: list[Reservation] = []

    @property
    def full(self) -> bool:
        """Whether as many jobs as may hold a reservation do."""
        return len(self._reservations) >= self._config.reservations

    def decisions(self) -> Decisions:
        return Decisions(tuple(self._grants), tuple(self._reservations))

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
        self._grants.append(grant)
        return grant

    def reserve(self, job: Job) -> None:
        """Plan the job's start, if it can ever start with what is in order."""
        duration_ns = _duration_ns(job.claim)
        planned = self._profile.earliest(self._kinds.need(job.claim), duration_ns)
        if planned is None:
            return
        start_ns, entries = planned
        self._profile.take(entries, start_ns, start_ns + duration_ns)
        self._reservations.append(Reservation(job.job, start_ns))


def decide(state: State, config: Config) -> Decisions:
    """Return the grants to make now, in order, and the starts planned for blocked jobs.

    Every unit, slot and cell occurs in at most one grant.
    """
    if not state.runner_ready or not state.jobs:
        return Decisions()
    plan = _Plan(state, config)
    shares = _shares(state, config)
    totals = (len(state.units), len(state.slots) + state.unnamed.count, len(state.cells))

    def started(job: Job) -> bool:
        grant = plan.start(job)
        if grant is not None:
            shares[_queue_of(job, config)].take(grant)
        return grant is not None

    eldest = _eldest(state, config, plan)
    # What has been looked at out of turn.
    seen: set[int] = set()
    if eldest is not None:
        seen.add(eldest.job)
        if not started(eldest):
            plan.reserve(eldest)
            if config.backfill is Backfill.NONE:
                return plan.decisions()

    passing = False
    candidates = list(shares.values())
    while candidates := [share for share in candidates if share.queue]:
        if plan.full and not passing:
            passing = True
            for job in _due(candidates, state, config):
                if job.job not in seen and not started(job):
                    plan.reserve(job)
                seen.add(job.job)
            if config.backfill is Backfill.SHORTEST:
                for share in candidates:
                    share.queue.sort(key=_by_length, reverse=True)
        share = candidates[0] if len(candidates) == 1 else min(candidates, key=lambda s: _turn(s, totals))
        job = share.queue.pop()
        if job.job in seen or started(job):
            continue
        if config.backfill is Backfill.NONE and plan.possible(job.claim):
            break
        if not plan.full and _age_ns(job, state) >= config.hold_after_s * 1e9:
            plan.reserve(job)
    return plan.decisions()


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


def _age_ns(job: Job, state: State) -> int:
    return state.now_ns - job.create_ns


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
    return mine, share.vendor.used_share / share.vendor.weight, job.create_ns, job.job


def _eldest(state: State, config: Config, plan: _Plan) -> Job | None:
    """Return the oldest job that has waited too long and would start if only the running leases ended.

    What waits for a broken or absent unit is passed over: nobody knows when that ends, and until then the whole venue
    would be kept waiting with it.
    """
    for job in sorted(state.jobs, key=_by_age):
        if _age_ns(job, state) < config.hold_after_s * 1e9:
            return None
        if plan.possible(job.claim):
            return job
    return None


def _due(shares: Sequence[_Share], state: State, config: Config) -> list[Job]:
    """Return the waiting jobs that would end after the bound of flow time even if they started now, the oldest first.

    What has not waited `hold_after_s` is not among them: a long claim alone is no reason.
    """
    hold_after_ns, flow_max_ns = config.hold_after_s * 1e9, config.flow_max_s * 1e9

    def due(job: Job) -> bool:
        age_ns = _age_ns(job, state)
        return age_ns >= hold_after_ns and age_ns + _duration_ns(job.claim) >= flow_max_ns

    return sorted((job for share in shares for job in share.queue if due(job)), key=_by_age)
