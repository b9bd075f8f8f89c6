"""Marks: who got a copy can be told from the copy.

Each recipient's joint positions, speeds and targets are moved by plus or minus `AMPLITUDE` after a pattern that only
the venue can make again: the bits of AES-256 in counter mode (NIST SP 800-38A) under a key of the agreement, the
recording and the column. An encoder of 14 bits tells 3.8e-4 rad (a turn by 2^14), so the mark lies below its last bit.
Who has one copy cannot take it out; noise and thinning only weaken it (`sharing.tracing`).

A row's sign belongs to the row's number in the recording, so that thinning moves no sign.
"""

import hashlib
import hmac

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from store.episode import ACTION, STATE, VELOCITY

AMPLITUDE = 1e-4
"""[rad], of speeds [rad/s]."""
MARKED = (STATE, VELOCITY, ACTION)


def pattern(key: bytes, episode: str, column: str, rows: int, width: int) -> np.ndarray:
    """Return the signs of a column of a recording, float32 of -1 and 1, shape (rows, width).

    Args:
        key: 32 bytes of the agreement.
        episode: Hash of the recording.
    """
    counter = Cipher(
        algorithms.AES(hmac.digest(key, f"{episode}/{column}".encode(), hashlib.sha256)), modes.CTR(bytes(16))
    )
    stream = counter.encryptor().update(bytes(-(-rows * width // 8)))
    return np.take(_SIGNS, np.frombuffer(stream, np.uint8), axis=0).reshape(-1)[: rows * width].reshape(rows, width)


_SIGNS = np.array([-1.0, 1.0], np.float32)[np.unpackbits(np.arange(256, dtype=np.uint8)).reshape(256, 8)]
"""The eight signs of a byte of the pattern, the highest bit first."""


def marked(values: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Return values, float32 of shape (rows, width), with the marks of these signs."""
    out = signs * np.float32(AMPLITUDE)
    out += values
    return out
