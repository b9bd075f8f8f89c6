"""A question: measures, dimensions and filters, read strictly and put into one form, so that like questions are one.

    {"measures": [{"of": "count"}, {"of": "mean", "field": "duration_s"}],
     "by": ["task"],
     "where": [{"field": "status", "in": ["success"]}, {"field": "duration_s", "from": "2.5"}],
     "epsilon_millionths": 750000}

Nothing of it becomes SQL: names are looked up, values are bound.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from sharing.aggregate.field import TEXTS, Field, field_of
from sharing.aggregate.number import decimal, plain
from sharing.document import BadDocument, parse
from sharing.errors import InvalidQuestion
from sharing.terms import canonical

MAX_BYTES = 16_384
MAX_MEASURES, MAX_DIMENSIONS, MAX_FILTERS, MAX_VALUES, MAX_BINS, MAX_TEXT = 8, 3, 8, 64, 100, 500
EPSILON_MILLIONTHS = 750_000
"""What a question costs if it says nothing, and at most: so the difference of two sums errs by more than twice the
range of one value (median 2.2), and a sum by less than five of them in 19 of 20 cases (docs/aggregates.md)."""
EPSILON_LEAST = 10_000
KINDS = ("count", "sum", "mean", "histogram", "quantile")


@dataclass(frozen=True, order=True)
class Measure:
    """One number, or one row of numbers, for each group.

    Attributes:
        kind: One of `KINDS`.
        field: What of; an empty name for `count`.
        bins: Of a histogram, over the field's bounds.
        at: Of a quantile, from 0 to 1, as text.
    """

    kind: str
    field: Field
    bins: int = 0
    at: str = ""

    @property
    def name(self) -> str:
        """What it is called in answers."""
        more = f", {self.at or self.bins}" if self.at or self.bins else ""
        return "count" if self.kind == "count" else f"{self.kind}({self.field.name}{more})"

    @property
    def releases(self) -> int:
        """How many noisy values of each episode it takes: a mean is a sum by a count."""
        return 2 if self.kind == "mean" else 1


@dataclass(frozen=True, order=True)
class Condition:
    """Which episodes count: those whose text is one of `values`, or whose number is in [`begin`, `end`)."""

    field: Field
    values: tuple[str, ...] = ()
    begin: str = ""
    end: str = ""


@dataclass(frozen=True)
class Question:
    """What is asked, in its one form: everything that is a set is sorted, and what is said twice stands once."""

    measures: tuple[Measure, ...]
    by: tuple[Field, ...]
    where: tuple[Condition, ...]
    epsilon_millionths: int
    version: int = 0

    @classmethod
    def from_json(cls, text: bytes | str) -> Self:
        """Return the question of a JSON text. Raises InvalidQuestion, which names what is wrong."""
        try:
            return cls.of(parse(text, max_bytes=MAX_BYTES))
        except BadDocument as error:
            raise InvalidQuestion(f"question: {error}") from None

    @classmethod
    def of(cls, value: Any) -> Self:
        """Return the question of plain values. Raises InvalidQuestion."""
        known = _object("question", value, {"measures", "by", "where", "epsilon_millionths", "version"})
        measures = tuple(sorted({_measure(item) for item in _list("measures", known, MAX_MEASURES)}))
        if not measures:
            raise InvalidQuestion("measures: at least one")
        by = tuple(sorted({field_of(item) for item in _list("by", known, MAX_DIMENSIONS)}))
        for field in by:
            if not field.is_text:
                raise InvalidQuestion(f"by: {field.name} is a number; ask for a histogram of it")
        epsilon = _whole("epsilon_millionths", known, EPSILON_MILLIONTHS, EPSILON_LEAST, EPSILON_MILLIONTHS)
        where = _conditions(_list("where", known, MAX_FILTERS))
        return cls(measures, by, where, epsilon, _whole("version", known, 0, 0, 10**9))

    @property
    def fields(self) -> tuple[Field, ...]:
        """All fields that it looks at, each once."""
        found = [measure.field for measure in self.measures if measure.kind != "count"]
        return tuple(sorted({*found, *self.by, *(one.field for one in self.where)}))

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values, without the version; `of` takes it back."""
        measures: list[dict[str, Any]] = []
        for one in self.measures:
            plain_one: dict[str, Any] = {"of": one.kind}
            plain_one |= {"field": one.field.name} if one.kind != "count" else {}
            plain_one |= {"bins": one.bins} if one.bins else {}
            measures.append(plain_one | ({"at": one.at} if one.at else {}))
        where: list[dict[str, Any]] = []
        for condition in self.where:
            some: dict[str, Any] = {"in": list(condition.values)} if condition.values else {}
            some |= {"from": condition.begin} if condition.begin else {}
            some |= {"to": condition.end} if condition.end else {}
            where.append({"field": condition.field.name, **some})
        return {
            "measures": measures,
            "by": [field.name for field in self.by],
            "where": where,
            "epsilon_millionths": self.epsilon_millionths,
        }

    def digest(self) -> str:
        """Return the SHA-256 of the form, hexadecimal: two questions that mean the same have the same."""
        return hashlib.sha256(canonical(self.as_json())).hexdigest()


