"""Moves a stopped venue from its file into an empty database in PostgreSQL, in one transaction, and proves it.

Before the commit every table is counted and hashed on both sides, by the same code from what each answers. Killed at
any moment, the target is empty or complete. The file is read, and marked just before the commit: of the two at most one
starts, whenever all this is killed.
"""

import hashlib
import sqlite3
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from scheduler import database
from scheduler.postgres import opening, schema
from scheduler.postgres.address import Address
from scheduler.postgres.connection import Connection
from scheduler.sql import Failed

BLOCK_ROWS = 5_000
# What opens a binary copy, and what ends it (https://www.postgresql.org/docs/current/sql-copy.html).
_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
_TRAILER = struct.pack("!h", -1)


class NotMoved(Exception):
    """The target is as it was, and the file says nothing of a move."""


@dataclass(frozen=True)
class Content:
    """What a table holds. sha256: over all values of all rows in order, with their types."""

    rows: int
    sha256: str


@dataclass(frozen=True)
class Move:
    """What was moved, by table, and the hash of all of it together."""

    tables: dict[str, Content]
    sha256: str
    duration_s: float


def move(path: Path, address: Address, say: Callable[[str], None] = lambda text: None) -> Move:
    """Copy the database of a stopped scheduler into an empty one in PostgreSQL.

    Raises FileNotFoundError, DatabaseInUse for either side, SchemaMismatch for a file that must be migrated first,
    HasMoved for one that was moved before, NotMoved for a target that is not empty or took something else than was
    sent, sql.Failed for what the server refuses.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    started_s = time.monotonic()
    lock = database.DatabaseLock(path)
    try:
        with closing(database.open_file_to_read(path)) as source, closing(opening.connect_patiently(address)) as target:
            found = database.revision(source)
            if found != database.REVISION:
                raise database.SchemaMismatch(database.refusal(path, found or None))
            _may_move(source, path, address)
            opening.lock(target, address)
            if opening.revision(target) != "":
                raise NotMoved(f"{address} is not empty; a venue moves into a database of its own")
            source.execute("BEGIN")
            target.execute("BEGIN")
            # What is committed is on the disk when it is said to be.
            target.execute("SET LOCAL synchronous_commit TO on")
            tables = _moved(source, target, say)
            source.execute("COMMIT")
            database.mark_moved(path, str(address))
            try:
                target.execute("COMMIT")
            except BaseException:
                if not _arrived(address):
                    database.mark_moved(path, "")
                raise
    finally:
        lock.release()
    whole = hashlib.sha256("".join(f"{name} {one.sha256}\n" for name, one in tables.items()).encode()).hexdigest()
    return Move(tables, whole, time.monotonic() - started_s)


def _may_move(source: sqlite3.Connection, path: Path, address: Address) -> None:
    """Raise HasMoved for a file whose venue is elsewhere; one that was killed on its way to this target goes on."""
    where = database.moved_to(source)
    if not where:
        return
    if where != str(address) or _arrived(address):
        raise database.HasMoved(f"{path} has moved to {where} already")
    database.mark_moved(path, "")


def _arrived(address: Address) -> bool:
    """Whether the target has its tables; True also if nobody can say, so that no file starts beside it."""
    try:
        with closing(opening.connect_patiently(address)) as db:
            return opening.revision(db) != ""
    except Failed:
        return True


def content(db: Any, table: str, columns: Sequence[str], order: Sequence[str]) -> Content:
    """Count and hash the rows of a table, in the order of columns that leave no two rows alike."""
    digest = hashlib.sha256()
    count = 0
    query = f"SELECT {', '.join(columns)} FROM {table} ORDER BY {', '.join(order)}"
    for row in _rows(db, query):
        count += 1
        for value in row:
            digest.update(_hashed(value))
    return Content(count, digest.hexdigest())


def _moved(source: sqlite3.Connection, target: Connection, say: Callable[[str], None]) -> dict[str, Content]:
    target.script(schema.created(database.SCHEMA))
    tables = {table: _columns(source, table) for table in schema.tables(database.SCHEMA)}
    # A trigger would add rows of its own to those that are copied.
    target.script("".join(f"ALTER TABLE {table} DISABLE TRIGGER USER; " for table in tables))
    for table, (columns, _) in tables.items():
        # Parents come before their children in the schema.
        stored = target.wire.copy(
            f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)", _copied(source, table, columns)
        )
        say(f"{table}: {stored:,} rows")
    target.script("".join(f"ALTER TABLE {table} ENABLE TRIGGER USER; " for table in tables))
    _remember(source, target)
    found = {}
    for table, (columns, order) in tables.items():
        there, here = content(source, table, columns, order), content(target, table, columns, order)
        if there != here:
            raise NotMoved(f"{table} has {here.rows} rows, hash {here.sha256}; the file {there.rows}, {there.sha256}")
        found[table] = here
    return found


def _remember(source: sqlite3.Connection, target: Connection) -> None:
    """Carry over which numbers were given to rows that are gone."""
    forever = schema.remembered(database.SCHEMA)
    target.executemany(
        "INSERT INTO numbered VALUES (?, ?)",
        [(name, last) for name, last in source.execute("SELECT name, seq FROM sqlite_sequence") if name in forever],
    )


def _columns(source: sqlite3.Connection, table: str) -> tuple[list[str], list[str]]:
    """Return the columns, and those of the key in order; all columns if there is no key."""
    rows = source.execute(f"PRAGMA table_info({table})").fetchall()
    columns = [row["name"] for row in rows]
    key = [row["name"] for row in sorted(rows, key=lambda row: int(row["pk"])) if row["pk"]]
    return columns, key or columns


def _rows(db: Any, query: str) -> Iterator[Any]:
    """Yield rows block by block, so that no table need fit into memory."""
    if isinstance(db, sqlite3.Connection):
        yield from db.execute(query)
        return
    db.execute(f"DECLARE reading NO SCROLL CURSOR FOR {query}")
    while rows := db.execute(f"FETCH {BLOCK_ROWS} FROM reading").fetchall():
        yield from rows
    db.execute("CLOSE reading")


def _copied(source: sqlite3.Connection, table: str, columns: Sequence[str]) -> Iterator[bytes]:
    """Yield a table in PostgreSQL's binary form of a copy. Raises NotMoved for what it cannot hold."""
    head = struct.pack("!h", len(columns))
    rows = source.execute(f"SELECT {', '.join(columns)} FROM {table}")
    yield _HEADER
    while block := rows.fetchmany(BLOCK_ROWS):
        yield b"".join(chain.from_iterable((head, *_fields(table, columns, row)) for row in block))
    yield _TRAILER


def _fields(table: str, columns: Sequence[str], row: Iterable[Any]) -> Iterator[bytes]:
    for column, value in zip(columns, row, strict=True):
        if value is None:
            yield struct.pack("!i", -1)
            continue
        if isinstance(value, str) and "\0" in value:
            raise NotMoved(f"{table}.{column} holds a text with a zero byte, which PostgreSQL cannot: {value!r}")
        data = _bytes(value)
        yield struct.pack("!i", len(data))
        yield data


def _bytes(value: Any) -> bytes:
    if isinstance(value, int):
        return struct.pack("!q", value)
    if isinstance(value, float):
        return struct.pack("!d", value)
    return value.encode() if isinstance(value, str) else bytes(value)


def _hashed(value: Any) -> bytes:
    """Return a value as bytes that no other value has, whatever comes before and after."""
    if value is None:
        return b"n"
    data = _bytes(value)
    return type(value).__name__[:1].encode() + struct.pack("!q", len(data)) + data
