"""Chance for sensors that belongs to its place and to nothing else: job, sensor, world, episode, step, column.

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11) is a function from a counter and a
key to 128 bits: no stream, so nothing depends on how many worlds share a slot or in which order they are asked. A
deviation is the sum of the eight 16-bit numbers in a block, scaled: additions alone, so it is the same to the bit on
every machine and for every vector width, which logarithms and cosines are not. Its variance is 1, its excess kurtosis
-0.15, and it never exceeds 4.9.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from sim.body import Array

Words = npt.NDArray[np.uint64]

_MULTIPLY = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ROUNDS = 10
# Eight uniform integers of 0 to 65535: their mean, and the inverse of the deviation of their sum.
_MEAN = 8 * 65535 / 2
_SCALE = 1.0 / np.sqrt(8 * (65536**2 - 1) / 12)


def philox4x32(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> tuple[Words, Words, Words, Words]:
    """Return four 32-bit words for each counter, as uint64.

    Args:
        counter: Four arrays of one shape, values below 2**32.
        key: Two numbers below 2**32.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        p0, p1 = _MULTIPLY[0] * c0, _MULTIPLY[1] * c2
        c0, c1 = (p1 >> _HALF) ^ c1 ^ np.uint64(k0), p1 & _LOW
        c2, c3 = (p0 >> _HALF) ^ c3 ^ np.uint64(k1), p0 & _LOW
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def key_of(seed: int, sensor: str, purpose: str) -> tuple[int, int]:
    """Return the key of one sensor's chance in one job."""
    digest = hashlib.blake2b(f"{seed}\0{sensor}\0{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")


def deviations(
    key: tuple[int, int],
    worlds: npt.NDArray[np.int64],
    episodes: npt.NDArray[np.int64],
    steps: npt.NDArray[np.int64],
    width: int,
) -> Array:
    """Return numbers of mean 0 and variance 1, (N, width), for worlds at their episodes and steps, each (N,)."""
    shape = (len(worlds), width)
    column = np.broadcast_to(np.arange(width, dtype=np.uint64), shape)
    rows = [np.broadcast_to((n.astype(np.uint64) & _LOW)[:, None], shape) for n in (steps, episodes, worlds)]
    total = np.zeros(shape, dtype=np.uint64)
    for word in philox4x32((column, rows[0], rows[1], rows[2]), key):
        total += (word & np.uint64(0xFFFF)) + (word >> np.uint64(16))
    return np.asarray((total.astype(np.float64) - _MEAN) * _SCALE)
