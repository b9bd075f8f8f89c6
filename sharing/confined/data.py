"""A parcel as a confined process sees it: facts of episodes, and their signals as arrays."""

import mmap
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sharing.projection.tables import EPISODES, JOINTS
from store.episode import TIME

Array = NDArray[Any]
EPISODE, VALUE = "episode", "value"
"""Columns of a projection: whose row it is, and the readings of a stream or sensor."""


class Data:
    """The episodes of a projection, read-only, oldest first."""

    def __init__(self, descriptor: int, size_bytes: int, files: Mapping[str, Sequence[tuple[str, int, int]]]) -> None:
        """See `sharing.confined.parcel.Parcel`: a file of signals is named after its episode."""
        whole = pa.py_buffer(mmap.mmap(descriptor, size_bytes, prot=mmap.PROT_READ))
        read = [
            pq.read_table(pa.BufferReader(whole.slice(offset, size)), use_threads=False)
            for _, offset, size in files[EPISODES]
        ]
        self.episodes: pa.Table = pa.concat_tables(read)
        self._names = self.episodes.column(EPISODE).to_pylist()
        # The joints first: where another table has a signal of the same name, theirs is meant.
        tables = sorted(set(files) - {EPISODES}, key=lambda table: (table != JOINTS, table))
        self._files = {
            table: {name.removesuffix(".parquet"): whole.slice(offset, size) for name, offset, size in files[table]}
            for table in tables
        }

    def __len__(self) -> int:
        """How many episodes there are."""
        return len(self._names)

    def facts(self, episode: int) -> dict[str, Any]:
        """Return what is told of an episode, its row of the table of episodes."""
        row: dict[str, Any] = self.episodes.slice(episode, 1).to_pylist()[0]
        return row

    def signals(self, episode: int, names: Collection[str] = ()) -> dict[str, Array]:
        """Return the signals of an episode by name, all that there are or those named, each (samples, elements)."""
        found: dict[str, Array] = {}
        for table, files in self._files.items():
            part = files.get(self._names[episode])
            if part is None or (names and table != JOINTS and table not in names):
                continue
            file = pq.ParquetFile(pa.BufferReader(part))
            schema = file.schema_arrow
            # A stream or sensor is a table of its own, with its readings under one name for all.
            called = {name: name for name in schema.names} if table == JOINTS else {VALUE: table}
            wanted = [name for name, signal in called.items() if not names or signal in names]
            wanted = [name for name in wanted if called[name] not in found and is_signal(schema, name)]
            read: Any = file.read(columns=wanted, use_threads=False) if wanted else None
            for name in wanted:
                values = _array(read.column(name))
                if values is not None:
                    found[called[name]] = values
        return found


def is_signal(schema: pa.Schema, name: str) -> bool:
    """Whether a column holds numbers of each sample, as lists or alone; the time is no signal."""
    if name not in schema.names or name == TIME:
        return False
    kind = schema.field(name).type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _array(column: Any) -> Array | None:
    """Return a column as an array, shape (rows, elements); None for one that is null throughout."""
    rows = len(column)
    if column.null_count == rows and rows:
        return None
    kind = column.type
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    parts = [part.flatten() if lists else part for part in column.chunks]
    values = np.concatenate([np.asarray(part.to_numpy(zero_copy_only=False)) for part in parts] or [np.zeros(0)])
    return values.reshape(rows, -1) if rows else values.reshape(0, 0)
