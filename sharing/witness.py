"""To whom this room tells what it did: the audit's side that everybody else calls."""

import sqlite3
from collections.abc import Mapping
from typing import Protocol


class Witness(Protocol):
    """Takes note of decisions, addresses given out, and bytes sent. `sharing.audit.Log` is the durable one."""

    def note(self, kind: str, fields: Mapping[str, str | int]) -> int:
        """Take note, durable when it returns; return the entry's index.

        Args:
            kind: What happened, such as `decision`, `bytes`, `agreement`, `key`, `budget`, `job`.
            fields: Flat; the parties under `provider` and `consumer`, so that each can be shown its own entries.
        """
        ...

    def owe(self, db: sqlite3.Connection, kind: str, fields: Mapping[str, str | int]) -> int:
        """Write down, in a transaction of the room's own file, what is to be noted; return what `settle` is given.

        If the process ends before that, it is noted when the room is opened again. `sharing.act` is the way to use it.
        """
        ...

    def settle(self, *owed: int) -> None:
        """Note what is owed, once its transaction is committed. Raises NotNoted: it is noted later."""
        ...
