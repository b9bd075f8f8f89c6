"""Time: a clock that goes backwards, gaps, jitter, a rate that is not the one promised.

Kinds: `backwards`, `gap`, `jitter`, `rate`.
"""

from dataclasses import dataclass

import numpy as np

from store.episode import TIME
from store.quality.finding import Finding, Track


@dataclass(frozen=True)
class TimingLimits:
    """Attributes:
    gap_periods: A pause longer than so many periods is a gap: at 2.5 one lost sample is borne, two are not.
    jitter_periods: Most standard deviation of the steps, in periods. A tenth of a period moves a sample by
        less than the error of linear interpolation between samples at ten times the signal's bandwidth.
    rate_share: Most difference between the median rate and the promised one.
    """

    gap_periods: float = 2.5
    jitter_periods: float = 0.1
    rate_share: float = 0.05


def check_timing(track: Track, limits: TimingLimits) -> list[Finding]:
    """Return what is wrong with the times of a track."""
    time_s, found = track.time_s, []
    steps_s = np.diff(time_s)
    if not len(steps_s):
        return []
    for i in np.flatnonzero(steps_s <= 0):
        back_s = -float(steps_s[i])
        span = sorted((float(time_s[i]), float(time_s[i + 1])))
        found.append(Finding("backwards", TIME, None, span[0], span[1], back_s, f"the clock went back {back_s:.6g} s"))
    forward = steps_s[steps_s > 0]
    if not len(forward):
        return found
    # The track's own period: a wrong promise is one finding, not a gap at every row.
    period_s = float(np.median(forward))
    for i in np.flatnonzero(steps_s > limits.gap_periods * period_s):
        lost_s = float(steps_s[i])
        found.append(
            Finding("gap", TIME, None, float(time_s[i]), float(time_s[i + 1]), lost_s, f"no sample for {lost_s:.4g} s")
        )
    start_s, end_s = float(time_s.min()), float(time_s.max())
    even = forward[forward <= limits.gap_periods * period_s]
    # The step after one that went back is long or short by as much; without trimming one fault would be two.
    low, high = np.quantile(even, [0.01, 0.99])
    spread = float(even[(even >= low) & (even <= high)].std()) / period_s
    if spread > limits.jitter_periods:
        found.append(Finding("jitter", TIME, None, start_s, end_s, spread, f"steps vary by {spread:.2f} of a period"))
    rate_hz = 1.0 / period_s
    if abs(rate_hz / track.rate_hz - 1) > limits.rate_share:
        said = f"{rate_hz:.4g} Hz instead of {track.rate_hz:.4g} Hz"
        found.append(Finding("rate", TIME, None, start_s, end_s, rate_hz, said))
    return found
