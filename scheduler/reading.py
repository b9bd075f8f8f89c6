"""Queries for the services. Who asks is part of every query, so hidden and missing look the same."""

import sqlite3
from collections.abc import Sequence

from palaestra.errors import PalaestraError
from scheduler.identity import Identity, Role
from scheduler.paging import Page


def vendor_scope(db: sqlite3.Connection, reader: Identity, parent: str) -> str | None:
    """Return the vendor id that a parent stands for, None for all. Raises NOT_FOUND for what is not the reader's."""
    vendor = parent.split("/")[1]
    if vendor == "-" and reader.role is Role.OPERATOR:
        return None
    known = db.execute("SELECT 1 FROM vendor WHERE id = ?", (vendor,)).fetchone()
    if known is None or not reader.sees_vendor(vendor):
        raise PalaestraError("NOT_FOUND", f"{parent} not found")
    return vendor


def venue_scope(venue: str, parent: str) -> None:
    """Raise NOT_FOUND unless the parent is this scheduler's venue or "venues/-"."""
    if parent.split("/")[1] not in ("-", venue):
        raise PalaestraError("NOT_FOUND", f"{parent} not found")


def find(db: sqlite3.Connection, table: str, reader: Identity, name: str, query: str = "") -> sqlite3.Row:
    """Return the row of `name` in a table with columns vendor and uid. Raises NOT_FOUND.

    query: SELECT to use instead of the plain table, whose rows of the table are aliased by its first letter.
    """
    vendor, uid = name.split("/")[1], name.split("/")[3]
    alias = table[0]
    select = query or f"SELECT {alias}.* FROM {table} {alias}"
    row: sqlite3.Row | None = db.execute(
        f"{select} WHERE {alias}.uid = ? AND {alias}.vendor = ?", (uid, vendor)
    ).fetchone()
    if row is None or not reader.sees_vendor(row["vendor"]):
        raise PalaestraError("NOT_FOUND", f"{name} not found")
    return row


def page(
    db: sqlite3.Connection,
    select: str,
    alias: str,
    vendor: str | None,
    page: Page,
    where: Sequence[tuple[str, object]] = (),
) -> list[sqlite3.Row]:
    """Return one page of rows, newest first, and one row more if there is a next page.

    where: conditions, each with the one value that it is about.
    """
    conditions = list(where)
    if vendor is not None:
        conditions.append((f"{alias}.vendor = ?", vendor))
    if page.after is not None:
        conditions.append((f"{alias}.id < ?", int(page.after)))
    clause = " AND ".join(text for text, _ in conditions) or "1"
    values = [value for _, value in conditions]
    return db.execute(f"{select} WHERE {clause} ORDER BY {alias}.id DESC LIMIT ?", (*values, page.size + 1)).fetchall()
