"""Motion that no engine is needed to doubt: limits, speed, velocity against position, idling, jerk, lag.

Kinds of `plausibility`: `limit`, `speed`, `mismatch`; of `activity`: `idle`; of `smoothness`: `jerk`; of `response`:
`lag`.
"""

from dataclasses import dataclass

import numpy as np

from store.episode import ACTION, STATE, VELOCITY
from store.quality.finding import Finding, Track, runs


@dataclass(frozen=True)
class MotionLimits:
    """Attributes:
    lower_rad, upper_rad: Limits of the joints [rad], one each; empty where they are not known.
    limit_rad: By how much [rad] a position may pass its limit: soft stops give way.
    speed_rad_per_s: Most speed of any joint; 30 rad/s is above what drives of legged robots and arms reach.
    mismatch_share: Most median difference between the velocity and the slope of the position, as a share of the
        speed, over the rows faster than `moving_rad_per_s`.
    moving_rad_per_s: A joint slower than this rests.
    idle_s: All joints at rest for so long [s] is idling.
    jerk_hz: Most `effective_hz` of a joint: people and arms move below 5 Hz, tremor and chatter are above 8 Hz.
    lag_s: Most delay [s] of the state behind the action.
    lead_s: Most by which the state may be ahead [s]: an answer before the question is a shifted column.
    lag_window_s: Delays are searched up to this [s] on both sides.
    lag_correlation: Least correlation of a joint whose delay is believed.
    """

    lower_rad: tuple[float, ...] = ()
    upper_rad: tuple[float, ...] = ()
    limit_rad: float = 0.02
    speed_rad_per_s: float = 30.0
    mismatch_share: float = 0.4
    moving_rad_per_s: float = 0.05
    idle_s: float = 2.0
    jerk_hz: float = 8.0
    lag_s: float = 0.25
    lead_s: float = 0.03
    lag_window_s: float = 1.0
    lag_correlation: float = 0.6


def check_plausibility(track: Track, limits: MotionLimits) -> list[Finding]:
    """Return where joints pass their limits, are too fast, or say of their speed what their position does not."""
    if STATE not in track.signals:
        return []
    # What is no number is the sensors' finding.
    state = _finite(track, STATE)
    found = []
    for column, (low, high) in enumerate(zip(limits.lower_rad, limits.upper_rad, strict=True)):
        if column >= state.shape[1]:
            break
        beyond = np.maximum(low - state[:, column], state[:, column] - high)
        for start, end in runs(beyond > limits.limit_rad):
            most = float(beyond[start:end].max())
            text = f"{most:.3g} rad beyond [{low:g}, {high:g}] rad"
            found.append(_at(track, "limit", STATE, column, start, end - 1, most, text))
    if VELOCITY not in track.signals:
        return found
    speeds = _finite(track, VELOCITY)
    steps_s = np.diff(track.time_s)
    even = (steps_s > 0) & (steps_s < 2.5 / track.rate_hz)
    for column in range(speeds.shape[1]):
        fast = np.abs(speeds[:, column])
        for start, end in runs(fast > limits.speed_rad_per_s):
            most = float(fast[start:end].max())
            found.append(_at(track, "speed", VELOCITY, column, start, end - 1, most, f"{most:.3g} rad/s"))
        mean = (speeds[1:, column] + speeds[:-1, column]) / 2
        step = np.diff(state[:, column])
        slope = np.divide(step, steps_s, out=np.zeros_like(step), where=even)
        moving = even & (np.maximum(np.abs(mean), np.abs(slope)) > limits.moving_rad_per_s)
        if moving.sum() < max(10, 0.05 * len(step)):
            continue
        size = np.median(np.maximum(np.abs(mean), np.abs(slope))[moving])
        share = float(np.median(np.abs(mean - slope)[moving]) / size)
        if share > limits.mismatch_share:
            text = f"differs from the slope of the position by {share:.0%} of the speed"
            found.append(_at(track, "mismatch", VELOCITY, column, 0, len(state) - 1, share, text))
    return found


def check_activity(track: Track, limits: MotionLimits) -> list[Finding]:
    """Return the times in which no joint moves."""
    speeds = _speeds(track)
    if speeds is None:
        return []
    rest = _smooth(np.abs(speeds), max(1, round(0.1 * track.rate_hz))).max(axis=1) < limits.moving_rad_per_s
    found = []
    for start, end in runs(rest):
        rest_s = (end - start) / track.rate_hz
        if rest_s >= limits.idle_s:
            found.append(_at(track, "idle", "", None, start, end - 1, rest_s, f"no joint moves for {rest_s:.3g} s"))
    return found


