"""The tables of a projection, as files: what every channel serves from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EPISODES, JOINTS = "episodes", "joints"
"""`episodes`: a row for each episode, what may be told of it. `joints`: a row for each sample, its signals as lists.
Each further stream or sensor is a table under its own name."""

SHEETS = "sheets"
"""Beside the tables, of a projection with pictures: a contact sheet of each camera, for those who review it alone."""


@dataclass(frozen=True)
class ProjectedFile:
    """One Parquet file of a table, without page indexes or key-value metadata beyond what the projection needs.

    Attributes:
        path: Where it is, or where its encrypted form is (see `Projection.key`).
        name: As the consumer sees it: says nothing of the source.
        sha256, size_bytes, rows: Of what the consumer gets.
        stats: Smallest and largest value by column, of the granted columns alone and after all transforms.
    """

    path: Path
    name: str
    sha256: str
    size_bytes: int
    rows: int
    stats: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Projection:
    """A version of a data set as one consumer may have it.

    Attributes:
        key: Identity: the hash of agreement, data set, version, columns, transforms and the code's own version.
        tables: Files by the name of the table, oldest episode first; each episode is a file of `joints`.
        schemas: The Arrow schema of each table.
    """

    key: str
    agreement: str
    version: int
    tables: Mapping[str, tuple[ProjectedFile, ...]]
    schemas: Mapping[str, Any]
