"""Brings a database to the newest revision: backup, one transaction, checks, commit."""

import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event
from sqlalchemy.pool import StaticPool

from scheduler import database
from scheduler.migrations.shape import Shape, differences, shape

FOLDER = Path(__file__).parent


class MigrationFailed(Exception):
    """Nothing was changed."""


@dataclass(frozen=True)
class Chain:
    """Revisions, and what a database is after the last of them."""

    versions: Path
    head: str
    schema: str

    def steps(self, found: str) -> list[str]:
        """Return "number: what it does" of what comes after a revision."""
        script = ScriptDirectory.from_config(self.config())
        after = [r for r in script.walk_revisions() if r.revision > found]
        return [f"{r.revision}: {r.doc}" for r in reversed(after)]

    def config(self) -> Config:
        config = Config()
        config.set_main_option("script_location", _escaped(FOLDER))
        config.set_main_option("version_locations", _escaped(self.versions))
        config.set_main_option("path_separator", "newline")
        return config


OWN = Chain(FOLDER / "versions", database.REVISION, database.SCHEMA)


@dataclass(frozen=True)
class Migration:
    """What was done."""

    before: str
    after: str
    steps: list[str]
    backup: Path
    rows: int
    duration_s: float


def upgrade(path: Path, chain: Chain = OWN, say: Callable[[str], None] = lambda text: None) -> Migration | None:
    """Migrate the database of a stopped scheduler; return None if there is nothing to do.

    Killed at any moment, the file is of the old revision or of the new one, and complete. The backup is made with
    SQLite's backup API, so that what is in the write-ahead log is in it.

    Raises FileNotFoundError, DatabaseInUse, SchemaMismatch for a database that no revision leads on from,
    MigrationFailed; sqlite3.Error and OSError for what the disk refuses. In each case the database is as before.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    lock = database.DatabaseLock(path)
    try:
        db = database.connect(f"file:{path}?mode=rw")
        try:
            return _upgrade(db, path, chain, say)
        finally:
            db.close()
    finally:
        lock.release()


def _upgrade(db: sqlite3.Connection, path: Path, chain: Chain, say: Callable[[str], None]) -> Migration | None:
    started_s = time.monotonic()
    found = database.revision(db)
    if not found or not found.isdecimal() or found > chain.head:
        raise database.SchemaMismatch(database.refusal(path, found or None))
    if found == chain.head:
        return None
    say(f"{path} is of revision {found}, {chain.head} is the newest")
    backup = back_up(db, path.parent / "backups", found)
    say(f"backup: {backup} ({backup.stat().st_size:,} bytes)")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    # Off, because tables that are built anew are dropped in between; what is committed is checked below.
    db.execute("PRAGMA foreign_keys=OFF")
    steps = chain.steps(found)
    _run(db, chain)
    return Migration(found, chain.head, steps, backup, _rows(db), time.monotonic() - started_s)


def back_up(db: sqlite3.Connection, folder: Path, found: str) -> Path:
    """Copy the database into a file that is there as a whole or not at all, and return where it is."""
    folder.mkdir(mode=0o700, exist_ok=True)
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    path = folder / f"{database.FILE.removesuffix('.db')}-{found}-{now}.db"
    temporary = path.with_suffix(".tmp")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        copy = sqlite3.connect(temporary)
        try:
            db.backup(copy)
            # A file by itself: without a log beside it that could be left behind.
            copy.execute("PRAGMA journal_mode=DELETE")
            _check(copy, "the database is damaged already, its backup says")
        finally:
            copy.close()
        _sync(temporary)
        temporary.rename(path)
        _sync(folder)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def _run(db: sqlite3.Connection, chain: Chain) -> None:
    """Run the revisions and check what they made, all in one transaction."""
    engine = create_engine("sqlite://", creator=lambda: db, poolclass=StaticPool)
    # Python's module would commit before each change of the schema; on our connection it does nothing by itself.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.begin() as connection:
        config = chain.config()
        config.attributes["connection"] = connection
        command.upgrade(config, chain.head)
        db.execute(f"PRAGMA user_version={database.USER_VERSION}")
        _check(db, "after the migration")
        wrong = differences(shape(db), _shape_of(chain.schema))
        if wrong:
            raise MigrationFailed(f"the migrations do not lead to the schema: {'; '.join(wrong)}")


def _check(db: sqlite3.Connection, when: str) -> None:
    """Raise MigrationFailed if the file is damaged, or a row names another that is not there."""
    found = [row[0] for row in db.execute("PRAGMA integrity_check(5)")]
    if found != ["ok"]:
        raise MigrationFailed(f"{when}: {'; '.join(found)}")
    rows = db.execute("PRAGMA foreign_key_check").fetchmany(5)
    if rows:
        names = "; ".join(f"a row of {table} names one of {parent} that is not there" for table, _, parent, _ in rows)
        raise MigrationFailed(f"{when}: {names}")


def _shape_of(schema: str) -> Shape:
    db = sqlite3.connect(":memory:")
    try:
        db.executescript(schema)
        return shape(db)
    finally:
        db.close()


def _rows(db: sqlite3.Connection) -> int:
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return sum(db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _escaped(path: Path) -> str:
    # Alembic's options are those of configparser.
    return str(path).replace("%", "%%")
