"""Columns of numbers out of a Parquet file that somebody else wrote.

What the footer claims is held against a budget before anything is decoded, and what was decoded against the claims: a
file of 0.9 MB can hold 1.6 GB, and say that it is 0.8 MB.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

from store.errors import ImportRefused
from store.imports.formats import inside
from store.imports.raw import Budget

BATCH_ROWS = 16_384
MAX_FOOTER_BYTES = 64 << 20


@dataclass(frozen=True)
class Columns:
    """Columns of one file: each of shape (rows, width)."""

    place: str
    values: dict[str, np.ndarray]


class ParquetSource:
    """One open file; see `open_parquet`."""

    def __init__(self, file: Any, place: str) -> None:
        self._file, self._place = file, place

    def read(self, widths: dict[str, int], budget: Budget) -> Columns:
        """Return columns of numbers, flat or lists, of these widths. Raises ImportRefused, which names the column."""
        rows, schema = self._file.metadata.num_rows, self._file.schema_arrow
        for name, width in widths.items():
            if name not in schema.names:
                raise ImportRefused(f"{self._place}: no column {name!r}")
            budget.take(f"{self._place}: {name}", rows, width)
        parts: dict[str, list[np.ndarray]] = {name: [] for name in widths}
        seen = 0
        batches = self._file.iter_batches(BATCH_ROWS, columns=list(widths), use_threads=False)
        for batch in batches:
            for name, width in widths.items():
                column = batch.column(batch.schema.get_field_index(name))
                parts[name].append(self._values(column, name, width, seen))
            seen += batch.num_rows
        if seen != rows or seen == 0:
            raise ImportRefused(f"{self._place}: {seen} rows, and the footer claims {rows}")
        return Columns(self._place, {name: np.concatenate(part) for name, part in parts.items()})

    @property
    def names(self) -> Sequence[str]:
        """Of the columns."""
        found: Sequence[str] = self._file.schema_arrow.names
        return found

    def texts(self, names: Sequence[str], most: int) -> list[list[Any]]:
        """Return columns as Python values, at most so many rows."""
        if self._file.metadata.num_rows > most:
            raise ImportRefused(f"{self._place}: claims {self._file.metadata.num_rows} rows; at most {most} are read")
        for name in names:
            if name not in self._file.schema_arrow.names:
                raise ImportRefused(f"{self._place}: no column {name!r}")
        table = self._file.read(columns=list(names), use_threads=False)
        return [table.column(name).to_pylist() for name in names]

    def _values(self, column: Any, name: str, width: int, first_row: int) -> np.ndarray:
        where = f"{self._place}: {name}"
        while pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
            if column.null_count:
                raise ImportRefused(f"{where}: rows {first_row}...: {column.null_count} values are missing")
            column = column.flatten()
        kind = column.type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
            raise ImportRefused(f"{where}: of type {kind}, not of numbers")
        if column.null_count:
            raise ImportRefused(f"{where}: rows {first_row}...: {column.null_count} values are missing")
        values: np.ndarray = column.to_numpy(zero_copy_only=False)
        if values.size % width:
            raise ImportRefused(f"{where}: rows {first_row}...: {values.size} values are no rows of {width}")
        return values.reshape(-1, width)


@contextmanager
def open_parquet(root: Path, relative: str) -> Iterator[ParquetSource]:
    """Open a file of a folder; whatever fails inside the block names the file. Raises ImportRefused."""
    path = inside(root, relative)
    try:
        with pq.ParquetFile(
            path,
            thrift_string_size_limit=MAX_FOOTER_BYTES,
            thrift_container_size_limit=1_000_000,
            page_checksum_verification=True,
        ) as file:
            yield ParquetSource(file, relative)
    except (pa.ArrowException, OSError, ValueError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise ImportRefused(f"{relative}: {lines[0][:300]}") from error
