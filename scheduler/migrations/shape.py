"""What a schema is, whichever way it was made: a table built at once equals one that was altered into the same."""

import re
import sqlite3
from collections.abc import Iterator

# By "kind name": what it is, part by part.
Shape = dict[str, dict[str, object]]


def shape(db: sqlite3.Connection) -> Shape:
    """Return every table, index and trigger by "kind name", as values that compare equal if they mean the same.

    Of a table: its columns in order, keys, foreign keys, checks, and whether it is strict, without rowid, and counts
    on; of an index: its columns and condition; of a trigger: its text without comments.
    """
    found: Shape = {}
    tables = {row[1]: (row[4], row[5]) for row in db.execute("PRAGMA main.table_list") if row[2] == "table"}
    for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_master").fetchall():
        if kind == "table" and not name.startswith("sqlite_"):
            found[f"table {name}"] = _table(db, name, sql, tables[name])
        elif kind in ("trigger", "view"):
            found[f"{kind} {name}"] = {"text": _plain(sql)}
    return found


def differences(is_: Shape, should_be: Shape) -> list[str]:
    """Say what is missing, too much or different; empty if nothing is."""
    return [
        *(f"{name} is missing" for name in sorted(should_be.keys() - is_.keys())),
        *(f"{name} should not be there" for name in sorted(is_.keys() - should_be.keys())),
        *(
            f"{name}: {part} are {_other(is_[name][part], wanted)}, should be {_other(wanted, is_[name][part])}"
            for name in sorted(is_.keys() & should_be.keys())
            for part, wanted in should_be[name].items()
            if is_[name][part] != wanted
        ),
    ]


def _other(found: object, than: object) -> object:
    """Return of a list only what is not in another one, if that is anything."""
    if isinstance(found, list) and isinstance(than, list):
        return [each for each in found if each not in than] or found
    return found


def _table(db: sqlite3.Connection, name: str, sql: str, kind: tuple[int, int]) -> dict[str, object]:
    plain = _plain(sql)
    return {
        "columns": [tuple(row) for row in db.execute(f"PRAGMA table_xinfo({name})")],
        "foreign keys": sorted(tuple(row)[2:] for row in db.execute(f"PRAGMA foreign_key_list({name})")),
        "indexes": sorted(_indexes(db, name)),
        "checks": sorted(_checks(plain)),
        "without rowid, strict": kind,
        "autoincrement": "autoincrement" in plain,
    }


def _indexes(db: sqlite3.Connection, table: str) -> Iterator[tuple[object, ...]]:
    for _, name, unique, origin, partial in db.execute(f"PRAGMA index_list({table})").fetchall():
        columns = tuple(tuple(row)[2:] for row in db.execute(f"PRAGMA index_xinfo({name})") if row[5])
        # Those of keys have no text, and names by number in the order in which they stand in the table's.
        row = db.execute("SELECT sql FROM sqlite_master WHERE type = 'index' AND name = ?", (name,)).fetchone()
        sql = (row and row[0]) or ""
        yield (name if sql else "", unique, origin, partial, columns, _plain(sql))


def _plain(sql: str) -> str:
    """Return SQL without comments, quotes of names and superfluous spaces, in lower case outside of texts."""
    text = re.sub(r"--[^\n]*", " ", sql).replace('"', "")
    parts = re.split(r"('(?:[^']|'')*')", text)
    return "".join(p if p.startswith("'") else re.sub(r"\s*([(),=<>])\s*|\s+", r" \1", p).lower() for p in parts)


def _checks(plain: str) -> Iterator[str]:
    for start in re.finditer(r"\bcheck \(", plain):
        depth = 0
        for end in range(start.end() - 1, len(plain)):
            depth += {"(": 1, ")": -1}.get(plain[end], 0)
            if depth == 0:
                yield plain[start.end() : end]
                break
