"""The venue's database: opened once for writing, any number of times for reading.

A place is a file of SQLite's or, when that is outgrown, the address of a database in PostgreSQL (`postgres/`). A file
has a WAL and synchronous=FULL: a commit that returned is on the disk. A lock beside it keeps schedulers and migrations
apart; which of several schedulers leads, `leadership.py` says. A new database is made from `schema.sql`; one of an
older revision is brought forward by `python -m scheduler migrate` (`migrations/`) and by nothing else.
"""

import fcntl
import os
import secrets
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from database import address
from database.address import Place
from scheduler import presence
from scheduler.sql import Connection

FILE = "scheduler.db"
SCHEMA = Path(__file__).with_name("schema.sql").read_text()
# What `schema.sql` is: the number of the last revision in `migrations/versions`.
REVISION = "0003"
# The revision stands in alembic's table; this says that the file is ours, since that of an empty one is 0.
USER_VERSION = 1
# Where the venue has gone, among the venue's own values.
MOVED = "moved"
# How long to wait for a scheduler that makes the file at this moment.
SHARE_PATIENCE_S = 2.0


# What may name the database in PostgreSQL instead of the venue file or a command's argument: it may hold a password.
ENVIRONMENT = "PALAESTRA_DATABASE"
PLACE_HELP = f"the scheduler's database: a file, postgresql://..., or - for what ${ENVIRONMENT} says"


class DatabaseInUse(Exception):
    """Another scheduler holds the database."""


class SchemaMismatch(Exception):
    """The database is of another revision of the schema."""


class HasMoved(Exception):
    """The venue has gone on in another database since this one was its; this one is of before."""


class DatabaseLock:
    """A file for this process alone, from construction until `release` or its end. Raises DatabaseInUse."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not self._locked(fcntl.LOCK_EX):
            os.close(self._file)
            raise DatabaseInUse(_owners(path))

    def release(self) -> None:
        os.close(self._file)

    def _locked(self, kind: int) -> bool:
        try:
            fcntl.flock(self._file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class SharedLock(DatabaseLock):
    """The database for schedulers, of which one leads, and for no migration.

    The first one has it for itself until `share`, and may make the file. Raises DatabaseInUse.
    """

    def __init__(self, path: Path) -> None:
        try:
            super().__init__(path)
        except DatabaseInUse:
            self._file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self.share()
            except DatabaseInUse:
                self.release()
                raise

    def share(self) -> None:
        """Let other schedulers in. Another one that is about to is waited for, a migration is not."""
        give_up_s = time.monotonic() + SHARE_PATIENCE_S
        while not self._locked(fcntl.LOCK_SH):
            if time.monotonic() >= give_up_s:
                raise DatabaseInUse(_owners(self._path))
            time.sleep(0.02)


def _owners(path: Path) -> str:
    found = presence.living(path.with_name(f"{path.name}.presence"))
    if not found:
        return f"{path} is in use by a scheduler of before, or is being migrated"
    return f"{path} is in use by the scheduler with process id {' and '.join(map(str, found))}"


def place(text: str) -> Place:
    """Return the place that a text names, see `database.address.place`. Raises NoPlace."""
    return address.place(text, ENVIRONMENT)


def must_exist(place: Place) -> None:
    """Raise FileNotFoundError if the place is a file that is not there."""
    if isinstance(place, Path) and not place.is_file():
        raise FileNotFoundError(f"{place} is no file")


def open_writer(place: Place, owner: str = "") -> Connection:
    """Open the only connection that writes; make the schema if the database is new.

    owner: The instance that leads. PostgreSQL is told, so that another one can end what this connection does.
    Raises SchemaMismatch; of PostgreSQL also DatabaseInUse and sql.Failed.
    """
    if isinstance(place, Path):
        return open_file(place)
    from scheduler.postgres import opening

    return opening.open_writer(place, owner)


def open_reader(place: Place, vendor: Callable[[], str | None] = lambda: None) -> Connection:
    """Open a connection that cannot write.

    vendor: Says which vendor a statement reads for, None: the house. PostgreSQL then shows that vendor's rows only,
        whatever the statement asks for; in a file it is the statement alone that sees to it.
    """
    if isinstance(place, Path):
        return open_file_to_read(place)
    from scheduler.postgres import opening

    return opening.open_reader(place, vendor)


def open_file(path: Path) -> sqlite3.Connection:
    """Open a file for writing, see `open_writer`."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    db = connect(f"file:{path}?mode=rwc")
    found = revision(db)
    if found not in ("", REVISION):
        db.close()
        raise SchemaMismatch(refusal(path, found))
    where = moved_to(db) if found else ""
    if where:
        db.close()
        raise HasMoved(
            f"{path} is of before this venue moved to {where}, and knows nothing of what happened since: name that one "
            f"as [scheduler] database in the venue file. To give up what is there and go on from this file on purpose, "
            f"run `python -m scheduler move --data {path.parent} --back`"
        )
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA foreign_keys=ON")
    if found == "":
        # One transaction: killed at any moment, the file is empty or complete.
        db.executescript(
            f"""
            BEGIN IMMEDIATE;
            {SCHEMA}
            INSERT INTO alembic_version VALUES ('{REVISION}');
            INSERT INTO meta VALUES ('secret', x'{secrets.token_hex(32)}');
            PRAGMA user_version={USER_VERSION};
            COMMIT;
            """
        )
    return db


