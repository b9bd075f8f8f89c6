"""Copies tables of a file of SQLite's into PostgreSQL, and tells what a table holds on either side by the same code."""

import hashlib
import sqlite3
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from database.postgres.connection import Connection

BLOCK_ROWS = 5_000
# What opens a binary copy, and what ends it (https://www.postgresql.org/docs/current/sql-copy.html).
_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
_TRAILER = struct.pack("!h", -1)


class NotMoved(Exception):
    """A file was not moved; says why."""


@dataclass(frozen=True)
class Content:
    """What a table holds. sha256: over all values of all rows in order, with their types."""

    rows: int
    sha256: str


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


def together(tables: Mapping[str, Content]) -> str:
    """Return the hash of all tables together."""
    return hashlib.sha256("".join(f"{name} {one.sha256}\n" for name, one in tables.items()).encode()).hexdigest()


def columns_of(source: sqlite3.Connection, table: str) -> tuple[list[str], list[str]]:
    """Return the columns, and those of the key in order; all columns if there is no key."""
    rows = source.execute(f"PRAGMA table_info({table})").fetchall()
    columns = [row["name"] for row in rows]
    key = [row["name"] for row in sorted(rows, key=lambda row: int(row["pk"])) if row["pk"]]
    return columns, key or columns


def blocks(table: str, columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> Iterator[bytes]:
    """Yield rows in PostgreSQL's binary form of a copy. Raises NotMoved for what it cannot hold."""
    head = struct.pack("!h", len(columns))
    remaining = iter(rows)
    yield _HEADER
    while block := list(islice(remaining, BLOCK_ROWS)):
        yield b"".join(chain.from_iterable((head, *_fields(table, columns, row)) for row in block))
    yield _TRAILER


def store(target: Connection, table: str, columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> int:
    """Copy rows into a table and return how many they were. Raises NotMoved, Failed."""
    return target.wire.copy(
        f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)", blocks(table, columns, rows)
    )


def _rows(db: Any, query: str) -> Iterator[Any]:
    """Yield rows block by block, so that no table need fit into memory."""
    if isinstance(db, sqlite3.Connection):
        yield from db.execute(query)
        return
    db.execute(f"DECLARE reading NO SCROLL CURSOR FOR {query}")
    while rows := db.execute(f"FETCH {BLOCK_ROWS} FROM reading").fetchall():
        yield from rows
    db.execute("CLOSE reading")


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
