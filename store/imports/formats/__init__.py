"""One file per format, behind one contract (`store.imports.raw.Format`)."""

import difflib
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from store.errors import ImportRefused
from store.imports.raw import Format

HEAD_BYTES = 4096
_HOMES: Mapping[str, str] = {
    "lerobot": "store.imports.formats.lerobot",
    "mcap": "store.imports.formats.mcap_file",
    "rosbag": "store.imports.formats.bag",
    "rlds": "store.imports.formats.rlds",
    "robomimic": "store.imports.formats.robomimic",
    "ulog": "store.imports.formats.ulog",
    "npz": "store.imports.formats.arrays",
    "failures": "store.imports.formats.failures",
    "csv": "store.imports.formats.delimited",
}
"""In the order in which they are tried: the most telling first, what looks like any text last."""
NAMES = tuple(_HOMES)


def find(name: str) -> Format:
    """Return the format of this name. Raises ImportRefused with the closest one."""
    if name not in _HOMES:
        close = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ImportRefused(f"format {name!r}: one of {', '.join(NAMES)}{hint}")
    found: Format = import_module(_HOMES[name]).FORMAT
    return found


def sniff(path: Path) -> Format:
    """Return the format of a file or folder by its first bytes. Raises ImportRefused where none knows it."""
    head = b""
    if path.is_file():
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    for name in NAMES:
        found = find(name)
        if found.sniff(path, head):
            return found
    raise ImportRefused(f"{path.name}: none of {', '.join(NAMES)} knows it; say which with --format")


def inside(root: Path, relative: str) -> Path:
    """Return a file of a folder by a name that the source gives. Raises ImportRefused for one that leads out."""
    if not relative or "\0" in relative or relative.startswith("/") or ".." in Path(relative).parts:
        raise ImportRefused(f"{relative[:200]!r}: leads out of {root.name}")
    path = root / relative
    if os.path.realpath(path) != os.path.join(os.path.realpath(root), os.path.normpath(relative)):
        raise ImportRefused(f"{relative[:200]!r}: leads out of {root.name} by a link")
    if not path.is_file():
        raise ImportRefused(f"{relative[:200]}: not there")
    return path
