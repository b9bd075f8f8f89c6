"""Ends of attempts, leases and jobs, whoever brings them about."""

import struct
from collections.abc import Sequence

from palaestra.errors import PalaestraError
from palaestra.v1 import job_pb2
from scheduler import events, snapshot
from scheduler.clock import DRIFT_MAX
from scheduler.commands import bodies, dependencies, simfirst
from scheduler.commands.accounting import account
from scheduler.health import VENUE_VENDOR
from scheduler.lifecycle import AttemptState, JobState, LeaseState, Step, advance_attempt, advance_job, advance_lease
from scheduler.sql import Row
from scheduler.writer import Command, Transaction

DEFAULT_MAX_ATTEMPTS = 3
# Attempts that were lost or broken by the venue are not the job's fault, but they too must end somewhere.
LOST_MAX = 20
VENUE_REASONS = frozenset({"RUNNER_LOST", "UNIT_FAULT", "STALE_EPOCH", "LEASE_NOT_ACTIVE", "SHUTTING_DOWN"})
# The end of an attempt that was asked to make room (`commands.preempting`).
PREEMPTED = "PREEMPTED"
# By its age it would be the first to get the room that it made: so it lets others go first until its units rest.
YIELD_S = 5.0
BACKOFF_FIRST_S = 0.25
BACKOFF_MAX_S = 30.0
# How long a cancelled attempt may take to stop by itself before its lease is taken away.
CANCEL_GRACE_S = 1.5
# Delay of messages and threads allowed for before an unconfirmed stop is believed by time alone; besides, the host's
# clock may run slower than ours.
STOP_MARGIN_S = 1.0
# Where the longest time to live that hosts were told stands in table meta.
TTL_KEY = "lease_ttl_s"


def end_attempt(
    tx: Transaction,
    attempt: Row,
    step: Step,
    *,
    failure: job_pb2.Failure | None = None,
    result: job_pb2.JobResult | None = None,
) -> None:
    """End a running or granted attempt by SUCCEED, FAIL, CANCELLED or LOSE, with its lease and, where due, its job."""
    db = tx.db
    state = advance_attempt(AttemptState(attempt["state"]), step)
    body = failure.SerializeToString() if failure else None
    db.execute(
        "UPDATE attempt SET state = ?, end_ns = ?, failure = ?, refund = ? WHERE job_id = ? AND number = ?",
        (state, tx.now_ns, body, _refund(step, failure), attempt["job_id"], attempt["number"]),
    )
    _end_lease(tx, attempt["lease_id"], step)
    job = db.execute("SELECT * FROM job WHERE id = ?", (attempt["job_id"],)).fetchone()
    job_step = _job_step(job, step, failure)
    after = advance_job(JobState(job["state"]), job_step)
    venue_fault = _venue_fault(step, failure)
    # Who made room for others neither did wrong nor met with a fault: it only must not take back at once what it left.
    made_room = failure is not None and failure.reason == PREEMPTED
    backoff_s = min(BACKOFF_FIRST_S * 2 ** (job["failed_count"] + job["lost_count"]), BACKOFF_MAX_S)
    backoff_s = YIELD_S if made_room else backoff_s
    db.execute(
        """
        UPDATE job SET state = ?, failed_count = failed_count + ?, lost_count = lost_count + ?, not_before_ns = ?,
          end_ns = ?, result = coalesce(?, result), failure = ? WHERE id = ?
        """,
        (
            after,
            int(job_step is Step.RETRY and not venue_fault and not made_room),
            int(job_step is Step.RETRY and venue_fault),
            tx.now_ns + int(backoff_s * 1e9),
            tx.now_ns if after.ended else None,
            result.SerializeToString() if result is not None else None,
            body if after is not JobState.SUCCEEDED else None,
            job["id"],
        ),
    )
    message = failure.message if failure else ""
    kind = "job.requeued" if after is JobState.QUEUED else f"job.{after.name.lower()}"
    events.job_changed(tx, job["id"], kind, message)
    if after is JobState.SUCCEEDED:
        simfirst.job_succeeded(tx, job, attempt["lease_id"], result)
    if after.ended:
        dependencies.job_ended(tx, job["id"])
    bodies.work_ended(tx, attempt, job["vendor"], step, failure)
    tx.wants_cycle = True


def _venue_fault(step: Step, failure: job_pb2.Failure | None) -> bool:
    return step is Step.LOSE or (failure is not None and failure.reason in VENUE_REASONS)


def _refund(step: Step, failure: job_pb2.Failure | None) -> str | None:
    """Return the reason for which the vendor gets back what it lost, None if it pays."""
    if failure is not None and (failure.reason == PREEMPTED or _venue_fault(step, failure)):
        return failure.reason
    return "RUNNER_LOST" if step is Step.LOSE else None


