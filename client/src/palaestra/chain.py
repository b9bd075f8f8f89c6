"""The hash chains of the audit: how an entry's hash is made, and whether a chain is whole. Pure functions.

The text of an entry is JSON with keys in order, without spaces, in ASCII; its hash is SHA-256 over the hash before
it, 32 bytes, and that text. The first hash comes after 32 zero bytes. In the venue's chain the same is done with each
entry's place there, its vendor and its hash in its own chain, so that it covers all chains and their order.
"""

import hashlib
import json
from collections.abc import Mapping

from palaestra.v1.audit_pb2 import AuditEntry, AuditHead

START = bytes(32)
"""The hash before the first entry."""

_NS_PER_S = 1_000_000_000
_quoted = json.encoder.encode_basestring_ascii


class BrokenChain(Exception):
    """A chain was changed, or its entries are not all there or not in order; the message says where."""


def link(before: bytes, fields: Mapping[str, str | int]) -> bytes:
    """Return the hash of fields after the hash `before`."""
    return hashlib.sha256(before + _text(fields).encode("ascii")).digest()


def _text(fields: Mapping[str, str | int]) -> str:
    """Return what json.dumps with sorted keys and without spaces makes of the same, at a fraction of its cost."""
    told = []
    for key in sorted(fields):
        value = fields[key]
        told.append(f'"{key}":{_quoted(value) if isinstance(value, str) else value}')
    return f"{{{','.join(told)}}}"


def fields_of(entry: AuditEntry) -> dict[str, str | int]:
    """Return what an entry's hash covers."""
    return {
        "sequence": entry.sequence,
        "time_ns": entry.time.seconds * _NS_PER_S + entry.time.nanos,
        "actor": entry.actor,
        "role": entry.role,
        "method": entry.method,
        "resource": entry.resource,
        "reason": entry.reason,
        "request_sha256": entry.request_sha256.hex(),
        "vendor": entry.vendor,
    }


def venue_fields_of(entry: AuditEntry) -> dict[str, str | int]:
    """Return what an entry's hash in the venue's chain covers."""
    return {"venue_sequence": entry.venue_sequence, "vendor": entry.vendor, "hash": entry.hash.hex()}


def exported(entry: AuditEntry) -> str:
    """Return an entry as a line of JSON: what its hash covers, and the hash; of the venue's chain, that too."""
    line: dict[str, str | int] = {**fields_of(entry), "hash": entry.hash.hex()}
    if entry.venue_sequence:
        line |= {"venue_sequence": entry.venue_sequence, "venue_hash": entry.venue_hash.hex()}
    return _text(line)


class Chain:
    """One chain as far as it was looked at.

    Attributes:
        sequence: Of the last entry that was taken in.
        hash: Of that entry.
    """

    def __init__(self, head: AuditHead | None = None) -> None:
        """head: One that was noted once; `hash` and `sequence` of an entry to begin after."""
        self.sequence = head.sequence if head is not None else 0
        self.hash = head.hash if head is not None else START

    def take(self, entry: AuditEntry) -> None:
        """Check the next entry. Raises BrokenChain."""
        whose = entry.vendor or "the house"
        if entry.sequence != self.sequence + 1:
            raise BrokenChain(f"entry {entry.sequence} of {whose} comes after {self.sequence}")
        found = link(self.hash, fields_of(entry))
        if found != entry.hash:
            raise BrokenChain(f"entry {entry.sequence} of {whose} has hash {entry.hash.hex()}, should be {found.hex()}")
        self.sequence, self.hash = entry.sequence, found

    def end(self, head: AuditHead) -> None:
        """Check that this is where the chain ends by another's word. Raises BrokenChain."""
        if (self.sequence, self.hash) != (head.sequence, head.hash or START):
            raise BrokenChain(
                f"the chain ends with entry {self.sequence}, {self.hash.hex()}; by its head, with {head.sequence}, "
                f"{head.hash.hex()}"
            )


class VenueChain(Chain):
    """The venue's chain, and in it the chain of everybody, all from the start."""

    def __init__(self) -> None:
        super().__init__()
        self.chains: dict[str, Chain] = {}

    def take(self, entry: AuditEntry) -> None:
        """Check the next entry, in both chains that it is in. Raises BrokenChain."""
        if entry.venue_sequence != self.sequence + 1:
            raise BrokenChain(f"entry {entry.venue_sequence} of the venue comes after {self.sequence}")
        self.chains.setdefault(entry.vendor, Chain()).take(entry)
        found = link(self.hash, venue_fields_of(entry))
        if found != entry.venue_hash:
            raise BrokenChain(
                f"entry {entry.venue_sequence} of the venue has hash {entry.venue_hash.hex()}, should be {found.hex()}"
            )
        self.sequence, self.hash = entry.venue_sequence, found
