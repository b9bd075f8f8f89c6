"""Who gets what now: a pure function of the state.

Between vendors: weighted dominant-resource fairness (Ghodsi et al., NSDI 2011): again and again the vendor whose
largest share of any one resource is smallest may start its best job. Past use breaks ties, then the age of the job.
Within a vendor: priority, then age. A claim is granted whole or not at all.

A job that cannot start does not stop smaller ones behind it, until it has waited `hold_after_s`; from then on the free
units, slots and the cell that it could use are kept for the one job that has waited longest (of those that could start
at all with what is in order), so that a large gang starts after the running leases end at the latest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from scheduler.matching import cell_matches, choose, matches
from scheduler.state import Cell, Claim, Config, Decisions, Grant, Job, SimSlot, State, Unit, Vendor


@dataclass
class _Pool:
    """What is left to give within one decision."""

    units: list[Unit]
    slots: list[SimSlot]
    cells: list[Cell]

    def fit(self, claim: Claim) -> tuple[tuple[str, ...], tuple[str, ...], str | None] | None:
        """Return names for the whole claim, or None."""
        if claim.sim_slots > len(self.slots):
            return None
        cell = None
        if claim.cell is not None:
            request = claim.cell
            cell = next((c.cell for c in self.cells if cell_matches(request, c)), None)
            if cell is None:
                return None
        units = choose(claim.units, self.units)
        if units is None:
            return None
        return units, tuple(slot.slot for slot in self.slots[: claim.sim_slots]), cell

    def take(self, grant: Grant) -> None:
        self.units = [unit for unit in self.units if unit.unit not in grant.units]
        self.slots = [slot for slot in self.slots if slot.slot not in grant.slots]
        self.cells = [cell for cell in self.cells if cell.cell != grant.cell]

    def hold_back(self, claim: Claim) -> None:
        """Keep from everybody else what the claim could use: as much as it needs, or all there is if that is less."""
        enough = choose(claim.units, self.units)
        if enough is None:
            self.units = [unit for unit in self.units if not any(matches(request, unit) for request in claim.units)]
        else:
            self.units = [unit for unit in self.units if unit.unit not in enough]
        self.slots = self.slots[claim.sim_slots :]
        if claim.cell is not None:
            request = claim.cell
            kept = next((cell for cell in self.cells if cell_matches(request, cell)), None)
            self.cells = [cell for cell in self.cells if cell is not kept]


@dataclass
class _Share:
    """A vendor's holdings while deciding."""

    vendor: Vendor
    units: int
    slots: int
    cells: int
    queue: list[Job] = field(default_factory=list)

    def take(self, grant: Grant) -> None:
        self.units += len(grant.units)
        self.slots += len(grant.slots)
        self.cells += grant.cell is not None


def decide(state: State, config: Config) -> Decisions:
    """Return the grants to make now, in order. Every unit, slot and cell occurs in at most one of them."""
    if not state.runner_ready:
        return Decisions()
    pool = _Pool(
        [unit for unit in sorted(state.units, key=lambda u: u.unit) if unit.free and unit.usable],
        [slot for slot in sorted(state.slots, key=lambda s: s.slot) if slot.free],
        [cell for cell in sorted(state.cells, key=lambda c: c.cell) if cell.free],
    )
    totals = (len(state.units), len(state.slots), len(state.cells))
    shares = _shares(state)
    grants: list[Grant] = []

    held = _longest_waiting(state, config)
    if held is not None:
        grant = _try(held, pool)
        if grant is None:
            pool.hold_back(held.claim)
        else:
            _apply(grant, held, pool, shares, grants)

    # Resources only shrink from here on, so a claim that failed once fails for the rest of this decision.
    hopeless: set[Claim] = set()
    while True:
        candidates = [share for share in shares.values() if share.queue]
        if not candidates:
            break
        share = min(candidates, key=lambda s: (dominant_share(s.vendor, s.units, s.slots, s.cells, totals),
                                               s.vendor.used_share_s / s.vendor.weight,
                                               s.queue[0].create_ns, s.queue[0].job))  # fmt: skip
        job = share.queue.pop(0)
        if job.claim in hopeless or job is held:
            continue
        grant = _try(job, pool)
        if grant is None:
            hopeless.add(job.claim)
        else:
            _apply(grant, job, pool, shares, grants)
    still_held = held.job if held is not None and all(grant.job != held.job for grant in grants) else None
    return Decisions(tuple(grants), still_held)


def dominant_share(vendor: Vendor, units: int, slots: int, cells: int, totals: tuple[int, int, int]) -> float:
    """Return the largest of the vendor's shares of units, slots and cells, divided by its weight."""
    pairs = zip((units, slots, cells), totals, strict=True)
    return max((held / total for held, total in pairs if total), default=0.0) / vendor.weight


def in_order(jobs: Sequence[Job]) -> list[Job]:
    """Return a vendor's jobs as they are considered: priority, then age."""
    return sorted(jobs, key=lambda job: (-job.priority, job.create_ns, job.job))


def _shares(state: State) -> dict[str, _Share]:
    shares = {
        vendor.vendor: _Share(vendor, vendor.held_units, vendor.held_slots, vendor.held_cells)
        for vendor in sorted(state.vendors, key=lambda v: v.vendor)
    }
    for job in state.jobs:
        shares[job.vendor].queue.append(job)
    for share in shares.values():
        share.queue = in_order(share.queue)
    return shares


def _longest_waiting(state: State, config: Config) -> Job | None:
    """Return the oldest job that has waited too long and would start if only the running leases ended.

    What waits for a broken or absent unit is passed over: nobody knows when that ends, and until then the whole venue
    would be kept waiting with it.
    """
    usable = [unit for unit in state.units if unit.usable]
    hopeless: set[Claim] = set()
    for job in sorted(state.jobs, key=lambda job: (job.create_ns, job.job)):
        if state.now_ns - job.create_ns < config.hold_after_s * 1e9:
            return None
        claim, cell = job.claim, job.claim.cell
        if claim in hopeless:
            continue
        if (
            claim.sim_slots <= len(state.slots)
            and (cell is None or any(cell_matches(cell, other) for other in state.cells))
            and choose(claim.units, usable) is not None
        ):
            return job
        hopeless.add(claim)
    return None


def _try(job: Job, pool: _Pool) -> Grant | None:
    found = pool.fit(job.claim)
    return None if found is None else Grant(job.job, job.vendor, *found)


def _apply(grant: Grant, job: Job, pool: _Pool, shares: dict[str, _Share], grants: list[Grant]) -> None:
    pool.take(grant)
    shares[job.vendor].take(grant)
    grants.append(grant)
