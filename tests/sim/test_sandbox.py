"""What a slot gives up, tried from inside; and that it goes on, and says so, where it may give up nothing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sim.sandbox import readable, seccomp
from sim.slot_process import LeasedSlot, SlotSpec, TaskWork

PATIENCE_S = 120.0
HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
SLOT = SlotSpec(TaskWork("own_arm", task="reach"), worlds=1)

INSIDE = """
import ctypes, json, os, resource, signal, socket, sys, threading
from pathlib import Path
from sim.sandbox import enter

inside, outside, listening, parent = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), os.getppid()
libc = ctypes.CDLL(None, use_errno=True)
layers = enter([inside])

def tried(attempt):
    try:
        attempt()
    except OSError as error:
        return error.strerror or str(error)
    return ""

def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")

def connect():
    with socket.socket() as caller:
        caller.connect(("127.0.0.1", listening))

def thread():
    done = threading.Event()
    threading.Thread(target=done.set).start()
    if not done.wait(60.0):
        raise OSError(1, "no thread ran")

attempts = {
    "read inside": lambda: (inside / "model.xml").read_text(),
    "list inside": lambda: os.listdir(inside),
    "a thread": thread,
    "memory": lambda: os.close(os.memfd_create("m")),
    "own limits": lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
    "read outside": lambda: (outside / "secret").read_text(),
    "list outside": lambda: os.listdir(outside),
    "read a process": lambda: Path(f"/proc/{parent}/environ").read_bytes(),
    "read passwords": lambda: Path("/etc/passwd").read_text(),
    "write inside": lambda: (inside / "new").write_text("x"),
    "overwrite": lambda: (inside / "model.xml").write_text("x"),
    "write elsewhere": lambda: Path("/tmp/palaestra-sandbox-test").write_text("x"),
    "remove": lambda: (inside / "model.xml").unlink(),
    "connect": connect,
    "datagrams": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "fork": os.fork,
    "run": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "become a program": lambda: os.execv("/bin/true", ["true"]),
    "kill": lambda: os.kill(parent, 0),
    "limit another": lambda: resource.prlimit(parent, resource.RLIMIT_CORE, (0, 0)),
    "slow another down": lambda: os.setpriority(os.PRIO_PROCESS, parent, 19),
    "trace": lambda: call("ptrace", 16, parent, 0, 0),
    "another namespace": lambda: call("unshare", 0x10000000),
    "mount": lambda: call("mount", b"none", b"/", b"tmpfs", 0, 0),
    "another root": lambda: os.chroot("/"),
}
held = {layer.name: layer.holds for layer in layers}
# Nobody's harm is risked where nothing would prevent it.
skipped = set().union(*(names for layer, names in json.loads(sys.argv[4]).items() if not held[layer]))
print(json.dumps({
    "layers": held,
    "tried": {name: tried(attempt) for name, attempt in attempts.items() if name not in skipped},
}))
"""
FREE = {"read inside", "list inside", "a thread", "memory", "own limits"}
BY = {
    "landlock": {
        "read outside", "list outside", "read a process", "read passwords", "write inside", "overwrite",
        "write elsewhere", "remove",
    },
    "seccomp": {
        "connect", "datagrams", "fork", "run", "become a program", "kill", "limit another", "slow another down",
        "trace", "another namespace", "mount", "another root",
    },
}  # fmt: skip

CLOSED = """
import ctypes, json
from sim.sandbox import seccomp

ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
# What a kernel of before, or a container's own filter, does not allow: namespaces, Landlock, capabilities, filters.
seccomp.load(seccomp.refusing([272, 444, 126, 317]))
import numpy as np
from sim.slot_process import LeasedSlot, SlotSpec, TaskWork

with LeasedSlot(SlotSpec(TaskWork("own_arm", task="reach"), worlds=1)) as slot:
    obs = slot.step(np.zeros((1, slot.action_size))).obs
    print(json.dumps({"finite": bool(np.isfinite(obs).all()), "layers": [vars(layer) for layer in slot.layers]}))
"""


def python(program: str, *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(not HEADER.exists(), reason="no kernel headers")
def test_the_calls_that_are_refused_have_the_kernels_numbers() -> None:
    numbers = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", HEADER.read_text())}
    known = {name: number for name, number in seccomp.REFUSED.items() if name in numbers}

    assert known == {name: numbers[name] for name in known}
    assert len(known) > 80
    assert (numbers["clone"], numbers["clone3"], numbers["tgkill"]) == (56, 435, 234)
    assert (numbers["prlimit64"], numbers["sched_setaffinity"], numbers["seccomp"]) == (302, 203, 317)


def test_from_inside_nothing_is_reached_but_the_model(tmp_path: Path) -> None:
    import socket

    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "model.xml").write_text("<mujoco/>")
    (outside / "secret").write_text("token")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        by = json.dumps({layer: sorted(names) for layer, names in BY.items()})
        found = python(INSIDE, str(inside), str(outside), str(listening.getsockname()[1]), by)

    tried = found["tried"]
    assert {name for name in FREE if tried[name]} == set()
    for layer, refused in BY.items():
        if found["layers"][layer]:
            assert {name for name in refused if not tried[name]} == set(), layer
    assert (inside / "model.xml").read_text() == "<mujoco/>"
    # On whatever machine this is built and tested on.
    assert found["layers"]["privileges"]
    assert set(tried) == FREE.union(*(names for layer, names in BY.items() if found["layers"][layer]))


def test_where_a_machine_allows_nothing_a_slot_goes_on_and_says_so() -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("what forbids it here is a filter for x86-64")
    found = python(CLOSED)

    assert found["finite"]
    layers = {layer["name"]: layer for layer in found["layers"]}
    assert {name for name, layer in layers.items() if layer["holds"]} == {"privileges"}
    assert "Operation not permitted" in layers["landlock"]["what"]
    assert "unshare" in layers["namespaces"]["what"]


def test_a_slot_tells_its_layers_and_the_kernel_agrees() -> None:
    with LeasedSlot(SLOT) as slot:
        layers = {layer.name: layer.holds for layer in slot.layers}
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{slot.pid}/status").read_text().splitlines() if ":\t" in line
        )
        own = {kind: os.readlink(f"/proc/{slot.pid}/ns/{kind}") for kind in ("net", "ipc")}
        ours = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in own}

    assert layers.keys() == {"privileges", "namespaces", "capabilities", "landlock", "seccomp"}
    assert status["NoNewPrivs"] == "1"
    assert (status["Seccomp"] == "2") or not layers["seccomp"]
    assert (int(status["CapEff"], 16) == 0) or not layers["capabilities"]
    assert all((own[kind] != ours[kind]) or not layers["namespaces"] for kind in own)


def test_a_slot_reads_the_software_and_its_model_and_not_what_lies_beside_them() -> None:
    root = Path(__file__).parents[2]
    paths = {path.resolve() for path in readable("/models/mine")}

    assert Path("/models/mine") in paths
    assert root / "configs" in paths
    assert not {root, root / "data", Path("/"), Path.home(), Path("/tmp"), Path("/etc")} & paths


def test_the_command_says_which_layers_this_machine_has() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sim", "sandbox"], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )

    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["privileges", "namespaces", "capabilities", "landlock", "seccomp"]
    assert {line.split()[1] for line in lines} <= {"holds", "MISSING"}
    assert done.returncode == (1 if "MISSING" in done.stdout else 0)
