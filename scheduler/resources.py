"""Turns rows into the contract's resources, complete, as an operator may see them; `redact` takes away the rest."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from palaestra.v1 import (
    api_key_pb2,
    body_pb2,
    calendar_pb2,
    episode_pb2,
    event_pb2,
    job_array_pb2,
    job_pb2,
    reservation_pb2,
    venue_pb2,
)  # fmt: skip
from scheduler import encoding, names
from scheduler.identity import Identity
from scheduler.lifecycle import LeaseState
from scheduler.sql import Connection, Row, portions

ATTEMPTS_SHOWN = 10
# A row, or what one is going to be.
Fields = Row | Mapping[str, Any]


def timestamp(unix_ns: int | None) -> Timestamp | None:
    """Return a Timestamp, or None for None."""
    if unix_ns is None:
        return None
    return Timestamp(seconds=unix_ns // 1_000_000_000, nanos=unix_ns % 1_000_000_000)


def venue_id(db: Connection) -> str:
    """Return the id of the one venue that the database is about."""
    found: str = db.execute("SELECT id FROM venue").fetchone()[0]
    return found


def job(db: Connection, row: Row) -> job_pb2.Job:
    """Return the job of a row of table job, with its last attempts."""
    (found,) = jobs(db, [row])
    return found


def jobs(db: Connection, rows: Sequence[Row]) -> list[job_pb2.Job]:
    """Return the jobs of rows of table job, in their order, each with its last attempts."""
    attempts: dict[int, list[Row]] = {}
    for some, text in portions([row["id"] for row in rows if row["attempt_count"]]):
        query = f"""
        SELECT a.*, l.uid AS lease_uid FROM job j
        JOIN attempt a ON a.job_id = j.id AND a.number > j.attempt_count - ? JOIN lease l ON l.id = a.lease_id
        WHERE j.id IN {text} ORDER BY a.job_id, a.number DESC
        """
        # Of a job that was tried a hundred times only what is shown is read.
        for found in db.execute(query, [ATTEMPTS_SHOWN, *some]):
            attempts.setdefault(found["job_id"], []).append(found)
    return [job_of(row, attempts.get(row["id"], ())) for row in rows]


def job_of(row: Fields, attempts: Sequence[Fields]) -> job_pb2.Job:
    """Return the job of a row of table job. attempts: Its last, the latest first, each with `lease_uid`."""
    message = job_pb2.Job.FromString(row["spec"])
    vendor, uid = row["vendor"], row["uid"]
    message.name = names.job(vendor, uid)
    message.state = row["state"]
    message.etag = str(row["version"])
    message.sequence = row["event_seq"]
    message.episode_count = row["episode_count"]
    if row["array_uid"] is not None:
        message.array = names.job_array(vendor, row["array_uid"])
        message.array_index = row["array_index"]
    _set_time(message.create_time, row["create_ns"])
    if row["grant_ns"] is not None:
        _set_time(message.grant_time, row["grant_ns"])
    if row["start_ns"] is not None:
        _set_time(message.start_time, row["start_ns"])
    if row["end_ns"] is not None:
        _set_time(message.end_time, row["end_ns"])
    if row["progress"] is not None:
        message.progress.ParseFromString(row["progress"])
    if row["result"] is not None:
        message.result.ParseFromString(row["result"])
    if row["failure"] is not None:
        message.failure.ParseFromString(row["failure"])
    message.attempts.extend(attempt(vendor, uid, found) for found in attempts)
    return message


def _set_time(message: Timestamp, unix_ns: int) -> None:
    message.seconds, message.nanos = divmod(unix_ns, 1_000_000_000)


def job_array(db: Connection, row: Row) -> job_array_pb2.JobArray:
    """Return the array of a row of table job_array, with how many of its jobs are in which state."""
    counts = db.execute(
        "SELECT state, count(*) AS count FROM job WHERE array_uid = ? GROUP BY state ORDER BY state", (row["uid"],)
    )
    return job_array_pb2.JobArray(
        name=names.job_array(row["vendor"], row["uid"]),
        size=row["size"],
        create_time=timestamp(row["create_ns"]),
        counts=[job_array_pb2.JobStateCount(state=found["state"], count=found["count"]) for found in counts],
    )


def attempt(vendor: str, job_uid: str, row: Fields) -> job_pb2.Attempt:
    message = job_pb2.Attempt(
        name=names.attempt(vendor, job_uid, row["number"]),
        number=row["number"],
        state=row["state"],
        lease=names.lease(vendor, row["lease_uid"]),
        resources=json.loads(row["resources"]),
    )
    _set_time(message.grant_time, row["grant_ns"])
    if row["start_ns"] is not None:
        _set_time(message.start_time, row["start_ns"])
    if row["end_ns"] is not None:
        _set_time(message.end_time, row["end_ns"])
    if row["failure"] is not None:
        message.failure.ParseFromString(row["failure"])
    return message


def lease(db: Connection, row: Row) -> venue_pb2.Lease:
    """Return the lease of a row of LEASES."""
    (found,) = leases(db, [row])
    return found


def leases(db: Connection, rows: Sequence[Row]) -> list[venue_pb2.Lease]:
    """Return the leases of rows of LEASES, in their order."""
    units: dict[int, list[Row]] = {}
    slots: dict[int, list[Row]] = {}
    for some, text in portions([row["id"] for row in rows]):
        query = f"""
        SELECT lu.lease_id, lu.unit, lu.epoch, u.robot_model FROM lease_unit lu JOIN unit u ON u.id = lu.unit
        WHERE lu.lease_id IN {text} ORDER BY lu.unit
        """
        for found in db.execute(query, some):
            units.setdefault(found["lease_id"], []).append(found)
        query = f"SELECT lease_id, slot FROM lease_slot WHERE lease_id IN {text} ORDER BY slot"
        for found in db.execute(query, some):
            slots.setdefault(found["lease_id"], []).append(found)
    venue = venue_id(db)
    return [lease_of(row, units.get(row["id"], ()), slots.get(row["id"], ()), venue) for row in rows]


def lease_of(row: Fields, units: Sequence[Fields], slots: Sequence[Fields], venue: str) -> venue_pb2.Lease:
    """Return the lease of a row of LEASES. units: What it holds, with `unit`, `epoch` and `robot_model`; slots: `slot`.

    Both in order of their names.
    """
    vendor, job_uid = row["vendor"], row["job_uid"]
    message = venue_pb2.Lease(
        name=names.lease(vendor, row["uid"]),
        job=names.job(vendor, job_uid),
        attempt=names.attempt(vendor, job_uid, row["attempt"]),
        state=row["state"],
        units=[
            venue_pb2.LeasedUnit(unit=names.unit(venue, u["unit"]), epoch=u["epoch"], robot_model=u["robot_model"])
            for u in units
        ],
        sim_slots=[names.slot(venue, s["slot"]) for s in slots],
        cell=names.cell(venue, row["cell"]) if row["cell"] else "",
        seats=row["seats"],
        chargers=row["chargers"],
    )
    _set_time(message.grant_time, row["grant_ns"])
    _set_time(message.expire_time, row["expire_ns"])
    _set_time(message.end_by_time, row["end_by_ns"])
    if row["end_ns"] is not None:
        _set_time(message.end_time, row["end_ns"])
    return message


LEASES = "SELECT l.*, j.uid AS job_uid FROM lease l JOIN job j ON j.id = l.job_id"

UNITS = """
SELECT u.*, b.*, l.uid AS lease_uid, l.vendor AS lease_vendor, l.state AS lease_state,
  EXISTS (SELECT 1 FROM unit_order o WHERE o.unit = u.id AND o.action = 'charge' AND o.done_ns IS NULL) AS sent
