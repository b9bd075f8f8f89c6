"""Bytes named by their hash: the one place where sealed files live.

An object is immutable, and its name is the SHA-256 of its bytes, so a reader can always prove what it got
and storing the same thing twice costs nothing. `ObjectStore` is the contract; `LocalObjects` keeps it in a
folder:

    root/sha256/ab/abcdef...   complete objects, nothing else ever
    root/incoming/             copies under way from another file system
    root/lock                  shared by who puts, held alone by who removes what nobody names (`store.sweep`)

A file only ever appears under `sha256/` by a rename of bytes that were flushed to the disk before.
"""

import errno
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import BinaryIO, Protocol, Self, runtime_checkable

from palaestra.failpoint import Failpoint
from store.errors import BrokenObject, InvalidDigest, ObjectNotFound, StoreError, StoreFull
from store.spool import Claim

FLUSHED = Failpoint("store.object.flushed", "an object's bytes are on the disk; it has no name yet")
NAMED = Failpoint("store.object.named", "an object has its name; the folder that says so may not be on the disk")
Announce = Callable[[str], object]
ENCRYPTION = "encryption.json"
"""Beside `sha256/`, where objects are encrypted; see `store.encrypted`."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class StoredObject:
    """What the store holds: its name and its size."""

    sha256: str
    size_bytes: int


class ObjectStore(Protocol):
    """Immutable objects by hash. Every implementation passes `tests/store/test_objects.py`.

    Every method with a digest raises InvalidDigest for an ill-formed one, before anything is touched.
    """

    def put_file(
        self, path: Path, *, move: bool = False, announce: Announce | None = None, sha256: str | None = None
    ) -> StoredObject:
        """Store the file's bytes durably; when this returns they survive a crash. Storing twice is no error.

        With `move` the source is gone afterwards, and not before. `announce` is told the object's name once its bytes
        are safe and before anybody can see it; what it raises stops the storing. `sha256` is the hash of
        the file's bytes, from who has hashed them as he wrote them; it is believed. Raises StoreFull; then nothing
        became visible.
        """
        ...

    def open(self, sha256: str) -> BinaryIO:
        """Open an object for reading. Raises ObjectNotFound."""
        ...

    def path_of(self, sha256: str) -> Path:
        """Return a local file with the object's bytes, to be read only. Raises ObjectNotFound."""
        ...

    def read(self, sha256: str, begin: int, size_bytes: int) -> bytes:
        """Return bytes from `begin` on, fewer where the object ends. Raises ObjectNotFound; ValueError below zero."""
        ...

    def of(self, owner: str) -> "ObjectStore":
        """Return the same objects, where what is put belongs to this vendor, `vendors/{vendor}`."""
        ...

    def where(self, sha256: str) -> Path:
        """Return the local file in which an object lies, as it lies there: perhaps encrypted. Raises ObjectNotFound."""
        ...

    def opened(self, sha256: str) -> tuple[Path, bytes | None]:
        """Return that file and the key that opens it alone (`store.frames.plain`); None: it lies there plain.

        For a process that is to read this object and no other. Raises ObjectNotFound.
        """
        ...

    def delete(self, sha256: str) -> None:
        """Remove an object for good; when this returns no crash brings it back. Raises ObjectNotFound.

        Whoever has it open reads on. That nothing names it any more is the caller's to know.
        """
        ...

    def put_at(self, sha256: str) -> tuple[int, int]:
        """Return when an object was last put [ns since 1970] and how much it takes [bytes]. Raises ObjectNotFound."""
        ...

    def delete_if_put_before(self, sha256: str, before_ns: int) -> int | None:
        """Remove an object unless it was put, or put again, at or after `before_ns`; return the bytes that became free.

        None: it stays, or there is none. Whoever puts the same bytes meanwhile, by this machine's folder, has them
        afterwards.
        """
        ...

    def verify(self, sha256: str) -> StoredObject:
        """Read the whole object and check its hash. Raises ObjectNotFound, BrokenObject."""
        ...

    def digests(self) -> Iterator[str]:
        """Yield the names of all objects in ascending order."""
        ...


