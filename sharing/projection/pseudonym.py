"""Names that mean something in one agreement and nothing in any other.

A pseudonym is HMAC-SHA256 (RFC 2104) under a key that is derived, in one step more, from the venue's secret and the
agreement's digest. Two recipients who join their tables by any such name find no match; one recipient finds the same
name in all versions.
"""

import hashlib
import hmac

from store.errors import InvalidDigest
from store.objects import check_digest

DIGITS = 20
"""80 bits: of 10^6 names two are the same with a chance below 10^-12."""


def agreement_key(secret: bytes, agreement: str, use: str) -> bytes:
    """Return 32 bytes for one use under one agreement. Raises InvalidDigest for what is no agreement's digest."""
    if len(secret) < 32:
        raise ValueError("the venue's secret has at least 32 bytes")
    if not use:
        raise InvalidDigest("a key is for a use")
    return hmac.digest(secret, f"palaestra/{use}/{check_digest(agreement)}".encode(), hashlib.sha256)


def pseudonym(key: bytes, kind: str, name: str) -> str:
    """Return the name of a thing of a kind, such as `unit-0a1b...`; "" for the thing that has no name."""
    if not name:
        return ""
    digest = hmac.digest(key, f"{kind}\0{name}".encode(), hashlib.sha256)
    return f"{kind}-{digest.hex()[:DIGITS]}"
