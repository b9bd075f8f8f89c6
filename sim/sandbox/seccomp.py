"""A filter for system calls (Linux, seccomp mode 2) that leaves a slot what computing needs.

What is refused gets EPERM and goes on: a library that tries something for its own comfort must not end the worlds.
A refused call can be no other process's business, no new process, no socket, no other root, no kernel module, no key.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Sequence

_SET_FILTER = 1
_FLAG_SPEC_ALLOW = 1 << 2
_SECCOMP = 317
_ARCH = 0xC000003E
"""AUDIT_ARCH_X86_64 of `linux/audit.h`. Other architectures number their calls otherwise: there is no filter there."""
_X32 = 0x40000000
_NR, _ARCH_AT, _ARG0 = 0, 4, 16
"""Where they are in `struct seccomp_data`; of an argument the lower half, on a little-endian machine."""
_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
"""BPF: load a word from the data; jump where the accumulator equals, is at least, has a bit of; return."""
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_CLONE_THREAD = 0x00010000

REFUSED: dict[str, int] = {
    # New processes and programs; threads come by `clone`, which is looked at more closely.
    "fork": 57, "vfork": 58, "execve": 59, "execveat": 322,
    # Other processes.
    "kill": 62, "tkill": 200, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297, "pidfd_open": 434,
    "pidfd_send_signal": 424, "pidfd_getfd": 438, "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311,
    "process_madvise": 440, "process_mrelease": 448, "kcmp": 312, "setpriority": 141, "ioprio_set": 251,
    "sched_setscheduler": 144, "sched_setparam": 142, "sched_setattr": 314, "migrate_pages": 256, "move_pages": 279,
    # Sockets, and memory and queues that have names.
    "socket": 41, "connect": 42, "accept": 43, "accept4": 288, "bind": 49, "listen": 50, "shmget": 29, "shmat": 30,
    "shmctl": 31, "semget": 64, "semctl": 66, "msgget": 68, "msgctl": 71, "mq_open": 240,
    # Another view of the machine.
    "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442,
    "open_by_handle_at": 304, "name_to_handle_at": 303, "mknod": 133, "mknodat": 259,
    # The kernel itself, and what opens much of it to whoever asks.
    "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "io_uring_setup": 425, "io_uring_enter": 426,
    "io_uring_register": 427, "add_key": 248, "request_key": 249, "keyctl": 250, "init_module": 175,
    "finit_module": 313, "delete_module": 176, "kexec_load": 246, "kexec_file_load": 320, "reboot": 169,
    "swapon": 167, "swapoff": 168, "acct": 163, "quotactl": 179, "syslog": 103, "iopl": 172, "ioperm": 173,
    "modify_ldt": 154, "personality": 135, "settimeofday": 164, "clock_settime": 227, "clock_adjtime": 305,
    "adjtimex": 159, "sethostname": 170, "setdomainname": 171,
    # Other users.
    "setuid": 105, "setgid": 106, "setreuid": 113, "setregid": 114, "setgroups": 116, "setresuid": 117,
    "setresgid": 119,
}  # fmt: skip
"""Numbers of x86-64 (`asm/unistd_64.h`)."""
_OWN_ALONE = {"prlimit64": 302, "sched_setaffinity": 203}
"""Their first argument is a process; 0 is the caller."""
_CLONE, _CLONE3, _TGKILL = 56, 435, 234


def install() -> str:
    """Filter this process's system calls from now on, and say so. Raises OSError where that cannot be."""
    load(refusing(REFUSED.values(), _looked_at(os.getpid())))
    return f"{len(REFUSED)} system calls refused: no new process or program, no socket, nothing to other processes"


def load(instructions: Sequence[bytes]) -> None:
    """Put a filter on this process. Raises OSError."""
    if platform.machine() != "x86_64":
        raise OSError(errno.ENOSYS, f"no filter for {platform.machine()}")
    code = b"".join(instructions)
    buffer = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: their number, and where they are.
    described = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_SECCOMP, _SET_FILTER, _FLAG_SPEC_ALLOW, described) != 0:
        raise OSError(ctypes.get_errno(), "seccomp: " + os.strerror(ctypes.get_errno()))


def refusing(numbers: Iterable[int], more: Iterable[bytes] = ()) -> list[bytes]:
    """Return a filter that refuses calls by number, then does what `more` says, and allows the rest."""
    found = [
        _op(_LD, _ARCH_AT),
        _op(_JEQ, _ARCH, 1, 0),
        _op(_RET, _KILL),
        _op(_LD, _NR),
        _op(_JGE, _X32, 0, 1),
        _DENIED,
    ]
    for number in numbers:
        found += [_op(_JEQ, number, 0, 1), _DENIED]
    return [*found, *more, _ALLOWED]


def _looked_at(pid: int) -> list[bytes]:
    """Return what the first argument decides, for the process of that number; the accumulator holds the call's."""
    # The C library then takes `clone`, whose flags can be seen.
    found = [_op(_JEQ, _CLONE3, 0, 1), _op(_RET, _ERRNO | errno.ENOSYS)]
    found += [_op(_JEQ, _CLONE, 0, 4), _op(_LD, _ARG0), _op(_JSET, _CLONE_THREAD, 0, 1), _ALLOWED, _DENIED]
    for number in _OWN_ALONE.values():
        found += [_op(_JEQ, number, 0, 4), _op(_LD, _ARG0), _op(_JEQ, 0, 0, 1), _ALLOWED, _DENIED]
    # `abort` and threads signal by it.
    return [*found, _op(_JEQ, _TGKILL, 0, 4), _op(_LD, _ARG0), _op(_JEQ, pid, 0, 1), _ALLOWED, _DENIED]


def _op(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("HBBI", code, then, otherwise, value)


_ALLOWED, _DENIED = _op(_RET, _ALLOW), _op(_RET, _ERRNO | errno.EPERM)
