"""What runs, as far as preemption must know."""

from collections.abc import Sequence

from scheduler.sql import Connection, portions
from scheduler.state import Lease

_OPEN = """
    SELECT l.id, l.job_id, l.leaf, l.grant_ns, l.end_by_ns, l.seats, l.chargers, j.priority,
      coalesce(a.safe_ns, l.grant_ns) AS safe_ns,
      l.state IN (3, 5) OR a.cancel_ns IS NOT NULL OR a.preempt_ns IS NOT NULL AS ending,
      coalesce((SELECT r.uid FROM reservation_job rj JOIN reservation r ON r.id = rj.reservation_id
        WHERE rj.job_id = l.job_id), '') AS booking
    FROM lease l JOIN job j ON j.id = l.job_id JOIN attempt a ON a.job_id = l.job_id AND a.number = l.attempt
    WHERE l.state IN (1, 2, 3, 5)
"""


def leases(db: Connection, only: Sequence[int] | None = None) -> tuple[Lease, ...]:
    """Return all leases that still hold something, with those that are ending; or those among `only`."""
    if only is None:
        return _leases(db, "", "", ())
    return tuple(
        lease
        for some, text in portions(only)
        for lease in _leases(db, f"AND lease_id IN {text}", f"AND l.id IN {text}", some)
    )


def _leases(db: Connection, of_parts: str, of_lease: str, values: Sequence[int]) -> tuple[Lease, ...]:
    units: dict[int, list[str]] = {}
    rows = db.execute(f"SELECT lease_id, unit FROM lease_unit WHERE free_ns IS NULL {of_parts} ORDER BY unit", values)
    for lease_id, unit in rows:
        units.setdefault(lease_id, []).append(unit)
    slots = dict(
        db.execute(
            f"SELECT lease_id, count(*) FROM lease_slot WHERE free_ns IS NULL {of_parts} GROUP BY 1", values
        ).fetchall()
    )
    cells = dict(
        db.execute(f"SELECT lease_id, cell FROM lease_cell WHERE free_ns IS NULL {of_parts}", values).fetchall()
    )
    return tuple(
        Lease(
            lease=row["id"],
            job=row["job_id"],
            vendor=row["leaf"],
            start_ns=row["grant_ns"],
            end_ns=row["end_by_ns"],
            units=tuple(units.get(row["id"], ())),
            slots=slots.get(row["id"], 0),
            cell=cells.get(row["id"]),
            seats=row["seats"],
            chargers=row["chargers"],
            priority=row["priority"],
            safe_ns=row["safe_ns"],
            booking=row["booking"],
            ending=bool(row["ending"]),
        )
        for row in db.execute(f"{_OPEN} {of_lease}", values)
    )


def preempted_ns(db: Connection) -> int:
    """Return when a lease was last asked to make room, 0 if never."""
    found: int = db.execute("SELECT coalesce(max(preempt_ns), 0) FROM attempt WHERE preempt_ns IS NOT NULL").fetchone()[
        0
    ]
    return found
