"""The review queue: order, claims, answers, and rules held against people."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalogue import Catalogue
from catalogue.catalogue import Change
from catalogue.opinion import Answer, Opinion, Subtask, agreement, informative, standing
from catalogue.review import ANSWERS_MAX, ORDERS, Filter
from palaestra.errors import PalaestraError
from tests.catalogue.test_catalogue import entry

ACME = Filter("acme")
METHOD = "palaestra-quality/3"
KINDS = ("gap", "jerk", "frozen")


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    """Five episodes of acme's, one of bolt's; all scored, all but e-0 in the queue."""
    made = Catalogue(tmp_path / "catalogue.db")
    made.enter([entry(number, vendor="bolt" if number == 5 else "acme") for number in range(6)], (6, "e-5"))
    score(
        made, {f"e-{number}": (number / 10, ("gap",) if number % 2 else ("jerk", "frozen")) for number in range(1, 6)}
    )
    score(made, {"e-0": (1.0, ())}, is_open=False)
    yield made
    made.close()


def score(catalogue: Catalogue, said: dict[str, tuple[float, Sequence[str]]], *, is_open: bool = True) -> None:
    """Score as the venue's own program does."""
    changes = {}
    for uid, (quality, kinds) in said.items():
        labels = {f"fault.{kind}": "1" for kind in kinds} | ({"review": "open"} if is_open else {})
        changes[uid] = Change(labels, (), quality, {"timing": quality}, METHOD)
    catalogue.score(changes, by="venue", now_ns=1)


def uids(found: Any) -> list[str]:
    return [one.uid for one in found]


def take(catalogue: Catalogue, holder: str, *, now_ns: int = 0, wanted: Filter = ACME, **more: Any) -> str | None:
    found = catalogue.reviews.claim(wanted, holder, end_ns=now_ns + 100, now_ns=now_ns, **more)
    return found.uid if found is not None else None


def say(catalogue: Catalogue, uid: str, opinion: Opinion, *, who: str = "anna", now_ns: int = 0) -> Answer:
    return catalogue.reviews.answer("acme", uid, opinion, holder=who, author=who, now_ns=now_ns)


def test_the_worst_comes_first_and_nobody_sees_another_vendors(catalogue: Catalogue) -> None:
    assert uids(catalogue.reviews.places(ACME, now_ns=0)) == ["e-1", "e-2", "e-3", "e-4"]
    assert uids(catalogue.reviews.places(Filter("bolt"), now_ns=0)) == ["e-5"]
    # Operators.
    assert uids(catalogue.reviews.places(Filter(), now_ns=0)) == ["e-1", "e-2", "e-3", "e-4", "e-5"]
    with pytest.raises(PalaestraError, match="e-5 not found"):
        say(catalogue, "e-5", Opinion("accepted"))
    with pytest.raises(PalaestraError, match="e-5 not found"):
        catalogue.reviews.known("acme", "e-5", now_ns=0)


def test_two_people_do_not_get_the_same_one_until_a_claim_ends(catalogue: Catalogue) -> None:
    assert [take(catalogue, who) for who in ("anna", "ben", "anna")] == ["e-1", "e-2", "e-1"]
    assert take(catalogue, "anna", another=True) == "e-3"
    with pytest.raises(PalaestraError, match="somebody else") as refused:
        say(catalogue, "e-2", Opinion("accepted"), now_ns=99)
    assert refused.value.reason == "REVIEW_CLAIMED"

    # At its end, to the nanosecond, a claim is nobody's.
    assert take(catalogue, "ben", now_ns=100, another=True) == "e-1"
    assert take(catalogue, "cleo", now_ns=100) == "e-2"


def test_who_gives_an_episode_back_frees_it_and_nobody_elses(catalogue: Catalogue) -> None:
    take(catalogue, "anna")
    catalogue.reviews.release("acme", "e-1", "ben")
    assert take(catalogue, "ben") == "e-2"

    catalogue.reviews.release("acme", "e-1", "anna")

    assert take(catalogue, "cleo") == "e-1"


def test_a_verdict_takes_it_out_of_the_queue_and_a_later_one_counts_instead(catalogue: Catalogue) -> None:
    take(catalogue, "anna")
    said = Opinion("rejected", "failure", "missed_grasp", subtasks=(Subtask("reach", 0.0, 1.5),))
    say(catalogue, "e-1", said)
    assert uids(catalogue.reviews.places(ACME, now_ns=0)) == ["e-2", "e-3", "e-4"]
    say(catalogue, "e-1", Opinion("accepted", "success", grade="usable"), who="ben", now_ns=7)

    known = catalogue.reviews.known("acme", "e-1", now_ns=0)

    people = {one.field: (one.value, one.author) for one in known.annotations if one.kind == "person"}
    assert people["verdict"] == ("accepted", "ben")
    assert people["subtasks"] == ("reach 0-1.5 s", "anna")
    assert [one.opinion for one in known.answers] == [Opinion("accepted", "success", grade="usable"), said]
    rules = {one.field: (one.value, one.author, one.version) for one in known.annotations if one.kind == "rule"}
    assert rules == {"quality": ("0.1", "palaestra-quality", "3"), "fault.gap": ("1", "palaestra-quality", "3")}
    labels = catalogue.record("acme", "e-1").labels
    assert labels == {"review": "accepted", "outcome": "success", "grade": "usable", "fault.gap": "1"}


