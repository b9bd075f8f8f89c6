"""A venue in virtual time: what is free, what runs and who waits, moved on by `decide` alone.

Replays and estimates both use it: a replay fills an empty ground with the jobs of a log, an estimate takes the state of
a moment and lets it run on. The planned end of a lease (what its claim asked for) is all that deciding ever sees; when
a job really ends, the caller says by `end`.

Past use fades with a half-life h: a vendor's used share u follows its share now r by u(t + dt) = r + (u(t) - r)
2^(-dt/h), the average that HTCondor calls real user priority (HTCondor manual, "User Priorities").
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from scheduler.decide import decide
from scheduler.state import Claim, Config, Decisions, Grant, Job, Lease, State, Unnamed, Vendor

HALF_LIFE_S = 24 * 3600.0
# Of what nobody knows the end.
NEVER_NS = 2**62
Pairs = Sequence[tuple[int, int]]


class Ground:
    """Things, leases and waiting jobs of one venue, in virtual time.

    The ground of a State takes over everything in it: its leases end when somebody says so, what is taken without a
    lease becomes free at its planned end, if it has one. Sim slots lose their names: like ones are told by number.
    """

    def __init__(self, state: State, *, half_life_s: float | None = None) -> None:
        """Begin with a state. Past use fades with `half_life_s`; without it, it stays as it is told."""
        self.now_ns = state.now_ns
        # What began in the last step.
        self.begun: tuple[Lease, ...] = ()
        self._told = state
        self._half_life_ns = None if half_life_s is None else half_life_s * 1e9
        self._units = {unit.unit: unit for unit in state.units}
        self._cells = {cell.cell: cell for cell in state.cells}
        self._slots = len(state.slots) + state.unnamed.count
        self._totals = (len(state.units), self._slots, len(state.cells))
        self._leases = {lease.job: lease for lease in state.leases}
        self._jobs = {job.job: job for job in state.jobs}
        self._vendors = {vendor.vendor: vendor for vendor in state.vendors}
        self._tree = any(vendor.parent for vendor in state.vendors)
        self._used_ns = dict.fromkeys(self._vendors, state.now_ns)
        # What is taken without a lease: (end_ns, count), for ever where nobody knows its end.
        slots = [(_end(slot.end_ns), 1) for slot in state.slots if not slot.free]
        leases = state.leases
        self._loose_slots = _without([*slots, *state.unnamed.busy], [(x.end_ns, x.slots) for x in leases])
        self._loose_seats = _without(state.seats.busy, [(x.end_ns, x.seats) for x in leases])
        self._loose_chargers = _without(state.chargers.busy, [(x.end_ns, x.chargers) for x in leases])
        units, cells = {name for x in leases for name in x.units}, {x.cell for x in leases}
        self._loose_units = {x.unit: _end(x.end_ns) for x in state.units if not x.free and x.unit not in units}
        self._loose_cells = {x.cell: _end(x.end_ns) for x in state.cells if not x.free and x.cell not in cells}

    def copy(self) -> "Ground":
        """Return a ground that goes on from here by itself."""
        twin = Ground.__new__(Ground)
        twin.__dict__.update(self.__dict__)
        for name in ("_units", "_cells", "_leases", "_jobs", "_vendors", "_used_ns", "_loose_units", "_loose_cells"):
            setattr(twin, name, dict(getattr(self, name)))
        return twin

    @property
    def waiting(self) -> bool:
        """Whether any job waits."""
        return bool(self._jobs)

    def leases(self) -> tuple[Lease, ...]:
        """Return what runs."""
        return tuple(self._leases.values())

    def changes(self) -> tuple[int, ...]:
        """Return when something will change by itself: closures and bookings begin and end, units become ready."""
        told = self._told
        times_ns = {time_ns for closure in told.closures for time_ns in (closure.start_ns, closure.end_ns)}
        times_ns |= {time_ns for booking in told.bookings for time_ns in (booking.start_ns, booking.end_ns)}
        times_ns |= {time_ns for unit in told.units for time_ns in (unit.ready_ns, unit.renewed_ns or 0)}
        times_ns |= {time_ns for loose in (self._loose_units, self._loose_cells) for time_ns in loose.values()}
        for pairs in (self._loose_slots, self._loose_seats, self._loose_chargers):
            times_ns |= {time_ns for time_ns, _ in pairs}
        return tuple(sorted(time_ns for time_ns in times_ns if self.now_ns < time_ns < NEVER_NS))

    def slots_free(self, now_ns: int) -> int:
        """Return how many sim slots are free, those whose planned end has come among them."""
        leased = [(x.end_ns, x.slots) for x in self._leases.values()]
        return self._slots - sum(count for _, count in _busy(leased, self._loose_slots, now_ns))

    def submit(self, job: Job, now_ns: int) -> None:
        """Let a job wait; its vendor is made known with weight 1 if it is not yet."""
        self.now_ns = now_ns
        self._jobs[job.job] = job
        if job.vendor not in self._vendors:
            self._vendors[job.vendor] = Vendor(job.vendor)
            self._used_ns[job.vendor] = self.now_ns

    def end(self, job: int, now_ns: int) -> None:
        """End the lease of a job: what it held is free."""
        self.now_ns = now_ns
        lease = self._leases.pop(job)
        for unit in lease.units:
            self._units[unit] = replace(self._units[unit], free=True, end_ns=None)
        if lease.cell is not None:
            self._cells[lease.cell] = replace(self._cells[lease.cell], free=True, end_ns=None)
        self._hold(lease, -1)

    def runs(self, job: int) -> bool:
        """Whether the job holds a lease."""
        return job in self._leases

    def preempt(self, lease: int) -> int:
        """Note that a lease is asked to end, and return its job. Raises KeyError if there is none."""
        for job, held in self._leases.items():
            if held.lease == lease:
                self._leases[job] = replace(held, ending=True)
                return job
        raise KeyError(lease)

    def state(self, now_ns: int) -> State:
        """Return what deciding would look at now."""
        self._free_loose(now_ns)
        leases = self.leases()
        # A log may know hundreds of vendors of whom few have anything here now; a tree of them is told as a whole.
        concerned = set(self._vendors)
        if not self._tree:
            concerned = {job.vendor for job in self._jobs.values()} | {lease.vendor for lease in leases}
        return replace(
            self._told,
            now_ns=now_ns,
            units=tuple(self._units.values()),
            slots=(),
            cells=tuple(self._cells.values()),
            vendors=tuple(
                self._faded(self._vendors[name], now_ns) for name in sorted(concerned) if name in self._vendors
            ),
            jobs=tuple(self._jobs.values()),
            unnamed=_pool(self._slots, [(x.end_ns, x.slots) for x in leases], self._loose_slots, now_ns),
            seats=_pool(self._told.seats.count, [(x.end_ns, x.seats) for x in leases], self._loose_seats, now_ns),
            chargers=_pool(
                self._told.chargers.count, [(x.end_ns, x.chargers) for x in leases], self._loose_chargers, now_ns
            ),
            leases=leases,
        )

    def step(self, now_ns: int, config: Config) -> Decisions:
        """Decide, and let what is granted begin; preemptions are told, but the caller ends what they name."""
        self.now_ns = now_ns
        decisions = decide(self.state(now_ns), config)
        self.begun = tuple(self._start(grant) for grant in decisions.grants)
        return decisions

    def _start(self, grant: Grant) -> Lease:
        job = self._jobs.pop(grant.job)
        claim = claim_granted(job.claim, grant)
        end_ns = self.now_ns + round(claim.duration_s * 1e9)
        for unit in grant.units:
            self._units[unit] = replace(self._units[unit], free=False, end_ns=end_ns)
        if grant.cell is not None:
            self._cells[grant.cell] = replace(self._cells[grant.cell], free=False, end_ns=end_ns)
        lease = Lease(
            # Below zero, not to be taken for one of the state that this began with.
            lease=-1 - job.job,
            job=job.job,
            vendor=job.vendor,
            start_ns=self.now_ns,
            end_ns=end_ns,
            units=grant.units,
            slots=grant.unnamed + len(grant.slots),
            cell=grant.cell,
            seats=grant.seats,
            chargers=grant.chargers,
            priority=job.priority,
            safe_ns=self.now_ns,
            booking=job.booking,
        )
        self._leases[job.job] = lease
        self._hold(lease, 1)
        return lease

    def _hold(self, lease: Lease, sign: int) -> None:
        """Count a lease to its vendor, after what was used until now has been averaged in."""
        if lease.vendor not in self._vendors:
            return
        vendor = self._faded(self._vendors[lease.vendor], self.now_ns)
        self._used_ns[lease.vendor] = self.now_ns
        self._vendors[lease.vendor] = replace(
            vendor,
            held_units=vendor.held_units + sign * len(lease.units),
            held_slots=vendor.held_slots + sign * lease.slots,
            held_cells=vendor.held_cells + sign * (lease.cell is not None),
            leases=vendor.leases + sign,
        )

    def _faded(self, vendor: Vendor, now_ns: int) -> Vendor:
        if self._half_life_ns is None:
            return vendor
        held = (vendor.held_units, vendor.held_slots, vendor.held_cells)
        share = max((part / total for part, total in zip(held, self._totals, strict=True) if total), default=0.0)
        kept = 0.5 ** ((now_ns - self._used_ns[vendor.vendor]) / self._half_life_ns)
        return replace(vendor, used_share=share + (vendor.used_share - share) * kept)

    def _free_loose(self, now_ns: int) -> None:
        for unit in [name for name, end_ns in self._loose_units.items() if end_ns <= now_ns]:
            self._units[unit] = replace(self._units[unit], free=True, end_ns=None)
            del self._loose_units[unit]
        for cell in [name for name, end_ns in self._loose_cells.items() if end_ns <= now_ns]:
            self._cells[cell] = replace(self._cells[cell], free=True, end_ns=None)
            del self._loose_cells[cell]


def claim_granted(claim: Claim, grant: Grant) -> Claim:
    """Return the claim itself, or the alternative of it that was granted."""
    return claim.alternatives[grant.alternative - 1] if grant.alternative else claim


def _end(end_ns: int | None) -> int:
    return NEVER_NS if end_ns is None else end_ns


def _pool(count: int, leased: Pairs, loose: Pairs, now_ns: int) -> Unnamed:
    return Unnamed(count, tuple(_busy(leased, loose, now_ns)) if count else ())


def _busy(leased: Pairs, loose: Pairs, now_ns: int) -> list[tuple[int, int]]:
    """Return the (end_ns, count) of what is in use; what should have ended by now counts as free."""
    return [pair for pairs in (leased, loose) for pair in pairs if pair[1] and pair[0] > now_ns]


def _without(taken: Pairs, leased: Pairs) -> Pairs:
    """Return what is taken, as (end_ns, count), besides what leases hold."""
    rest: Counter[int] = Counter()
    for end_ns, count in taken:
        rest[end_ns] += count
    for end_ns, count in leased:
        rest[end_ns] -= count
    return [(end_ns, count) for end_ns, count in rest.items() if count > 0]
