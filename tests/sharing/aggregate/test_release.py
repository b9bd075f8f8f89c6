"""Answers: as near to the truth as is paid for, and no group that hides one episode."""

import pytest

from sharing.aggregate import noise
from sharing.aggregate.field import bounds_of, check_declared, field_of, values_of
from sharing.aggregate.number import STEPS
from sharing.aggregate.question import Question
from sharing.aggregate.release import released, shares
from sharing.errors import InvalidQuestion, InvalidTerms
from tests.sharing.aggregate.desk import SUM, engine_of, exact_sum, known

N = 200
FACTS = {
    "duration_s": [5.0 + 55.0 * number / (N - 1) for number in range(N)],
    "task": ["pick" if number % 3 else "place" for number in range(N - 1)] + ["secret"],
    "status": ["success" if number % 2 else "failure" for number in range(N)],
}


def answer(value: dict, bounds: str = "0..60", **values: tuple[str, ...]) -> dict:
    """Return the answer to a question about the facts above."""
    question = Question.of(value)
    public = {field.name: values_of(field, {}) for field in question.by}
    return released(question, known(question, bounds, public | values), engine_of(question, FACTS).rows)


def test_a_sum_over_two_hundred_episodes_is_right_to_five_percent() -> None:
    """In 19 of 20 answers at the default price, of values that are half their bound on average; here 4.7 %.

    Half an epsilon is not enough for that, and the measure is fine enough to tell.
    """
    question = Question.of(SUM)
    exact = exact_sum(FACTS, question)
    assert abs(exact * 60 / (1 << 20) - sum(FACTS["duration_s"])) < 0.01
    half = N * STEPS // 2
    assert half < exact

    def ends(epsilon: float) -> float:
        errors = sorted(abs(value - half) for value in noise.noised([half] * 20_000, STEPS + 1, epsilon))
        return errors[19_000] / half

    assert ends(question.epsilon_millionths / 1e6) < 0.05 < ends(0.5)


@pytest.mark.parametrize("epsilon", [0.05, 0.5, 0.6, 0.75])
def test_an_answer_says_how_far_it_may_be_off(epsilon: float) -> None:
    """Of 20,000, one in twenty is off by more; the standard deviation of that share is 0.0015."""
    within = noise.half_width(STEPS, epsilon)
    off = sum(abs(value) > within for value in noise.noised([0] * 20_000, STEPS, epsilon))
    assert 0.04 < off / 20_000 < 0.06


def test_what_is_added_beyond_what_was_paid_is_added_to_the_noise_and_not_instead() -> None:
    """Laplace noise of the full price comes first, and OpenDP says what that costs; the rest only ever widens."""
    assert noise.widening(STEPS, 0.5) == noise.widening(STEPS, 0.01) == 0
    assert [noise.widening(1_000, epsilon) for epsilon in (0.6, 0.65, 0.75)] == [1_000, 1_500, 2_500]
    assert len(set(noise.noised([0] * 1_000, STEPS, 0.75))) > 990
    with pytest.raises(noise.Overspent):
        noise._check(0.76, 0.75)


