"""Owners' keys: a file each, in a folder beside the database and never in it, so that who restores the database alone
brings no key back.

An owner is a vendor or an agreement's digest. A key that was destroyed leaves a mark: its owner never gets another.
"""

import hashlib
import os
import secrets
import threading
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sharing.audit.key import ExposedKey
from sharing.errors import NotShared
from store.objects import sync_folder

KEY_BYTES = 32
_KEY, _GONE = ".key", ".gone"


class Keys:
    """The keys of one folder. Safe from any thread, for one process at a time."""

    def __init__(self, folder: Path) -> None:
        """Open the folder, made if it has to be. Raises ExposedKey if others than its owner can look into it."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            raise ExposedKey(f"{folder} can be read by others: chmod 700 it")
        self._folder = folder
        self._lock = threading.Lock()
        self._open: dict[str, AESGCM] = {}

    def of(self, owner: str, *, make: bool = False) -> AESGCM:
        """Return an owner's key. Raises NotShared where there is none, or none any more."""
        with self._lock:
            found = self._open.get(owner)
            if found is None:
                found = self._open[owner] = AESGCM(self._read(owner, make=make))
        return found

    def destroy(self, owner: str) -> None:
        """Destroy an owner's key for good; one that is not there is never made."""
        path = self._path(owner)
        with self._lock:
            self._open.pop(owner, None)
            path.with_suffix(_GONE).touch(mode=0o600)
            sync_folder(self._folder)
            if path.exists():
                # Few disks still write over what was there, but on those that do it costs nothing.
                with open(path, "r+b") as file:
                    file.write(secrets.token_bytes(KEY_BYTES))
                    file.flush()
                    os.fsync(file.fileno())
                path.unlink()
                sync_folder(self._folder)

    def _path(self, owner: str) -> Path:
        # An owner's name may have slashes, and may be anybody's.
        return self._folder / f"{hashlib.sha256(owner.encode()).hexdigest()}{_KEY}"

    def _read(self, owner: str, *, make: bool) -> bytes:
        path = self._path(owner)
        if path.with_suffix(_GONE).exists():
            raise NotShared
        try:
            found = path.read_bytes()
        except FileNotFoundError:
            if not make:
                raise NotShared from None
            found = secrets.token_bytes(KEY_BYTES)
            part = path.with_suffix(".part")
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(found)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
            # Before the first byte that it encrypts is on the disk.
            sync_folder(self._folder)
        return found
