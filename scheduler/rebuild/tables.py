"""The rows that events tell of, as the database has them; and what events do not tell of, with the reason."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from palaestra.v1 import episode_pb2, job_pb2
from scheduler.rebuild.record import Row, Rows
from scheduler.sql import Connection

# By table: the query whose first columns (so many) are the key.
QUERIES: Mapping[str, tuple[int, str]] = {
    "job": (
        1,
        """
        SELECT uid, vendor, state, priority, spec, create_ns, grant_ns, start_ns, end_ns, attempt_count, episode_count,
          progress, result, failure, array_uid, array_index, version, event_seq FROM job
        """,
    ),
    "attempt": (
        2,
        """
        SELECT j.uid, a.number, l.uid AS lease, a.state, a.grant_ns, a.start_ns, a.end_ns, a.failure, a.resources
        FROM attempt a JOIN job j ON j.id = a.job_id JOIN lease l ON l.id = a.lease_id
        """,
    ),
    "lease": (
        1,
        """
        SELECT l.uid, l.vendor, j.uid AS job, l.attempt, l.state, l.cell, l.grant_ns, l.end_by_ns, l.end_ns, l.seats,
          l.chargers FROM lease l JOIN job j ON j.id = l.job_id
        """,
    ),
    "lease_unit": (
        2, "SELECT l.uid, t.unit, t.epoch, t.grant_ns, t.free_ns FROM lease_unit t JOIN lease l ON l.id = t.lease_id"
    ),
    "lease_slot": (2, "SELECT l.uid, s.slot, s.grant_ns, s.free_ns FROM lease_slot s JOIN lease l ON l.id = lease_id"),
    "lease_cell": (1, "SELECT l.uid, c.cell, c.grant_ns, c.free_ns FROM lease_cell c JOIN lease l ON l.id = lease_id"),
    # Units that nothing has happened to yet are the venue file's alone.
    "unit": (
        1,
        """
        SELECT id, robot_model, epoch, fault, online, version, health FROM unit JOIN body b ON b.unit = unit.id
        WHERE version > 1
        """,
    ),
    "episode": (1, "SELECT uid, vendor, body FROM episode"),
    "reservation": (
        1, "SELECT uid, vendor, state, degraded, start_ns, end_ns, create_ns, close_ns, version FROM reservation"
    ),
    "closure": (
        1, "SELECT uid, display_name, start_ns, end_ns, rrule, scope, stop_running, create_ns FROM closure"
    ),
}  # fmt: skip


def _message(kind: type[Message]) -> Callable[[bytes], bytes]:
    # The database keeps bytes as they came; what they mean is what is compared.
    return lambda body: kind.FromString(body).SerializeToString(deterministic=True)


MEANING: Mapping[str, Callable[[Any], Any]] = {
    "spec": _message(job_pb2.Job),
    "progress": _message(job_pb2.JobProgress),
    "result": _message(job_pb2.JobResult),
    "failure": _message(job_pb2.Failure),
    "body": _message(episode_pb2.Episode),
    "resources": json.loads,
    "scope": json.loads,
    "online": bool,
}

# What no event tells of. Whole tables first, then columns of tables that are rebuilt.
SECRET_OR_FILE = "the venue file's or the house's own, which brings it in at each start"
CONNECTION = "of the connection with a host, which makes it anew"
COUNTED = "follows from rows that are rebuilt"
REQUEST = "the caller's request id, which is nobody else's to know"
SILENT = "changes too often for an event each"
INSIDE = "the scheduler's own working"
NOT_TOLD: Mapping[str, str] = {
    "meta": SECRET_OR_FILE,
    "venue": SECRET_OR_FILE,
    "vendor": SECRET_OR_FILE,
    "party": SECRET_OR_FILE,
    "zone": SECRET_OR_FILE,
    "calendar_window": SECRET_OR_FILE,
    "cell": SECRET_OR_FILE + "; who holds it is in lease_cell",
    "alembic_version": INSIDE,
    "sim_slot": CONNECTION + "; who holds it is in lease_slot",
    "unit_order": "bodies and ends of orders; that one was given is in unit.ordered",
    "log": SILENT,
    "event": "itself",
    "decision": "kept for a while to be made again; the token of each is in lease.granted",
    "job_array": "its request; its jobs are rebuilt",
    "job_after": "rows that are still open; which jobs come first stands in the job",
    "sim_result": "follows from results of jobs",
    "sim_gate": "follows from results of jobs and the venue file",
    "body": "charge, wear, rest and calibration " + SILENT + "; its health is rebuilt with the unit",
    "unit_fault": "follows from unit.fault",
    "fleet_request": REQUEST,
    "api_key": "digests of secrets are nobody else's to know; that keys were made and revoked is in the events",
    "audit": "who did it, which is no part of what became of it",
    "audit_head": COUNTED,
    "ledger": "follows from leases, attempts and the rules of refunds",
    "usage": "follows from leases",
    "usage_hour": "follows from leases",
    "used_mean": "follows from leases",
    "target": INSIDE,
    "reservation_job": "stands in the job",
    "told_start": INSIDE,
    "job.id": INSIDE,
    "job.leaf": "follows from the job's project and the venue file",
    "job.request_id": REQUEST,
    "job.request_sha256": REQUEST,
    "job.not_before_ns": INSIDE,
    "job.failed_count": INSIDE,
    "job.lost_count": INSIDE,
    "job.episode_success_count": COUNTED,
    "job.episode_failure_count": COUNTED,
    "job.log_lines": SILENT,
    "job.checkpoint": SILENT,
    "job.deadline_ns": "stands in the job's spec",
    "job.open_after": COUNTED,
    "job.open_gates": COUNTED,
    "attempt.instance": CONNECTION,
    "attempt.cancel_ns": "follows from job.cancelling",
    "attempt.preempt_ns": "follows from job.preempted",
    "attempt.stop_by_ns": INSIDE,
    "attempt.safe_ns": SILENT,
    "attempt.refund": "stands in the ledger",
    "lease.id": INSIDE,
    "lease.leaf": "follows from the job's project and the venue file",
    "lease.expire_ns": "heartbeats extend it, which " + SILENT,
    "unit.serial": CONNECTION,
    "unit.robot_class": CONNECTION,
    "unit.maker": CONNECTION,
    "unit.labels": SECRET_OR_FILE,
    "unit.joint_count": CONNECTION,
    "unit.emulated": CONNECTION,
    "unit.x_m": SECRET_OR_FILE,
    "unit.y_m": SECRET_OR_FILE,
    "unit.yaw_rad": SECRET_OR_FILE,
    "unit.zone": SECRET_OR_FILE,
    "unit.safe_epoch": CONNECTION + "; what it frees is rebuilt",
    "unit.host": CONNECTION,
    "unit.host_instance": CONNECTION,
    "unit.host_address": CONNECTION,
    "unit.latched": CONNECTION,
    "unit.battery": SILENT,
    "episode.id": INSIDE,
    "episode.job_id": "stands in its body",
    "episode.attempt": "stands in its body",
    "episode.number": "stands in its body",
    "episode.robot_model": "stands in its body",
    "episode.seal_ns": "stands in its body",
    "closure.id": INSIDE,
    "closure.request_id": REQUEST,
    "closure.request_sha256": REQUEST,
    "reservation.id": INSIDE,
    "reservation.request_id": REQUEST,
    "reservation.request_sha256": REQUEST,
    "reservation.spec": "its claim stands in each event, with the duration filled in",
    "reservation.active_ns": "follows from reservation.active",
}


def rows(db: Connection) -> Rows:
    """Return what `record.rebuild` should give at the last event."""
    return {table: _rows(db, *query) for table, query in QUERIES.items()}


def _rows(db: Connection, keys: int, query: str) -> dict[tuple[str | int, ...], Row]:
    cursor = db.execute(query)
    columns = [column[0] for column in cursor.description]
    return {
        tuple(found[:keys]): {
            name: MEANING[name](value) if name in MEANING and value is not None else value
            for name, value in zip(columns[keys:], found[keys:], strict=True)
        }
        for found in cursor
    }


def differences(rebuilt: Rows, there: Rows) -> list[str]:
    """Say row by row what is not as it should be; empty if all is."""
    found = []
    for table in there:
        for key in sorted(rebuilt[table].keys() | there[table].keys(), key=str):
            one, other = rebuilt[table].get(key), there[table].get(key)
            if one is None or other is None:
                found.append(f"{table} {key} is {'not rebuilt' if one is None else 'not in the database'}")
            elif one != other:
                columns = [f"{c}: {one.get(c)!r}, not {other[c]!r}" for c in other if one.get(c) != other[c]]
                found.append(f"{table} {key} is rebuilt with {'; '.join(columns)}")
    return found