def test_a_new_score_does_not_ask_again_what_a_person_has_answered(catalogue: Catalogue) -> None:
    say(catalogue, "e-1", Opinion("accepted"))
    score(catalogue, {"e-1": (0.05, ("gap",))})

    assert catalogue.reviews.known("acme", "e-1", now_ns=0).is_open is False


def test_labels_alone_leave_it_in_the_queue(catalogue: Catalogue) -> None:
    take(catalogue, "anna")
    say(catalogue, "e-1", Opinion(outcome="failure"))

    assert catalogue.reviews.known("acme", "e-1", now_ns=0).is_open
    assert take(catalogue, "ben") == "e-2"


def test_an_answer_is_kept_once_and_never_changes(catalogue: Catalogue, tmp_path: Path) -> None:
    first = say(catalogue, "e-1", Opinion("accepted"))
    assert say(catalogue, "e-1", Opinion("accepted"), now_ns=5) == first
    assert say(catalogue, "e-1", Opinion("accepted"), who="ben").id != first.id

    with sqlite3.connect(tmp_path / "catalogue.db") as other:
        for text in ("UPDATE review_answer SET verdict = 'rejected'", "DELETE FROM review_answer"):
            with pytest.raises(sqlite3.IntegrityError, match="an answer never changes"):
                other.execute(text)
    other.close()


@pytest.mark.parametrize(
    ("opinion", "named"),
    [
        (Opinion(), "says nothing"),
        (Opinion("maybe"), "answer.verdict: 'maybe' is none of accepted, rejected"),
        (Opinion(failure_cause="bad luck"), "answer.failure_cause: 'bad luck'"),
        (Opinion(outcome="success", failure_cause="dropped"), "what succeeded has none"),
        (Opinion(subtasks=(Subtask("dance", 0, 1),)), "answer.subtasks: 'dance'"),
        (Opinion(subtasks=(Subtask("reach", 0, 1.6),)), "reach from 0 to 1.6 s, and the episode is 1.5 s"),
        (Opinion(subtasks=(Subtask("reach", 1, 1),)), "reach from 1 to 1 s"),
        (Opinion(subtasks=(Subtask("reach", 0, float("nan")),)), "reach from 0 to nan s"),
    ],
)
def test_what_is_in_no_vocabulary_is_refused_by_name_and_not_kept(
    catalogue: Catalogue, opinion: Opinion, named: str
) -> None:
    with pytest.raises(PalaestraError, match=named):
        say(catalogue, "e-1", opinion)

    assert catalogue.reviews.known("acme", "e-1", now_ns=0).answers == []


