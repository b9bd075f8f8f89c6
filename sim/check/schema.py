"""JSON Schemas of the files (draft 2020-12), and a check of a table against one.

One description for editors and for `palaestra check`. Only these words are used, and all that restrict are checked
here: type, properties, additionalProperties, required, items, enum, minimum, maximum, minItems, minLength, title and
description. Numbers carry the bounds of what is plausible, so that a number in another unit is seen.
"""

import math
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sim.check.finding import Key, nearest

Schema = Mapping[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,),
    "boolean": (bool,), "integer": (int,), "number": (int, float),
}  # fmt: skip
SHOWN = 200
"""Characters of a text that a reason shows: people read it, whatever the file holds."""
WHOLE_BITS = 64
"""Longer whole numbers are read as well, but Python neither multiplies nor shows all of them."""
_WORDS = {"object": "a table", "array": "a list", "string": "a text", "boolean": "true or false"}


class _Shown(reprlib.Repr):
    """A value in a reason: cut where it is long, and no deeper than a few tables."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = SHOWN

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() <= WHOLE_BITS else f"a number of {x.bit_length()} bits"


_shown = _Shown().repr


def violations(value: Any, schema: Schema, key: Key = ()) -> Iterator[tuple[Key, str]]:
    """Yield (key, reason) for everything in a value that its schema does not allow."""
    kind = schema.get("type")
    if kind is not None and not _is(value, kind):
        yield key, f"must be {_WORDS.get(kind, f'a {kind}')}, not {_shown(value)}"
        return
    if "enum" in schema and value not in schema["enum"]:
        known = [str(one) for one in schema["enum"]]
        close = nearest(value, known) if isinstance(value, str) and len(value) <= SHOWN else ""
        yield key, f"{_shown(value)} is none of {', '.join(known)}{close}"
    if isinstance(value, dict):
        yield from _table(value, schema, key)
    elif isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield key, f"needs {schema['minItems']} entries or more"
        for i, item in enumerate(value):
            yield from violations(item, schema.get("items", {}), (*key, i))
    elif isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            yield key, "must not be empty"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        reason = _number(value, schema, str(next((part for part in reversed(key) if isinstance(part, str)), "")))
        if reason:
            yield key, reason


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool) and kind != "boolean":
        return False
    return isinstance(value, _TYPES[kind])


def _table(value: Mapping[str, Any], schema: Schema, key: Key) -> Iterator[tuple[Key, str]]:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield key, f"{name} is missing"
    for name, item in value.items():
        if name in properties:
            yield from violations(item, properties[name], (*key, name))
            continue
        more = schema.get("additionalProperties", True)
        if more is True:
            continue
        if more is False:
            yield (*key, name), f"no such field{nearest(name, properties) or _known(properties)}"
        else:
            yield from violations(item, more, (*key, name))


def _known(names: Mapping[str, Schema]) -> str:
    return f"; known are {', '.join(sorted(names))}"


def _number(value: float, schema: Schema, name: str) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value!r} is not finite"
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    if low <= value <= high:
        return ""
    bound = f"at least {low:g}" if value < low else f"at most {high:g}"
    long = isinstance(value, int) and value.bit_length() > WHOLE_BITS
    return f"{_shown(value)} is not plausible, {bound} is{'' if long else _other_unit(value, low, high, name)}"


def _other_unit(value: float, low: float, high: float, name: str) -> str:
    """Return which mistake of units would explain a number out of its bounds."""
    if name.endswith("_rad") and not name.endswith("nm_rad") and low <= math.radians(value) <= high:
        return f"; {value:g} degrees would be {math.radians(value):.4g} rad"
    for factor, words in ((1e-3, "a factor of 1,000 too large"), (1e3, "a factor of 1,000 too small")):
        if low <= value * factor <= high:
            return f"; {words}, if {value * factor:g} is meant"
    return ""


def text(description: str) -> Schema:
    """A text that is not empty."""
    return {"type": "string", "minLength": 1, "description": description}


def number(low: float, high: float, description: str) -> Schema:
    """A number between two bounds."""
    return {"type": "number", "minimum": low, "maximum": high, "description": description}


def one_of(names: Sequence[str], description: str) -> Schema:
    """One of several names."""
    return {"type": "string", "enum": list(names), "description": description}


def table(
    properties: Mapping[str, Schema], *, required: Sequence[str] = (), closed: bool = True, description: str = ""
) -> Schema:
    """A table of fields; a closed one has no others."""
    found: dict[str, Any] = {"type": "object", "properties": dict(properties), "additionalProperties": not closed}
    if required:
        found["required"] = list(required)
    if description:
        found["description"] = description
    return found


def rows(item: Schema, *, least: int = 0) -> Schema:
    """A list of like things."""
    found: dict[str, Any] = {"type": "array", "items": item}
    return {**found, "minItems": least} if least else found
