"""What a slot process does to itself before it touches anything of a vendor's: it dies with its starter, stays small,
and has no folder to leave anything in. Linux only."""

import ctypes
import gc
import os
import resource
import signal
import tempfile
from pathlib import Path

from sim.errors import SlotDied
from sim.slot_process.work import Bounds

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_M_MMAP_THRESHOLD = -3
LARGE_BLOCK_B = 1 << 17
"""The GNU library's own first threshold."""
FILE_BYTES_MAX = 1 << 31
OPEN_FILES_MAX = 256


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends. Raises SlotDied if it has already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise SlotDied(f"no parent-death signal: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        raise SlotDied("the starter is gone already")
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def leave_all_folders() -> None:
    """Go to a folder that no longer exists: MuJoCo writes its log where it is, and cannot any more."""
    folder = tempfile.mkdtemp(prefix="palaestra-slot-")
    os.chdir(folder)
    os.rmdir(folder)


def data_bytes() -> int:
    """Return the private memory of this process, as RLIMIT_DATA counts it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


def return_large_blocks() -> None:
    """Have every large block of memory come from the system and go back to it; call before any is asked for.

    The GNU library stops doing so once it has seen larger ones: then what a step needs for a moment stays.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK_B)


def give_back_memory() -> None:
    """Return to the system what building has left unused: compiling a model takes several times its size."""
    gc.collect()
    libc = ctypes.CDLL(None)
    # Of the GNU library; others return it by themselves.
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def bound(bounds: Bounds) -> None:
    """Set the limits; those on processor time hold until `started`."""
    # Not added to what there is: a starter that yields to others already would be counted twice.
    os.setpriority(os.PRIO_PROCESS, 0, max(os.getpriority(os.PRIO_PROCESS, 0), bounds.niceness))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, FILE_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES_MAX, OPEN_FILES_MAX))
    data = data_bytes() + bounds.memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (data, data))
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = max(1, round(used.ru_utime + used.ru_stime + bounds.compile_cpu_s))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def started() -> None:
    """From here on processor time is not bounded any more: that is what the lease is for."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
