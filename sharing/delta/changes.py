"""What changed between versions of a table: files that came and went."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sharing.delta.table import SharedFile, SharedTable

VERSIONS_MAX = 100
"""Most versions of one answer: each may have to be projected first."""


@dataclass(frozen=True)
class Change:
    """A file that came with a version, or went. held: The version that has the file."""

    kind: str
    version: int
    file: SharedFile
    held: int


def changes(tables: Sequence[tuple[int, SharedTable | None]]) -> Iterator[Change]:
    """Yield what each version changed in the one before it, removals first.

    tables: Version and its table, oldest first; None where that version has no such table. The first only says what
    the second is compared with.
    """
    for (before, old), (version, new) in pairwise(tables):
        had = old.by_id if old is not None else {}
        has = new.by_id if new is not None else {}
        for file in old.files if old is not None else ():
            if file.id not in has:
                yield Change("remove", version, file, before)
        for file in new.files if new is not None else ():
            if file.id not in had:
                yield Change("add", version, file, version)
