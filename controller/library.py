"""Opens what was compiled here, or says why it cannot.

The libraries are plain C without a Python symbol, opened by their paths. One is used only if it was built from the very
sources that lie beside it: a stale build would silently be another law.
"""

import ctypes
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path


@dataclass(frozen=True)
class Library:
    """The opened library, or None, and the reason in one sentence."""

    handle: ctypes.CDLL | None
    reason: str


def source_digest(folder: Path, sources: Sequence[str]) -> str | None:
    """Return the digest of the sources in `folder` as the build bakes it in.

    None where the sources are not there: an installation from a wheel carries only the library.
    """
    digest = hashlib.sha256()
    for name in sources:
        source = folder / name
        if not source.is_file():
            return None
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def open_library(
    folder: Path, name: str, sources: Sequence[str], digest: str, declare: Callable[[ctypes.CDLL], bool]
) -> Library:
    """Open the extension `name` in `folder` and prove that it is ours. Never raises: the reason says what is wrong.

    Args:
        folder: Where the library lies, and its sources where there are any.
        name: Of the extension, such as "_kernel".
        sources: Their names, in the order in which the build digests them.
        digest: Name of the function that returns the digest it was built from.
        declare: Gives the functions their types; returns whether structures are laid out as their mirrors here.
    """
    path = next((p for s in EXTENSION_SUFFIXES if (p := folder / f"{name}{s}").is_file()), None)
    if path is None:
        return Library(None, "it is not built (no C compiler?): `python -m controller build` tries again")
    try:
        handle = ctypes.CDLL(str(path))
        told = getattr(handle, digest)
        told.restype = ctypes.c_char_p
        built_from = told().decode()
        alike = declare(handle)
    except (OSError, AttributeError) as error:
        return Library(None, f"{path.name} does not load: {error}")
    if not alike or source_digest(folder, sources) not in (None, built_from):
        return Library(None, f"{path.name} was built from other sources: `python -m controller build`")
    return Library(handle, f"{path.name} is built and current (sources {built_from})")