def _measure(value: Any) -> Measure:
    known = _object("measures", value, {"of", "field", "bins", "at"})
    kind = known.get("of")
    if kind not in KINDS:
        raise InvalidQuestion(f"measures: of: must be one of {', '.join(KINDS)}")
    takes = {"count": set(), "histogram": {"field", "bins"}, "quantile": {"field", "at"}}.get(kind, {"field"})
    if extra := sorted(set(known) - {"of"} - takes):
        raise InvalidQuestion(f"measures: {kind} takes no {extra[0]}")
    if kind == "count":
        return Measure(kind, Field(""))
    field = field_of(known.get("field"))
    if field.is_text:
        raise InvalidQuestion(f"measures: {kind}: {field.name} is no number; ask for a count by it")
    bins = _whole("bins", known, 10, 2, MAX_BINS) if kind == "histogram" else 0
    at = ""
    if kind == "quantile":
        share = _decimal("at", known.get("at", "0.5"))
        if not 0 <= share <= 1:
            raise InvalidQuestion("at: must be from 0 to 1")
        at = plain(share)
    return Measure(kind, field, bins, at)


def _conditions(values: Sequence[Any]) -> tuple[Condition, ...]:
    """Return one condition for each field: all that are said of it hold together."""
    texts: dict[Field, set[str]] = {}
    spans: dict[Field, tuple[Decimal | None, Decimal | None]] = {}
    for value in values:
        known = _object("where", value, {"field", "in", "from", "to"})
        field = field_of(known.get("field"))
        if field.is_text:
            if set(known) != {"field", "in"}:
                raise InvalidQuestion(f"where: {field.name} takes a list: in")
            some = set(_list("in", known, MAX_VALUES))
            if not all(isinstance(one, str) and len(one) <= MAX_TEXT for one in some) or not some:
                raise InvalidQuestion(f"in: must be texts of at most {MAX_TEXT} characters, at least one")
            texts[field] = texts[field] & some if field in texts else some
        else:
            if "in" in known or len(known) < 2:
                raise InvalidQuestion(f"where: {field.name} takes from (and above), to (and without), or both")
            begin, end = spans.get(field, (None, None))
            if "from" in known:
                least = _decimal("from", known["from"])
                begin = least if begin is None else max(begin, least)
            if "to" in known:
                most = _decimal("to", known["to"])
                end = most if end is None else min(end, most)
            spans[field] = begin, end
    found = []
    for field, some in texts.items():
        if not some:
            raise InvalidQuestion(f"where: no episode can meet these conditions on {field.name}")
        # Everything that there can be is no condition.
        if not TEXTS[field.name] or set(TEXTS[field.name]) - some:
            found.append(Condition(field, tuple(sorted(some))))
    for field, (begin, end) in spans.items():
        if begin is not None and end is not None and begin >= end:
            raise InvalidQuestion(f"where: no episode can meet these conditions on {field.name}")
        found.append(Condition(field, (), *("" if one is None else plain(one) for one in (begin, end))))
    return tuple(sorted(found))


def _object(what: str, value: Any, known: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidQuestion(f"{what}: must be an object")
    if unknown := sorted(set(value) - known):
        raise InvalidQuestion(
            f"{what}: {unknown[0][:80]!r}: there is no such field; there are {', '.join(sorted(known))}"
        )
    return value


def _list(what: str, known: dict[str, Any], most: int) -> list[Any]:
    value = known.get(what, [])
    if not isinstance(value, list) or len(value) > most:
        raise InvalidQuestion(f"{what}: must be a list of at most {most}")
    if any(isinstance(item, list) for item in value):
        raise InvalidQuestion(f"{what}: holds no lists")
    if what == "in" and any(isinstance(item, dict) for item in value):
        raise InvalidQuestion("in: must be texts")
    return value


def _whole(what: str, known: dict[str, Any], usual: int, least: int, most: int) -> int:
    value = known.get(what, usual)
    if type(value) is not int or not least <= value <= most:
        raise InvalidQuestion(f"{what}: must be a whole number from {least} to {most}")
    return value


def _decimal(what: str, value: Any) -> Decimal:
    try:
        return decimal(value)
    except ValueError as error:
        raise InvalidQuestion(f"{what}: {error}") from None
