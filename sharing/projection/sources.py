"""Which recordings a version of a data set has, as the catalogue says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from database.sql import Connection
from sharing.database import NothingRecorded, looking
from sharing.errors import NotShared
from store.frames import SealedSource
from store.objects import ObjectStore


class Readers(Protocol):
    """Connections to look into a database; `database.keeping.Readers`."""

    def reader(self) -> Connection:
        """Return this thread's connection."""
        ...


@dataclass(frozen=True)
class Source:
    """One recording of a version: its last name and its hash."""

    uid: str
    sha256: str


def told_of(objects: ObjectStore, sha256: str) -> dict[str, str]:
    """Return what a confined process is told of a recording: its file, and the key of that file alone if it has one.

    Raises StoreError.
    """
    path, own = objects.opened(sha256)
    return {"path": str(path), "sha256": sha256, **({} if own is None else {"own": own.hex()})}


def source_of(told: Mapping[str, str]) -> Path | SealedSource:
    """Return what the store's readers take for it."""
    path = Path(told["path"])
    return SealedSource(path, bytes.fromhex(told["own"])) if "own" in told else path


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
        with looking():
            db = catalogue.reader()
            found = db.execute(_VERSIONS, (parts[1], parts[3], version, version)).fetchone()
            if found is None:
                raise NotShared
            rows = db.execute(_EPISODES, (found["id"], found["vendor"])).fetchall()
    except NothingRecorded:
        raise NotShared from None
    if not rows:
        raise NotShared
    # A recording that is named by two episodes is the same rows twice.
    unique = {row["sha256"]: Source(row["uid"], row["sha256"]) for row in rows}
    return int(found["number"]), list(unique.values())
