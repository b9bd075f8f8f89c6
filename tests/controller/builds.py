"""Other builds of the kernel's sources, by the project's own build with other compiler flags."""

import ctypes
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from controller import kernel

X86 = platform.machine().lower() in ("x86_64", "amd64")
ISA_FEATURES = {"x86-64": "sse2", "x86-64-v3": "avx2", "x86-64-v4": "avx512bw"}


@cache
def build(*flags: str) -> ctypes.CDLL:
    """Build the kernel with `flags` added and open it. It takes many seconds: kept in build/, by sources and flags."""
    root = Path(kernel.__file__).parents[1]
    what = [*(root / "controller" / name for name in kernel.SOURCES), root / "setup.py"]
    key = hashlib.sha256(b"".join(path.read_bytes() for path in what) + " ".join(flags).encode()).hexdigest()[:16]
    folder = root / "build" / "test-kernels" / key
    folder.mkdir(parents=True, exist_ok=True)
    # Tests of another process may be building the same.
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            temporary = folder / "objects"
            places = [f"--build-lib={folder}", f"--build-temp={temporary}"]
            command = [sys.executable, "setup.py", "--quiet", "build_ext", "--force", *places]
            subprocess.run(
                command, cwd=root, env={**os.environ, "CFLAGS": " ".join(flags)}, check=True, capture_output=True
            )
            shutil.rmtree(temporary)
            (folder / "done").touch()
    handle = ctypes.CDLL(str(next(folder.rglob("_kernel*.so"))))
    handle.palaestra_step.restype = None
    return handle


def isa_flags(isa: str) -> tuple[str, ...]:
    """Return the flags of a build for `isa` alone; skips the test where this processor lacks it."""
    if not X86:
        pytest.skip("instruction sets of x86-64 only")
    cpuinfo = Path("/proc/cpuinfo")
    if isa != "x86-64" and (not cpuinfo.exists() or ISA_FEATURES[isa] not in cpuinfo.read_text().split()):
        pytest.skip(f"this processor has no {ISA_FEATURES[isa]}")
    return "-DONE_ISA", f"-march={isa}"


SCALAR_FLAGS = ("-DONE_ISA", "-fno-tree-vectorize", "-fno-tree-slp-vectorize")
