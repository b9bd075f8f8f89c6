"""Connections to one database: one to look for each thread, and one that writes, one transaction at a time."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from database.sql import Connection, Failed

C = TypeVar("C", bound=Connection, covariant=True)


class Readers(Generic[C]):
    """Connections to look, one for each thread. Safe from any thread.

    open_reader: Opens one.
    """

    def __init__(self, open_reader: Callable[[], C]) -> None:
        self._open_reader = open_reader
        self._mine = threading.local()
        self._mutex = threading.Lock()
        self._open: list[tuple[threading.Thread, C]] = []

    def reader(self) -> C:
        """Return this thread's connection. Raises what opening one raises."""
        found: C | None = getattr(self._mine, "db", None)
        if found is None:
            found = self._mine.db = self._open_reader()
            with self._mutex:
                # A server has few connections to give: those of threads that have ended are given back.
                ended = [one for one in self._open if not one[0].is_alive()]
                self._open = [one for one in self._open if one[0].is_alive()]
                self._open.append((threading.current_thread(), found))
            for _, db in ended:
                db.close()
        return found

    def close(self) -> None:
        """Close all of them. Nobody may be reading."""
        for _, db in self._open:
            db.close()


def begin(db: Connection) -> None:
    """Begin a transaction that writes, in a file: nobody else does until it ends."""
    db.execute("BEGIN IMMEDIATE")


class Keeping(Readers[C]):
    """A database that is read from any thread and written by one at a time.

    Args:
        open_reader, open_writer: Open a connection.
        begin: Begins a transaction once nobody else writes.
    """

    def __init__(
        self, open_reader: Callable[[], C], open_writer: Callable[[], C], begin: Callable[[C], None] = begin
    ) -> None:
        super().__init__(open_reader)
        self._begin = begin
        self._db = open_writer()
        self._writing = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[C]:
        """Change all or nothing; on the disk when it is left."""
        with self._writing:
            self._begin(self._db)
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    # A server that is gone has rolled back by itself.
                    with contextlib.suppress(Failed):
                        self._db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close every connection. Nobody may be reading or writing."""
        super().close()
        self._db.close()
