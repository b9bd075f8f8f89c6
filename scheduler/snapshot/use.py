"""What leaves of the tree hold now and have held, from open leases and from the books of those that ended."""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from scheduler.decay import remaining, weight
from scheduler.sql import Connection, portions

RESOURCES = ("unit", "slot", "cell")
HALF_LIFE_KEY = "half_life_s"
# Means are summed in whole numbers of this part: so sums do not depend on their order.
PARTS = 1 << 48
# Deciding sees past use as of the last full step: so many to a half-life, of which each changes no mean by more than
# one in ten thousand of what is held (ln 2 / STEPS).
STEPS = 1 << 13


@dataclass
class Use:
    """Of one leaf, each by resource: things held now, and the decayed mean of things held, in PARTS."""

    held: list[int] = field(default_factory=lambda: [0, 0, 0])
    means: list[int] = field(default_factory=lambda: [0, 0, 0])


@dataclass(frozen=True, slots=True)
class Taken:
    """What an open lease has taken: (place of the resource, grant_ns, free_ns or None) of each thing."""

    leaf: str
    things: tuple[tuple[int, int, int | None], ...]


@dataclass(frozen=True, slots=True)
class Books:
    """The decayed means of a leaf's ended leases, as of a time."""

    time_ns: int
    means: tuple[float, float, float]


def half_life_of(db: Connection) -> float | None:
    """Return the half-life [s] that the books are folded with, None before any was adopted."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (HALF_LIFE_KEY,)).fetchone()
    return None if row is None else float(struct.unpack("<d", row[0])[0])


def step_ns(half_life_s: float | None, now_ns: int) -> int:
    """Return the moment as of which deciding sees past use."""
    if half_life_s is None or math.isinf(half_life_s):
        return now_ns
    period_ns = max(1, int(half_life_s * 1e9) // STEPS)
    return now_ns - now_ns % period_ns


def books(db: Connection, only: Iterable[str] | None = None) -> dict[str, Books]:
    """Return the books of every leaf that has any, or of some."""
    if only is None:
        rows = db.execute("SELECT * FROM used_mean").fetchall()
    else:
        rows = [row for leaf in only for row in db.execute("SELECT * FROM used_mean WHERE leaf = ?", (leaf,))]
    return {row["leaf"]: Books(row["time_ns"], (row["unit"], row["slot"], row["cell"])) for row in rows}


def taken(db: Connection, only: Sequence[int] | None = None) -> dict[int, Taken]:
    """Return what open leases have taken, by lease, or that of some."""
    things: dict[int, list[tuple[int, int, int | None]]] = {}
    leaves: dict[int, str] = {}
    for place, resource in enumerate(RESOURCES):
        query = f"""
        SELECT l.id, l.leaf, x.grant_ns, x.free_ns FROM lease l JOIN lease_{resource} x ON x.lease_id = l.id
        WHERE l.state IN (1, 2, 3, 5)
        """
        if only is None:
            rows = db.execute(query).fetchall()
        else:
            rows = [row for some, text in portions(only) for row in db.execute(f"{query} AND l.id IN {text}", some)]
        for lease, leaf, grant_ns, free_ns in rows:
            leaves[lease] = leaf
            things.setdefault(lease, []).append((place, grant_ns, free_ns))
    return {lease: Taken(leaves[lease], tuple(found)) for lease, found in things.items()}


def use_of(books: Books | None, leases: Iterable[Taken], used_ns: int, half_life_s: float) -> Use:
    """Return the use of one leaf; what runs is counted to `used_ns`."""
    use = Use(means=list(booked(books, used_ns, half_life_s)))
    for lease in leases:
        held, means = gained(lease, used_ns, half_life_s)
        for place in range(len(RESOURCES)):
            use.held[place] += held[place]
            use.means[place] += means[place]
    return use


def booked(books: Books | None, used_ns: int, half_life_s: float) -> tuple[int, ...]:
    """Return the means of what the books of a leaf say, by resource, in PARTS."""
    if books is None:
        return (0,) * len(RESOURCES)
    # A wall clock that was set back must not make the past grow.
    beta = remaining(max(0, used_ns - books.time_ns) / 1e9, half_life_s)
    return tuple(round(beta * mean * PARTS) for mean in books.means)


def gained(lease: Taken, used_ns: int, half_life_s: float) -> tuple[list[int], list[int]]:
    """Return what one open lease adds to its leaf, by resource: things held now, and means in PARTS."""
    held, means = [0] * len(RESOURCES), [0] * len(RESOURCES)
    for place, grant_ns, free_ns in lease.things:
        held[place] += free_ns is None
        if free_ns is None or free_ns >= used_ns:
            # What `weight` says of something that is held to the last: of many leases, nearly all.
            if grant_ns < used_ns:
                means[place] += round((1.0 - remaining(used_ns / 1e9 - grant_ns / 1e9, half_life_s)) * PARTS)
        elif grant_ns < free_ns:
            means[place] += round(weight(grant_ns / 1e9, free_ns / 1e9, used_ns / 1e9, half_life_s) * PARTS)
    return held, means


def uses(
    books: Mapping[str, Books], leases: Iterable[Taken], used_ns: int, half_life_s: float | None
) -> dict[str, Use]:
    """Return the use of every leaf that has any."""
    by_leaf: dict[str, list[Taken]] = {}
    for lease in leases:
        by_leaf.setdefault(lease.leaf, []).append(lease)
    return {
        leaf: use_of(books.get(leaf), by_leaf.get(leaf, ()), used_ns, half_life_s or math.inf)
        for leaf in books.keys() | by_leaf.keys()
    }
