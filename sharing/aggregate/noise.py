"""The mechanisms of differential privacy, each OpenDP's, with what it costs checked by OpenDP's own privacy map.

The unit of privacy is one episode, added or removed; it is one row of the facts, and so in one group of each question.
All values are whole numbers, so that neither sums nor noise have a rounding that could tell anything (Mironov 2012).

Counts, sums and histograms get discrete Laplace noise (Canonne, Kamath, Steinke 2020), quantiles are chosen among
fixed candidates by permute-and-flip (McKenna, Sheldon 2020; scores by Smith 2011), groups that only the data know by
counts above a noisy threshold (Rogers 2023). Gaussian noise would cost less where many values belong to one episode;
here each belongs to one number of each measure, and the budget is one of pure epsilon.
"""

import math
from collections.abc import Mapping, Sequence

import opendp.prelude as dp

dp.enable_features("contrib")


class Overspent(AssertionError):
    """A mechanism would cost more than was paid: a defect, never an answer."""


def laplace(values: Sequence[int], change: int, epsilon: float) -> list[int]:
    """Return whole numbers with discrete Laplace noise.

    Args:
        change: By how much one episode changes all of them together (L1).
        epsilon: What that may cost.
    """
    if not values:
        return []
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l1_distance(T="i64")
    mechanism = dp.m.make_laplace(*space, scale=_up(change / epsilon))
    _check(mechanism.map(change), epsilon)
    return [int(value) for value in mechanism(list(values))]


def half_width(change: int, epsilon: float, share: float = 0.95) -> float:
    """Return within how much the noise stays in this share of cases: P(|noise| > t) = exp(-t epsilon / change)."""
    return -math.log(1 - share) * change / epsilon


def selected(counts: Mapping[str, int], least: int, epsilon: float, delta: float) -> dict[str, int]:
    """Return those keys whose noisy count is at least a threshold, with that count; which keys there are is data.

    Args:
        counts: Episodes by key, none of them 0; one episode is in one of them.
        least: The smallest threshold.
        epsilon, delta: What it may cost.
    """
    if not counts:
        return {}
    space = (
        dp.map_domain(dp.atom_domain(T=str), dp.atom_domain(T="i64")),
        dp.l01inf_distance(dp.absolute_distance(T="i64")),
    )
    scale = _up(1 / epsilon)
    # One episode alone passes it with a probability below delta: 1 + scale ln(1 / delta), rounded up.
    threshold = max(least, math.ceil(1 + scale * math.log(1 / delta)))
    mechanism = dp.m.make_laplace_threshold(*space, scale=scale, threshold=threshold)
    cost, risk = mechanism.map((1, 1, 1))
    _check(cost, epsilon)
    _check(risk, delta)
    return {str(key): int(count) for key, count in mechanism(dict(counts)).items()}


def quantile(values: Sequence[int], candidates: Sequence[int], at: float, epsilon: float) -> int:
    """Return one of the candidates, most likely one with a share `at` of the values below it."""
    scores = dp.t.make_quantile_score_candidates(
        dp.vector_domain(dp.atom_domain(T="i64")), dp.symmetric_distance(), list(candidates), alpha=at
    )
    scale = dp.binary_search(
        lambda scale: (scores >> dp.m.then_noisy_max(dp.max_divergence(), scale=scale, negate=True)).map(1) <= epsilon,
        bounds=(1e-6, 1e12),
    )
    mechanism = scores >> dp.m.then_noisy_max(dp.max_divergence(), scale=scale, negate=True)
    _check(mechanism.map(1), epsilon)
    return candidates[int(mechanism(list(values)))]


def _up(scale: float) -> float:
    """Return the scale a little larger, so that rounding never makes it cost more than was paid."""
    return scale * (1 + 1e-9)


def _check(cost: float, paid: float) -> None:
    if not cost <= paid:
        raise Overspent(f"costs {cost}, paid were {paid}")
