"""The mechanisms of differential privacy, each OpenDP's, with what it costs checked by OpenDP's own privacy map.

The unit of privacy is one episode, added or removed; it is one row of the facts, and so in one group of each question.
All values are whole numbers, so that neither sums nor noise have a rounding that could tell anything (Mironov 2012).

Counts, sums and histograms get discrete Laplace noise (Canonne, Kamath, Steinke 2020) and, above half an epsilon, even
noise on top of it, see `widening`; quantiles are chosen among
fixed candidates by permute-and-flip (McKenna, Sheldon 2020; scores by Smith 2011), groups that only the data know by
counts above a noisy threshold (Rogers 2023). Gaussian noise would cost less where many values belong to one episode;
here each belongs to one number of each measure, and the budget is one of pure epsilon: at the same accuracy Gaussian
noise (a deviation of 2.4 ranges) would cost 2.0 at a risk of 1e-7 instead of 0.75 at none (Balle, Wang 2018).
"""

import math
import secrets
from collections.abc import Mapping, Sequence

import opendp.prelude as dp

dp.enable_features("contrib")

WIDENED_FROM = 0.5
"""Above so much of epsilon the noise is widened."""
WIDENING = 10.0
"""By how many times an episode's change for each epsilon above it."""


class Overspent(AssertionError):
    """A mechanism would cost more than was paid: a defect, never an answer."""


def noised(values: Sequence[int], change: int, epsilon: float) -> list[int]:
    """Return whole numbers with discrete Laplace noise, widened.

    What is added to an answer that has its noise costs nothing (post-processing: Dwork, Roth 2014, 2.1).

    Args:
        change: By how much one episode changes all of them together (L1).
        epsilon: What that may cost.
    """
    reach = widening(change, epsilon)
    return [value + secrets.randbelow(2 * reach + 1) - reach for value in laplace(values, change, epsilon)]


def widening(change: int, epsilon: float) -> int:
    """Return how far even noise reaches that is added to the Laplace noise, up and down.

    Laplace noise is peaked and has long ends. Where it is narrow enough for a sum to be right (its ends: 19 of 20
    answers within 4 ranges at 0.75), the difference of two sums is too often near the truth (its peak: half of them
    within 1.5 ranges). Even noise takes away the peak and hardly moves the ends: 4.7 and 2.2.
    """
    return math.ceil(round(max(0.0, epsilon - WIDENED_FROM) * WIDENING, 6) * change)


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
    """Return within how much the noise of `noised` stays in this share of cases.

    With Laplace noise of scale b = change / epsilon and even noise up to a, P(|noise| > t) is
    exp(-t / b) sinh(a / b) b / a for t of at least a, as it is for shares from 0.9 on.
    """
    scale = change / epsilon
    far = widening(change, epsilon) / scale
    return scale * (math.log(math.sinh(far) / far if far else 1.0) - math.log(1 - share))


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
