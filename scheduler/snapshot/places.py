"""Units, sim slots, cells, seats and chargers, each with whether it is free and when it will be."""

import json
import sqlite3

from scheduler.state import Cell, SimSlot, Unit, Unnamed


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
            zone=row["zone"],
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
        SELECT c.id, c.scenario, c.level, c.zone, lc.lease_id, l.end_by_ns FROM cell c
        LEFT JOIN lease_cell lc ON lc.cell = c.id AND lc.free_ns IS NULL
        LEFT JOIN lease l ON l.id = lc.lease_id
        """
    )
    return tuple(
        Cell(row["id"], row["scenario"], row["level"], row["lease_id"] is None, row["end_by_ns"], row["zone"])
        for row in rows
    )


def seats(db: sqlite3.Connection) -> Unnamed:
    """Return the operators' seats."""
    return _unnamed(db, "seats")


def chargers(db: sqlite3.Connection) -> Unnamed:
    """Return the chargers."""
    return _unnamed(db, "chargers")


def _unnamed(db: sqlite3.Connection, column: str) -> Unnamed:
    """Return what has no names; in use by every lease that has not ended, also while its units come to rest."""
    count = db.execute(f"SELECT coalesce(sum({column}), 0) FROM venue").fetchone()[0]
    busy = db.execute(
        f"SELECT end_by_ns, {column} FROM lease WHERE state IN (1, 2, 3, 5) AND {column} > 0 ORDER BY end_by_ns"
    )
    return Unnamed(count, tuple((row[0], row[1]) for row in busy))
