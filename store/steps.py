"""The even step view of an episode: raw rows at the robot's rate become steps at `fps`.

Pure functions. There is no filter before the reduction of the rate: what is faster than half of `fps` folds
into the view. Raw rates stay in the store; who needs them reads the episode itself.
"""

import numpy as np

from store.episode import ACTION, BASE_POSE, EFFORT, STATE, VELOCITY

SNAP_S = 1e-9
"""Steps this close to a sample [s] take the sample unchanged, so that an even recording is copied exactly."""

METHODS = {
    STATE: "linear",
    VELOCITY: "linear",
    EFFORT: "linear",
    ACTION: "hold",
    BASE_POSE: "linear position, normalised linear quaternion",
}
"""How each signal is resampled. A command stays in force until the next one, so `action` is held."""


def step_times(time_s: np.ndarray, fps: float) -> np.ndarray:
    """Return the times [s] of the steps, shape (steps,): every `1 / fps` from the first row to the last.

    Args:
        time_s: Sample times [s], strictly rising, shape (rows,) with at least one row.
        fps: Steps per second.
    """
    steps = int(np.floor((time_s[-1] - time_s[0] + SNAP_S) * fps)) + 1
    times: np.ndarray = time_s[0] + np.arange(steps) / fps
    return times


def resample(signal: str, time_s: np.ndarray, values: np.ndarray, at_s: np.ndarray) -> np.ndarray:
    """Return `values` at other times by the method of the signal.

    Args:
        signal: A key of `METHODS`; any other is linear.
        time_s: Sample times [s], rising, shape (rows,); of samples at one time the last counts.
        values: Samples, shape (rows, width).
        at_s: Wanted times [s], within the samples up to `SNAP_S`, shape (steps,).

    Returns:
        float32, shape (steps, width).
    """
    before = np.clip(np.searchsorted(time_s, at_s + SNAP_S, side="right") - 1, 0, len(time_s) - 1)
    if METHODS.get(signal) == "hold":
        return values[before].astype(np.float32)
    after = np.minimum(before + 1, len(time_s) - 1)
    into_s = at_s - time_s[before]
    span_s = np.where(after > before, time_s[after] - time_s[before], 1.0)
    weight = np.where(np.abs(into_s) <= SNAP_S, 0.0, into_s / span_s)[:, np.newaxis]
    start, end = values[before].astype(np.float64), values[after].astype(np.float64)
    if signal == BASE_POSE:
        # q and -q are one rotation: go the short way round.
        far = np.sum(start[:, 3:] * end[:, 3:], axis=1) < 0
        end[far, 3:] *= -1
    mixed = start + weight * (end - start)
    if signal == BASE_POSE:
        between = weight[:, 0] > 0
        norm = np.linalg.norm(mixed[between, 3:], axis=1, keepdims=True)
        mixed[between, 3:] /= np.where(norm > 0, norm, 1.0)
    return mixed.astype(np.float32)
