"""Which recordings a version of a data set has, as the catalogue says."""

import sqlite3
from dataclasses import dataclass
from typing import Protocol

from sharing.errors import NotShared


class Readers(Protocol):
    """Connections to look into a file; `sharing.database.Readers`."""

    def reader(self) -> sqlite3.Connection:
        """Return this thread's connection."""
        ...


@dataclass(frozen=True)
class Source:
    """One recording of a version: its last name and its hash."""

    uid: str
    sha256: str


_VERSIONS = """
SELECT v.id, v.number, d.vendor FROM dataset d JOIN dataset_version v ON v.dataset = d.id
WHERE d.vendor = ? AND d.name = ? AND (v.number = ? OR ? = 0)
  AND NOT EXISTS (SELECT 1 FROM open_version o WHERE o.version = v.id)
ORDER BY v.number DESC LIMIT 1
"""
_EPISODES = """
SELECT e.uid, e.sha256 FROM dataset_episode m JOIN episode e ON e.id = m.episode
WHERE m.version = ? AND e.vendor = ? ORDER BY m.position
"""


def sources_of(catalogue: Readers, data_set: str, version: int) -> tuple[int, list[Source]]:
    """Return the version's number, 0 meaning the newest, and its recordings in their order. Raises NotShared."""
    parts = data_set.split("/")
    if len(parts) != 4 or (parts[0], parts[2]) != ("vendors", "datasets"):
        raise NotShared
    try:
        db = catalogue.reader()
        found = db.execute(_VERSIONS, (parts[1], parts[3], version, version)).fetchone()
        if found is None:
            raise NotShared
        rows = db.execute(_EPISODES, (found["id"], found["vendor"])).fetchall()
    except sqlite3.OperationalError:
        # Nothing was ever recorded in this venue.
        raise NotShared from None
    if not rows:
        raise NotShared
    # A recording that is named by two episodes is the same rows twice.
    unique = {row["sha256"]: Source(row["uid"], row["sha256"]) for row in rows}
    return int(found["number"]), list(unique.values())
