"""Which step a frame belongs to: a question of numbers alone, the same on every machine and at every load."""

from fractions import Fraction

_DENOMINATOR_MAX = 10**6


def frame_at(tick: int, *, period_s: float, rate_hz: float) -> int | None:
    """Return the number of the frame that belongs to a tick, or None where none is due.

    Frame k is due k / rate_hz after tick 0, and belongs to the first tick that is not before; where several frames
    would belong to one tick, because the ticks are further apart than the frames, there is one, and its number is
    that of the last.

    Args:
        tick: Steps since the first frame, from 0.
        period_s: Time between ticks.
        rate_hz: Frames per second.
    """
    frames_per_tick = _exact(period_s) * _exact(rate_hz)
    number = int(tick * frames_per_tick)
    return number if tick == 0 or number > int((tick - 1) * frames_per_tick) else None


def _exact(value: float) -> Fraction:
    return Fraction(value).limit_denominator(_DENOMINATOR_MAX)
