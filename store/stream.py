"""Signals at rates of their own: what an episode holds beside the rows of its joints.

An IMU at 1 kHz, a wrench at 200 Hz, depth at 10 Hz, subtasks and faults whenever they come: each is a *stream* with its
own times. Raw rates stay raw; who needs even steps resamples on the way out (`store.steps`).
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from store.errors import InvalidEpisode

MAX_STREAMS = 64
MAX_WIDTH = 1 << 20
"""Most values of one row: a depth image of 1,024 x 1,024."""
MAX_WORDS = 2_000
"""Most characters of one text of a stream."""
MAX_NAME = 255

TEXT = "text"
DTYPES: Mapping[str, Any] = {"float32": np.float32, "float64": np.float64, "int64": np.int64, "uint16": np.uint16}
KINDS = (*DTYPES, TEXT)
TIME_SUFFIX = "/time_s"
"""A stream's times are the column of its name with this behind; no name has a slash."""

IMU = "observation.imu"
"""Acceleration (x, y, z) [m/s^2], then angular velocity (x, y, z) [rad/s], in the sensor's frame."""
WRENCH = "observation.wrench"
"""Force (x, y, z) [N], then torque (x, y, z) [N m], in the sensor's frame."""
CONTACT = "observation.contact"
DEPTH = "observation.depth"
SUBTASK = "language.subtask"
FAULT = "event.fault"

_RESERVED = ("observation.state", "observation.velocity", "observation.effort", "observation.base_pose")
_SENSOR = "observation.sensor."
_IMAGES = "observation.images."


@dataclass(frozen=True)
class Stream:
    """What one stream is.

    Attributes:
        unit: Unit of measure, SI; `1` for what has none, `text` for texts.
        frame: In what frame the values are: a site, a body, `world`; of texts `episode`.
        width: Values of one row; 1 for texts.
        kind: One of `KINDS`.
        rate_hz: Its nominal rate; None for what comes when it comes.
    """

    unit: str
    frame: str
    width: int = 1
    kind: str = "float32"
    rate_hz: float | None = None

    @property
    def row_values(self) -> int:
        """How many float32 values one row counts as, its time included."""
        if self.kind == TEXT:
            return 2 + MAX_WORDS // 4
        return 2 + -(-self.width * int(np.dtype(DTYPES[self.kind]).itemsize) // 4)


def checked_streams(streams: object) -> dict[str, Stream]:
    """Return the streams of a header, sorted by name. Raises InvalidEpisode, which names the stream and the rule."""
    if not isinstance(streams, Mapping) or len(streams) > MAX_STREAMS:
        raise InvalidEpisode(f"streams: {str(streams)[:200]}: a mapping from name to stream, of up to {MAX_STREAMS}")
    return {name: _checked(name, streams[name]) for name in sorted(streams, key=str)}


def _checked(name: object, given: object) -> Stream:
    place = f"streams[{str(name)[:MAX_NAME]}]"
    if not isinstance(name, str) or len(name) > MAX_NAME or not re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+", name):
        raise InvalidEpisode(f"{place}: small letters, digits and _, in at least two parts with a dot between")
    if name in _RESERVED or name.startswith((_SENSOR, _IMAGES, "replay.")):
        raise InvalidEpisode(f"{place}: this name is one of the joints' rows")
    if isinstance(given, Mapping):
        unknown = sorted(set(given) - {field.name for field in fields(Stream)}, key=str)
        if unknown or not {"unit", "frame"} <= set(given):
            raise InvalidEpisode(f"{place}: {unknown or sorted(given)}: unit and frame, and no unknown field")
        given = Stream(**given)
    if not isinstance(given, Stream):
        raise InvalidEpisode(f"{place}: {str(given)[:200]}: a stream")
    for field, value in (("unit", given.unit), ("frame", given.frame)):
        if not isinstance(value, str) or not value.strip() or len(value) > MAX_NAME or not value.isprintable():
            raise InvalidEpisode(f"{place}.{field}: {value!r}: text of 1 to {MAX_NAME} characters")
    if given.kind not in KINDS:
        raise InvalidEpisode(f"{place}.kind: {given.kind!r}: one of {', '.join(KINDS)}")
    if type(given.width) is not int or not 1 <= given.width <= (1 if given.kind == TEXT else MAX_WIDTH):
        raise InvalidEpisode(f"{place}.width: {given.width!r}: an integer from 1 to {MAX_WIDTH}, 1 for texts")
    rate_hz = given.rate_hz
    if rate_hz is not None:
        if type(rate_hz) not in (int, float) or not (math.isfinite(rate_hz) and 0 < rate_hz <= 1e6):
            raise InvalidEpisode(f"{place}.rate_hz: {rate_hz!r}: a rate above 0 and up to 1e6 Hz, or None")
        rate_hz = float(rate_hz)
    return Stream(given.unit, given.frame, given.width, given.kind, rate_hz)


def checked_rows(name: str, stream: Stream, time_s: Any, values: Any, *, after_s: float, first_row: int) -> Any:
    """Return (times, values) as they are stored: float64 of shape (rows,), and (rows, width) or a list of texts.

    Args:
        after_s: Time [s] of the row before; the first one may not be earlier.
        first_row: Number of the first row, for messages.

    Raises:
        InvalidEpisode: A wrong shape or type, a time or value that is not finite, a clock that runs backwards, a number
            that the stream's kind cannot hold. It names the stream and the row. Rows of one time are allowed:
            several events may come at once.
    """
    times = np.array(time_s, np.float64)
    if times.ndim != 1:
        raise InvalidEpisode(f"{name}: time of shape {times.shape}: a vector")
    wrong = np.flatnonzero(~np.isfinite(times))
    if wrong.size:
        raise InvalidEpisode(f"{name}: row {first_row + wrong[0]}: time {times[wrong[0]]} is not finite")
    wrong = np.flatnonzero(np.diff(times, prepend=after_s) < 0)
    if wrong.size:
        row = int(wrong[0])
        before_s = times[row - 1] if row else after_s
        raise InvalidEpisode(f"{name}: row {first_row + row}: {times[row]} s comes before {before_s} s")
    if stream.kind == TEXT:
        return times, _texts(name, values, len(times), first_row)
    shape = (len(times), stream.width)
    if np.shape(values) != shape:
        raise InvalidEpisode(f"{name}: shape {np.shape(values)} instead of {shape}")
    given, dtype = np.asarray(values), np.dtype(DTYPES[stream.kind])
    if given.dtype.kind not in "fiub":
        raise InvalidEpisode(f"{name}: values of type {given.dtype}: numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        rows = np.array(given, dtype)
    lost = ~np.isfinite(rows) if dtype.kind == "f" else rows != given
    if lost.any():
        row, column = (int(i) for i in np.argwhere(lost)[0])
        raise InvalidEpisode(
            f"{name}: row {first_row + row}: value {column} is {given[row, column]}, no finite {stream.kind}"
        )
    return times, rows


def _texts(name: str, values: Any, rows: int, first_row: int) -> list[str]:
    if isinstance(values, str) or len(values) != rows:
        raise InvalidEpisode(f"{name}: {len(values)} texts instead of {rows}")
    for row, text in enumerate(values):
        if not isinstance(text, str) or len(text) > MAX_WORDS or any(0xD800 <= ord(c) <= 0xDFFF for c in text):
            raise InvalidEpisode(f"{name}: row {first_row + row}: {str(text)[:80]!r}: text of up to {MAX_WORDS}")
    return list(values)
