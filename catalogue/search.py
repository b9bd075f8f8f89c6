"""Carries a query out: reads one page of episodes, newest first, and one row more if there is a next page."""

import sqlite3
from typing import Any

from catalogue.query import SCAN_ROWS, Key, Query, kinds, labelled, rows_of, span

Found = list[tuple[int, int]]
"""(start_ns, id) of episodes, newest first."""


def search(db: sqlite3.Connection, query: Query, after: Key | None, size: int) -> Found:
    """Return up to `size` + 1 episodes after the key. Raises BadQuery."""
    chosen: list[int] | None = None
    if query.chooses_kinds:
        text, values = kinds(query)
        chosen = [row[0] for row in db.execute(text, values)]
        if not chosen:
            return []
    if query.labels or query.job or query.robot:
        return _looked_up(db, query, chosen, after, size)
    if chosen is None:
        return _scanned(db, query, None, after, size, None)
    if len(chosen) > size:
        found = _scanned(db, query, chosen, after, size, SCAN_ROWS)
        if len(found) > size:
            return found
    return _merged(db, query, chosen, after, size)


def _looked_up(db: sqlite3.Connection, query: Query, chosen: list[int] | None, after: Key | None, size: int) -> Found:
    conditions, values = rows_of(query, after)
    more, more_values = labelled(query.labels)
    conditions = " AND ".join([conditions, *more])
    values += more_values
    if query.job:
        conditions += " AND e.job = ?"
        values.append(query.job)
    if query.robot:
        conditions += " AND e.unit = ?"
        values.append(query.robot)
    if chosen is not None:
        conditions += " AND e.kind IN (SELECT value FROM json_each(?))"
        values.append(_listed(chosen))
    if query.labels and not query.job and query.vendor is not None:
        # From the label's own list, which is in the order of the page.
        key, value = query.labels[0]
        index, also = ("label_by_key", []) if value is None else ("label_by_value", [value])
        same = "first.vendor = ? AND first.key = ?" + (" AND first.value = ?" if also else "")
        before = "" if after is None else "AND (first.start_ns, first.episode) < (?, ?)"
        text = f"""
            SELECT e.start_ns, e.id FROM label first INDEXED BY {index} CROSS JOIN episode e ON e.id = first.episode
            WHERE {same} {before} AND {conditions} ORDER BY first.start_ns DESC, first.episode DESC LIMIT ?
        """
        ahead = [] if after is None else [after.start_ns, after.id]
        return _read(db, text, [query.vendor, key, *also, *ahead, *values, size + 1])
    # A vendor must neither wait for what others have done on a unit nor learn by that how much it was.
    by_unit = "episode_by_unit" if query.vendor is None else "episode_by_vendor_unit"
    index = "episode_by_job" if query.job else by_unit if query.robot else "episode_by_time"
    unit = " AND e.unit <> ''" if index == by_unit else ""
    text = f"""
        SELECT e.start_ns, e.id FROM episode e INDEXED BY {index} WHERE {conditions}{unit}
        ORDER BY e.start_ns DESC, e.id DESC LIMIT ?
    """
    return _read(db, text, [*values, size + 1])


def _scanned(
    db: sqlite3.Connection, query: Query, chosen: list[int] | None, after: Key | None, size: int, most: int | None
) -> Found:
    """Go through a vendor's episodes from the newest, `most` of them."""
    conditions, values = rows_of(query, after)
    index = "episode_by_time" if query.vendor is None else "episode_by_vendor"
    rows = f"""
        SELECT e.start_ns, e.id, e.kind FROM episode e INDEXED BY {index} WHERE {conditions}
        ORDER BY e.start_ns DESC, e.id DESC LIMIT ?
    """
    if chosen is None or most is None:
        return [(row[0], row[1]) for row in db.execute(rows, [*values, size + 1])]
    text = f"SELECT start_ns, id FROM ({rows}) WHERE kind IN (SELECT value FROM json_each(?)) LIMIT ?"
    return _read(db, text, [*values, most, _listed(chosen), size + 1])


def _merged(db: sqlite3.Connection, query: Query, chosen: list[int], after: Key | None, size: int) -> Found:
    """Merge the lists of kinds, after a look at what each has first."""
    # The kinds have the vendor in them already.
    conditions, values = span(query, after)
    fitting = " AND ".join(["e.kind = k.value", *conditions])
    newest = f"""
        SELECT e.id FROM episode e INDEXED BY episode_by_kind WHERE {fitting}
        ORDER BY e.start_ns DESC, e.id DESC LIMIT ?
    """
    if len(chosen) > size + 1:
        tops = f"""
            SELECT k.value FROM json_each(?) k JOIN episode f ON f.id = ({newest})
            ORDER BY f.start_ns DESC, f.id DESC LIMIT ?
        """
        chosen = [row[0] for row in db.execute(tops, [_listed(chosen), *values, 1, size + 1])]
    rows = f"""
        SELECT f.start_ns, f.id FROM json_each(?) k JOIN episode f ON f.id IN ({newest})
        ORDER BY f.start_ns DESC, f.id DESC LIMIT ?
    """
    return _read(db, rows, [_listed(chosen), *values, size + 1, size + 1])


def _read(db: sqlite3.Connection, text: str, values: list[Any]) -> Found:
    return [(row[0], row[1]) for row in db.execute(text, values)]


def _listed(numbers: list[int]) -> str:
    return "[" + ",".join(map(str, numbers)) + "]"
