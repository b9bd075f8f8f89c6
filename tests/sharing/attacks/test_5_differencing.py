"""Attacks by many questions: differences, averages, trackers, exhaustion. Each with the guard's mutant."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from sharing.aggregate import noise
from sharing.aggregate.ledger import Balance, Charge, Ledger
from sharing.aggregate.number import STEPS
from sharing.aggregate.question import EPSILON_MILLIONTHS, Question
from sharing.errors import BudgetExhausted
from sharing.grant import Grant
from sharing.terms import Purpose
from tests.sharing.aggregate.desk import SUM, desk_of, exact_sum
from tests.sharing.stage import BOREALIS, CYGNUS, DATA_SET

RANGE_S = 60.0
VICTIM_S = 34.78
FACTS = {
    "duration_s": [5.0 + 0.25 * number for number in range(199)] + [VICTIM_S],
    "task": ["walk"] * 199 + ["fold"],
}
ALL = Question.of(SUM)
OTHERS = Question.of({**SUM, "where": [{"field": "task", "in": ["walk"]}]})
EPSILON = EPSILON_MILLIONTHS / 1e6


def difference_s(desk: Any, agreement: str, since_s: int = 0) -> float:
    """Return what the difference of two sums says of the one episode that only one of them has.

    since_s: Any number up to 4: all episodes are longer, so that the sums are the same and the questions are not.
    """
    since = {"field": "duration_s", "from": since_s}
    found = [
        desk.ask(BOREALIS, agreement, Purpose.TRAINING, Question.of({**SUM, "where": [since, *more]})).body
        for more in ([], [{"field": "task", "in": ["walk"]}])
    ]
    one, other = (body["groups"][0]["values"][0]["value"] for body in found)
    return float(one - other)


def test_the_difference_of_two_sums_errs_by_twice_the_range() -> None:
    """The median over 10,000 pairs of answers at the default budget, with the noise that answers get.

    Both sums are exact in themselves: their difference without noise is the victim's duration to a millisecond.
    """
    exact = [exact_sum(FACTS, question) for question in (ALL, OTHERS)]
    assert (exact[0] - exact[1]) * RANGE_S / STEPS == pytest.approx(VICTIM_S, abs=1e-3)
    pairs = [noise.noised([value] * 10_000, STEPS + 1, EPSILON) for value in exact]

    errors = [abs((one - other) * RANGE_S / STEPS - VICTIM_S) for one, other in zip(*pairs, strict=True)]
    assert median(errors) >= 2 * RANGE_S


def test_the_attack_itself_fails_at_the_desk(tmp_path: Path) -> None:
    """Fifteen pairs, for eight times the budget: their errors' median is far from exact."""
    desk, agreement, staged = desk_of(tmp_path, FACTS, privacy_millionths=24_000_000)
    errors = [abs(difference_s(desk, agreement, number) - VICTIM_S) for number in range(-10, 5)]

    # Few pairs scatter: a third of the range is far below their median, 2.2 ranges, and far above exactness.
    assert median(errors) > RANGE_S / 3
    staged.close()


def test_mutant_without_noise_the_difference_is_the_episode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard is the noise: without it the attack gives the victim's duration."""

    def bare(values: Sequence[int], change: int, epsilon: float) -> list[int]:
        return list(values)

    monkeypatch.setattr(noise, "noised", bare)
    desk, agreement, staged = desk_of(tmp_path, FACTS)

    assert difference_s(desk, agreement) == pytest.approx(VICTIM_S, abs=1e-3)
    staged.close()


def test_asking_again_gains_nothing(tmp_path: Path) -> None:
    """A hundred equivalent spellings of one question get one answer at one price."""
    desk, agreement, staged = desk_of(tmp_path, FACTS)
    spellings = [
        Question.of({**SUM, "where": [{"field": "duration_s", "from": f"5.{'0' * zeros}"}]}) for zeros in range(1, 10)
    ]
    answers = {
        desk.ask(BOREALIS, agreement, Purpose.TRAINING, spellings[number % 9]).body["groups"][0]["values"][0]["value"]
        for number in range(100)
    }

    assert len(answers) == 1
    assert desk.balance(BOREALIS, agreement, Purpose.TRAINING).spent_millionths == EPSILON_MILLIONTHS
    staged.close()


