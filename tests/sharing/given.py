"""Small projections, and a gate and a witness that say yes: for the parts that stand behind the real ones."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sharing.errors import NotShared
from sharing.grant import Ask, Grant
from sharing.projection.tables import EPISODES, JOINTS, ProjectedFile, Projection

REVISION = Path(__file__).resolve().parents[2] / "sharing/revisions/0004_aggregate.sql"
PROVIDER, CONSUMER, DATA_SET = "vendors/acme", "vendors/borealis", "vendors/acme/datasets/picks"
AGREEMENT = "a" * 64
NOW_S = 1_800_000_000


@dataclass
class Yes:
    """A gate that grants everything until it is told not to."""

    privacy_millionths: int = 3_000_000
    transforms: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    over: bool = False

    def authorize(self, ask: Ask) -> Grant:
        """Grant it."""
        if self.over or ask.agreement != AGREEMENT:
            raise NotShared
        return Grant(
            ask.agreement,
            PROVIDER,
            ask.consumer,
            DATA_SET,
            ask.version or 1,
            ("observation.state", "action"),
            self.transforms,
            ask.channel,
            ask.purpose,
            self.privacy_millionths,
            2**40,
            1,
        )

    def still(self, grant: Grant) -> None:
        """Raise NotShared once it is over."""
        if self.over:
            raise NotShared


@dataclass
class Noted:
    """A witness that remembers."""

    entries: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def note(self, kind: str, fields: Mapping[str, str | int]) -> int:
        """Remember it."""
        self.entries.append((kind, dict(fields)))
        return len(self.entries) - 1


@dataclass
class Shelf:
    """A projector of one projection."""

    projection: Projection

    def project(self, grant: Grant) -> Projection:
        """Return it."""
        return self.projection

    def read(self, file: ProjectedFile, begin: int, size_bytes: int) -> bytes:
        """Return bytes of a file."""
        with file.path.open("rb") as source:
            source.seek(begin)
            return source.read(size_bytes)


class Book:
    """A database with this part's tables alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = self.reader()
        if not self._db.execute("SELECT 1 FROM sqlite_schema").fetchone():
            self._db.executescript(REVISION.read_text())

    def reader(self) -> sqlite3.Connection:
        """Return a connection."""
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        db.row_factory = sqlite3.Row
        return db

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Change all or nothing."""
        db = self.reader()
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        finally:
            db.close()


def projection(
    folder: Path, facts: Mapping[str, Sequence[Any]], signals: Sequence[Mapping[str, np.ndarray]] = ()
) -> Projection:
    """Write a projection: facts of episodes, and the signals of each, shape (samples, elements)."""
    folder.mkdir(parents=True, exist_ok=True)
    tables: dict[str, tuple[ProjectedFile, ...]] = {}
    schemas = {}
    episodes = pa.table(dict(facts))
    schemas[EPISODES] = episodes.schema
    tables[EPISODES] = (_file(folder / "episodes.parquet", episodes),)
    files = []
    for number, one in enumerate(signals):
        columns = {name: pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1]) for name, values in one.items()}
        table = pa.table(columns)
        schemas[JOINTS] = table.schema
        files.append(_file(folder / f"{number}.parquet", table))
    if files:
        tables[JOINTS] = tuple(files)
    return Projection("key", AGREEMENT, 1, tables, schemas)


def _file(path: Path, table: pa.Table) -> ProjectedFile:
    pq.write_table(table, path)
    return ProjectedFile(path, path.name, "", path.stat().st_size, table.num_rows)
