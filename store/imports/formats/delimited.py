"""CSV and its dialects: any delimiter, decimal commas, duplicate and empty columns, times as numbers or as text.

Every column is a signal of width 1 without a unit: nobody but a mapping knows what a column is. Columns that are empty
in every row are left out, columns of one name are numbered, `true` and `false` are 1 and 0, and what is no number in
some row makes its column a text. Empty cells are missing values (NaN).
"""

import csv
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from store.errors import ImportRefused
from store.imports.raw import Budget, Options, RawEpisode, RawSignal, unique

MAX_COLUMNS = 4096
MAX_FIELD = 65_536
TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_DELIMITERS = (";", "\t", ",", "|")
_TRUTH = {"true": 1.0, "false": 0.0}
_TIME_NAME = re.compile(r"^[%_]*(time|timestamp|t|stamp|time_s|time_ns)$", re.IGNORECASE)
_DECIMAL = re.compile(r"^[+-]?\d+,\d+(?:[eE][+-]?\d+)?$")


class Delimited:
    """See the module."""

    NAME = "csv"

    def sniff(self, path: Path, head: bytes) -> bool:
        """A text file whose first line has a delimiter."""
        if not head or b"\0" in head:
            return False
        line = head.decode("utf-8-sig", "replace").partition("\n")[0]
        return path.suffix.lower() in (".csv", ".tsv", ".txt") and any(mark in line for mark in _DELIMITERS)

    def read(self, path: Path, options: Options) -> Iterator[RawEpisode]:
        """Yield the one episode of a file."""
        delimiter, decimal = _dialect(path, options)
        names, columns = _columns(path, delimiter, Budget(options.max_values))
        values = {name: _numbers(cells, decimal) for name, cells in zip(names, columns, strict=True)}
        time_name = _time_name(path, names, options)
        rows = len(columns[0])
        start_ns, time_s = _times(path, time_name, columns[names.index(time_name)] if time_name else [], options, rows)
        signals = []
        for name, found in values.items():
            if name == time_name:
                continue
            cells = columns[names.index(name)]
            given = found[:, np.newaxis] if found is not None else cells
            if not any(cell.strip() for cell in cells):
                continue
            signals.append(RawSignal(name, time_s, given, (name,)))
        yield RawEpisode(path.name, tuple(signals), start_ns)


def _dialect(path: Path, options: Options) -> tuple[str, str]:
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        lines = [file.readline(MAX_FIELD) for _ in range(20)]
    delimiter = options.delimiter or max(_DELIMITERS, key=lambda mark: lines[0].count(mark))
    if options.decimal:
        return delimiter, options.decimal
    cells = [cell.strip() for line in lines[1:] for cell in line.split(delimiter)]
    commas = delimiter != "," and any(_DECIMAL.match(cell) for cell in cells)
    return delimiter, "," if commas else "."


def _columns(path: Path, delimiter: str, budget: Budget) -> tuple[tuple[str, ...], list[list[str]]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            csv.field_size_limit(MAX_FIELD)
            reader = csv.reader(file, delimiter=delimiter)
            heads = [cell.strip() for cell in next(reader, [])]
            if not heads or len(heads) > MAX_COLUMNS:
                raise ImportRefused(f"{path.name}: row 1: {len(heads)} columns; 1 to {MAX_COLUMNS} are read")
            columns: list[list[str]] = [[] for _ in heads]
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) > len(heads) and any(cell.strip() for cell in cells[len(heads) :]):
                    raise ImportRefused(
                        f"{path.name}: row {reader.line_num}: {len(cells)} cells under {len(heads)} names"
                    )
                budget.take(f"{path.name}: row {reader.line_num}", 1, len(heads))
                cells += [""] * (len(heads) - len(cells))
                for column, cell in zip(columns, cells, strict=False):
                    column.append(cell)
    except UnicodeDecodeError as error:
        raise ImportRefused(f"{path.name}: byte {error.start}: no UTF-8") from error
    except csv.Error as error:
        raise ImportRefused(f"{path.name}: row {reader.line_num}: {error}") from error
    if not columns[0]:
        raise ImportRefused(f"{path.name}: no rows")
    kept = [i for i, head in enumerate(heads) if head or any(cell.strip() for cell in columns[i])]
    return unique([heads[i] or f"column {i + 1}" for i in kept]), [columns[i] for i in kept]


def _numbers(cells: list[str], decimal: str) -> np.ndarray | None:
    """Return the cells as numbers, NaN where one is empty; None where one is no number."""
    values = np.empty(len(cells))
    for row, cell in enumerate(cells):
        word = cell.strip()
        if not word:
            values[row] = math.nan
            continue
        if word.lower() in _TRUTH:
            values[row] = _TRUTH[word.lower()]
            continue
        try:
            values[row] = float(word.replace(",", ".") if decimal == "," else word)
        except ValueError:
            return None
    return values


def _time_name(path: Path, names: tuple[str, ...], options: Options) -> str:
    if options.time_column:
        if options.time_column not in names:
            raise ImportRefused(
                f"{path.name}: no column {options.time_column!r} of times; there are {', '.join(names)}"
            )
        return options.time_column
    if options.rate_hz is not None:
        return ""
    found = next((name for name in names if _TIME_NAME.match(name)), "")
    if not found:
        raise ImportRefused(f"{path.name}: which column has the times? Say [time] column or rate_hz in a mapping")
    return found


def _times(path: Path, name: str, cells: list[str], options: Options, rows: int) -> tuple[int, np.ndarray]:
    """Return (wall clock of time 0 [ns] or 0, times [s])."""
    if not name:
        assert options.rate_hz is not None
        return 0, np.arange(rows) / options.rate_hz
    if options.time_unit == "iso8601" or not _is_number(cells[0]):
        stamps = np.array([_stamp(path, name, row, cell) for row, cell in enumerate(cells)], np.int64)
        return int(stamps[0]), (stamps - stamps[0]) * 1e-9
    unit = options.time_unit or ("ns" if name.endswith("_ns") or name == "%time" else "s")
    if unit not in TIME_UNITS:
        raise ImportRefused(f"{path.name}: [time] unit {unit!r}: one of {', '.join(TIME_UNITS)}, iso8601")
    numbers = _numbers(cells, ",") if "," in cells[0] else _numbers(cells, ".")
    if numbers is None or not np.isfinite(numbers).all():
        row = 0 if numbers is None else int(np.argmin(np.isfinite(numbers)))
        raise ImportRefused(f"{path.name}: {name}: row {row}: {cells[row]!r} is no time")
    if all(cell.strip().isdigit() for cell in cells) and unit == "ns":
        whole = np.array([int(cell) for cell in cells], np.int64)
        return int(whole[0]), (whole - whole[0]) * 1e-9
    seconds = numbers * TIME_UNITS[unit]
    # A second count from after 2001 is a wall clock; smaller ones count from the start of something.
    if seconds[0] > 1e9:
        return round(seconds[0] * 1e9), seconds - seconds[0]
    return 0, seconds


def _is_number(cell: str) -> bool:
    return _numbers([cell], "," if "," in cell else ".") is not None


def _stamp(path: Path, name: str, row: int, cell: str) -> int:
    word = cell.strip()
    for form in (None, "%m/%d/%Y %H:%M:%S.%f", "%m/%d/%Y %H:%M:%S"):
        try:
            moment = datetime.fromisoformat(word) if form is None else datetime.strptime(word, form)
        except ValueError:
            continue
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
    raise ImportRefused(f"{path.name}: {name}: row {row}: {word[:80]!r} is no time")


FORMAT = Delimited()
