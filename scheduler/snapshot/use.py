"""What leaves of the tree hold now and have held, from open leases and from the books of those that ended."""

import math
import sqlite3
import struct
from dataclasses import dataclass, field

from scheduler.decay import remaining, weight

RESOURCES = ("unit", "slot", "cell")
HALF_LIFE_KEY = "half_life_s"
# Open leases granted within the same minute are weighed as one: against a half-life of hours that is exact enough.
GRAIN_NS = 60_000_000_000


@dataclass
class Use:
    """Of one leaf, each by resource: things held now, and the decayed mean of things held."""

    held: list[int] = field(default_factory=lambda: [0, 0, 0])
    means: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])


def half_life_of(db: sqlite3.Connection) -> float | None:
    """Return the half-life [s] that the books are folded with, None before any was adopted."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (HALF_LIFE_KEY,)).fetchone()
    return None if row is None else float(struct.unpack("<d", row[0])[0])


def uses(db: sqlite3.Connection, now_ns: int) -> dict[str, Use]:
    """Return the use of every leaf that has any; what runs is counted to now."""
    half_life_s = half_life_of(db) or math.inf
    found: dict[str, Use] = {}
    for row in db.execute("SELECT * FROM used_mean"):
        # A wall clock that was set back must not make the past grow.
        beta = remaining(max(0, now_ns - row["time_ns"]) / 1e9, half_life_s)
        found[row["leaf"]] = Use(means=[beta * row[resource] for resource in RESOURCES])
    for place, resource in enumerate(RESOURCES):
        rows = db.execute(
            f"""
            SELECT l.leaf, avg(x.grant_ns), avg(coalesce(x.free_ns, ?)), count(*), sum(x.free_ns IS NULL)
            FROM lease l JOIN lease_{resource} x ON x.lease_id = l.id WHERE l.state IN (1, 2, 3, 5)
            GROUP BY l.leaf, x.grant_ns / {GRAIN_NS}, x.free_ns IS NULL
            """,
            (now_ns,),
        )
        for leaf, grant_ns, free_ns, count, held in rows:
            use = found.setdefault(leaf, Use())
            use.held[place] += held
            if grant_ns < free_ns <= now_ns:
                use.means[place] += count * weight(grant_ns / 1e9, free_ns / 1e9, now_ns / 1e9, half_life_s)
    return found
