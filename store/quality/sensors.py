"""Sensors: values that are no numbers, frozen readings, readings that jump.

Kinds: `not_finite`, `frozen`, `jump`.
"""

from dataclasses import dataclass

import numpy as np

from store.episode import ACTION, SENSOR_PREFIX, STATE, VELOCITY
from store.quality.finding import Finding, Track, runs

_NOISY_REPEATS = 0.01
"""A reading that repeats itself less often than this share of the rows has noise in its last bits."""


@dataclass(frozen=True)
class SensorLimits:
    """Attributes:
    frozen_s: A reading that is the same to the last bit for so long [s] is frozen if its joint moved meanwhile.
    moved_rad: By how much [rad] it must have moved, as another signal says: a robot at rest is no fault.
    jump_rad: Least jump of a position [rad] beyond what its velocity explains.
    jump_spreads: And so many times the usual difference between both (1.4826 times its median).
    """

    frozen_s: float = 0.2
    moved_rad: float = 0.05
    jump_rad: float = 0.05
    jump_spreads: float = 12.0


def check_sensors(track: Track, limits: SensorLimits) -> list[Finding]:
    """Return where readings are no numbers, frozen or jump."""
    found = []
    for name, values in track.signals.items():
        for column in range(values.shape[1]):
            for start, end in runs(~np.isfinite(values[:, column])):
                share = (end - start) / len(values)
                found.append(_at(track, "not_finite", name, column, start, end - 1, share, "no finite number"))
    clean = {name: np.nan_to_num(values, posinf=0.0, neginf=0.0) for name, values in track.signals.items()}
    for name in (STATE, VELOCITY):
        if name in clean:
            found += _frozen_joints(track, clean, name, limits)
    for name in clean:
        if name.startswith(SENSOR_PREFIX) and STATE in clean:
            found += _frozen_sensor(track, clean, name, limits)
    if STATE in clean:
        found += _jumps(track, clean, limits)
    return found


def _frozen_joints(track: Track, clean: dict[str, np.ndarray], name: str, limits: SensorLimits) -> list[Finding]:
    rows = max(2, round(limits.frozen_s * track.rate_hz))
    found, values = [], clean[name]
    period_s = 1.0 / track.rate_hz
    for column in range(values.shape[1]):
        for start, end in _held(track.signals[name][:, column : column + 1], rows):
            if name == STATE and VELOCITY in clean:
                # Speeds that cancel each other over the time are movement too.
                moved = float(np.abs(clean[VELOCITY][start:end, column]).sum()) * period_s
            elif name == STATE:
                moved = float(np.ptp(clean[ACTION][start:end, column])) if ACTION in clean else 0.0
            else:
                # What it should have moved by at that speed, against what it did.
                moved = float(np.abs(np.diff(clean[STATE][start:end, column]) - values[start, column] * period_s).sum())
                # Held near its true speed it says nothing wrong yet; but a reading with noise never repeats itself so.
                if _repeats(values[:, column], start, end) < _NOISY_REPEATS:
                    moved = max(moved, float(np.ptp(clean[STATE][start:end, column])))
            if moved > limits.moved_rad:
                held_s = (end - start) * period_s
                text = f"the same for {held_s:.3g} s while the joint moved {moved:.3g} rad"
                found.append(_at(track, "frozen", name, column, start, end - 1, held_s, text))
    return found


def _frozen_sensor(track: Track, clean: dict[str, np.ndarray], name: str, limits: SensorLimits) -> list[Finding]:
    """All columns of a sensor at once; one that rests at zero, as a contact does, is not frozen."""
    rows = max(2, round(limits.frozen_s * track.rate_hz))
    found, values, state = [], clean[name], clean[STATE]
    for start, end in _held(track.signals[name], rows):
        moved = float(np.ptp(state[start:end], axis=0).max())
        if moved > limits.moved_rad and values[start].any():
            held_s = (end - start) / track.rate_hz
            text = f"the same for {held_s:.3g} s while a joint moved {moved:.3g} rad"
            found.append(_at(track, "frozen", name, None, start, end - 1, held_s, text))
    return found


def _repeats(values: np.ndarray, start: int, end: int) -> float:
    """Return the share of rows outside [start, end) that are the same as the row before."""
    others = np.concatenate((values[:start], values[end:]))
    return float((np.diff(others) == 0).mean()) if len(others) > 1 else 1.0


def _held(values: np.ndarray, rows: int) -> list[tuple[int, int]]:
    """Return [start, end) of runs of at least `rows` equal rows."""
    same = ((values[1:] == values[:-1]) & np.isfinite(values[1:])).all(axis=1)
    return [(start, end + 1) for start, end in runs(same) if end + 1 - start >= rows]


def _jumps(track: Track, clean: dict[str, np.ndarray], limits: SensorLimits) -> list[Finding]:
    """Return steps of the position that neither its velocity nor its neighbours explain."""
    state = clean[STATE].astype(np.float64)
    steps = np.diff(state, axis=0)
    steps_s = np.diff(track.time_s)
    # Over a gap or a clock fault a step says nothing of the sensor.
    even = (steps_s > 0) & (steps_s < 2.5 / track.rate_hz)
    even &= np.isfinite(track.signals[STATE]).all(axis=1)[1:] & np.isfinite(track.signals[STATE]).all(axis=1)[:-1]
    found = []
    for column in range(state.shape[1]):
        step = steps[:, column]
        usual = np.convolve(np.pad(step, 3, mode="edge"), np.ones(7) / 7, "valid") if len(step) else step
        odd = np.abs(step - usual)
        if VELOCITY in clean:
            speed = clean[VELOCITY][:, column].astype(np.float64)
            odd = np.minimum(odd, np.abs(step - (speed[1:] + speed[:-1]) / 2 * steps_s))
        bar = max(limits.jump_rad, limits.jump_spreads * 1.4826 * float(np.median(odd)) if len(odd) else 0.0)
        for start, end in runs((odd > bar) & even):
            size = float(odd[start:end].max())
            found.append(_at(track, "jump", STATE, column, start, end, size, f"jumped by {size:.3g} rad"))
    return found


def _at(
    track: Track, kind: str, name: str, column: int | None, start: int, end: int, amount: float, text: str
) -> Finding:
    return Finding(kind, name, column, float(track.time_s[start]), float(track.time_s[end]), amount, text)
