"""From exact results to an answer: which groups are shown, the noise of each measure, and what that costs."""

import itertools
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sharing.aggregate import noise
from sharing.aggregate.field import Field
from sharing.aggregate.number import STEPS, Bounds
from sharing.aggregate.question import Measure, Question
from sharing.aggregate.statement import Statement, count_of, origin_of, present_of, statement_of

GROUP_LEAST = 5
"""Groups with a smaller noisy count are not shown."""
DELTA_TRILLIONTHS = 100_000
"""The risk of one selection of groups that only the data know: 1e-7, in 1e-12."""
MAX_GROUPS, MAX_CELLS = 256, 8_192
"""Most groups that are shown, and most noisy numbers of one answer."""
CANDIDATES = 200
"""Among so many steps of its bounds a quantile is chosen."""
_STEP = STEPS + 1
"""By how many steps one episode changes a sum; the one more is its rounding."""

Rows = Callable[[Statement], Sequence[tuple[Any, ...]]]
Key = tuple[str, ...]


@dataclass(frozen=True)
class Known:
    """What everybody may know beside the question: bounds of its numbers, and all values of some of its texts."""

    bounds: Mapping[Field, Bounds]
    values: Mapping[Field, tuple[str, ...]]


def selects(question: Question, known: Known) -> bool:
    """Whether its groups are known to the data alone, so that showing them costs a risk."""
    return any(not known.values.get(field) for field in question.by)


def possible(question: Question, known: Known) -> int:
    """Return how many groups there can be by what is declared; 0 if that is for the data to say."""
    return 0 if selects(question, known) else math.prod(len(known.values[field]) for field in question.by)


def shares(question: Question) -> int:
    """Return into how many equal parts its epsilon goes: one for each noisy value, one for the choice of groups."""
    counted = any(measure.kind == "count" for measure in question.measures)
    # Counts of groups are what the groups were chosen by.
    return sum(measure.releases for measure in question.measures) + bool(question.by and not counted)


def released(question: Question, known: Known, rows: Rows) -> dict[str, Any]:
    """Return the answer with its noise.

    Args:
        rows: Returns the rows of a statement, exact.
    """
    epsilon = question.epsilon_millionths / 1e6 / shares(question)
    groups = _groups(question, known, rows, epsilon)
    columns = [_measured(question, measure, known, rows, groups, epsilon) for measure in question.measures]
    return {
        "measures": [measure.name for measure in question.measures],
        "groups": [
            {
                "by": {field.name: text for field, text in zip(question.by, group, strict=True)},
                "values": [column[number] for column in columns],
            }
            for number, group in enumerate(groups)
        ],
    }


def _groups(question: Question, known: Known, rows: Rows, epsilon: float) -> dict[Key, int]:
    """Return the groups that are shown, each with its noisy count; 0 where none was taken."""
    if not question.by:
        counted = any(measure.kind == "count" for measure in question.measures)
        return {(): noise.noised([_total(rows(count_of(question)))], 1, epsilon)[0] if counted else 0}
    counts: dict[Key, int] = {}
    for *texts, count in rows(count_of(question)):
        key = tuple(texts)
        # Beyond the declared values there is nothing to be seen.
        if all(
            not known.values.get(field) or text in known.values[field]
            for field, text in zip(question.by, key, strict=True)
        ):
            counts[key] = count
    if selects(question, known):
        named = {json.dumps(key): count for key, count in counts.items()}
        noisy = noise.selected(named, GROUP_LEAST, epsilon, DELTA_TRILLIONTHS / 1e12)
        found = {tuple(json.loads(name)): count for name, count in noisy.items()}
    else:
        # Each group that there can be gets a noisy count, also those without an episode.
        all_keys = [tuple(key) for key in itertools.product(*(known.values[field] for field in question.by))]
        noised = noise.noised([counts.get(key, 0) for key in all_keys], 1, epsilon)
        # Few of those that are empty are shown: the noise is rarely so large.
        least = max(GROUP_LEAST, noise.half_width(1, epsilon))
        found = {key: count for key, count in zip(all_keys, noised, strict=True) if count >= least}
    cells = sum(measure.bins or 1 for measure in question.measures)
    most = max(1, min(MAX_GROUPS, MAX_CELLS // cells))
    shown = sorted(found, key=lambda key: (-found[key], key))[:most]
    return {key: found[key] for key in sorted(shown)}


def _measured(
    question: Question, measure: Measure, known: Known, rows: Rows, groups: Mapping[Key, int], epsilon: float
) -> list[dict[str, Any]]:
    """Return the values of a measure, one for each group."""
    if measure.kind == "count":
        within = round(noise.half_width(1, epsilon), 1)
        return [{"value": count, "within": within} for count in groups.values()]
    bounds = known.bounds[measure.field]
    exact = rows(statement_of(question, measure, bounds))
    if measure.kind == "histogram":
        return _histograms(measure, bounds, exact, groups, epsilon)
    if measure.kind == "quantile":
        lists = _by_group(exact, groups)
        step = STEPS // CANDIDATES
        candidates = [number * step for number in range(CANDIDATES + 1)]
        found = [noise.quantile(lists.get(group) or [], candidates, float(measure.at), epsilon) for group in groups]
        return [{"value": float(bounds.least) + steps / STEPS * float(bounds.width)} for steps in found]
    sums = _by_group(exact, groups)
    noised = noise.noised([sums.get(group) or 0 for group in groups], _STEP, epsilon)
    if measure.kind == "sum":
        size = float(bounds.reach) / STEPS
        within = noise.half_width(_STEP, epsilon) * size
        return [{"value": value * size, "within": within} for value in noised]
    counts = _by_group(rows(present_of(question, measure)), groups)
    present = noise.noised([counts.get(group, 0) for group in groups], 1, epsilon)
    origin, size = float(origin_of(measure, bounds)), float(bounds.width) / STEPS
    means: list[dict[str, Any]] = []
    within = noise.half_width(_STEP, epsilon) * size
    for total, count in zip(noised, present, strict=True):
        # Without episodes to speak of there is no mean; what is outside the bounds is noise alone.
        mean = origin + total * size / max(count, 1)
        clipped = min(max(mean, float(bounds.least)), float(bounds.most))
        # The noise of the sum alone; that of the count moves the mean toward the middle or away from it.
        means.append({"value": clipped, "within": within / count} if count >= 1 else {"value": None})
    return means


def _histograms(
    measure: Measure, bounds: Bounds, exact: Sequence[tuple[Any, ...]], groups: Collection[Key], epsilon: float
) -> list[dict[str, Any]]:
    counts = {(tuple(texts), place): count for *texts, place, count in exact}
    # Each group's bins at a time: one episode is in one bin of one group.
    cells = [counts.get((group, place), 0) for group in groups for place in range(measure.bins)]
    noised = noise.noised(cells, 1, epsilon)
    width = float(bounds.width) / measure.bins
    edges = [float(bounds.least) + place * width for place in range(measure.bins + 1)]
    within = round(noise.half_width(1, epsilon), 1)
    return [
        {
            "edges": edges,
            "value": noised[number * measure.bins : (number + 1) * measure.bins],
            "within": within,
        }
        for number in range(len(groups))
    ]


def _total(rows: Sequence[tuple[Any, ...]]) -> int:
    return int(rows[0][0])


def _by_group(rows: Sequence[tuple[Any, ...]], groups: Collection[Key]) -> dict[Key, Any]:
    wanted = set(groups)
    return {tuple(texts): value for *texts, value in rows if tuple(texts) in wanted}
