"""No hint leaves out a file that holds a row for which it is true."""

import json
import operator
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharing.delta.hints import conditions, may_match, of_json, of_sql

OPERATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
NAMES = {"=": "equal", "<": "lessThan", "<=": "lessThanOrEqual", ">": "greaterThan", ">=": "greaterThanOrEqual"}
numbers = st.integers(-20, 20) | st.floats(-20, 20, width=32).map(float)


def stats_of(rows: list[Any]) -> dict[str, tuple[Any, Any]]:
    return {"x": (min(rows), max(rows))}


@given(st.lists(numbers, min_size=1), st.sampled_from(sorted(OPERATIONS)), numbers, st.booleans())
def test_a_comparison_in_sql_keeps_every_file_that_matches(
    rows: list[float], operation: str, value: float, backwards: bool
) -> None:
    text = f"{value!r} {operation} X" if backwards else f"`x`{operation}{value!r}"
    condition = of_sql(text)
    assert condition is not None
    compare = OPERATIONS[operation]
    matches = any(compare(value, row) if backwards else compare(row, value) for row in rows)
    assert may_match([condition], stats_of(rows)) or not matches


def trees() -> st.SearchStrategy[tuple[dict[str, Any], Callable[[float], bool]]]:
    def leaf(operation: str, value: float, mirrored: bool) -> tuple[dict[str, Any], Callable[[float], bool]]:
        column = {"op": "column", "name": "x", "valueType": "double"}
        literal = {"op": "literal", "value": repr(value), "valueType": "double"}
        compare = OPERATIONS[operation]
        children = [literal, column] if mirrored else [column, literal]
        return (
            {"op": NAMES[operation], "children": children},
            (lambda row: compare(value, row)) if mirrored else (lambda row: compare(row, value)),
        )

    leaves = st.builds(leaf, st.sampled_from(sorted(NAMES)), numbers, st.booleans())

    def joined(name: str, parts: list[Any]) -> tuple[dict[str, Any], Callable[[float], bool]]:
        fold = all if name == "and" else any
        return {"op": name, "children": [tree for tree, _ in parts]}, lambda row: fold(holds(row) for _, holds in parts)

    return st.recursive(
        leaves,
        lambda inner: (
            st.builds(joined, st.sampled_from(["and", "or"]), st.lists(inner, min_size=1, max_size=3))
            | inner.map(lambda one: ({"op": "not", "children": [one[0]]}, lambda row: not one[1](row)))
        ),
        max_leaves=6,
    )


@given(trees(), st.lists(numbers, min_size=1, max_size=5))
def test_a_tree_in_json_keeps_every_file_that_matches(
    tree: tuple[dict[str, Any], Callable[[float], bool]], rows: list[float]
) -> None:
    condition = of_json(json.dumps(tree[0]))
    if condition is not None:
        assert may_match([condition], stats_of(rows)) or not any(map(tree[1], rows))


@given(numbers, numbers)
def test_a_comparison_leaves_out_what_lies_beyond(low: float, value: float) -> None:
    condition = of_sql(f"x < {value!r}")
    assert condition is not None
    assert may_match([condition], {"x": (low, low + 1)}) == (low < value)


@pytest.mark.parametrize(
    ("hint", "limits", "may"),
    [
        ("task = 'walk'", ("run", "walk"), True),
        ("task = 'it''s'", ("a", "b"), False),
        ("task > 3", ("run", "walk"), True),
        ("task = true", (False, False), False),
        ("task <> 'walk'", ("walk", "walk"), False),
        ("task = 5", (float("nan"), float("nan")), True),
        ("other = 5", (6, 7), True),
    ],
)
def test_values_are_weighed_by_their_kind(hint: str, limits: tuple[Any, Any], may: bool) -> None:
    assert may_match(conditions([hint], None), {"task": limits}) == may


@pytest.mark.parametrize(
    "hint", ["", "x", "x IS NULL", "x > 1 AND x < 2", "x IN (1)", "f(x) = 1", "x = 1.2.3", "1 = 1"]
)
def test_what_is_not_of_the_protocols_subset_is_no_condition(hint: str) -> None:
    assert of_sql(hint) is None


def test_a_column_that_is_to_be_cast_says_nothing() -> None:
    column = {"op": "column", "name": "x", "valueType": "string"}
    tree = {"op": "equal", "children": [column, {"op": "literal", "value": "9", "valueType": "int"}]}
    assert may_match(conditions(None, json.dumps(tree)), {"x": (10, 20)})


@given(st.text(st.sampled_from("x`'\"<>=1.- é\x00{}[]"), max_size=40))
def test_any_text_is_a_hint_or_none(text: str) -> None:
    for condition in conditions([text], text):
        condition({"x": (1, 2)})
