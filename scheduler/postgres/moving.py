"""Moves a stopped venue from its file into an empty database in PostgreSQL, in one transaction, and proves it.

Before the commit every table is counted and hashed on both sides, by the same code from what each answers. Killed at
any moment, the target is empty or complete. The file is read, and marked just before the commit: of the two at most one
starts, whenever all this is killed.
"""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from database.address import Address
from database.postgres import schema
from database.postgres.connection import Connection
from database.postgres.copying import Content, NotMoved, columns_of, content, store, together
from scheduler import database
from scheduler.postgres import opening
from scheduler.sql import Failed


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
    sent, sql.Failed for what the server refuses. Of NotMoved the target is as it was, and the file says nothing of it.
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
    return Move(tables, together(tables), time.monotonic() - started_s)


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


def _moved(source: sqlite3.Connection, target: Connection, say: Callable[[str], None]) -> dict[str, Content]:
    target.script(schema.created(database.SCHEMA))
    tables = {table: columns_of(source, table) for table in schema.tables(database.SCHEMA)}
    # A trigger would add rows of its own to those that are copied.
    target.script("".join(f"ALTER TABLE {table} DISABLE TRIGGER USER; " for table in tables))
    for table, (columns, _) in tables.items():
        # Parents come before their children in the schema.
        rows = source.execute(f"SELECT {', '.join(columns)} FROM {table}")
        stored = store(target, table, columns, rows)
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
