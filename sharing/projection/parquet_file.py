"""One file of a table: written without metadata, page indexes or anything else but the table itself."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.compute as pc  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

from store.layout import float_leaves
from store.parquet import write_bare

ROWS_PER_GROUP = 1 << 20


@dataclass(frozen=True)
class Written:
    """What was written: the file's hash and size, and the smallest and the largest value by column."""

    sha256: str
    size_bytes: int
    limits: dict[str, tuple[Any, Any]]


def write(table: Any, path: Path) -> Written:
    """Write a table as a new file. Raises OSError.

    Without a schema of Arrow's in its metadata, so that all files of a table are alike whatever lies in them. Most are
    rows of numbers under one name, which the store writes several times as fast as pyarrow.
    """
    with open(path, "xb") as plain:
        file = _Hashed(plain)
        found = write_bare(_of_one_length(table), file) if len(table) <= ROWS_PER_GROUP else None  # type: ignore[arg-type]
        if found is None:
            _write_any(table, file)
            found = limits(table)
        return Written(file.digest.hexdigest(), plain.tell(), found)


class _Hashed(io.RawIOBase):
    """Hashes what goes into a file, in the order in which it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def writable(self) -> bool:
        """A file for writing."""
        return True

    def tell(self) -> int:
        """Return how much was written."""
        return self._file.tell()

    def write(self, data: Any) -> int:
        """Write all of it."""
        self.digest.update(data)
        return self._file.write(data)


def _write_any(table: Any, file: Any) -> None:
    texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
    pq.write_table(
        table.replace_schema_metadata(None),
        file,
        row_group_size=ROWS_PER_GROUP,
        compression="zstd",
        compression_level=1,
        use_dictionary=texts,
        use_byte_stream_split=float_leaves(table.schema),
        write_statistics=True,
        write_page_index=False,
        store_schema=False,
    )


def _of_one_length(table: Any) -> Any:
    """Return the table with those lists told to be of one length that are; nothing is copied."""
    for index, field in enumerate(table.schema):
        column = table.column(index)
        if not pa.types.is_list(field.type) or not len(table) or column.null_count or column.num_chunks != 1:
            continue
        offsets = column.chunk(0).offsets.to_numpy()
        width = int(offsets[1] - offsets[0])
        if width and (np.diff(offsets) == width).all():
            kind = pa.list_(field.type.value_field, width)
            fixed = pa.FixedSizeListArray.from_arrays(column.chunk(0).flatten(), type=kind)
            table = table.set_column(index, field.with_type(kind), fixed)
    return table


def limits(table: Any) -> dict[str, tuple[Any, Any]]:
    """Return the smallest and the largest value of each column of numbers or texts, of lists of their elements."""
    found = {}
    for field in table.schema:
        column = table.column(field.name)
        if pa.types.is_list(field.type) and not pa.types.is_string(field.type.value_type):
            numbers = [part.flatten().to_numpy() for part in column.chunks if len(part.flatten())]
            if numbers:
                # NumPy's are several times as fast as Arrow's here.
                found[field.name] = min(n.min().item() for n in numbers), max(n.max().item() for n in numbers)
            continue
        if pa.types.is_list(field.type):
            column = pc.list_flatten(column)
        if not len(column) or column.null_count == len(column) or pa.types.is_binary(column.type):
            continue
        said = pc.min_max(column).as_py()
        found[field.name] = said["min"], said["max"]
    return found


def lists(values: np.ndarray, kind: Any) -> Any:
    """Return a column of lists of an array of shape (rows, width)."""
    rows, width = values.shape
    offsets = np.arange(0, rows * width + 1, width, dtype=np.int32) if width else np.zeros(rows + 1, np.int32)
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), kind.value_type)
    return pa.ListArray.from_arrays(pa.array(offsets), flat, type=kind)


def constant(text: str, rows: int) -> Any:
    """Return a column of one text."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text])).cast(pa.string())


def plain_limits(limits: Mapping[str, tuple[Any, Any]]) -> dict[str, list[Any]]:
    """Return limits as JSON takes them."""
    return {name: list(pair) for name, pair in limits.items()}
