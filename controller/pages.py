"""Memory for arrays that may never be written to: what nobody touched takes none."""

import math
import mmap
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt


def blank(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an array of zeros in pages of its own, which the system gives one by one when they are written to.

    `np.zeros` promises less: from memory that was used before it writes its zeros, and of large arrays it asks for huge
    pages, of which a single number takes two megabytes.
    """
    size = math.prod(shape)
    bytes_ = size * np.dtype(dtype).itemsize
    if bytes_ < mmap.PAGESIZE or not hasattr(mmap, "MAP_PRIVATE"):
        return np.zeros(shape, dtype)
    pages = mmap.mmap(-1, bytes_, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        # Where the system gives huge pages unasked, one number would take one. A kernel without them refuses the word.
        with suppress(OSError):
            pages.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(pages, dtype, size).reshape(shape)
