"""Finds and loads the compiled timed loop; says why where it cannot. `controller/kernel.py` does so for the law."""

import ctypes
import logging
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from controller.kernel import Library, source_digest

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
    """Open the library in `folder` and prove that it is ours. Never raises: the reason says what is wrong."""
    path = next((p for s in EXTENSION_SUFFIXES if (p := folder / f"_realtime{s}").is_file()), None)
    if path is None:
        return Library(None, "it is not built (no C compiler?): `python -m controller build` tries again")
    try:
        handle = ctypes.CDLL(str(path))
        handle.palaestra_realtime_digest.restype = ctypes.c_char_p
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
        built_from = handle.palaestra_realtime_digest().decode()
    except (OSError, AttributeError) as error:
        return Library(None, f"{path.name} does not load: {error}")
    if source_digest(folder, SOURCES) not in (None, built_from):
        return Library(None, f"{path.name} was built from other sources: `python -m controller build`")
    return Library(handle, f"{path.name} is built and current (sources {built_from})")
