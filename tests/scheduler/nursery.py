"""Processes that are born with their imports done: a hundred restarts in the time of ten, by the same `main`.

The nursery imports modules once and forks; what runs in a child is the module's own main function, with the process,
its files, locks, sockets and its end all real. It has no threads and no gRPC in use when it forks.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DRIVER = """
import ctypes, importlib, json, os, signal, sys, traceback
for name in sys.argv[1:]:
    importlib.import_module(name)
print("ready", flush=True)
nursery = os.getpid()
for line in sys.stdin:
    order = json.loads(line)
    if "wait" in order:
        print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
        continue
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    code = 70
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != nursery:
            os._exit(71)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0), os.dup2(log, 1), os.dup2(log, 2)
        module, _, function = order["main"].partition(":")
        sys.argv = [module, *order["arguments"]]
        code = getattr(importlib.import_module(module), function)(*order["passed"])
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
"""


class Nursery:
    """Use as a context; its children end with it. within: a command that runs another one, elsewhere."""

    def __init__(self, *modules: str, environment: Mapping[str, str] | None = None, within: Sequence[str] = ()) -> None:
        command = [*within, sys.executable, "-c", DRIVER, *modules]
        self._driver = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, **(environment or {})}
        )
        assert self._answer() == b"ready"

    def start(self, main: str, log: Path, *arguments: str, passed: Sequence[str] | None = None) -> int:
        """Start "module:function" and return its process id. arguments: for sys.argv; passed: for the function."""
        return int(self._ask(main=main, log=str(log), arguments=arguments, passed=passed or ()))

    def wait(self, pid: int) -> int:
        """Wait for the end of a child; return its exit code, negative for a signal."""
        return int(self._ask(wait=pid))

    def kill(self, pid: int) -> int:
        os.kill(pid, signal.SIGKILL)
        return self.wait(pid)

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(self, *_: object) -> None:
        self._driver.kill()
        self._driver.communicate()

    def _ask(self, **order: Any) -> bytes:
        assert self._driver.stdin is not None
        self._driver.stdin.write(json.dumps(order).encode() + b"\n")
        self._driver.stdin.flush()
        return self._answer()

    def _answer(self) -> bytes:
        assert self._driver.stdout is not None
        line = self._driver.stdout.readline().strip()
        assert line, "the nursery has ended"
        return line
