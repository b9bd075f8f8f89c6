"""Identifiers that sort by time of creation.

An id is 128 bits laid out as UUID version 7 (RFC 9562, section 5.7), written as 26 lower-case characters of
Crockford's base 32, so that ids, names and database keys sort alike and fit into URLs.
"""

import secrets
import time
import uuid

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def uuid7(unix_ns: int, chance: int) -> uuid.UUID:
    """Return the UUIDv7 of a time [ns since the epoch] and 74 random bits."""
    milliseconds = (unix_ns // 1_000_000) & ((1 << 48) - 1)
    value = milliseconds << 80
    value |= 0x7 << 76
    value |= ((chance >> 62) & 0xFFF) << 64
    value |= 0b10 << 62
    value |= chance & ((1 << 62) - 1)
    return uuid.UUID(int=value)


def text(value: uuid.UUID) -> str:
    """Return 26 characters that sort like the UUID."""
    number = value.int
    characters = []
    for _ in range(26):
        characters.append(_ALPHABET[number & 31])
        number >>= 5
    return "".join(reversed(characters))


def new_id() -> str:
    """Return a fresh id of now."""
    return text(uuid7(time.time_ns(), secrets.randbits(74)))


def new_request_id() -> str:
    """Return a fresh request id, a UUID as AIP-155 asks for."""
    return str(uuid7(time.time_ns(), secrets.randbits(74)))
