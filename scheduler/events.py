"""Appends the event that goes with a change, in the change's own transaction."""

from collections.abc import Sequence
from typing import Any

from palaestra.v1 import api_key_pb2, episode_pb2, event_pb2
from scheduler import encoding, resources
from scheduler.sql import Row, portions
from scheduler.state import Grant
from scheduler.writer import Transaction

FORGET_MAX = 1000
_JOB = event_pb2.Event.DESCRIPTOR.fields_by_name["job"].number


def forget_old(tx: Transaction, kept: int) -> None:
    """Delete the oldest events beyond the last `kept`, a bounded number at a time."""
    oldest, latest = tx.db.execute("SELECT min(seq), max(seq) FROM event").fetchone()
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


def granted(
    tx: Transaction, grants: Sequence[Grant], first_lease: int, held: Sequence[Sequence[str]], words: str
) -> None:
    """Append the events of what was granted: of each lease, its job, and what it holds.

    The jobs have their new version already. first_lease: Row of the first one's lease, the others follow. held: What
    each holds, in words. words: Of the decision.
    """
    venue = resources.venue_id(tx.db)
    tx.db.executemany(
        "UPDATE unit SET version = version + 1 WHERE id = ?", [(unit,) for one in grants for unit in one.units]
    )
    leases = _rows(tx, f"{resources.LEASES} WHERE l.id IN", range(first_lease, first_lease + len(grants)), "id")
    jobs = _rows(tx, "SELECT * FROM job WHERE id IN", [one.job for one in grants], "id")
    units = _rows(tx, f"{resources.UNITS} WHERE u.id IN", [unit for one in grants for unit in one.units], "id")
    slots = _rows(tx, f"{resources.SLOTS} WHERE s.id IN", [slot for one in grants for slot in one.slots], "id")
    cells = _rows(tx, f"{resources.CELLS} WHERE c.id IN", [one.cell for one in grants if one.cell is not None], "id")
    rows: list[tuple[str, str, str | None, str, bytes]] = []
    places: list[tuple[int, int]] = []

    def add(kind: str, name: str, body: event_pb2.Event, vendor: str | None, message: str) -> None:
        rows.append((kind, name, vendor, message, _bytes(body)))

    told = zip(
        grants,
        resources.leases(tx.db, [leases[first_lease + number] for number in range(len(grants))]),
        resources.jobs(tx.db, [jobs[one.job] for one in grants]),
        held,
        strict=True,
    )
    for one, lease, job, what in told:
        vendor = jobs[one.job]["vendor"]
        add("lease.granted", lease.name, event_pb2.Event(lease=lease), vendor, words)
        places.append((len(rows), one.job))
        add("job.granted", job.name, event_pb2.Event(job=job), vendor, f"granted {', '.join(what)}")
        for name in one.units:
            unit = resources.unit(venue, units[name])
            add("unit.leased", unit.name, event_pb2.Event(unit=unit), None, "")
        for name in one.slots:
            if name in slots:
                # Otherwise the runner that gave the slot is gone and took it along.
                slot = resources.slot(venue, slots[name])
                add("sim_slot.leased", slot.name, event_pb2.Event(sim_slot=slot), None, "")
        if one.cell is not None:
            cell = resources.cell(venue, cells[one.cell])
            add("cell.leased", cell.name, event_pb2.Event(cell=cell), None, "")
    first = tx.events(rows)
    tx.db.executemany("UPDATE job SET event_seq = ? WHERE id = ?", [(first + place, job) for place, job in places])


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
