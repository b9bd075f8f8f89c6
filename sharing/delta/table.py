"""A projection as Delta tables: its files with ids and statistics in Delta's words."""

import json
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]

from sharing.delta.hints import Condition, Stats, may_match
from sharing.delta.names import folded, table_names
from sharing.delta.schema import NoSuchType, schema_string
from sharing.delta.secret import Secret
from sharing.projection.tables import ProjectedFile, Projection

STATS_CHARACTERS = 64
"""Longer texts are no statistics: cut off, a largest value would no longer be one."""


@dataclass(frozen=True)
class SharedFile:
    """A file as consumers see it.

    Attributes:
        id: The same for the same bytes of the same table of the same agreement, and for nothing else.
        stats: Delta's statistics, JSON.
        limits: Smallest and largest value by column, in small letters: what hints are weighed against.
    """

    file: ProjectedFile
    id: str
    stats: str
    limits: Stats

    @property
    def size_bytes(self) -> int:
        """Its size."""
        return self.file.size_bytes


@dataclass(frozen=True)
class SharedTable:
    """A table of a version as consumers see it. id: Of the table through all versions; schema: Delta's JSON."""

    name: str
    id: str
    schema: str
    files: tuple[SharedFile, ...]

    @cached_property
    def by_id(self) -> Mapping[str, SharedFile]:
        """Its files by id."""
        return {file.id: file for file in self.files}

    @cached_property
    def size_bytes(self) -> int:
        """Of all its files."""
        return sum(file.size_bytes for file in self.files)


def tables_of(projection: Projection, secret: Secret) -> dict[str, SharedTable]:
    """Return a projection's tables by name in small letters. One with a type that Delta does not have is left out."""
    found = {}
    for name, stored in table_names(projection.tables).items():
        try:
            schema = schema_string(projection.schemas[stored])
        except NoSuchType:
            continue
        place = projection.agreement, stored
        found[folded(name)] = SharedTable(
            name=name,
            id=str(uuid.UUID(hex=secret.code("table", *place)[:32])),
            schema=schema,
            files=tuple(
                _shared(file, projection.schemas[stored], secret.code("id", *place, file.name, file.sha256)[:32])
                for file in projection.tables[stored]
            ),
        )
    return found


def chosen(table: SharedTable, wanted: Sequence[Condition], limit: int | None) -> Sequence[SharedFile]:
    """Return the files of a table that a client needs, in their order.

    limit: How many rows it means to read. Only without conditions: which rows match is not known here.
    """
    if wanted:
        return [file for file in table.files if may_match(wanted, file.limits)]
    if limit is None:
        return table.files
    found, rows = [], 0
    for file in table.files:
        if rows >= limit:
            break
        found.append(file)
        rows += file.file.rows
    return found


def _shared(file: ProjectedFile, schema: Any, file_id: str) -> SharedFile:
    # Delta has no statistics of arrays.
    plain = {field.name for field in schema if not pa.types.is_nested(field.type)}
    limits = {name: pair for name, pair in file.stats.items() if name in plain and all(map(_tells, pair))}
    stats = {
        "numRecords": file.rows,
        "minValues": {name: pair[0] for name, pair in limits.items()},
        "maxValues": {name: pair[1] for name, pair in limits.items()},
    }
    text = json.dumps(stats, ensure_ascii=False, separators=(",", ":"))
    return SharedFile(file, file_id, text, {name.lower(): pair for name, pair in limits.items()})


def _tells(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= STATS_CHARACTERS
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, bool | int)