FROM unit u JOIN body b ON b.unit = u.id
LEFT JOIN lease_unit lu ON lu.unit = u.id AND lu.free_ns IS NULL
LEFT JOIN lease l ON l.id = lu.lease_id
"""

CELLS = """
SELECT c.*, l.uid AS lease_uid, l.vendor AS lease_vendor FROM cell c
LEFT JOIN lease_cell lc ON lc.cell = c.id AND lc.free_ns IS NULL
LEFT JOIN lease l ON l.id = lc.lease_id
"""

SLOTS = """
SELECT s.*, l.uid AS lease_uid, l.vendor AS lease_vendor FROM sim_slot s
LEFT JOIN lease_slot ls ON ls.slot = s.id AND ls.free_ns IS NULL
LEFT JOIN lease l ON l.id = ls.lease_id
"""


def unit(venue: str, row: Row, seen_ns: int | None = None) -> venue_pb2.Unit:
    """Return the unit of a row of UNITS. seen_ns: when its host was last heard of, kept in memory only."""
    message = venue_pb2.Unit(
        name=names.unit(venue, row["id"]),
        serial=row["serial"],
        robot_model=row["robot_model"],
        robot_class=row["robot_class"],
        maker=row["maker"],
        labels=json.loads(row["labels"]),
        joint_count=row["joint_count"],
        pose=venue_pb2.FloorPose(x_m=row["x_m"], y_m=row["y_m"], yaw_rad=row["yaw_rad"]),
        state=_unit_state(row),
        health=row["health"],
        body_state=_body_state(row),
        fault=row["fault"],
        epoch=row["epoch"],
        lease=names.lease(row["lease_vendor"], row["lease_uid"]) if row["lease_uid"] else "",
        etag=str(row["version"]),
        emulated=bool(row["emulated"]),
        seen_time=timestamp(seen_ns),
    )
    if row["battery"] is not None:
        message.battery = row["battery"]
    return message


def _unit_state(row: Row) -> venue_pb2.UnitState:
    if not row["online"]:
        return venue_pb2.UNIT_STATE_OFFLINE
    if row["latched"]:
        return venue_pb2.UNIT_STATE_STOPPED
    if row["lease_uid"] is not None:
        drives = LeaseState(row["lease_state"]).drives
        return venue_pb2.UNIT_STATE_LEASED if drives else venue_pb2.UNIT_STATE_UNCERTAIN
    return venue_pb2.UNIT_STATE_IDLE if row["safe_epoch"] >= row["epoch"] else venue_pb2.UNIT_STATE_UNCERTAIN


def _body_state(row: Row) -> body_pb2.BodyState:
    message = body_pb2.BodyState(
        body=body_pb2.Body(
            payload_kg=row["payload_kg"],
            end_effector=row["end_effector"],
            sensors=json.loads(row["sensors"]),
            firmware=row["firmware"],
        ),
        charging=bool(row["plugged"] or row["sent"]),
        ready_time=timestamp(row["cool_ns"] or None),
        calibration_expire_time=timestamp(row["calibrated_ns"]),
        check_time=timestamp(row["check_ns"]),
        wear_h=row["wear_ms"] / 3_600_000,
        health_cause=row["health_cause"],
    )
    if row["capacity_wh"] is not None:
        battery = message.body.battery
        battery.capacity_wh, battery.work_power_w = row["capacity_wh"], row["work_power_w"]
        battery.charge_power_w = row["charge_power_w"]
    return message


def cell(venue: str, row: Row) -> venue_pb2.Cell:
    """Return the cell of a row of CELLS."""
    return venue_pb2.Cell(
        name=names.cell(venue, row["id"]),
        display_name=row["display_name"],
        scenario=row["scenario"],
        sector=row["sector"],
        level=row["level"],
        pose=venue_pb2.FloorPose(x_m=row["x_m"], y_m=row["y_m"], yaw_rad=row["yaw_rad"]),
        width_m=row["width_m"],
        depth_m=row["depth_m"],
        occupied=row["lease_uid"] is not None,
        lease=names.lease(row["lease_vendor"], row["lease_uid"]) if row["lease_uid"] else "",
    )


def slot(venue: str, row: Fields) -> venue_pb2.SimSlot:
    """Return the sim slot of a row of SLOTS."""
    return venue_pb2.SimSlot(
        name=names.slot(venue, row["id"]),
        occupied=row["lease_uid"] is not None,
        lease=names.lease(row["lease_vendor"], row["lease_uid"]) if row["lease_uid"] else "",
    )


def event(row: Row, reader: Identity) -> event_pb2.Event:
    """Return the event of a row of table event as `reader` may see it."""
    message = event_pb2.Event.FromString(row["body"])
    message.sequence = row["seq"]
    message.time.CopyFrom(timestamp(row["time_ns"]) or Timestamp())
    message.kind = row["kind"]
    message.resource = row["resource"]
    message.message = row["message"]
    if message.HasField("job"):
        # Written before its own event had a number.
        message.job.sequence = row["seq"]
    for field in ("unit", "cell", "sim_slot"):
        if message.HasField(field):
            redact(getattr(message, field), reader)
    return message


def event_bytes(row: Row, reader: Identity) -> bytes:
    """Return the bytes of `event`: of what nothing is taken out, without reading its body."""
    body: bytes = row["body"]
    if body[:1] not in _PASSED_ON:
        return event(row, reader).SerializeToString()
    told = event_pb2.Event(
        sequence=row["seq"],
        time=timestamp(row["time_ns"]),
        kind=row["kind"],
        resource=row["resource"],
        message=row["message"],
    )
    if body[:1] == _JOB:
        # What comes later of a message is merged into what came before.
        told.job.sequence = row["seq"]
    return body + told.SerializeToString()


def _tag(field: str) -> bytes:
    """Return the first byte of an event's body that tells of this field."""
    return encoding.length_delimited(event_pb2.Event.DESCRIPTOR.fields_by_name[field].number, b"")[:1]


