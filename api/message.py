"""Messages of the contract as canonical proto JSON, and back."""

from collections.abc import Iterable
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from palaestra.errors import PalaestraError

M = TypeVar("M", bound=Message)


def encode(message: Message) -> bytes:
    """Return the canonical JSON of a message on one line; fields with their default value are left out."""
    return json_format.MessageToJson(message, indent=None, ensure_ascii=False).encode()


def decode(body: bytes, into: M) -> M:
    """Merge JSON into a message and return it. Raises INVALID_FIELD for anything that is not JSON of that message."""
    try:
        return json_format.Parse(body, into)
    # The parser lets some errors of its own machinery through on hostile input.
    except (
        json_format.ParseError,
        ValueError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise _invalid("body", f"the body is not JSON of a {into.DESCRIPTOR.name}: {_short(error)}") from None


def fill(request: M, query: Iterable[tuple[str, str]], *, bound: frozenset[str]) -> M:
    """Set fields of a request from query parameters by their JSON names and return it.

    Fields in `bound` come from the path and cannot be set again. Raises INVALID_FIELD for an unknown parameter, one
    that is given twice where one is wanted, and a value of the wrong kind.
    """
    fields = {field.json_name: field for field in parameters(request, bound=bound)}
    values: dict[str, Any] = {}
    for name, text in query:
        field = fields.get(name)
        if field is None:
            raise _invalid(
                name[:80],
                f"there is no parameter {name[:80]!r}; known are {', '.join(sorted(fields)) or 'none'}",
            )
        value: Any = {"true": True, "false": False}.get(text, text) if field.type == field.TYPE_BOOL else text
        if field.is_repeated:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise _invalid(name, f"parameter {name} is given twice")
        else:
            values[name] = value
    try:
        return json_format.ParseDict(values, request)
    except (json_format.ParseError, ValueError, TypeError, OverflowError) as error:
        raise _invalid("query", f"a parameter has a value of the wrong kind: {_short(error)}") from None


def parameters(request: Message | type[Message], *, bound: frozenset[str]) -> list[FieldDescriptor]:
    """Return the fields of a request that can be query parameters: plain values that the path does not give."""
    descriptor: Any = request.DESCRIPTOR
    return [field for field in descriptor.fields if _is_plain(field) and field.name not in bound]


def _is_plain(field: FieldDescriptor) -> bool:
    # In JSON a field mask is a text, its paths in lower camel case (google/protobuf/field_mask.proto).
    return field.message_type is None or field.message_type.full_name == "google.protobuf.FieldMask"


def _invalid(field: str, message: str) -> PalaestraError:
    return PalaestraError("INVALID_FIELD", message, metadata={"field": field})


def _short(error: Exception) -> str:
    return str(error).encode("utf-8", "replace").decode()[:300] or type(error).__name__
