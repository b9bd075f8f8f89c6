"""An encrypted file that can be read from anywhere: AES-256-GCM over frames, under a key of the file's own.

    header   magic, length of the owner's name, the name, size of the plain bytes, a salt of chance (16 bytes)
    wrapped  the file's key under the owner's: nonce (12), key and tag (48); the header is authenticated with it
    frames   `FRAME_BYTES` of plain bytes each, the last one fewer; each has its tag (16) after it

A frame's nonce is its number, which is good because no other file has the key; what is authenticated with it is the
hash of header and wrapped key, and so its place, the file's length and its owner. A file that was cut, lengthened, or
put together of frames from elsewhere is BrokenObject. NIST SP 800-38D: 96 bits of nonce, tags of 128.
"""

import hashlib
import io
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from store.errors import BrokenObject

FRAME_BYTES = 256 << 10
TAG_BYTES = 16
OWNER_BYTES_MAX = 512
_MAGIC = b"palaestra sealed 1\n"
_LENGTHS = struct.Struct(">HQ16s")
_WRAPPED_BYTES = 12 + 32 + TAG_BYTES

KeyOf = Callable[[str], bytes]
"""Returns the 32 bytes of an owner's key; raises what says that there is none."""


@dataclass(frozen=True)
class Sealed:
    """What the header of a sealed file says. Nothing of it is proven before the key was unwrapped."""

    owner: str
    size_bytes: int
    header: bytes
    wrapped: bytes

    @property
    def body(self) -> int:
        """Where the frames begin."""
        return len(self.header) + len(self.wrapped)

    @property
    def frames(self) -> int:
        """How many there are; an empty file has one, of no bytes, so that its header is proven too."""
        return max(1, -(-self.size_bytes // FRAME_BYTES))

    @property
    def file_bytes(self) -> int:
        """How long the whole file is."""
        return self.body + self.size_bytes + self.frames * TAG_BYTES


def seal(owner: str, key: bytes, source: BinaryIO, size_bytes: int, target: BinaryIO) -> str:
    """Write the bytes of a source, of which there must be so many, sealed; return their SHA-256. Raises BrokenObject.

    Args:
        key: The owner's, 32 bytes.
    """
    name = owner.encode()
    if not 0 < len(name) <= OWNER_BYTES_MAX:
        raise ValueError(f"an owner's name has 1 to {OWNER_BYTES_MAX} bytes, not {len(name)}")
    header = _MAGIC + _LENGTHS.pack(len(name), size_bytes, os.urandom(16)) + name
    own, nonce = os.urandom(32), os.urandom(12)
    wrapped = nonce + AESGCM(key).encrypt(nonce, own, header)
    sealed = Sealed(owner, size_bytes, header, wrapped)
    cipher, bound, digest, left = AESGCM(own), _bound(sealed), hashlib.sha256(), size_bytes
    target.write(header + wrapped)
    for number in range(sealed.frames):
        plain = source.read(min(FRAME_BYTES, left))
        left -= len(plain)
        digest.update(plain)
        target.write(cipher.encrypt(_nonce(number), plain, bound))
    if left or source.read(1):
        raise BrokenObject(f"the bytes of {owner} are not the {size_bytes} that they were said to be")
    return digest.hexdigest()


def is_sealed(path: Path) -> bool:
    """Whether a file begins as a sealed one does. Raises FileNotFoundError."""
    with open(path, "rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


@dataclass(frozen=True)
class SealedSource:
    """A sealed file with its own key: what the store's readers take in place of a path."""

    path: Path
    own: bytes

    @property
    def name(self) -> str:
        """The file's name, for messages."""
        return self.path.name

    def open(self) -> BinaryIO:
        """Open its plain bytes. Raises FileNotFoundError, BrokenObject."""

        def none(_: str) -> bytes:
            raise AssertionError

        return opened(SealedFile(self.path, none, own=self.own))


def opened(file: "SealedFile") -> BinaryIO:
    """Return the plain bytes of a sealed file as a file; it closes the other with it."""
    return io.BufferedReader(PlainReader(file))


def header_of(file: BinaryIO, name: str) -> Sealed:
    """Return what a file's header says. Raises BrokenObject for one that is none, or of another length than it says."""
    start = file.read(len(_MAGIC) + _LENGTHS.size)
    if len(start) != len(_MAGIC) + _LENGTHS.size or not start.startswith(_MAGIC):
        raise BrokenObject(f"{name} is not sealed")
    length, size_bytes, _ = _LENGTHS.unpack_from(start, len(_MAGIC))
    rest = file.read(length + _WRAPPED_BYTES) if 0 < length <= OWNER_BYTES_MAX else b""
    try:
        owner = rest[:length].decode()
    except UnicodeDecodeError:
        raise BrokenObject(f"{name}: its owner has no name") from None
    found = Sealed(owner, size_bytes, start + rest[:length], rest[length:])
    if len(found.wrapped) != _WRAPPED_BYTES or os.fstat(file.fileno()).st_size != found.file_bytes:
        raise BrokenObject(f"{name} is cut, or longer than it was made")
    return found


class SealedFile:
    """A sealed file that is open for reading. Safe from any thread."""

    def __init__(self, path: Path, key_of: KeyOf, *, own: bytes | None = None) -> None:
        """Open it. Raises FileNotFoundError, BrokenObject, and what `key_of` raises.

        Args:
            own: The file's own key, for who was given nothing more; then no other is asked for.
        """
        self._name = path.name
        self._file = open(path, "rb")  # noqa: SIM115
        try:
            self.sealed = header_of(self._file, self._name)
            wrapped = self.sealed.wrapped
            try:
                if own is None:
                    own = AESGCM(key_of(self.sealed.owner)).decrypt(wrapped[:12], wrapped[12:], self.sealed.header)
            except InvalidTag:
                raise BrokenObject(
                    f"{self._name}: its key was not wrapped by its owner's, or its header changed"
                ) from None
        except BaseException:
            self._file.close()
            raise
        self.own, self._cipher, self._bound = own, AESGCM(own), _bound(self.sealed)

    def read(self, begin: int, size_bytes: int) -> bytes:
        """Return plain bytes, fewer where the file ends. Raises BrokenObject, ValueError below zero."""
        if begin < 0 or size_bytes < 0:
            raise ValueError(f"{self._name}: {size_bytes} bytes from {begin} on")
        end = min(begin + size_bytes, self.sealed.size_bytes)
        if end <= begin and self.sealed.size_bytes:
            return b""
        first, last = begin // FRAME_BYTES, max(0, end - 1) // FRAME_BYTES
        if not self.sealed.size_bytes:
            first = last = 0
        plain = b"".join(self._frame(number) for number in range(first, last + 1))
        return plain[begin - first * FRAME_BYTES : end - first * FRAME_BYTES]

    def _frame(self, number: int) -> bytes:
        length = min(FRAME_BYTES, self.sealed.size_bytes - number * FRAME_BYTES) + TAG_BYTES
        data = os.pread(self._file.fileno(), length, self.sealed.body + number * (FRAME_BYTES + TAG_BYTES))
        try:
            return self._cipher.decrypt(_nonce(number), data, self._bound)
        except (InvalidTag, ValueError):
            raise BrokenObject(f"{self._name}: frame {number} is not the one that was sealed") from None

    def pieces(self) -> Iterator[bytes]:
        """Yield all plain bytes, a frame at a time. Raises BrokenObject."""
        return (self._frame(number) for number in range(self.sealed.frames))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "SealedFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PlainReader(io.RawIOBase):
    """The plain bytes of a sealed file, from anywhere."""

    def __init__(self, file: SealedFile) -> None:
        self._file, self._at = file, 0

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; ValueError below zero."""
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.sealed.size_bytes}[whence]
        if begin + offset < 0:
            raise ValueError(f"negative seek position {begin + offset}")
        self._at = begin + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer, less where the file ends. Raises BrokenObject."""
        found = self._file.read(self._at, len(buffer))
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def close(self) -> None:
        """Close the sealed file, too."""
        if not self.closed:
            self._file.close()
        super().close()


def _bound(sealed: Sealed) -> bytes:
    return hashlib.sha256(sealed.header + sealed.wrapped).digest()


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")