def revision(db: Connection) -> str | None:
    """Return the revision of a database, "" for an empty one, None for one that has none."""
    if not isinstance(db, sqlite3.Connection):
        from scheduler.postgres import opening

        return opening.revision(db)
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "alembic_version" in tables:
        rows = [row[0] for row in db.execute("SELECT version_num FROM alembic_version")]
        if len(rows) == 1:
            return str(rows[0])
    version = db.execute("PRAGMA user_version").fetchone()[0]
    return None if version or tables else ""


def is_older(found: str | None) -> bool:
    """Whether a revision is one that `migrate` can start from. Revisions are numbers of four digits in one line."""
    return found is not None and len(found) == len(REVISION) and found.isdecimal() and found < REVISION


def refusal(path: Place, found: str | None) -> str:
    """Say why a database cannot be used as it is, and what to do."""
    if not isinstance(path, Path):
        from scheduler.postgres import opening

        return opening.refusal(path, found)
    if is_older(found):
        return (
            f"{path} is of revision {found}, this scheduler needs {REVISION}: run `python -m scheduler migrate --data "
            f"{path.parent}`, which makes a backup first"
        )
    if found:
        return (
            f"{path} is of revision {found}, which this scheduler does not know (its own is {REVISION}), so a newer "
            f"one has written it: go on with that version, or put back a backup from {path.parent / 'backups'}"
        )
    return f"{path} is no database of a scheduler: move the data folder away to begin anew"


def open_file_to_read(path: Path) -> sqlite3.Connection:
    """Open a connection to a file that cannot write."""
    db = connect(f"file:{path}?mode=ro")
    db.execute("PRAGMA query_only=ON")
    return db


def moved_to(db: Connection) -> str:
    """Return where the venue of a database has gone, "" if it has not."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (MOVED,)).fetchone()
    return "" if row is None else bytes(row["value"]).decode()


def mark_moved(path: Path, where: str) -> None:
    """Write into a file where its venue goes on, so that no scheduler starts on it; "": that it goes on here."""
    db = connect(f"file:{path}?mode=rw")
    try:
        db.execute("PRAGMA synchronous=FULL")
        if where:
            put(db, MOVED, where.encode())
        else:
            db.execute("DELETE FROM meta WHERE key = ?", (MOVED,))
    finally:
        db.close()


def secret(db: Connection) -> bytes:
    """Return the venue's own random key, made with the database."""
    value: bytes = db.execute("SELECT value FROM meta WHERE key = 'secret'").fetchone()[0]
    return value


def put(db: Connection, key: str, value: bytes) -> None:
    """Write a value of the venue's own under its key, in place of the one that was."""
    db.execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value))


def connect(uri: str) -> sqlite3.Connection:
    """Open a connection that begins and ends transactions only when told to."""
    # Used by one thread at a time; sqlite3's own check would forbid to open here and use in the writer's thread.
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5.0)
    db.row_factory = sqlite3.Row
    return db
