"""JSON Schema (draft 2020-12) of the contract's messages, from their descriptors.

The rules beside each field become the schema's bounds, so the document says what the server checks. The mapping is
that of canonical proto JSON: 64-bit integers, durations and times are text.
"""

from collections.abc import Iterable
from typing import Any

from google.api import field_behavior_pb2  # type: ignore[import-untyped]
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from palaestra.v1 import rules_pb2

Schema = dict[str, Any]
REFERENCE = "#/components/schemas/"

_TEXT = {
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "format": "byte"},
}
_INTEGER = {
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_SINT32,
    FieldDescriptor.TYPE_UINT32,
    FieldDescriptor.TYPE_FIXED32,
    FieldDescriptor.TYPE_SFIXED32,
}
_REAL = {FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT}
_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
}


def schemas(roots: Iterable[Descriptor]) -> dict[str, Schema]:
    """Return the schemas of the messages and of all that they refer to, by name, in order of name."""
    found: dict[str, Schema] = {}
    todo: list[Descriptor | EnumDescriptor] = list(roots)
    while todo:
        descriptor = todo.pop()
        if descriptor.name in found:
            continue
        if isinstance(descriptor, EnumDescriptor):
            found[descriptor.name] = {"type": "string", "enum": [value.name for value in descriptor.values]}
            continue
        found[descriptor.name] = _message(descriptor)
        todo += _referred(descriptor)
    return dict(sorted(found.items()))


def field_schema(field: FieldDescriptor) -> Schema:
    """Return the schema of one field's value, with its rules."""
    if is_map(field):
        return {"type": "object", "additionalProperties": _single(_map_value(field))}
    options: Any = field.GetOptions()
    rules = options.Extensions[rules_pb2.rules] if options.HasExtension(rules_pb2.rules) else rules_pb2.Rules()
    schema = _single(field)
    schema |= _bounds(rules, schema.get("type", ""))
    if field.is_repeated:
        schema = {"type": "array", "items": schema}
        if rules.HasField("min_items"):
            schema["minItems"] = rules.min_items
        if rules.HasField("max_items"):
            schema["maxItems"] = rules.max_items
    if field_behavior_pb2.OUTPUT_ONLY in options.Extensions[field_behavior_pb2.field_behavior]:
        schema["readOnly"] = True
    return schema


def is_map(field: FieldDescriptor) -> bool:
    """Return whether the field is a map, which the wire format spells as repeated entries."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _map_value(field: FieldDescriptor) -> FieldDescriptor:
    entry: Any = field.message_type
    value: FieldDescriptor = entry.fields_by_name["value"]
    return value


def _message(descriptor: Descriptor) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": {field.json_name: field_schema(field) for field in descriptor.fields},
        "additionalProperties": False,
    }
    required = [
        field.json_name
        for field in descriptor.fields
        if field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    ]
    if required:
        schema["required"] = required
    return schema


def _single(field: FieldDescriptor) -> Schema:
    if field.message_type is not None:
        known = _KNOWN.get(field.message_type.full_name)
        return dict(known) if known else {"$ref": REFERENCE + field.message_type.name}
    if field.enum_type is not None:
        return {"$ref": REFERENCE + field.enum_type.name}
    if field.type in _TEXT:
        return dict(_TEXT[field.type])
    if field.type == FieldDescriptor.TYPE_BOOL:
        return {"type": "boolean"}
    if field.type in _INTEGER:
        return {"type": "integer", "format": "int32"}
    if field.type in _REAL:
        return {"type": "number", "format": "double"}
    return {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"}


def _bounds(rules: rules_pb2.Rules, kind: str) -> Schema:
    """Return the rules that can be said of the JSON type as keywords; the others hold all the same."""
    bounds: Schema = {}
    names = {"min_len": "minLength", "max_len": "maxLength"} if kind == "string" else {}
    if kind in ("integer", "number"):
        names = {"min": "minimum", "max": "maximum"}
    for name, keyword in names.items():
        if rules.HasField(name):
            bounds[keyword] = getattr(rules, name)
    if kind == "string" and rules.HasField("pattern"):
        bounds["pattern"] = f"^({rules.pattern})?$"
    return bounds


def _referred(descriptor: Descriptor) -> list[Descriptor | EnumDescriptor]:
    referred: list[Descriptor | EnumDescriptor] = []
    for field in descriptor.fields:
        target = _map_value(field) if is_map(field) else field
        if target.message_type is not None and target.message_type.full_name not in _KNOWN:
            referred.append(target.message_type)
        elif target.enum_type is not None:
            referred.append(target.enum_type)
    return referred
