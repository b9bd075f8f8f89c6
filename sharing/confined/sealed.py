"""A parcel on its way through another program's memory: Ray's store may write what it holds to a disk.

AES-256-GCM in pieces, each bound to its place and to their number. The key is made for one parcel and for no other.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sharing.confined.parcel import Parcel, Place, kept
from sharing.errors import WorkEnded

PIECE_BYTES = 4 << 20
TAG_BYTES = 16
_WHOLE = PIECE_BYTES + TAG_BYTES
Sealed = npt.NDArray[np.uint8]


def new_key() -> bytes:
    """Return a key for one parcel."""
    return AESGCM.generate_key(256)


def seal(descriptor: int, size_bytes: int, key: bytes) -> Sealed:
    """Return a file's bytes sealed."""
    cipher = AESGCM(key)
    count = -(-size_bytes // PIECE_BYTES)
    sealed = np.empty(size_bytes + count * TAG_BYTES, np.uint8)
    for number in range(count):
        piece = os.pread(descriptor, min(PIECE_BYTES, size_bytes - number * PIECE_BYTES), number * PIECE_BYTES)
        found = cipher.encrypt(_nonce(number), piece, _place(number, count))
        sealed[number * _WHOLE : number * _WHOLE + len(found)] = np.frombuffer(found, np.uint8)
    return sealed


@contextmanager
def opened(sealed: Sealed, key: bytes, files: dict[str, list[Place]]) -> Iterator[Parcel]:
    """Open what was sealed as a parcel, while the context lasts. Raises WorkEnded if it is not what was sealed."""
    cipher = AESGCM(key)
    count = -(-len(sealed) // _WHOLE)

    def pieces() -> Iterator[bytes]:
        for number in range(count):
            found = sealed[number * _WHOLE : (number + 1) * _WHOLE].tobytes()
            try:
                yield cipher.decrypt(_nonce(number), found, _place(number, count))
            except InvalidTag:
                raise WorkEnded("the data was changed on its way") from None

    with kept(pieces()) as (descriptor, size_bytes):
        yield Parcel(descriptor, size_bytes, files)


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _place(number: int, count: int) -> bytes:
    return f"parcel {number} of {count}".encode()
