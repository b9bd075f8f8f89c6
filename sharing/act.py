"""Changing what holds, and noting it: both happen or neither does, whatever ends this process in between."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from sharing.witness import Witness


class Writable(Protocol):
    """The room's file."""

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """Write in one transaction."""
        ...


class Act:
    """A transaction that is noted. `db`: The connection that writes."""

    def __init__(self, db: sqlite3.Connection, witness: Witness) -> None:
        self.db = db
        self._witness = witness
        self._owed: list[int] = []

    def note(self, kind: str, fields: Mapping[str, str | int]) -> None:
        """Have it noted once the transaction is committed, see `sharing.witness.Witness.note`."""
        self._owed.append(self._witness.owe(self.db, kind, fields))

    def settle(self) -> None:
        """Note what is owed. Raises NotNoted: then it is noted later, as what was done stands."""
        if self._owed:
            self._witness.settle(*self._owed)


@contextmanager
def act(database: Writable, witness: Witness) -> Iterator[Act]:
    """Write in one transaction; at its end it is committed and noted, or neither."""
    with database.transaction() as db:
        found = Act(db, witness)
        yield found
    found.settle()
