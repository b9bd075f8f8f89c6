"""An order of many things at random that needs no memory: what comes at a place is computed from the place alone.

The generalised Feistel network of Black and Rogaway ("Ciphers with arbitrary finite domains", CT-RSA 2002): a number
below `a * b` is a pair, of which one half in turn is moved by a hash of the other, modulo its size. That is a
permutation whatever the hash. With `a` and `b` next to the root of the count nearly all of them are wanted; what is
beyond the count goes through again until it falls inside. So any worker knows its part of an epoch without the others'.
"""

import functools
import math

import numpy as np
import numpy.typing as npt

ROUNDS = 6
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)

Indices = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


def places(count: int, at: npt.ArrayLike, *, seed: int, epoch: int = 0) -> Indices:
    """Return which of `count` things come at the places `at` of an epoch's order.

    Over all places each thing comes once. The same seed and epoch always give the same order.

    Args:
        count: How many things there are, at least 1 and below 2**62.
        at: Places, whole numbers from 0 to `count - 1`, shape (n,).
        seed, epoch: Not negative.

    Returns:
        int64, shape (n,).
    """
    values = np.array(at, np.uint64, ndmin=1)
    a = math.isqrt(count - 1) + 1
    b = -(-count // a)
    keys = _keys(seed, epoch)
    values = _network(values, np.uint64(a), np.uint64(b), keys)
    # Fewer than one in `b` are outside.
    outside = np.flatnonzero(values >= count)
    while outside.size:
        values[outside] = _network(values[outside], np.uint64(a), np.uint64(b), keys)
        outside = outside[values[outside] >= count]
    return values.astype(np.int64)


def _network(values: Words, a: np.uint64, b: np.uint64, keys: tuple[np.uint64, ...]) -> Words:
    y, x = np.divmod(values, a)
    for key_x, key_y in zip(keys[::2], keys[1::2], strict=True):
        x = (x + _hash(y, key_x) % a) % a
        y = (y + _hash(x, key_y) % b) % b
    return y * a + x


def _hash(x: Words, key: np.uint64) -> Words:
    """SplitMix64's finaliser of `x + key` (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators)."""
    z = x + key
    z ^= z >> _SHIFTS[0]
    z *= _FACTORS[0]
    z ^= z >> _SHIFTS[1]
    z *= _FACTORS[1]
    z ^= z >> _SHIFTS[2]
    return z


@functools.lru_cache(maxsize=64)
def _keys(seed: int, epoch: int) -> tuple[np.uint64, ...]:
    """Return one key for each half round: NumPy's seed sequence keeps near seeds far apart."""
    return tuple(np.random.SeedSequence([seed, epoch]).generate_state(ROUNDS, np.uint64))
