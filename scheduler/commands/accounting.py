"""The books: what an ended lease used, and what its vendor gets back.

Every use is an entry of the ledger, every refund another beside it with its lease and cause; nothing is ever changed.
The same amounts go into the hours in which they were used and, decayed, into the running mean that deciding reads.
"""

import struct

from scheduler import database
from scheduler.decay import by_hour, mean_of_hours, remaining, weight
from scheduler.health import VENUE_VENDOR
from scheduler.snapshot.use import HALF_LIFE_KEY, RESOURCES, half_life_of
from scheduler.sql import Connection, Row
from scheduler.writer import Command, Transaction


def adopt(half_life_s: float) -> Command[None]:
    """Return the command for the start: past use decays with this half-life [s] from now on, looking back too."""

    def command(tx: Transaction) -> None:
        if half_life_of(tx.db) == half_life_s:
            return
        database.put(tx.db, HALF_LIFE_KEY, struct.pack("<d", half_life_s))
        tx.db.execute("DELETE FROM used_mean")
        now_s = tx.now_ns / 1e9
        used: dict[str, dict[str, list[tuple[int, float]]]] = {}
        for row in tx.db.execute(
            "SELECT leaf, resource, hour, sum(used_ms - refund_ms) / 1000.0 FROM usage_hour GROUP BY 1, 2, 3"
        ):
            used.setdefault(row[0], {}).setdefault(row[1], []).append((row[2], row[3]))
        for leaf, hours in used.items():
            means = [mean_of_hours(hours.get(resource, ()), now_s, half_life_s) for resource in RESOURCES]
            tx.db.execute("INSERT INTO used_mean VALUES (?, ?, ?, ?, ?)", (leaf, tx.now_ns, *means))

    return command


