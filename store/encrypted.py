"""Objects that lie encrypted with their vendor's key: `[store] encryption = "vendor-keys"`.

    root/encryption.json       that it is so, and where the keys are; `open_objects` looks for it
    root/sha256/ab/abcdef...   sealed files (`store.frames`), each named by the hash of its *plain* bytes

The name is of the plain bytes, because it is what catalogue, receipts, signatures and vendors know an episode by, and
what a reader proves; a name of the sealed bytes would change with each sealing, and have to be looked up. Who holds a
copy of the folder can therefore tell whether it holds a file that he has already, and how long each is; nothing else.
Each file belongs to its vendor, who is in its head. What lay here before encryption began is read as it is until
`python -m store encrypt` has come past it.

Equal bytes of two vendors are one object, under the key of whoever put them last. No two recordings are: each names its
vendor.
"""

import fcntl
import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Self

from store.errors import BrokenObject, KeyDestroyed, StoreError
from store.frames import SealedFile, SealedSource, header_of, is_sealed, opened, seal
from store.keys import Keys, open_keys
from store.objects import (
    ENCRYPTION,
    FLUSHED,
    NAMED,
    Announce,
    LocalObjects,
    StoredObject,
    check_digest,
    check_range,
    room_for,
    sync_folder,
)
from store.reader import Source
from store.spool import Claim

VENUE = "venue"
"""To whom belongs what no vendor put."""
OPEN_FILES, OPEN_BYTES = 8, 256 << 20
"""So many files, and as many more as there is room for, stay decrypted in memory for those who need a path."""


class EncryptedObjects(LocalObjects):
    """Objects of a folder, each under its vendor's key. Safe for many threads and processes."""

    def __init__(self, root: Path, keys: Keys, *, owner: str = VENUE) -> None:
        """owner: To whom what is put belongs; see `of`."""
        super().__init__(root, sealed=True)
        self._root, self._keys, self._owner = root, keys, owner
        self._open: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._opening = Lock()

    def of(self, owner: str) -> Self:
        """See `ObjectStore.of`."""
        return type(self)(self._root, self._keys, owner=owner)

    def put_file(
        self, path: Path, *, move: bool = False, announce: Announce | None = None, sha256: str | None = None
    ) -> StoredObject:
        """See `ObjectStore.put_file`; hashed anew as it is sealed. Raises KeyDestroyed where the owner's key was."""
        if sha256 is not None:
            check_digest(sha256)
        key = self._keys.of(self._owner, make=True)
        with room_for(f"object from {path.name}"), Claim(self.incoming) as claim:
            with open(path, "rb") as source, open(claim.path, "wb") as target:
                size_bytes = os.fstat(source.fileno()).st_size
                sha256 = seal(self._owner, key, source, size_bytes, target)
                target.flush()
                os.fsync(target.fileno())
            place = self._place(sha256)
            if announce is not None:
                announce(sha256)
            FLUSHED()
            with self.locked():
                os.chmod(claim.path, 0o600)  # also says that it was put now
                os.rename(claim.path, place)
            NAMED()
            sync_folder(place.parent)
        if move:
            path.unlink()
        return StoredObject(sha256, size_bytes)

    def open(self, sha256: str) -> BinaryIO:
        """See `ObjectStore.open`. Raises KeyDestroyed, BrokenObject."""
        place = self.where(sha256)
        return opened(self._sealed(place, sha256)) if is_sealed(place) else open(place, "rb")

    def path_of(self, sha256: str) -> Path:
        """See `ObjectStore.path_of`: a file in memory, of this process alone, that no disk ever has.

        It can be opened until eight others were asked for. Raises KeyDestroyed, BrokenObject.
        """
        place = self.where(sha256)
        if not is_sealed(place):
            return place
        with self._sealed(place, sha256) as file, self._opening:
            # Asked for before anything that is still open is given: what was destroyed since is not.
            known = self._open.pop(sha256, None)
            if known is None:
                known = _in_memory(file), file.sealed.size_bytes
            self._open[sha256] = known
            while len(self._open) > OPEN_FILES and sum(size for _, size in self._open.values()) > OPEN_BYTES:
                os.close(self._open.popitem(last=False)[1][0])
            return Path(f"/proc/{os.getpid()}/fd/{known[0]}")

    def opened(self, sha256: str) -> tuple[Path, bytes | None]:
        """See `ObjectStore.opened`."""
        place = self.where(sha256)
        if not is_sealed(place):
            return place, None
        with self._sealed(place, sha256) as file:
            return place, file.own

    def read(self, sha256: str, begin: int, size_bytes: int) -> bytes:
        """See `ObjectStore.read`: the frames alone that the range lies in are decrypted."""
        check_range(sha256, begin, size_bytes)
        place = self.where(sha256)
        if not is_sealed(place):
            return super().read(sha256, begin, size_bytes)
        with self._sealed(place, sha256) as file:
            return file.read(begin, size_bytes)

    def verify(self, sha256: str) -> StoredObject:
        """See `ObjectStore.verify`: that it can be decrypted to the bytes of its name."""
        place = self.where(sha256)
        if not is_sealed(place):
            return super().verify(sha256)
        digest = hashlib.sha256()
        with self._sealed(place, sha256) as file:
            for piece in file.pieces():
                digest.update(piece)
            size_bytes = file.sealed.size_bytes
        if digest.hexdigest() != sha256:
            raise BrokenObject(f"object {sha256} has the hash {digest.hexdigest()} ({size_bytes} bytes)")
        return StoredObject(sha256, size_bytes)

    def owner_of(self, sha256: str) -> str | None:
        """Return whose an object is, as its head says; None: it lies there plain.

        Raises ObjectNotFound, BrokenObject.
        """
        place = self.where(sha256)
        if not is_sealed(place):
            return None
        with open(place, "rb") as file:
            return header_of(file, sha256).owner

    def destroyed_s(self, owner: str) -> int | None:
        """Return when the key of a vendor was destroyed, in seconds since 1970; None: it was not."""
        return self._keys.destroyed_s(owner)

    def shred(self, owner: str) -> None:
        """Destroy a vendor's key: nothing of it can be read again, here or from any copy of the objects."""
        self._keys.destroy(owner)
        with self._opening:
            while self._open:
                os.close(self._open.popitem()[1][0])

    def encrypt(self, owner_of: Callable[[Path], str]) -> Iterator[bool]:
        """Seal what lies here as it is, one object at a time; yields for each object whether it had to be.

        Taken up again after any death: what is sealed is passed over. Raises BrokenObject for one that has not the
        bytes of its name; StoreFull.

        Args:
            owner_of: Returns to whom a file belongs.
        """
        for sha256 in self.digests():
            place = self.where(sha256)
            if is_sealed(place):
                yield False
                continue
            LocalObjects.verify(self, sha256)
            self.of(owner_of(place)).put_file(place)
            yield True

    def _sealed(self, place: Path, sha256: str) -> SealedFile:
        try:
            return SealedFile(place, self._keys.of)
        except KeyDestroyed as error:
            raise KeyDestroyed(f"object {sha256} cannot be read: {error}") from None
        except BrokenObject as error:
            raise BrokenObject(f"object {sha256}: {error}") from None

    def __del__(self) -> None:
        for descriptor, _ in self.__dict__.get("_open", {}).values():
            os.close(descriptor)


