"""A venue in virtual time: what is free, what runs and who waits, moved on by `decide` alone.

Replays and estimates both use it: a replay fills an empty ground with the jobs of a log, an estimate takes the state of
a moment and lets it run on. The planned end of a lease (what its claim asked for) is all that deciding ever sees; when
a job really ends, the caller says by `end`.

Past use fades with a half-life (`scheduler.decay`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from scheduler.account import Accounts
from scheduler.decay import decayed
from scheduler.decide import decide
from scheduler.option import CHARGERS, SEATS, SLOTS
from scheduler.standing import Standing
from scheduler.state import Config, Decisions, Grant, Job, Lease, State, Unnamed, Vendor

# Of what nobody knows the end.
NEVER_NS = 2**62
Pairs = Sequence[tuple[int, int]]


class Ground:
    """Things, leases and waiting jobs of one venue, in virtual time.

    The ground of a State takes over everything in it: its leases end when somebody says so, what is taken without a
    lease becomes free at its planned end, if it has one. Sim slots lose their names: like ones are told by number. A
    slot whose planned end has come counts as free even if its job has not been ended yet; but what the state tells as
    taken is taken at that moment, also if it should have ended by then: it ends one nanosecond later at the earliest.
    """

    def __init__(self, state: State, *, half_life_s: float | None = None) -> None:
        """Begin with a state. Past use fades with `half_life_s`; without it, it stays as it is told.

        Raises ValueError if an account stands under an unknown one.
        """
        self.now_ns = state.now_ns
        # What began in the last step.
        self.begun: tuple[Lease, ...] = ()
        slots_busy = self._later(
            [*((_end(slot.end_ns), 1) for slot in state.slots if not slot.free), *state.unnamed.busy]
        )
        leases = tuple(replace(lease, end_ns=max(lease.end_ns, self.now_ns + 1)) for lease in state.leases)
        self._slots = len(state.slots) + state.unnamed.count
        self._told = replace(
            state,
            slots=(),
            unnamed=Unnamed(self._slots, tuple(slots_busy)),
            seats=replace(state.seats, busy=tuple(self._later(state.seats.busy))),
            chargers=replace(state.chargers, busy=tuple(self._later(state.chargers.busy))),
            leases=leases,
        )
        self._standing = Standing.of(self._told)
        self._leases = {lease.job: lease for lease in leases}
        # How many jobs of each vendor wait.
        self._waiting = Counter(job.vendor for job in state.jobs)
        self._half_life_ns = None if half_life_s is None else half_life_s * 1e9
        self._vendors = {vendor.vendor: vendor for vendor in state.vendors}
        self._used_ns = dict.fromkeys(self._vendors, state.now_ns)
        self._tree = any(vendor.parent for vendor in state.vendors)
        self._totals = (len(state.units), self._slots, len(state.cells))
        # What is taken without a lease, and until when.
        self._loose_slots = _without(slots_busy, [(x.end_ns, x.slots) for x in leases])
        units, cells = {name for x in leases for name in x.units}, {x.cell for x in leases}
        self._loose_units = {
            x.unit: max(_end(x.end_ns), self.now_ns + 1)
            for x in state.units
            if x.usable and not x.free and x.unit not in units
        }
        self._loose_cells = {
            x.cell: max(_end(x.end_ns), self.now_ns + 1) for x in state.cells if not x.free and x.cell not in cells
        }
        self._loose_pools = {
            SEATS: _without(self._told.seats.busy, [(x.end_ns, x.seats) for x in leases]),
            CHARGERS: _without(self._told.chargers.busy, [(x.end_ns, x.chargers) for x in leases]),
        }

    def copy(self) -> "Ground":
        """Return a ground that goes on from here by itself."""
        twin = Ground(self.state(self.now_ns))
        twin._half_life_ns = self._half_life_ns
        return twin

    @property
    def waiting(self) -> bool:
        """Whether any job waits."""
        return bool(self._standing.queue)

    def leases(self) -> tuple[Lease, ...]:
        """Return what runs."""
        return tuple(self._leases.values())

    def runs(self, job: int) -> bool:
        """Whether the job holds a lease."""
        return job in self._leases

    def changes(self) -> tuple[int, ...]:
        """Return when something will change by itself: closures and bookings begin and end, units become ready."""
        told = self._told
        times_ns = {time_ns for closure in told.closures for time_ns in (closure.start_ns, closure.end_ns)}
        times_ns |= {time_ns for booking in told.bookings for time_ns in (booking.start_ns, booking.end_ns)}
        times_ns |= {time_ns for unit in told.units for time_ns in (unit.ready_ns, unit.renewed_ns or 0)}
        times_ns |= {*self._loose_units.values(), *self._loose_cells.values()}
        times_ns |= {end_ns for pairs in (self._loose_slots, *self._loose_pools.values()) for end_ns, _ in pairs}
        return tuple(sorted(time_ns for time_ns in times_ns if self.now_ns < time_ns < NEVER_NS))

    def slots_free(self, now_ns: int) -> int:
        """Return how many sim slots are free."""
        return self._slots - sum(count for _, count in self._slots_busy(now_ns))

    def submit(self, job: Job, now_ns: int) -> None:
        """Let a job wait; its vendor is made known with weight 1 if it is not yet."""
        self.now_ns = now_ns
        self._standing.submit(job)
        self._waiting[job.vendor] += 1
        if job.vendor not in self._vendors:
            self._vendors[job.vendor] = Vendor(job.vendor)
            self._used_ns[job.vendor] = now_ns
            self._standing.accounts = Accounts.of(self._concerned(now_ns))

    def end(self, job: int, now_ns: int) -> None:
        """End the lease of a job: what it held is free. Raises KeyError if it holds none."""
        self.now_ns = now_ns
        lease = self._leases.pop(job)
        # Slots are told anew in each step.
        self._standing.end(lease.lease)
        self._hold(lease, -1)

    def preempt(self, lease: int) -> int:
        """Note that a lease is asked to end, and return its job. Raises KeyError if there is none."""
        asked = replace(self._standing.leases[lease], ending=True)
        self._standing.leases[lease] = self._leases[asked.job] = asked
        return asked.job

    def state(self, now_ns: int) -> State:
        """Return what deciding would look at now."""
        self._move(now_ns)
        units, cells, _, unnamed, seats, chargers = self._standing.floor.contents()
        return replace(
            self._told,
            now_ns=now_ns,
            units=units,
            cells=cells,
            vendors=self._concerned(now_ns),
            jobs=tuple(self._standing.queue.jobs.values()),
            unnamed=unnamed,
            seats=seats,
            chargers=chargers,
            leases=self.leases(),
        )

    def step(self, now_ns: int, config: Config) -> Decisions:
        """Decide, and let what is granted begin; preemptions are told, but the caller ends what they name."""
        self._move(now_ns)
        if self._half_life_ns is not None:
            self._standing.accounts = Accounts.of(self._concerned(now_ns))
        decisions = decide(self._standing, now_ns, config)
        self.begun = tuple(self._start(grant) for grant in decisions.grants)
        return decisions

    def _start(self, grant: Grant) -> Lease:
        job = self._standing.queue.jobs[grant.job]
        claim = grant.chosen(job.claim)
        lease = Lease(
            # Below zero, not to be taken for one of the state that this began with.
            lease=-1 - job.job,
            job=job.job,
            vendor=job.vendor,
            start_ns=self.now_ns,
            end_ns=self.now_ns + round(claim.duration_s * 1e9),
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
        self._standing.start(grant, lease)
        self._waiting[job.vendor] -= 1
        self._hold(lease, 1)
        return lease

    def _move(self, now_ns: int) -> None:
        """Let what has ended by itself be free."""
        self.now_ns = now_ns
        floor = self._standing.floor
        for unit in [name for name, end_ns in self._loose_units.items() if end_ns <= now_ns]:
            del self._loose_units[unit]
            floor.release_unit(unit)
        for cell in [name for name, end_ns in self._loose_cells.items() if end_ns <= now_ns]:
            del self._loose_cells[cell]
            floor.release_cell(cell)
        for pool, pairs in self._loose_pools.items():
            for end_ns, count in [pair for pair in pairs if pair[0] <= now_ns]:
                pairs.remove((end_ns, count))
                floor.release_pool(pool, end_ns, count)
        floor.set_pool(SLOTS, self._slots_busy(now_ns))

    def _slots_busy(self, now_ns: int) -> list[tuple[int, int]]:
        busy = [(x.end_ns, x.slots) for x in self._leases.values() if x.slots and x.end_ns > now_ns]
        return busy + [pair for pair in self._loose_slots if pair[0] > now_ns] if self._loose_slots else busy

    def _later(self, busy: Pairs) -> list[tuple[int, int]]:
        """Return what is taken, as (end_ns, count), with ends after the present moment only."""
        return [(max(end_ns, self.now_ns + 1), count) for end_ns, count in busy]

    def _hold(self, lease: Lease, sign: int) -> None:
        """Count a lease to its vendor, after what was used until now has been averaged in.

        The house has leases too, for its checks of units, and no account.
        """
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

    def _concerned(self, now_ns: int) -> tuple[Vendor, ...]:
        """Return the vendors that have anything here now, for a log may know hundreds; a tree of them as a whole."""
        names = set(self._vendors)
        if not self._tree:
            names = {*+self._waiting, *(lease.vendor for lease in self._leases.values())}
            names |= {booking.vendor for booking in self._told.bookings}
        return tuple(self._faded(self._vendors[name], now_ns) for name in sorted(names & self._vendors.keys()))

    def _faded(self, vendor: Vendor, now_ns: int) -> Vendor:
        if self._half_life_ns is None:
            return vendor
        held = (vendor.held_units, vendor.held_slots, vendor.held_cells)
        share = max((part / total for part, total in zip(held, self._totals, strict=True) if total), default=0.0)
        dt_ns = now_ns - self._used_ns[vendor.vendor]
        return replace(vendor, used_share=decayed(vendor.used_share, share, dt_ns, self._half_life_ns))


def decide_on(state: State, config: Config) -> Decisions:
    """Return what is decided on a state at its moment."""
    return decide(Standing.of(state), state.now_ns, config)


def _end(end_ns: int | None) -> int:
    return NEVER_NS if end_ns is None else end_ns


def _without(taken: Pairs, leased: Pairs) -> list[tuple[int, int]]:
    """Return what is taken, as (end_ns, count), besides what leases hold."""
    rest: Counter[int] = Counter()
    for end_ns, count in taken:
        rest[end_ns] += count
    for end_ns, count in leased:
        rest[end_ns] -= count
    return [(end_ns, count) for end_ns, count in rest.items() if count > 0]
