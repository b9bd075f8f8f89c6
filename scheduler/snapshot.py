"""Reads the State that deciding looks at from the database."""

import json
import sqlite3
from functools import lru_cache

from palaestra.v1 import claim_pb2, job_pb2
from scheduler import names
from scheduler.lifecycle import JobState
from scheduler.state import Cell, CellRequest, Claim, Job, SimSlot, State, Unit, UnitRequest, Vendor

# Jobs per vendor that one decision looks at; the others wait for their turn unseen.
LOOK_AHEAD = 256


def claim_of(message: claim_pb2.Claim) -> Claim:
    """Return the claim of a message, with short names and counts of zero read as one."""
    units = tuple(
        UnitRequest(
            count=request.count or 1,
            robot_class=request.selector.robot_class,
            maker=request.selector.maker,
            robot_model=request.selector.robot_model,
            unit=names.parts(request.selector.unit)[1] if request.selector.unit else "",
            labels=tuple(sorted(request.selector.labels.items())),
        )
        for request in message.units
    )
    cell = None
    if message.HasField("cell"):
        short = names.parts(message.cell.cell)[1] if message.cell.cell else ""
        cell = CellRequest(short, message.cell.scenario, message.cell.level)
    duration_s = message.duration.seconds + message.duration.nanos / 1e9
    return Claim(units, message.sim_slots, cell, duration_s)


def load(db: sqlite3.Connection, now_ns: int, *, runner_ready: bool) -> State:
    """Return the venue as of this transaction."""
    return State(
        now_ns=now_ns,
        units=units(db),
        slots=slots(db),
        cells=cells(db),
        vendors=vendors(db),
        jobs=_jobs(db, now_ns),
        runner_ready=runner_ready,
    )


def anything_free(db: sqlite3.Connection) -> bool:
    """Return whether a unit or a sim slot is free, without which no job can start: far cheaper than to `load`."""
    found = db.execute(
        """
        SELECT EXISTS (SELECT 1 FROM sim_slot s WHERE NOT EXISTS
            (SELECT 1 FROM lease_slot ls WHERE ls.slot = s.id AND ls.free_ns IS NULL))
          OR EXISTS (SELECT 1 FROM unit u WHERE u.online AND NOT EXISTS
            (SELECT 1 FROM lease_unit lu WHERE lu.unit = u.id AND lu.free_ns IS NULL))
        """
    ).fetchone()
    return bool(found[0])


def units(db: sqlite3.Connection) -> tuple[Unit, ...]:
    """Return all units, with whether each is free and usable."""
    rows = db.execute(
        """
        SELECT u.*, lu.lease_id, l.end_by_ns FROM unit u
        LEFT JOIN lease_unit lu ON lu.unit = u.id AND lu.free_ns IS NULL
        LEFT JOIN lease l ON l.id = lu.lease_id
        """
    )
    return tuple(
        Unit(
            unit=row["id"],
            robot_model=row["robot_model"],
            robot_class=row["robot_class"],
            maker=row["maker"],
            labels=json.loads(row["labels"]),
            free=row["lease_id"] is None,
            usable=bool(row["online"]) and not row["latched"] and not row["fault"] and _at_rest_or_leased(row),
            end_ns=row["end_by_ns"],
        )
        for row in rows
    )


def _at_rest_or_leased(row: sqlite3.Row) -> bool:
    """A unit without a lease may be given out only after its host confirmed that the last one is over."""
    return row["lease_id"] is not None or row["safe_epoch"] >= row["epoch"]


def slots(db: sqlite3.Connection) -> tuple[SimSlot, ...]:
    """Return all sim slots."""
    rows = db.execute(
        """
        SELECT s.id, ls.lease_id, l.end_by_ns FROM sim_slot s
        LEFT JOIN lease_slot ls ON ls.slot = s.id AND ls.free_ns IS NULL
        LEFT JOIN lease l ON l.id = ls.lease_id
        """
    )
    return tuple(SimSlot(row["id"], row["lease_id"] is None, row["end_by_ns"]) for row in rows)


def cells(db: sqlite3.Connection) -> tuple[Cell, ...]:
    """Return all cells."""
    rows = db.execute(
        """
        SELECT c.id, c.scenario, c.level, lc.lease_id, l.end_by_ns FROM cell c
        LEFT JOIN lease_cell lc ON lc.cell = c.id AND lc.free_ns IS NULL
        LEFT JOIN lease l ON l.id = lc.lease_id
        """
    )
    return tuple(
        Cell(row["id"], row["scenario"], row["level"], row["lease_id"] is None, row["end_by_ns"]) for row in rows
    )


def vendors(db: sqlite3.Connection) -> tuple[Vendor, ...]:
    """Return all vendors with what they hold now and have used before."""
    rows = db.execute(
        """
        SELECT v.id, v.weight,
          (SELECT count(*) FROM lease_unit lu JOIN lease l ON l.id = lu.lease_id
            WHERE l.vendor = v.id AND lu.free_ns IS NULL) AS units,
          (SELECT count(*) FROM lease_slot ls JOIN lease l ON l.id = ls.lease_id
            WHERE l.vendor = v.id AND ls.free_ns IS NULL) AS slots,
          (SELECT count(*) FROM lease_cell lc JOIN lease l ON l.id = lc.lease_id
            WHERE l.vendor = v.id AND lc.free_ns IS NULL) AS cells,
          coalesce(u.unit_ms, 0) AS unit_ms, coalesce(u.slot_ms, 0) AS slot_ms, coalesce(u.cell_ms, 0) AS cell_ms
        FROM vendor v LEFT JOIN usage u ON u.vendor = v.id
        """
    ).fetchall()
    totals = db.execute(
        "SELECT (SELECT count(*) FROM unit), (SELECT count(*) FROM sim_slot), (SELECT count(*) FROM cell)"
    ).fetchone()

    def used_share_s(row: sqlite3.Row) -> float:
        used = (row["unit_ms"], row["slot_ms"], row["cell_ms"])
        return max((ms / 1000 / total for ms, total in zip(used, totals, strict=True) if total), default=0.0)

    return tuple(
        Vendor(row["id"], row["weight"], row["units"], row["slots"], row["cells"], used_share_s(row)) for row in rows
    )


def _jobs(db: sqlite3.Connection, now_ns: int) -> tuple[Job, ...]:
    jobs = []
    for (vendor,) in db.execute("SELECT id FROM vendor").fetchall():
        rows = db.execute(
            """
            SELECT id, vendor, priority, create_ns, spec FROM job
            WHERE vendor = ? AND state = 1 AND not_before_ns <= ? ORDER BY priority DESC, id LIMIT ?
            """,
            (vendor, now_ns, LOOK_AHEAD),
        )
        jobs += [job_of(row) for row in rows]
    return tuple(jobs)


def job_of(row: sqlite3.Row) -> Job:
    """Return the waiting job of a row with id, vendor, priority, create_ns and spec."""
    return Job(row["id"], row["vendor"], _claim_in(row["spec"]), row["priority"], row["create_ns"])


@lru_cache(maxsize=4096)
def _claim_in(spec: bytes) -> Claim:
    """Claims never change, and many jobs ask for the same: parse each once."""
    return claim_of(job_pb2.Job.FromString(spec).claim)


assert JobState.QUEUED.value == 1, "the SQL above and the partial index of the schema say state = 1"
