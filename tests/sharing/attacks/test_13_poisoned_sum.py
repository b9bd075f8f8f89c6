"""D6, 13, in aggregates: an episode made to move an answer moves it by the bounds at most, whatever it holds."""

import math
from collections.abc import Sequence

import pytest

from sharing.aggregate import release, statement
from sharing.aggregate.question import Measure, Question
from sharing.aggregate.statement import Statement
from tests.sharing.aggregate.desk import SUM, exact_sum

HONEST = [30.0] * 50
POISONS = (1e18, -1e18, math.inf, -math.inf, math.nan, 1e308)
QUESTION = Question.of(SUM)


def moved(poison: float) -> float:
    """Return by how much one more episode moves the exact sum [s]."""
    with_it, without = (exact_sum({"duration_s": values}, QUESTION) for values in ([*HONEST, poison], HONEST))
    return abs(with_it - without) * 60 / (1 << 20)


@pytest.mark.parametrize("poison", POISONS)
def test_no_episode_moves_a_sum_by_more_than_its_bounds(poison: float) -> None:
    """What is beyond the bounds counts as the bound; what is no number as the upper one at most."""
    assert moved(poison) <= 60.0


def test_mutant_without_clipping_one_episode_is_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard is the clipping."""
    honest = statement.statement_of

    def unclipped(question: Question, measure: Measure, bounds: object) -> Statement:
        made = honest(question, measure, bounds)  # type: ignore[arg-type]
        return Statement(made.text.replace("least(greatest(f0, ?), ?)", "f0"), made.values[2:])

    monkeypatch.setattr(statement, "statement_of", unclipped)
    assert moved(1e9) > 1e8


def test_an_episode_counts_once_in_every_measure() -> None:
    """Adding one changes each exact value of each kind by at most what its noise is made for."""
    kinds: Sequence[str] = ("sum", "mean", "histogram")
    for kind in kinds:
        question = Question.of({"measures": [{"of": kind, "field": "duration_s"}]})
        assert release.shares(question) == (2 if kind == "mean" else 1)
