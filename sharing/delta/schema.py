"""Arrow schemas in the words of Delta: Spark's JSON form of a struct (Delta Sharing PROTOCOL.md, "Schema Object")."""

import json
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]

_PRIMITIVES = {
    pa.string(): "string",
    pa.large_string(): "string",
    pa.int64(): "long",
    pa.int32(): "integer",
    pa.int16(): "short",
    pa.int8(): "byte",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.binary(): "binary",
    pa.large_binary(): "binary",
    pa.date32(): "date",
}


class NoSuchType(Exception):
    """A column of a type that Delta does not know, such as an unsigned number."""


def type_of(arrow: Any) -> Any:
    """Return Delta's form of an Arrow type: a name, or an object for arrays and structs. Raises NoSuchType."""
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow) or pa.types.is_fixed_size_list(arrow):
        inner = arrow.value_field
        return {"type": "array", "elementType": type_of(inner.type), "containsNull": inner.nullable}
    if pa.types.is_struct(arrow):
        return struct_of([arrow.field(index) for index in range(arrow.num_fields)])
    if pa.types.is_timestamp(arrow) and arrow.tz is not None:
        return "timestamp"
    try:
        return _PRIMITIVES[arrow]
    except KeyError:
        raise NoSuchType(str(arrow)) from None


def struct_of(fields: Any) -> dict[str, Any]:
    """Return Delta's form of a struct of Arrow fields, without their metadata. Raises NoSuchType."""
    described = [
        {"name": field.name, "type": type_of(field.type), "nullable": field.nullable, "metadata": {}}
        for field in fields
    ]
    return {"type": "struct", "fields": described}


def schema_string(schema: Any) -> str:
    """Return an Arrow schema as Delta's JSON text. Raises NoSuchType."""
    return json.dumps(struct_of(list(schema)), ensure_ascii=False, separators=(",", ":"))
