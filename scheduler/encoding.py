"""Puts messages together from parts that are serialised already.

The bytes of messages that follow each other are the bytes of the messages merged, and a field that holds a message is
its tag, a length and the message's bytes (https://protobuf.dev/programming-guides/encoding, "Message Structure", "Last
One Wins"). So what is known of a job since it came need not be encoded again for its event and for its answer.
"""

from collections.abc import Callable
from typing import Any, NewType

# A message that stands as its bytes already; a service may answer with it where it would with the message.
Serialized = NewType("Serialized", bytes)


def serializer(serialize: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """Return what serialises a message as `serialize` does, and leaves what is serialised already as it is."""
    return lambda message: message if isinstance(message, bytes) else serialize(message)


def length_delimited(number: int, payload: bytes) -> bytes:
    """Return a field of type message, string or bytes. number: 1 to 15."""
    return b"%b%b%b" % (_TAGS[number], varint(len(payload)), payload)


def varint(value: int) -> bytes:
    """Return a number from 0 on in groups of seven bits, the lowest first."""
    return _SMALL[value] if value < SMALL_MAX else _varint(value)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


# Numbers below this are kept ready: lengths of jobs among them.
SMALL_MAX = 2048
_SMALL = [_varint(value) for value in range(SMALL_MAX)]
_TAGS = [bytes((number << 3 | 2,)) for number in range(16)]
