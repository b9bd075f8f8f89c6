"""To whom this room tells what it did: the audit's side that everybody else calls."""

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
