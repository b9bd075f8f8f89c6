"""How an episode lies in a file: one schema, shared by the recorder and the reader.

Parquet with one row group. `time_s` is float64, every signal a fixed-size list of float32, what a replay needs
is kept in full (float64 actions, 64-bit hashes of states); of these nothing is null. A camera's packets are binary, in
the rows of the steps that their frames belong to, and null in the others. The schema's metadata holds header and
outcome as canonical JSON.
"""

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]

from store.episode import BASE_POSE, BASE_POSE_NAMES, REPLAY_ACTION, REPLAY_STATE, TIME, EpisodeHeader
from store.errors import InvalidEpisode

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
    return pa.schema(columns)


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
    wrong = np.flatnonzero(~np.isfinite(time_s))
    if wrong.size:
        raise InvalidEpisode(f"{TIME}: row {first_row + wrong[0]}: {time_s[wrong[0]]} is not finite")
    wrong = np.flatnonzero(np.diff(time_s, prepend=after_s) <= 0)
    if wrong.size:
        row = int(wrong[0])
        before_s = time_s[row - 1] if row else after_s
        raise InvalidEpisode(f"{TIME}: row {first_row + row}: {time_s[row]} s does not follow {before_s} s")
    for signal, values in signals.items():
        # The sum of finite float32 values in float64 is finite: one pass over the common case.
        if np.isfinite(values.sum(dtype=np.float64)):
            continue
        row, column = (int(i) for i in np.argwhere(~np.isfinite(values))[0])
        names = _columns_of(header, signal)
        raise InvalidEpisode(f"{signal}: row {first_row + row}: {names[column]} is {values[row, column]}, not finite")


def _columns_of(header: EpisodeHeader, signal: str) -> tuple[str, ...]:
    if signal in header.sensor_widths:
        return tuple(f"reading {i}" for i in range(header.sensor_widths[signal]))
    return BASE_POSE_NAMES if signal == BASE_POSE else header.joint_names
