"""What of an episode goes into a cache, and how: a pure function from an episode to columns.

A *view* names signals and, perhaps, one rate. Without a rate each track keeps its own rows: the joints theirs, each
stream its own. With one, all numbers are brought to the joints' even steps by a recorded method, and where a stream has
nothing to tell of a step, the step is marked as missing. Cameras keep their frames either way.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from store.camera import H264, IMAGE_PREFIX
from store.episode import EpisodeHeader
from store.errors import WindowsRefused
from store.reader import CameraFrames, Episode
from store.steps import METHODS, SNAP_S, resample, step_times
from store.stream import TEXT

VERSION = 1
"""Of the files of a cache and of what is in them; part of its key."""
STEPS = "steps"
"""The track that windows are anchored in: the joints' rows, or the even steps."""
AT, VALID, TIME_S = ".at", ".valid", ".time_s"
"""Behind a track's name: which of its rows is the last at each step; whether it tells anything of a step; times."""
OFFSET, KEY, PACKETS = ".offset", ".key", ".packets"
"""Of a camera: where each frame's packet starts, from which frame on it can be decoded, and the packets."""
MAX_RATE_HZ = 1e4


@dataclass(frozen=True)
class View:
    """What a cache holds.

    Attributes:
        signals: Names of the joints' signals and of streams; empty: all numeric ones of the first episode.
        rate_hz: Even steps of this rate; None: rows as they were recorded.
        cameras: Names of cameras.
    """

    signals: tuple[str, ...] = ()
    rate_hz: float | None = None
    cameras: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("signals", "cameras"):
            given = getattr(self, name)
            if isinstance(given, str) or not all(isinstance(one, str) for one in given):
                raise WindowsRefused(f"{name}: {given!r}: a list of names")
            object.__setattr__(self, name, tuple(dict.fromkeys(given)))
        if self.rate_hz is not None:
            if not (math.isfinite(self.rate_hz) and 0 < self.rate_hz <= MAX_RATE_HZ):
                raise WindowsRefused(f"rate_hz: {self.rate_hz!r}: above 0 and up to {MAX_RATE_HZ:g}")
            object.__setattr__(self, "rate_hz", float(self.rate_hz))

    def for_body(self, header: EpisodeHeader) -> "View":
        """Return the view with its signals named, as the first episode has them. Raises WindowsRefused."""
        numeric = [name for name, stream in header.streams.items() if stream.kind != TEXT]
        return View(self.signals or (*header.signals, *numeric), self.rate_hz, self.cameras)

    def methods(self, header: EpisodeHeader) -> dict[str, str]:
        """Return how each signal is brought to even steps; empty without a rate."""
        if self.rate_hz is None:
            return {}
        return {name: METHODS.get(name) or _stream_method(header, name) for name in self.signals}

    def key(self, digests: Sequence[str]) -> str:
        """Return the name of the cache of these episodes, in this order: the hash of all that decides what it holds."""
        said = {
            "version": VERSION,
            "episodes": list(digests),
            "signals": list(self.signals),
            "cameras": list(self.cameras),
            "rate_hz": self.rate_hz,
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Column:
    """One column of a cache: its name, the track whose rows it has, its type and the width of a row (0: a number)."""

    name: str
    track: str
    dtype: str
    width: int


@dataclass(frozen=True)
class Body:
    """What all episodes of a cache share: joints, and what each signal is."""

    joint_names: tuple[str, ...]
    signals: dict[str, Any]
    cameras: dict[str, Any]

    @classmethod
    def of(cls, header: EpisodeHeader, view: View) -> "Body":
        """Return what an episode has of the view. Raises WindowsRefused, naming what it has not."""
        known: dict[str, Any] = {
            name: {"unit": header.units[name], "width": header.width(name), "kind": "float32"}
            for name in header.signals
        }
        for name, stream in header.streams.items():
            if stream.kind != TEXT:
                known[name] = {"unit": stream.unit, "width": stream.width, "kind": stream.kind, "stream": True}
        if missing := [name for name in view.signals if name not in known]:
            raise WindowsRefused(f"episode {header.name} has no {', '.join(missing)}; it has {', '.join(known)}")
        if missing := [name for name in view.cameras if name not in header.cameras]:
            have = ", ".join(header.cameras) or "none"
            raise WindowsRefused(f"episode {header.name} has no camera {', '.join(missing)}; it has {have}")
        cameras = {name: header.cameras[name] for name in view.cameras}
        shapes = {
            name: {"shape": list(c.frame_shape), "codec": c.codec, "rate_hz": c.rate_hz} for name, c in cameras.items()
        }
        return cls(header.joint_names, {name: known[name] for name in view.signals}, shapes)

    def check(self, header: EpisodeHeader, view: View) -> None:
        """Check that another episode has the same. Raises WindowsRefused, naming the episode and what differs."""
        other = Body.of(header, view)
        if other.joint_names != self.joint_names:
            raise WindowsRefused(f"episode {header.name} has other joints than the first: {_differing(self, other)}")
        for what, ours, theirs in (("signal", self.signals, other.signals), ("camera", self.cameras, other.cameras)):
            for name, said in ours.items():
                if theirs[name] != said:
                    raise WindowsRefused(f"episode {header.name}: {what} {name} is {theirs[name]}, of the first {said}")


def columns_of(view: View, body: Body) -> list[Column]:
    """Return the columns of a cache, in the order of filling. Raises WindowsRefused for one name twice."""
    columns = [Column("time_s", STEPS, "<f8", 0)]
    for name, said in body.signals.items():
        dtype, width = np.dtype(said["kind"]).newbyteorder("<").str, said["width"]
        if "stream" not in said:
            columns.append(Column(name, STEPS, dtype, width))
        elif view.rate_hz is None:
            columns += [Column(name, name, dtype, width), Column(name + TIME_S, name, "<f8", 0)]
            columns.append(Column(name + AT, STEPS, "<i8", 0))
        else:
            kept = "<f4" if said["kind"].startswith("float") else dtype
            columns += [Column(name, STEPS, kept, width), Column(name + VALID, STEPS, "|b1", 0)]
    for camera in body.cameras:
        name = IMAGE_PREFIX + camera
        columns += [Column(name + AT, STEPS, "<i8", 0), Column(name + TIME_S, name, "<f8", 0)]
        columns += [Column(name + part, name, "<i8", 0) for part in (OFFSET, KEY)]
        columns.append(Column(name + PACKETS, name + PACKETS, "|u1", 0))
    if twice := [name for name, times in Counter(column.name for column in columns).items() if times > 1]:
        raise WindowsRefused(f"signals: {twice[0]} is also what is kept beside another signal: leave one of them out")
    return columns


def tracks_of(columns: Sequence[Column]) -> list[str]:
    """Return the tracks of columns, that of the steps first."""
    return list(dict.fromkeys([STEPS, *(column.track for column in columns)]))


def rows_of(
    view: View, body: Body, episode: Episode, cameras: dict[str, CameraFrames], first: dict[str, int]
) -> dict[str, np.ndarray]:
    """Return the rows of an episode for each column.

    Args:
        cameras: What the view's cameras recorded.
        first: How many rows of each track the episodes before had; what points at rows counts from the first episode.
    """
    at_s = episode.time_s if view.rate_hz is None else step_times(episode.time_s, view.rate_hz)
    rows: dict[str, np.ndarray] = {"time_s": at_s}
    for name, said in body.signals.items():
        if "stream" not in said:
            values = episode.signals[name]
            rows[name] = values if view.rate_hz is None else resample(name, episode.time_s, values, at_s)
            continue
        stream = episode.streams[name]
        if view.rate_hz is None:
            rows |= {name: stream.values, name + TIME_S: stream.time_s}
            rows[name + AT] = first[name] + _last_at(stream.time_s, at_s)
        else:
            rows[name], rows[name + VALID] = _stepped(name, stream.time_s, stream.values, at_s)
    for camera, frames in cameras.items():
        name = IMAGE_PREFIX + camera
        sizes = np.array([len(packet) for packet in frames.packets], np.int64)
        rows[name + AT] = first[name] + _last_at(frames.time_s, at_s)
        rows[name + TIME_S] = frames.time_s
        rows[name + OFFSET] = first[name + PACKETS] + np.cumsum(sizes) - sizes
        rows[name + KEY] = first[name] + keyframes(frames)
        rows[name + PACKETS] = np.frombuffer(b"".join(frames.packets), np.uint8)
    return rows


def keyframes(frames: CameraFrames) -> np.ndarray:
    """Return for each frame the latest one, up to itself, from which it can be decoded; int64, shape (frames,)."""
    if frames.stream.codec != H264:
        return np.arange(len(frames.packets))
    starts = np.array([_starts_anew(packet) for packet in frames.packets], bool)
    starts[:1] = True
    return np.maximum.accumulate(np.where(starts, np.arange(len(starts)), 0))


def _starts_anew(packet: bytes) -> bool:
    """Whether an H.264 packet (Annex B) holds an IDR picture: a unit of type 5 (ITU-T H.264, 7.4.1, table 7-1)."""
    place = packet.find(b"\x00\x00\x01")
    while 0 <= place < len(packet) - 3:
        kind = packet[place + 3] & 0x1F
        if kind in (1, 5):
            return kind == 5
        place = packet.find(b"\x00\x00\x01", place + 3)
    return False


def _last_at(time_s: np.ndarray, at_s: np.ndarray) -> np.ndarray:
    """Return the number of the last row at or before each time, -1 where there is none."""
    return np.searchsorted(time_s, at_s + SNAP_S, side="right").astype(np.int64) - 1


def _stream_method(header: EpisodeHeader, name: str) -> str:
    kind = header.streams[name].kind if name in header.streams else "float32"
    return "linear" if kind.startswith("float") else "hold"


def _stepped(name: str, time_s: np.ndarray, values: np.ndarray, at_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a stream's values at even steps, and where it has any: linear between two samples, else the last one."""
    is_float = values.dtype.kind == "f"
    if not len(time_s):
        return np.zeros((len(at_s), values.shape[1]), np.float32 if is_float else values.dtype), np.zeros(
            len(at_s), bool
        )
    valid = at_s >= time_s[0]
    if not is_float:
        return values[np.maximum(_last_at(time_s, at_s), 0)], valid
    valid &= at_s <= time_s[-1]
    return resample(name, time_s, values, np.clip(at_s, time_s[0], time_s[-1])), valid


def _differing(one: Body, other: Body) -> str:
    only = [name for name in other.joint_names if name not in one.joint_names]
    missing = [name for name in one.joint_names if name not in other.joint_names]
    return f"{', '.join(only[:5]) or 'none'} more, {', '.join(missing[:5]) or 'none'} less, or another order"
