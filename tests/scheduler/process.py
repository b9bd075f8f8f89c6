"""The scheduler as a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
FILE = """
[venue]
id = "hall"
[[vendor]]
id = "acme"
[[unit]]
id = "arm-1"
robot = "own_arm"
"""


class Process:
    """`python -m scheduler` on a folder; its output goes to a file."""

    def __init__(self, folder: Path, listen: str = "127.0.0.1:0", file: str = FILE, data: Path | None = None,
                 environment: Mapping[str, str] | None = None) -> None:  # fmt: skip
        folder.mkdir(exist_ok=True)
        self.data = data or folder / "data"
        self._log = folder / "log"
        (folder / "venue.toml").write_text(file)
        if data is None:
            (self.data / "scheduler.address").unlink(missing_ok=True)
        arguments = ["--venue", str(folder / "venue.toml"), "--data", str(self.data), "--listen", listen]
        with self._log.open("wb") as log:
            command = [sys.executable, "-m", "scheduler", *arguments]
            self._child = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=ROOT, env={**os.environ, **(environment or {})}
            )

    def address(self) -> str:
        """Wait until it listens; return where."""
        found = self.data / "scheduler.address"
        give_up_s = time.monotonic() + PATIENCE_S
        while not found.exists():
            assert self._child.poll() is None, self.output()
            assert time.monotonic() < give_up_s
            time.sleep(0.005)
        return found.read_text().strip()

    def token(self, name: str) -> str:
        return (self.data / "tokens" / f"{name}.token").read_text().strip()

    def output(self) -> str:
        return self._log.read_text()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child.poll() is None

    def code(self, patience_s: float = PATIENCE_S) -> int:
        """Wait for its end; return the exit code."""
        return self._child.wait(patience_s)

    def ask_to_end(self) -> None:
        """Send SIGTERM."""
        self._child.terminate()

    def terminate(self) -> int:
        self._child.terminate()
        return self.code()

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()
