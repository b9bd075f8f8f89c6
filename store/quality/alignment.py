"""Time alignment: streams at rates of their own against the joints, by their span and by what moves in them.

Kind: `misaligned`. A stream without a nominal rate comes when it comes, and is not looked at; nor are texts.
"""

from dataclasses import dataclass

import numpy as np

from store.episode import ACTION, STATE
from store.quality.finding import Finding, Track, TrackStream

_NEAR = 0.95
"""Of peaks that are nearly as high the one nearest to no shift counts: a gait repeats itself."""


@dataclass(frozen=True)
class AlignmentLimits:
    """Attributes:
    missing_s: Most by which a stream may begin after the joints, or end before them [s]: a sensor starts slowly.
    shift_s: Most shift of a stream against the joints [s]: two frames of a camera at 25 Hz.
    shift_window_s: Shifts are searched up to this [s] on both sides.
    correlation: Least correlation of the activities that is believed.
    gain: By how much the correlation must be better than without a shift.
    grid_hz: Activities are compared on this grid, or slower where a signal is.
    """

    missing_s: float = 0.5
    shift_s: float = 0.08
    shift_window_s: float = 1.0
    correlation: float = 0.6
    gain: float = 0.05
    grid_hz: float = 50.0


def check_alignment(track: Track, limits: AlignmentLimits) -> list[Finding]:
    """Return which streams do not fit the joints in time."""
    found = []
    start_s, end_s = float(track.time_s.min()), float(track.time_s.max())
    for name in sorted(track.streams):
        stream = track.streams[name]
        if not len(stream.time_s):
            continue
        slack_s = max(limits.missing_s, 2.5 / stream.rate_hz)
        first_s, last_s = float(stream.time_s.min()), float(stream.time_s.max())
        for missing_s, at, where in (
            (first_s - start_s, (start_s, first_s), "begins {:.3g} s after the joints"),
            (end_s - last_s, (last_s, end_s), "ends {:.3g} s before the joints"),
        ):
            if missing_s > slack_s:
                text = where.format(missing_s)
                found.append(Finding("misaligned", name, None, min(at), max(at), missing_s, text))
        shift_s = stream_shift_s(track, stream, limits)
        if shift_s is not None and abs(shift_s) > max(limits.shift_s, 1.5 / stream.rate_hz):
            side = "after" if shift_s > 0 else "before"
            text = f"what moves in it comes {abs(shift_s):.3g} s {side} the joints"
            found.append(Finding("misaligned", name, None, start_s, end_s, shift_s, text))
    return found


def stream_shift_s(track: Track, stream: TrackStream, limits: AlignmentLimits) -> float | None:
    """Return by how much a stream is late against the joints [s]; None where it cannot be told.

    The shift at which the activities (sums of the slopes' sizes, each column by its own spread) correlate best.
    """
    joints = next((track.signals[name] for name in (STATE, ACTION) if name in track.signals), None)
    rate_hz = min(limits.grid_hz, track.rate_hz, stream.rate_hz)
    begin_s = max(float(track.time_s.min()), float(stream.time_s.min()))
    end_s = min(float(track.time_s.max()), float(stream.time_s.max()))
    window = round(limits.shift_window_s * rate_hz)
    grid_s = np.arange(begin_s, end_s, 1.0 / rate_hz)
    # Fewer than four windows say nothing of a shift within one.
    if joints is None or window < 2 or len(grid_s) < 8 * window:
        return None
    one = _activity(track.time_s, joints, grid_s)
    two = _activity(stream.time_s, stream.values, grid_s)
    if one is None or two is None:
        return None
    size = 1 << (len(one) + window).bit_length()
    product = np.fft.irfft(np.fft.rfft(two, size) * np.conj(np.fft.rfft(one, size)), size) / len(one)
    around = np.concatenate((product[-window:], product[: window + 1]))
    best = float(around.max())
    if best < limits.correlation or best < around[window] + limits.gain:
        return 0.0 if best >= limits.correlation else None
    shifts = np.flatnonzero(around >= _NEAR * best) - window
    peak = int(shifts[np.abs(shifts).argmin()])
    # The nearest of the high places may be the slope of a peak: up to its top.
    while -window < peak < window and around[peak + window + np.sign(peak)] > around[peak + window]:
        peak += int(np.sign(peak)) or 1
    return peak / rate_hz


def _activity(time_s: np.ndarray, values: np.ndarray, grid_s: np.ndarray) -> np.ndarray | None:
    """Return how much moves on a grid, of mean 0 and deviation 1; None where nothing does."""
    times, first = np.unique(time_s, return_index=True)
    rows = np.nan_to_num(values[first].astype(np.float64), posinf=0.0, neginf=0.0)
    if len(times) < 2:
        return None
    total = np.zeros(len(grid_s) - 1)
    for column in range(rows.shape[1]):
        slopes = np.abs(np.diff(np.interp(grid_s, times, _smooth(rows[:, column], times))))
        if (spread := float(slopes.std())) > 1e-9:
            total += slopes / spread
    deviation = float(total.std())
    return (total - total.mean()) / deviation if deviation > 1e-9 else None


def _smooth(column: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return means over 0.1 s, so that a sensor's noise is no movement."""
    rows = max(1, round(0.1 / float(np.median(np.diff(times)))))
    padded = np.pad(column, (rows // 2, rows - 1 - rows // 2), mode="edge")
    return np.convolve(padded, np.ones(rows) / rows, "valid")
