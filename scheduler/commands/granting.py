"""The scheduling cycle: decide, and write the grants down."""

import gc
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from palaestra import ids
from scheduler import events
from scheduler.commands import bodies, preempting, recording, telling
from scheduler.commands.recording import Recorder
from scheduler.decide import decide
from scheduler.events import Granted, granted
from scheduler.lifecycle import AttemptState, JobState, LeaseState, Step, advance_job
from scheduler.snapshot import load
from scheduler.snapshot.kept import Kept
from scheduler.sql import Connection, Row, insert, portions
from scheduler.standing import Standing
from scheduler.state import Config, Decisions, Grant, Job
from scheduler.suspects import ASIDE_NS, Aside, Suspects, suspects
from scheduler.writer import Command, Transaction

log = logging.getLogger(__name__)
# Waiting jobs from which on the garbage collector is spared them, and after how long those that have come since.
SPARE_FROM = 10_000
SPARE_NS = 3_600_000_000_000
_LEASE = ("uid", "vendor", "leaf", "job_id", "attempt", "state", "cell", "grant_ns", "expire_ns", "end_by_ns", "seats",
          "chargers")  # fmt: skip
_ATTEMPT = ("job_id", "number", "state", "lease_id", "grant_ns", "resources")
# Of an attempt that nobody has begun.
_NOT_BEGUN: dict[str, Any] = {"start_ns": None, "end_ns": None, "failure": None}


