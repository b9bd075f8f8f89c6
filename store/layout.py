"""How an episode lies in a file: one schema, shared by the recorder, the segment and the reader.

Parquet with one row group. `time_s` is float64, every signal a fixed-size list of float32, what a replay needs
is kept in full (float64 actions, 64-bit hashes of states); of these nothing is null. A camera's packets are binary, in
the rows of the steps that their frames belong to, and null in the others. The schema's metadata holds header and
outcome as canonical JSON.

Of several rates: each *track*, the joints' rows and each stream, has columns of its own, its times among them, which
start at the file's first row and are null from the track's end on. Row 7 of one track has nothing to do with row 7 of
another. Values are then lists of free length, of which a null one takes no room; all of a track have its width.
"""

from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]

from store import stream
from store.episode import BASE_POSE, BASE_POSE_NAMES, REPLAY_ACTION, REPLAY_STATE, TIME, EpisodeHeader
from store.errors import InvalidEpisode
from store.stream import TIME_SUFFIX

HEADER_KEY = b"palaestra.header"
OUTCOME_KEY = b"palaestra.outcome"


def schema_of(header: EpisodeHeader) -> pa.Schema:
    """Return the Arrow schema of an episode with this header, without metadata."""
    columns = [pa.field(TIME, pa.float64(), nullable=False)]
    for signal in header.signals:
        value = pa.field("element", pa.float32(), nullable=False)
        columns.append(pa.field(signal, pa.list_(value, header.width(signal)), nullable=False))
    if header.replay is not None:
        exact = pa.field("element", pa.float64(), nullable=False)
        columns.append(pa.field(REPLAY_ACTION, pa.list_(exact, len(header.joint_names)), nullable=False))
        columns.append(pa.field(REPLAY_STATE, pa.uint64(), nullable=False))
    columns += [pa.field(image, pa.binary()) for image in header.images]
    if not header.is_multi_rate:
        return pa.schema(columns)
    columns = [pa.field(column.name, _free(column.type)) for column in columns]
    for name, spec in header.streams.items():
        columns.append(pa.field(name + TIME_SUFFIX, pa.float64()))
        columns.append(pa.field(name, stream_type(spec)))
    return pa.schema(columns)


def _free(kind: pa.DataType) -> pa.DataType:
    return pa.list_(kind.value_field) if pa.types.is_fixed_size_list(kind) else kind


def stream_type(spec: stream.Stream) -> pa.DataType:
    """Return the Arrow type of a stream's values."""
    if spec.kind == stream.TEXT:
        return pa.string()
    value = pa.from_numpy_dtype(stream.DTYPES[spec.kind])
    return pa.list_(pa.field("element", value, nullable=False))


def tracks_of(header: EpisodeHeader) -> list[tuple[str, ...]]:
    """Return the names of the columns of each track, the joints' first, in the order of the file."""
    exact = (REPLAY_ACTION, REPLAY_STATE) if header.replay is not None else ()
    rows = [TIME, *header.signals, *exact, *header.images]
    return [tuple(rows), *((name + TIME_SUFFIX, name) for name in header.streams)]


def float_leaves(schema: pa.Schema) -> list[str]:
    """Return the paths of the columns whose bytes are worth to be split: those of floating-point numbers."""
    paths = []
    for column in schema:
        is_list = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
        if pa.types.is_floating(column.type.value_type if is_list else column.type):
            paths.append(f"{column.name}.list.element" if is_list else column.name)
    return paths


def column_of(values: np.ndarray | list[Any], kind: pa.DataType, rows: int) -> pa.Array:
    """Return a nullable column of `rows` rows that starts with `values` and is null from their end on.

    Args:
        values: Shape (n,) of a plain type, (n, width) of a list type, or n texts or packets; n is at most `rows`.
    """
    missing = rows - len(values)
    if isinstance(values, list) or values.ndim == 1:
        column = pa.array(values, type=kind)
        return pa.concat_arrays([column, pa.nulls(missing, kind)]) if missing else column
    offsets = np.minimum(np.arange(rows + 1), len(values)) * values.shape[1]
    if values.size > np.iinfo(np.int32).max:
        raise InvalidEpisode(f"rows: {values.size} values in one column: at most 2**31 - 1")
    mask = pa.array(np.arange(rows) >= len(values)) if missing else None
    flat = pa.array(values.reshape(-1))
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), flat, type=kind, mask=mask)


def check_block(
    header: EpisodeHeader,
    time_s: np.ndarray,
    signals: dict[str, np.ndarray],
    *,
    after_s: float,
    first_row: int,
) -> None:
    """Check that a block of rows is finite and that its clock runs forward.

    Args:
        time_s: Sample times [s], shape (rows,).
        signals: Values per signal, shape (rows, width).
        after_s: Time of the row before the block; the first time must be later.
        first_row: Number of the block's first row, for messages.

    Raises:
        InvalidEpisode: Names the signal, the row, the joint and the value.
    """
    if not np.isfinite(time_s).all():
        row = int(np.flatnonzero(~np.isfinite(time_s))[0])
        raise InvalidEpisode(f"{TIME}: row {first_row + row}: {time_s[row]} is not finite")
    if len(time_s) and not (time_s[0] > after_s and (time_s[1:] > time_s[:-1]).all()):
        row = int(np.flatnonzero(np.diff(time_s, prepend=after_s) <= 0)[0])
        before_s = time_s[row - 1] if row else after_s
        raise InvalidEpisode(f"{TIME}: row {first_row + row}: {time_s[row]} s does not follow {before_s} s")
    for signal, values in signals.items():
        if np.isfinite(values).all():
            continue
        row, column = (int(i) for i in np.argwhere(~np.isfinite(values))[0])
        names = _columns_of(header, signal)
        raise InvalidEpisode(f"{signal}: row {first_row + row}: {names[column]} is {values[row, column]}, not finite")


def _columns_of(header: EpisodeHeader, signal: str) -> tuple[str, ...]:
    if signal in header.sensor_widths:
        return tuple(f"reading {i}" for i in range(header.sensor_widths[signal]))
    return BASE_POSE_NAMES if signal == BASE_POSE else header.joint_names
