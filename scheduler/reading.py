"""Queries for the services. Who asks is part of every query, so hidden and missing look the same."""

import json
from collections.abc import Sequence

from palaestra.errors import PalaestraError
from scheduler.identity import Identity
from scheduler.paging import Page
from scheduler.sql import Connection, Row


def vendor_scope(db: Connection, reader: Identity, parent: str) -> str | None:
    """Return the vendor id that a parent stands for, None for all. Raises NOT_FOUND for what is not the reader's."""
    vendor = parent.split("/")[1]
    if vendor == "-" and reader.role.sees_everybody:
        return None
    known = db.execute("SELECT 1 FROM vendor WHERE id = ?", (vendor,)).fetchone()
    if known is None or not reader.sees_vendor(vendor):
        raise PalaestraError("NOT_FOUND", f"{parent} not found")
    return vendor


def one_vendor_scope(db: Connection, reader: Identity, parent: str) -> str:
    """Return the vendor id that a parent stands for. Raises NOT_FOUND, also for all of them: "-" is nobody's name."""
    vendor = vendor_scope(db, reader, parent)
    if vendor is None:
        raise PalaestraError("NOT_FOUND", f"{parent} not found")
    return vendor


def venue_scope(venue: str, parent: str) -> None:
    """Raise NOT_FOUND unless the parent is this scheduler's venue or "venues/-"."""
    if parent.split("/")[1] not in ("-", venue):
        raise PalaestraError("NOT_FOUND", f"{parent} not found")


def find(db: Connection, table: str, reader: Identity, name: str, query: str = "") -> Row:
    """Return the row of `name` in a table with columns vendor and uid. Raises NOT_FOUND.

    query: SELECT to use instead of the plain table, whose rows of the table are aliased by its first letter.
    """
    vendor, uid = name.split("/")[1], name.split("/")[3]
    alias = table[0]
    select = query or f"SELECT {alias}.* FROM {table} {alias}"
    conditions = [(f"{alias}.uid = ?", uid), (f"{alias}.vendor = ?", vendor), *_projects(table, reader)]
    clause, values = _joined(conditions)
    row: Row | None = db.execute(f"{select} WHERE {clause}", values).fetchone()
    if row is None or not reader.sees_vendor(row["vendor"]):
        raise PalaestraError("NOT_FOUND", f"{name} not found")
    return row


def page(
    db: Connection,
    select: str,
    table: str,
    reader: Identity,
    vendor: str | None,
    page: Page,
    where: Sequence[tuple[str, object]] = (),
) -> list[Row]:
    """Return one page of rows, newest first, and one row more if there is a next page.

    select: whose rows of the table are aliased by its first letter. where: conditions, each with the one value that it
    is about.
    """
    alias = table[0]
    conditions = [*where, *_projects(table, reader)]
    if vendor is not None:
        conditions.append((f"{alias}.vendor = ?", vendor))
    if page.after is not None:
        conditions.append((f"{alias}.id < ?", int(page.after)))
    clause, values = _joined(conditions)
    return db.execute(f"{select} WHERE {clause} ORDER BY {alias}.id DESC LIMIT ?", (*values, page.size + 1)).fetchall()


def project_scope(reader: Identity, project: str) -> None:
    """Raise SCOPE_DENIED unless the reader may act for a project of its vendor; "" for none of them."""
    if reader.projects and project not in reader.projects:
        what = f"project {project!r}" if project else "work outside of its projects"
        raise PalaestraError("SCOPE_DENIED", f"{reader.credential} leaves out {what}")


def whole_vendor_scope(reader: Identity) -> None:
    """Raise SCOPE_DENIED for a reader that is restricted to projects of its vendor."""
    if reader.projects:
        raise PalaestraError("SCOPE_DENIED", f"{reader.credential} leaves out what is not of a project")


def sees_event(db: Connection, reader: Identity, row: Row) -> bool:
    """Return whether an event of table event, which the reader's vendor may read, is of the reader's projects."""
    if not reader.projects or row["vendor"] is None:
        return True
    table = _EVENT_TABLES.get(row["resource"].split("/")[2])
    if table is None:
        return False
    clause, values = _joined([(f"{table[0]}.uid = ?", row["resource"].split("/")[3]), *_projects(table, reader)])
    return db.execute(f"SELECT 1 FROM {table} {table[0]} WHERE {clause}", values).fetchone() is not None


_EVENT_TABLES = {"jobs": "job", "jobArrays": "job_array", "leases": "lease", "episodes": "episode"}
# How a row of a table belongs to projects of its vendor. What is not here belongs to none of them.
_LEAVES = "(SELECT value FROM json_each(?))"
_OF_PROJECTS = {
    "job": f"j.leaf IN {_LEAVES}",
    "lease": f"l.leaf IN {_LEAVES}",
    "episode": f"e.job_id IN (SELECT id FROM job WHERE leaf IN {_LEAVES})",
    "job_array": f"EXISTS (SELECT 1 FROM job x WHERE x.array_uid = j.uid AND x.leaf IN {_LEAVES})",
}


def _projects(table: str, reader: Identity) -> list[tuple[str, object]]:
    """Return the conditions under which rows of a table are of the reader's projects, if it is restricted to some."""
    if not reader.projects:
        return []
    leaves = json.dumps(sorted(f"{reader.vendor}/{project}" for project in reader.projects))
    return [(_OF_PROJECTS.get(table, "? IS NULL"), leaves)]


def _joined(conditions: Sequence[tuple[str, object]]) -> tuple[str, list[object]]:
    return " AND ".join(text for text, _ in conditions) or "1 = 1", [value for _, value in conditions]
