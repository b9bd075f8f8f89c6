"""What the scheduler asks of a connection to its database: SQLite's own classes fit it, and `scheduler.postgres`'s."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol


class Row(Protocol):
    """One row, by column name or number."""

    def __getitem__(self, key: str | int, /) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...

    def __len__(self) -> int: ...

    def keys(self) -> Iterable[str]:
        """Return the columns' names in order."""
        ...


class Cursor(Protocol):
    """The result of one statement."""

    @property
    def rowcount(self) -> int:
        """How many rows a change was made to."""
        ...

    @property
    def lastrowid(self) -> int | None:
        """The integer key of the row that was inserted last."""
        ...

    @property
    def description(self) -> Any:
        """Return a tuple for each column that begins with its name."""
        ...

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A connection that begins and ends transactions only when told to.

    Parameters stand as "?" in a statement or, with names, as ":name".
    """

    @property
    def in_transaction(self) -> bool: ...

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ..., /) -> Cursor:
        """Run one statement."""
        ...

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any] | Mapping[str, Any]], /) -> Cursor:
        """Run one statement for each of the parameters."""
        ...

    def close(self) -> None: ...


class Failed(Exception):
    """What a database other than SQLite refused, or could not do.

    Attributes:
        sqlstate: The five letters of the SQL standard; class 08 for a connection that is lost, "" if there are none.
    """

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


def is_file(db: Connection) -> bool:
    """Whether a connection is to a file of SQLite's."""
    return isinstance(db, sqlite3.Connection)


# What statements may raise.
ERRORS = (sqlite3.Error, Failed)
