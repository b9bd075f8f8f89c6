"""The terms under which one vendor lets another use a data set: what both sides sign. Immutable, checked when made.

Terms hold no fractions, so that their canonical JSON (RFC 8785) is Python's own sorted and spaceless form: times are
seconds since 1970-01-01 UTC, privacy budgets millionths of epsilon.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Self, TypeVar

from sharing.document import BadDocument, parse
from sharing.errors import InvalidTerms

VERSION = 1
MAX_COLUMNS, MAX_TEXT, MAX_BYTES = 1_000, 2_000, 65_536
MAX_TRANSFORMS, MAX_PARAMETERS, MAX_NAME, MAX_VALUE = 32, 16, 128, 500
MAX_PRIVACY_MILLIONTHS, MAX_VERSION, MAX_PRICE_MICROCREDITS = 1_000_000_000, 1_000_000_000, 10**12
FOREVER_S = 253_402_300_799
"""9999-12-31T23:59:59Z: the last second that may be named."""

_VENDOR = re.compile(r"vendors/[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_COLUMN = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.:/-]{0,127})")
_WORD = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_DATA_SET = re.compile(r"vendors/[a-z0-9-]{1,63}/datasets/[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")


class Channel(StrEnum):
    """Ways in which bytes, or answers, reach the consumer."""

    DELTA = "delta-share"
    EXPORT = "export"
    AGGREGATE = "aggregate"
    COMPUTE = "compute"


class Purpose(StrEnum):
    """What the data may serve. Technique enforces it in `aggregate` and `compute`, contract and marks elsewhere."""

    TRAINING = "training"
    EVALUATION = "evaluation"
    RESEARCH = "research"
    SAFETY = "safety"


class Duty(StrEnum):
    """What the consumer has to do; by contract."""

    DELETE_AT_END = "delete-at-end"
    REPORT_USE = "report-use"
    NO_REDISTRIBUTION = "no-redistribution"
    ATTRIBUTE = "attribute"


@dataclass(frozen=True)
class Terms:
    """What is granted, to whom, how, until when. A field that breaks its rule: InvalidTerms.

    Attributes:
        provider, consumer: The two sides, `vendors/{vendor}`.
        data_set: `vendors/{provider}/datasets/{name}`.
        first_version, last_version: Which versions; `last_version` 0 means also all that are yet to be made.
        columns: Signals as the store names them, such as `observation.state`; nothing else leaves.
        transforms: What is done to them on the way: name to parameters, such as `{"coarsen-time": {"step_ms": "10"}}`.
        purposes, channels, duties: See there.
        valid_from_s, valid_until_s: Term: from the first second on, up to and without the second.
        embargo_until_s: Before this no byte leaves, though the agreement stands. 0: none.
        privacy_millionths: Budget of epsilon for aggregates, in millionths; 0 without that channel.
        price_microcredits: What the consumer pays the provider for each version that it gets, once; 0: nothing. Terms
            without a price do not name it, so that those signed before there were prices keep their digest.
        note: Plain words for people.
    """

    provider: str
    consumer: str
    data_set: str
    columns: tuple[str, ...]
    purposes: tuple[Purpose, ...]
    channels: tuple[Channel, ...]
    valid_from_s: int
    valid_until_s: int
    first_version: int = 1
    last_version: int = 0
    transforms: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    duties: tuple[Duty, ...] = ()
    embargo_until_s: int = 0
    privacy_millionths: int = 0
    price_microcredits: int = 0
    note: str = ""
    version: int = VERSION

    def __post_init__(self) -> None:
        """Check every field, and put what is a set into one order, so that the same terms have the same digest."""
        for name, value in _checked(self).items():
            object.__setattr__(self, name, value)

    def canonical(self) -> bytes:
        """Return the bytes that both sides sign, without the domain prefix (see `sharing.signing`)."""
        return canonical(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Return the terms as plain values; `from_json` of their JSON gives the terms again."""
        plain: dict[str, Any] = {}
        for part in fields(self):
            value = getattr(self, part.name)
            if isinstance(value, tuple):
                value = list(map(str, value))
            elif isinstance(value, Mapping):
                value = {name: dict(parameters) for name, parameters in value.items()}
            plain[part.name] = value
        if not self.price_microcredits:
            del plain["price_microcredits"]
        return plain

    def digest(self) -> str:
        """Return the SHA-256 of the canonical form, hexadecimal: the terms' identity."""
        return hashlib.sha256(self.canonical()).hexdigest()

    @classmethod
    def from_json(cls, text: bytes | str) -> Self:
        """Return the terms of a JSON object. Raises InvalidTerms."""
        try:
            return cls.of(parse(text, max_bytes=MAX_BYTES))
        except BadDocument as error:
            raise InvalidTerms(f"terms: {error}") from None

    @classmethod
    def of(cls, plain: object) -> Self:
        """Return the terms of plain values, such as `as_json` gives. Raises InvalidTerms."""
        if not isinstance(plain, dict):
            raise InvalidTerms("terms: must be a JSON object")
        known = {part.name for part in fields(cls)}
        if unknown := sorted(set(plain) - known):
            raise InvalidTerms(f"{str(unknown[0])[:MAX_NAME]}: there is no such field")
        for part in fields(cls):
            if part.default is MISSING and part.default_factory is MISSING and part.name not in plain:
                raise InvalidTerms(f"{part.name}: is missing")
        return cls(**plain)


