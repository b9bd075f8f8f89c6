"""A folder as a zip stream in bounded memory, for a download that starts at once.

Entries are stored, not packed: the files of an export are compressed already. Names are sorted and times
fixed, so the same folder gives the same bytes.
"""

import io
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

from store.errors import ExportRefused

CHUNK_BYTES = 1 << 20


class _Outlet(io.RawIOBase):
    """Collects what the zip writer wrote since the last `take`; it cannot seek, so the writer streams."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        self._chunks.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken = b"".join(self._chunks)
        self._chunks.clear()
        return taken


def stream_zip(folder: Path, *, prefix: str = "") -> Iterator[bytes]:
    """Yield a zip of all files in `folder`; at most about two chunks are in memory at a time.

    Args:
        folder: A folder of regular files and folders.
        prefix: Folder name inside the zip, e.g. `walk/`; empty for none.

    Raises:
        ExportRefused: Something in the folder is neither a file nor a folder, e.g. a symbolic link. It is
            raised by the call, before the first byte.
    """
    paths = _regular_files(folder)
    return _stream(folder, paths, prefix)


def _stream(folder: Path, paths: list[Path], prefix: str) -> Iterator[bytes]:
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for path in paths:
            entry = zipfile.ZipInfo(prefix + path.relative_to(folder).as_posix())
            entry.external_attr = (stat.S_IFREG | 0o600) << 16
            # Checked before, but the folder may have changed since: never follow a link out of it.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            with open(descriptor, "rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while chunk := source.read(CHUNK_BYTES):
                    target.write(chunk)
                    yield outlet.take()
    yield outlet.take()


def _regular_files(folder: Path) -> list[Path]:
    files: list[Path] = []
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            files.append(path)
        elif not stat.S_ISDIR(mode):
            raise ExportRefused(f"{path.relative_to(folder)} is neither a file nor a folder")
    return files
