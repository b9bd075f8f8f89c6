"""Tickets: what opens a leased slot for a little while. The scheduler makes them, whoever serves the slot checks them.

A ticket is the time of its end and a keyed hash (HMAC-SHA-256, RFC 2104) over the lease, its epoch and that time. The
key is the lease's own and stays in the house, so a ticket tells nothing about any other.
"""

import base64
import hashlib
import hmac
import re

from palaestra.errors import PalaestraError

LIFE_S = 60.0
_SHAPE = re.compile(r"([0-9a-f]{1,16})\.[A-Za-z0-9_-]{43}")
_PER_MS = 1_000_000


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