class Cycle:
    """Decides again and again on one venue, which it keeps in mind between decisions.

    Args:
        db: The connection that writes.
        config: How to decide.
        lease_ttl_s: Time [s] that a new lease has before somebody must have been heard of.
        preempt_grace_s: Time [s] that leases have to end in good order when they are asked to.
        decisions_kept: So many decisions are kept with what they were made on, and told by their tokens in the events
            of what they brought about; 0: none.
    """

    def __init__(
        self,
        db: Connection,
        config: Config,
        *,
        lease_ttl_s: float,
        preempt_grace_s: float = preempting.GRACE_S,
        decisions_kept: int = recording.KEPT,
    ) -> None:
        self.venue = Kept(db)
        self._config = config
        self._lease_ttl_s = lease_ttl_s
        self._preempt_grace_s = preempt_grace_s
        # Jobs on which deciding fails, and those on which indexing them does already.
        self._aside, self._unindexed = Aside(), Aside()
        self._recorder = Recorder(decisions_kept) if decisions_kept else None
        # Readings of the venue, and the time, when the garbage collector was last spared what they brought.
        self._readings = self._spared_ns = 0

    def command(self, *, runner_ready: bool) -> Command[None]:
        """Return the command that grants every claim which can be granted now, and asks leases to end if that is due.

        Without anybody who could carry jobs out, only what safety demands is done.
        """

        def run(tx: Transaction) -> None:
            standing = self._looked_at(tx, runner_ready=runner_ready)
            self._spare(standing, tx.now_ns)
            if not worth_while(standing, tx.now_ns, self._config):
                return
            left_out = self._aside.of(standing, tx.now_ns)
            # On what is looked at the same code would not decide that again.
            recorder = self._recorder if not left_out and not self._unindexed.barred(tx.now_ns) else None
            try:
                decisions = self._without(standing, left_out, tx.now_ns)
            except Exception:
                log.exception("deciding failed; sought is on which job")
                decisions, recorder = self._decided_on_less(tx, left_out), None
            jobs = standing.queue.jobs
            token = ""
            if recorder is not None and (decisions.grants or decisions.preemptions):
                token = recorder.record(tx, self.venue, self._config, decisions)
            to_grant = [(one, one.chosen(jobs[one.job].claim).duration_s) for one in decisions.grants]
            grant(tx, to_grant, self._lease_ttl_s, token)
            for preemption in decisions.preemptions:
                preempting.preempt(preemption, self._preempt_grace_s, token)(tx)
            for unit in decisions.charges:
                bodies.charge(tx, unit)

        return run

    def _looked_at(self, tx: Transaction, *, runner_ready: bool) -> Standing:
        """Return the venue; without the jobs that cannot be indexed, which are set aside."""
        try:
            return self.venue.look(tx.now_ns, runner_ready=runner_ready, barred=self._unindexed.barred(tx.now_ns))
        except Exception:
            log.exception("indexing failed; sought is on which job")
        barred = self._unindexed.barred(tx.now_ns)
        state = load(tx.db, tx.now_ns, runner_ready=runner_ready, look_ahead=False)
        state = replace(state, jobs=tuple(job for job in state.jobs if job not in barred))
        found = suspects(state, lambda standing: None)
        self._set_aside(tx, self._unindexed, found)
        return self.venue.look(tx.now_ns, runner_ready=runner_ready, barred=self._unindexed.barred(tx.now_ns))

    def _set_aside(self, tx: Transaction, aside: Aside, found: Suspects) -> None:
        if not found.jobs:
            return
        aside.put(found, tx.now_ns)
        names_of = ", ".join(str(job.job) for job in found.jobs[:10])
        log.error("the scheduler fails on %d jobs, which are set aside: numbers %s", len(found.jobs), names_of)
        # Why is for those to know who run the scheduler.
        told = f"the scheduler fails on this job and leaves it out for {ASIDE_NS // 60_000_000_000} minutes"
        events.jobs_changed(tx, [job.job for job in found.jobs], "job.set_aside", told)

    def _without(self, standing: Standing, left_out: Sequence[Job], now_ns: int) -> Decisions:
        """Decide without some jobs, which stay in the queue."""
        for job in left_out:
            standing.withdraw(job.job)
        try:
            return decide(standing, now_ns, self._config)
        finally:
            for job in left_out:
                standing.submit(job)

    def _decided_on_less(self, tx: Transaction, left_out: Sequence[Job]) -> Decisions:
        """Decide without the jobs on which deciding fails, and set them aside; without any if that does not help.

        What must stop for safety stops in any case.
        """
        state = self.venue.state()
        known = {job.job for job in left_out}
        state = replace(state, jobs=tuple(job for job in state.jobs if job.job not in known))
        found = suspects(state, lambda standing: decide(standing, tx.now_ns, self._config))
        self._set_aside(tx, self._aside, found)
        if found.suffice and not found.jobs:
            log.error("deciding succeeds on the same jobs read anew")
            self.venue.distrust()
        if found.suffice:
            aside = {job.job for job in found.jobs}
            without = replace(state, jobs=tuple(job for job in state.jobs if job.job not in aside))
        else:
            log.error("only what safety demands is done")
            without = replace(state, jobs=(), bookings=())
        return decide(Standing.of(without), tx.now_ns, self._config)

    def _spare(self, standing: Standing, now_ns: int) -> None:
        """Spare the garbage collector what is kept: every pass over a great queue would hold up the whole process.

        Done between decisions, when there is hardly anything else that it should have found.
        """
        read_anew = self.venue.readings != self._readings
        if (read_anew or now_ns - self._spared_ns >= SPARE_NS) and len(standing.queue.jobs) >= SPARE_FROM:
            self._readings, self._spared_ns = self.venue.readings, now_ns
            gc.unfreeze()
            gc.collect()
            gc.freeze()


def worth_while(standing: Standing, now_ns: int, config: Config) -> bool:
    """Whether a decision could bring anything about: cheaper to say than to decide."""
    closures = standing.closures
    if standing.leases and any(c.stop_running and c.start_ns <= now_ns < c.end_ns for c in closures):
        return True
    if not standing.runner_ready:
        return False
    if standing.floor.anything_free():
        return True
    booked = any(booking.start_ns <= now_ns < booking.end_ns for booking in standing.bookings)
    return config.preempt and (booked or bool(standing.accounts.guaranteed))


