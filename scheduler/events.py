"""Appends the event that goes with a change, in the change's own transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from palaestra.v1 import api_key_pb2, episode_pb2, event_pb2, job_pb2
from scheduler import encoding, resources
from scheduler.sql import Row, portions
from scheduler.state import Grant
from scheduler.writer import Transaction

FORGET_MAX = 1000
_JOB = event_pb2.Event.DESCRIPTOR.fields_by_name["job"].number


def forget_old(tx: Transaction, kept: int) -> None:
    """Delete the oldest events beyond the last `kept`, a bounded number at a time."""
    # Each asked for alone: SQLite reads both from the ends of the index then, and the whole table otherwise
    # (https://sqlite.org/optoverview.html, "MIN/MAX optimization").
    query = "SELECT (SELECT min(seq) FROM event), (SELECT max(seq) FROM event)"
    oldest, latest = tx.db.execute(query).fetchone()
    if latest is not None and oldest <= latest - kept:
        tx.db.execute("DELETE FROM event WHERE seq <= ?", (min(latest - kept, oldest + FORGET_MAX),))


def job_changed(tx: Transaction, job_id: int, kind: str, message: str) -> None:
    """Bump the job's version and append its event."""
    tx.db.execute("UPDATE job SET version = version + 1 WHERE id = ?", (job_id,))
    row = tx.db.execute("SELECT * FROM job WHERE id = ?", (job_id,)).fetchone()
    body = resources.job(tx.db, row)
    sequence = tx.event(kind, body.name, event_pb2.Event(job=body), vendor=row["vendor"], message=message)
    tx.db.execute("UPDATE job SET event_seq = ? WHERE id = ?", (sequence, job_id))


def jobs_changed(tx: Transaction, job_ids: Sequence[int], kind: str, message: str) -> None:
    """Do what `job_changed` does for many jobs, with few statements for all."""
    if not job_ids:
        return
    tx.db.executemany("UPDATE job SET version = version + 1 WHERE id = ?", [(job_id,) for job_id in job_ids])
    rows = _rows(tx, "SELECT * FROM job WHERE id IN", job_ids, "id")
    found = resources.jobs(tx.db, [rows[job_id] for job_id in job_ids])
    first = tx.events(
        [
            (kind, body.name, rows[job_id]["vendor"], message, _bytes(event_pb2.Event(job=body)))
            for job_id, body in zip(job_ids, found, strict=True)
        ]
    )
    tx.db.executemany("UPDATE job SET event_seq = ? WHERE id = ?", list(enumerate(job_ids, first)))


def jobs_submitted(tx: Transaction, jobs: Sequence[tuple[str, str, bytes]]) -> int:
    """Append the events of new jobs, each given by name, vendor and bytes; return the first one's sequence number.

    The others follow without a gap.
    """
    return tx.events(
        [("job.submitted", name, vendor, "", encoding.length_delimited(_JOB, body)) for name, vendor, body in jobs]
    )


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant as it has been written down.

    Attributes:
        lease: The fields of its row, with `job_uid`.
        job: Those of its job's row, with the new version.
        attempt: Those of the attempt's row, with `lease_uid`.
        held: What it holds, in words.
    """

    grant: Grant
    lease: Mapping[str, Any]
    job: Mapping[str, Any]
    attempt: Mapping[str, Any]
    held: Sequence[str]


def granted(tx: Transaction, grants: Sequence[Granted], words: str) -> None:
    """Append the events of what was granted: of each lease, its job, and what it holds.

    Made of what has just been written, most of which need not be read again. words: Of the decision.
    """
    venue = resources.venue_id(tx.db)
    names = [unit for one in grants for unit in one.grant.units]
    tx.db.executemany("UPDATE unit SET version = version + 1 WHERE id = ?", [(unit,) for unit in names])
    units = _rows(tx, f"{resources.UNITS} WHERE u.id IN", names, "id")
    known = _rows(tx, "SELECT id FROM sim_slot WHERE id IN", [slot for one in grants for slot in one.grant.slots], "id")
    places_held = [one.grant.cell for one in grants if one.grant.cell is not None]
    cells = _rows(tx, f"{resources.CELLS} WHERE c.id IN", places_held, "id")
    rows: list[tuple[str, str, str | None, str, bytes]] = []
    places: list[tuple[int, int]] = []

    def add(kind: str, name: str, body: event_pb2.Event, vendor: str | None, message: str) -> None:
        rows.append((kind, name, vendor, message, _bytes(body)))

    for told in grants:
        one, vendor, uid = told.grant, told.job["vendor"], told.lease["uid"]
        leased = [{"unit": n, "epoch": units[n]["epoch"], "robot_model": units[n]["robot_model"]} for n in one.units]
        lease = resources.lease_of(
            told.lease, sorted(leased, key=itemgetter("unit")), [{"slot": slot} for slot in sorted(one.slots)], venue
        )
        job = _job(tx, told)
        add("lease.granted", lease.name, event_pb2.Event(lease=lease), vendor, words)
        places.append((len(rows), one.job))
        add("job.granted", job.name, event_pb2.Event(job=job), vendor, f"granted {', '.join(told.held)}")
        for name in one.units:
            unit = resources.unit(venue, units[name])
            add("unit.leased", unit.name, event_pb2.Event(unit=unit), None, "")
        for name in one.slots:
            if name in known:
                # Otherwise the runner that gave the slot is gone and took it along.
                slot = resources.slot(venue, {"id": name, "lease_uid": uid, "lease_vendor": vendor})
                add("sim_slot.leased", slot.name, event_pb2.Event(sim_slot=slot), None, "")
        if one.cell is not None:
            cell = resources.cell(venue, cells[one.cell])
            add("cell.leased", cell.name, event_pb2.Event(cell=cell), None, "")
    first = tx.events(rows)
    tx.db.executemany("UPDATE job SET event_seq = ? WHERE id = ?", [(first + place, job) for place, job in places])


def _job(tx: Transaction, told: Granted) -> job_pb2.Job:
    if told.attempt["number"] == 1:
        return resources.job_of(told.job, [told.attempt])
    row = tx.db.execute("SELECT * FROM job WHERE id = ?", (told.grant.job,)).fetchone()
    return resources.job(tx.db, row)


def _bytes(body: event_pb2.Event) -> bytes:
    return body.SerializeToString(deterministic=True)


def _rows(tx: Transaction, query: str, keys: Sequence[Any], key: str) -> dict[Any, Row]:
    return {row[key]: row for some, text in portions(keys) for row in tx.db.execute(f"{query} {text}", some)}


def unit_changed(tx: Transaction, unit_id: str, kind: str, message: str) -> None:
    """Bump the unit's version and append its event."""
    tx.db.execute("UPDATE unit SET version = version + 1 WHERE id = ?", (unit_id,))
    row = tx.db.execute(f"{resources.UNITS} WHERE u.id = ?", (unit_id,)).fetchone()
    body = resources.unit(resources.venue_id(tx.db), row)
    tx.event(kind, body.name, event_pb2.Event(unit=body), vendor=None, message=message)


