r"""Delays between a command and its effect, fixed and random, in NumPy: what the kernel equals bit for bit.

With a random delay each joint of each unit draws, in each tick, how old the command is that it acts on: the fixed
delay plus a whole number of ticks up to the jitter, all equally likely. It never acts on a command older than
the one before, as a bus delivers late but the newest wins: $lag \leftarrow \min(drawn, lag + 1)$.

The numbers come from a counter and not from a sequence: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random
numbers: as easy as 1, 2, 3", 2011) of (tick, joint, unit's key, 0) and the seed. So they do not depend on how
units are put together, and any one can be had without the ones before.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from controller.physics import Physics

Real = npt.NDArray[np.floating[Any]]
Bits = npt.NDArray[np.uint32]

_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox(counter: tuple[Any, Any, Any, Any], key: tuple[int, int]) -> tuple[Bits, Bits, Bits, Bits]:
    """Return the four words of Philox4x32-10, each of the counters' common shape."""
    c0, c1, c2, c3 = (np.asarray(word).astype(np.uint64) for word in counter)
    k0, k1 = key
    for _ in range(10):
        p, q = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1 = (q >> _HALF) ^ c1 ^ np.uint64(k0), q & _LOW
        c2, c3 = (p >> _HALF) ^ c3 ^ np.uint64(k1), p & _LOW
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    w0, w1, w2, w3 = (word.astype(np.uint32) for word in np.broadcast_arrays(c0, c1, c2, c3))
    return w0, w1, w2, w3


def delay(x: "Physics", held: tuple[Real, ...], run: npt.NDArray[np.bool_]) -> tuple[Real, ...]:
    """Store the commands in force and return those that act now, each (J, P).

    A unit that does not run loses the gains and torques of all slots: what it was told before a stop never
    acts after it, however soon it runs again.
    """
    if not x.slots:
        return held
    now, oldest = int(x.cursor[0]), (int(x.cursor[0]) + 1) % x.slots
    for index, values in enumerate(held):
        x.ring[now, index] = values
    x.ring[:, 2:, :, ~run] = 0
    x.cursor[0] = oldest
    if not x.jitter_ticks:
        return tuple(x.ring[oldest])
    _draw_lags(x)
    slot = (now + x.slots - x.lag.astype(np.int64)) % x.slots
    joints, lanes = np.indices(slot.shape)
    for index in range(5):
        x.told[index] = x.ring[slot, index, joints, lanes]
    return tuple(x.told)


def _draw_lags(x: "Physics") -> None:
    joints = np.arange(x.lag.shape[0], dtype=np.uint32)[:, None]
    word, *_ = philox((x.tick[0], joints, x.key[None, :], np.uint32(0)), split_seed(x.seed))
    drawn = (word.astype(np.uint64) * np.uint64(x.jitter_ticks + 1)) >> _HALF
    drawn = drawn.astype(np.uint32) + np.uint32(x.delay_ticks)
    older = x.lag + np.uint32(1)
    x.lag[:] = np.where(drawn < older, drawn, older)


def split_seed(seed: int) -> tuple[int, int]:
    """Return the two words of the key that a seed stands for."""
    return seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