def canonical(value: Any) -> bytes:
    """Return RFC 8785 JSON of a value without fractions and without numbers above 2**53."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


W = TypeVar("W", bound=StrEnum)


def _checked(terms: Terms) -> dict[str, Any]:
    """Return the fields as they are kept. Raises InvalidTerms, which names the first that breaks its rule."""
    checked: dict[str, Any] = {
        "provider": _name("provider", terms.provider, _VENDOR, "vendors/{vendor}"),
        "consumer": _name("consumer", terms.consumer, _VENDOR, "vendors/{vendor}"),
        "data_set": _name("data_set", terms.data_set, _DATA_SET, "vendors/{vendor}/datasets/{name}"),
        "columns": _columns(terms.columns),
        "purposes": _words("purposes", terms.purposes, Purpose),
        "channels": _words("channels", terms.channels, Channel),
        "duties": _words("duties", terms.duties, Duty, least=0),
        "transforms": _transforms(terms.transforms),
        "note": _text(terms.note),
    }
    if terms.provider == terms.consumer:
        raise InvalidTerms("consumer: is the provider itself")
    if not terms.data_set.startswith(f"{terms.provider}/"):
        raise InvalidTerms(f"data_set: is not one of {terms.provider}")
    for name, least, most in (
        ("valid_from_s", 0, FOREVER_S),
        ("valid_until_s", 0, FOREVER_S),
        ("embargo_until_s", 0, FOREVER_S),
        ("first_version", 1, MAX_VERSION),
        ("last_version", 0, MAX_VERSION),
        ("privacy_millionths", 0, MAX_PRIVACY_MILLIONTHS),
        ("price_microcredits", 0, MAX_PRICE_MICROCREDITS),
        ("version", VERSION, VERSION),
    ):
        value = getattr(terms, name)
        # True is an int to Python, and no number of anything.
        if type(value) is not int or not least <= value <= most:
            raise InvalidTerms(f"{name}: must be a whole number from {least} to {most}")
    if terms.valid_until_s <= terms.valid_from_s:
        raise InvalidTerms("valid_until_s: must be after valid_from_s")
    if terms.embargo_until_s and terms.embargo_until_s >= terms.valid_until_s:
        raise InvalidTerms("embargo_until_s: must be before valid_until_s, or nothing is ever let out")
    if terms.last_version and terms.last_version < terms.first_version:
        raise InvalidTerms("last_version: must not be before first_version; 0 means all to come")
    if bool(terms.privacy_millionths) != (Channel.AGGREGATE in checked["channels"]):
        raise InvalidTerms("privacy_millionths: goes with the channel aggregate, and that channel needs it")
    if len(canonical({**checked, "transforms": {n: dict(p) for n, p in checked["transforms"].items()}})) > MAX_BYTES:
        raise InvalidTerms(f"terms: longer than {MAX_BYTES} bytes")
    return checked


def _name(field: str, value: object, pattern: re.Pattern[str], form: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InvalidTerms(f"{field}: must be {form}, of small letters, digits and dashes")
    return value


def _listed(field: str, values: object, least: int, most: int) -> list[str]:
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | Mapping):
        raise InvalidTerms(f"{field}: must be a list of texts")
    found: list[str] = []
    for value in values:
        if not isinstance(value, str):
            raise InvalidTerms(f"{field}: must be a list of texts")
        if len(found) == most:
            raise InvalidTerms(f"{field}: more than {most}")
        found.append(value)
    if len(set(found)) < len(found):
        raise InvalidTerms(f"{field}: one stands there twice")
    if len(found) < least:
        raise InvalidTerms(f"{field}: at least {least}")
    return sorted(found)


def _columns(values: object) -> tuple[str, ...]:
    found = _listed("columns", values, 1, MAX_COLUMNS)
    for name in found:
        if not _COLUMN.fullmatch(name):
            raise InvalidTerms(f"columns: {name[:MAX_NAME]!r} is no name of a column")
    return tuple(found)


def _words(field: str, values: object, kind: type[W], *, least: int = 1) -> tuple[W, ...]:
    found = _listed(field, values, least, len(kind))
    known = {str(word): word for word in kind}
    for value in found:
        if value not in known:
            raise InvalidTerms(f"{field}: {value[:MAX_NAME]!r} is none of {', '.join(known)}")
    return tuple(known[value] for value in found)


def _transforms(value: object) -> Mapping[str, Mapping[str, str]]:
    if value is None:
        value = {}
    if not isinstance(value, Mapping) or len(value) > MAX_TRANSFORMS:
        raise InvalidTerms(f"transforms: must be an object of at most {MAX_TRANSFORMS} transforms")
    found = {}
    for name, parameters in value.items():
        if not isinstance(name, str) or not _WORD.fullmatch(name):
            raise InvalidTerms(f"transforms: {str(name)[:MAX_NAME]!r} is no name of a transform")
        if not isinstance(parameters, Mapping) or len(parameters) > MAX_PARAMETERS:
            raise InvalidTerms(f"transforms.{name}: must be an object of at most {MAX_PARAMETERS} parameters")
        for key, text in parameters.items():
            if not isinstance(key, str) or not _WORD.fullmatch(key):
                raise InvalidTerms(f"transforms.{name}: {str(key)[:MAX_NAME]!r} is no name of a parameter")
            if not isinstance(text, str) or len(text) > MAX_VALUE or not text.isprintable():
                raise InvalidTerms(f"transforms.{name}.{key}: must be printable text of at most {MAX_VALUE} characters")
        found[name] = MappingProxyType(dict(sorted(parameters.items())))
    return MappingProxyType(dict(sorted(found.items())))


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise InvalidTerms(f"note: must be text of at most {MAX_TEXT} characters")
    if not value.replace("\n", "").isprintable():
        raise InvalidTerms("note: holds characters that cannot be printed")
    return value
