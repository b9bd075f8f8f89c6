"""Owners' keys, each of two halves that no backup of one place has both of (`store.keys`).

An owner is a vendor or an agreement's digest. A key that was destroyed leaves a mark: its owner never gets another.
"""

from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sharing.audit.key import ExposedKey
from sharing.errors import NotShared
from store import keys
from store.errors import ExposedKeys, KeyDestroyed

KEY_BYTES = keys.KEY_BYTES


class Keys:
    """The keys of one folder and one file. Safe from any thread and process."""

    def __init__(self, folder: Path, book: Path) -> None:
        """Open both, made if they have to be. Raises ExposedKey if others than their owner can look into the folder."""
        try:
            self._keys = keys.Keys(folder, keys.BookFile(book))
        except ExposedKeys as error:
            raise ExposedKey(str(error)) from None

    def of(self, owner: str, *, make: bool = False) -> AESGCM:
        """Return an owner's key. Raises NotShared where there is none, or none any more."""
        try:
            return AESGCM(self._keys.of(owner, make=make))
        except KeyDestroyed:
            raise NotShared from None

    def destroy(self, owner: str) -> None:
        """Destroy an owner's key for good; one that is not there is never made."""
        self._keys.destroy(owner)
