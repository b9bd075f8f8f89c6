"""What a process gives up before it looks at what was shared. Without the layers that matter it looks at nothing."""

import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sim.sandbox import enter, readable

NEEDED = frozenset({"privileges", "landlock", "seccomp"})
"""No more rights by starting a program; no file but the software; no process, socket or signal. Namespaces and
capabilities are given up too where the machine allows it, and everything holds without them."""
_GRACE_S = 2
_ROOM = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Limits:
    """Bounds of one confined process.

    Attributes:
        memory_bytes: Address space beyond the parcel.
        cpu_s: Processor time [s].
        time_s: How long it may take altogether [s].
        answer_bytes: How much it may say.
    """

    memory_bytes: int = 2 << 30
    cpu_s: int = 60
    time_s: float = 120.0
    answer_bytes: int = 1 << 20


def stand(limits: Limits, parcel_bytes: int, also: Sequence[Path] = ()) -> None:
    """Put up every fence around this process, for good. The process has one thread.

    Args:
        also: What else stays readable.

    Raises:
        RuntimeError: A layer that is needed does not hold on this machine.
    """
    for kind, most in (
        (resource.RLIMIT_AS, limits.memory_bytes + parcel_bytes),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        _, hard = resource.getrlimit(kind)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        # At the softer bound of time a signal tells why the process ends; one that does not heed it is killed.
        grace = _GRACE_S if kind == resource.RLIMIT_CPU else 0
        resource.setrlimit(kind, (bound, bound + grace if hard == resource.RLIM_INFINITY else bound))
    held = {layer.name for layer in enter([*readable(""), _ROOM, *also]) if layer.holds}
    if missing := sorted(NEEDED - held):
        raise RuntimeError(f"this machine does not hold {', '.join(missing)}")
