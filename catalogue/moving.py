"""Moves a catalogue from its file into PostgreSQL, portion by portion, and proves it.

A portion of a table and how far it reaches are one transaction, so that a move that was cut off goes on where it was.
Until the end nobody opens what is there: it has no revision yet. The file is marked before the first portion, and
nobody opens it any more either, so that nothing comes to it on the way. At the end every table is counted and hashed on
both sides, by the same code from what each answers.
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from catalogue.catalogue import index_words
from catalogue.place import MOVED, NAMESPACE, REVISIONS, HasMoved, moved_to
from database import file
from database.address import Address
from database.postgres.connection import Connection
from database.postgres.copying import Content, NotMoved, columns_of, content, store, together
from database.postgres.revisions import Namespace

PORTION_ROWS = 20_000
# Whoever opens a catalogue next leads it anew. Its words are made of the tasks' texts.
_NOT_COPIED = ("leader", "task_word")
_UNMARK = "UPDATE leader SET instance = '', epoch = 0"


@dataclass(frozen=True)
class Move:
    """What was moved, by table; the hash of all of it together; and of how many rows a move before had copied."""

    tables: dict[str, Content]
    sha256: str
    resumed_rows: int
    duration_s: float


@dataclass(frozen=True)
class _Table:
    name: str
    columns: Sequence[str]
    key: Sequence[str]


def move(path: Path, address: Address, say: Callable[[str], None] = lambda text: None) -> Move:
    """Copy a catalogue that nobody writes to into an empty namespace of a database in PostgreSQL, or go on with that.

    Raises:
        FileNotFoundError, SchemaMismatch: A file of another revision; the scheduler that uses it brings it forward.
        HasMoved: It has moved already, or a part of it elsewhere.
        NotMoved: The target is not empty, or holds something else at the end than was sent.
        sqlite3.OperationalError: Somebody else writes to the file, or moves it.
        sql.Failed: What the server refuses.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    started_s = time.monotonic()
    namespace = Namespace(address, NAMESPACE, REVISIONS)
    with closing(file.open_writer(path, REVISIONS, forward=False)) as source, closing(namespace.connect()) as target:
        number = _mark(source, path, namespace, target)
        # Who has opened the file before it was marked waits, and gives up.
        source.execute("BEGIN IMMEDIATE")
        tables = _tables(source)
        try:
            known = _begin(namespace, target, number, tables)
            for table in tables:
                _copy(namespace, source, target, table, say)
            _index(namespace, target)
            found = _compare(namespace, source, target, tables)
        except NotMoved:
            # Not as after a cut: the same again would end the same, and the file is all there is.
            source.execute(_UNMARK)
            source.execute("COMMIT")
            raise
        _end(namespace, target, tables)
        source.execute("COMMIT")
    return Move(found, together(found), known, time.monotonic() - started_s)


def back(path: Path) -> str:
    """Let a file go on whose catalogue has moved, without what happened there since. Returns where that was.

    Raises FileNotFoundError; NotMoved for a file that says nothing of a move.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with closing(file.open_writer(path, REVISIONS, forward=False)) as db:
        where = moved_to(db)
        if not where:
            raise NotMoved(f"{path} says nothing of a move")
        db.execute(_UNMARK)
    return where


def _mark(source: sqlite3.Connection, path: Path, namespace: Namespace, target: Connection) -> int:
    """Write into the file where it goes, unless it says so already. Returns the number of the move."""
    source.execute("BEGIN IMMEDIATE")
    try:
        where, there = moved_to(source), namespace.known(target)
        if where and (where != str(namespace.address) or there):
            raise HasMoved(f"{path} has moved to {where} already")
        if not where:
            if there != 0:
                raise NotMoved(
                    f"{namespace.address}, {namespace.name}, is not empty; a catalogue moves to where none is"
                )
            values = (MOVED + str(namespace.address), secrets.randbits(62))
            source.execute("UPDATE leader SET instance = ?, epoch = ?", values)
        number: int = source.execute("SELECT epoch FROM leader").fetchone()[0]
        source.execute("COMMIT")
    except BaseException:
        if source.in_transaction:
            source.execute("ROLLBACK")
        raise
    return number


def _tables(source: sqlite3.Connection) -> list[_Table]:
    """Return the tables, each after those that it names rows of."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite|_%' ESCAPE '|'"
    names = [name for (name,) in source.execute(query) if not name.startswith(_NOT_COPIED)]
    named = {name: {row["table"] for row in source.execute(f"PRAGMA foreign_key_list({name})")} for name in names}
    found: list[str] = []
    while len(found) < len(names):
        found += [name for name in names if name not in found and named[name] <= {*found, name}]
    return [_Table(name, *columns_of(source, name)) for name in found]


