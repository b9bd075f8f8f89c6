"""Fences of Linux's Landlock: what a process may read, and that it may write nothing and reach nobody.

Numbers and structures are those of `linux/landlock.h`; the calls have the same numbers on all architectures. What a
kernel does not know yet is left out, and said.
"""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1
_WRITE_FILE, _READ_FILE, _READ_DIR, _IOCTL_DEV = 1 << 1, 1 << 2, 1 << 3, 1 << 15
_FILES_SINCE = {1: 1 << 13, 2: 1 << 14, 3: 1 << 15, 5: 1 << 16}
"""Below which bit a version knows rights of files: to refer since 2, to truncate since 3, devices' ioctl since 5."""
_TCP, _TCP_SINCE = 0b11, 4
_SCOPES, _SCOPES_SINCE = 0b11, 6
"""Abstract sockets and signals of processes outside."""


def restrict(readable: Iterable[Path], devices: Iterable[Path] = ()) -> str:
    """Fence this process in and say what that means. Raises OSError where the kernel has no Landlock.

    readable: Files and folders, with all below, that it may read; what is not there is passed over.
    devices: Devices that it may use.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION)
    if version < 1:
        raise _error("no Landlock")
    rights = _FILES_SINCE[max(since for since in _FILES_SINCE if since <= version)] - 1
    tcp = _TCP if version >= _TCP_SINCE else 0
    scopes = _SCOPES if version >= _SCOPES_SINCE else 0
    # A kernel takes a longer structure than its own if the rest is zero.
    attributes = struct.pack("QQQ", rights, tcp, scopes)
    ruleset = libc.syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        raise _error("Landlock made no ruleset")
    try:
        for path in readable:
            _allow(libc, ruleset, path, _READ_FILE)
        for path in devices:
            _allow(libc, ruleset, path, (_READ_FILE | _WRITE_FILE | _IOCTL_DEV) & rights)
        if libc.syscall(_RESTRICT, ruleset, 0) != 0:
            raise _error("Landlock did not restrict")
    finally:
        os.close(ruleset)
    parts = ["reads software and its model alone, writes no file"]
    parts += ["no TCP"] * bool(tcp)
    parts += ["no signals or abstract sockets to others"] * bool(scopes)
    return f"version {version}: {', '.join(parts)}"


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights |= _READ_DIR if stat.S_ISDIR(os.fstat(fd).st_mode) else 0
        if libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, fd), 0) != 0:
            raise _error(f"Landlock took no rule for {path}")
    finally:
        os.close(fd)


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
