"""What a client says it wants to read, weighed against the smallest and largest values of files.

Hints are hints: a file is left out only if none of its rows can match, and what cannot be read, or says nothing about
a column that is there, leaves nothing out (Delta Sharing PROTOCOL.md, "SQL Expressions for Filtering" and "JSON
predicates for Filtering"). Columns that were not granted are like columns that do not exist.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sharing.document import BadDocument, parse

HINTS_MAX, HINT_CHARACTERS, JSON_BYTES = 100, 1_000, 64 << 10
_NODES_MAX = 1_000

Stats = Mapping[str, tuple[Any, Any]]
"""Smallest and largest value of a file by column, the names in small letters."""


@dataclass(frozen=True)
class May:
    """Whether, for some row of a file, a condition can be true, and whether it can be false."""

    true: bool = True
    false: bool = True


Condition = Callable[[Stats], May]
_UNKNOWN = May()

_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "<>": "<>"}
_COMPARED: Mapping[str, Callable[[Any, Any, Any], May]] = {
    "=": lambda low, high, value: May(low <= value <= high, not low == value == high),
    "<>": lambda low, high, value: May(not low == value == high, low <= value <= high),
    "<": lambda low, high, value: May(low < value, high >= value),
    "<=": lambda low, high, value: May(low <= value, high > value),
    ">": lambda low, high, value: May(high > value, low <= value),
    ">=": lambda low, high, value: May(high >= value, low < value),
}
_OPERATIONS = {"equal": "=", "lessThan": "<", "lessThanOrEqual": "<=", "greaterThan": ">", "greaterThanOrEqual": ">="}


def compared(column: str, operation: str, value: Any) -> Condition:
    """Return the condition that a column stands so to a value. operation: One of = <> < <= > >=."""
    name, compare = column.lower(), _COMPARED[operation]

    def condition(stats: Stats) -> May:
        found = stats.get(name)
        if found is None or not _alike(found[0], value) or not _alike(found[1], value):
            return _UNKNOWN
        return compare(found[0], found[1], value)

    return condition


def conditions(sql: object, json_text: object) -> list[Condition]:
    """Return the conditions of `predicateHints` and `jsonPredicateHints`; those that cannot be read are not there."""
    found = []
    if isinstance(sql, list):
        for hint in sql[:HINTS_MAX]:
            condition = of_sql(hint) if isinstance(hint, str) else None
            if condition is not None:
                found.append(condition)
    if isinstance(json_text, str):
        condition = of_json(json_text)
        if condition is not None:
            found.append(condition)
    return found


def may_match(wanted: Sequence[Condition], stats: Stats) -> bool:
    """Whether a file can hold a row for which all conditions are true."""
    return all(condition(stats).true for condition in wanted)


# SQL: one comparison of a column with a constant.

_NAME = r"(?P<name>`[^`]{1,255}`|[A-Za-z_][A-Za-z0-9_.-]{0,254})"
_VALUE = r"(?P<value>'(?:[^']|'')*'|\"[^\"]*\"|[-+]?[0-9.]{1,40}(?:[eE][-+]?[0-9]{1,3})?|true|false)"
_OPERATION = r"\s*(?P<operation><=|>=|<>|!=|==|=|<|>)\s*"
_FORWARD = re.compile(rf"\s*{_NAME}{_OPERATION}{_VALUE}\s*", re.IGNORECASE)
_BACKWARD = re.compile(rf"\s*{_VALUE}{_OPERATION}{_NAME}\s*", re.IGNORECASE)


def of_sql(hint: str) -> Condition | None:
    """Return the condition of an SQL expression of the protocol's subset; None for any other."""
    if len(hint) > HINT_CHARACTERS:
        return None
    forward = _FORWARD.fullmatch(hint)
    found = forward or _BACKWARD.fullmatch(hint)
    if found is None:
        return None
    operation = {"!=": "<>", "==": "="}.get(found["operation"], found["operation"])
    value = _constant(found["value"])
    if value is None:
        return None
    return compared(found["name"].strip("`"), operation if forward else _MIRRORED[operation], value)


def _constant(text: str) -> Any:
    if text[0] == "'":
        return text[1:-1].replace("''", "'")
    if text[0] == '"':
        return text[1:-1]
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return _number(text)


# JSON: a tree.


def of_json(text: str) -> Condition | None:
    """Return the condition of a tree of predicates; None for what is none, is too long or too deep."""
    try:
        tree = parse(text, max_bytes=JSON_BYTES)
        return _tree(tree, [_NODES_MAX])
    except (BadDocument, _Unreadable):
        return None


class _Unreadable(Exception):
    pass


def _tree(node: Any, left: list[int]) -> Condition:
    left[0] -= 1
    if left[0] < 0 or not isinstance(node, dict) or not isinstance(node.get("op"), str):
        raise _Unreadable
    operation, children = node["op"], node.get("children", [])
    if not isinstance(children, list):
        raise _Unreadable
    if operation in ("and", "or"):
        parts = [_tree(child, left) for child in children]
        if not parts:
            raise _Unreadable
        return _all(parts) if operation == "and" else _any(parts)
    if operation == "not" and len(children) == 1:
        inner = _tree(children[0], left)
        return lambda stats: May((told := inner(stats)).false, told.true)
    if operation == "isNull" and len(children) == 1:
        # How many values are null is told by no file.
        return lambda stats: _UNKNOWN
    if operation in _OPERATIONS and len(children) == 2:
        return _comparison(_OPERATIONS[operation], *children)
    raise _Unreadable


def _all(parts: list[Condition]) -> Condition:
    def condition(stats: Stats) -> May:
        told = [part(stats) for part in parts]
        return May(all(one.true for one in told), any(one.false for one in told))

    return condition


def _any(parts: list[Condition]) -> Condition:
    def condition(stats: Stats) -> May:
        told = [part(stats) for part in parts]
        return May(any(one.true for one in told), all(one.false for one in told))

    return condition


def _comparison(operation: str, left: Any, right: Any) -> Condition:
    if not isinstance(left, dict) or not isinstance(right, dict):
        raise _Unreadable
    if (left.get("op"), right.get("op")) == ("literal", "column"):
        left, right, operation = right, left, _MIRRORED[operation]
    if (left.get("op"), right.get("op")) != ("column", "literal") or not isinstance(left.get("name"), str):
        raise _Unreadable
    value = _literal(right.get("value"), right.get("valueType"))
    # A column that is to be cast to another type than it has compares otherwise than its limits do.
    if value is None or left.get("valueType") != right.get("valueType"):
        return lambda stats: _UNKNOWN
    return compared(left["name"], operation, value)


def _literal(value: Any, kind: Any) -> Any:
    text = str(value) if isinstance(value, str | int) else ""
    if kind == "string" and isinstance(value, str):
        return value
    if kind == "bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind in ("int", "long", "float", "double") and not isinstance(value, bool):
        return _number(text)
    return None


def _number(text: str) -> int | float | None:
    """Return a number, whole ones exactly; None for none, and for what is not finite."""
    if len(text) > 40:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def _alike(one: Any, other: Any) -> bool:
    """Whether two values are of kinds that compare: numbers, texts or truth values; a NaN compares with nothing."""
    if isinstance(one, bool) or isinstance(other, bool):
        return isinstance(one, bool) and isinstance(other, bool)
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == one and other == other
    return isinstance(one, str) and isinstance(other, str)
