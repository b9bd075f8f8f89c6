"""A disk that fails when a test says so (disk.c)."""

import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("disk.c")
FINE, FULL, READ_ONLY, WRITES_FAIL, SYNC_FAILS, SYNC_FAILS_ONCE, SLOW, KILLS = (
    b"\0", b"S", b"R", b"W", b"F", b"f", b"D", b"K",
)  # fmt: skip


class Disk:
    """What is written below `folder` by processes with `environment` fails as `mode` says. Skips without a compiler."""

    def __init__(self, base: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None or not Path("/proc/self/fd").is_dir():
            pytest.skip("needs a C compiler and /proc")
        self.folder = base / "disk"
        self.folder.mkdir(parents=True)
        library, control = base / "disk.so", base / "control"
        subprocess.run(
            [compiler, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"],
            check=True,
        )
        control.write_bytes(bytes(mmap.PAGESIZE))
        with control.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        preload = os.pathsep.join(filter(None, [str(library), os.environ.get("LD_PRELOAD", "")]))
        self.environment: Mapping[str, str] = {
            "LD_PRELOAD": preload,
            "DISK_CONTROL": str(control),
            "DISK_FOLDER": str(self.folder),
        }

    @property
    def mode(self) -> bytes:
        return self._control[0:1]

    @mode.setter
    def mode(self, mode: bytes) -> None:
        self._control[0:1] = mode

    @property
    def left(self) -> int:
        """How many writes and fsyncs there are until the process is killed, in mode KILLS."""
        return int.from_bytes(self._control[4:8], sys.byteorder, signed=True)

    @left.setter
    def left(self, count: int) -> None:
        self._control[4:8] = count.to_bytes(4, sys.byteorder, signed=True)

    @property
    def failures(self) -> int:
        """How often it failed, modulo 256."""
        return self._control[1]
