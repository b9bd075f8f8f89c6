"""What stands in a leaf of the audit's tree, and what of it is only hashed, so that it can be erased later."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from palaestra.merkle import leaf_hash
from sharing.terms import canonical

VERSION = 1
SALT_BYTES = 16
FIELDS_MAX, NAME_MAX, TEXT_MAX = 64, 64, 2_000
LARGEST = 2**53
PERSONAL = frozenset({"actor", "address", "person", "subject", "comment"})
"""Fields about people. A leaf has `sha256:` and the hash of salt and value in their place."""
_FREE_TEXT = {"agreement": frozenset({"reason"})}
"""Fields in which people write what they like, by kind: treated likewise."""


@dataclass(frozen=True)
class Leaf:
    """Attributes:
    body: Canonical JSON with a salt of its own: its hash tells nothing to those who are not shown it, however few
        things it could say.
    hash: Of the body, as the tree has it.
    parties: Whose affair it is: `vendors/{vendor}` each, none for the house's own.
    openings: (name, salt, value) of what the body has only hashes of.
    """

    body: bytes
    hash: bytes
    parties: tuple[str, ...]
    openings: tuple[tuple[str, bytes, str], ...]


def leaf_of(kind: str, fields: Mapping[str, str | int], at_ms: int, salt: bytes | None = None) -> Leaf:
    """Return the leaf of what happened. Raises ValueError for fields that no caller of this room makes.

    Args:
        at_ms: When, in milliseconds since 1970.
        salt: `SALT_BYTES` of chance; drawn if not given.
    """
    if len(fields) > FIELDS_MAX or any(len(name) > NAME_MAX for name in fields) or len(kind) > NAME_MAX:
        raise ValueError(f"a note has at most {FIELDS_MAX} fields with names of at most {NAME_MAX} characters")
    told: dict[str, str | int] = {}
    openings = []
    hidden = PERSONAL | _FREE_TEXT.get(kind, frozenset())
    for name, given in fields.items():
        value = _plain(given)
        if name in hidden and value != "":
            own = os.urandom(SALT_BYTES)
            openings.append((name, own, str(value)))
            value = hidden_value(own, str(value))
        told[name] = value
    body = canonical(
        {"at_ms": at_ms, "fields": told, "kind": kind, "salt": (salt or os.urandom(SALT_BYTES)).hex(), "v": VERSION}
    )
    return _leaf(body, told, tuple(openings))


def kept(leaf: Leaf) -> tuple[str, str]:
    """Return body and openings of a leaf as texts, from which `again` makes it."""
    return leaf.body.decode(), json.dumps([(name, salt.hex(), value) for name, salt, value in leaf.openings])


def again(body: str, openings: str) -> Leaf:
    """Return the leaf that was kept."""
    opened = tuple((name, bytes.fromhex(salt), value) for name, salt, value in json.loads(openings))
    return _leaf(body.encode(), json.loads(body)["fields"], opened)


def _leaf(body: bytes, told: Mapping[str, str | int], openings: tuple[tuple[str, bytes, str], ...]) -> Leaf:
    parties = dict.fromkeys(str(told.get(side, "")) for side in ("provider", "consumer"))
    return Leaf(body, leaf_hash(body), tuple(one for one in parties if one), openings)


def hidden_value(salt: bytes, value: str) -> str:
    """Return what stands in a leaf for a value about a person."""
    return "sha256:" + hashlib.sha256(salt + value.encode()).hexdigest()


def _plain(value: str | int) -> str | int:
    """Return a value that canonical JSON can hold, whatever somebody sent."""
    if isinstance(value, str):
        return value[:TEXT_MAX].encode("utf-8", "replace").decode()
    return int(value) if abs(value) <= LARGEST else str(value)[:TEXT_MAX]