def _job_step(job: Row, step: Step, failure: job_pb2.Failure | None) -> Step:
    """Say what the end of an attempt means for its job."""
    if step in (Step.SUCCEED, Step.CANCELLED):
        return step
    if job["vendor"] == VENUE_VENDOR:
        # A check that came to no end is followed by a new one, not by another attempt.
        return Step.FAIL
    if failure is not None and failure.reason == PREEMPTED:
        return Step.RETRY
    if _venue_fault(step, failure):
        return Step.RETRY if job["lost_count"] + 1 < LOST_MAX else Step.FAIL
    max_attempts = job_pb2.Job.FromString(job["spec"]).max_attempts or DEFAULT_MAX_ATTEMPTS
    again = failure is not None and failure.retryable and job["failed_count"] + 1 < max_attempts
    return Step.RETRY if again else Step.FAIL


def _end_lease(tx: Transaction, lease_id: int, step: Step) -> None:
    """Free slots at once; units follow when their hosts confirm that they rest, and the cell with the last of them."""
    db = tx.db
    row = db.execute("SELECT state FROM lease WHERE id = ?", (lease_id,)).fetchone()
    db.execute("UPDATE lease SET state = ? WHERE id = ?", (advance_lease(LeaseState(row["state"]), step), lease_id))
    slots = db.execute("SELECT slot FROM lease_slot WHERE lease_id = ? AND free_ns IS NULL", (lease_id,)).fetchall()
    db.execute("UPDATE lease_slot SET free_ns = ? WHERE lease_id = ? AND free_ns IS NULL", (tx.now_ns, lease_id))
    events.slots_changed(tx, [slot for (slot,) in slots], "sim_slot.freed")
    events.lease_changed(tx, lease_id, "lease.ending")
    for (unit,) in db.execute("SELECT unit FROM lease_unit WHERE lease_id = ?", (lease_id,)).fetchall():
        events.unit_changed(tx, unit, "unit.releasing", "")
    free_rested_units(tx, lease_id)


def free_rested_units(tx: Transaction, lease_id: int) -> None:
    """Free the units of an ending lease that surely rest; close the lease when none is left."""
    db = tx.db
    lease = db.execute("SELECT * FROM lease WHERE id = ?", (lease_id,)).fetchone()
    state = LeaseState(lease["state"])
    if state not in (LeaseState.RELEASING, LeaseState.UNCERTAIN):
        return
    # Without its host's word a unit rests for sure once the time to live that the host was last given has passed.
    sure_by_time = tx.now_ns > lease["expire_ns"] + _stop_margin_s(tx) * 1e9
    held = db.execute(
        """
        SELECT lu.unit, lu.epoch, u.safe_epoch FROM lease_unit lu JOIN unit u ON u.id = lu.unit
        WHERE lu.lease_id = ? AND lu.free_ns IS NULL
        """,
        (lease_id,),
    ).fetchall()
    rested = [row["unit"] for row in held if sure_by_time or row["safe_epoch"] >= row["epoch"]]
    for unit in rested:
        db.execute("UPDATE lease_unit SET free_ns = ? WHERE lease_id = ? AND unit = ?", (tx.now_ns, lease_id, unit))
        bodies.rested(tx, lease_id, unit)
        events.unit_changed(tx, unit, "unit.freed", "")
        tx.wants_cycle = True
    if len(rested) == len(held):
        # The cell goes with the last robot: nobody else's job may start beside one that still moves.
        cell = db.execute("SELECT cell FROM lease_cell WHERE lease_id = ? AND free_ns IS NULL", (lease_id,)).fetchone()
        if cell is not None:
            db.execute("UPDATE lease_cell SET free_ns = ? WHERE lease_id = ?", (tx.now_ns, lease_id))
            events.cell_changed(tx, cell["cell"], "cell.freed")
            tx.wants_cycle = True
        db.execute(
            "UPDATE lease SET state = ?, end_ns = ? WHERE id = ?",
            (advance_lease(state, Step.REST), tx.now_ns, lease_id),
        )
        account(tx, lease_id)
        events.lease_changed(tx, lease_id, "lease.ended")


def _stop_margin_s(tx: Transaction) -> float:
    """Return how long after its lease's end a unit may still move by its host's clock, if that is a slow one."""
    found: float | None = tx.memo.get(TTL_KEY)
    if found is None:
        row = tx.db.execute("SELECT value FROM meta WHERE key = ?", (TTL_KEY,)).fetchone()
        ttl_s = struct.unpack("<d", row["value"])[0] if row else 0.0
        found = tx.memo[TTL_KEY] = STOP_MARGIN_S + DRIFT_MAX * ttl_s
    return found


def cancel(vendor: str, uid: str, etag: str) -> Command[None]:
    """Return the command that cancels a job. Repeats change nothing.

    Raises NOT_FOUND, ETAG_MISMATCH, JOB_ENDED for a job that ended otherwise.
    """

    def command(tx: Transaction) -> None:
        job = tx.db.execute("SELECT * FROM job WHERE uid = ?", (uid,)).fetchone()
        if job is None or vendor != job["vendor"]:
            raise PalaestraError("NOT_FOUND", f"vendors/{vendor}/jobs/{uid} not found")
        # A caller whose answer was lost repeats with the etag of before.
        done = tx.repeated = job["state"] in (JobState.CANCELLING, JobState.CANCELLED)
        if etag and etag != str(job["version"]) and not done:
            raise PalaestraError("ETAG_MISMATCH", f"job {uid} has etag {job['version']}, not {etag}")
        cancel_job(tx, job)

    return command


