"""Wall time that does not jump: read once, then carried on by the monotonic clock.

A clock that is set while we run changes nothing until the next start. Then times that were written down before would be
wrong by as much, so each start leaves an anchor: how far the clock is from the time since boot, which nobody sets.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Clocks are kept in step by less than this, which no lease minds.
STEP_MIN_NS = 1_000_000_000
# By how much the clocks of scheduler, hosts and runner may run faster or slower than each other. Quartz is a thousand
# times better; what runs this badly is a virtual machine that is starved.
DRIFT_MAX = 0.05


@dataclass(frozen=True)
class Anchor:
    """A clock's distance from the time since a boot [ns]. boot: which, "" if that cannot be known."""

    boot: str
    offset_ns: int

    def to_bytes(self) -> bytes:
        return json.dumps([self.boot, self.offset_ns]).encode()

    @classmethod
    def from_bytes(cls, body: bytes) -> "Anchor":
        boot, offset_ns = json.loads(body)
        return cls(boot, offset_ns)


def jump_ns(before: Anchor | None, now: Anchor) -> int:
    """Return by how much the clock was set between two starts of one boot; 0 if that was nothing or is not known."""
    if before is None or not now.boot or before.boot != now.boot:
        return 0
    found = now.offset_ns - before.offset_ns
    return found if abs(found) >= STEP_MIN_NS else 0


def _since_boot_ns() -> int:
    # Unlike the monotonic clock it goes on while the machine sleeps. Not everywhere.
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _boot() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


class Clock:
    """Gives ns since the epoch; a clock that is set while we run cannot grant early or expire a lease."""

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        since_boot_ns: Callable[[], int] = _since_boot_ns,
        boot: Callable[[], str] = _boot,
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._offset_ns = wall_ns() - monotonic_ns()
        self._anchor = Anchor(boot(), wall_ns() - since_boot_ns())

    def now_ns(self) -> int:
        return self._monotonic_ns() + self._offset_ns

    def anchor(self) -> Anchor:
        """Return where this clock was anchored when it was read."""
        return self._anchor
