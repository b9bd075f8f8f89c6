"""A witness that writes lines into a file: for tests, and for a room whose Merkle log is not there."""

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path


class Journal:
    """Notes as lines of JSON, each on the disk when `note` returns. Implements `sharing.witness.Witness`."""

    def __init__(self, path: Path) -> None:
        """Open the file, made if it has to be, to be added to."""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._count = path.read_bytes().count(b"\n")
        self._lock = threading.Lock()

    def note(self, kind: str, fields: Mapping[str, str | int]) -> int:
        """Take note, durable when it returns; return the line's index."""
        line = json.dumps({"kind": kind, **fields}, ensure_ascii=False, sort_keys=True) + "\n"
        with self._lock:
            os.write(self._file, line.encode())
            os.fsync(self._file)
            self._count += 1
            return self._count - 1

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
