"""Identifiers that sort by time of creation.

An id is 128 bits laid out as UUID version 7 (RFC 9562, section 5.7), written as 26 lower-case characters of
Crockford's base 32, so that ids, names and database keys sort alike and fit into URLs.
"""

import secrets
import time
import uuid

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
# Ten bits at a time.
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_SHIFTS = range(120, -1, -10)
# Of the last 80 bits, 16 characters: those left to chance, and the version and variant between them.
_CHANCE_SHIFTS = range(70, -1, -10)
_CHANCE = 0xFFF << 64 | ((1 << 62) - 1)
_FIXED = 0x7 << 76 | 0b10 << 62


def uuid7(unix_ns: int, chance: int) -> uuid.UUID:
    """Return the UUIDv7 of a time [ns since the epoch] and 74 random bits."""
    return uuid.UUID(int=_number(unix_ns, chance))


def _number(unix_ns: int, chance: int) -> int:
    milliseconds = (unix_ns // 1_000_000) & ((1 << 48) - 1)
    return milliseconds << 80 | 0x7 << 76 | ((chance >> 62) & 0xFFF) << 64 | 0b10 << 62 | chance & ((1 << 62) - 1)


def text(value: uuid.UUID) -> str:
    """Return 26 characters that sort like the UUID."""
    return _text(value.int)


def _text(number: int) -> str:
    pairs = _PAIRS
    return "".join([pairs[(number >> shift) & 1023] for shift in _SHIFTS])


def new_id() -> str:
    """Return a fresh id of now."""
    return _text(_number(time.time_ns(), secrets.randbits(74)))


def new_ids(count: int) -> list[str]:
    """Return fresh ids of now, for less than as many calls of `new_id` would cost."""
    now_ns, chance = time.time_ns(), secrets.token_bytes(10 * count)
    # The time is the same in all: ten characters.
    time_text, pairs = _text(_number(now_ns, 0))[:10], _PAIRS
    found = []
    for at in range(0, 10 * count, 10):
        number = int.from_bytes(chance[at : at + 10]) & _CHANCE | _FIXED
        found.append(time_text + "".join([pairs[(number >> shift) & 1023] for shift in _CHANCE_SHIFTS]))
    return found


def new_request_id() -> str:
    """Return a fresh request id, a UUID as AIP-155 asks for."""
    return str(uuid7(time.time_ns(), secrets.randbits(74)))
