"""The open part of an episode: an Arrow IPC stream in the spool that a killed process leaves readable.

The header goes first, then one batch for each half second. What was written survives the death of the process at once,
and that of the machine as soon as `fsync` has come round, which a thread beside the recorders does: a busy disk must
not make a robot wait for its recorder.
"""

import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]

from palaestra.failpoint import Failpoint
from store.layout import HEADER_KEY

FLUSHED = Failpoint("store.segment.flushed", "rows of an open episode are in its segment; nobody has been told")


class Segment:
    """Batches of one schema on their way into a file. One writer at a time."""

    def __init__(self, path: Path, schema: Any, header: str) -> None:
        """Open the file for batches of `schema`; the header goes into it. Raises OSError."""
        self._sink: Any = pa.OSFile(str(path), "wb")
        # The header goes first, so that what is left of an open episode says whose it is.
        self._stream: Any = pa.ipc.new_stream(self._sink, schema.with_metadata({HEADER_KEY: header}))
        self._path = path
        self._sync = _Sync(path)

    def write(self, batch: Any) -> None:
        """Write a batch and have it made durable soon. Raises OSError, also of an earlier `fsync`."""
        self._sync.check()
        self._stream.write_batch(batch)
        self._sink.flush()
        FLUSHED()
        self._sync.ask()

    def finish(self) -> Any:
        """Close the file and return its rows as a table, mapped into memory. Raises OSError."""
        self._sync.check()
        self._stream.close()
        self._sink.close()
        self._sync.close()
        return pa.ipc.open_stream(pa.memory_map(str(self._path))).read_all()

    def close(self) -> None:
        """Close the file, whatever state the disk is in."""
        for file in (self._stream, self._sink):
            with suppress(OSError, pa.ArrowException):
                file.close()
        self._sync.close()


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
    """Asks for the `fsync` of one file, and keeps its failure for who writes next."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        self._lock = threading.Lock()
        self._asked = False
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise what an earlier `fsync` met. Nothing is tried again: the kernel may have dropped the pages."""
        if self._error is not None:
            raise self._error

    def ask(self) -> None:
        """Have the file flushed behind the caller. Once is enough until it has happened."""
        with self._lock:
            if self._asked or self._descriptor < 0:
                return
            self._asked = True
        _flush_later(self._flush)

    def close(self) -> None:
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1

    def _flush(self) -> None:
        with self._lock:
            self._asked = False
            if self._descriptor < 0:
                return
            descriptor = os.dup(self._descriptor)
        try:
            os.fsync(descriptor)
        except OSError as error:
            self._error = error
        finally:
            os.close(descriptor)


_waiting: "queue.SimpleQueue[Callable[[], None]]" = queue.SimpleQueue()
_starting = threading.Lock()
_flusher: tuple[int, threading.Thread] | None = None


def _flush_later(flush: Callable[[], None]) -> None:
    global _flusher, _waiting
    with _starting:
        # A forked process has the queue and not the thread.
        if _flusher is None or _flusher[0] != os.getpid():
            _waiting = queue.SimpleQueue()
            thread = threading.Thread(target=_flush_all, args=(_waiting,), name="store fsync", daemon=True)
            _flusher = os.getpid(), thread
            thread.start()
    _waiting.put(flush)


def _flush_all(waiting: "queue.SimpleQueue[Callable[[], None]]") -> None:
    while True:
        waiting.get()()
