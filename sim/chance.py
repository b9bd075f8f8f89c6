"""Random numbers that belong to a job, a world, an episode and a purpose, and to nothing else.

Philox4x64-10 is counter based (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11): a
number is a function of key and counter, so no draw shifts another and no order of worlds matters. Its integers, and
their upper 53 bits as a number in [0, 1), are the same on every machine.
"""

import hashlib
import operator
import threading
from typing import SupportsIndex

import numpy as np

from sim.body import Array
from sim.errors import BadJobSeed

# What a counter has given and nobody has taken yet: of a new one, nothing.
_EMPTY = np.zeros(4, np.uint64)
_threads = threading.local()
TASK = 0
"""The stream that a task's start of an episode draws from."""


def job_seed(seed: SupportsIndex) -> int:
    """Return a job's seed as it is. Raises BadJobSeed unless it is a whole number of 64 bits, as the contract has it.

    Two of these are never the same key.
    """
    try:
        whole = operator.index(seed)
    except TypeError:
        raise BadJobSeed(f"seed = {seed!r}: must be a whole number") from None
    if not -(2**63) <= whole < 2**63:
        raise BadJobSeed(f"seed = {whole}: must be from -2^63 to 2^63 - 1")
    return whole


def philox_uniform(seed: int, world: int, episode: int, count: int, *, stream: int = TASK) -> Array:
    """Return `count` uniform numbers in [0, 1) that belong to one episode of one world.

    Args:
        seed, world: The key, each modulo 2^64: the job's seed and the world's number.
        episode: Number of the episode, from 0.
        count: How many; a longer row begins with a shorter one.
        stream: The purpose, from 0 to 2^64 - 1: `TASK`, or what `stream` returns.
    """
    key = np.array([seed % 2**64, world % 2**64], dtype=np.uint64)
    # Words 0 and 1 count what is drawn within the episode.
    counter = np.array([0, 0, episode, stream], dtype=np.uint64)
    generator = _own()
    # A new one would ask the system for chance first, which takes longer than all the rest.
    generator.bit_generator.state = {
        "bit_generator": "Philox",
        "state": {"counter": counter, "key": key},
        "buffer": _EMPTY,
        "buffer_pos": len(_EMPTY),
        "has_uint32": 0,
        "uinteger": 0,
    }
    return generator.random(count)


def _own() -> np.random.Generator:
    """Return this thread's generator, whatever state it is in."""
    found: np.random.Generator | None = getattr(_threads, "generator", None)
    if found is None:
        found = _threads.generator = np.random.Generator(np.random.Philox(key=0))
    return found


def stream(name: str) -> int:
    """Return the stream that belongs to a name: 63 bits of its SHA-256, never that of the task."""
    return 1 + int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % (2**63)
