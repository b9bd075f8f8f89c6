"""Groups, vendors and projects, with what they hold now and have used before."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from scheduler.snapshot.use import PARTS, Use, books, half_life_of, taken, uses
from scheduler.sql import Connection, Row
from scheduler.state import Amounts, Vendor

HOUR_NS = 3_600_000_000_000


def tree(db: Connection) -> tuple[Vendor, ...]:
    """Return the tree alone: parents, weights, guarantees and limits."""
    return tuple(party_of(row) for row in db.execute("SELECT * FROM party"))


def leaves(db: Connection, vendor: str) -> dict[str, str]:
    """Return a vendor's leaves that take jobs, by project; "" is for jobs without one."""
    rows = db.execute("SELECT project, id FROM party WHERE vendor = ? AND leaf = 1 AND configured = 1", (vendor,))
    return {row["project"]: row["id"] for row in rows}


def vendors(db: Connection, now_ns: int, *, used_ns: int | None = None) -> tuple[Vendor, ...]:
    """Return the whole tree with what each leaf holds now and each node has used, weights times the targets' factors.

    What is left of a rate of starts stands at the vendor itself, whether it has projects or not. used_ns: the moment
    as of which past use is told; None: now.
    """
    rows = parties(db)
    tree = [party_of(row) for row in rows]
    used = uses(books(db), taken(db).values(), now_ns if used_ns is None else used_ns, half_life_of(db))
    means = means_of({party.vendor: party.parent for party in tree}, used)
    leases = dict(db.execute("SELECT leaf, count(*) FROM lease WHERE state IN (1, 2, 3, 5) GROUP BY 1").fetchall())
    weights, size, nothing = factors(db), totals(db), Use()
    return tuple(
        filled(
            party,
            used.get(party.vendor, nothing).held,
            means[party.vendor],
            size,
            leases.get(party.vendor, 0),
            weights.get(party.vendor, 1.0),
            starts_left(db, row, now_ns)[0],
        )
        for row, party in zip(rows, tree, strict=True)
    )


def parties(db: Connection) -> list[Row]:
    """Return the rows of the tree."""
    return db.execute("SELECT * FROM party ORDER BY id").fetchall()


def totals(db: Connection) -> tuple[int, int, int]:
    """Return how many units, slots and cells there are, in order or not."""
    found = db.execute(
        "SELECT (SELECT count(*) FROM unit), (SELECT count(*) FROM sim_slot), (SELECT count(*) FROM cell)"
    ).fetchone()
    return found[0], found[1], found[2]


def factors(db: Connection) -> dict[str, float]:
    """Return by what the slow loop multiplies the weights of leaves."""
    return dict(db.execute("SELECT leaf, factor FROM target").fetchall())


def filled(
    party: Vendor, held: Sequence[int], means: Sequence[int], totals: Sequence[int], leases: int, factor: float,
    starts_left: float,
) -> Vendor:  # fmt: skip
    """Return a node of the tree with what it holds, has used (with its children, in PARTS) and has left."""
    shares = [mean / (PARTS * total) for mean, total in zip(means, totals, strict=True) if total]
    return replace(
        party,
        weight=party.weight * factor,
        held_units=held[0],
        held_slots=held[1],
        held_cells=held[2],
        used_share=max(shares, default=0.0),
        leases=leases,
        starts_left=starts_left,
    )


def means_of(parents: Mapping[str, str], used: Mapping[str, Use]) -> dict[str, list[int]]:
    """Return the means of every node, what its children used included: brothers are ranked by it at every level."""
    means = {name: [0, 0, 0] for name in parents}
    for leaf, use in used.items():
        name = leaf
        while name in parents:
            means[name] = [mean + more for mean, more in zip(means[name], use.means, strict=True)]
            name = parents[name]
    return means


def party_of(row: Row) -> Vendor:
    """Return a node of the tree alone."""
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


def starts_left(db: Connection, party: Row, now_ns: int) -> tuple[float, int | None]:
    """Return how many starts the last hour leaves a row of the tree, and when (ns) that grows by itself if it does.

    What made room for others may start again for nothing.
    """
    if party["starts_per_hour"] is None:
        return math.inf, None
    starts, first_ns = db.execute(
        """
        SELECT count(*), min(l.grant_ns) FROM lease l
        LEFT JOIN attempt a ON a.job_id = l.job_id AND a.number = l.attempt
        WHERE l.vendor = ? AND l.grant_ns > ? AND a.preempt_ns IS NULL
        """,
        (party["id"], now_ns - HOUR_NS),
    ).fetchone()
    return max(0, party["starts_per_hour"] - starts), None if first_ns is None else first_ns + HOUR_NS