@runtime_checkable
class Cached(Protocol):
    """Objects elsewhere, of which copies are kept here."""

    def evict(self, most_bytes: int) -> int:
        """Remove copies until at most `most_bytes` are left, and return the bytes that became free."""
        ...


def check_digest(sha256: str) -> str:
    """Return `sha256` if it is a well-formed name. Raises InvalidDigest; path traversal ends here."""
    if not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256):
        raise InvalidDigest(f"{str(sha256)[:100]!r} is no SHA-256: 64 lower-case hexadecimal digits")
    return sha256


def check_range(sha256: str, begin: int, size_bytes: int) -> None:
    """Raise ValueError for a range below zero."""
    if begin < 0 or size_bytes < 0:
        raise ValueError(f"object {sha256}: {size_bytes} bytes from {begin} on")


def open_objects(address: str, copies: Path) -> "ObjectStore":
    """Return the objects at an address: a folder, encrypted or not, or `s3://bucket/prefix`.

    Args:
        copies: Where copies are kept of objects that are not on this machine.

    Raises:
        StoreUnreachable: An address that is none, or what speaks to it is not installed.
    """
    if "://" not in address:
        if (Path(address) / ENCRYPTION).exists():
            sealed: ObjectStore = import_module("store.encrypted").open_encrypted(Path(address))
            return sealed
        return LocalObjects(Path(address))
    # By name: whoever stays on his machine needs no client of a service.
    found: ObjectStore = import_module("store.remote").open_remote(address, copies)
    return found