def test_every_measure_is_near_the_truth_where_the_budget_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a thousand times the epsilon the noise is gone, and what is left is the arithmetic."""
    monkeypatch.setattr("sharing.aggregate.question.EPSILON_MILLIONTHS", 5_000_000_000)
    monkeypatch.setattr(noise, "WIDENING", 0.0)
    measures = [{"of": "count"}, *({"of": kind, "field": "duration_s"} for kind in ("sum", "mean", "quantile"))]
    said = answer(
        {
            "measures": [*measures, {"of": "histogram", "field": "duration_s", "bins": 6}],
            "epsilon_millionths": 5_000_000_000,
        }
    )
    values = dict(zip(said["measures"], (one["value"] for one in said["groups"][0]["values"]), strict=True))

    assert values["count"] == N
    assert values["sum(duration_s)"] == pytest.approx(sum(FACTS["duration_s"]), abs=1)
    assert values["mean(duration_s)"] == pytest.approx(32.5, abs=0.1)
    assert values["quantile(duration_s, 0.5)"] == pytest.approx(32.5, abs=1.0)
    assert values["histogram(duration_s, 6)"] == [
        sum(10 * place <= value < 10 * place + 10 or (place == 5 and value == 60) for value in FACTS["duration_s"])
        for place in range(6)
    ]


def test_filters_and_groups_are_those_of_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """By two texts, with a condition on a number."""
    monkeypatch.setattr("sharing.aggregate.question.EPSILON_MILLIONTHS", 5_000_000_000)
    monkeypatch.setattr(noise, "WIDENING", 0.0)
    question = {
        "measures": [{"of": "count"}],
        "by": ["status"],
        "where": [{"field": "duration_s", "from": "20", "to": "40"}],
    }
    said = answer({**question, "epsilon_millionths": 5_000_000_000})

    expected = {
        status: sum(
            20 <= value < 40 for value, one in zip(FACTS["duration_s"], FACTS["status"], strict=True) if one == status
        )
        for status in ("failure", "success")
    }
    assert {group["by"]["status"]: group["values"][0]["value"] for group in said["groups"]} == expected


def test_a_group_of_one_episode_is_not_shown() -> None:
    """A task that one episode alone has is never named, whether or not the terms declare it."""
    for _ in range(20):
        groups = answer({"measures": [{"of": "count"}], "by": ["task"]})["groups"]
        assert {group["by"]["task"] for group in groups} <= {"pick", "place"}


def test_declared_groups_alone_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the terms do not name is not seen, also where it is most of the data."""
    groups = answer({"measures": [{"of": "count"}], "by": ["task"]}, task=("place", "fold"))["groups"]
    assert {group["by"]["task"] for group in groups} <= {"place", "fold"}
    assert "place" in {group["by"]["task"] for group in groups}


def test_counts_of_groups_are_not_paid_twice() -> None:
    """The counts by which groups are chosen are the answer's."""
    assert shares(Question.of({"measures": [{"of": "count"}], "by": ["task"]})) == 1
    assert shares(Question.of({**SUM, "by": ["task"]})) == 2
    assert shares(Question.of({"measures": [{"of": "mean", "field": "quality"}]})) == 2


def test_bounds_are_declared_and_never_learned() -> None:
    """The terms' come first, then everybody's; where there are neither, the question is refused."""
    declared = {"aggregate-bounds": {"duration_s": "1..9", "observation_velocity": "-20..20"}}
    assert str(bounds_of(field_of("duration_s"), declared)) == "1..9"
    assert str(bounds_of(field_of("duration_s"), {})) == "0..600"
    assert str(bounds_of(field_of("observation.velocity[0].max"), declared)) == "-20..20"
    assert str(bounds_of(field_of("observation.velocity[0].rms"), declared)) == "0..20"
    assert str(bounds_of(field_of("observation.velocity[0].std"), declared)) == "0..20"
    with pytest.raises(InvalidQuestion, match="observation_velocity"):
        bounds_of(field_of("observation.velocity[0].max"), {})
    with pytest.raises(InvalidQuestion, match="lower"):
        bounds_of(field_of("duration_s"), {"aggregate-bounds": {"duration_s": "9..1"}})


@pytest.mark.parametrize(
    "declared",
    [
        {"aggregate-bounds": {"duration_s": "9..1"}},
        {"aggregate-bounds": {"duration_s": "wide"}},
        {"aggregate-values": {"task": "|"}},
        {"aggregate-values": {"operator": "a|b"}},
        {"aggregate-noise": {"off": "yes"}},
    ],
    ids=str,
)
def test_declarations_that_no_question_can_use_are_refused_before_anybody_signs(declared: dict) -> None:
    """The message names the place."""
    with pytest.raises(InvalidTerms, match="aggregate-"):
        check_declared(declared)
    check_declared({"aggregate-bounds": {"duration_s": "0..60"}, "aggregate-values": {"task": "walk|run"}})
