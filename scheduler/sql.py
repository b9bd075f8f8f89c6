"""What the scheduler asks of a connection to its database: SQLite's own classes fit it."""

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
