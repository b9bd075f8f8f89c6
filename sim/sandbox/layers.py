"""The layers between a model that may be anybody's and the machine. Linux only, and no root needed.

Each layer holds by itself, and a machine may refuse some of them: an old kernel, a container that allows no namespaces,
another architecture. A slot then goes on with the others and says so (`LeasedSlot.layers`, `python -m sim sandbox`).
"""

import ctypes
import os
import signal
import struct
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sim.errors import SlotDied
from sim.sandbox import landlock, seccomp

_ROOT = Path(__file__).resolve().parents[2]
_OWN = ("sim", "controller", "configs", "client/src")
"""What a slot reads of this software; not its root, below which a venue may keep its data."""
_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/etc/ld.so.cache")
_GRAPHICS = (
    "/usr/share/glvnd", "/etc/glvnd", "/usr/share/drirc.d", "/etc/drirc", "/sys/dev/char", "/sys/devices",
    "/proc/cpuinfo",
)  # fmt: skip
"""Which driver there is, how it is set, and for what machine: libglvnd's places, Mesa's, what the kernel says."""
_NEW_USER, _NEW_IPC, _NEW_NET = 0x10000000, 0x08000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CAPABILITIES = 0x20080522
"""_LINUX_CAPABILITY_VERSION_3 of `linux/capability.h`."""


@dataclass(frozen=True)
class Layer:
    """One thing that was given up, or why it could not be."""

    name: str
    holds: bool
    what: str


def readable(model: str) -> list[Path]:
    """Return what a slot has to read: the interpreter, this software, and the folder that its model is in, if any."""
    own = [_ROOT / name for name in _OWN]
    found = [Path(name) for name in (sys.prefix, sys.base_prefix, *_LIBRARIES)]
    # Where packages were found; relative ones, and this software's root, are not meant.
    found += [Path(name) for name in sys.path if os.path.isabs(name) and Path(name).resolve() != _ROOT]
    return [*own, *found, *([Path(model)] if model else [])]


def graphics() -> tuple[list[Path], list[Path]]:
    """Return what OpenGL has to read besides, and the devices that it draws with where a machine has some."""
    cards = [path for path in Path("/dev").glob("nvidia*") if not path.is_dir()]
    return [Path(name) for name in _GRAPHICS], [Path("/dev/dri"), *cards]


def enter(paths: Iterable[Path], devices: Iterable[Path] = ()) -> list[Layer]:
    """Give up what can be given up here, for good, and return how far that went.

    The process must have one thread. Paths are those that stay readable, devices those that it may go on to use; what
    is open stays open. Raises SlotDied where the process's parent has gone meanwhile.
    """
    parent = os.getppid()
    layers = [
        _layer("privileges", _no_new_privileges),
        _layer("namespaces", _namespaces),
        _layer("capabilities", _no_capabilities),
        _layer("landlock", lambda: landlock.restrict(paths, devices)),
        _layer("seccomp", seccomp.install),
    ]
    # Other credentials may have made the kernel forget with whom this process ends.
    _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SlotDied("the starter is gone already")
    return layers


def _layer(name: str, give_up: Callable[[], str]) -> Layer:
    try:
        return Layer(name, True, give_up())
    except OSError as error:
        return Layer(name, False, error.strerror or str(error))


def _no_new_privileges() -> str:
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return "no program that it could start gets more than it has"


def _namespaces() -> str:
    """A network of its own, without a single interface: nobody is reached, also by UDP, on loopback or in the house."""
    try:
        _call("unshare", _NEW_USER | _NEW_NET | _NEW_IPC)
    except OSError:
        # Whoever may do it without a user's namespace; no others.
        _call("unshare", _NEW_NET | _NEW_IPC)
        return "a network of its own, without interfaces"
    return "a user and a network of its own, without interfaces"


def _no_capabilities() -> str:
    """None of root's rights, also not in a namespace of its own, where more of the kernel would lie open to them."""
    header = struct.pack("Ii", _CAPABILITIES, 0)
    _call("capset", header, struct.pack("6I", 0, 0, 0, 0, 0, 0))
    return "none, whoever started it"


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
