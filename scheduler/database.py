"""The venue's SQLite file: opened once for writing, any number of times for reading.

WAL with synchronous=FULL: a commit that returned is on the disk. A lock on a file beside the database keeps a second
scheduler out for as long as the first lives, however it ends.
"""

import fcntl
import os
import secrets
import sqlite3
import zlib
from pathlib import Path

SCHEMA = Path(__file__).with_name("schema.sql").read_text()
# As long as there are no migrations, any change of the schema makes another version; 0 stands for an empty file.
SCHEMA_VERSION = zlib.crc32(SCHEMA.encode()) & 0x7FFF_FFFF or 1


class DatabaseInUse(Exception):
    """Another scheduler holds the database."""


class SchemaMismatch(Exception):
    """The database was made by another version of the schema."""


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
    db = _connect(f"file:{path}?mode=rwc")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA foreign_keys=ON")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        # One transaction: killed at any moment, the file is empty or complete.
        db.executescript(
            f"""
            BEGIN IMMEDIATE;
            {SCHEMA}
            INSERT INTO meta VALUES ('secret', x'{secrets.token_hex(32)}');
            PRAGMA user_version={SCHEMA_VERSION};
            COMMIT;
            """
        )
    elif version != SCHEMA_VERSION:
        raise SchemaMismatch(
            f"{path} was made by another version of the scheduler (schema {version}, this one has {SCHEMA_VERSION}) "
            "and cannot be taken over: go on with that version, or move the data folder away to begin anew"
        )
    return db


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that cannot write."""
    db = _connect(f"file:{path}?mode=ro")
    db.execute("PRAGMA query_only=ON")
    return db


def secret(db: sqlite3.Connection) -> bytes:
    """Return the venue's own random key, made with the database."""
    value: bytes = db.execute("SELECT value FROM meta WHERE key = 'secret'").fetchone()[0]
    return value


def _connect(uri: str) -> sqlite3.Connection:
    # Used by one thread at a time; sqlite3's own check would forbid to open here and use in the writer's thread.
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5.0)
    db.row_factory = sqlite3.Row
    return db
