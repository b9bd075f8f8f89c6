"""The terms under which one vendor lets another use a data set: what both sides sign. Immutable, checked when made.

Terms hold no fractions, so that their canonical JSON (RFC 8785) is Python's own sorted and spaceless form: times are
seconds since 1970-01-01 UTC, privacy budgets millionths of epsilon.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

VERSION = 1
MAX_COLUMNS, MAX_TEXT, MAX_BYTES = 1_000, 2_000, 65_536
FOREVER_S = 253_402_300_799
"""9999-12-31T23:59:59Z: the last second that may be named."""

_VENDOR = re.compile(r"vendors/[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
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
    transforms: Mapping[str, Mapping[str, str]] | None = None
    duties: tuple[Duty, ...] = ()
    embargo_until_s: int = 0
    privacy_millionths: int = 0
    note: str = ""
    version: int = VERSION

    def canonical(self) -> bytes:
        """Return the bytes that both sides sign, without the domain prefix (see `sharing.signing`)."""
        return canonical(asdict(self))

    def digest(self) -> str:
        """Return the SHA-256 of the canonical form, hexadecimal: the terms' identity."""
        return hashlib.sha256(self.canonical()).hexdigest()

    @classmethod
    def from_json(cls, text: bytes | str) -> Self:
        """Return the terms of a JSON object. Raises InvalidTerms."""
        raise NotImplementedError


def canonical(value: Any) -> bytes:
    """Return RFC 8785 JSON of a value without fractions and without numbers above 2**53."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
