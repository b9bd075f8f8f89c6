"""What the processes of a proof write down while they are killed: one line for each thing, in the file as it happens.

A line is one write to a file opened for appending, so that `kill -9` loses at most the line of the moment, and never
half of one. Times are of the machine's monotonic clock, which all its processes share.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Records:
    """A file of records that one process writes."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, what: str, **fields: Any) -> float:
        """Write a record; return its time [s], taken before it is written."""
        now_s = time.monotonic()
        os.write(self._file, json.dumps({"what": what, "at_s": now_s, **fields}).encode() + b"\n")
        return now_s


def read(folder: Path, pattern: str) -> Iterator[dict[str, Any]]:
    """Yield the records of all files that match, in the order of their times."""
    lines = [line for path in folder.glob(pattern) for line in path.read_text().splitlines()]
    yield from sorted((json.loads(line) for line in lines), key=lambda record: float(record["at_s"]))
