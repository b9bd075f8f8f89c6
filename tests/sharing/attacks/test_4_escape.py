"""Attacks by code that visits: network, files, other processes, more memory, no end, too large a result, objects."""

import io
import json
import os
import pickle
import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sharing.compute import result, visit
from sharing.compute.algorithm import Algorithm, Outputs
from sharing.compute.result import written
from sharing.confined import process
from sharing.confined.fence import Limits
from sharing.confined.parcel import packed
from sharing.errors import NotShared, WorkEnded
from tests.sharing.compute.visitors import Counted, bare, shelf_of

ATTEMPTS = (
    "reads a file",
    "lists a folder",
    "writes a file",
    "reads an environment",
    "calls",
    "listens",
    "starts a program",
    "forks",
    "signals",
    "writes into the parcel",
)
VISITOR = '''
import ctypes, mmap, os, socket, subprocess
import numpy as np

def train(data, parameters):
    """Try everything, and tell what came through."""
    folder, port, parent = parameters["folder"], parameters["port"], os.getppid()

    def write():
        with open(os.path.join(folder, "written"), "w") as target:
            target.write("x")

    def fork():
        if os.fork() == 0:
            os._exit(0)

    def into_the_parcel():
        for name in range(3, 64):
            try:
                if "projection" in os.readlink(f"/proc/self/fd/{name}"):
                    os.pwrite(name, b"x", 0)
                    return
            except OSError:
                continue
        raise OSError("not found, or not written")

    attempts = {
        "reads a file": lambda: open(os.path.join(folder, "secret")).read(),
        "lists a folder": lambda: os.listdir(folder),
        "writes a file": write,
        "reads an environment": lambda: open(f"/proc/{parent}/environ", "rb").read(),
        "calls": lambda: socket.create_connection(("127.0.0.1", port), timeout=30.0),
        "listens": lambda: socket.socket().bind(("127.0.0.1", 0)),
        "starts a program": lambda: subprocess.run(["/bin/true"], check=True),
        "forks": fork,
        "signals": lambda: os.kill(parent, 0),
        "writes into the parcel": into_the_parcel,
    }
    came_through = {}
    for what, attempt in attempts.items():
        try:
            attempt()
            came_through[what.replace(" ", "_")] = 1.0
        except OSError:
            came_through[what.replace(" ", "_")] = 0.0
    return {}, came_through

def losses(data, arrays, parameters):
    return [0.0] * len(data)
'''
SHOUTS = """    import os
    for _ in range(1 << 20):
        for name in range(3, 16):
            try:
                os.write(name, b"x" * 65536)
            except OSError:
                pass"""
LIMITS = Limits(memory_bytes=2 << 30, cpu_s=120, time_s=300.0, answer_bytes=result.MAX_BYTES)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Counted:
    """A projection of 120 episodes."""
    return shelf_of(tmp_path_factory.mktemp("projection"))


def trained(algorithm: Algorithm, shelf: Counted, limits: Limits = LIMITS, **parameters: Any) -> result.Result:
    """Return what an algorithm's training gives, through a worker of its own."""
    told = {"source": algorithm.source, "parameters": parameters}
    contents = dict(shelf.projection.tables)
    with packed(contents, shelf, lambda: None) as parcel:
        return result.read(process.run(visit.WORKER, told, parcel, limits, lambda: None), algorithm.outputs)


def escaped(shelf: Counted, folder: Path) -> set[str]:
    """Return which attempts came through."""
    (folder / "secret").write_text("canary")
    metrics = [what.replace(" ", "_") for what in ATTEMPTS]
    algorithm = Algorithm.of("escaper", VISITOR, {"metrics": metrics})
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        found = trained(algorithm, shelf, folder=str(folder), port=port)
    return {name.replace("_", " ") for name, value in found.metrics.items() if value}


def test_code_that_visits_gets_nowhere(shelf: Counted, tmp_path: Path) -> None:
    """No file, no network, no process, no signal; what it was given it cannot change."""
    assert escaped(shelf, tmp_path) == set()
    assert not (tmp_path / "written").exists()


