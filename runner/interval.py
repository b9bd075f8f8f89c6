"""A confidence interval for a success rate."""

import math

Z_95 = 1.959963984540054


def wilson(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Return the Wilson score interval (E. B. Wilson, JASA 1927) of a binomial proportion.

    With p the observed share: centre (p + z²/2n) / (1 + z²/n), half width z √(p(1-p)/n + z²/4n²) / (1 + z²/n).
    """
    assert trials > 0
    assert 0 <= successes <= trials
    p = successes / trials
    scale = 1 + z**2 / trials
    centre = (p + z**2 / (2 * trials)) / scale
    half = z * math.sqrt(p * (1 - p) / trials + z**2 / (4 * trials**2)) / scale
    # Rounding must not put the share itself outside.
    low = 0.0 if successes == 0 else min(p, max(0.0, centre - half))
    high = 1.0 if successes == trials else max(p, min(1.0, centre + half))
    return low, high
