"""The room's SQLite file, kept as the catalogue's: numbered revisions that only go forward, each commit on the disk."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catalogue import database

REVISIONS = sorted((Path(__file__).parent / "revisions").glob("[0-9]*.sql"))


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the file, made or brought to the last revision if it has to be. Raises catalogue.database.SchemaMismatch."""
    return database.open_writer(path, REVISIONS)


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a file that there is, to look."""
    return database.open_reader(path)


class Readers:
    """Connections to look into a file, one for each thread. Safe from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mine = threading.local()
        self._open: list[sqlite3.Connection] = []

    def reader(self) -> sqlite3.Connection:
        """Return this thread's connection. Raises sqlite3.Error while there is no such file."""
        found: sqlite3.Connection | None = getattr(self._mine, "db", None)
        if found is None:
            if not self._path.exists():
                # SQLite would make an empty one, in the catalogue's place.
                raise sqlite3.OperationalError(f"{self._path.name} is not there")
            found = self._mine.db = open_reader(self._path)
            self._open.append(found)
        return found

    def close(self) -> None:
        """Close all of them. Nobody may be reading."""
        for reader in self._open:
            reader.close()


class Database(Readers):
    """The room's own file: read from any thread, written by one at a time."""

    def __init__(self, path: Path) -> None:
        """Open the file, made if it has to be. Raises catalogue.database.SchemaMismatch."""
        super().__init__(path)
        self._db = open_writer(path)
        self._writing = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Change all or nothing; on the disk when it is left."""
        with self._writing:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close every connection. Nobody may be reading or writing."""
        super().close()
        self._db.close()
