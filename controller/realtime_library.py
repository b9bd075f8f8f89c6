"""Loads the compiled timed loop; says why where it cannot."""

import ctypes
import logging
from functools import cache
from pathlib import Path

from controller.library import Library, open_library

log = logging.getLogger(__name__)

SOURCES = ("realtime.c", "realtime_thread.c", "realtime_plants.c", "realtime.h", "realtime_loop.h")

NUMBERS = ("start", "started", "finished", "join", "grant", "push")
"""Functions of the library, `palaestra_loop_*`, that return a number."""

NOTHING = ("setup", "run", "end", "stop", "wish", "lease", "drop")
"""Those that return nothing."""


@cache
def loaded() -> Library:
    """Return the library beside this file, looked for once; where there is none, a warning says so once."""
    library = load(Path(__file__).parent)
    if library.handle is None:
        log.warning("timed loop: running in Python, late whenever Python is busy: %s", library.reason)
    return library


def load(folder: Path) -> Library:
    """Open the library in `folder`, as `open_library` does."""
    return open_library(folder, "_realtime", SOURCES, "palaestra_realtime_digest", _declare)


def _declare(handle: ctypes.CDLL) -> bool:
    handle.palaestra_loop_bytes.restype = ctypes.c_size_t
    handle.palaestra_setup_bytes.restype = ctypes.c_size_t
    handle.palaestra_loop_newest.restype = ctypes.c_uint32
    handle.palaestra_loop_sampled.restype = ctypes.c_size_t
    for name in NUMBERS:
        getattr(handle, f"palaestra_loop_{name}").restype = ctypes.c_int32
    for name in NOTHING:
        getattr(handle, f"palaestra_loop_{name}").restype = None
    handle.palaestra_shared_put.restype = None
    handle.palaestra_shared_get.restype = ctypes.c_int32
    return True
