"""A projection as one sealed piece of memory: what a confined process is given instead of files.

Nothing of it lies on the disk unencrypted, it is gone with the processes that hold it, and nobody can write into it.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from sharing.errors import WorkEnded
from sharing.projection.tables import ProjectedFile

MAX_BYTES = 1 << 30
PIECE_BYTES = 4 << 20
Place = tuple[str, int, int]


class Reading(Protocol):
    """Serves the bytes of a projection's files, see `sharing.projection.projector.Projector`."""

    def read(self, file: ProjectedFile, begin: int, size_bytes: int) -> bytes:
        """Return bytes of a file from an offset on."""
        ...


@dataclass(frozen=True)
class Parcel:
    """Sealed memory, open as `descriptor`.

    Attributes:
        files: The files of each table: name, and where it is, offset and size [bytes]; in the projection's order.
    """

    descriptor: int
    size_bytes: int
    files: dict[str, list[Place]]


@contextmanager
def packed(
    contents: Mapping[str, Sequence[ProjectedFile | tuple[str, bytes]]], reading: Reading, still: Callable[[], None]
) -> Iterator[Parcel]:
    """Pack files by their table; open while the context lasts.

    Args:
        still: Asked before each piece; what it raises ends the packing.

    Raises:
        WorkEnded: More than `MAX_BYTES`.
    """
    files: dict[str, list[Place]] = {}

    def pieces() -> Iterator[bytes]:
        offset = 0
        for table, parts in contents.items():
            places = files.setdefault(table, [])
            for part in parts:
                name, size = (part[0], len(part[1])) if isinstance(part, tuple) else (part.name, part.size_bytes)
                if offset + size > MAX_BYTES:
                    raise WorkEnded(f"more data than {MAX_BYTES} bytes; narrow the agreement's columns")
                for piece in [part[1]] if isinstance(part, tuple) else _pieces(part, reading):
                    still()
                    yield piece
                places.append((name, offset, size))
                offset += size

    with kept(pieces()) as (descriptor, size_bytes):
        yield Parcel(descriptor, size_bytes, files)


@contextmanager
def kept(pieces: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    """Keep bytes in sealed memory while the context lasts: its descriptor and their number."""
    descriptor = os.memfd_create("projection", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        size_bytes = 0
        for piece in pieces:
            _write(descriptor, piece)
            size_bytes += len(piece)
        fcntl.fcntl(
            descriptor,
            fcntl.F_ADD_SEALS,
            fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL,
        )
        yield descriptor, size_bytes
    finally:
        os.close(descriptor)


def _pieces(file: ProjectedFile, reading: Reading) -> Iterator[bytes]:
    for begin in range(0, file.size_bytes, PIECE_BYTES):
        yield reading.read(file, begin, min(PIECE_BYTES, file.size_bytes - begin))


def _write(descriptor: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