def _in_memory(file: SealedFile) -> int:
    """Return a descriptor of a nameless file in memory with the plain bytes, which cannot be changed any more."""
    descriptor = os.memfd_create("object", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for piece in file.pieces():
            view = memoryview(piece)
            while view:
                view = view[os.write(descriptor, view) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def begin_encryption(root: Path, keys: Path) -> EncryptedObjects:
    """Say that from now on the objects of this folder are encrypted, with keys in that one; done twice it is the same.

    Raises:
        StoreError: It is so already, with keys elsewhere.
        ExposedKeys: Others can read the folder of keys.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    held = open_keys(keys)
    marker = root / ENCRYPTION
    said = json.dumps({"encryption": "vendor-keys", "keys": os.path.relpath(keys.resolve(), root.resolve())})
    if marker.exists():
        if marker.read_text("utf-8") != said:
            raise StoreError(f"{root}: is encrypted with other keys than {keys}")
    else:
        part = marker.with_suffix(".part")
        with open(part, "w", encoding="utf-8") as file:
            file.write(said)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, marker)
        sync_folder(root)
    return EncryptedObjects(root, held)


def source_at(path: Path) -> Source:
    """Return what the store's readers take for an object's file: one that is sealed is opened with its store's keys.

    Raises KeyDestroyed; FileNotFoundError.
    """
    root = path.absolute().parents[2] if len(path.absolute().parents) > 2 else path.parent
    if not (root / ENCRYPTION).exists() or not is_sealed(path):
        return path
    place, own = open_encrypted(root).opened(path.name)
    return path if own is None else SealedSource(place, own)


def open_encrypted(root: Path) -> EncryptedObjects:
    """Return the objects of a folder that `begin_encryption` began. Raises StoreError, ExposedKeys."""
    try:
        said = json.loads((root / ENCRYPTION).read_text("utf-8"))
        kind, keys = said["encryption"], root / said["keys"]
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"{root / ENCRYPTION}: says nothing that could be read") from None
    if kind != "vendor-keys":
        raise StoreError(f"{root / ENCRYPTION}: {str(kind)[:40]!r}: this version knows vendor-keys alone")
    return EncryptedObjects(root, open_keys(keys))
