"""Working files that must not outlive their process: the owner locks each, and whoever comes later sweeps.

The kernel drops a lock when its process dies, however it dies: a file that nobody has locked is a leftover.
"""

import fcntl
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

_OWNED = ".spool"
_EXTRA = ".sealing"


class Claim:
    """One private working file, and a second one beside it, that exist as long as the claim is held.

    Attributes:
        path: The file, mode 0600, created empty.
        extra: A name beside it that the owner may create; swept together with `path`.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            stem = secrets.token_hex(16)
            self.path = folder / (stem + _OWNED)
            self.extra = folder / (stem + _EXTRA)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            # A sweeper may come between the creation and the lock: then the file is its, and we take another.
            if _lock(self._descriptor) and os.fstat(self._descriptor).st_nlink == 1:
                return
            os.close(self._descriptor)

    def release(self) -> None:
        """Remove both files and give up the claim. A second call does nothing."""
        if self._descriptor < 0:
            return
        self.extra.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def clean_spool(folder: Path) -> int:
    """Remove the working files of dead processes in `folder` and return how many bytes became free.

    Files of living recorders are left alone, so it is safe at any time, also from another process.
    """
    freed_bytes = 0
    if not folder.is_dir():
        return 0
    for path in sorted(folder.glob(f"*{_OWNED}")):
        extra = path.with_suffix(_EXTRA)
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            if _lock(descriptor):
                # The extra goes first: without its lock file nobody would ever know that it is dead.
                freed_bytes += _remove(extra) + _remove(path)
        finally:
            os.close(descriptor)
    return freed_bytes


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(path: Path) -> int:
    try:
        size_bytes = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return size_bytes
