"""One supervised child process: started, watched, started again, stopped."""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger(__name__)

RESTART_FIRST_S = 0.2
RESTART_MAX_S = 10.0
# A child that lived this long starts with the shortest pause again.
STEADY_S = 20.0
# Twice the lines that anybody scrolls through; then the file starts anew.
LOG_BYTES_MAX = 20 * 1024 * 1024


class Process:
    """A child with a name and a log file."""

    def __init__(self, name: str, command: Sequence[str], logs: Path, *, address: str = "") -> None:
        self.name = name
        self.command = list(command)
        self.address = address
        self.log_path = logs / f"{name}.log"
        self.restarts = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._pause_s = RESTART_FIRST_S
        self._due_s = 0.0

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def start(self) -> None:
        """Start the child; its output goes to its log file."""
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_BYTES_MAX:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        with open(self.log_path, "ab") as output:
            self._child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started_s = time.monotonic()

    def watch(self) -> bool:
        """Start the child again if it has ended and its pause is over. Returns whether it was started."""
        if self._child is None or self._child.poll() is None:
            return False
        now_s = time.monotonic()
        if self._due_s <= self._started_s:
            lived_s = now_s - self._started_s
            self._pause_s = RESTART_FIRST_S if lived_s > STEADY_S else min(2 * self._pause_s, RESTART_MAX_S)
            self._due_s = now_s + self._pause_s
            log.warning("%s ended with %s after %.1f s; see %s", self.name, self.ended(), lived_s, self.log_path)
        if now_s < self._due_s:
            return False
        self.restarts += 1
        self.start()
        return True

    def ended(self) -> str:
        """Return how the child ended, in words."""
        code = self._child.poll() if self._child is not None else None
        if code is None:
            return "nothing"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    @property
    def exit_code(self) -> int | None:
        """Exit code of a child that has ended."""
        return self._child.poll() if self._child is not None else None

    def terminate(self) -> None:
        """Ask the child to end."""
        if self.pid is not None:
            assert self._child is not None
            self._child.terminate()

    def wait(self, deadline_s: float) -> None:
        """Wait until the child has ended; at the deadline (monotonic clock) kill it and its whole session."""
        if self._child is None:
            return
        try:
            self._child.wait(max(deadline_s - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            log.warning("%s does not end by itself; it is killed", self.name)
            self._kill_session()
            self._child.wait()

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of the log."""
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def _kill_session(self) -> None:
        assert self._child is not None
        try:
            os.killpg(self._child.pid, signal.SIGKILL)
        except ProcessLookupError:
            self._child.kill()
