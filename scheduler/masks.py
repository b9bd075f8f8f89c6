"""Field masks: which fields of a message a reader wants."""

from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from palaestra.errors import PalaestraError

T = TypeVar("T", bound=Message)

PATHS_MAX = 64


def check(mask: FieldMask, message: type[Message], field: str = "read_mask") -> None:
    """Raise UNKNOWN_FIELD_PATH for a path that a message does not have. "*" stands for all of it (AIP-157)."""
    if len(mask.paths) > PATHS_MAX:
        problem = f"has {len(mask.paths)} paths, at most {PATHS_MAX}"
        raise PalaestraError("INVALID_FIELD", f"{field}: {problem}", metadata={"field": field, "rule": problem})
    descriptor: Any = message.DESCRIPTOR
    for path in mask.paths:
        if path != "*" and not _leads_somewhere(path, descriptor):
            raise PalaestraError(
                "UNKNOWN_FIELD_PATH",
                f"{field}: {descriptor.name} has no field {path!r}",
                metadata={"field": field, "path": path},
            )


def masked(message: T, mask: FieldMask) -> T:
    """Return a message with the fields of a mask alone; the message itself if the mask names none, or all."""
    if not mask.paths or "*" in mask.paths:
        return message
    found = type(message)()
    mask.MergeMessage(message, found)
    return found


def _leads_somewhere(path: str, message: Descriptor) -> bool:
    """Whether a path leads through single messages to a field (google/protobuf/field_mask.proto)."""
    within: Descriptor | None = message
    for name in path.split("."):
        field = within.fields_by_name.get(name) if within is not None else None
        if field is None:
            return False
        within = None if field.is_repeated else field.message_type
    return True
