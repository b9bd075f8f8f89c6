"""How much of a recording is movement that was not there before: pure functions over the joints' path.

A path is the joints' mean over each eighth of a second: noise of single samples is gone, and rates do not matter. Two
windows of two seconds are near if their root mean square difference is at most a quarter of the smaller one's own
spread, but at least 0.02 rad: the measure by which the store calls whole episodes near duplicates
(`store.quality.duplicates`). Windows of what is new are compared with windows at every eighth of a second of what was
there, so that a piece is found wherever it was cut out, and so is a recording that repeats itself. A copy at another
speed is found as a whole, by its path over its own duration.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

BIN_HZ = 8
BIN_MS = 1000 // BIN_HZ
WINDOW = 16
"""Bins of a window: two seconds."""
SHARE, FLOOR_RAD = 0.25, 0.02
STILL_RAD = 0.01
"""Spread below which nothing moves."""
NOISE_SHARE = 2.0
"""Movement has at least so many times the spread of what is left when it is taken away; white noise has less."""
RECORDED_SHARE = 0.75
MAX_BINS = BIN_HZ * 86_400
POINTS = 64
_QUERIES, _CHUNK, _EXACT = 256, 32_768, 512


@dataclass(frozen=True)
class Sketch:
    """Attributes:
    path: float32, (bins, joints): mean position [rad] in each bin.
    residual: float32, (bins,): root mean square of the samples about the path [rad].
    recorded: bool, (bins,): whether any sample fell into the bin.
    """

    path: np.ndarray
    residual: np.ndarray
    recorded: np.ndarray


def sketch_of(time_s: np.ndarray, values: np.ndarray) -> Sketch:
    """Return the sketch of a joint signal.

    Args:
        time_s: Not falling, shape (rows,), at least one.
        values: Positions [rad], shape (rows, joints).

    Raises ValueError for a recording of more than a day.
    """
    at = np.asarray(time_s, np.float64) - time_s[0]
    bins = np.floor(at * BIN_HZ + 1e-6).astype(np.int64)
    count = int(bins[-1]) + 1
    if count > MAX_BINS:
        raise ValueError("a recording of more than a day")
    samples = np.nan_to_num(np.asarray(values, np.float64), posinf=0.0, neginf=0.0)
    held = np.bincount(bins, minlength=count)
    recorded = held > 0
    full = np.maximum(held, 1)
    centres = (np.bincount(bins, at, count) / full)[recorded]
    known = np.flatnonzero(recorded)
    path = np.empty((count, samples.shape[1]))
    left = np.zeros(count)
    for joint in range(samples.shape[1]):
        mean = (np.bincount(bins, samples[:, joint], count) / full)[recorded]
        path[:, joint] = np.interp(np.arange(count), known, mean)
        left += np.bincount(bins, (samples[:, joint] - np.interp(at, centres, mean)) ** 2, count)
    residual = np.sqrt(left / (full * max(1, samples.shape[1])))
    return Sketch(path.astype(np.float32), residual.astype(np.float32), recorded)


def novel_bins(one: Sketch, pool: Iterable[np.ndarray]) -> int:
    """Return how many bins of a recording count: they move, and are near nothing in the pool nor earlier in itself.

    Args:
        pool: Paths of what was there before, shape (bins, joints) each; those with other joints are passed over.
    """
    path = one.path
    if len(path) < WINDOW or not path.shape[1]:
        return 0
    starts = np.arange(0, len(path) - WINDOW + 1, WINDOW)
    widths = np.full(len(starts), WINDOW)
    if rest := len(path) % WINDOW:
        # The end is looked at as a whole window, and counts for its rest alone.
        starts, widths = np.append(starts, len(path) - WINDOW), np.append(widths, rest)
    fresh = _moves(one)[starts]
    for other in pool:
        if not fresh.any():
            return 0
        if other.shape[1] != path.shape[1]:
            continue
        if _same_course(path, other):
            return 0
        fresh[fresh] = ~_near(path, starts[fresh], other)
    if fresh.any():
        fresh[fresh] = ~_near(path, starts[fresh], path, own=True)
    return int(widths[fresh].sum())


def _moves(one: Sketch) -> np.ndarray:
    """Return for each window whether it is movement, recorded without large gaps, shape (windows,)."""
    _, spread = _windows(one.path)
    noise = np.sqrt(_means(one.residual.astype(np.float64)[:, None] ** 2)[:, 0])
    recorded = _means(one.recorded.astype(np.float64)[:, None])[:, 0]
    moves: np.ndarray = (spread >= STILL_RAD) & (spread >= NOISE_SHARE * noise) & (recorded >= RECORDED_SHARE - 1e-9)
    return moves


def _means(values: np.ndarray) -> np.ndarray:
    """Return the mean of each window, shape (windows, columns), float64."""
    total = np.cumsum(np.vstack([np.zeros((1, values.shape[1])), values.astype(np.float64)]), axis=0)
    means: np.ndarray = (total[WINDOW:] - total[:-WINDOW]) / WINDOW
    return means


def _windows(path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (mean of each window, (windows, joints); spread of each [rad], (windows,))."""
    centred = path.astype(np.float64) - path.mean(axis=0)
    means, squares = _means(centred), _means(centred**2)
    spread = np.sqrt(np.maximum(squares - means**2, 0.0).mean(axis=1))
    return means + path.mean(axis=0), spread


