"""The venue's SQLite file: opened once for writing, any number of times for reading.

WAL with synchronous=FULL: a commit that returned is on the disk. A lock on a file beside the database keeps a second
scheduler out for as long as the first lives, however it ends. A new file is made from `schema.sql`; one of an older
revision is brought forward by `python -m scheduler migrate` (`migrations/`) and by nothing else.
"""

import fcntl
import os
import secrets
import sqlite3
from pathlib import Path

FILE = "scheduler.db"
SCHEMA = Path(__file__).with_name("schema.sql").read_text()
# What `schema.sql` is: the number of the last revision in `migrations/versions`.
REVISION = "0003"
# The revision stands in alembic's table; this says that the file is ours, since that of an empty one is 0.
USER_VERSION = 1


class DatabaseInUse(Exception):
    """Another scheduler holds the database."""


class SchemaMismatch(Exception):
    """The database is of another revision of the schema."""


class DatabaseLock:
    """Held from construction until `release` or the end of the process. Raises DatabaseInUse."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._file, 20, 0).decode().strip() or "unknown"
            os.close(self._file)
            raise DatabaseInUse(f"{path} is in use by the scheduler with process id {owner}") from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._file)


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the only connection that writes; make the schema if the file is new. Raises SchemaMismatch."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    db = connect(f"file:{path}?mode=rwc")
    found = revision(db)
    if found not in ("", REVISION):
        db.close()
        raise SchemaMismatch(refusal(path, found))
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


def revision(db: sqlite3.Connection) -> str | None:
    """Return the revision of a database, "" for an empty one, None for one that has none."""
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


def refusal(path: Path, found: str | None) -> str:
    """Say why a database cannot be used as it is, and what to do."""
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


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that cannot write."""
    db = connect(f"file:{path}?mode=ro")
    db.execute("PRAGMA query_only=ON")
    return db


def secret(db: sqlite3.Connection) -> bytes:
    """Return the venue's own random key, made with the database."""
    value: bytes = db.execute("SELECT value FROM meta WHERE key = 'secret'").fetchone()[0]
    return value


def connect(uri: str) -> sqlite3.Connection:
    """Open a connection that begins and ends transactions only when told to."""
    # Used by one thread at a time; sqlite3's own check would forbid to open here and use in the writer's thread.
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5.0)
    db.row_factory = sqlite3.Row
    return db
