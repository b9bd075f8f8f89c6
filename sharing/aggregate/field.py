"""What can be asked about: facts of an episode, and summaries of its signals, with the values or bounds they may have.

Bounds and values come from the terms that both sides signed or from the tables here, never from the data: what is
learned from the data has to be paid for. In terms they stand as transforms without effect on the data:

    "aggregate-bounds": {"duration_s": "0..120", "observation_velocity": "-20..20"}
    "aggregate-values": {"task": "pick cube|place cube"}

A signal stands there with `_` for each dot. A text with declared values costs no selection of its groups.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sharing.aggregate.number import Bounds
from sharing.errors import InvalidQuestion, InvalidTerms
from store.episode import ACTION, LEVELS, STATE, Status

BOUNDS, VALUES = "aggregate-bounds", "aggregate-values"
SUMMARIES = ("mean", "min", "max", "rms", "std")
TEXTS: Mapping[str, tuple[str, ...]] = {
    "status": tuple(map(str, Status)),
    "level": LEVELS,
    "task": (),
    "scenario": (),
    "robot_model": (),
    "maker": (),
    "unit": (),
    "venue": (),
}
"""Facts that are texts, each with the values that everybody knows; () where only the data or the terms know them.
Names of units and venues are the agreement's pseudonyms."""
NUMBERS: Mapping[str, str | None] = {"duration_s": "0..600", "quality": "0..1", "episode_return": None}
"""Facts that are numbers, with their public bounds: ten minutes [s], the scale of quality; None: the terms' alone."""
_SIGNALS: Mapping[str, str] = {STATE: "-6.283185308..6.283185308", ACTION: "-6.283185308..6.283185308"}
"""Joint positions: within one turn to either side [rad]. Others have bounds in the terms or are not asked for."""
_SUMMARY = re.compile(r"([a-z][a-z0-9_.]{0,120})\[([0-9]{1,4})\]\.([a-z]{2,4})")


@dataclass(frozen=True, order=True)
class Field:
    """One fact of an episode, or one summary of one element of one of its signals."""

    name: str
    signal: str = ""
    index: int = 0
    summary: str = ""

    @property
    def is_text(self) -> bool:
        """Whether its values are texts."""
        return self.name in TEXTS


def field_of(name: object) -> Field:
    """Return the field of a name such as `duration_s` or `observation.state[3].max`. Raises InvalidQuestion."""
    if not isinstance(name, str) or len(name) > 160:
        raise InvalidQuestion("field: must be a name, such as duration_s or observation.state[3].max")
    if name in TEXTS or name in NUMBERS:
        return Field(name)
    found = _SUMMARY.fullmatch(name)
    if found is None or found[3] not in SUMMARIES:
        known = ", ".join((*TEXTS, *NUMBERS))
        raise InvalidQuestion(
            f"field: {name[:80]!r} is none of {known}, nor a summary such as observation.state[3].max "
            f"({', '.join(SUMMARIES)})"
        )
    index = int(found[2])
    return Field(f"{found[1]}[{index}].{found[3]}", found[1], index, found[3])


def bounds_of(field: Field, transforms: Mapping[str, Mapping[str, str]]) -> Bounds:
    """Return the bounds of a number as declared, else as everybody knows them. Raises InvalidQuestion."""
    key = (field.signal or field.name).replace(".", "_")
    declared = transforms.get(BOUNDS, {}).get(key)
    text = declared or (_SIGNALS.get(field.signal) if field.signal else NUMBERS.get(field.name))
    if text is None:
        raise InvalidQuestion(f"field: {field.name}: the terms declare no bounds for it ({BOUNDS}: {key})")
    try:
        bounds = Bounds.parse(text)
    except ValueError as error:
        raise InvalidQuestion(f"{BOUNDS}.{key}: {error}") from None
    if field.summary in ("rms", "std"):
        # What such a summary of values within the bounds can be at most.
        largest = max(abs(bounds.least), abs(bounds.most)) if field.summary == "rms" else bounds.width / 2
        bounds = Bounds(largest * 0, largest)
    return bounds


def values_of(field: Field, transforms: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """Return all values that a text may have, if the terms or everybody knows them; else ()."""
    declared = transforms.get(VALUES, {}).get(field.name)
    if declared:
        return tuple(dict.fromkeys(value for value in declared.split("|") if value))
    return TEXTS[field.name]


def check_declared(transforms: Mapping[str, Mapping[str, str]]) -> None:
    """Raise InvalidTerms for declarations that no question could ever use; before anybody signs them."""
    for name in transforms:
        if name.startswith("aggregate-") and name not in (BOUNDS, VALUES):
            raise InvalidTerms(f"transforms: {name}: one of {BOUNDS}, {VALUES}")
    for key, text in transforms.get(BOUNDS, {}).items():
        try:
            Bounds.parse(text)
        except ValueError as error:
            raise InvalidTerms(f"transforms.{BOUNDS}.{key}: {error}") from None
    for key, text in transforms.get(VALUES, {}).items():
        if key not in TEXTS or not text.strip("|"):
            raise InvalidTerms(f"transforms.{VALUES}.{key}: texts divided by |, of one of {', '.join(TEXTS)}")


def check_granted(fields: Collection[Field], facts: Collection[str], signals: Collection[str]) -> None:
    """Raise InvalidQuestion unless each of the fields is among what was granted."""
    for field in fields:
        if field.signal and field.signal not in signals:
            raise InvalidQuestion(f"field: {field.signal} is not granted; granted are {', '.join(sorted(signals))}")
        if not field.signal and field.name not in facts:
            raise InvalidQuestion(f"field: {field.name} is not granted; granted are {', '.join(sorted(facts))}")
