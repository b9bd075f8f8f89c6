"""Who a copy came from: the marks of all recipients are held against what the copy differs by from the recording.

A leaked table is first laid over the recording it came from, by its values alone, wherever it begins, however it was
thinned and however its columns of time were changed. What is left, leaked minus recorded, is noise of the leaker's and
a mark of plus and minus `marks.AMPLITUDE`. For each recipient the statistic

    z = sum(left * mark) / sqrt(sum(left^2) * sum(mark^2) / n)

is, for one who had nothing to do with it, normal with deviation 1 (its signs are independent of all else), and for the
source grows as sqrt(n) * amplitude / noise. Of several who mixed their copies each is found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sharing.projection import marks

FOUND_Z = 6.0
"""From here on a recipient is named. Of 50 innocents one reaches it in 2 of 10^8 traces (normal distribution)."""
_PROBES, _CLIP, _FIT_ROWS = 48, 4.0, 400
_NEAR = 0.25
"""How far off, in deviations of the recording, rows may be that are taken for the same."""


@dataclass(frozen=True)
class Recording:
    """A recording that a leak may have come from: its hash, its times [s] and its signals, (rows, width) each."""

    sha256: str
    time_s: np.ndarray
    signals: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Leak:
    """A run of rows of a leaked table: signals by the names of their columns, (rows, width) each."""

    signals: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Suspect:
    """How strongly a recipient's marks are in the leak."""

    agreement: str
    z: float

    @property
    def found(self) -> bool:
        """Whether it is named."""
        return self.z >= FOUND_Z


@dataclass
class Score:
    """Sums over all that was laid over one another."""

    product: np.ndarray
    power: np.ndarray
    rows: int = 0

    @classmethod
    def of(cls, recipients: int) -> "Score":
        """Return sums of nothing."""
        return cls(np.zeros(recipients), np.zeros(recipients))

    def z(self) -> np.ndarray:
        """Return z of each recipient."""
        found: np.ndarray = self.product / np.sqrt(np.maximum(self.power, 1e-30))
        return found


def add(score: Score, leak: Leak, recordings: Sequence[Recording], keys: Sequence[bytes]) -> str | None:
    """Lay a leak over the recording that it came from, and add it to the score of each key.

    Returns the recording's hash; None where none fits, and nothing is added.
    """
    best: tuple[float, Recording, np.ndarray] | None = None
    for recording in recordings:
        common = _common(leak, recording)
        if not common:
            continue
        found = _laid(leak, recording, common[0])
        if found is not None and (best is None or found[0] < best[0]):
            best = found[0], recording, found[1]
    if best is None:
        return None
    _, recording, places = best
    for column in _common(leak, recording):
        left = leak.signals[column].astype(np.float64) - _at(recording.signals[column], places)
        left = _clean(left)
        for index, key in enumerate(keys):
            signs = marks.pattern(key, recording.sha256, column, *recording.signals[column].shape)
            mark = _at(signs, places)
            mark -= mark.mean(axis=0)
            score.product[index] += float((left * mark).sum())
            score.power[index] += float((left**2).mean() * (mark**2).sum())
    score.rows += len(places)
    return recording.sha256


def suspects(score: Score, agreements: Sequence[str]) -> list[Suspect]:
    """Return all, the most suspect first."""
    found = [Suspect(agreement, float(z)) for agreement, z in zip(agreements, score.z(), strict=True)]
    return sorted(found, key=lambda one: -one.z)


def _common(leak: Leak, recording: Recording) -> list[str]:
    return [
        column
        for column in marks.MARKED
        if column in leak.signals
        and column in recording.signals
        and leak.signals[column].shape[1] == recording.signals[column].shape[1]
    ]


def _laid(leak: Leak, recording: Recording, column: str) -> tuple[float, np.ndarray] | None:
    """Return (how far off it is, in deviations, the place of each leaked row in rows of the recording), if it fits."""
    leaked, recorded = leak.signals[column].astype(np.float64), recording.signals[column].astype(np.float64)
    scale = np.maximum(recorded.std(axis=0), 1e-6)
    leaked, recorded = leaked / scale, recorded / scale
    probes = np.unique(np.linspace(0, len(leaked) - 1, _PROBES).astype(int))
    rows, away = _nearest(leaked[probes], recorded)
    if np.median(away) > _NEAR:
        return None
    if len(leaked) > _PROBES:
        probes = np.unique(np.linspace(0, len(leaked) - 1, _FIT_ROWS).astype(int))
        rows, _ = _nearest(leaked[probes], recorded)
    slope, begin = _line(probes, rows)
    best: tuple[float, np.ndarray] | None = None
    # Whole rows where it was thinned by a whole number, or not at all; the line itself where it was resampled.
    for one_slope in dict.fromkeys((max(1, round(slope)), slope)):
        shift = begin if one_slope == slope else float(np.median(rows - one_slope * probes))
        whole = one_slope == round(one_slope)
        for offset in (-1.0, 0.0, 1.0) if whole else (-0.5, -0.25, 0.0, 0.25, 0.5):
            start = round(shift) + offset if whole else shift + offset
            places = np.clip(start + one_slope * np.arange(len(leaked)), 0, len(recorded) - 1)
            off = float(np.median(np.abs(leaked - _at(recorded, places))))
            if best is None or off < best[0]:
                best = off, places
    assert best is not None
    return best if best[0] <= _NEAR else None


def _nearest(rows: np.ndarray, recorded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each row the number of the nearest recorded one, and how far it is (root of the mean square)."""
    squares = (recorded**2).sum(axis=1) - 2.0 * rows @ recorded.T
    found = squares.argmin(axis=1)
    away = squares[np.arange(len(rows)), found] + (rows**2).sum(axis=1)
    return found, np.sqrt(np.maximum(away, 0.0) / rows.shape[1])


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return (slope, value at 0) by medians (Theil and Sen): half of the points may be wrong."""
    if len(x) < 2:
        return 1.0, float(y[0])
    half = len(x) // 2
    slope = float(np.median((y[half:] - y[: len(y) - half]) / (x[half:] - x[: len(x) - half])))
    slope = max(slope, 1e-3)
    return slope, float(np.median(y - slope * x))


def _at(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return rows at places between rows, linearly."""
    low = np.floor(places).astype(int)
    part = (places - low)[:, None]
    if not part.any():
        exact: np.ndarray = values[low].astype(np.float64)
        return exact
    high = np.minimum(low + 1, len(values) - 1)
    between: np.ndarray = (1.0 - part) * values[low] + part * values[high]
    return between


def _clean(left: np.ndarray) -> np.ndarray:
    """Return what is left without its mean, and with single rows that fit badly cut to a few deviations."""
    left = left - np.median(left, axis=0)
    bound = _CLIP * 1.4826 * np.median(np.abs(left), axis=0) + 1e-9
    clean: np.ndarray = np.clip(left, -bound, bound)
    return clean
