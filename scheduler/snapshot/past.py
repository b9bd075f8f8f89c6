"""What came of leases and of told starts: what estimates learn from."""

from scheduler.calibration import Told
from scheduler.estimate import KEPT, KEPT_OF_ALL, PAST, Ratios
from scheduler.forecast import Past
from scheduler.sql import Connection, Row

# Told starts that the published figures are about.
TOLD = 1_000


def ratios(db: Connection) -> Ratios:
    """Return what part of the time asked for ended leases took, the latest of each vendor and of all.

    What had to make room for others is left out: it says nothing about how long its work takes.
    """
    found = {row["id"]: row for row in db.execute(f"{_LEASES} ORDER BY l.end_ns DESC LIMIT ?", (KEPT_OF_ALL,))}
    for (vendor,) in db.execute("SELECT DISTINCT vendor FROM party WHERE vendor IS NOT NULL").fetchall():
        rows = db.execute(f"{_LEASES} AND l.vendor = ? ORDER BY l.end_ns DESC LIMIT ?", (vendor, KEPT))
        found |= {row["id"]: row for row in rows}
    ordered = sorted(found.values(), key=lambda row: (row["end_ns"], row["id"]))
    return Ratios((row["vendor"], row["ratio"]) for row in ordered)


# The work ends with its attempt; until its units rest, the lease holds them a little longer, and that is what counts
# for who waits.
_LEASES = """
    SELECT l.id, l.vendor, l.end_ns, CAST(l.end_ns - l.grant_ns AS REAL) / (l.end_by_ns - l.grant_ns) AS ratio
    FROM lease l JOIN attempt a ON a.job_id = l.job_id AND a.number = l.attempt
    WHERE l.end_ns IS NOT NULL AND l.end_by_ns > l.grant_ns AND a.preempt_ns IS NULL
"""


def past(db: Connection, now_ns: int) -> Past:
    """Return the latest told and real waits, before they were stretched.

    What still waits counts with its wait so far if that is more than it was told already, else as told; of what was
    cancelled, nobody knows.
    """
    rows = _told(db, PAST)
    return Past(
        [(row["raw_p50_s"], _real_s(row, row["raw_p50_s"], now_ns)) for row in rows],
        [(row["raw_p90_s"], _real_s(row, row["raw_p90_s"], now_ns)) for row in rows],
    )


def told(db: Connection, now_ns: int) -> list[Told]:
    """Return the latest told starts as they were told, with what came or has come so far."""
    return [
        Told(row["p50_s"], row["p90_s"], _so_far_s(row, now_ns), started=row["wait_s"] is not None)
        for row in _told(db, TOLD)
    ]


def _told(db: Connection, count: int) -> list[Row]:
    rows = db.execute(
        """
        SELECT t.* FROM told_start t JOIN job j ON j.id = t.job_id
        WHERE t.wait_s IS NOT NULL OR j.state = 1 ORDER BY t.id DESC LIMIT ?
        """,
        (count,),
    ).fetchall()
    return rows[::-1]


def _so_far_s(row: Row, now_ns: int) -> float:
    wait_s: float | None = row["wait_s"]
    return (now_ns - row["told_ns"]) / 1e9 if wait_s is None else wait_s


def _real_s(row: Row, told_s: float, now_ns: int) -> float:
    real_s = _so_far_s(row, now_ns)
    return real_s if row["wait_s"] is not None else max(real_s, told_s)
