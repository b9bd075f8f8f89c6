"""Starts the confined process that makes projections, bounds it, and says in one line why it ended."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sharing.errors import NotReleasable
from store.imports.confine import Limits

MAX_ANSWER_BYTES = 256 << 20
LOOK_S = 0.5
"""How often is asked whether anybody still wants the answer."""
_CODE = Path(__file__).resolve().parents[2]
_ENDS = {
    signal.SIGXCPU: "takes more processor time than it may",
    signal.SIGKILL: "takes more time or memory than it may",
    signal.SIGXFSZ: "would write a larger file than it may",
}


def run(
    told: dict[str, Any],
    limits: Limits,
    *,
    module: str = "sharing.projection.worker",
    given_up: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Return the answer of the process. Raises NotReleasable for a refusal, and for a process that gives no answer.

    given_up: Whether nobody wants the answer any more; the process then ends within a second.
    """
    kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
    # The same code as here, wherever that is; -P keeps the working folder out of what may be run.
    paths = [str(_CODE), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    alone = {
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "ARROW_IO_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "2",
    }
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**kept, **alone},
        start_new_session=True,
    )
    try:
        answer = _answer(process, json.dumps(told).encode(), limits.time_s, given_up)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    if process.returncode != 0 or len(answer) > MAX_ANSWER_BYTES:
        why = _ENDS.get(signal.Signals(-process.returncode), "") if process.returncode < 0 else ""
        raise NotReleasable(f"making it {why or f'ended with {process.returncode}'}")
    said: dict[str, Any] = json.loads(answer)
    if "refused" in said:
        raise NotReleasable(said["refused"])
    return said


def _answer(
    process: "subprocess.Popen[bytes]", told: bytes | None, patience_s: float, given_up: Callable[[], bool]
) -> bytes:
    until_s = time.monotonic() + patience_s
    while True:
        try:
            # What was told once is not told again, as `communicate` wants it.
            answer, _ = process.communicate(told, timeout=min(LOOK_S, max(0.0, until_s - time.monotonic())))
            return answer
        except subprocess.TimeoutExpired:
            told = None
        if given_up():
            raise NotReleasable("what it is made for has ended")
        if time.monotonic() >= until_s:
            raise NotReleasable("making it takes longer than it may")
