"""What a check sees and says: a track of signals, findings about it, and a record from which it can be repeated."""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from store.episode import TIME
from store.errors import InvalidEpisode
from store.reader import Episode


@dataclass(frozen=True)
class TrackStream:
    """A signal at a rate of its own: times [s], shape (rows,), values, shape (rows, width), and its nominal rate."""

    time_s: np.ndarray
    values: np.ndarray
    rate_hz: float


@dataclass(frozen=True)
class CameraTrack:
    """What the frames of one camera show, each looked at.

    Attributes:
        time_s: Time of each frame [s], shape (frames,), rising.
        shows: Number of the frame whose picture it shows again, its own if it is new, int64, shape (frames,).
        light: Mean brightness, 0 to 255, float32, shape (frames,); of a depth, 255 times the share that is known.
        spread: Standard deviation of the brightness over the picture's blocks, likewise; of a depth infinite.
        rate_hz: The nominal rate.
    """

    time_s: np.ndarray
    shows: np.ndarray
    light: np.ndarray
    spread: np.ndarray
    rate_hz: float


@dataclass(frozen=True)
class Track:
    """The signals of one episode as they came, good or bad: a sealed file cannot hold all that an import can.

    Attributes:
        time_s: Times [s], float64, shape (rows,); may fall.
        rate_hz: The rate that was promised.
        signals: Name to values, shape (rows, width), in the units of `store.episode`. Not-finite values are allowed.
        streams: Signals at rates of their own, on the same clock.
        cameras: What cameras show, by name, where somebody looked (`store.quality.cameras_of`).

    Raises:
        InvalidEpisode: no row, a rate that is not above 0, or a signal whose shape does not fit.
    """

    time_s: np.ndarray
    rate_hz: float
    signals: Mapping[str, np.ndarray]
    streams: Mapping[str, TrackStream] = field(default_factory=dict)
    cameras: Mapping[str, CameraTrack] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.time_s.ndim != 1 or not len(self.time_s):
            raise InvalidEpisode(f"{TIME}: shape {self.time_s.shape}; a track has times of shape (rows,), at least one")
        if not np.isfinite(self.time_s).all():
            raise InvalidEpisode(f"{TIME}: a time that is no finite number")
        if not 0 < self.rate_hz < np.inf:
            raise InvalidEpisode(f"rate_hz: {self.rate_hz}; a finite rate above 0")
        for name, values in self.signals.items():
            if values.ndim != 2 or len(values) != len(self.time_s):
                raise InvalidEpisode(f"{name}: shape {values.shape}; ({len(self.time_s)}, width) fits the times")

    @property
    def duration_s(self) -> float:
        """Time from the earliest to the latest sample [s], at least one period."""
        return max(float(np.ptp(self.time_s)), 1.0 / self.rate_hz)

    def sha256(self) -> str:
        """Return the hash of names, shapes and values (little-endian float64 times, float32 signals).

        Two tracks with one hash are exact duplicates, whatever their names, compression or metadata.
        """
        digest = hashlib.sha256(np.ascontiguousarray(self.time_s - self.time_s[0], "<f8").tobytes())
        for name in sorted(self.signals):
            values = np.ascontiguousarray(self.signals[name], "<f4")
            digest.update(f"{name}{values.shape}".encode())
            digest.update(values.tobytes())
        for name in sorted(self.streams):
            stream = self.streams[name]
            values = np.ascontiguousarray(stream.values, "<f4")
            digest.update(f"{name}{values.shape}@{stream.rate_hz!r}".encode())
            digest.update(np.ascontiguousarray(stream.time_s - self.time_s[0], "<f8").tobytes() + values.tobytes())
        for name in sorted(self.cameras):
            camera = self.cameras[name]
            digest.update(f"{name}@{camera.rate_hz!r}".encode())
            digest.update(np.ascontiguousarray(camera.time_s - self.time_s[0], "<f8").tobytes())
            digest.update(np.ascontiguousarray(camera.shows, "<i8").tobytes())
            digest.update(np.ascontiguousarray([camera.light, camera.spread], "<f4").tobytes())
        return digest.hexdigest()


def track_of(episode: Episode, cameras: Mapping[str, CameraTrack] | None = None) -> Track:
    """Return a sealed episode as a track. Texts, and streams that come when they come, are left out.

    cameras: What its cameras show, as `store.quality.cameras_of` says; None: they are not looked at.
    """
    streams = {}
    for name, described in episode.header.streams.items():
        rows = episode.streams.get(name)
        if rows is not None and described.rate_hz is not None and isinstance(rows.values, np.ndarray):
            values = rows.values.reshape(len(rows.time_s), -1)
            streams[name] = TrackStream(rows.time_s, values, described.rate_hz)
    return Track(episode.time_s, episode.header.sample_rate_hz, episode.signals, streams, cameras or {})


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and where.

    Attributes:
        kind: What, e.g. `gap`; the kinds of each step are in its module.
        signal, column: Which signal and which column of it; None where all are meant.
        start_s, end_s: From when to when, in the track's own times [s].
        amount: How much, in the unit that `text` says.
        text: The same for a person.
    """

    kind: str
    signal: str
    column: int | None
    start_s: float
    end_s: float
    amount: float
    text: str


@dataclass(frozen=True)
class StepRecord:
    """What a step did: the same inputs, code and parameters give the same findings.

    Attributes:
        step: Name of the step, which is also the name of the part of the score.
        input_sha256: `Track.sha256` of what was looked at.
        code_sha256: Hash of the source of the step's module.
        parameters: What the step was told, as plain JSON values.
        findings: What it found, in order of time.
    """

    step: str
    input_sha256: str
    code_sha256: str
    parameters: Mapping[str, Any]
    findings: tuple[Finding, ...]


Check = Callable[[Track, Any], Sequence[Finding]]


def run_step(step: str, check: Check, track: Track, limits: Any) -> StepRecord:
    """Run one pure check and record it.

    Args:
        step: Its name.
        check: A function of a module, of the track and its limits, that depends on nothing else.
        track: What to look at.
        limits: A dataclass of plain values.
    """
    source = sys.modules[check.__module__].__file__
    code_sha256 = hashlib.sha256(Path(source or "").read_bytes()).hexdigest()
    parameters = json.loads(json.dumps(asdict(limits)))
    found = tuple(sorted(check(track, limits), key=lambda f: (f.start_s, f.kind, f.signal, f.column or 0)))
    return StepRecord(step, track.sha256(), code_sha256, parameters, found)


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return [start, end) of every run of True in a mask of shape (rows,)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
