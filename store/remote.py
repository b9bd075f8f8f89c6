"""Objects in a service that speaks S3, through obstore (the extra `s3`): for a venue whose disk has become too small.

    sha256/ab/abcdef...        below the address, as in the folder of `LocalObjects`

An object appears there whole or not at all: a put, or the completion of an upload in parts, is one step of the service.
Readers get a local copy, proven by its hash when it comes and kept until there is no more room (`evict`). Keys come
from the environment, under the names that every client of S3 knows (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL, AWS_ALLOW_HTTP), or from the machine's role; nothing here keeps or
prints them.
"""

import errno
import hashlib
import os
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Self

from store.copies import IDLE_S, evict, used
from store.errors import BrokenObject, ObjectNotFound, StoreError, StoreUnreachable
from store.objects import Announce, LocalObjects, StoredObject, check_digest, check_range, hash_of, room_for
from store.spool import Claim

RETRIES = 8
RETRY_S = 60.0
"""How long one thing is tried again, with growing pauses; a request that is silent for 30 s has failed (obstore)."""
CHUNK_BYTES = 8 << 20


class RemoteObjects:
    """Objects of an S3 service, with a local folder of copies. Safe for many threads and processes at a time."""

    def __init__(self, store: Any, copies: Path, *, name: str) -> None:
        """Use a store of obstore's. `name` is what messages call it; `open_remote` makes one from an address."""
        self._store, self._copies, self._name = store, LocalObjects(copies), name
        self._client = _obstore()

    def __repr__(self) -> str:
        return f"RemoteObjects({self._name})"

    def put_file(
        self, path: Path, *, move: bool = False, announce: Announce | None = None, sha256: str | None = None
    ) -> StoredObject:
        """See `store.ObjectStore.put_file`. What was put stays as a local copy if the source was moved.

        Raises StoreUnreachable where the service does not take it; then nothing became visible, or all of it. Nor does
        it where there is no such bucket: the bytes are in the source alone, and whoever put them has to keep it.
        """
        with open(path, "rb") as file:
            sha256 = hash_of(file) if sha256 is None else check_digest(sha256)
            size_bytes = os.fstat(file.fileno()).st_size
            with room_for(f"object {sha256}"):
                os.fsync(file.fileno())
        if announce is not None:
            announce(sha256)
        try:
            with self._copies.locked(), self._told(sha256):
                self._client.put(self._store, _key(sha256), path, chunk_size=CHUNK_BYTES)
            with self._told(sha256):
                found_bytes = self._client.head(self._store, _key(sha256))["size"]
        except ObjectNotFound:
            raise StoreUnreachable(f"{self._name}: {sha256}: not kept; is there such a bucket?") from None
        if found_bytes != size_bytes:
            raise BrokenObject(f"object {sha256} has {found_bytes} bytes in {self._name} instead of {size_bytes}")
        if move:
            self._copies.put_file(path, move=True, sha256=sha256)
        return StoredObject(sha256, size_bytes)

    def open(self, sha256: str) -> BinaryIO:
        """See `store.ObjectStore.open`."""
        return open(self.path_of(sha256), "rb")

    def path_of(self, sha256: str) -> Path:
        """See `store.ObjectStore.path_of`: a copy, fetched unless here. Raises StoreUnreachable, BrokenObject."""
        try:
            return used(self._copies.path_of(sha256))
        except ObjectNotFound:
            pass
        with Claim(self._copies.incoming) as claim:
            with open(claim.path, "wb") as target, room_for(f"copy of object {sha256}"):
                self._stream(sha256, target.write)
            with open(claim.path, "rb") as file:
                found, size_bytes = hash_of(file), file.tell()
            if found != sha256:
                raise BrokenObject(f"object {sha256} has the hash {found} ({size_bytes} bytes) in {self._name}")
            with room_for(f"copy of object {sha256}"):
                self._copies.put_file(claim.path, move=True)
        return self._copies.path_of(sha256)

    def of(self, owner: str) -> Self:
        """See `store.ObjectStore.of`: here all lie alike."""
        return self

    def where(self, sha256: str) -> Path:
        """See `store.ObjectStore.where`."""
        return self.path_of(sha256)

    def opened(self, sha256: str) -> tuple[Path, bytes | None]:
        """See `store.ObjectStore.opened`."""
        return self.path_of(sha256), None

    def read(self, sha256: str, begin: int, size_bytes: int) -> bytes:
        """See `store.ObjectStore.read`: from the copy if there is one, else these bytes alone come over the network."""
        check_range(check_digest(sha256), begin, size_bytes)
        try:
            return self._copies.read(sha256, begin, size_bytes)
        except ObjectNotFound:
            pass
        with self._told(sha256):
            whole_bytes = self._client.head(self._store, _key(sha256))["size"]
        length = min(size_bytes, whole_bytes - begin)
        if length <= 0:
            return b""
        with self._told(sha256):
            return bytes(self._client.get_range(self._store, _key(sha256), start=begin, length=length))

    def verify(self, sha256: str) -> StoredObject:
        """See `store.ObjectStore.verify`: what the service has, whatever the copy says."""
        digest, size_bytes = hashlib.sha256(), 0

        def take(chunk: bytes) -> None:
            nonlocal size_bytes
            digest.update(chunk)
            size_bytes += len(chunk)

        self._stream(sha256, take)
        if digest.hexdigest() != sha256:
            raise BrokenObject(
                f"object {sha256} has the hash {digest.hexdigest()} ({size_bytes} bytes) in {self._name}"
            )
        return StoredObject(sha256, size_bytes)

    def put_at(self, sha256: str) -> tuple[int, int]:
        """See `store.ObjectStore.put_at`."""
        with self._told(sha256):
            found = self._client.head(self._store, _key(sha256))
        return int(found["last_modified"].timestamp() * 1e9), int(found["size"])

    def delete_if_put_before(self, sha256: str, before_ns: int) -> int | None:
        """See `store.ObjectStore.delete_if_put_before`.

        No service of this kind removes an object on a condition that all understand: who puts the same bytes from
        another machine, in the same milliseconds, may lose them.
        """
        with self._copies.locked(alone=True):
            try:
                at_ns, size_bytes = self.put_at(sha256)
            except ObjectNotFound:
                return None
            # The service tells whole seconds.
            if at_ns + 1_000_000_000 >= before_ns:
                return None
            self.delete(sha256)
        return size_bytes

    def evict(self, most_bytes: int, *, idle_s: float = IDLE_S, now_s: float | None = None) -> int:
        """Remove the copies that were not used for longest until at most `most_bytes` are left; return what got free.

        Those stay that were used in the last `idle_s`, and those that the service has not, or not whole: as of a venue
        that has moved there, and whose folder is not uploaded yet. Raises StoreUnreachable; what is gone by then is
        gone.
        """
        return evict(self._copies, most_bytes, self._kept_bytes, idle_s=idle_s, now_s=now_s)

    def _kept_bytes(self, sha256: str) -> int | None:
        try:
            return self.put_at(sha256)[1]
        except ObjectNotFound:
            return None

    def digests(self) -> Iterator[str]:
        """See `store.ObjectStore.digests`. The service lists keys in ascending order."""
        with self._told("list"):
            for rows in self._client.list(self._store, "sha256/", chunk_size=1000):
                for row in rows:
                    yield check_digest(row["path"].rpartition("/")[2])

    def delete(self, sha256: str) -> None:
        """See `store.ObjectStore.delete`. The service first: a copy alone is nothing that anybody lists."""
        with self._told(sha256):
            # S3 does not say whether there was anything.
            self._client.head(self._store, _key(sha256))
            self._client.delete(self._store, _key(sha256))
        try:
            self._copies.delete(sha256)
        except ObjectNotFound:
            pass

    def _stream(self, sha256: str, take: Callable[[bytes], object]) -> None:
        with self._told(sha256):
            for chunk in self._client.get(self._store, _key(sha256)).stream(min_chunk_size=CHUNK_BYTES):
                take(bytes(chunk))

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Turn the client's errors into ours, in few words: its own tell requests, which are nobody's business."""
        errors = self._client.exceptions
        try:
            yield
        except (FileNotFoundError, errors.NotFoundError):
            if what == "list":
                raise StoreUnreachable(f"{self._name}: there is no such bucket") from None
            raise ObjectNotFound(f"object {what} not found") from None
        except StoreError:
            raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise StoreUnreachable(f"{self._name}: {what}: {_words(error)}") from None
        except (errors.BaseError, RuntimeError, ValueError) as error:
            raise StoreUnreachable(f"{self._name}: {what}: {_words(error)}") from None


def open_remote(address: str, copies: Path) -> RemoteObjects:
    """Return the objects at `s3://bucket/prefix`. `copies` is the folder of local copies.

    Raises:
        StoreUnreachable: An address that is none, keys in the address, or obstore is not installed.
    """
    parts = urllib.parse.urlsplit(address)
    # A key may have a slash in it, and then the rest of it looks like a path.
    if "@" in address or parts.query:
        raise StoreUnreachable(f"{parts.scheme}://...: keys belong into the environment, not into the address")
    if parts.scheme != "s3" or not parts.hostname:
        raise StoreUnreachable(f"{address!r} is no address of objects: s3://bucket or s3://bucket/prefix")
    module = _obstore()
    retry = {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_S)}
    try:
        store = module.store.S3Store.from_url(address, retry_config=retry)
    except (module.exceptions.BaseError, ValueError) as error:
        raise StoreUnreachable(f"{address}: {_words(error)}") from None
    return RemoteObjects(store, copies, name=address.rstrip("/"))


def _key(sha256: str) -> str:
    return f"sha256/{check_digest(sha256)[:2]}/{sha256}"


def _words(error: BaseException) -> str:
    """Return what was asked and the kind of answer; an answer's body is left out, for S3's repeat what was signed."""
    return str(error).partition("\n")[0].partition("<")[0].strip(" :")[:300] or type(error).__name__


def _obstore() -> Any:
    try:
        import_module("obstore.store")
        return import_module("obstore")
    except ImportError as error:
        raise StoreUnreachable(f"objects beyond this machine need obstore, the extra `s3` ({error})") from error
