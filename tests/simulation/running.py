"""Runs seeds, each in a Python process of its own that is forked from this one: nothing of one run reaches another."""

import gc
import os
import pickle
import resource
import selectors
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import tests.simulation.venue as simulated

CPU_MAX_S = 60
Defect = Callable[[], None]


def base_folder() -> Path | None:
    """Return a folder in memory, None where there is none."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and os.access(memory, os.W_OK) else None


def run_all(seeds: Iterable[int], *, at_once: int = 2, defect: Defect | None = None) -> Iterator[SimpleNamespace]:
    """Yield what came of each seed, in the order in which they end.

    at_once: How many processes. defect: Plants one in each of them first.
    """
    waiting = iter(seeds)
    # Children look at what is there already without ever touching it.
    gc.collect()
    gc.freeze()
    running: dict[int, tuple[int, int, bytearray]] = {}
    try:
        yield from _run_all(waiting, running, at_once, defect)
    finally:
        for pipe, (_, pid, _) in running.items():
            os.close(pipe)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _run_all(
    waiting: Iterator[int],
    running: dict[int, tuple[int, int, bytearray]],
    at_once: int,
    defect: Defect | None,
) -> Iterator[SimpleNamespace]:
    with selectors.DefaultSelector() as selector:
        while True:
            while len(running) < at_once and (seed := next(waiting, None)) is not None:
                pid, pipe = _fork(seed, defect)
                running[pipe] = (seed, pid, bytearray())
                selector.register(pipe, selectors.EVENT_READ)
            if not running:
                return
            for key, _ in selector.select():
                assert isinstance(key.fd, int)
                data = os.read(key.fd, 1 << 16)
                running[key.fd][2].extend(data)
                if not data:
                    yield _reap(selector, key.fd, *running.pop(key.fd))


def _fork(seed: int, defect: Defect | None) -> tuple[int, int]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    os.close(reading)
    # One that goes round and round is ended by the kernel.
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_MAX_S, CPU_MAX_S))
    found = run_here(seed, defect)
    with os.fdopen(writing, "wb") as pipe:
        pickle.dump(found, pipe)
    os._exit(0)


def _reap(selector: Any, pipe: int, seed: int, pid: int, data: bytearray) -> SimpleNamespace:
    selector.unregister(pipe)
    os.close(pipe)
    _, status = os.waitpid(pid, 0)
    if data:
        found: SimpleNamespace = pickle.loads(bytes(data))
        return found
    return nothing(seed, f"its process ended with {os.waitstatus_to_exitcode(status)}")


def is_lasting(seed: int) -> bool:
    """Return whether a seed's life is one of long work and long cuts."""
    return simulated.plan_of(seed).lasting


def nothing(seed: int, why: str) -> SimpleNamespace:
    """Return what came of a seed that did not come to its end."""
    return SimpleNamespace(
        seed=seed, digest="", broken=[why], reached={}, killed={}, kinds=[], virtual_s=0.0, jobs=0, grants=0, events=0,
        cpu_s=0.0,
    )  # fmt: skip


def run_here(seed: int, defect: Defect | None = None, **options: Any) -> SimpleNamespace:
    """Run a seed in this process, which is of no use for anything else afterwards."""
    started_s = time.process_time()
    gc.disable()
    folder = Path(tempfile.mkdtemp(prefix="palaestra-simulation-", dir=base_folder()))
    try:
        if defect is not None:
            defect()
        found = simulated.run(seed, folder, **options)
    except BaseException:
        found = nothing(seed, traceback.format_exc())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found.cpu_s = time.process_time() - started_s
    return found
