"""What rooms ask of a connection to a database: SQLite's own classes fit it, and those of `database.postgres`."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
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


def is_refusal(error: Exception) -> bool:
    """Whether a statement broke a rule of the schema: a key, a reference, a trigger that forbids it."""
    # Class 23, "integrity constraint violation" (https://www.postgresql.org/docs/current/errcodes-appendix.html).
    return isinstance(error, sqlite3.IntegrityError) or (isinstance(error, Failed) and error.sqlstate.startswith("23"))


def is_absent(error: Exception) -> bool:
    """Whether there is nothing to look into: no file, or no such table."""
    if isinstance(error, Failed):
        return error.sqlstate in ("42P01", "3F000")
    return isinstance(error, sqlite3.OperationalError)


# Rows of one statement. Few different lengths, so that a connection keeps all the statements that it has prepared.
_LENGTHS = (64, 16, 4, 1)
# Values that a query is given at once.
PORTION_MAX = 256


def insert(db: Connection, head: str, rows: Sequence[Sequence[Any]]) -> int:
    """Insert rows, in order, by few statements; return the integer key of the last one.

    Keys that the database gives grow by one from row to row: nobody else inserts in the same transaction.

    Args:
        head: "INSERT INTO table (columns)".
        rows: One or more, each with a value for every column.
    """
    last, at = 0, 0
    width = len(rows[0])
    for length in _LENGTHS:
        while len(rows) - at >= length:
            values = [value for row in rows[at : at + length] for value in row]
            cursor = db.execute(_statement(head, width, length), values)
            last, at = cursor.lastrowid or 0, at + length
    return last


@cache
def _statement(head: str, width: int, length: int) -> str:
    row = f"({', '.join('?' * width)})"
    return f"{head} VALUES {', '.join([row] * length)}"


def portions(values: Sequence[Any]) -> Iterator[tuple[list[Any], str]]:
    """Yield the values a portion at a time, each with the text of a list of parameters for IN that it fits.

    Few different lengths, as above: where there are less values, the last one is repeated.
    """
    for at in range(0, len(values), PORTION_MAX):
        some = list(values[at : at + PORTION_MAX])
        length = 1
        while length < len(some):
            length *= 4 if length < 64 else 2
        yield some + some[-1:] * (length - len(some)), f"({', '.join('?' * length)})"