def test_mutant_without_the_fence_code_that_visits_gets_out(
    shelf: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard is the fence: without it all but the sealed parcel lies open."""
    monkeypatch.setattr(visit, "WORKER", "tests.sharing.compute.bare")
    assert set(ATTEMPTS) - escaped(shelf, tmp_path) == {"writes into the parcel"}


@pytest.mark.parametrize(
    ("body", "limits", "told"),
    [
        ("    while True:\n        pass", Limits(cpu_s=1, time_s=300.0), "took more processor time than it may"),
        ("    import time\n    time.sleep(10_000)", Limits(cpu_s=600, time_s=1.0), "took longer than it may"),
        ("    kept = [np.empty(1 << 24) for _ in range(1000)]", Limits(memory_bytes=1 << 30), "ended by an error"),
        (SHOUTS, LIMITS, "said more than it may"),
    ],
    ids=["computes much", "sleeps for ever", "takes all memory", "says too much"],
)
def test_what_never_ends_or_takes_too_much_is_ended(shelf: Counted, body: str, limits: Limits, told: str) -> None:
    """Each is ended, and what is told of it is one of few sentences: no error's own words, which may hold data."""
    with pytest.raises(WorkEnded, match=f"^{told}$"):
        trained(bare(body), shelf, limits)


def test_without_the_fence_the_bounds_of_processor_and_memory_are_none(
    shelf: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: the same work is ended by the clock alone, and has the memory that it asks for."""
    monkeypatch.setattr(visit, "WORKER", "tests.sharing.compute.bare")
    with pytest.raises(WorkEnded, match="took longer than it may"):
        trained(bare("    while True:\n        pass"), shelf, Limits(cpu_s=1, time_s=4.0))
    # Address space that is asked for and not touched costs the machine nothing.
    takes = bare(
        '    kept = [np.empty(1 << 24) for _ in range(16)]\n    return {}, {"mib": len(kept) * 128}', metrics=["mib"]
    )
    assert trained(takes, shelf, Limits(memory_bytes=1 << 30)).metrics == {"mib": 2048}
    monkeypatch.undo()
    with pytest.raises(WorkEnded, match="ended by an error"):
        trained(takes, shelf, Limits(memory_bytes=1 << 30))


def test_work_ends_as_soon_as_nothing_is_shared_any_more(shelf: Counted) -> None:
    """The second time that it is asked, it is over: the process is gone when the error comes."""
    asked = []
    before = threading.active_count()

    def still() -> None:
        asked.append(1)
        if len(asked) > 60:
            raise NotShared

    endless = bare("    import time\n    time.sleep(10_000)")
    told = {"source": endless.source, "parameters": {}}
    with packed(dict(shelf.projection.tables), shelf, lambda: None) as parcel, pytest.raises(NotShared):
        process.run(visit.WORKER, told, parcel, LIMITS, still, look_s=0.005)
    assert threading.active_count() == before
    assert not [name for name in os.listdir("/proc") if name.isdigit() and _is_worker(name)]


def _is_worker(name: str) -> bool:
    """Whether a process is a worker that this one started."""
    try:
        told = Path(f"/proc/{name}/cmdline").read_bytes()
        parent = int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return False
    return b"sharing.compute.worker" in told and parent == os.getpid()


OUTPUTS = Outputs.of({"arrays": {"w": ["float32", 8]}, "metrics": ["loss"]})
GOOD = written({"w": np.ones((2, 4), np.float32)}, {"loss": 0.5})


@pytest.mark.parametrize(
    "said",
    [
        pickle.dumps({"w": [1.0]}),
        b"",
        b"\n",
        b"[]\n",
        b"{}\n",
        b"[" * 5000,
        b"\xff\xfe\n",
        GOOD + b"x",
        GOOD[:-1],
        written({"w": np.ones(9, np.float32)}, {"loss": 0.5}),
        written({"w": np.ones(4, np.float64)}, {"loss": 0.5}),
        written({"w": np.ones(4, np.float32), "more": np.ones(1, np.float32)}, {"loss": 0.5}),
        written({"w": np.array([np.nan], np.float32)}, {"loss": 0.5}),
        written({"w": np.ones(4, np.float32)}, {"loss": float("inf")}),
        written({"w": np.ones(4, np.float32)}, {"loss": 0.5, "more": 1.0}),
        written({}, {"loss": 0.5}),
        json.dumps({"arrays": [["w", "object", [1]]], "metrics": {"loss": 0.5}}).encode() + b"\n" + b"x" * 8,
        json.dumps({"arrays": [["w", "float32", [-1, -4]]], "metrics": {"loss": 0.5}}).encode() + b"\n" + b"x" * 16,
        json.dumps({"arrays": [["w", "float32", [10**30]]], "metrics": {"loss": 0.5}}).encode() + b"\n",
        json.dumps({"arrays": [["w", "float32", [True]]], "metrics": {"loss": 0.5}}).encode() + b"\nxxxx",
        json.dumps({"arrays": [], "metrics": {"loss": 0.5}, "more": "data"}).encode() + b"\n",
        b" " * (result.MAX_BYTES + 1),
    ],
)
def test_a_result_that_was_not_declared_does_not_leave(said: bytes) -> None:
    """Objects, other names, other kinds, other sizes, more or less than declared: refused, and nothing is unpickled."""
    with pytest.raises(WorkEnded):
        result.read(said, OUTPUTS)


def test_a_result_as_declared_leaves_without_objects() -> None:
    """And the archive has no pickle in it."""
    found = result.read(GOOD, OUTPUTS)
    assert found.metrics == {"loss": 0.5}
    assert found.arrays["w"].shape == (2, 4)
    with np.load(io.BytesIO(found.npz()), allow_pickle=False) as arrays:
        assert np.array_equal(arrays["w"], found.arrays["w"])


def test_an_array_may_have_any_name() -> None:
    """Also those of the parameters of what writes archives."""
    outputs = Outputs.of({"arrays": {"file": ["float32", 1], "allow_pickle": ["int64", 1]}})
    found = result.read(written({"file": np.ones(1, np.float32), "allow_pickle": np.ones(1, np.int64)}, {}), outputs)
    with np.load(io.BytesIO(found.npz()), allow_pickle=False) as arrays:
        assert set(arrays) == {"file", "allow_pickle"}
