"""Memory for arrays that may never be written to: what nobody touched takes none."""

import ctypes
import math
import mmap
import os
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

CACHE_LINE_B = 64
_MAPPINGS_A_ROW = 8
_MAP_FIXED = 0x10
"""Of Linux, on all its machines but those of no interest here; `mmap` of Python 3.11 has no name for it."""


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


def arena(count: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return `count` zeroed arrays, (count, *shape), that start on a cache line and at different offsets in a page.

    Equal large arrays that all start at the same page offset evict each other from the first-level cache;
    one odd cache line between them is enough.
    """
    size_b = int(np.prod(shape)) * dtype.itemsize
    stride_b = -(-size_b // CACHE_LINE_B) * CACHE_LINE_B + CACHE_LINE_B
    # Simulated robots compute in f64, and of many of their rows nobody writes any. Those of f32 are all in use, and
    # large floors of them are faster in huge pages.
    zeros = blank if dtype == np.float64 else np.zeros
    memory = zeros((count * stride_b + CACHE_LINE_B,), np.uint8)
    start_b = -memory.ctypes.data % CACHE_LINE_B
    strides_b = (stride_b, *(int(np.prod(shape[k + 1 :])) * dtype.itemsize for k in range(len(shape))))
    return np.ndarray((count, *shape), dtype, memory, start_b, strides_b)


def is_blank(rows: npt.NDArray[Any]) -> bool:
    """Return whether all bits are zero, also those of signs."""
    # Of the few numbers of a world the bytes are looked through faster than NumPy is called.
    data = rows.tobytes()
    return data.count(0) == len(data)


def repeated(values: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    """Return an array, (rows, width), each row of which repeats one of `values`, (rows,), in f64.

    Where the system can, the pages within the rows of a value are one and the same, until they are written to and the
    system copies them: rows that stay as they are take hardly any memory.

    Raises:
        MemoryError: the system has no room for a mapping.
    """
    rows = blank((len(values), width), np.float64)
    pages = width * rows.itemsize // mmap.PAGESIZE
    file = _nameless_file() if pages >= 2 else None
    if file is None:
        rows[:] = values[:, None]
        return rows
    # A system bounds how many mappings there are: of a long row each is of some pages.
    size = -(-pages // _MAPPINGS_A_ROW) * mmap.PAGESIZE
    different, which = np.unique(values.view(np.uint64), return_inverse=True)
    try:
        with open(file, "wb", closefd=False) as samples:
            samples.write(np.repeat(different, size // rows.itemsize).tobytes())
        for row, value, kind in zip(rows, values, which, strict=True):
            begin = -(-row.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE
            end = (row.ctypes.data + row.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
            first, last = (-(-(edge - row.ctypes.data) // row.itemsize) for edge in (begin, end))
            row[:first] = row[last:] = value
            for address in range(begin, end, size):
                _map(address, min(size, end - address), file, int(kind) * size)
    finally:
        os.close(file)
    return rows


def _nameless_file() -> int | None:
    """Return a file in memory; None where the system has none, or refuses it as some sandboxes do."""
    with suppress(AttributeError, OSError):
        return os.memfd_create("repeated", os.MFD_CLOEXEC)
    return None


def _map(address: int, size: int, file: int, offset: int) -> None:
    """Put a private mapping of a file in the place of memory that is mapped. Raises MemoryError."""
    flags = mmap.MAP_PRIVATE | _MAP_FIXED
    if _libc().mmap(address, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, file, offset) != address:
        raise MemoryError(f"mmap of {size} bytes: {os.strerror(ctypes.get_errno())}")


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    number = ctypes.c_int
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, number, number, number, ctypes.c_long)
    libc.mmap.restype = ctypes.c_void_p
    return libc
