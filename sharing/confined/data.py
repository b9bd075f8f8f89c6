"""A parcel as a confined process sees it: facts of episodes, and their signals as arrays."""

import mmap
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sharing.projection.tables import EPISODES, JOINTS

Array = NDArray[Any]


class Data:
    """The episodes of a projection, read-only, oldest first."""

    def __init__(self, descriptor: int, size_bytes: int, files: Mapping[str, Sequence[tuple[int, int]]]) -> None:
        """See `sharing.confined.parcel.Parcel`. Raises ValueError for files that do not belong together."""
        memory = mmap.mmap(descriptor, size_bytes, prot=mmap.PROT_READ)
        whole = pa.py_buffer(memory)
        self._files = {
            table: [whole.slice(offset, size) for offset, size in places] for table, places in files.items()
        }
        read = [pq.read_table(pa.BufferReader(part), use_threads=False) for part in self._files[EPISODES]]
        self.episodes: pa.Table = pa.concat_tables(read)
        for table, parts in self._files.items():
            if table != EPISODES and len(parts) != len(self):
                raise ValueError(f"{table}: {len(parts)} files for {len(self)} episodes")

    def __len__(self) -> int:
        """How many episodes there are."""
        return int(self.episodes.num_rows)

    def signal(self, episode: int, name: str) -> Array | None:
        """Return a signal of an episode, shape (samples, elements); None where the episode has none of that name."""
        found = self.signals(episode, (name,))
        return found.get(name)

    def signals(self, episode: int, names: Collection[str] = ()) -> dict[str, Array]:
        """Return the signals of an episode by name, all that there are or those named, each (samples, elements)."""
        found: dict[str, Array] = {}
        for table in sorted(self._files, key=lambda table: (table != JOINTS, table)):
            if table == EPISODES:
                continue
            file = pq.ParquetFile(pa.BufferReader(self._files[table][episode]))
            columns = [name for name in file.schema_arrow.names if (not names or name in names) and name not in found]
            if columns:
                read = file.read(columns=columns, use_threads=False)
                found |= {name: _array(read.column(name).combine_chunks()) for name in columns if _numeric(read, name)}
        return found


def _numeric(table: pa.Table, name: str) -> bool:
    kind = table.schema.field(name).type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _array(column: Any) -> Array:
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    rows = len(column)
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type) or pa.types.is_fixed_size_list(column.type):
        values = column.flatten()
        if rows and len(values) % rows:
            raise ValueError("rows of different widths")
        return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(rows, -1)
    return np.asarray(column.to_numpy(zero_copy_only=False)).reshape(rows, 1)
