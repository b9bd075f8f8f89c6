"""What a seed means: the number of a world. Honoured or refused, never dropped.

A world's chance belongs to the job's seed, the world's number and the episode. An environment with the
seed s is the world s, and the environments of a vector with the seed s are the worlds s, s + 1 and so on, as in
Gymnasium. So an environment begins alike whether it is alone or one of a thousand, in order or in parallel.
"""

import operator
import secrets
from collections.abc import Sequence
from typing import SupportsIndex

SEED_MAX = 2**63 - 1
Seed = SupportsIndex | Sequence[SupportsIndex | None] | None


class BadSeed(Exception):
    """A seed cannot be honoured: it is no whole number, negative, too large, or there are too few of them."""


def world_numbers(seed: Seed, envs: int) -> list[int | None]:
    """Return the world that each environment is to be from now, None for one that goes on.

    Args:
        seed: A number for the first environment, one for each (None: it goes on), or None: all go on.
        envs: How many environments there are.

    Raises:
        BadSeed: not a whole number, below 0, above 2^63 - 1, or not one for each environment.
    """
    if seed is None:
        return [None] * envs
    if isinstance(seed, str | bytes):
        raise BadSeed(f"seed = {seed!r}: must be a whole number, or one for each environment")
    if not hasattr(seed, "__len__"):
        first = _whole(seed)
        return [_whole(first + i) for i in range(envs)]
    numbers: Sequence[SupportsIndex | None] = seed  # type: ignore[assignment]
    if len(numbers) != envs:
        raise BadSeed(f"{len(numbers)} seeds for {envs} environments")
    return [None if number is None else _whole(number) for number in numbers]


def fresh(envs: int) -> list[int]:
    """Return a world for each of so many environments that nobody has seeded: the first by chance, then in order."""
    # Far from both the small numbers that people choose and the end of the range.
    first = 2**40 + secrets.randbelow(2**62)
    return [first + i for i in range(envs)]


def _whole(number: object) -> int:
    try:
        if isinstance(number, bool):
            raise TypeError("a bool")
        whole = operator.index(number)  # type: ignore[arg-type]
    except TypeError as error:
        raise BadSeed(f"seed = {number!r}: must be a whole number") from error
    if not 0 <= whole <= SEED_MAX:
        raise BadSeed(f"seed = {whole}: must be from 0 to 2^63 - 1")
    return whole
