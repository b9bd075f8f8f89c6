"""Starts the confined reader, bounds how long it takes, and says in one line why it ended."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from store.errors import ImportRefused
from store.imports import frames
from store.imports.confine import Limits
from store.imports.raw import MAX_EPISODES, Options, RawEpisode, checked, one_line

_LAST_S = 2.0
"""How long a reader whose answer is broken or over may take to end [s]."""
_CODE = Path(__file__).resolve().parents[2]
_ENDS: dict[int, str] = {
    signal.SIGXCPU: "takes more processor time than an import may",
    signal.SIGKILL: "takes more time or memory than an import may",
    signal.SIGXFSZ: "tries to write files",
}


def read(path: Path, form: str, options: Options, limits: Limits) -> Iterator[RawEpisode]:
    """Yield the episodes of a source, read by a confined process. Raises ImportRefused."""
    count = values = 0
    with _worker(path, form, options, limits, describe=False) as (answers, judge):
        while (table := _next(answers, judge)) is not None:
            if table.get("kind") == "episode":
                try:
                    episode = frames.read_episode(answers, table, options.max_values)
                except ImportRefused as error:
                    raise judge.reason(str(error)) from error
                count += 1
                values += sum(len(signal.time_s) * (1 + len(signal.names)) for signal in episode.signals)
                if count > MAX_EPISODES or values > 2 * options.max_values:
                    raise ImportRefused(
                        f"{path.name}: more than is imported at once: {count} episodes, {values} values"
                    )
                yield checked(episode)


def describe(path: Path, form: str, options: Options, limits: Limits) -> list[dict[str, Any]]:
    """Return what each episode of a source has, see `raw.describe`. Raises ImportRefused."""
    found = []
    with _worker(path, form, options, limits, describe=True) as (answers, judge):
        while (table := _next(answers, judge)) is not None:
            if table.get("kind") == "description":
                found.append({key: value for key, value in table.items() if key != "kind"})
                if len(found) > MAX_EPISODES:
                    raise ImportRefused(f"{path.name}: more than {MAX_EPISODES} episodes")
    return found


class _Judge:
    """Says why the reader ended without an answer."""

    def __init__(self, process: "subprocess.Popen[bytes]", path: Path, time_s: float) -> None:
        self.process, self.path = process, path
        self.due_s = time.monotonic() + time_s
        self.late = threading.Event()

    def end(self) -> None:
        """The time is over."""
        self.late.set()
        self.process.kill()

    def reason(self, text: str) -> ImportRefused:
        try:
            code = self.process.wait(_LAST_S)
        except subprocess.TimeoutExpired:
            # It has more to say, which nobody reads any more.
            return ImportRefused(f"{self.path.name}: {text}")
        if self.late.is_set():
            return ImportRefused(f"{self.path.name}: takes longer than an import may")
        why = _ENDS.get(-code)
        return ImportRefused(f"{self.path.name}: {why or f'{text} (its reader ended with {code})'}")


def _next(answers: IO[bytes], judge: _Judge) -> dict[str, Any] | None:
    """Return the next table; None after the last one. Raises ImportRefused."""
    if time.monotonic() >= judge.due_s:
        judge.end()
        raise judge.reason("")
    try:
        table = frames.read_table(answers)
    except ImportRefused as error:
        raise judge.reason(str(error)) from error
    if table is None:
        raise judge.reason("cannot be read")
    if table.get("kind") == "refused":
        raise ImportRefused(one_line(str(table.get("reason"))))
    return None if table.get("kind") == "end" else table


@contextmanager
def _worker(
    path: Path, form: str, options: Options, limits: Limits, *, describe: bool
) -> Iterator[tuple[IO[bytes], _Judge]]:
    told = {
        "path": os.path.abspath(path),
        "format": form,
        "options": asdict(options),
        "limits": asdict(limits),
        "describe": describe,
    }
    # No credential or setting of the caller's reaches the reader; one thread is what its limits leave it.
    kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
    # The same code as here, wherever that is; -P below keeps the working folder out of what may be read.
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
        [sys.executable, "-P", "-m", "store.imports.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**kept, **alone},
        start_new_session=True,
    )
    judge = _Judge(process, path, limits.time_s)
    assert process.stdin is not None and process.stdout is not None
    timer = threading.Timer(limits.time_s, judge.end)
    timer.daemon = True
    timer.start()
    try:
        with process.stdin as ask:
            ask.write(json.dumps(told).encode())
        yield process.stdout, judge
    except BrokenPipeError as error:
        raise judge.reason("cannot be read") from error
    finally:
        timer.cancel()
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
