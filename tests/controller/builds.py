"""Other builds of the kernel's sources, by the project's own build with other compiler flags."""

import ctypes
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

from controller import kernel

X86 = platform.machine().lower() in ("x86_64", "amd64")
ISA_FEATURES = {"x86-64": "sse2", "x86-64-v3": "avx2", "x86-64-v4": "avx512bw"}


@cache
def build(*flags: str) -> ctypes.CDLL:
    """Build the kernel with `flags` added and open it; once per run of the tests, for that takes many seconds."""
    root, folder = Path(kernel.__file__).parents[1], Path(tempfile.mkdtemp())
    command = [sys.executable, "setup.py", "--quiet", "build_ext", f"--build-lib={folder}", f"--build-temp={folder}"]
    subprocess.run(command, cwd=root, env={**os.environ, "CFLAGS": " ".join(flags)}, check=True, capture_output=True)
    handle = ctypes.CDLL(str(next(folder.rglob("_kernel*.so"))))
    handle.palaestra_step.restype = None
    shutil.rmtree(folder)
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
