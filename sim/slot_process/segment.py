"""The memory that a slot process and the holder of its lease share, and where things lie in it.

It has no name: a sealed memfd that goes from process to process over a socket and is gone with the last of them, so no
way of dying leaves anything behind. One side at a time writes: the holder the request, then, told by an eventfd, the
slot the answer. `sequence` is odd while the slot writes (a seqlock), for whoever looks on without asking.
"""

import fcntl
import mmap
import os
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sim.body import Array
from sim.errors import BadSlot
from sim.task import Mask

MAGIC = 0x70616C61
LAYOUT = 2
TEXT_BYTES = 1 << 16
SEGMENT_BYTES_MAX = 1 << 31
LATENESS_EDGES_S = (0.0, 1e-4, 1e-3, 1e-2, 1e-1)
"""A step that is late by at most edge k and more than edge k-1 counts in bucket k; the last bucket has the rest."""

STEP, RESET = 1, 2
SIGNALS, DIGESTS, POSITIONS = 1, 2, 4
OK, REFUSED, FAILED = 0, 1, 2

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


class Sizes(NamedTuple):
    """What the layout depends on: worlds; widths of actions, observations, joint signals, readings; positions."""

    worlds: int
    actions: int
    observations: int
    joints: int
    readings: int
    positions: int


class Header(NamedTuple):
    """Names of the words at the start, each an int64."""

    magic: int = 0
    layout: int = 1
    sequence: int = 2
    request: int = 3
    response: int = 4
    command: int = 5
    want: int = 6
    status: int = 7
    text_bytes: int = 8
    failing: int = 9
    lease_until_ns: int = 10
    steps: int = 11
    held: int = 12
    contain: int = 13
    lateness: int = 16  # as many words as there are buckets


WORD = Header()
_WORDS = 64


def _arrays(sizes: Sizes) -> list[tuple[str, Any, tuple[int, ...]]]:
    n, a, o, j, r, p = sizes
    return [
        ("words", np.int64, (_WORDS,)),
        ("text", np.uint8, (TEXT_BYTES,)),
        ("actions", np.float64, (n, a)),
        ("mask", np.bool_, (n,)),
        ("worlds", np.int64, (n,)),
        ("episodes", np.int64, (n,)),
        ("obs", np.float64, (n, o)),
        ("reward", np.float64, (n,)),
        ("terminated", np.bool_, (n,)),
        ("truncated", np.bool_, (n,)),
        ("success", np.bool_, (n,)),
        ("world_numbers", np.int64, (n,)),
        ("episode_numbers", np.int64, (n,)),
        ("q", np.float64, (n, j)),
        ("dq", np.float64, (n, j)),
        ("tau", np.float64, (n, j)),
        ("q_ref", np.float64, (n, j)),
        ("base_pose", np.float64, (n, 7 if j else 0)),
        ("taken", np.float64, (n, a)),
        ("digests", np.uint64, (n,)),
        ("readings", np.float64, (n, r)),
        ("qpos", np.float64, (n, p)),
    ]


class Segment:
    """Views of one segment; `fd` stays open until `close`.

    Attributes:
        words, text, actions, mask, ...: The arrays of the layout, live.
    """

    words: npt.NDArray[np.int64]
    text: npt.NDArray[np.uint8]
    actions: Array
    mask: Mask
    worlds: npt.NDArray[np.int64]
    episodes: npt.NDArray[np.int64]
    obs: Array
    reward: Array
    terminated: Mask
    truncated: Mask
    success: Mask
    world_numbers: npt.NDArray[np.int64]
    episode_numbers: npt.NDArray[np.int64]
    q: Array
    dq: Array
    tau: Array
    q_ref: Array
    base_pose: Array
    taken: Array
    digests: npt.NDArray[np.uint64]
    readings: Array
    qpos: Array

    def __init__(self, fd: int, sizes: Sizes) -> None:
        """Map a segment. Raises BadSlot where it is not as large as `sizes` say."""
        self.fd, self.sizes = fd, sizes
        length = os.fstat(fd).st_size
        if length != segment_bytes(sizes):
            raise BadSlot(f"the segment has {length} bytes; {sizes} take {segment_bytes(sizes)}")
        memory = mmap.mmap(fd, length)
        offset = 0
        for name, dtype, shape in _arrays(sizes):
            count = int(np.prod(shape))
            setattr(self, name, np.frombuffer(memory, dtype, count, offset).reshape(shape))
            offset = _aligned(offset + count * np.dtype(dtype).itemsize)

    def put_text(self, text: str) -> None:
        """Leave a text for the holder, cut where it is too long."""
        data = text.encode()[:TEXT_BYTES]
        self.text[: len(data)] = np.frombuffer(data, np.uint8)
        self.words[WORD.text_bytes] = len(data)

    def get_text(self) -> str:
        """Return the text that the slot left; whatever it left is no reason to fail."""
        length = min(max(int(self.words[WORD.text_bytes]), 0), TEXT_BYTES)
        return bytes(self.text[:length]).decode(errors="replace")

    def close(self) -> None:
        """Let go of the segment; its memory goes with the last view."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _aligned(offset: int) -> int:
    return (offset + 63) & ~63


def segment_bytes(sizes: Sizes) -> int:
    """Return how long a segment is."""
    offset = 0
    for _, dtype, shape in _arrays(sizes):
        offset = _aligned(offset + int(np.prod(shape)) * np.dtype(dtype).itemsize)
    return offset


def create(sizes: Sizes) -> Segment:
    """Make a segment whose length nobody can change any more. Raises BadSlot where it would be too long."""
    length = segment_bytes(sizes)
    if length > SEGMENT_BYTES_MAX:
        raise BadSlot(f"{sizes} take {length} bytes of shared memory, at most {SEGMENT_BYTES_MAX}")
    fd = os.memfd_create("palaestra-slot", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, length)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS | fcntl.F_SEAL_SEAL)
    segment = Segment(fd, sizes)
    segment.words[WORD.magic], segment.words[WORD.layout] = MAGIC, LAYOUT
    return segment


def attach(fd: int, sizes: Sizes) -> Segment:
    """Map a segment that another process made.

    Raises BadSlot unless it is sealed: a segment that its maker can shorten kills who reads it.
    """
    if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
        raise BadSlot("the segment is not sealed against a change of its length")
    if os.fstat(fd).st_size > SEGMENT_BYTES_MAX:
        raise BadSlot("the segment is too long")
    segment = Segment(fd, sizes)
    if (int(segment.words[WORD.magic]), int(segment.words[WORD.layout])) != (MAGIC, LAYOUT):
        raise BadSlot("the segment has another layout")
    return segment