_JOB = _tag("job")
# Whoever may read an event of these may read all of it.
_PASSED_ON = frozenset({_JOB, _tag("lease"), _tag("episode")})


def redact(message: venue_pb2.Unit | venue_pb2.Cell | venue_pb2.SimSlot, reader: Identity) -> None:
    """Take out the lease if it is not the reader's to see; also if that is not known, for one of projects alone."""
    if message.lease and (reader.projects or not reader.sees_vendor(names.parts(message.lease)[0])):
        message.lease = ""


def redacted(
    messages: Iterable[venue_pb2.Unit] | Iterable[venue_pb2.Cell] | Iterable[venue_pb2.SimSlot], reader: Identity
) -> None:
    """Redact each message in place."""
    for message in messages:
        redact(message, reader)


def episode(row: Row) -> episode_pb2.Episode:
    """Return the episode of a row of table episode."""
    return episode_pb2.Episode.FromString(row["body"])


RESERVATIONS = """
SELECT r.*, (SELECT count(*) FROM reservation_job rj WHERE rj.reservation_id = r.id) AS job_count FROM reservation r
"""


def reservation(row: Row) -> reservation_pb2.Reservation:
    """Return the reservation of a row of RESERVATIONS."""
    message = reservation_pb2.Reservation.FromString(row["spec"])
    message.name = names.reservation(row["vendor"], row["uid"])
    message.claim.duration.FromNanoseconds(row["end_ns"] - row["start_ns"])
    message.state = row["state"]
    message.degraded = bool(row["degraded"])
    message.job_count = row["job_count"]
    message.etag = str(row["version"])
    for field in ("create", "close"):
        value = timestamp(row[f"{field}_ns"])
        if value is not None:
            getattr(message, f"{field}_time").CopyFrom(value)
    return message


