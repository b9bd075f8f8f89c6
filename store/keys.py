"""Vendors' keys: each is derived of two halves, one a file in a folder, one in a database beside it.

A copy of the folder alone opens nothing, nor does one of the database alone. To destroy a key destroys both halves and
leaves a mark in the database, so that its owner never gets another; the half that a backup of one of them brings back
is good for nothing. Who restores both from before restores the key: no backup that holds both may live longer than what
is destroyed may. HKDF-SHA256 (RFC 5869) of both halves gives the key.

Any number of processes of one machine may use the same keys; the database's lock decides who makes one.
"""

import hashlib
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from store.errors import ExposedKeys, KeyDestroyed, StoreError
from store.objects import sync_folder

HALF_BYTES = KEY_BYTES = 32
_INFO = b"palaestra.vendor.key.v1\n"
_TABLES = """
CREATE TABLE IF NOT EXISTS half (owner TEXT PRIMARY KEY, half BLOB NOT NULL, made_s INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS destroyed (owner TEXT PRIMARY KEY, destroyed_s INTEGER NOT NULL) STRICT;
"""


class Book(Protocol):
    """Where the other halves are."""

    def half(self, owner: str) -> bytes | None:
        """Return the owner's half, None if there is none."""
        ...

    def keep(self, owner: str, make: Callable[[], bytes]) -> bytes:
        """Return the owner's half, made and kept unless it is there; one at a time. Raises KeyDestroyed."""
        ...

    def destroy(self, owner: str) -> None:
        """Forget the half for good, and that there ever will be one."""
        ...

    def destroyed_s(self, owner: str) -> int | None:
        """Return when that was, in seconds since 1970."""
        ...


class Keys:
    """Keys by owner. Safe from any thread and process."""

    def __init__(self, folder: Path, book: Book) -> None:
        """Take the folder of halves, made if it has to be. Raises ExposedKeys if others than its owner can look in."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            raise ExposedKeys(f"{folder} can be read by others: chmod 700 it")
        self._folder, self._book = folder, book
        self._lock = threading.Lock()
        self._known: dict[str, tuple[tuple[int, int], bytes]] = {}

    def of(self, owner: str, *, make: bool = False) -> bytes:
        """Return an owner's key, 32 bytes. Raises KeyDestroyed where there is none any more, or never was."""
        place = self._place(owner)
        half = self._book.keep(owner, lambda: self._made(place)) if make else None
        try:
            # Asked each time: what another process destroyed opens nothing here from then on.
            state = place.stat()
            seen = state.st_ino, state.st_mtime_ns
            with self._lock:
                known = self._known.get(owner)
            if known is not None and known[0] == seen:
                return known[1]
            other = place.read_bytes()
        except FileNotFoundError:
            raise self._gone(owner) from None
        half = half or self._book.half(owner)
        if half is None or len(other) != HALF_BYTES:
            raise self._gone(owner)
        derived = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=_INFO + owner.encode())
        key: bytes = derived.derive(half + other)
        with self._lock:
            self._known[owner] = seen, key
        return key

    def destroy(self, owner: str) -> None:
        """Destroy an owner's key for good; one that is not there is never made. Done twice it is the same."""
        place = self._place(owner)
        # The file first: without it what the book has is good for nothing, whatever happens now.
        if place.exists():
            with open(place, "r+b") as file:
                # Few disks still write over what was there, but on those that do it costs nothing.
                file.write(os.urandom(HALF_BYTES))
                file.flush()
                os.fsync(file.fileno())
            place.unlink()
            sync_folder(self._folder)
        self._book.destroy(owner)
        with self._lock:
            self._known.pop(owner, None)

    def destroyed_s(self, owner: str) -> int | None:
        """Return when an owner's key was destroyed, in seconds since 1970; None: it was not."""
        return self._book.destroyed_s(owner)

    def _gone(self, owner: str) -> KeyDestroyed:
        when = self._book.destroyed_s(owner)
        if when is None:
            return KeyDestroyed(f"{owner}: its key is not here")
        return KeyDestroyed(f"{owner}: its key was destroyed on {time.strftime('%Y-%m-%d', time.gmtime(when))}")

    def _place(self, owner: str) -> Path:
        # By its hash: whatever an owner is called, it is no path.
        return self._folder / f"{hashlib.sha256(owner.encode()).hexdigest()}.half"

    def _made(self, place: Path) -> bytes:
        """Make both halves, the file's on the disk when this returns.

        One that is there has lost its other half; it is put aside, in case that is found.
        """
        if place.exists():
            os.rename(place, place.with_suffix(f".{secrets.token_hex(4)}.lost"))
        part = place.with_suffix(".part")
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(os.urandom(HALF_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, place)
        sync_folder(self._folder)
        return os.urandom(HALF_BYTES)


class BookFile:
    """Halves in a SQLite file of their own. Without a write-ahead log, in which what was deleted would stand."""

    def __init__(self, path: Path) -> None:
        """Open the file, made if it has to be, for its owner alone."""
        self._path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with self._changed() as db:
            for text in filter(str.strip, _TABLES.split(";")):
                db.execute(text)

    def half(self, owner: str) -> bytes | None:
        """See `Book.half`."""
        found: bytes | None = self._one("SELECT half FROM half WHERE owner = ?", owner)
        return found

    def keep(self, owner: str, make: Callable[[], bytes]) -> bytes:
        """See `Book.keep`."""
        found: bytes | None = self.half(owner)
        if found is not None:
            return found
        with self._changed() as db:
            row = db.execute("SELECT half FROM half WHERE owner = ?", (owner,)).fetchone()
            if row is not None:
                return bytes(row[0])
            if db.execute("SELECT 1 FROM destroyed WHERE owner = ?", (owner,)).fetchone():
                raise KeyDestroyed(f"{owner}: its key was destroyed, and it gets no other")
            found = make()
            db.execute("INSERT INTO half VALUES (?, ?, ?)", (owner, found, int(time.time())))
        return found

    def destroy(self, owner: str) -> None:
        """See `Book.destroy`."""
        with self._changed() as db:
            db.execute("DELETE FROM half WHERE owner = ?", (owner,))
            db.execute("INSERT INTO destroyed VALUES (?, ?) ON CONFLICT DO NOTHING", (owner, int(time.time())))

    def destroyed_s(self, owner: str) -> int | None:
        """See `Book.destroyed_s`."""
        found: int | None = self._one("SELECT destroyed_s FROM destroyed WHERE owner = ?", owner)
        return found

    def _one(self, text: str, owner: str) -> Any:
        with closing(self._connection()) as db:
            row = db.execute(text, (owner,)).fetchone()
        return None if row is None else row[0]

    def _connection(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=60.0, isolation_level=None)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = ON")
        return db

    @contextmanager
    def _changed(self) -> Iterator[sqlite3.Connection]:
        with closing(self._connection()) as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")


def open_keys(folder: Path) -> Keys:
    """Return the keys of a folder, and of the file `{folder}.db` beside it.

    Raises:
        StoreError: The folder has halves and the file is not there: others would be made, and what there is be lost.
        ExposedKeys: Others can look into the folder.
    """
    book = folder.with_name(folder.name + ".db")
    if not book.exists() and any(folder.glob("*.half")):
        raise StoreError(f"{book} is missing: without it the halves of keys in {folder} open nothing; put it back")
    return Keys(folder, BookFile(folder.with_name(folder.name + ".db")))
