"""Who gets what now: a pure function of the standing of a venue.

Between vendors: weighted dominant-resource fairness over what is held now and was used before (`scheduler.turns`).
Within a vendor: priority, deadline, age. A claim is granted whole or not at all, as the first of its alternatives that
can start.

Over time: the planned ends of what runs, closures and bookings tell when a blocked job can start. The first blocked
jobs hold such planned starts as reservations, and from then on a job starts only if it delays none of them: it ends
before, or uses only what they leave. The job that has waited longest (of those that could start at all with what is in
order, of vendors that hold less than their part) holds the first one, so that a large gang starts when the leases that
it waits for end. What may hold one and how many, `Config` says. The same code decides in a venue, in a replay and in a
what-if.

The work of a decision grows with what it grants, with the number of shapes and with the number of kinds: neither with
the length of the queue nor with the number of units.
"""

from bisect import bisect_right
from collections.abc import Iterator
from functools import partial
from math import isinf

from scheduler.account import dominant_share
from scheduler.plan import Plan
from scheduler.preempt import for_safety, guaranteed, preemptions
from scheduler.standing import Standing
from scheduler.state import Backfill, Config, Decisions, Job, Order
from scheduler.turns import AgeTurns, FairTurns

# Oldest jobs of a shape among which one is sought whose vendor holds neither its fair part nor all that it may.
ELDEST_LOOKED_AT = 16
# Greater than every job's number.
MAX_JOB = 1 << 62
# So many shapes that failed one after the other make it worth while to compare them all with what is left.
FAILURES = 48


def decide(standing: Standing, now_ns: int, config: Config) -> Decisions:
    """Return what to grant now, in order, the starts planned for blocked jobs, and what else is to be done.

    Every unit, slot and cell occurs in at most one grant. The standing is not changed.
    """
    if not standing.queue and not _else_to_do(standing):
        return Decisions()
    return planned(standing, now_ns, config).decisions()


def planned(standing: Standing, now_ns: int, config: Config) -> Plan:
    """Return what is decided, together with what it leaves of the time to come."""
    if standing.runner_ready:
        return _Decision(standing, now_ns, config).made()
    plan = Plan(standing, now_ns)
    plan.book()
    plan.preemptions = tuple(for_safety(standing, plan, now_ns))
    return plan


def _else_to_do(standing: Standing) -> bool:
    if standing.leases and any(closure.stop_running for closure in standing.closures):
        return True
    return any(unit.wants_charge for units in standing.floor.special.values() for unit in units.values())