def closure(venue: str, row: Row) -> calendar_pb2.Closure:
    """Return the closure of a row of table closure."""
    places = json.loads(row["scope"])
    return calendar_pb2.Closure(
        name=names.closure(venue, row["uid"]),
        display_name=row["display_name"],
        start_time=timestamp(row["start_ns"]),
        end_time=timestamp(row["end_ns"]),
        rrule=row["rrule"],
        units=[names.unit(venue, name) for name in places.get("units", ())],
        cells=[names.cell(venue, name) for name in places.get("cells", ())],
        zones=places.get("zones", ()),
        stop_running=bool(row["stop_running"]),
        create_time=timestamp(row["create_ns"]),
    )


def api_key(venue: str, row: Row) -> api_key_pb2.ApiKey:
    """Return the key of a row of table api_key. Nothing in it opens anything."""
    return api_key_pb2.ApiKey(
        name=names.api_key(venue, row["vendor"], row["uid"]),
        display_name=row["display_name"],
        role=row["role"],
        methods=json.loads(row["methods"]),
        projects=json.loads(row["projects"]),
        expire_time=timestamp(row["expire_ns"]),
        prefix=names.api_key_prefix(row["uid"]),
        create_time=timestamp(row["create_ns"]),
        creator=row["creator"],
        rotate_time=timestamp(row["rotate_ns"]),
        former_expire_time=timestamp(row["former_expire_ns"] or None),
        use_time=timestamp(row["use_ns"]),
        revoke_time=timestamp(row["revoke_ns"]),
        etag=api_key_etag(row),
    )


def api_key_etag(row: Row) -> str:
    """Return what differs after a rotation or a revocation; that a key is used is no change of it."""
    return f"{row['rotate_ns'] or row['create_ns']:x}{'-revoked' if row['revoke_ns'] is not None else ''}"
