"""Reads the tables of a venue file and checks each value: what is wrong raises BadConfiguration, told by its field."""

import math
import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

COUNT_MAX = 100_000


class BadConfiguration(Exception):
    """A venue file that cannot be used; the message names file, table and field."""


def table(tables: Mapping[str, Any], key: str, source: str) -> Mapping[str, Any]:
    """Return a table, an empty one if there is none."""
    found = tables.get(key, {})
    if not isinstance(found, Mapping):
        raise BadConfiguration(f"{source}: {key} is {found!r}, must be a table")
    return found


def tables(tables: Mapping[str, Any], key: str, source: str) -> list[Mapping[str, Any]]:
    """Return an array of tables."""
    found = tables.get(key, [])
    if not isinstance(found, list) or not all(isinstance(table, Mapping) for table in found):
        raise BadConfiguration(f"{source}: {key} is {found!r}, must be tables: [[{key}]]")
    return found


def text(table: Mapping[str, Any], key: str, default: str, source: str, what: str) -> str:
    """Return a text."""
    value = table.get(key, default)
    if not isinstance(value, str):
        raise BadConfiguration(f"{source}: {what}: {key} is {value!r}, not a text")
    return value


def flag(table: Mapping[str, Any], key: str, source: str, what: str) -> bool:
    """Return true or false; false where nothing is said."""
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise BadConfiguration(f"{source}: {what}: {key} is {value!r}, not true or false")
    return value


def names(table: Mapping[str, Any], key: str, source: str, what: str) -> frozenset[str]:
    """Return a list of names. An empty one is refused: it would not mean nothing but the whole venue."""
    value = table.get(key)
    if value is None:
        return frozenset()
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise BadConfiguration(f"{source}: {what}: {key} is {value!r}, not a list of names")
    return frozenset(value)


def local_time(table: Mapping[str, Any], key: str, source: str, what: str) -> datetime:
    """Return a local time of the venue, in whole seconds."""
    value = table.get(key)
    if not isinstance(value, datetime) or value.tzinfo is not None:
        raise BadConfiguration(
            f"{source}: {what}: {key} is {value!r}, not a local time of the venue such as 2026-01-05T08:00:00"
        )
    return value.replace(microsecond=0)


def id(table: Mapping[str, Any], source: str, what: str) -> str:
    """Return the id of a table: lower-case letters, digits and hyphens."""
    name = table.get("id", "")
    if not isinstance(name, str) or not re.fullmatch("[a-z0-9-]+", name):
        raise BadConfiguration(f"{source}: {what}: id is {name!r}; lower-case letters, digits and hyphens are allowed")
    return name


def finite(value: Any, source: str, what: str) -> float:
    """Return a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadConfiguration(f"{source}: {what} is {value!r}, not a finite number")
    return float(value)


def positive(value: Any, source: str, what: str) -> float:
    """Return a positive number."""
    number = finite(value, source, what)
    if number <= 0:
        raise BadConfiguration(f"{source}: {what} is {value!r}, must be positive")
    return number


def count(value: Any, source: str, what: str) -> int:
    """Return a whole number from 0 to COUNT_MAX."""
    if type(value) is not int or not 0 <= value <= COUNT_MAX:
        raise BadConfiguration(f"{source}: {what} is {value!r}, must be a whole number from 0 to {COUNT_MAX}")
    return value


def fraction(value: Any, source: str, what: str) -> float:
    """Return a number from 0 to 1."""
    number = finite(value, source, what)
    if not 0 <= number <= 1:
        raise BadConfiguration(f"{source}: {what} is {value!r}, must be from 0 to 1")
    return number


def choice(value: Any, source: str, what: str) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise BadConfiguration(f"{source}: {what} is {value!r}, must be true or false")
    return value


def not_negative(value: Any, source: str, what: str) -> float:
    """Return a number of 0 or more."""
    number = finite(value, source, what)
    if number < 0:
        raise BadConfiguration(f"{source}: {what} is {value!r}, must not be negative")
    return number


def whole(value: Any, source: str, what: str, *, least: int = 1) -> int:
    """Return a whole number of at least `least`."""
    if type(value) is not int or value < least:
        raise BadConfiguration(f"{source}: {what} is {value!r}, must be a whole number of at least {least}")
    return value


def distinct(ids: list[str], source: str, what: str) -> None:
    """Raise BadConfiguration if an id occurs twice."""
    twice = sorted(name for name, count in Counter(ids).items() if count > 1)
    if twice:
        raise BadConfiguration(f"{source}: {what} {', '.join(twice)} occurs twice")
