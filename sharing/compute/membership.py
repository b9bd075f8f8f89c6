"""Whether a result tells which episodes were in it: the loss-threshold attack (Yeom et al. 2018), before it leaves.

Part of the episodes is held out and never shown to the job. An attacker who says "a member" of every episode whose loss
is below a threshold is as good as the area under the curve over all thresholds: a half is a coin, one is certainty.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

AUC_MOST = 0.55
HELD_OUT_EACH = 3
"""One episode of so many is held out."""
HELD_OUT_LEAST = 20
"""Of fewer the attack says nothing: its standard error would be above a tenth."""


@dataclass(frozen=True)
class Split:
    """Which episodes the job sees, and which it never does: places in the projection."""

    members: tuple[int, ...]
    held_out: tuple[int, ...]


def split_of(alike: Sequence[tuple[object, ...]], data_set: str) -> Split:
    """Return the split of a data set's episodes, the same for every job and consumer.

    A second job with another split could otherwise be shown what the first one was judged by.

    Args:
        alike: What makes each episode hard or easy, such as task and duration: of neighbours in that order one is
            held out, so that both sides are alike.
    """
    order = sorted(range(len(alike)), key=lambda place: (*map(_in_order, alike[place]), place))
    held_out = []
    for number, begin in enumerate(range(0, len(order) - HELD_OUT_EACH + 1, HELD_OUT_EACH)):
        chance = hashlib.sha256(f"{data_set}\n{number}".encode()).digest()
        held_out.append(order[begin + chance[0] % HELD_OUT_EACH])
    chosen = set(held_out)
    return Split(tuple(place for place in range(len(alike)) if place not in chosen), tuple(sorted(held_out)))


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
