"""Vendors, with what they hold now and have used before."""

import sqlite3

from scheduler.health import VENUE_VENDOR
from scheduler.state import Vendor


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
        FROM vendor v LEFT JOIN usage u ON u.vendor = v.id WHERE v.id != ?
        """,
        (VENUE_VENDOR,),
    ).fetchall()
    totals = db.execute(
        "SELECT (SELECT count(*) FROM unit), (SELECT count(*) FROM sim_slot), (SELECT count(*) FROM cell)"
    ).fetchone()

    def used_share(row: sqlite3.Row) -> float:
        used = (row["unit_ms"], row["slot_ms"], row["cell_ms"])
        return max((ms / 1000 / total for ms, total in zip(used, totals, strict=True) if total), default=0.0)

    return tuple(
        Vendor(row["id"], row["weight"], row["units"], row["slots"], row["cells"], used_share(row)) for row in rows
    )
