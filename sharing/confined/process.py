"""Starts a confined process, gives it a parcel, and bounds how long it takes and how much it says."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, Any

from sharing.confined.fence import Limits
from sharing.confined.parcel import Parcel
from sharing.errors import WorkEnded

Run = Callable[[str, Mapping[str, Any], Parcel, Limits, Callable[[], None]], bytes]
"""As `run`, here or elsewhere."""
LOOK_S = 0.5
"""How often it is asked whether the work may go on [s]: revoked work ends within ten seconds."""
_CODE = Path(__file__).resolve().parents[2]


def run(
    module: str,
    told: Mapping[str, Any],
    parcel: Parcel,
    limits: Limits,
    still: Callable[[], None],
    *,
    look_s: float = LOOK_S,
    inherited: Sequence[str] = (),
) -> bytes:
    """Run a module of this room as a process of its own and return what it said on standard output.

    Args:
        told: What it is told, as JSON on standard input, beside the limits and the parcel.
        still: Raises as soon as the work may not go on; the process is ended, and the error goes on.
        inherited: Names of this process's environment that it is to know.

    Raises:
        WorkEnded: It took too long, said too much, or ended in any other way than by an answer.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(inherited),
        pass_fds=(parcel.descriptor,),
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None
    answer = _Answer(process.stdout, limits.answer_bytes)
    answer.start()
    due_s = time.monotonic() + limits.time_s
    try:
        given = {
            **told,
            "limits": asdict(limits),
            "descriptor": parcel.descriptor,
            "size_bytes": parcel.size_bytes,
            "files": parcel.files,
        }
        try:
            with process.stdin as ask:
                ask.write(json.dumps(given).encode())
        except BrokenPipeError:
            pass
        # Twice: who has nothing more to say may still go on.
        for over in (answer.done.wait, partial(_gone, process)):
            while not over(look_s):
                still()
                if time.monotonic() >= due_s:
                    raise WorkEnded("took longer than it may")
            if answer.too_long:
                raise WorkEnded("said more than it may")
        code = process.returncode
    finally:
        _end(process)
        answer.join()
    if code != 0:
        raise WorkEnded("took more processor time than it may" if code == -signal.SIGXCPU else "ended by an error")
    return bytes(answer.said)


class _Answer(threading.Thread):
    """Reads what a process says, up to a bound."""

    def __init__(self, source: IO[bytes], most: int) -> None:
        super().__init__(name="confined-answer", daemon=True)
        self._source, self._most = source, most
        self.said = bytearray()
        self.too_long = False
        self.done = threading.Event()

    def run(self) -> None:
        try:
            with self._source as source:
                while piece := os.read(source.fileno(), 1 << 16):
                    self.said += piece
                    if len(self.said) > self._most:
                        self.too_long = True
                        return
        finally:
            self.done.set()


def _gone(process: "subprocess.Popen[bytes]", wait_s: float) -> bool:
    """Wait for a process's end, and return whether it came."""
    try:
        process.wait(wait_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process and whatever else is in its session, though it can have started nothing."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()


def _environment(inherited: Sequence[str]) -> dict[str, str]:
    """Return an environment without any credential or setting of this process, and with one thread for libraries."""
    kept = {key: os.environ[key] for key in ("PATH", "LANG", *inherited) if key in os.environ}
    paths = [str(_CODE), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "ARROW_IO_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "2",
    }
