"""Carries a query out: reads one page of episodes, newest first, and one row more if there is a next page."""

from typing import Any

from catalogue.query import SCAN_ROWS, Key, Query, kinds, labelled, rows_of, span
from database.sql import Connection, is_file

Found = list[tuple[int, int]]
"""(start_ns, id) of episodes, newest first."""


def search(db: Connection, query: Query, after: Key | None, size: int) -> Found:
    """Return up to `size` + 1 episodes after the key. Raises BadQuery."""
    chosen: list[int] | None = None
    if query.chooses_kinds:
        text, values = kinds(query, in_file=is_file(db))
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


def _looked_up(db: Connection, query: Query, chosen: list[int] | None, after: Key | None, size: int) -> Found:
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
        # In a file the join's words say which of the two is gone through.
        join = "CROSS JOIN" if is_file(db) else "JOIN"
        text = f"""
            SELECT e.start_ns, e.id FROM label first INDEXED BY {index} {join} episode e ON e.id = first.episode
            WHERE {same} {before} AND {conditions} ORDER BY first.start_ns DESC, first.episode DESC
            LIMIT {_limit(db, size + 1)}
        """
        ahead = [] if after is None else [after.start_ns, after.id]
        return _read(db, text, [query.vendor, key, *also, *ahead, *values], size)
    # A vendor must neither wait for what others have done on a unit nor learn by that how much it was.
    by_unit = "episode_by_unit" if query.vendor is None else "episode_by_vendor_unit"
    index = "episode_by_job" if query.job else by_unit if query.robot else "episode_by_time"
    unit = " AND e.unit <> ''" if index == by_unit else ""
    text = f"""
        SELECT e.start_ns, e.id FROM episode e INDEXED BY {index} WHERE {conditions}{unit}
        ORDER BY e.start_ns DESC, e.id DESC LIMIT {_limit(db, size + 1)}
    """
    return _read(db, text, values, size)


def _scanned(
    db: Connection, query: Query, chosen: list[int] | None, after: Key | None, size: int, most: int | None
) -> Found:
    """Go through a vendor's episodes from the newest, `most` of them."""
    conditions, values = rows_of(query, after)
    index = "episode_by_time" if query.vendor is None else "episode_by_vendor"
    is_all = chosen is None or most is None
    rows = f"""
        SELECT e.start_ns, e.id, e.kind FROM episode e INDEXED BY {index} WHERE {conditions}
        ORDER BY e.start_ns DESC, e.id DESC LIMIT {_limit(db, size + 1) if is_all else most}
    """
    if chosen is None or most is None:
        return _read(db, rows, values, size)
    fitting = f"kind IN (SELECT value FROM json_each(?)) LIMIT {_limit(db, size + 1)}"
    return _read(db, f"SELECT start_ns, id FROM ({rows}) r WHERE {fitting}", [*values, _listed(chosen)], size)


def _merged(db: Connection, query: Query, chosen: list[int], after: Key | None, size: int) -> Found:
    """Merge the lists of kinds, after a look at what each has first."""
    # The kinds have the vendor in them already.
    conditions, values = span(query, after)
    fitting = " AND ".join(["e.kind = k.value", *conditions])
    if not is_file(db):
        return _merged_there(db, fitting, values, chosen, size)
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
    return _read(db, rows, [_listed(chosen), *values, size + 1, size + 1], size)


def _merged_there(db: Connection, fitting: str, values: list[Any], chosen: list[int], size: int) -> Found:
    """The same in PostgreSQL, whose planner goes through the lists only where they are joined so."""
    page = _limit(db, size + 1)

    def newest(of_each: int) -> str:
        return f"""
            FROM json_each(?) k CROSS JOIN LATERAL (
              SELECT e.start_ns, e.id FROM episode e WHERE {fitting}
              ORDER BY e.start_ns DESC, e.id DESC LIMIT {of_each}
            ) f ORDER BY f.start_ns DESC, f.id DESC LIMIT {page}
        """

    if len(chosen) > size + 1:
        chosen = [row[0] for row in db.execute(f"SELECT k.value {newest(1)}", [_listed(chosen), *values])]
    return _read(db, f"SELECT f.start_ns, f.id {newest(page)}", [_listed(chosen), *values], size)


def _limit(db: Connection, rows: int) -> int:
    """Return how many rows to ask for: as few as are needed, but in PostgreSQL one of few numbers, each a plan.

    A number that stands in the text is known when a plan is made, which then holds whatever else is asked with it.
    """
    return rows if is_file(db) else 1 << (rows - 1).bit_length()


def _read(db: Connection, text: str, values: list[Any], size: int) -> Found:
    return [(row[0], row[1]) for row in db.execute(text, values).fetchall()[: size + 1]]


def _listed(numbers: list[int]) -> str:
    return "[" + ",".join(map(str, numbers)) + "]"
