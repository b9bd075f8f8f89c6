"""Events folded into rows of the tables that they tell of. Pure: rows of table event in, rows out.

An event holds its resource as it was after the change. From that follow the columns that stand in the resource; those
of the tables between resources (which lease held which unit from when to when) follow from the leases that units and
cells name, and a lease's slots are freed with its end, as `commands.ending` does it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from palaestra.v1 import calendar_pb2, event_pb2, job_pb2, reservation_pb2, venue_pb2
from scheduler import names
from scheduler.lifecycle import LeaseState

# Key of a row, for example the uid of a job, or (uid of a lease, id of a unit); and its columns by name.
Key = tuple[str | int, ...]
Row = dict[str, Any]
Rows = dict[str, dict[Key, Row]]

# What the scheduler adds to a job as it was submitted (`resources.job`).
_JOB_OUTPUT = ("name", "state", "create_time", "grant_time", "start_time", "end_time", "attempts", "progress", "result",
               "failure", "episode_count", "etag", "sequence", "array", "array_index")  # fmt: skip
TABLES = (
    "job",
    "attempt",
    "lease",
    "lease_unit",
    "lease_slot",
    "lease_cell",
    "unit",
    "episode",
    "reservation",
    "closure",
)


class Gap(Exception):
    """The log does not begin with the first event, or leaves one out."""


@dataclass
class Record:
    """The state after event `sequence`, as rows of TABLES by their keys."""

    sequence: int = 0
    rows: Rows = field(default_factory=lambda: {name: {} for name in TABLES})
    # Which lease holds what: by unit and by cell.
    _units: dict[str, str] = field(default_factory=dict)
    _cells: dict[str, str] = field(default_factory=dict)

    def apply(self, sequence: int, time_ns: int, kind: str, body: bytes) -> None:
        """Go on by one event. Raises Gap unless it is the next."""
        if sequence != self.sequence + 1:
            raise Gap(f"event {self.sequence + 1} is not there, the next is {sequence}")
        self.sequence = sequence
        event = event_pb2.Event.FromString(body)
        match event.WhichOneof("state"):
            case "job":
                self._job(event.job, sequence)
            case "lease":
                self._lease(event.lease, time_ns)
            case "unit":
                self._unit(event.unit, time_ns)
            case "cell":
                self._hold("lease_cell", self._cells, names.parts(event.cell.name)[1], event.cell.lease, time_ns)
            case "episode":
                episode = event.episode
                vendor, uid = names.parts(episode.name)
                self.rows["episode"][(uid,)] = {"vendor": vendor, "body": episode.SerializeToString(deterministic=True)}
            case "reservation":
                self._reservation(event.reservation)
            case "closure":
                self._closure(event.closure, kind)

    def _job(self, job: job_pb2.Job, sequence: int) -> None:
        vendor, uid = names.parts(job.name)
        spec = job_pb2.Job()
        spec.CopyFrom(job)
        for name in _JOB_OUTPUT:
            spec.ClearField(name)
        for attempt in job.attempts:
            self.rows["attempt"][(uid, attempt.number)] = {
                "lease": names.parts(attempt.lease)[1],
                "state": attempt.state,
                "grant_ns": _ns(attempt, "grant_time"),
                "start_ns": _ns(attempt, "start_time"),
                "end_ns": _ns(attempt, "end_time"),
                "failure": _body(attempt, "failure"),
                "resources": list(attempt.resources),
            }
        self.rows["job"][(uid,)] = {
            "vendor": vendor,
            "state": job.state,
            "priority": job.priority,
            "spec": spec.SerializeToString(deterministic=True),
            "create_ns": _ns(job, "create_time"),
            "grant_ns": _ns(job, "grant_time"),
            "start_ns": _ns(job, "start_time"),
            "end_ns": _ns(job, "end_time"),
            "attempt_count": max((attempt.number for attempt in job.attempts), default=0),
            "episode_count": job.episode_count,
            "progress": _body(job, "progress"),
            "result": _body(job, "result"),
            "failure": _body(job, "failure"),
            "array_uid": names.parts(job.array)[1] if job.array else None,
            "array_index": job.array_index,
            "version": int(job.etag),
            "event_seq": sequence,
        }

    def _lease(self, lease: venue_pb2.Lease, time_ns: int) -> None:
        vendor, uid = names.parts(lease.name)
        grant_ns = _ns(lease, "grant_time")
        _, job, attempt = names.attempt_parts(lease.attempt)
        self.rows["lease"][(uid,)] = {
            "vendor": vendor,
            "job": job,
            "attempt": attempt,
            "state": lease.state,
            "cell": names.parts(lease.cell)[1] if lease.cell else None,
            "grant_ns": grant_ns,
            "end_by_ns": _ns(lease, "end_by_time"),
            "end_ns": _ns(lease, "end_time"),
            "seats": lease.seats,
            "chargers": lease.chargers,
        }
        for unit in lease.units:
            key = (uid, names.parts(unit.unit)[1])
            self._held("lease_unit", key, {"epoch": unit.epoch, "grant_ns": grant_ns, "free_ns": None})
        for slot in lease.sim_slots:
            self._held("lease_slot", (uid, names.parts(slot)[1]), {"grant_ns": grant_ns, "free_ns": None})
        if lease.cell:
            cell = names.parts(lease.cell)[1]
            self._held("lease_cell", (uid,), {"cell": cell, "grant_ns": grant_ns, "free_ns": None})
        if not LeaseState(lease.state).drives:
            for slot in lease.sim_slots:
                row = self.rows["lease_slot"][(uid, names.parts(slot)[1])]
                row["free_ns"] = row["free_ns"] or time_ns

    def _held(self, table: str, key: Key, row: Row) -> None:
        """Note what a lease holds. What it still holds moves with it when the clock is set."""
        before = self.rows[table].setdefault(key, row)
        if before["free_ns"] is None:
            before["grant_ns"] = row["grant_ns"]

    def _unit(self, unit: venue_pb2.Unit, time_ns: int) -> None:
        uid = names.parts(unit.name)[1]
        self.rows["unit"][(uid,)] = {
            "robot_model": unit.robot_model,
            "epoch": unit.epoch,
            "fault": unit.fault,
            "online": unit.state != venue_pb2.UNIT_STATE_OFFLINE,
            "version": int(unit.etag),
            "health": unit.health,
        }
        self._hold("lease_unit", self._units, uid, unit.lease, time_ns)

    def _hold(self, table: str, holders: dict[str, str], uid: str, lease: str, time_ns: int) -> None:
        """Note that something is held by a lease, or by none any more."""
        before, now = holders.get(uid, ""), names.parts(lease)[1] if lease else ""
        if before and before != now:
            key: Key = (before,) if table == "lease_cell" else (before, uid)
            self.rows[table][key]["free_ns"] = time_ns
        holders[uid] = now

    def _reservation(self, reservation: reservation_pb2.Reservation) -> None:
        vendor, uid = names.parts(reservation.name)
        self.rows["reservation"][(uid,)] = {
            "vendor": vendor,
            "state": reservation.state,
            "degraded": int(reservation.degraded),
            "start_ns": _ns(reservation, "start_time"),
            "end_ns": _ns(reservation, "end_time"),
            "create_ns": _ns(reservation, "create_time"),
            "close_ns": _ns(reservation, "close_time"),
            "version": int(reservation.etag),
        }

    def _closure(self, closure: calendar_pb2.Closure, kind: str) -> None:
        key = (names.parts(closure.name)[1],)
        if kind == "closure.deleted":
            self.rows["closure"].pop(key, None)
            return
        self.rows["closure"][key] = {
            "display_name": closure.display_name,
            "start_ns": _ns(closure, "start_time"),
            "end_ns": _ns(closure, "end_time"),
            "rrule": closure.rrule,
            "scope": {
                name: [names.parts(each)[1] for each in found] if name != "zones" else list(found)
                for name, found in (("units", closure.units), ("cells", closure.cells), ("zones", closure.zones))
                if found
            },
            "stop_running": int(closure.stop_running),
            "create_ns": _ns(closure, "create_time"),
        }


def rebuild(events: Iterable[tuple[int, int, str, bytes]], until: int | None = None) -> Record:
    """Fold events (sequence, time_ns, kind, body), in order, up to a sequence number or all. Raises Gap."""
    record = Record()
    for sequence, time_ns, kind, body in events:
        if until is not None and sequence > until:
            break
        record.apply(sequence, time_ns, kind, body)
    return record


def _ns(message: Any, name: str) -> int | None:
    if not message.HasField(name):
        return None
    time: Timestamp = getattr(message, name)
    return time.ToNanoseconds()


def _body(message: Any, name: str) -> bytes | None:
    if not message.HasField(name):
        return None
    found: bytes = getattr(message, name).SerializeToString(deterministic=True)
    return found