def _begin(namespace: Namespace, target: Connection, number: int, tables: Sequence[_Table]) -> int:
    """Make the tables, or find what was copied before; returns how many rows that was."""
    namespace.begin(target)
    if namespace.known(target) == 0:
        namespace.run(target, forward=True)
        listed = ", ".join(table.name for table in tables)
        target.script(
            f"""
            DROP TABLE revision;
            CREATE TABLE moving (number BIGINT NOT NULL);
            CREATE TABLE moved (name TEXT PRIMARY KEY, last TEXT NOT NULL, row_count BIGINT NOT NULL);
            TRUNCATE task_word, {listed};
            """
        )
        # They would ask what is not there yet, or forbid what was allowed in the file.
        target.script("".join(f"ALTER TABLE {table.name} DISABLE TRIGGER USER; " for table in tables))
        target.execute("INSERT INTO moving VALUES (?)", (number,))
    query = "SELECT tablename FROM pg_tables WHERE schemaname = ? AND tablename = 'moving'"
    is_a_move = target.execute(query, (namespace.name,)).fetchone() is not None
    if not is_a_move or target.execute("SELECT number FROM moving").fetchone()[0] != number:
        target.execute("ROLLBACK")
        told = (
            f"{namespace.address}, {namespace.name}, holds something else, such as a part of a move that was given up"
        )
        raise NotMoved(f"{told}: `DROP SCHEMA {namespace.name} CASCADE` there, if nobody misses it")
    rows = int(target.execute("SELECT coalesce(sum(row_count), 0) FROM moved").fetchone()[0])
    target.execute("COMMIT")
    return rows


def _copy(
    namespace: Namespace, source: sqlite3.Connection, target: Connection, table: _Table, say: Callable[[str], None]
) -> None:
    """Copy what is missing of a table, in the order of its key."""
    columns, key = ", ".join(table.columns), ", ".join(table.key)
    told = target.execute("SELECT last, row_count FROM moved WHERE name = ?", (table.name,)).fetchone()
    last, count = (json.loads(told["last"]), told["row_count"]) if told is not None else (None, 0)
    while True:
        after = "" if last is None else f"WHERE ({key}) > ({', '.join('?' * len(table.key))})"
        query = f"SELECT {columns} FROM {table.name} {after} ORDER BY {key} LIMIT ?"
        rows = source.execute(query, (*(last or ()), PORTION_ROWS)).fetchall()
        if not rows:
            return
        last, count = [rows[-1][column] for column in table.key], count + len(rows)
        namespace.begin(target)
        store(target, table.name, table.columns, rows)
        target.execute(
            "INSERT INTO moved VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET last = excluded.last, "
            "row_count = excluded.row_count",
            (table.name, json.dumps(last), count),
        )
        target.execute("COMMIT")
        say(f"{table.name}: {count:,} rows")


def _index(namespace: Namespace, target: Connection) -> None:
    """Let tasks be found by their words."""
    namespace.begin(target)
    query = (
        "SELECT id, text FROM task t WHERE text <> '' AND NOT EXISTS (SELECT 1 FROM task_word w WHERE w.rowid = t.id)"
    )
    for row in target.execute(query).fetchall():
        index_words(target, row["id"], row["text"])
    target.execute("COMMIT")


def _compare(
    namespace: Namespace, source: sqlite3.Connection, target: Connection, tables: Sequence[_Table]
) -> dict[str, Content]:
    found = {}
    namespace.begin(target)
    for table in tables:
        there, here = (content(db, table.name, table.columns, table.key) for db in (source, target))
        if there != here:
            said = f"{table.name} has {here.rows} rows, hash {here.sha256}; the file {there.rows}, {there.sha256}"
            raise NotMoved(f"{said}: `DROP SCHEMA {namespace.name} CASCADE` there, and begin anew")
        found[table.name] = here
    target.execute("COMMIT")
    return found


def _end(namespace: Namespace, target: Connection, tables: Sequence[_Table]) -> None:
    """Let it be opened."""
    namespace.begin(target)
    target.script("".join(f"ALTER TABLE {table.name} ENABLE TRIGGER USER; " for table in tables))
    target.script("DROP TABLE moving, moved; CREATE TABLE revision (number BIGINT NOT NULL)")
    target.execute("INSERT INTO revision VALUES (?)", (len(REVISIONS),))
    target.execute("COMMIT")
    # The planner goes by what it knows of the rows, and they have just come.
    target.script("ANALYZE")
