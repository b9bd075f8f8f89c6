"""One file of a table: written without metadata, page indexes or anything else but the table itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.compute as pc  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

from store.layout import float_leaves

ROWS_PER_GROUP = 1 << 20


def write(table: Any, path: Path) -> dict[str, tuple[Any, Any]]:
    """Write a table, and return the smallest and the largest value by column.

    Without a schema of Arrow's in its metadata, so that all files of a table are alike whatever lies in them.
    """
    texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
    pq.write_table(
        table.replace_schema_metadata(None),
        path,
        row_group_size=ROWS_PER_GROUP,
        compression="zstd",
        compression_level=1,
        use_dictionary=texts,
        use_byte_stream_split=float_leaves(table.schema),
        write_statistics=True,
        write_page_index=False,
        store_schema=False,
    )
    return limits(table)


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