def grant(tx: Transaction, grants: Sequence[tuple[Grant, float]], lease_ttl_s: float, token: str = "") -> None:
    """Write down what waiting jobs are granted: lease, attempt, a new epoch for each unit; by few statements for all.

    grants: Each with the time [s] that it is for. token: Of the decision.
    """
    if not grants:
        return
    db, now_ns = tx.db, tx.now_ns
    jobs = _jobs(db, grants)
    leases, first_lease = _leases(tx, grants, jobs, lease_ttl_s)
    told: list[Granted] = []
    units: list[tuple[str]] = []
    leased: dict[str, list[tuple[object, ...]]] = {"unit": [], "slot": [], "cell": []}
    attempts, changed = [], []
    for lease_id, ((one, _), lease) in enumerate(zip(grants, leases, strict=True), first_lease):
        job = jobs[one.job]
        number = job["attempt_count"] + 1
        units += [(unit,) for unit in one.units]
        leased["unit"] += [(lease_id, now_ns, unit) for unit in one.units]
        leased["slot"] += [(lease_id, slot, now_ns) for slot in one.slots]
        leased["cell"] += [(lease_id, one.cell, now_ns)] if one.cell is not None else []
        names = [*one.units, *one.slots, *([one.cell] if one.cell else [])]
        names += [f"{count} {name}{'s' * (count > 1)}" for count, name in _unnamed(one) if count]
        attempt = dict(
            zip(_ATTEMPT, (one.job, number, AttemptState.GRANTED, lease_id, now_ns, json.dumps(names)), strict=True)
        )
        attempts.append(tuple(attempt.values()))
        state = advance_job(JobState(job["state"]), Step.GRANT)
        changed.append((state, number, now_ns, one.job))
        after = dict(zip(job.keys(), job, strict=True))
        after |= {"state": state, "attempt_count": number, "failure": None, "version": job["version"] + 1}
        after["grant_ns"] = now_ns if job["grant_ns"] is None else job["grant_ns"]
        told.append(
            Granted(
                one, lease | {"job_uid": job["uid"]}, after, _NOT_BEGUN | attempt | {"lease_uid": lease["uid"]}, names
            )
        )
    db.executemany("UPDATE unit SET epoch = epoch + 1 WHERE id = ?", units)
    db.executemany(
        "INSERT INTO lease_unit (lease_id, unit, epoch, grant_ns) SELECT ?, id, epoch, ? FROM unit WHERE id = ?",
        leased["unit"],
    )
    if leased["slot"]:
        insert(db, "INSERT INTO lease_slot (lease_id, slot, grant_ns)", leased["slot"])
    if leased["cell"]:
        insert(db, "INSERT INTO lease_cell (lease_id, cell, grant_ns)", leased["cell"])
    insert(db, f"INSERT INTO attempt ({', '.join(_ATTEMPT)})", attempts)
    db.executemany(
        """
        UPDATE job SET state = ?, attempt_count = ?, grant_ns = coalesce(grant_ns, ?), failure = NULL,
          version = version + 1
        WHERE id = ?
        """,
        changed,
    )
    telling.started(tx, [one.job for one, _ in grants])
    granted(tx, told, recording.words(token).removeprefix("; "))


def _jobs(db: Connection, grants: Sequence[tuple[Grant, float]]) -> dict[int, Row]:
    found: dict[int, Row] = {}
    for some, text in portions([one.job for one, _ in grants]):
        found |= {row["id"]: row for row in db.execute(f"SELECT * FROM job WHERE id IN {text}", some)}
    return found


def _leases(
    tx: Transaction, grants: Sequence[tuple[Grant, float]], jobs: Mapping[int, Row], lease_ttl_s: float
) -> tuple[list[dict[str, Any]], int]:
    """Write the leases down; return their fields, and the key of the first, from which on they count."""
    rows = []
    for (one, duration_s), uid in zip(grants, ids.new_ids(len(grants)), strict=True):
        job, end_by_ns = jobs[one.job], tx.now_ns + int(duration_s * 1e9)
        expire_ns = min(tx.now_ns + int(lease_ttl_s * 1e9), end_by_ns)
        rows.append(
            (uid, job["vendor"], job["leaf"], one.job, job["attempt_count"] + 1, LeaseState.OFFERED, one.cell,
             tx.now_ns, expire_ns, end_by_ns, one.seats, one.chargers)
        )  # fmt: skip
    last = insert(tx.db, f"INSERT INTO lease ({', '.join(_LEASE)})", rows)
    return [dict(zip(_LEASE, row, strict=True)) | {"end_ns": None} for row in rows], last - len(rows) + 1


def _unnamed(grant: Grant) -> tuple[tuple[int, str], ...]:
    return (grant.seats, "seat"), (grant.chargers, "charger")
