"""The open part of an episode: an Arrow IPC stream in the spool that a killed process leaves readable.

The header goes first, then one batch for each half second. What was written survives the death of the process at once,
and that of the machine as soon as it is flushed to the disk, which a thread beside the recorders does for every second
batch: a busy disk must not make a robot wait for its recorder. Where many wait, one flush of the file system does for
all of them.
"""

import ctypes
import io
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]

from store.layout import HEADER_KEY

BATCHES_PER_SYNC = 2
"""Two half seconds."""
_END = b"\xff\xff\xff\xff\0\0\0\0"
"""What ends a stream (Arrow, format/Columnar.rst, "IPC Streaming Format")."""
TOGETHER_MIN = 4
"""So many files that wait are flushed with their whole file system: each alone would cost a commit of its journal."""


class Segment:
    """Batches of one schema on their way into a file. One writer at a time."""

    def __init__(self, path: Path, schema: Any, header: str) -> None:
        """Open the file for batches of `schema`; the header goes into it. Raises OSError."""
        self._path = path
        self._file = io.FileIO(path, "wb")
        # The header goes first, so that what is left of an open episode says whose it is.
        self._put(schema.with_metadata({HEADER_KEY: header}).serialize())
        self._sync = _Sync(path)
        self._batches = 0

    def write(self, batch: Any) -> None:
        """Write a batch and have it made durable soon. Raises OSError, also of an earlier `fsync`."""
        self._sync.check()
        # As one piece: Arrow's own writer asks the system once for each column, its padding and its description.
        self._put(batch.serialize())
        self._batches += 1
        if self._batches % BATCHES_PER_SYNC == 0:
            self._sync.ask()

    def finish(self) -> Any:
        """Close the file and return its rows as a table, mapped into memory. Raises OSError."""
        self._sync.check()
        self._put(_END)
        self._file.close()
        self._sync.close()
        return pa.ipc.open_stream(pa.memory_map(str(self._path))).read_all()

    def close(self) -> None:
        """Close the file, whatever state the disk is in."""
        with suppress(OSError):
            self._file.close()
        self._sync.close()

    def _put(self, message: Any) -> None:
        left = memoryview(message).cast("B")
        while len(left):
            # A disk that becomes full takes a part first, and says why with the rest.
            left = left[self._file.write(left) :]


def read_segment(path: Path) -> tuple[bytes | None, Iterator[Any]]:
    """Return the header's JSON of a segment that its writer left, and its whole batches.

    The header is None where there is none, as of a process that died before its first batch. The batches end where the
    file ends, or where its bytes make no sense any more: a torn end is what a death leaves.
    """
    try:
        source = pa.memory_map(str(path))
        reader = pa.ipc.open_stream(source)
        header = (reader.schema.metadata or {}).get(HEADER_KEY)
    except (OSError, ValueError, pa.ArrowException):
        return None, iter(())
    return header, _batches(reader)


def _batches(reader: Any) -> Iterator[Any]:
    while True:
        try:
            batch = reader.read_next_batch()
            batch.validate(full=True)
        except (StopIteration, OSError, ValueError, pa.ArrowException):
            return
        yield batch


class _Sync:
    """Asks for one file to be flushed to the disk, and keeps the failure for who writes next."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        self._lock = threading.Lock()
        self._asked = False
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise what an earlier flush met. Nothing is tried again: the kernel may have dropped the pages."""
        if self.error is not None:
            raise self.error

    def ask(self) -> None:
        """Have the file flushed behind the caller. Once is enough until it has happened."""
        with self._lock:
            if self._asked or self._descriptor < 0:
                return
            self._asked = True
        _flush_later(self)

    def close(self) -> None:
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1

    def begin(self) -> int | None:
        """Return a descriptor to flush, which is the caller's to close; None if the file is closed."""
        with self._lock:
            self._asked = False
            return None if self._descriptor < 0 else os.dup(self._descriptor)


_waiting: "queue.SimpleQueue[_Sync]" = queue.SimpleQueue()
_starting = threading.Lock()
_flusher: tuple[int, threading.Thread] | None = None


def _flush_later(one: _Sync) -> None:
    global _flusher, _waiting
    with _starting:
        # A forked process has the queue and not the thread.
        if _flusher is None or _flusher[0] != os.getpid():
            _waiting = queue.SimpleQueue()
            thread = threading.Thread(target=_flush_all, args=(_waiting,), name="store fsync", daemon=True)
            _flusher = os.getpid(), thread
            thread.start()
    _waiting.put(one)


def _flush_all(waiting: "queue.SimpleQueue[_Sync]") -> None:
    while True:
        group = [waiting.get()]
        while not waiting.empty():
            group.append(waiting.get())
        flush(group)


def flush(group: Sequence[_Sync]) -> None:
    """Flush files to the disk, each alone or, where there are many, with their file systems. Each keeps its failure."""
    opened = [(one, descriptor) for one in group if (descriptor := one.begin()) is not None]
    done: set[int] = set()
    for one, descriptor in opened:
        try:
            device = os.fstat(descriptor).st_dev
            if len(opened) < TOGETHER_MIN:
                os.fsync(descriptor)
            elif device not in done:
                sync_file_system(descriptor)
                done.add(device)
        except OSError as error:
            one.error = error
        finally:
            os.close(descriptor)


def sync_file_system(descriptor: int) -> None:
    """Flush the file system that a file is on. Raises OSError, since Linux 5.8 also for what failed in the background.

    See syncfs(2); Python has it not.
    """
    if _syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


_syncfs = ctypes.CDLL(None, use_errno=True).syncfs
