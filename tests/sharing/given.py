"""Small projections, for the parts that stand behind the projector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sharing.grant import Grant
from sharing.projection.tables import EPISODES, JOINTS, ProjectedFile, Projection


@dataclass
class Shelf:
    """A projector of one projection."""

    projection: Projection
    dropped: list[str] = field(default_factory=list)

    def project(self, grant: Grant) -> Projection:
        """Return it."""
        return self.projection

    def read(self, file: ProjectedFile, begin: int, size_bytes: int) -> bytes:
        """Return bytes of a file."""
        with file.path.open("rb") as source:
            source.seek(begin)
            return source.read(size_bytes)


    def drop(self, agreement: str) -> int:
        """Remember that it was asked for."""
        self.dropped.append(agreement)
        return 1


def projection(
    folder: Path, facts: Mapping[str, Sequence[Any]], signals: Sequence[Mapping[str, np.ndarray]] = ()
) -> Projection:
    """Write a projection: facts of episodes, and the signals of each, shape (samples, elements)."""
    folder.mkdir(parents=True, exist_ok=True)
    tables: dict[str, tuple[ProjectedFile, ...]] = {}
    count = len(next(iter(facts.values())))
    names = [f"e{number:05}" for number in range(count)]
    episodes = pa.table({"episode": names, **facts})
    schemas = {EPISODES: episodes.schema, JOINTS: pa.schema([])}
    tables[EPISODES] = (_file(folder / "episodes.parquet", episodes),)
    files = []
    for name, one in zip(names, signals, strict=False):
        columns: dict[str, Any] = {"episode": [name] * len(next(iter(one.values())))}
        for signal, values in one.items():
            columns[signal] = pa.array(list(values.astype(np.float32)), pa.list_(pa.float32()))
        table = pa.table(columns)
        schemas[JOINTS] = table.schema
        files.append(_file(folder / f"{name}.parquet", table))
    tables[JOINTS] = tuple(files)
    return Projection("key", "", 1, tables, schemas)


def _file(path: Path, table: pa.Table) -> ProjectedFile:
    pq.write_table(table, path)
    return ProjectedFile(path, path.name, "", path.stat().st_size, table.num_rows)