def cell_changed(tx: Transaction, cell_id: str, kind: str) -> None:
    row = tx.db.execute(f"{resources.CELLS} WHERE c.id = ?", (cell_id,)).fetchone()
    body = resources.cell(resources.venue_id(tx.db), row)
    tx.event(kind, body.name, event_pb2.Event(cell=body), vendor=None, message="")


def slots_changed(tx: Transaction, slot_ids: Sequence[str], kind: str) -> None:
    """Append the events of sim slots. Of those that are gone, as the runner that gave them took them along, none."""
    found = _rows(tx, f"{resources.SLOTS} WHERE s.id IN", slot_ids, "id")
    venue = resources.venue_id(tx.db)
    bodies = [resources.slot(venue, found[slot]) for slot in slot_ids if slot in found]
    if bodies:
        tx.events([(kind, body.name, None, "", _bytes(event_pb2.Event(sim_slot=body))) for body in bodies])


def lease_changed(tx: Transaction, lease_id: int, kind: str, message: str = "") -> None:
    row = tx.db.execute(f"{resources.LEASES} WHERE l.id = ?", (lease_id,)).fetchone()
    body = resources.lease(tx.db, row)
    tx.event(kind, body.name, event_pb2.Event(lease=body), vendor=row["vendor"], message=message)


def episode_sealed(tx: Transaction, body: episode_pb2.Episode, vendor: str) -> None:
    tx.event("episode.sealed", body.name, event_pb2.Event(episode=body), vendor=vendor, message="")


def reservation_changed(tx: Transaction, reservation_id: int, kind: str, message: str) -> None:
    """Bump the reservation's version and append its event, which is its vendor's alone."""
    tx.db.execute("UPDATE reservation SET version = version + 1 WHERE id = ?", (reservation_id,))
    row = tx.db.execute(f"{resources.RESERVATIONS} WHERE r.id = ?", (reservation_id,)).fetchone()
    body = resources.reservation(row)
    tx.event(kind, body.name, event_pb2.Event(reservation=body), vendor=row["vendor"], message=message)


def closure_changed(tx: Transaction, row: Row, kind: str) -> None:
    body = resources.closure(resources.venue_id(tx.db), row)
    tx.event(kind, body.name, event_pb2.Event(closure=body), vendor=None, message=body.display_name)


def api_key_changed(tx: Transaction, body: api_key_pb2.ApiKey, vendor: str, kind: str, message: str) -> None:
    """Append the event of a key: its vendor's and operators', or for a key of the house, operators' alone."""
    tx.event(kind, body.name, event_pb2.Event(api_key=body), vendor=vendor, message=message)