class _Decision:
    """One decision in the making."""

    def __init__(self, standing: Standing, now_ns: int, config: Config) -> None:
        self._standing, self._now_ns, self._config = standing, now_ns, config
        self._queue = standing.queue
        self._limited = standing.accounts.limited
        self._plan = Plan(standing, now_ns)
        self._plan.book()
        self._open = set(self._plan.outlook())
        self._failures = 0
        self._hold_after_ns = config.hold_after_s * 1e9
        self._turns: FairTurns | AgeTurns = (
            AgeTurns(self._queue, self._open)
            if config.order is Order.SUBMIT
            else FairTurns(standing.accounts, self._queue, standing.floor.size, self._open)
        )

    def made(self) -> Plan:
        self._start_booked()
        self._hold_for_the_guaranteed()
        if self._hold_for_the_eldest():
            self._serve_by_turns()
        self._plan.preemptions = (
            preemptions(self._standing, self._plan, self._turns, self._now_ns, self._config)
            if self._config.preempt
            else tuple(for_safety(self._standing, self._plan, self._now_ns))
        )
        return self._plan

    @property
    def _full(self) -> bool:
        """Whether as many jobs as may hold a reservation do."""
        return len(self._plan.reservations) >= self._config.reservations

    def _start_booked(self) -> None:
        """Start what was booked for now."""
        for booking in self._plan.open_bookings():
            for key in self._queue.booked.get(booking.booking, ()):
                job = self._queue.jobs[key[-1]]
                amounts = self._plan.start_booked(booking, job, partial(self._turns.allowed, job.vendor))
                if amounts is not None:
                    self._turns.take(job.vendor, amounts)

    def _hold_for_the_guaranteed(self) -> None:
        """Start or plan the oldest job of an account that has less than it is guaranteed, before anybody's else.

        Otherwise what was preempted would take back at once, by its age, the room that it has just made.
        """
        if not self._config.preempt or isinstance(self._turns, AgeTurns) or isinf(self._hold_after_ns):
            return
        latest_ns = self._now_ns - int(self._hold_after_ns)
        found = next(iter(guaranteed(self._standing, self._plan, self._turns, latest_ns)), None)
        if found is not None:
            job, shape, _ = found
            self._turns.hide(job.job)
            if not self._started(job, shape):
                self._plan.reserve(job, shape)

    def _hold_for_the_eldest(self) -> bool:
        """Start or plan the job that has waited too long for longest; return whether others may start after that."""
        eldest = self._eldest()
        if eldest is None:
            return True
        job, shape = eldest
        self._turns.hide(job.job)
        if job.job in self._plan.granted or any(job.job == held.job for held in self._plan.reservations):
            return True
        if self._started(job, shape):
            return True
        self._plan.reserve(job, shape)
        return self._config.backfill is not Backfill.NONE

    def _serve_by_turns(self) -> None:
        config, turns, jobs = self._config, self._turns, self._queue.jobs
        passing = False
        if not self._full:
            turns.look_also_at(self._old_shapes())
        while True:
            if not passing and self._full:
                passing = True
                self._hold_for_the_due()
                self._compare_all()
                turns.shortest_first(config.backfill is Backfill.SHORTEST)
            turn = turns.next()
            if turn is None:
                return
            job, shape = jobs[turn[-2]], turn[-1]
            vendor = job.vendor
            if shape in self._open:
                if self._started(job, shape):
                    turns.skip(vendor, shape)
                    continue
                if shape in self._open:
                    # Its vendor is at a limit: that is nobody else's matter, and not a reason to hold anything.
                    turns.drop(vendor, shape)
                    continue
            if config.backfill is Backfill.NONE and self._plan.possible(shape):
                return
            if not passing and self._age_ns(job) >= self._hold_after_ns:
                self._plan.reserve(job, shape)
                turns.skip(vendor, shape)
            else:
                turns.drop(vendor, shape)

    def _hold_for_the_due(self) -> None:
        """Start or plan the jobs that would end after the bound of flow time even if they started now, oldest first."""
        found = sorted(self._due())[: self._config.due_max]
        for _, job_id, shape in found:
            job = self._queue.jobs[job_id]
            if job_id not in self._plan.granted and not self._started(job, shape):
                self._plan.reserve(job, shape)
            self._turns.hide(job_id)

    def _due(self) -> Iterator[tuple[int, int, int]]:
        """Yield age keys and shapes of what is due. A long claim alone is no reason: it must have waited too."""
        if self._config.flow_max_s == float("inf"):
            return
        flow_max_ns = self._config.flow_max_s * 1e9
        done = self._plan.granted | {reservation.job for reservation in self._plan.reservations}
        for first_ns, index in self._queue.first_due:
            if first_ns > self._now_ns - flow_max_ns:
                return
            shape = self._queue.shapes[index]
            latest_ns = self._now_ns - max(self._hold_after_ns, flow_max_ns - shape.duration_ns)
            found = 0
            for create_ns, job in shape.by_age:
                if create_ns > latest_ns or found == self._config.due_max:
                    break
                if job not in done:
                    found += 1
                    yield create_ns, job, index

    def _eldest(self) -> tuple[Job, int] | None:
        """Return the oldest job that has waited too long and would start if only the running leases ended.

        Its vendor must hold less than its weight entitles it to: otherwise who had filled the queue first would be
        served by age alone until it is empty. Large claims need not wait for that for ever. What waits for a broken or
        absent unit, or is at its vendor's limit, is passed over: nobody knows when that ends, and until then the whole
        venue would be kept waiting with it.
        """
        latest_ns = self._now_ns - self._hold_after_ns
        now_ns, large_after_ns = self._now_ns, self._config.large_after_s * 1e9
        jobs, below_entitlement = self._queue.jobs, self._turns.below_entitlement
        eldest: tuple[int, int, int] | None = None
        for first_ns, _, index in self._queue.oldest:
            if first_ns > latest_ns or (eldest is not None and first_ns > eldest[0]):
                break
            # Most shapes are small, or too young for that to matter.
            large = now_ns - first_ns >= large_after_ns and self._large(index)
            for create_ns, job_id in self._queue.shapes[index].by_age.first(ELDEST_LOOKED_AT):
                if create_ns > latest_ns:
                    break
                job = jobs[job_id]
                deserves = below_entitlement(job.vendor) or (large and now_ns - create_ns >= large_after_ns)
                if deserves and self._allowed(job, index):
                    if self._plan.possible(index):
                        found = (create_ns, job_id, index)
                        eldest = found if eldest is None else min(eldest, found)
                    break
        if eldest is None:
            return None
        _, job_id, index = eldest
        return jobs[job_id], index

    def _large(self, shape: int) -> bool:
        """Whether the claim asks for so much that turns alone would never bring it together."""
        units, slots, cells = self._plan.options(shape)[0].amounts
        return dominant_share(units, slots, cells, self._standing.floor.size) >= self._config.large_part

    def _allowed(self, job: Job, shape: int) -> bool:
        """Whether the vendor's limits leave room for the job in any way."""
        if job.vendor not in self._limited:
            return True
        return any(self._turns.allowed(job.vendor, option.amounts) for option in self._plan.options(shape))

    def _old_shapes(self) -> list[int]:
        """Return the shapes with a job that has waited long enough to be planned."""
        latest_ns = self._now_ns - self._hold_after_ns
        oldest = self._queue.oldest
        return [index for _, _, index in oldest[: bisect_right(oldest, (latest_ns, MAX_JOB))]]

    def _started(self, job: Job, shape: int) -> bool:
        """Start the job if that delays nothing planned."""
        if shape not in self._open:
            return False
        allowed = partial(self._turns.allowed, job.vendor) if job.vendor in self._limited else None
        amounts, everybody = self._plan.start(job, shape, allowed)
        if amounts is None:
            if everybody:
                self._open.discard(shape)
                self._failures += 1
                if self._failures >= FAILURES:
                    self._compare_all()
            return False
        self._failures = 0
        self._turns.take(job.vendor, amounts)
        return True

    def _compare_all(self) -> None:
        """Close at once all shapes for which too little is left."""
        self._failures = 0
        self._open.intersection_update(self._plan.outlook())

    def _age_ns(self, job: Job) -> int:
        return self._now_ns - job.create_ns
