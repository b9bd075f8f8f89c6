"""Questions: one form for all that mean the same, and a refusal with a reason for everything else."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharing.aggregate.question import MAX_MEASURES, Question
from sharing.errors import InvalidQuestion

COUNT = {"of": "count"}


def ask(**fields: Any) -> Question:
    """Return a question that counts, but for what is said."""
    return Question.of({"measures": [COUNT], **fields})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"by": ["task", "status"]}, {"by": ["status", "task", "task"]}),
        ({"where": [{"field": "task", "in": ["a", "b"]}]}, {"where": [{"field": "task", "in": ["b", "a", "b"]}]}),
        (
            {"where": [{"field": "task", "in": ["a", "b"]}, {"field": "task", "in": ["b", "c"]}]},
            {"where": [{"field": "task", "in": ["b"]}]},
        ),
        (
            {"where": [{"field": "duration_s", "from": "2.50"}, {"field": "duration_s", "from": 1, "to": "9"}]},
            {"where": [{"field": "duration_s", "from": "2.5", "to": 9}]},
        ),
        ({"where": [{"field": "level", "in": ["L1", "L2", "L3", "L4"]}]}, {}),
        (
            {"measures": [COUNT, {"of": "sum", "field": "quality"}]},
            {"measures": [{"of": "sum", "field": "quality"}, COUNT]},
        ),
        (
            {"measures": [{"of": "quantile", "field": "quality", "at": "0.50"}]},
            {"measures": [{"of": "quantile", "field": "quality"}]},
        ),
        ({"epsilon_millionths": 750_000}, {}),
        ({"where": [{"field": "duration_s", "from": "-0"}]}, {"where": [{"field": "duration_s", "from": 0}]}),
    ],
)
def test_questions_that_mean_the_same_are_one(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Order, repetition, spelling of numbers and conditions that say nothing make no difference."""
    assert ask(**one).digest() == ask(**other).digest()


@pytest.mark.parametrize(
    "other",
    [
        {"by": ["task"]},
        {"where": [{"field": "task", "in": ["a"]}]},
        {"epsilon_millionths": 500_000},
        {"measures": [{"of": "sum", "field": "quality"}]},
    ],
)
def test_questions_that_differ_are_two(other: dict[str, Any]) -> None:
    """Each of these is another question, which costs of its own."""
    assert ask().digest() != ask(**other).digest()


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"measures": []}, "measures"),
        ({"measures": [COUNT] * (MAX_MEASURES + 1)}, "measures"),
        ({"measures": [{"of": "sql"}]}, "of"),
        ({"measures": [{"of": "sum", "field": "task"}]}, "task"),
        ({"measures": [{"of": "sum", "field": "password"}]}, "password"),
        ({"measures": [{"of": "sum", "field": "observation.state[0].argmax"}]}, "argmax"),
        ({"measures": [{"of": "count", "field": "task"}]}, "field"),
        ({"measures": [{"of": "histogram", "field": "quality", "bins": True}]}, "bins"),
        ({"measures": [{"of": "quantile", "field": "quality", "at": "2"}]}, "at"),
        ({"by": ["duration_s"]}, "duration_s"),
        ({"where": [{"field": "task", "in": []}]}, "in"),
        ({"where": [{"field": "task", "in": [1]}]}, "in"),
        ({"where": [{"field": "task", "in": ["x" * 501]}]}, "in"),
        ({"where": [{"field": "duration_s", "from": "9", "to": "9"}]}, "duration_s"),
        ({"where": [{"field": "duration_s", "from": "1e9"}]}, "from"),
        ({"where": [{"field": "duration_s"}]}, "duration_s"),
        ({"epsilon_millionths": 750_001}, "epsilon"),
        ({"epsilon_millionths": 0}, "epsilon"),
        ({"epsilon_millionths": True}, "epsilon"),
        ({"sql": "select 1"}, "sql"),
        ({"by": [["task"]]}, "by"),
        ({"by": {"task": 1}}, "by"),
    ],
)
def test_what_breaks_a_rule_is_refused_by_name(said: dict[str, Any], named: str) -> None:
    """The message names the field that is wrong."""
    with pytest.raises(InvalidQuestion, match=named):
        ask(**said)


@settings(max_examples=30, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["measures", "of", "field", "in", "where", "by", "from", "x"]), inner, max_size=4
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_is_sent_is_a_question_or_refused(value: Any) -> None:
    """No other error comes of any JSON."""
    try:
        question = Question.of(value)
    except InvalidQuestion:
        return
    assert Question.of(question.as_json()) == question


def test_text_that_is_no_strict_json_is_refused() -> None:
    """A name that stands twice, a fraction, a depth of a thousand."""
    for text in (
        '{"measures": [], "measures": []}',
        '{"measures": 0.5}',
        "[" * 1000,
        b"\xff",
        json.dumps("x" * 20_000),
    ):
        with pytest.raises(InvalidQuestion):
            Question.from_json(text)
