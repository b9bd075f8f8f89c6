"""Terms: one form, one digest, and every field refused by name."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharing.document import BadDocument, parse
from sharing.errors import InvalidTerms
from sharing.odrl import from_odrl, to_odrl
from sharing.terms import FOREVER_S, Channel, Duty, Purpose, Terms
from tests.sharing.stage import NOW_S, terms

words = st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True)
printable = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20)


@st.composite
def any_terms(draw: st.DrawFn) -> Terms:
    begin_s = draw(st.integers(0, FOREVER_S - 1))
    end_s = draw(st.integers(begin_s + 1, FOREVER_S))
    channels = draw(st.lists(st.sampled_from(Channel), min_size=1, unique=True))
    first = draw(st.integers(1, 1000))
    return Terms(
        provider="vendors/aurora",
        consumer="vendors/borealis",
        data_set=f"vendors/aurora/datasets/{draw(words)}x",
        columns=tuple(draw(st.lists(words, min_size=1, max_size=8, unique=True))),
        purposes=tuple(draw(st.lists(st.sampled_from(Purpose), min_size=1, unique=True))),
        channels=tuple(channels),
        valid_from_s=begin_s,
        valid_until_s=end_s,
        first_version=first,
        last_version=draw(st.sampled_from([0, first, first + 7])),
        transforms=draw(st.dictionaries(words, st.dictionaries(words, printable, max_size=3), max_size=3)),
        duties=tuple(draw(st.lists(st.sampled_from(Duty), unique=True))),
        embargo_until_s=draw(st.one_of(st.just(0), st.integers(0, end_s - 1))),
        privacy_millionths=draw(st.integers(1, 10**9)) if Channel.AGGREGATE in channels else 0,
        price_microcredits=draw(st.integers(0, 10**12)),
        note=draw(printable),
    )


@given(any_terms())
@settings(max_examples=60, deadline=None)
def test_terms_survive_json_and_odrl_with_their_digest(one: Terms) -> None:
    assert Terms.from_json(one.canonical()) == one
    for kind in ("Offer", "Agreement"):
        again = from_odrl(json.loads(json.dumps(to_odrl(one, kind))))  # type: ignore[arg-type]
        assert (again, again.digest()) == (one, one.digest())


@given(st.permutations(["action", "observation.state", "observation.velocity"]))
def test_the_order_in_which_a_set_is_said_does_not_matter(columns: list[str]) -> None:
    assert terms(columns=columns).digest() == terms(columns=sorted(columns)).digest()


@given(any_terms(), st.sampled_from(["note", "valid_until_s", "last_version", "columns"]))
@settings(max_examples=30, deadline=None)
def test_other_terms_have_another_digest(one: Terms, field: str) -> None:
    other = one.as_json()
    change = {"note": one.note + "!", "valid_until_s": one.valid_until_s - 1, "last_version": one.first_version + 8}
    other[field] = change.get(field, [*one.columns, "zz.another"])
    try:
        assert Terms.of(other).digest() != one.digest()
    except InvalidTerms:
        assert field == "valid_until_s"


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("provider", "aurora", "provider: must be"),
        ("provider", "vendors/Aurora", "provider: must be"),
        ("provider", ["vendors/aurora"], "provider: must be"),
        ("consumer", "vendors/aurora", "consumer: is the provider"),
        ("consumer", "vendors/../x", "consumer: must be"),
        ("data_set", "vendors/borealis/datasets/walks", "data_set: is not one of"),
        ("data_set", "vendors/aurora/datasets/../x", "data_set: must be"),
        ("columns", [], "columns: at least 1"),
        ("columns", "action", "columns: must be a list"),
        ("columns", ["a", "a"], "columns: one stands there twice"),
        ("columns", ["a'; DROP TABLE x"], "no name of a column"),
        ("columns", [7], "columns: must be a list of texts"),
        ("columns", [f"c{number}" for number in range(1001)], "columns: more than 1000"),
        ("purposes", ["profit"], "purposes: 'profit' is none of"),
        ("channels", ["email"], "channels: 'email' is none of"),
        ("duties", ["pay"], "duties: 'pay' is none of"),
        ("valid_from_s", True, "valid_from_s: must be a whole number"),
        ("valid_from_s", -1, "valid_from_s: must be"),
        ("valid_until_s", NOW_S, "valid_until_s: must be after"),
        ("valid_until_s", FOREVER_S + 1, "valid_until_s: must be"),
        ("embargo_until_s", NOW_S + 10**9, "embargo_until_s: must be before"),
        ("first_version", 0, "first_version: must be"),
        ("last_version", -1, "last_version: must be"),
        ("privacy_millionths", 5, "privacy_millionths: goes with"),
        ("price_microcredits", -1, "price_microcredits: must be a whole number"),
        ("channels", ["aggregate"], "privacy_millionths: goes with"),
        ("transforms", [], "transforms: must be an object"),
        ("transforms", {"Shift!": {}}, "is no name of a transform"),
        ("transforms", {"shift": {"k": 1}}, "transforms.shift.k: must be"),
        ("transforms", {"shift": "x"}, "transforms.shift: must be"),
        ("note", "\x1b[2J", "note: holds characters"),
        ("note", "n" * 2001, "note: must be"),
        ("version", 2, "version: must be"),
        ("price", 3, "price: there is no such field"),
    ],
)
def test_a_field_that_breaks_its_rule_is_named(field: str, value: Any, says: str) -> None:
    with pytest.raises(InvalidTerms, match=says):
        Terms.of(terms().as_json() | {field: value})


def test_a_field_that_is_missing_is_named() -> None:
    for field in ("provider", "columns", "valid_until_s"):
        plain = terms().as_json()
        del plain[field]
        with pytest.raises(InvalidTerms, match=f"{field}: is missing"):
            Terms.of(plain)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b'{"a": NaN}', "numbers are whole"),
        (b'{"a": 1.5}', "numbers are whole"),
        (b'{"a": 1e400}', "numbers are whole"),
        (b'{"a": 9007199254740993}', "up to 2"),
        (b'{"a": ' + b"9" * 100_000 + b"}", "longer than|whole"),
        (b"[" * 100_000, "longer than|deeper"),
        (b"[" * 20 + b"]" * 20, "deeper than 16"),
        (b'["' + b"[" * 30 + b'"]', None),
        (b'["\\ud800"]', "not UTF-8"),
        (b'["\\"[[[[[[[[[[[[[[[[[[[["]', None),
    ],
)
def test_hostile_json_is_refused_with_its_reason(text: bytes, says: str | None) -> None:
    if says is None:
        parse(text, max_bytes=65_536)
        return
    with pytest.raises(BadDocument, match=says):
        parse(text, max_bytes=65_536)


@given(st.binary(max_size=200))
def test_any_bytes_are_terms_or_refused_as_such(text: bytes) -> None:
    with pytest.raises(InvalidTerms):
        Terms.from_json(text)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"@type": "Set"}, "policy.@type"),
        ({"obligation": []}, "policy.obligation: is not known"),
        ({"permission": []}, "there must be one"),
        ({"profile": "urn:x"}, "policy.profile"),
        ({"prohibition": [{"action": "sell"}]}, "distribute alone"),
        ({"assignee": "vendors/cygnus"}, "is not the assignee"),
        ({"palaestra:note": "other"}, "digest of other terms"),
    ],
)
def test_a_policy_with_anything_that_is_not_known_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidTerms, match=says):
        from_odrl(to_odrl(terms()) | change)


def test_a_constraint_that_is_not_known_is_refused_and_never_dropped() -> None:
    policy = to_odrl(terms())
    for odd in (
        {"leftOperand": "spatial", "operator": "eq", "rightOperand": "DE"},
        {"leftOperand": "dateTime", "operator": "lteq", "rightOperand": "2030-01-01T00:00:00Z"},
        {"leftOperand": "dateTime", "operator": "lt", "rightOperand": "2031-01-01T00:00:00Z"},
        {"leftOperand": "palaestra:embargo", "operator": "gteq", "rightOperand": "tomorrow"},
        {"leftOperand": "purpose", "operator": "isNoneOf", "rightOperand": ["training"]},
        {"leftOperand": "purpose"},
        "purpose",
    ):
        permission = dict(policy["permission"][0])
        permission["constraint"] = [*permission["constraint"], odd]
        with pytest.raises(InvalidTerms, match="constraint"):
            from_odrl(policy | {"permission": [permission]})
