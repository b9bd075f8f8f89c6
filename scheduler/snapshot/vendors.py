"""Groups, vendors and projects, with what they hold now and have used before."""

import math
import sqlite3
from collections.abc import Mapping
from dataclasses import replace

from scheduler.snapshot.use import Use, uses
from scheduler.state import Amounts, Vendor

HOUR_NS = 3_600_000_000_000


def tree(db: sqlite3.Connection) -> tuple[Vendor, ...]:
    """Return the tree alone: parents, weights, guarantees and limits."""
    return tuple(_party(row) for row in db.execute("SELECT * FROM party"))


def leaves(db: sqlite3.Connection, vendor: str) -> dict[str, str]:
    """Return a vendor's leaves that take jobs, by project; "" is for jobs without one."""
    rows = db.execute("SELECT project, id FROM party WHERE vendor = ? AND leaf = 1 AND configured = 1", (vendor,))
    return {row["project"]: row["id"] for row in rows}


def vendors(db: sqlite3.Connection, now_ns: int) -> tuple[Vendor, ...]:
    """Return the whole tree with what each leaf holds now and each node has used, weights times the targets' factors.

    What is left of a vendor's rate of starts stands at its own node, whether it has projects or not.
    """
    totals = db.execute(
        "SELECT (SELECT count(*) FROM unit), (SELECT count(*) FROM sim_slot), (SELECT count(*) FROM cell)"
    ).fetchone()
    leases = dict(db.execute("SELECT leaf, count(*) FROM lease WHERE state IN (1, 2, 3, 5) GROUP BY 1").fetchall())
    factors = dict(db.execute("SELECT leaf, factor FROM target").fetchall())
    used, nothing = uses(db, now_ns), Use()

    rows = db.execute("SELECT * FROM party").fetchall()
    means = _with_children(rows, used)

    def filled(row: sqlite3.Row) -> Vendor:
        use = used.get(row["id"], nothing)
        shares = [mean / total for mean, total in zip(means[row["id"]], totals, strict=True) if total]
        party = _party(row)
        return replace(
            party,
            weight=party.weight * factors.get(party.vendor, 1.0),
            held_units=use.held[0],
            held_slots=use.held[1],
            held_cells=use.held[2],
            used_share=max(shares, default=0.0),
            leases=leases.get(row["id"], 0),
            starts_left=_starts_left(db, row, now_ns),
        )

    return tuple(filled(row) for row in rows)


def _with_children(rows: list[sqlite3.Row], used: Mapping[str, Use]) -> dict[str, list[float]]:
    """Return the means of every node, what its children used included: brothers are ranked by it at every level."""
    parents = {row["id"]: row["parent"] for row in rows}
    means = {name: [0.0, 0.0, 0.0] for name in parents}
    for leaf, use in used.items():
        name = leaf
        while name in parents:
            means[name] = [mean + more for mean, more in zip(means[name], use.means, strict=True)]
            name = parents[name]
    return means


def _party(row: sqlite3.Row) -> Vendor:
    return Vendor(
        row["id"],
        row["weight"],
        parent=row["parent"],
        guarantee=Amounts(row["guarantee_units"], row["guarantee_slots"], row["guarantee_cells"]),
        limit=Amounts(*(_or_infinite(row[f"limit_{field}"]) for field in ("units", "slots", "cells"))),
        leases_max=_or_infinite(row["leases_max"]),
    )


def _or_infinite(value: int | None) -> float:
    return math.inf if value is None else value


def _starts_left(db: sqlite3.Connection, row: sqlite3.Row, now_ns: int) -> float:
    """Return how many starts the last hour leaves; what made room for others may start again for nothing."""
    if row["starts_per_hour"] is None:
        return math.inf
    starts: int = db.execute(
        """
        SELECT count(*) FROM lease l LEFT JOIN attempt a ON a.job_id = l.job_id AND a.number = l.attempt
        WHERE l.vendor = ? AND l.grant_ns > ? AND a.preempt_ns IS NULL
        """,
        (row["id"], now_ns - HOUR_NS),
    ).fetchone()[0]
    allowed: int = row["starts_per_hour"]
    return max(0, allowed - starts)
