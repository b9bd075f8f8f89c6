"""Identifiers sort by time and fit into names."""

import re
import time
import uuid

from hypothesis import given
from hypothesis import strategies as st

from palaestra.ids import new_id, new_ids, new_request_id, text, uuid7

CHANCE = st.integers(0, (1 << 74) - 1)
UNIX_NS = st.integers(0, (1 << 48) * 1_000_000 - 1)


@given(UNIX_NS, CHANCE)
def test_an_id_is_a_uuid_of_version_7_with_its_time(unix_ns: int, chance: int) -> None:
    value = uuid7(unix_ns, chance)

    assert (value.version, value.variant) == (7, uuid.RFC_4122)
    assert value.int >> 80 == unix_ns // 1_000_000


@given(st.tuples(UNIX_NS, CHANCE), st.tuples(UNIX_NS, CHANCE))
def test_texts_sort_as_their_uuids(first: tuple[int, int], second: tuple[int, int]) -> None:
    a, b = uuid7(*first), uuid7(*second)

    assert (a < b) == (text(a) < text(b))


@given(UNIX_NS, CHANCE, CHANCE)
def test_other_chance_makes_another_id(unix_ns: int, first: int, second: int) -> None:
    assert (uuid7(unix_ns, first) == uuid7(unix_ns, second)) == (first == second)


def test_new_ids_fit_into_names_and_differ() -> None:
    ids = {new_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert all(re.fullmatch("[0-9a-z]{26}", value) for value in ids)
    assert uuid.UUID(new_request_id()).version == 7


def test_ids_made_together_are_as_those_made_alone() -> None:
    """Each bit that is left to chance is 0 in some and 1 in others; of 1,000, one in 10^299 times not."""
    before_ms = time.time_ns() // 1_000_000
    values = [_value(one) for one in new_ids(1000)]

    assert new_ids(0) == []
    assert len(set(values)) == 1000
    assert {(value.version, value.variant) for value in values} == {(7, uuid.RFC_4122)}
    assert all(before_ms <= value.int >> 80 <= time.time_ns() // 1_000_000 for value in values)
    some = every = values[0].int
    for value in values:
        some, every = some | value.int, every & value.int
    fixed = (1 << 80) - 1 & ~(0xFFF << 64 | (1 << 62) - 1)
    assert (some ^ every) & ((1 << 80) - 1) == (1 << 80) - 1 & ~fixed


def _value(name: str) -> uuid.UUID:
    """Read an id as what it is the text of."""
    number = 0
    for character in name:
        number = number * 32 + "0123456789abcdefghjkmnpqrstvwxyz".index(character)
    assert text(uuid.UUID(int=number)) == name
    return uuid.UUID(int=number)
