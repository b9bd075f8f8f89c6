"""Files that only their owner's key opens, in frames, so that a range of them can be read by itself.

    head    "PALVAULT", version, bytes of a frame, bytes of the file (u32, u32, u64, big-endian), a nonce of 12 bytes,
            and the file's own key under the owner's key with all before it and the owner's name as associated data
    frames  AES-256-GCM under the file's own key; the nonce is the frame's number, so that no two are ever alike

Each frame is bound to its place and, by the file's own key, to its file; how long the file is, is bound to the head.
What was cut, changed, put elsewhere or belongs to another owner is refused, and tells nothing. One whole file in place
of another of the same owner is not noticed here. AES-GCM: NIST SP 800-38D.
"""

import os
import secrets
import struct
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sharing.errors import SharingError
from sharing.vault.keys import KEY_BYTES, Keys

FRAME_BYTES = 256 << 10
TAG_BYTES, NONCE_BYTES = 16, 12
_MAGIC, _VERSION = b"PALVAULT", 1
_HEAD = struct.Struct(">8sIIQ12s")
HEAD_BYTES = _HEAD.size + KEY_BYTES + TAG_BYTES
KEPT_HEADS = 1_024


class DamagedObject(SharingError):
    """What lies there is not what was sealed for this owner; tells no more."""


@dataclass(frozen=True)
class _Opened:
    """A file's own key, and its size and the size of its frames [bytes]."""

    cipher: AESGCM
    size_bytes: int
    frame_bytes: int


class Vault:
    """Implements `sharing.room.Sealing`. Safe from any thread."""

    def __init__(self, folder: Path, book: Path | None = None, *, frame_bytes: int = FRAME_BYTES) -> None:
        """Open the keys. Raises sharing.audit.key.ExposedKey.

        Args:
            folder: Of the owners' keys' one halves.
            book: The file of the others; None: `{folder}.db`. No backup may hold both.
        """
        self._keys = Keys(folder, book or folder.with_name(folder.name + ".db"))
        self._frame_bytes = frame_bytes
        self._lock = threading.Lock()
        # Unwrapped once for the many ranges of a file; by what is in its head, which no other file's has.
        self._heads: OrderedDict[tuple[str, bytes], _Opened] = OrderedDict()

    def seal(self, owner: str, source: Path, target: Path) -> None:
        """Encrypt a file for its owner, on the disk when it returns. Raises NotShared if the owner's key is destroyed.

        `target` appears whole or not at all.
        """
        key = self._keys.of(owner, make=True)
        own = AESGCM.generate_key(8 * KEY_BYTES)
        cipher = AESGCM(own)
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        try:
            with open(source, "rb") as plain, open(part, "xb") as file:
                size_bytes = os.fstat(plain.fileno()).st_size
                head = _HEAD.pack(_MAGIC, _VERSION, self._frame_bytes, size_bytes, secrets.token_bytes(NONCE_BYTES))
                file.write(head + key.encrypt(head[-NONCE_BYTES:], own, head + owner.encode()))
                left = size_bytes
                for number in range(_frames(size_bytes, self._frame_bytes)):
                    frame = plain.read(self._frame_bytes)
                    left -= len(frame)
                    file.write(cipher.encrypt(_nonce(number), frame, None))
                if left or plain.read(1):
                    raise OSError(f"{source.name} changed while it was sealed")
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)

    def read(self, owner: str, path: Path, begin: int, size_bytes: int) -> bytes:
        """Return a range of what was sealed, fewer bytes where it ends.

        Raises:
            NotShared: The owner's key is destroyed.
            DamagedObject: It is not what was sealed for this owner.
            OSError: It cannot be read.
        """
        # Asked each time, so that what was destroyed opens nothing from then on.
        key = self._keys.of(owner)
        with open(path, "rb") as file:
            opened = self._opened(key, owner, file.read(HEAD_BYTES))
            frame_bytes, all_bytes = opened.frame_bytes, opened.size_bytes
            frames = _frames(all_bytes, frame_bytes)
            if os.fstat(file.fileno()).st_size != HEAD_BYTES + all_bytes + frames * TAG_BYTES:
                raise DamagedObject("damaged")
            end = min(begin + size_bytes, all_bytes)
            if not 0 <= begin < end:
                return b""
            first, last = begin // frame_bytes, (end - 1) // frame_bytes
            found = self._decrypted(file, opened, first, last)
        return found[begin - first * frame_bytes : end - first * frame_bytes]

    def shred(self, owner: str) -> None:
        """Destroy the owner's key: nothing that was sealed for it can be read again, here or from any copy."""
        self._keys.destroy(owner)
        with self._lock:
            for known in [known for known in self._heads if known[0] == owner]:
                del self._heads[known]

    def _decrypted(self, file: BinaryIO, opened: _Opened, first: int, last: int) -> bytes:
        step = opened.frame_bytes + TAG_BYTES
        file.seek(HEAD_BYTES + first * step)
        try:
            return b"".join(
                opened.cipher.decrypt(_nonce(number), file.read(step), None) for number in range(first, last + 1)
            )
        except InvalidTag:
            raise DamagedObject("damaged") from None

    def _opened(self, key: AESGCM, owner: str, head: bytes) -> _Opened:
        with self._lock:
            known = self._heads.get((owner, head))
        if known is not None:
            return known
        if len(head) != HEAD_BYTES:
            raise DamagedObject("damaged")
        magic, version, frame_bytes, size_bytes, nonce = _HEAD.unpack_from(head)
        try:
            own = key.decrypt(nonce, head[_HEAD.size :], head[: _HEAD.size] + owner.encode())
        except InvalidTag:
            raise DamagedObject("damaged") from None
        if magic != _MAGIC or version != _VERSION or frame_bytes == 0:
            raise DamagedObject("damaged")
        found = _Opened(AESGCM(own), size_bytes, frame_bytes)
        with self._lock:
            self._heads[owner, head] = found
            while len(self._heads) > KEPT_HEADS:
                self._heads.popitem(last=False)
        return found


def _frames(size_bytes: int, frame_bytes: int) -> int:
    return -(-size_bytes // frame_bytes)


def _nonce(number: int) -> bytes:
    return number.to_bytes(NONCE_BYTES, "big")