class Forgetful(Ledger):
    """A book that charges each question anew and never runs out."""

    def charge(
        self, grant: Grant, version: int, question: str, epsilon_millionths: int, delta_trillionths: int
    ) -> Charge:
        """Charge nothing."""
        return Charge(0, None)

    def answer(self, charge: int, body: str) -> str:
        """Keep nothing."""
        return body

    def balance(self, grant: Grant) -> Balance:
        """Return that there is always more."""
        return Balance(1, 0, 0)


def test_mutant_without_the_book_averaging_finds_the_sum(tmp_path: Path) -> None:
    """The guard is the book: without it the mean of 300 answers is the sum, five times closer than one answer."""
    desk, agreement, staged = desk_of(tmp_path, FACTS)
    desk._ledger = Forgetful(staged.room.database, staged.room.witness, staged.room.clock.now_s)
    answers = [
        desk.ask(BOREALIS, agreement, Purpose.TRAINING, ALL).body["groups"][0]["values"][0]["value"] for _ in range(300)
    ]

    # One answer has a standard deviation of 145 s, their mean of 8 s.
    assert abs(sum(answers) / len(answers) - sum(FACTS["duration_s"])) < RANGE_S
    assert len(set(answers)) > 200
    staged.close()


def test_trackers_are_bounded_by_the_budget(tmp_path: Path) -> None:
    """Overlapping filters that isolate the victim in another way each time: four answers, two differences, no more."""
    desk, agreement, staged = desk_of(tmp_path, FACTS)
    differences = []
    with pytest.raises(BudgetExhausted):
        for number in range(10):
            pair = [
                {**SUM, "where": [{"field": "duration_s", "from": number}, *more]}
                for more in ([], [{"field": "task", "in": ["walk"]}])
            ]
            one, other = (
                desk.ask(BOREALIS, agreement, Purpose.TRAINING, Question.of(question)).body["groups"][0]["values"][0]
                for question in pair
            )
            differences.append(one["value"] - other["value"])

    assert len(differences) == 2
    staged.close()


def test_the_best_tracker_errs_by_the_range() -> None:
    """The mean of two differences, all that a budget of three buys: median error over 4,000.

    For less a question more can be asked, and the best of that is the same: nothing is free, and nothing is cheaper.
    """
    for epsilon, most in ((EPSILON, 2), (0.5, 3), (0.25, 6)):
        draws = noise.noised([0] * 2 * most * 4_000, STEPS + 1, epsilon)
        halves = [sum(draws[place : place + most]) for place in range(0, len(draws), most)]
        guesses = [one - other for one, other in zip(halves[::2], halves[1::2], strict=True)]
        assert median(abs(guess) / most * RANGE_S / STEPS for guess in guesses) >= RANGE_S


def test_an_exhausted_budget_refuses_and_tells_the_consumer_alone(tmp_path: Path) -> None:
    """The fifth question is refused with what is left; nothing was computed, and others' budgets are their own."""
    desk, agreement, staged = desk_of(tmp_path, FACTS)
    theirs = staged.agree(
        consumer=CYGNUS,
        channels=("aggregate",),
        privacy_millionths=750_000,
        transforms={"aggregate-bounds": {"duration_s": "0..60"}},
    ).digest
    for number in range(4):
        where = [{"field": "duration_s", "from": number}]
        desk.ask(BOREALIS, agreement, Purpose.TRAINING, Question.of({**SUM, "where": where}))
    computed = desk.computed

    with pytest.raises(BudgetExhausted) as refused:
        desk.ask(BOREALIS, agreement, Purpose.TRAINING, Question.of({**SUM, "by": ["task"]}))

    assert desk.computed == computed
    assert str(refused.value) == f"the question costs 0.75 of epsilon; left are 0 of 3 for {DATA_SET}"
    assert desk.ask(CYGNUS, theirs, Purpose.TRAINING, ALL).balance.spent_millionths == 750_000
    staged.close()