def hash_of(file: BinaryIO) -> str:
    """Return the SHA-256 of what is left to read in `file`."""
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def room_for(what: str) -> Iterator[None]:
    """Turn the system's errors for a full disk, quota or file size limit into StoreFull naming `what`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StoreFull(f"no room to write {what}: {os.strerror(error.errno)}") from error


class LocalObjects:
    """Objects in a local folder, folders 0700 and files 0600. Safe for many processes at a time."""

    def __init__(self, root: Path, *, sealed: bool = False) -> None:
        """Open the folder, made if it has to be. Raises StoreError for one whose objects are encrypted.

        Args:
            sealed: For `store.encrypted` alone.
        """
        if not sealed and (root / ENCRYPTION).exists():
            raise StoreError(f"{root}: its objects are encrypted: open them with open_objects")
        self._folder = root / "sha256"
        self._incoming = root / "incoming"
        self._lock = root / "lock"
        for folder in (root, self._folder, self._incoming):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # All fan-out folders exist and are durable before the first object: no put races with their making.
        fan_out = [self._folder / f"{first:02x}" for first in range(256)]
        missing = [folder for folder in fan_out if not folder.is_dir()]
        for folder in missing:
            folder.mkdir(mode=0o700, exist_ok=True)
        if missing:
            for folder in (self._folder, root, root.parent):
                sync_folder(folder)

    @property
    def incoming(self) -> Path:
        """The folder of copies under way; `clean_spool` removes what a killed process left in it."""
        return self._incoming

    def put_file(
        self, path: Path, *, move: bool = False, announce: Announce | None = None, sha256: str | None = None
    ) -> StoredObject:
        """See `ObjectStore.put_file`. A move within one file system costs no copy."""
        if move and path.stat().st_dev == self._folder.stat().st_dev:
            return self._adopt(path, announce, sha256)
        with room_for(f"object from {path.name}"), Claim(self._incoming) as claim:
            with open(path, "rb") as source, open(claim.path, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            # Hashed anew: it is the copy that gets the name.
            stored = self._adopt(claim.path, announce)
        if move:
            path.unlink()
        return stored

    def open(self, sha256: str) -> BinaryIO:
        """See `ObjectStore.open`."""
        try:
            return open(self._place(sha256), "rb")
        except FileNotFoundError:
            raise ObjectNotFound(f"object {sha256} not found") from None

    def path_of(self, sha256: str) -> Path:
        """See `ObjectStore.path_of`."""
        return self.where(sha256)

    def of(self, owner: str) -> Self:
        """See `ObjectStore.of`: here all lie alike."""
        return self

    def where(self, sha256: str) -> Path:
        """See `ObjectStore.where`."""
        path = self._place(sha256)
        if not path.is_file():
            raise ObjectNotFound(f"object {sha256} not found")
        return path

    def opened(self, sha256: str) -> tuple[Path, bytes | None]:
        """See `ObjectStore.opened`."""
        return self.where(sha256), None

    def read(self, sha256: str, begin: int, size_bytes: int) -> bytes:
        """See `ObjectStore.read`."""
        check_range(sha256, begin, size_bytes)
        with self.open(sha256) as file:
            file.seek(begin)
            return file.read(size_bytes)

    def delete(self, sha256: str) -> None:
        """See `ObjectStore.delete`."""
        place = self._place(sha256)
        try:
            place.unlink()
        except FileNotFoundError:
            raise ObjectNotFound(f"object {sha256} not found") from None
        sync_folder(place.parent)

    def put_at(self, sha256: str) -> tuple[int, int]:
        """See `ObjectStore.put_at`."""
        try:
            found = self._place(sha256).stat()
        except FileNotFoundError:
            raise ObjectNotFound(f"object {sha256} not found") from None
        # Of the name, not of the bytes: those may have lain in the spool for days before they became an object.
        return found.st_ctime_ns, found.st_size

    def delete_if_put_before(self, sha256: str, before_ns: int) -> int | None:
        """See `ObjectStore.delete_if_put_before`."""
        with self.locked(alone=True):
            try:
                at_ns, size_bytes = self.put_at(sha256)
            except ObjectNotFound:
                return None
            if at_ns >= before_ns:
                return None
            self.delete(sha256)
        return size_bytes

    def renew(self, sha256: str) -> None:
        """Let an object count as put now, for who is about to name it anew. Raises ObjectNotFound."""
        with self.locked():
            try:
                self._place(sha256).chmod(0o600)
            except FileNotFoundError:
                raise ObjectNotFound(f"object {sha256} not found") from None

    @contextmanager
    def locked(self, *, alone: bool = False) -> Iterator[None]:
        """Keep others from removing what is put meanwhile; `alone`: keep others from putting."""
        # A descriptor for each: two threads that shared one would share its lock, and the first would take it away.
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield
        finally:
            # A process that was forked meanwhile has the descriptor too, and would keep the lock.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def verify(self, sha256: str) -> StoredObject:
        """See `ObjectStore.verify`."""
        with self.open(sha256) as file:
            found = hash_of(file)
            size_bytes = file.tell()
        if found != sha256:
            raise BrokenObject(f"object {sha256} has the hash {found} ({size_bytes} bytes)")
        return StoredObject(sha256, size_bytes)

    def digests(self) -> Iterator[str]:
        """See `ObjectStore.digests`."""
        for folder in sorted(self._folder.iterdir()):
            for path in sorted(folder.iterdir()):
                yield check_digest(path.name)

    def _place(self, sha256: str) -> Path:
        return self._folder / check_digest(sha256)[:2] / sha256

    def _adopt(self, path: Path, announce: Announce | None, sha256: str | None = None) -> StoredObject:
        """Make a private, complete file of this file system an object: flush, rename, flush the folder."""
        with open(path, "rb") as file:
            sha256 = hash_of(file) if sha256 is None else check_digest(sha256)
            size_bytes = os.fstat(file.fileno()).st_size
            with room_for(f"object {sha256}"):  # delayed allocation may find the disk full only now
                os.fsync(file.fileno())
        place = self._place(sha256)
        if announce is not None:
            announce(sha256)
        # Renaming over an object that is there already replaces it by proven bytes: putting again heals.
        FLUSHED()
        with self.locked():
            os.chmod(path, 0o600)  # also says that it was put now, whatever a file system does at a rename
            os.rename(path, place)
        NAMED()
        sync_folder(place.parent)
        return StoredObject(sha256, size_bytes)


def sync_folder(folder: Path) -> None:
    """Flush a folder, so that the names in it survive a crash."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot flush a folder and say so; there is nothing better to do on them.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
