"""Jobs from TOML: the fields of the contract's `Job` under their own names, durations as numbers in `*_s`.

    display_name = "sway on two arms"
    [claim]
    duration_s = 300
    units = [{ selector = { robot_class = "arm" }, count = 2 }]
    [collect]
    motion = "sway"
    episode_duration_s = 5

Enum values are written without their prefix, in either case: `level = "structured"`. Times are TOML's own, or texts by
RFC 3339, with their offset from UTC: `deadline = 2026-12-01T18:00:00+01:00`.
"""

import math
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from google.api import field_behavior_pb2  # type: ignore[import-untyped]
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from palaestra.errors import PalaestraError
from palaestra.v1.job_pb2 import Job

M = TypeVar("M", bound=Message)
_DURATION = "google.protobuf.Duration"
_TIMESTAMP = "google.protobuf.Timestamp"
_INTEGERS = frozenset({FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64})
_LONGEST_S = 3.15576e11
"""Longest google.protobuf.Duration, 10,000 years (its own documentation)."""


def job_from_toml(path: str | Path) -> Job:
    """Return the job in a TOML file.

    Raises:
        PalaestraError: INVALID_FIELD, with file and field in the message, if it cannot be read, is not TOML,
            has a key that a job has not, or a value of the wrong type.
    """
    try:
        values = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PalaestraError("INVALID_FIELD", f"{path}: {error}") from None
    job = Job()
    try:
        _fill(job, values, "")
    except PalaestraError as error:
        raise PalaestraError("INVALID_FIELD", f"{path}: {error.message}", metadata=error.metadata) from None
    return job


def from_table(kind: type[M], table: Mapping[str, Any], path: str) -> M:
    """Return a message from a table as it stands in a job's file. Raises PalaestraError INVALID_FIELD, as there."""
    message = kind()
    _fill(message, dict(table), f"{path}.")
    return message


def _fill(message: Message, values: dict[str, Any], prefix: str) -> None:
    """Set the message's fields from a TOML table."""
    fields: dict[str, Any] = {field_key(field): field for field in message.DESCRIPTOR.fields if not is_read_only(field)}
    chosen: dict[str, str] = {}
    for key, value in values.items():
        path = f"{prefix}{key}"
        field = fields.get(key)
        if field is None:
            raise _wrong(path, f"no such field{_suggestion(key, list(fields))}")
        if field.containing_oneof is not None:
            other = chosen.setdefault(field.containing_oneof.name, key)
            if other != key:
                raise _wrong(path, f"cannot stand beside {other}, only one of them")
        _set(message, field, value, path)


def _set(message: Message, field: FieldDescriptor, value: Any, path: str) -> None:
    target = getattr(message, field.name)
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        for key, item in _typed(value, dict, "a table", path).items():
            target[key] = _scalar(entry.fields_by_name["value"], item, f"{path}.{key}")
    elif field.is_repeated:
        for index, item in enumerate(_typed(value, list, "a list", path)):
            where = f"{path}[{index}]"
            if entry is None:
                target.append(_scalar(field, item, where))
            else:
                _fill(target.add(), _typed(item, dict, "a table", where), f"{where}.")
    elif entry is None:
        setattr(message, field.name, _scalar(field, value, path))
    elif entry.full_name == _DURATION:
        target.FromNanoseconds(round(_seconds(value, path) * 1e9))
    elif entry.full_name == _TIMESTAMP:
        target.FromDatetime(_time(value, path))
    else:
        # An empty table is a choice too: `[train]` alone says which work it is.
        target.SetInParent()
        _fill(target, _typed(value, dict, "a table", path), f"{path}.")


def _scalar(field: FieldDescriptor, value: Any, path: str) -> Any:
    """Return the value as the field takes it."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return _enum(field, _typed(value, str, "text", path), path)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return _typed(value, str, "text", path)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _typed(value, bool, "true or false", path)
    if field.cpp_type in _INTEGERS:
        bits = 31 if field.cpp_type == FieldDescriptor.CPPTYPE_INT32 else 63
        number = _typed(value, int, "a whole number", path)
        if isinstance(value, bool) or not -(1 << bits) <= number < 1 << bits:
            raise _wrong(path, f"must be a whole number of {bits + 1} bits, not {value!r}")
        return number
    return _number(value, path)


def _enum(field: FieldDescriptor, text: str, path: str) -> int:
    assert field.enum_type is not None
    values = field.enum_type.values
    prefix = values[0].name.removesuffix("UNSPECIFIED")
    names = {value.name.removeprefix(prefix).lower(): value.number for value in values if value.number}
    number = names.get(text.lower().removeprefix(prefix.lower()))
    if number is None:
        raise _wrong(path, f"{text!r} is none of {', '.join(names)}")
    return number


def _seconds(value: Any, path: str) -> float:
    seconds = _number(value, path)
    if not math.isfinite(seconds) or abs(seconds) > _LONGEST_S:
        raise _wrong(path, f"is {seconds:g}, not a number of seconds")
    return seconds


def _time(value: Any, path: str) -> datetime:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(time, datetime) and time.tzinfo is not None:
            return time.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise _wrong(path, f"must be a time with its offset from UTC, such as 2026-12-01T18:00:00Z, not {value!r}")


def _number(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(path, f"must be a number, not {value!r}")
    return float(value)


def _typed(value: Any, kind: type, words: str, path: str) -> Any:
    if not isinstance(value, kind):
        raise _wrong(path, f"must be {words}, not {value!r}")
    return value


def field_key(field: Any) -> str:
    """Return the field's name in TOML: durations say their unit."""
    is_duration = field.message_type is not None and field.message_type.full_name == _DURATION
    return f"{field.name}_s" if is_duration else field.name


def _suggestion(key: str, known: list[str]) -> str:
    close = get_close_matches(key, known, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else f"; known are {', '.join(sorted(known))}"


def is_read_only(field: Any) -> bool:
    """Return whether only the venue sets the field, so that no file has it."""
    options: Any = field.GetOptions()
    return field_behavior_pb2.OUTPUT_ONLY in options.Extensions[field_behavior_pb2.field_behavior]


def _wrong(path: str, problem: str) -> PalaestraError:
    return PalaestraError("INVALID_FIELD", f"{path}: {problem}", metadata={"field": path})
