"""What a job's file must be, by the contract, and whether the things that it names exist."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from palaestra.errors import PalaestraError
from palaestra.jobfile import field_key, is_read_only, job_from_toml
from palaestra.rules import violations
from palaestra.v1.job_pb2 import Job
from sim.catalog import ROBOT_CLASSES, robots
from sim.check.finding import Key, nearest
from sim.check.schema import DIALECT, Schema
from sim.motion import motions
from sim.scenarios.scenario import load_scenario, scenario_ids
from sim.tasks import tasks

_PART = re.compile(r"([A-Za-z0-9_]+)|\[(?:'([^']*)'|(\d+))\]")
_DEPTH = 6
"""Messages nest less deep than this; claims name claims as alternatives, which name none."""


def schema() -> Schema:
    """Return the JSON Schema of job files, from the contract's messages."""
    return {"$schema": DIALECT, "title": "A Palaestra job", **_message(cast(Descriptor, Job.DESCRIPTOR), _DEPTH)}


def mistakes(tables: Mapping[str, Any], path: Path) -> Iterator[tuple[Key, str, bool]]:
    """Yield (key, reason, whether it is a note) for what the contract refuses, and for unknown names.

    A name like no known one is a note: the venue that the job is for may know more than this installation.
    """
    try:
        job = job_from_toml(path)
    except PalaestraError as error:
        yield _key(error.metadata.get("field", "")), error.message.removeprefix(f"{path}: "), False
        return
    for field, problem in violations(job):
        yield _key(field, tables), problem, False
    yield from _names(tables)
    yield from _fit(job)


def _fit(job: Job) -> Iterator[tuple[Key, str, bool]]:
    """Yield what a scenario's trials are not run with: a robot of another class."""
    kind = job.WhichOneof("work") or ""
    work = getattr(job, kind, None)
    path = scenario_ids().get(getattr(work, "scenario", "").rpartition("/")[2])
    entry = next((entry for entry in robots() if entry.id == getattr(work, "robot_model", "")), None)
    if path is None or entry is None:
        return
    classes = load_scenario(path).robot_classes
    if entry.robot_class not in classes:
        what = f"is of class {entry.robot_class}; {path.stem} is for {', '.join(classes)}"
        yield (kind, "robot_model"), f"{entry.id!r} {what}", False


def _names(tables: Mapping[str, Any]) -> Iterator[tuple[Key, str, bool]]:
    known: Mapping[str, list[str]] = {
        "motion": sorted(motions()),
        "task": sorted(tasks()),
        "robot_model": [entry.id for entry in robots()],
        "robot_class": list(ROBOT_CLASSES),
        "scenario": [*(f"{path.parent.name}/{id_}" for id_, path in scenario_ids().items()), *scenario_ids()],
    }
    for key, value in _texts(tables, ()):
        name = str(key[-1])
        # A cell's scenario is the venue's to name.
        if key[0] == "claim" and name == "scenario":
            continue
        if value and name in known and value not in known[name]:
            what = name.replace("_", " ")
            close = nearest(value, known[name])
            yield key, f"no {what} {value!r} is known here{close}", not close


def _texts(value: Any, key: Key) -> Iterator[tuple[Key, str]]:
    if isinstance(value, str):
        yield key, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from _texts(item, (*key, name))


def _key(field: str, tables: Mapping[str, Any] | None = None) -> Key:
    """Return a path of the contract as a key of the file, where durations end in `_s`."""
    parts: list[str | int] = []
    at: Any = tables
    for match in _PART.finditer(field):
        part: str | int = int(match[3]) if match[3] else match[1] or match[2]
        if isinstance(at, dict) and isinstance(part, str) and part not in at and f"{part}_s" in at:
            part = f"{part}_s"
        parts.append(part)
        try:
            at = at[part] if at is not None else None
        except (KeyError, IndexError, TypeError):
            at = None
    return tuple(parts)


def _message(descriptor: Descriptor, depth: int) -> dict[str, Any]:
    fields = [field for field in descriptor.fields if not is_read_only(field)]
    properties = {field_key(field): _field(field, depth) for field in fields}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _field(field: FieldDescriptor, depth: int) -> Schema:
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        return {"type": "object", "additionalProperties": _value(inner.fields_by_name["value"], depth)}
    one = _value(field, depth)
    return {"type": "array", "items": one} if field.is_repeated else one


def _value(field: FieldDescriptor, depth: int) -> Schema:
    inner = field.message_type
    if inner is not None:
        if inner.full_name == "google.protobuf.Duration":
            return {"type": "number", "description": "[s]"}
        if inner.full_name == "google.protobuf.Timestamp":
            return {"description": "a time with its offset from UTC, such as 2026-12-01T18:00:00Z"}
        return _message(inner, depth - 1) if depth else {"type": "object"}
    if field.enum_type is not None:
        values = field.enum_type.values
        prefix = values[0].name.removesuffix("UNSPECIFIED")
        names = [value.name.removeprefix(prefix).lower() for value in values if value.number]
        return {"type": "string", "description": f"one of {', '.join(names)}, in either case"}
    kinds = {
        FieldDescriptor.CPPTYPE_STRING: "string",
        FieldDescriptor.CPPTYPE_BOOL: "boolean",
        FieldDescriptor.CPPTYPE_INT32: "integer",
        FieldDescriptor.CPPTYPE_INT64: "integer",
    }
    return {"type": kinds.get(field.cpp_type, "number")}
