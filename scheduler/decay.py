"""Past use, forgotten with a half-life. Pure arithmetic; what is averaged is up to the caller.

The law is HTCondor's for a user's real priority (HTCondor manual, administrators' part, "User Priorities and
Negotiation"):

    pi(t) = beta pi(t - dt) + (1 - beta) rho,    beta = 0.5 ** (dt / half-life),

with rho the amount held during dt. Applied to a venue's books: the mean of what was held at each moment of the past,
a moment one half-life ago counting half as much as the present one. All weights together are 1, so the mean of a
constant is that constant, and a mean of units may be compared with units held now.
"""

import math
from collections.abc import Iterable

HOUR_S = 3600.0
# HTCondor's PRIORITY_HALFLIFE (86,400 s) too: who had yesterday to himself stands half as far back today.
HALF_LIFE_S = 86_400.0


def remaining(age_s: float, half_life_s: float) -> float:
    """Return beta: what share of its weight something keeps after `age_s` [s, or both in another unit of time].

    An infinite half-life forgets nothing. Raises ValueError for a negative age or a half-life that is not positive.
    """
    if age_s < 0 or not half_life_s > 0:
        raise ValueError(f"age {age_s} s, half-life {half_life_s} s")
    return math.pow(0.5, age_s / half_life_s)


def decayed(mean: float, held: float, dt_s: float, half_life_s: float, *, floor: float = 0.0) -> float:
    """Return the mean after `held` has been held for `dt_s` [s] more; never below `floor` (HTCondor's is 0.5)."""
    beta = remaining(dt_s, half_life_s)
    return max(floor, beta * mean + (1.0 - beta) * held)


def weight(start_s: float, end_s: float, now_s: float, half_life_s: float) -> float:
    """Return what one thing, held from `start_s` to `end_s`, adds to the mean at `now_s` (all in s, in this order)."""
    return remaining(now_s - end_s, half_life_s) - remaining(now_s - start_s, half_life_s)


def mean_of_hours(used_s: Iterable[tuple[int, float]], now_s: float, half_life_s: float) -> float:
    """Return the mean at `now_s` from an account by the hour.

    Args:
        used_s: (hour since the epoch, thing-seconds used in it). Within an hour the use counts as spread evenly,
            within the present one as spread over what has passed of it: against the exact times this errs by at most
            the share 1 - beta(1 h) of that hour's use, 3 % of it with a half-life of a day.
    """
    total = 0.0
    for hour, amount_s in used_s:
        start_s = hour * HOUR_S
        end_s = min(start_s + HOUR_S, now_s)
        if end_s > start_s:
            total += amount_s / (end_s - start_s) * weight(start_s, end_s, now_s, half_life_s)
    return total


def normalised(used_s: float, capacity: float, duration_s: float) -> float:
    """Return use as a share of what could have been used: thing-seconds over things times seconds; 0 of nothing.

    So does NVIDIA's KAI scheduler in its time-based fair share (docs/time-based-fairshare).
    """
    possible_s = capacity * duration_s
    return used_s / possible_s if possible_s > 0 else 0.0


def by_hour(start_ms: int, end_ms: int) -> list[tuple[int, int]]:
    """Return (hour since the epoch, ms within it) for a time; the parts add up to the whole, to the millisecond."""
    hour_ms = int(HOUR_S * 1000)
    parts = []
    while start_ms < end_ms:
        hour = start_ms // hour_ms
        cut_ms = min(end_ms, (hour + 1) * hour_ms)
        parts.append((hour, cut_ms - start_ms))
        start_ms = cut_ms
    return parts
