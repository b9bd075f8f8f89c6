"""Health checks: short jobs of the venue itself, granted before vendors' jobs are looked at.

A check takes the way of every other job, so that it tries what a job needs: lease, epoch, runner, host, control core.
It belongs to the venue's own vendor, whose jobs no vendor sees and which has no part in what is fair between vendors.
"""

import hashlib
import math

from google.protobuf.duration_pb2 import Duration

from palaestra import ids
from palaestra.v1 import claim_pb2, job_pb2
from scheduler import events, names, resources, snapshot
from scheduler.care import Care, care_of
from scheduler.commands import granting
from scheduler.health import VENUE_VENDOR, Health, check_due
from scheduler.lifecycle import JobState
from scheduler.sql import Row
from scheduler.state import Closure, Grant, State, Unit
from scheduler.writer import Command, Transaction


def cycle(*, lease_ttl_s: float, runner_ready: bool) -> Command[None]:
    """Return the command that starts the checks that are due, of idle units where nothing is closed."""

    def command(tx: Transaction) -> None:
        care = care_of(tx.db)
        due = _due(tx, care) if runner_ready else []
        if not due:
            return
        units = {unit.unit: unit for unit in snapshot.units(tx.db, only=due)}
        state = State(tx.now_ns, units=tuple(units.values()), closures=snapshot.closures(tx.db, tx.now_ns))
        for unit in due:
            if unit in units and not closed(units[unit], state, care.check_duration_s):
                _start(tx, unit, care, lease_ttl_s)

    return command


def closed(unit: Unit, state: State, duration_s: float) -> bool:
    """Whether the unit is where nothing may run, now or before so much time has passed."""
    end_ns = state.now_ns + int(duration_s * 1e9)
    return any(c.start_ns < end_ns and c.end_ns > state.now_ns and _covers(c, unit) for c in state.closures)


def _covers(closure: Closure, unit: Unit) -> bool:
    return closure.venue or unit.unit in closure.units or (bool(unit.zone) and unit.zone in closure.zones)


def _due(tx: Transaction, care: Care) -> list[str]:
    rows = tx.db.execute(
        """
        SELECT b.unit, b.health, b.jobs_unchecked, b.work_unchecked_ms FROM body b JOIN unit u ON u.id = b.unit
        WHERE u.online = 1 AND u.latched = 0 AND u.fault = '' AND u.safe_epoch >= u.epoch
          AND b.check_after_ns <= :now AND b.plugged = 0
          AND (b.health = :suspect OR (b.health = :unknown AND :unknowns = 1)
            OR (:jobs > 0 AND b.jobs_unchecked >= :jobs) OR (:hours > 0 AND b.work_unchecked_ms > 0))
          AND NOT EXISTS (SELECT 1 FROM lease_unit lu WHERE lu.unit = u.id AND lu.free_ns IS NULL)
        ORDER BY b.unit
        """,
        {
            "now": tx.now_ns,
            "suspect": Health.SUSPECT,
            "unknown": Health.UNKNOWN,
            "unknowns": care.check_unknown,
            "jobs": care.check_after_jobs,
            "hours": care.check_after_h,
        },
    ).fetchall()
    return [row["unit"] for row in rows if _is_due(row, care)]


def _is_due(row: Row, care: Care) -> bool:
    return check_due(Health(row["health"]), row["jobs_unchecked"], row["work_unchecked_ms"] / 1000, care)


def _start(tx: Transaction, unit: str, care: Care, lease_ttl_s: float) -> None:
    name = names.unit(resources.venue_id(tx.db), unit)
    duration_s = math.ceil(care.check_duration_s)
    request = claim_pb2.UnitRequest(selector=claim_pb2.UnitSelector(unit=name), count=1)
    spec = job_pb2.Job(
        display_name=f"health check of {unit}",
        claim=claim_pb2.Claim(units=[request], duration=Duration(seconds=duration_s)),
        max_attempts=1,
        check=job_pb2.CheckSpec(),
    )
    uid = ids.new_id()
    body = spec.SerializeToString(deterministic=True)
    cursor = tx.db.execute(
        """
        INSERT INTO job (uid, vendor, leaf, request_sha256, state, priority, spec, create_ns)
        VALUES (?, ?, ?, ?, ?, 0, ?, ?)
        """,
        (uid, VENUE_VENDOR, VENUE_VENDOR, hashlib.sha256(body).digest(), JobState.QUEUED, body, tx.now_ns),
    )
    job = cursor.lastrowid
    assert job is not None
    events.job_changed(tx, job, "job.submitted", "")
    tx.db.execute("UPDATE body SET check_after_ns = 0 WHERE unit = ?", (unit,))
    granting.grant(tx, [(Grant(job, VENUE_VENDOR, (unit,), (), None), float(duration_s))], lease_ttl_s)
