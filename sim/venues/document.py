"""Writes tables as TOML (1.0): as much of it as venue files have."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any


def toml(tables: Mapping[str, Any], *, comment: str = "") -> str:
    """Return a document that reads back as the same tables: tables of scalars, and arrays of such tables.

    Raises TypeError for values of other kinds, ValueError for numbers that are not finite.
    """
    parts = [f"# {line}\n" for line in comment.splitlines()]
    for name, value in tables.items():
        for row in value if isinstance(value, list) else [value]:
            head = f"[[{name}]]" if isinstance(value, list) else f"[{name}]"
            parts.append("\n" * bool(parts) + head + "\n")
            parts += [f"{key} = {_value(item)}\n" for key, item in row.items()]
    return "".join(parts)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not finite")
        return repr(round(value, 6))
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.isoformat(timespec="seconds")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    raise TypeError(f"{value!r} has no form here")


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in escaped) + '"'
