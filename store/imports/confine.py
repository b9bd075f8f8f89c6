"""What a process that reads foreign files may do: little. Each guard that the kernel has, is put up; none is needed by
another.

* `setrlimit`: memory, processor time, the size of files, open files, and processes (which root is exempt from).
* `unshare`: a network of its own without any device, not even loopback; sockets without a path are its own, too.
* seccomp (x86-64): no socket at all, for those with a path, of a database or of Ray, lead out of any network; no signal
  to other processes, no look into them, and no io_uring, which could do the same.
* Landlock (Linux 5.13): only the given path and what Python itself consists of can be read, nothing can be written, and
  no program can be executed. It cannot be taken back, nor can what it starts.

Numbers of system calls and bits: `linux/landlock.h`, `linux/sched.h`, `linux/prctl.h`; they are the same on x86-64 and
aarch64.
"""

import ctypes
import errno
import os
import platform
import resource
import struct
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_NO_NEW_PRIVS = 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
# Write, remove a folder, a file; make a folder, a file; move between folders; truncate.
_WRITE = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 13 | 1 << 14
# By the version of Landlock: what it can forbid of files. 13 bits, then refer, truncate, and ioctl of devices.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
# System calls that are refused, by their numbers on x86-64 (`asm/unistd_64.h`): socket, connect, sendto, sendmsg, kill,
# tkill, rt_sigqueueinfo, ptrace, process_vm_readv and writev, pidfd_open, pidfd_send_signal, io_uring_setup.
_REFUSED = (41, 42, 44, 46, 62, 200, 129, 101, 310, 311, 434, 424, 425)
_SECCOMP, _SET_FILTER, _AUDIT_ARCH, _X32 = 317, 1, 0xC000003E, 0x40000000
_SYSTEM = (
    "/usr/lib",
    "/lib",
    "/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/dev/urandom",
    "/dev/null",
    "/usr/share/zoneinfo",
)


@dataclass(frozen=True)
class Limits:
    """Bounds of one import.

    Attributes:
        memory_bytes: Address space of the process that reads.
        cpu_s: Its processor time [s].
        time_s: How long it may take altogether [s].
        files: Most open files.
        processes: Most processes and threads.
        file_bytes: The size of each file that it may write.
    """

    memory_bytes: int = 4 << 30
    cpu_s: int = 3600
    time_s: float = 7200.0
    files: int = 256
    processes: int = 64
    file_bytes: int = 0


def confine(
    path: Path,
    limits: Limits,
    *,
    more: Sequence[Path] = (),
    writable: Path | None = None,
    rooms: Sequence[str] = ("store",),
) -> list[str]:
    """Put up every guard around this process for good. Returns the names of those that hold.

    Args:
        path, more: What it may read beside its own code.
        writable: The one folder in which it may make, write and read files.
        rooms: Whose code it may still read.
    """
    held = ["limits"]
    if _alone():
        held.append("network")
    for kind, most in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.files),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, limits.processes),
    ):
        _, hard = resource.getrlimit(kind)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bound, bound))
    if _landlocked([path, *more, *_python(rooms)], writable):
        held.append("files")
    if _filtered():
        held.append("calls")
    return held


def _alone() -> bool:
    """Leave the network; without privileges this takes a user namespace of one's own."""
    libc = ctypes.CDLL(None, use_errno=True)
    return any(libc.unshare(flags) == 0 for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET))


def _filtered() -> bool:
    """Refuse `_REFUSED` from now on, with EPERM; a call of another architecture ends the process."""

    def op(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
        return struct.pack("HBBI", code, then, otherwise, value)

    if platform.machine() != "x86_64":
        return False
    load, equal, least, end = 0x20, 0x15, 0x35, 0x06
    allow, refuse, kill = op(end, 0x7FFF0000), op(end, 0x00050000 | errno.EPERM), op(end, 0x80000000)
    # Of `struct seccomp_data` the architecture stands at 4, the number at 0.
    parts = [op(load, 4), op(equal, _AUDIT_ARCH, 1, 0), kill, op(load, 0), op(least, _X32, 0, 1), refuse]
    for number in _REFUSED:
        parts += [op(equal, number, 0, 1), refuse]
    code = ctypes.create_string_buffer(b"".join([*parts, allow]))
    program = struct.pack("HxxxxxxP", len(parts) + 1, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and libc.syscall(_SECCOMP, _SET_FILTER, 0, program) == 0
    )


def _python(rooms: Sequence[str]) -> list[Path]:
    folders = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()}
    for entry in filter(None, sys.path):
        # Beside the rooms, where these run from a checkout, a venue keeps its data: only their code is read.
        checkout = (Path(entry) / "store" / "imports").is_dir()
        folders.update([str(Path(entry) / room) for room in rooms] if checkout else [entry])
    return [Path(name) for name in (*folders, *_SYSTEM)]


def _landlocked(readable: Sequence[Path], writable: Path | None) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    if version < 1:
        return False
    rights = (1 << _FILE_RIGHTS[min(version, 5)]) - 1
    attributes = struct.pack("=Q", rights)
    rules = libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if rules < 0:
        return False
    try:
        for path in (*readable, *([] if writable is None else [writable])):
            try:
                descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                allowed = _READ_FILE | (_READ_DIR if path.is_dir() else 0)
                if path == writable:
                    allowed |= _WRITE & rights
                rule = struct.pack("=Qi", allowed, descriptor)
                if libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, rule, 0) != 0:
                    return False
            finally:
                os.close(descriptor)
        return bool(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and libc.syscall(_RESTRICT_SELF, rules, 0) == 0)
    finally:
        os.close(rules)
