"""Tickets: what opens a leased slot for a little while. The scheduler makes them, whoever serves the slot checks them.

A ticket is the time of its end and a keyed hash (HMAC-SHA-256, RFC 2104) over the lease, its epoch and that time. The
key is the lease's own and stays in the house, so a ticket tells nothing about any other.

A ticket is shown in the call's metadata, which is some kilobytes at most, so that nothing else of a stranger is read.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

from palaestra.errors import PalaestraError

LIFE_S = 60.0
_SHAPE = re.compile(r"([0-9a-f]{1,16})\.[A-Za-z0-9_-]{43}")
_PER_MS = 1_000_000
_LEASE, _EPOCH, _TICKET = "palaestra-lease", "palaestra-epoch", "palaestra-ticket"
_NUMBER = re.compile(r"[0-9]{1,18}")


def shown(lease: str, epoch: int, ticket: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata by which a call shows its ticket; texts are percent-encoded."""
    return (_LEASE, quote(lease, safe="/")), (_EPOCH, str(epoch)), (_TICKET, quote(ticket))


def seen(metadata: Iterable[tuple[str, str | bytes]]) -> tuple[str, int, str]:
    """Return lease, epoch and ticket of a call's metadata. Raises LEASE_TOKEN_INVALID where one is not there."""
    found = {key: value for key, value in metadata if isinstance(value, str)}
    epoch = found.get(_EPOCH, "")
    if _LEASE not in found or _TICKET not in found or not _NUMBER.fullmatch(epoch):
        message = f"a call shows its ticket in its metadata: {_LEASE}, {_EPOCH}, {_TICKET}"
        raise PalaestraError("LEASE_TOKEN_INVALID", message)
    return unquote(found[_LEASE]), int(epoch), unquote(found[_TICKET])


def issue(key: str, lease: str, epoch: int, expire_ns: int) -> str:
    """Return a ticket for a lease at an epoch, good until a time [ns since the epoch], rounded down to milliseconds."""
    expire_ms = expire_ns // _PER_MS
    digest = hmac.new(key.encode(), f"slot\0{lease}\0{epoch}\0{expire_ms}".encode(), hashlib.sha256).digest()
    return f"{expire_ms:x}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def check(ticket: str, key: str, lease: str, epoch: int, now_ns: int) -> None:
    """Raise LEASE_TOKEN_INVALID unless it is a ticket for that lease and epoch whose time is not over."""
    found = _SHAPE.fullmatch(ticket)
    expire_ns = int(found[1], 16) * _PER_MS if found else 0
    # Also where it cannot be one, so that how long the answer takes tells nothing.
    if not hmac.compare_digest(issue(key, lease, epoch, expire_ns), ticket if found else ""):
        raise PalaestraError("LEASE_TOKEN_INVALID", "the ticket does not open this slot")
    if now_ns >= expire_ns:
        raise PalaestraError("LEASE_TOKEN_INVALID", "the ticket's time is over; OpenSlot gives another")
