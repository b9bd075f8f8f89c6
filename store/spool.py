"""Working files that must not outlive their process: the owner locks each, and whoever comes later sweeps.

The kernel drops a lock when its process dies, however it dies: a file that nobody has locked is a leftover.
"""

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

_OWNED = ".spool"
_EXTRA = ".sealing"
_RECEIPT = ".sealed"


class Claim:
    """One private working file, and others beside it, that exist as long as the claim is held.

    Attributes:
        path: The file, mode 0600, created empty.
        extra: A name beside it that the owner may create; swept together with `path`.
        receipt: Where `leave_receipt` says what becomes of it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            self._name(folder / (secrets.token_hex(16) + _OWNED))
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            # A sweeper may come between the creation and the lock: then the file is its, and we take another.
            if _lock(self._descriptor) and os.fstat(self._descriptor).st_nlink == 1:
                return
            os.close(self._descriptor)

    @classmethod
    def of_the_dead(cls, path: Path) -> Self | None:
        """Take over the claim on a working file whose owner has died; None if it lives, or the file is gone."""
        claim = cls.__new__(cls)
        claim._name(path)
        try:
            claim._descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return None
        if _lock(claim._descriptor) and os.fstat(claim._descriptor).st_nlink == 1:
            return claim
        os.close(claim._descriptor)
        return None

    def leave_receipt(self, sha256: str) -> None:
        """Leave word, on the disk when this returns, what object comes, or has come, of what is worked on here.

        A torn one is of no object: nobody gives the object its name before this has returned. Raises OSError.
        """
        descriptor = os.open(self.receipt, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, sha256.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        folder = os.open(self.receipt.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        except OSError as error:
            # Some file systems cannot flush a folder and say so; there is nothing better to do on them.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(folder)

    def leave(self) -> None:
        """Give up the claim and leave its files to whoever recovers the folder. A second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def release(self) -> None:
        """Remove the files and give up the claim. A second call does nothing."""
        if self._descriptor < 0:
            return
        # The working file goes first: without the receipt it would be taken for an episode that was never sealed. What
        # is left beside nothing is known for dead.
        for path in (self.path, self.receipt, self.extra):
            path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _name(self, path: Path) -> None:
        self.path, self.extra, self.receipt = path, path.with_suffix(_EXTRA), path.with_suffix(_RECEIPT)


def abandoned(folder: Path) -> Iterator[Claim]:
    """Yield the claims of dead processes in `folder`, taken over; each is to be released or left.

    Files of living recorders are left alone, so it is safe at any time, also from another process.
    """
    if not folder.is_dir():
        return
    for path in sorted(folder.glob(f"*{_OWNED}")):
        if (claim := Claim.of_the_dead(path)) is not None:
            yield claim


def clean_spool(folder: Path) -> int:
    """Remove the working files of dead processes in `folder` and return how many bytes became free.

    Open episodes among them are lost: `store.recovery` is what seals them. Safe at any time, also from another process.
    """
    freed_bytes = 0
    for claim in abandoned(folder):
        freed_bytes += sum(_size_of(path) for path in (claim.path, claim.receipt, claim.extra))
        claim.release()
    return freed_bytes + clean_strays(folder)


def clean_strays(folder: Path) -> int:
    """Remove what a death amid the release of a claim left, and return how many bytes became free."""
    freed_bytes = 0
    if not folder.is_dir():
        return 0
    for suffix in (_EXTRA, _RECEIPT):
        for path in sorted(folder.glob(f"*{suffix}")):
            # While a claim lives its working file is there, from before the others until they are of no use.
            if not path.with_suffix(_OWNED).exists():
                freed_bytes += _size_of(path)
                path.unlink(missing_ok=True)
    return freed_bytes


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
