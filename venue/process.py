"""One supervised child process: started, watched, started again, stopped."""

import logging
import os
import shutil
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
# A log file starts anew at this size; the one before is kept beside it.
LOG_BYTES_MAX = 20 * 1024 * 1024


class Process:
    """A child with a name and a log file, the leader of a session of its own.

    Attributes:
        restarts: How often it was started again.
        last_exit_code: Of the child that ended last, negative for a signal; None as long as none has.
    """

    def __init__(self, name: str, command: Sequence[str], logs: Path) -> None:
        self.name = name
        self.command = list(command)
        self.log_path = logs / f"{name}.log"
        self.restarts = 0
        self.last_exit_code: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._pause_s = RESTART_FIRST_S / 2
        # When to start it again; None while it runs.
        self._due_s: float | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def start(self) -> None:
        """Start the child; its output goes to its log file. Raises OSError."""
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
        self._due_s = None

    def watch(self) -> bool:
        """Start the child again if it has ended and its pause is over. Returns whether it was started."""
        if self._child is None:
            return False
        if self.pid is not None:
            self._trim_log()
            return False
        now_s = time.monotonic()
        if self._due_s is None:
            self._bury(now_s)
        assert self._due_s is not None
        if now_s < self._due_s:
            return False
        try:
            self.start()
        except OSError as error:
            # No memory, no disk: worse now than in a while.
            log.error("%s cannot be started: %s", self.name, error)
            self._due_s = now_s + RESTART_MAX_S
            return False
        self.restarts += 1
        return True

    def terminate(self) -> None:
        """Ask the child to end."""
        if self._child is not None and self.pid is not None:
            self._child.terminate()

    def wait(self, deadline_s: float) -> None:
        """Wait until the child has ended; at the deadline (monotonic clock) kill it. Nothing of its session stays."""
        if self._child is None:
            return
        try:
            self._child.wait(max(deadline_s - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            log.warning("%s does not end by itself; it is killed", self.name)
            self._child.kill()
            self._child.wait()
        kill_session(self._child.pid)

    def _trim_log(self) -> None:
        """Begin the log anew when it is long. The child appends, so that it goes on at the new end."""
        if self.log_path.stat().st_size > LOG_BYTES_MAX:
            shutil.copyfile(self.log_path, self.log_path.with_suffix(".log.1"))
            os.truncate(self.log_path, 0)

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of the log."""
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def _bury(self, now_s: float) -> None:
        """Note how the child ended, end what it has left behind, and say when it starts again."""
        assert self._child is not None
        code = self.last_exit_code = self._child.returncode
        lived_s = now_s - self._started_s
        self._pause_s = RESTART_FIRST_S if lived_s > STEADY_S else min(2 * self._pause_s, RESTART_MAX_S)
        self._due_s = now_s + self._pause_s
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        log.warning("%s ended with %s after %.1f s; see %s", self.name, how, lived_s, self.log_path)
        kill_session(self._child.pid)


def kill_session(session: int) -> None:
    """Kill every process of a session whose leader was our child and has ended: what it did not take along."""
    for process in session_members(session):
        try:
            os.kill(process, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def session_members(session: int) -> list[int]:
    """Return the processes of a session, without zombies. Empty where there is no /proc."""
    members = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # "pid (name) state ppid pgrp session ...", and the name may hold anything.
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            members.append(int(entry.name))
    return sorted(members)