def cancel_job(tx: Transaction, job: Row) -> None:
    """Cancel the job of a row of table job; a repeat changes nothing. Raises JOB_ENDED."""
    state = JobState(job["state"])
    after = advance_job(state, Step.CANCEL)
    if after is state:
        return
    ended_ns = tx.now_ns if after.ended else None
    tx.db.execute("UPDATE job SET state = ?, end_ns = ? WHERE id = ?", (after, ended_ns, job["id"]))
    tx.db.execute("UPDATE attempt SET cancel_ns = ? WHERE job_id = ? AND state IN (1, 2)", (tx.now_ns, job["id"]))
    events.job_changed(tx, job["id"], f"job.{after.name.lower()}", "")
    if after.ended:
        dependencies.job_ended(tx, job["id"])
    tx.wants_cycle = True


def cancel_waiting(tx: Transaction, job_ids: Sequence[int]) -> None:
    """Cancel jobs that wait and hold nothing, all at once: many thousands must not keep the writer for long."""
    db = tx.db
    after = advance_job(JobState.QUEUED, Step.CANCEL)
    db.executemany(
        "UPDATE job SET state = ?, end_ns = ? WHERE id = ?", [(after, tx.now_ns, job_id) for job_id in job_ids]
    )
    events.jobs_changed(tx, job_ids, f"job.{after.name.lower()}", "")
    linked = {row[0] for row in db.execute("SELECT job_id FROM job_after UNION SELECT job_id FROM sim_gate")}
    linked |= {row[0] for row in db.execute("SELECT before_id FROM job_after")}
    for job_id in job_ids:
        if job_id in linked:
            dependencies.job_ended(tx, job_id)
    tx.wants_cycle = True


def sweep() -> Command[None]:
    """Return the command that does what time brings: leases that expire, cancels that linger, stops that are sure."""

    def command(tx: Transaction) -> None:
        due_attempts = tx.db.execute(
            """
            SELECT a.*, l.expire_ns, l.end_by_ns FROM attempt a JOIN lease l ON l.id = a.lease_id
            WHERE a.state IN (1, 2) AND (l.expire_ns < :now OR l.end_by_ns < :now OR a.stop_by_ns < :now
              OR a.cancel_ns < :now - :grace)
            """,
            {"now": tx.now_ns, "grace": int(CANCEL_GRACE_S * 1e9)},
        ).fetchall()
        for attempt in due_attempts:
            _sweep_attempt(tx, attempt)
        # Told as the index tells it; without that every lease there ever was would be looked at.
        ending = tx.db.execute("SELECT id FROM lease WHERE state IN (1, 2, 3, 5) AND state IN (3, 5)").fetchall()
        for (lease_id,) in ending:
            free_rested_units(tx, lease_id)
        # Jobs that wait out a back-off become due without any other event.
        due = tx.db.execute(
            "SELECT 1 FROM job WHERE state = 1 AND open_after = 0 AND open_gates = 0 LIMIT 1"
        ).fetchone()
        tx.wants_cycle = (
            tx.wants_cycle or due is not None or bodies.check_waited(tx) or snapshot.stopping(tx.db, tx.now_ns)
        )

    return command


def _sweep_attempt(tx: Transaction, attempt: Row) -> None:
    now_ns = tx.now_ns
    if attempt["cancel_ns"] is not None and now_ns > attempt["cancel_ns"] + CANCEL_GRACE_S * 1e9:
        end_attempt(tx, attempt, Step.CANCELLED, failure=failure("JOB_CANCELLED", "cancelled", retryable=False))
    elif attempt["stop_by_ns"] is not None and now_ns > attempt["stop_by_ns"]:
        end_attempt(tx, attempt, Step.FAIL, failure=made_room())
    elif now_ns > attempt["end_by_ns"]:
        message = "the claim's duration ended before the work did"
        end_attempt(tx, attempt, Step.FAIL, failure=failure("WORK_FAILED", message, retryable=False))
    elif now_ns > attempt["expire_ns"]:
        lost = failure("RUNNER_LOST", "the runner was not heard of in time", retryable=True)
        end_attempt(tx, attempt, Step.LOSE, failure=lost)


def made_room() -> job_pb2.Failure:
    """Return how an attempt ends that was asked to make room and did, by itself or not."""
    return failure(PREEMPTED, "it made room for others and goes on when its turn comes again", retryable=True)


def failure(reason: str, message: str, *, retryable: bool) -> job_pb2.Failure:
    return job_pb2.Failure(reason=reason, message=message, retryable=retryable)
