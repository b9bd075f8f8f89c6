"""The memory that a process that draws shares with whoever asks it: positions in, frames out.

A sealed memfd without a name, as that of a slot (`sim.slot_process.segment`). One side at a time writes.
"""

import fcntl
import mmap
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sim.body import Array
from sim.cameras.spec import Camera
from sim.errors import BadCamera

TEXT_BYTES = 4096
SEGMENT_BYTES_MAX = 1 << 28
OK, FAILED = 0, 1
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
_WORDS = 8


class _Header(NamedTuple):
    """Names of the words at the start, each an int64."""

    request: int = 0
    response: int = 1
    status: int = 2
    text_bytes: int = 3


WORD = _Header()


class FrameSegment:
    """Views of one segment.

    Attributes:
        words, text: As `WORD` names them, and why a drawing failed.
        chosen: Which cameras are asked for, (cameras,).
        running: Which worlds, (N,).
        qpos: Positions of the worlds, (N, nq).
        frames: By the camera's name, (N, *frame_shape).
    """

    def __init__(self, fd: int, cameras: Sequence[Camera], worlds: int, positions: int) -> None:
        """Map a segment.

        Raises BadCamera where it is not as large as these say, or not sealed: one that its maker can shorten kills who
        reads it.
        """
        self.fd = fd
        if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
            raise BadCamera("the frames' segment is not sealed against a change of its length")
        length = os.fstat(fd).st_size
        if length != segment_bytes(cameras, worlds, positions):
            raise BadCamera(f"the frames' segment has {length} bytes")
        memory, offset = mmap.mmap(fd, length), 0
        self.frames: dict[str, npt.NDArray[Any]] = {}
        for name, dtype, shape in _arrays(cameras, worlds, positions):
            count = int(np.prod(shape))
            array = np.frombuffer(memory, dtype, count, offset).reshape(shape)
            offset = _aligned(offset + count * np.dtype(dtype).itemsize)
            if name.startswith("frames."):
                self.frames[name.removeprefix("frames.")] = array
            else:
                setattr(self, name, array)

    words: npt.NDArray[np.int64]
    text: npt.NDArray[np.uint8]
    chosen: npt.NDArray[np.bool_]
    running: npt.NDArray[np.bool_]
    qpos: Array

    def put_text(self, text: str) -> None:
        """Leave a text for the holder, cut where it is too long."""
        data = text.encode()[:TEXT_BYTES]
        self.text[: len(data)] = np.frombuffer(data, np.uint8)
        self.words[WORD.text_bytes] = len(data)

    def get_text(self) -> str:
        """Return the text that was left."""
        length = min(max(int(self.words[WORD.text_bytes]), 0), TEXT_BYTES)
        return bytes(self.text[:length]).decode(errors="replace")

    def close(self) -> None:
        """Let go of the segment; its memory goes with the last view."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def segment_bytes(cameras: Sequence[Camera], worlds: int, positions: int) -> int:
    """Return how long a segment is. Raises BadCamera where it would be too long."""
    offset = 0
    for _, dtype, shape in _arrays(cameras, worlds, positions):
        offset = _aligned(offset + int(np.prod(shape)) * np.dtype(dtype).itemsize)
    if offset > SEGMENT_BYTES_MAX:
        raise BadCamera(
            f"frames of {len(cameras)} cameras in {worlds} worlds take {offset} bytes, at most {SEGMENT_BYTES_MAX}: "
            "smaller pictures, or fewer worlds"
        )
    return offset


def create(cameras: Sequence[Camera], worlds: int, positions: int) -> FrameSegment:
    """Make a segment whose length nobody can change any more. Raises BadCamera where it would be too long."""
    length = segment_bytes(cameras, worlds, positions)
    fd = os.memfd_create("palaestra-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, length)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS | fcntl.F_SEAL_SEAL)
    return FrameSegment(fd, cameras, worlds, positions)


def _arrays(cameras: Sequence[Camera], worlds: int, positions: int) -> list[tuple[str, Any, tuple[int, ...]]]:
    fixed: list[tuple[str, Any, tuple[int, ...]]] = [
        ("words", np.int64, (_WORDS,)),
        ("text", np.uint8, (TEXT_BYTES,)),
        ("chosen", np.bool_, (len(cameras),)),
        ("running", np.bool_, (worlds,)),
        ("qpos", np.float64, (worlds, positions)),
    ]
    return fixed + [
        (f"frames.{each.name}", np.uint8 if each.picture == "rgb" else np.float32, (worlds, *each.frame_shape))
        for each in cameras
    ]


def _aligned(offset: int) -> int:
    return (offset + 63) & ~63