def _near(path: np.ndarray, starts: np.ndarray, other: np.ndarray, *, own: bool = False) -> np.ndarray:
    """Return for each window of a path whether another path has one that is near, shape (len(starts),).

    The distance of the windows' means is never more than that of the windows, so that most are ruled out by it.

    Args:
        own: The other path is the same one: only windows before one's own begin count.
    """
    found = np.zeros(len(starts), bool)
    if len(other) < WINDOW:
        return found
    means, spreads = _windows(path)
    there, there_spreads = (means, spreads) if own else _windows(other)
    middle = there.mean(axis=0)
    views = np.lib.stride_tricks.sliding_window_view(other, WINDOW, axis=0)
    for first in range(0, len(starts), _QUERIES):
        some = starts[first : first + _QUERIES]
        ours = (means[some] - middle).astype(np.float32)
        for begin in range(0, len(there), _CHUNK):
            theirs = (there[begin : begin + _CHUNK] - middle).astype(np.float32)
            square = (ours**2).sum(axis=1)[:, None] + (theirs**2).sum(axis=1)[None, :] - 2.0 * (ours @ theirs.T)
            limit = _limits(spreads[some][:, None], there_spreads[None, begin : begin + _CHUNK])
            close = square / path.shape[1] <= limit**2 + 1e-4
            if own:
                close &= np.arange(begin, begin + len(theirs))[None, :] <= some[:, None] - WINDOW
            for row in np.flatnonzero(close.any(axis=1) & ~found[first : first + len(some)]):
                window = path[some[row] : some[row] + WINDOW].T
                at = np.flatnonzero(close[row]) + begin
                found[first + row] = any(
                    _is_near(window, spreads[some[row]], views[part], there_spreads[part])
                    for part in (at[k : k + _EXACT] for k in range(0, len(at), _EXACT))
                )
    return found


def _is_near(window: np.ndarray, spread: float, others: np.ndarray, spreads: np.ndarray) -> bool:
    distance = np.sqrt(((others - window) ** 2).mean(axis=(1, 2)))
    return bool((distance <= _limits(np.asarray(spread), spreads)).any())


def _limits(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    limits: np.ndarray = np.maximum(SHARE * np.minimum(one, other), FLOOR_RAD)
    return limits


def _same_course(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether two paths are near over their own durations: copies at another speed."""
    if min(len(one), len(other)) < WINDOW:
        return False
    a, b = _resampled(one), _resampled(other)
    spreads = [float(np.sqrt(((path - path.mean(axis=0)) ** 2).mean())) for path in (a, b)]
    return bool(np.sqrt(((a - b) ** 2).mean()) <= max(SHARE * min(spreads), FLOOR_RAD))


def _resampled(path: np.ndarray) -> np.ndarray:
    at = np.linspace(0, len(path) - 1, POINTS)
    low = np.minimum(at.astype(int), len(path) - 2)
    part = (at - low)[:, None]
    resampled: np.ndarray = path[low] * (1 - part) + path[low + 1] * part
    return resampled
