"""Whether a result tells which episodes were in it: the loss-threshold attack (Yeom et al. 2018), before it leaves.

Part of the episodes is held out and never shown to the job. An attacker who says "a member" of every episode whose loss
is below a threshold is as good as the area under the curve over all thresholds: a half is a coin, one is certainty.

That area is of chance, too: who was held out may by chance be harder or easier than who was not, and of 40 held out of
120 the area of an honest result has a standard deviation of 0.056. Therefore the algorithm is run twice more, each time
another third is held out, until each episode was held out once, and the areas are averaged: if losses are the episodes'
own, whoever trains, each pair of two thirds is counted once in either direction, and the mean is a half exactly. What
is left is what training does. (Models trained without an episode tell how hard it is in itself: Watson et al. 2022,
Carlini et al. 2022.) What the two further runs bring out is thrown away; only the areas are kept.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

AUC_MOST = 0.55
"""Of the mean over all runs."""
OWN_DEVIATIONS = 2.33
"""By how many standard deviations of chance the area of the result itself may be above that: one in a hundred coins."""
HELD_OUT_EACH = 3
"""One episode of so many is held out."""
HELD_OUT_LEAST = 20
"""Of fewer the attack says nothing: its standard error would be above a tenth."""


@dataclass(frozen=True)
class Split:
    """Which episodes the job sees, and which it never does: places in the projection."""

    members: tuple[int, ...]
    held_out: tuple[int, ...]


def splits_of(alike: Sequence[tuple[object, ...]], data_set: str) -> tuple[Split, ...]:
    """Return the splits of a data set's episodes, the same for every job and consumer; in each, others are held out.

    What leaves is of the first one always: a second job with another could otherwise be shown what the first one was
    judged by.

    Args:
        alike: What makes each episode hard or easy, such as task and duration: of neighbours in that order one is
            held out, so that both sides are alike.

    Returns:
        As many as `HELD_OUT_EACH`. Those that are left over at the end of the order are never held out.
    """
    order = sorted(range(len(alike)), key=lambda place: (*map(_in_order, alike[place]), place))
    held_out: list[list[int]] = [[] for _ in range(HELD_OUT_EACH)]
    for number, begin in enumerate(range(0, len(order) - HELD_OUT_EACH + 1, HELD_OUT_EACH)):
        chance = hashlib.sha256(f"{data_set}\n{number}".encode()).digest()
        for turn, out in enumerate(held_out):
            out.append(order[begin + (chance[0] + turn) % HELD_OUT_EACH])
    return tuple(Split(tuple(sorted(set(range(len(alike))).difference(out))), tuple(sorted(out))) for out in held_out)


@dataclass(frozen=True)
class Verdict:
    """Whether a result may leave.

    Attributes:
        auc: How good the attack is: the mean over the runs that there were.
        runs: The area of each, the result's own first.
    """

    released: bool
    auc: float
    runs: tuple[float, ...]


def tells_at_once(own: float, split: Split, most: float = AUC_MOST) -> bool:
    """Whether the area of the result's own run is above all chance, so that no other run is needed.

    Chance: the standard deviation of the area of m by n numbers that are all alike is sqrt((m + n + 1) / (12 m n)).
    """
    m, n = len(split.members), len(split.held_out)
    return own > most + OWN_DEVIATIONS * math.sqrt((m + n + 1) / (12 * m * n))


def judged(runs: Sequence[float], split: Split, most: float = AUC_MOST) -> Verdict:
    """Return the verdict on the areas of one run after another; the result's own comes first."""
    mean = sum(runs) / len(runs)
    return Verdict(mean <= most and not tells_at_once(runs[0], split, most), mean, tuple(runs))


def _in_order(value: object) -> str:
    """Return a text that sorts as the value does, beside others of other kinds."""
    return f"{value:024.6f}" if isinstance(value, int | float) else str(value)


def auc(members: Sequence[float], held_out: Sequence[float]) -> float:
    """Return how probably a member's loss is below a held-out episode's, ties as halves (Mann, Whitney 1947)."""
    values = np.concatenate([np.asarray(members, float), np.asarray(held_out, float)])
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    # Mean rank of each value, counted from 1.
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    above = ranks[len(members) :].sum() - len(held_out) * (len(held_out) + 1) / 2
    return float(above / (len(members) * len(held_out)))
