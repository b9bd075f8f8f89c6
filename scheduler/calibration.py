"""How well told starts held: the share that started by what they were told, and the pinball loss."""

from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.forecast import P50, P90

# With fewer, a figure would tell about single jobs, and whose they are could be guessed.
JOBS_MIN = 30
# Waits are told to the second.
TOLERANCE_S = 0.5


@dataclass(frozen=True, slots=True)
class Told:
    """One job that was told a start. Waits from then on [s]; `wait_s`: until its start, or so far if it still waits."""

    p50_s: float
    p90_s: float
    wait_s: float
    started: bool = True


@dataclass(frozen=True, slots=True)
class Calibration:
    """Over `jobs` told starts. `jobs` of 0: too few for anything to be said.

    The pinball loss of a told wait w at level q for a real one y is max(q (y - w), (q - 1)(y - w)): least in the mean
    for the true quantile (Koenker and Bassett, Econometrica 1978).
    """

    jobs: int = 0
    p50_held: float = 0.0
    p90_held: float = 0.0
    p50_pinball_s: float = 0.0
    p90_pinball_s: float = 0.0


def calibration(told: Sequence[Told]) -> Calibration:
    """Return how well these held.

    A job that still waits counts once it has waited longer than its P90: that neither held is known by then. Left out
    until its start, such jobs would flatter the figures.
    """
    settled = [one for one in told if one.started or one.wait_s > one.p90_s + TOLERANCE_S]
    if len(settled) < JOBS_MIN:
        return Calibration()
    count = len(settled)
    return Calibration(
        count,
        sum(one.wait_s <= one.p50_s + TOLERANCE_S for one in settled) / count,
        sum(one.wait_s <= one.p90_s + TOLERANCE_S for one in settled) / count,
        sum(_pinball_s(one.p50_s, one.wait_s, P50) for one in settled) / count,
        sum(_pinball_s(one.p90_s, one.wait_s, P90) for one in settled) / count,
    )


def _pinball_s(told_s: float, real_s: float, level: float) -> float:
    return max(level * (real_s - told_s), (level - 1) * (real_s - told_s))
