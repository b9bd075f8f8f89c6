"""The book of budgets: paid once before the answer leaves, and never back."""

import sqlite3
import threading
from pathlib import Path

import pytest

from sharing.aggregate.desk import TooManyQuestions
from sharing.aggregate.ledger import Ledger
from sharing.aggregate.question import Question
from sharing.errors import BudgetExhausted
from sharing.terms import Purpose
from tests.sharing.aggregate.desk import BOUNDS, SUM, desk_of
from tests.sharing.stage import BOREALIS, CYGNUS

FACTS = {"duration_s": [float(number % 60) for number in range(200)], "task": ["walk"] * 200}


def question(number: int) -> Question:
    """Return one of many different questions."""
    return Question.of({**SUM, "where": [{"field": "duration_s", "from": number}]})


def test_a_question_is_paid_before_its_answer_is_computed(tmp_path: Path) -> None:
    """While the answer is computed the book already has the charge."""
    desk, agreement, staged = desk_of(tmp_path, FACTS)
    seen = []
    answered = desk._answered

    def look(*arguments: object) -> str:
        seen.append(staged.room.database.reader().execute("SELECT count(*) FROM privacy_charge").fetchone()[0])
        return answered(*arguments)  # type: ignore[arg-type]

    desk._answered = look  # type: ignore[method-assign]
    desk.ask(BOREALIS, agreement, Purpose.TRAINING, Question.of(SUM))

    assert seen == [1]
    staged.close()


def test_a_crash_after_the_charge_gives_no_second_answer(tmp_path: Path) -> None:
    """The process dies between charge and answer, and again between answer and sending: one charge, one answer."""
    desk, agreement, staged = desk_of(tmp_path, FACTS)
    answered = desk._answered

    def dies(*_: object) -> str:
        raise KeyboardInterrupt

    desk._answered = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        desk.ask(BOREALIS, agreement, Purpose.TRAINING, Question.of(SUM))
    desk._answered = answered  # type: ignore[method-assign]
    first = desk.ask(BOREALIS, agreement, Purpose.TRAINING, Question.of(SUM))
    again = desk.ask(BOREALIS, agreement, Purpose.TRAINING, Question.of(SUM))

    assert again.body == first.body
    assert first.balance.spent_millionths == again.balance.spent_millionths == 750_000
    assert desk.computed == 1
    staged.close()


def test_two_answers_to_one_charge_leave_as_one(tmp_path: Path) -> None:
    """Whoever keeps its answer second, gets the first."""
    desk, agreement, staged = desk_of(tmp_path, FACTS)
    grant = staged.room.gate.authorize
    ledger = Ledger(staged.room.database, staged.room.witness, staged.room.clock.now_s)
    desk.ask(BOREALIS, agreement, Purpose.TRAINING, Question.of(SUM))
    charge = staged.room.database.reader().execute("SELECT id FROM privacy_charge").fetchone()[0]

    assert ledger.answer(charge, "another") == ledger.answer(charge, "yet another") != "another"
    assert grant is not None
    staged.close()


def test_many_at_once_never_spend_more_than_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve different questions at once, and a budget for four."""
    monkeypatch.setattr("sharing.aggregate.desk.WAITING_EACH", 12)
    desk, agreement, staged = desk_of(tmp_path, FACTS)
    outcomes: list[str] = []

    def ask(number: int) -> None:
        try:
            desk.ask(BOREALIS, agreement, Purpose.TRAINING, question(number))
            outcomes.append("answered")
        except BudgetExhausted:
            outcomes.append("exhausted")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["answered"] * 4 + ["exhausted"] * 8
    assert desk.balance(BOREALIS, agreement, Purpose.TRAINING).left_millionths == 0
    staged.close()


def test_a_new_agreement_gives_no_budget_back(tmp_path: Path) -> None:
    """What was asked under one agreement counts under the next one over the same data set."""
    desk, agreement, staged = desk_of(tmp_path, FACTS)
    for number in range(4):
        desk.ask(BOREALIS, agreement, Purpose.TRAINING, question(number))
    terms = {"channels": ("aggregate",), "transforms": {"aggregate-bounds": {"duration_s": "0..60"}}}
    same = staged.agree(**terms, privacy_millionths=3_000_000, note="again").digest
    more = staged.agree(**terms, privacy_millionths=3_750_000, note="more").digest

    with pytest.raises(BudgetExhausted):
        desk.ask(BOREALIS, same, Purpose.TRAINING, question(1))
    assert desk.ask(BOREALIS, more, Purpose.TRAINING, question(1)).balance.left_millionths == 0
    staged.close()


def test_charges_and_answers_cannot_be_changed_in_the_file(tmp_path: Path) -> None:
    """Whoever writes into the file finds triggers in the way."""
    desk, agreement, staged = desk_of(tmp_path, FACTS)
    desk.ask(BOREALIS, agreement, Purpose.TRAINING, Question.of(SUM))
    for text in (
        "UPDATE privacy_charge SET epsilon_millionths = 1",
        "DELETE FROM privacy_charge",
        "UPDATE privacy_answer SET body = ''",
    ):
        with pytest.raises(sqlite3.IntegrityError), staged.room.database.transaction() as db:
            db.execute(text)
    staged.close()


def test_choices_of_unknown_groups_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a risk; when all risks together are as large as they may be, such questions end, and others go on."""
    desk, agreement, staged = desk_of(tmp_path, FACTS)
    monkeypatch.setattr("sharing.aggregate.ledger.DELTA_MOST_TRILLIONTHS", 100_000)
    by_task = {"measures": [{"of": "count"}], "by": ["task"]}
    desk.ask(BOREALIS, agreement, Purpose.TRAINING, Question.of(by_task))

    with pytest.raises(BudgetExhausted, match="only the data know"):
        desk.ask(BOREALIS, agreement, Purpose.TRAINING, Question.of({**by_task, "epsilon_millionths": 400_000}))
    desk.ask(BOREALIS, agreement, Purpose.TRAINING, Question.of(SUM))
    staged.close()


def test_a_consumer_has_so_many_questions_under_way(tmp_path: Path) -> None:
    """More are refused before they are looked at, and others' are not."""
    desk, agreement, staged = desk_of(tmp_path, FACTS)
    theirs = staged.agree(
        consumer=CYGNUS, channels=("aggregate",), privacy_millionths=750_000, transforms=BOUNDS
    ).digest
    with desk._place(BOREALIS), desk._place(BOREALIS), desk._place(BOREALIS):
        with pytest.raises(TooManyQuestions):
            desk.ask(BOREALIS, agreement, Purpose.TRAINING, Question.of(SUM))
        desk.ask(CYGNUS, theirs, Purpose.TRAINING, Question.of(SUM))
    assert desk.ask(BOREALIS, agreement, Purpose.TRAINING, Question.of(SUM)).balance.spent_millionths == 750_000
    staged.close()
