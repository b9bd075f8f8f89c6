"""Arrays for batches that are used again when nobody holds them any more.

Fresh memory comes from the system page by page, and each page costs more than the copy into it. Whoever keeps a batch
keeps its arrays: only what is left by all, views and tensors over it included, is filled anew.
"""

import sys
import threading
from typing import Any

import numpy as np

KEPT = 4
"""Arrays of one shape that are kept for use again: one in work, one with its reader, and some that are late."""


def _free(kept: list[np.ndarray], unused: int) -> np.ndarray | None:
    """Return one to which nobody has references but `unused` many: the list, the loop and the asking."""
    for array in kept:
        if sys.getrefcount(array) <= unused:
            return array
    return None


def _unused() -> int:
    """Return how many references an array has that only a list has; versions of Python count them differently."""
    alone = [np.empty(0)]
    return next(count for count in range(1, 10) if _free(alone, count) is not None)


class Buffers:
    """Hands out arrays whose content is arbitrary. Safe for several threads. A copy of it elsewhere starts empty."""

    def __init__(self) -> None:
        self._lock, self._unused = threading.Lock(), _unused()
        self._kept: dict[tuple[Any, ...], list[np.ndarray]] = {}

    def __reduce__(self) -> Any:
        return Buffers, ()

    def take(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """Return an array of the shape that nobody else holds."""
        with self._lock:
            kept = self._kept.setdefault((shape, dtype.str), [])
            if (free := _free(kept, self._unused)) is not None:
                return free
            array = np.empty(shape, dtype)
            if len(kept) < KEPT:
                kept.append(array)
            return array