def effective_hz(speeds: np.ndarray, rate_hz: float) -> np.ndarray:
    """Return the frequency [Hz] of the sine with the same ratio of jerk to speed, per column of (rows, joints) [rad/s].

    Of a sine of w rad/s the second derivative is w^2 times its value, so f = sqrt(rms(v'') / rms(v)) / (2 pi). It
    depends neither on how long nor on how far a joint moves. A column at rest has 0.
    """
    jerk = np.diff(speeds, 2, axis=0) * rate_hz**2
    size = np.sqrt((speeds**2).mean(axis=0))
    ratio = np.divide(np.sqrt((jerk**2).mean(axis=0)), size, out=np.zeros_like(size), where=size > 0)
    return np.asarray(np.sqrt(ratio) / (2 * np.pi))


def check_smoothness(track: Track, limits: MotionLimits) -> list[Finding]:
    """Return the joints that chatter."""
    speeds = _speeds(track)
    if speeds is None:
        return []
    # Means over 20 ms: the last bit of an encoder is no jerk of the arm.
    block = max(1, round(0.02 * track.rate_hz))
    rows = len(speeds) // block * block
    coarse = speeds[:rows].reshape(-1, block, speeds.shape[1]).mean(axis=1)
    if len(coarse) < 10:
        return []
    found = []
    moving = np.sqrt((coarse**2).mean(axis=0)) > limits.moving_rad_per_s
    for column in np.flatnonzero(moving & (effective_hz(coarse, track.rate_hz / block) > limits.jerk_hz)):
        hz = float(effective_hz(coarse[:, [column]], track.rate_hz / block)[0])
        text = f"as jerky as a tremor of {hz:.3g} Hz"
        found.append(_at(track, "jerk", STATE, int(column), 0, len(track.time_s) - 1, hz, text))
    return found


def check_response(track: Track, limits: MotionLimits) -> list[Finding]:
    """Return the delay of the state behind the action if it is too long, or before it."""
    lag_s = response_lag_s(track, limits)
    if lag_s is None or -limits.lead_s <= lag_s <= limits.lag_s:
        return []
    text = f"the state is {abs(lag_s):.3g} s {'behind' if lag_s > 0 else 'ahead of'} the action"
    return [_at(track, "lag", ACTION, None, 0, len(track.time_s) - 1, lag_s, text)]


def response_lag_s(track: Track, limits: MotionLimits) -> float | None:
    """Return the delay [s] of the state behind the action: the peak of the cross-correlation of their slopes.

    The median over the joints that move and whose correlation is believed; None where there is none.
    """
    if STATE not in track.signals or ACTION not in track.signals:
        return None
    state, action = (_finite(track, name) for name in (STATE, ACTION))
    if state.shape != action.shape or len(state) < 4 * track.rate_hz * limits.lag_window_s:
        return None
    window = round(limits.lag_window_s * track.rate_hz)
    smooth = max(1, round(0.05 * track.rate_hz))
    lags = []
    for column in range(state.shape[1]):
        did, told = (np.diff(_smooth(values[:, [column]], smooth)[:, 0]) for values in (state, action))
        if min(did.std(), told.std()) * track.rate_hz < limits.moving_rad_per_s:
            continue
        did, told = (did - did.mean()) / did.std(), (told - told.mean()) / told.std()
        size = 1 << (len(did) + window).bit_length()
        product = np.fft.irfft(np.fft.rfft(did, size) * np.conj(np.fft.rfft(told, size)), size) / len(did)
        around = np.concatenate((product[-window:], product[: window + 1]))
        if around.max() >= limits.lag_correlation:
            lags.append((int(around.argmax()) - window) / track.rate_hz)
    return float(np.median(lags)) if lags else None


def _finite(track: Track, name: str) -> np.ndarray:
    return np.nan_to_num(track.signals[name].astype(np.float64), posinf=0.0, neginf=0.0)


def _speeds(track: Track) -> np.ndarray | None:
    """Return speeds [rad/s], (rows, joints), measured or else the slope of the position at the promised rate."""
    if VELOCITY in track.signals:
        return _finite(track, VELOCITY)
    if STATE not in track.signals or len(track.time_s) < 2:
        return None
    return np.asarray(np.gradient(_finite(track, STATE), axis=0) * track.rate_hz)


def _smooth(values: np.ndarray, rows: int) -> np.ndarray:
    """Return running means over `rows` rows, as many rows as came."""
    padded = np.pad(values, ((rows // 2, rows - 1 - rows // 2), (0, 0)), mode="edge")
    total = np.cumsum(np.vstack((np.zeros((1, values.shape[1])), padded)), axis=0)
    return np.asarray((total[rows:] - total[:-rows]) / rows)


def _at(
    track: Track, kind: str, name: str, column: int | None, start: int, end: int, amount: float, text: str
) -> Finding:
    return Finding(kind, name, column, float(track.time_s[start]), float(track.time_s[end]), amount, text)