def test_an_episode_has_no_more_answers_than_can_be_shown(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ANSWERS_MAX == 1_000
    monkeypatch.setattr("catalogue.review.ANSWERS_MAX", 3)
    for number in range(3):
        say(catalogue, "e-1", Opinion(note=str(number)))

    with pytest.raises(PalaestraError, match="has 3 already"):
        say(catalogue, "e-1", Opinion(note="more"))


def test_what_is_most_informative_is_what_fewest_have_judged(catalogue: Catalogue) -> None:
    """Of jerk and frozen nothing is known; of gaps more with each answer."""
    say(catalogue, "e-1", Opinion("rejected", faults=("gap",)))

    assert uids(catalogue.reviews.places(ACME, order="informative", now_ns=0)) == ["e-2", "e-4", "e-3"]
    with pytest.raises(PalaestraError, match="order: 'best' is none of"):
        catalogue.reviews.places(ACME, order="best", now_ns=0)


def test_rules_are_held_against_the_latest_words_of_people(catalogue: Catalogue) -> None:
    """What the rules said at that time counts, not what they say now."""
    say(catalogue, "e-1", Opinion("accepted", faults=()))
    say(catalogue, "e-1", Opinion("rejected", faults=("gap", "jerk")))
    say(catalogue, "e-2", Opinion("rejected", faults=("jerk",)))
    say(catalogue, "e-3", Opinion("accepted"))
    score(catalogue, {"e-1": (0.9, ("frozen",))})

    found = {one.kind: one for one in catalogue.reviews.figures("acme")}

    assert {kind: (one.both, one.rule_only, one.person_only) for kind, one in found.items()} == {
        "gap": (1, 0, 0),
        "jerk": (1, 0, 1),
        "frozen": (0, 1, 0),
    }
    assert (found["jerk"].precision, found["jerk"].recall) == (1.0, 0.5)
    assert (found["frozen"].precision, found["frozen"].recall) == (0.0, None)
    assert catalogue.reviews.figures("bolt") == []
    assert catalogue.reviews.counts("acme", now_ns=0) == {"open": 1, "claimed": 0, "accepted": 1, "rejected": 2}


def test_an_answer_goes_with_an_episode_that_is_no_more(catalogue: Catalogue, tmp_path: Path) -> None:
    say(catalogue, "e-1", Opinion("accepted"))
    catalogue.forget(["e-1"])

    with pytest.raises(PalaestraError, match="not found"):
        catalogue.reviews.known("acme", "e-1", now_ns=0)
    with sqlite3.connect(tmp_path / "catalogue.db") as other:
        assert other.execute("DELETE FROM review_answer").rowcount == 1
    other.close()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """120 episodes of two vendors, most of them in the queue, some claimed, some answered."""
    made = Catalogue(tmp_path_factory.mktemp("many") / "catalogue.db")
    made.enter([entry(number) for number in range(120)], (120, "e-119"))
    for number in range(120):
        kinds = KINDS[: number % 4]
        score(made, {f"e-{number}": (number % 7 / 7, kinds)}, is_open=number % 5 != 0)
    for number in range(1, 30):
        if entry(number).vendor == "acme":
            faults = KINDS[: number % 3]
            made.reviews.answer("acme", f"e-{number}", Opinion(faults=faults), holder="a", author="a", now_ns=0)
    yield made
    made.close()


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(ORDERS),
    st.sampled_from(["", "own_arm"]),
    st.sampled_from(["", *KINDS]),
    st.sampled_from([None, 0.5]),
    st.sampled_from(["acme", None]),
    st.integers(1, 30),
)
def test_all_pages_of_the_queue_are_what_a_plain_look_finds_in_order(
    many: Catalogue, order: str, model: str, fault: str, most: float | None, vendor: str | None, size: int
) -> None:
    wanted = Filter(vendor, robot_model=model, fault=fault, quality_max=most)
    found, after = [], None
    while True:
        page = many.reviews.places(wanted, order=order, after=after, size=size, now_ns=0)
        found += page[:size]
        if len(page) <= size:
            break
        after = (page[size - 1].rank, page[size - 1].id)

    weights, unknown = informative(many.reviews.figures(vendor))
    plain = []
    for number in range(120):
        one, kinds, quality = entry(number), KINDS[: number % 4], number % 7 / 7
        fits = (not model or one.robot_model == model) and (not fault or fault in kinds)
        if number % 5 and fits and (vendor is None or one.vendor == vendor) and (most is None or quality <= most):
            worth = sum(weights.get(kind, unknown) for kind in kinds)
            plain.append((round({"worst": quality, "oldest": one.start_ns, "informative": -worth}[order], 9), one.uid))
    assert sorted(uids(found)) == sorted(uid for _, uid in plain)
    ranks = {uid: rank for rank, uid in plain}
    assert [ranks[one.uid] for one in found] == sorted(ranks.values())


OPINIONS = st.builds(
    Opinion,
    st.sampled_from([None, "accepted", "rejected"]),
    st.sampled_from([None, "failure"]),
    st.sampled_from([None, "fell"]),
    faults=st.sampled_from([None, (), ("gap",)]),
)


@given(st.lists(OPINIONS, max_size=6))
def test_of_each_field_the_last_who_said_anything_of_it_counts(given_: list[Opinion]) -> None:
    answers = [Answer(number, "anna", number, opinion, "", ()) for number, opinion in enumerate(given_)]

    found = {one.field: one for one in standing(answers)}

    for name in ("verdict", "outcome", "failure_cause"):
        said = [(number, getattr(one, name)) for number, one in enumerate(given_) if getattr(one, name) is not None]
        assert (name in found) == bool(said)
        if said:
            assert (found[name].version, found[name].value) == (str(said[-1][0]), said[-1][1])


@given(st.lists(st.tuples(st.sets(st.sampled_from(KINDS)), st.sets(st.sampled_from(KINDS)))))
def test_what_rules_find_and_people_see_adds_up(told: list[tuple[set[str], set[str]]]) -> None:
    for one in agreement(("m/1", tuple(rules), tuple(people)) for rules, people in told):
        assert one.both + one.rule_only == sum(one.kind in rules for rules, _ in told)
        assert one.both + one.person_only == sum(one.kind in people for _, people in told)