def account(tx: Transaction, lease_id: int) -> None:
    """Enter an ended lease: its use from grant to freedom of each thing, and a refund if its attempt earned one.

    Refunded is what was used after the last checkpoint or sealed episode, for that is what was lost. The venue's own
    checks are not in the books.
    """
    lease = tx.db.execute(
        """
        SELECT l.id, l.vendor, l.leaf, a.refund, coalesce(a.safe_ns, a.grant_ns) AS safe_ns FROM lease l
        JOIN attempt a ON a.job_id = l.job_id AND a.number = l.attempt WHERE l.id = ?
        """,
        (lease_id,),
    ).fetchone()
    if lease["vendor"] == VENUE_VENDOR:
        return
    used: dict[tuple[str, str], int] = {}
    refunded: dict[tuple[str, str], int] = {}
    means = dict.fromkeys(RESOURCES, 0.0)
    half_life_s = half_life_of(tx.db)
    for resource, robot_class, grant_ns, free_ns in _held(tx.db, lease_id):
        # In whole ms from here on, so that parts add up.
        start_ms, end_ms = grant_ns // 1_000_000, free_ns // 1_000_000
        safe_ms = min(max(start_ms, lease["safe_ns"] // 1_000_000), end_ms)
        key = resource, robot_class
        used[key] = used.get(key, 0) + end_ms - start_ms
        _add_hours(tx, lease, key, start_ms, end_ms)
        kept_ms = end_ms
        if lease["refund"] is not None:
            refunded[key] = refunded.get(key, 0) + end_ms - safe_ms
            _refund_hours(tx, lease, key, safe_ms, end_ms)
            kept_ms = safe_ms
        if half_life_s is not None:
            means[resource] += weight(start_ms / 1e3, kept_ms / 1e3, max(tx.now_ns / 1e9, end_ms / 1e3), half_life_s)
    _enter(tx, lease, "use", "", used)
    _enter(tx, lease, "refund", lease["refund"], refunded)
    _add_total(tx, lease["vendor"], used)
    if half_life_s is not None:
        _fold(tx, lease["leaf"], means, half_life_s)


def _held(db: Connection, lease_id: int) -> list[tuple[str, str, int, int]]:
    """Return (resource, robot class, grant_ns, free_ns) of everything that a lease held."""
    found = []
    for resource in RESOURCES:
        table, robot_class = f"lease_{resource} x", "''"
        if resource == "unit":
            table, robot_class = f"{table} JOIN unit u ON u.id = x.unit", "u.robot_class"
        found += db.execute(
            f"""
            SELECT '{resource}', {robot_class}, x.grant_ns, x.free_ns FROM {table}
            WHERE x.lease_id = ? AND x.free_ns > x.grant_ns
            """,
            (lease_id,),
        ).fetchall()
    return [tuple(row) for row in found]


def _add_hours(tx: Transaction, lease: Row, key: tuple[str, str], start_ms: int, end_ms: int) -> None:
    tx.db.executemany(
        """
        INSERT INTO usage_hour (vendor, leaf, resource, robot_class, hour, used_ms, refund_ms)
        VALUES (?, ?, ?, ?, ?, ?, 0) ON CONFLICT (vendor, hour, leaf, resource, robot_class)
          DO UPDATE SET used_ms = usage_hour.used_ms + excluded.used_ms
        """,
        [(lease["vendor"], lease["leaf"], *key, hour, used_ms) for hour, used_ms in by_hour(start_ms, end_ms)],
    )


def _refund_hours(tx: Transaction, lease: Row, key: tuple[str, str], start_ms: int, end_ms: int) -> None:
    tx.db.executemany(
        """
        UPDATE usage_hour SET refund_ms = refund_ms + ?
        WHERE vendor = ? AND leaf = ? AND resource = ? AND robot_class = ? AND hour = ?
        """,
        [(refund_ms, lease["vendor"], lease["leaf"], *key, hour) for hour, refund_ms in by_hour(start_ms, end_ms)],
    )


def _enter(tx: Transaction, lease: Row, entry: str, cause: str, amounts_ms: dict[tuple[str, str], int]) -> None:
    tx.db.executemany(
        """
        INSERT INTO ledger (lease_id, vendor, leaf, time_ns, entry, cause, resource, robot_class, amount_ms)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        [
            (lease["id"], lease["vendor"], lease["leaf"], tx.now_ns, entry, cause, *key, amount_ms)
            for key, amount_ms in sorted(amounts_ms.items())
            if amount_ms
        ],
    )


def _add_total(tx: Transaction, vendor: str, used: dict[tuple[str, str], int]) -> None:
    totals = [sum(ms for (found, _), ms in used.items() if found == resource) for resource in RESOURCES]
    tx.db.execute(
        """
        INSERT INTO usage (vendor, unit_ms, slot_ms, cell_ms) VALUES (?, ?, ?, ?)
        ON CONFLICT (vendor) DO UPDATE SET unit_ms = usage.unit_ms + excluded.unit_ms,
          slot_ms = usage.slot_ms + excluded.slot_ms, cell_ms = usage.cell_ms + excluded.cell_ms
        """,
        (vendor, *totals),
    )


def _fold(tx: Transaction, leaf: str, added: dict[str, float], half_life_s: float) -> None:
    """Bring the leaf's running mean to now and add to it."""
    row = tx.db.execute("SELECT * FROM used_mean WHERE leaf = ?", (leaf,)).fetchone()
    if row is not None:
        # A wall clock that was set back must not make the past grow.
        beta = remaining(max(0, tx.now_ns - row["time_ns"]) / 1e9, half_life_s)
        added = {resource: beta * row[resource] + amount for resource, amount in added.items()}
    tx.db.execute(
        """
        INSERT INTO used_mean (leaf, time_ns, unit, slot, cell) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (leaf) DO UPDATE SET time_ns = excluded.time_ns, unit = excluded.unit, slot = excluded.slot,
          cell = excluded.cell
        """,
        (leaf, tx.now_ns, *(added[resource] for resource in RESOURCES)),
    )
