"""The timed loop: calls a tick on an absolute schedule, counts what it could not keep, never catches up.

The same loop runs on a `WallClock` and on a `VirtualClock`. Tick k is due at start + k * period. A loop
that is late runs its tick at once; ticks whose whole period has passed by then are skipped and counted, for
a burst of ticks would act on stale measurements.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

LATENESS_EDGES_S: npt.NDArray[np.float64] = np.array([0.0, *np.logspace(-6, 0, 25)])
"""Histogram edges: on time, then four bins per decade from 1 us to 1 s."""


class Clock(Protocol):
    """A time that only grows."""

    def now_s(self) -> float:
        """Return the time [s] since some fixed moment."""
        ...

    def sleep_until(self, due_s: float) -> None:
        """Return when `now_s` has reached `due_s`; at once if it has."""
        ...


class VirtualClock:
    """Time that passes only when told to: sleeping takes no time, working takes what `advance` says."""

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s

    def now_s(self) -> float:
        """Return the virtual time."""
        return self._now_s

    def sleep_until(self, due_s: float) -> None:
        """Jump to `due_s`."""
        self._now_s = max(self._now_s, due_s)

    def advance(self, duration_s: float) -> None:
        """Let `duration_s` pass, which must be >= 0."""
        assert duration_s >= 0.0, duration_s
        self._now_s += duration_s


class WallClock:
    """The machine's monotonic clock: steps of the calendar clock do not reach it."""

    def __init__(self, *, spin_s: float = 0.0) -> None:
        """Spin instead of sleeping for the last `spin_s` (200e-6 is useful, and costs a core that much)."""
        self._spin_s = spin_s

    def now_s(self) -> float:
        """Return the monotonic time."""
        return time.monotonic()

    def sleep_until(self, due_s: float) -> None:
        """Sleep, then spin."""
        nap_s = due_s - self._spin_s - time.monotonic()
        if nap_s > 0.0:
            time.sleep(nap_s)
        while time.monotonic() < due_s:
            pass


@dataclass
class LoopReport:
    """What a loop kept and what it did not.

    Attributes:
        ticks: Ticks that ran.
        missed: Scheduled ticks that were skipped.
        lateness_count: Ticks per bin of `LATENESS_EDGES_S`; what is later than the last edge is in its bin.
        lateness_max_s: Worst lateness.
    """

    ticks: int = 0
    missed: int = 0
    lateness_max_s: float = 0.0
    lateness_count: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(LATENESS_EDGES_S) - 1, np.int64))

    def quantile_s(self, share: float) -> float:
        """Return the `share` quantile of lateness, rounded up to its bin's edge; 0.0 before any tick."""
        if self.ticks == 0:
            return 0.0
        reached = np.searchsorted(np.cumsum(self.lateness_count), share * self.ticks)
        return float(min(LATENESS_EDGES_S[reached + 1], self.lateness_max_s))

    def _note(self, lateness_s: float) -> None:
        index = int(np.searchsorted(LATENESS_EDGES_S, lateness_s, side="right")) - 1
        self.lateness_count[min(index, len(self.lateness_count) - 1)] += 1
        self.lateness_max_s = max(self.lateness_max_s, lateness_s)
        self.ticks += 1


class Loop:
    """Calls `tick(k)` for k = 0, 1, 2, ... at start + k * period_s; k jumps over missed ticks."""

    def __init__(self, period_s: float, tick: Callable[[int], Any], clock: Clock) -> None:
        """Make a loop; `period_s` must be finite and > 0 and does not change."""
        if not (math.isfinite(period_s) and period_s > 0.0):
            raise ValueError(f"period_s = {period_s!r}: must be finite and above 0")
        self.period_s = period_s
        self.report = LoopReport()
        self._tick = tick
        self._clock = clock
        self._stop = threading.Event()

    def run(self, ticks: int | None = None) -> LoopReport:
        """Run until `stop`, or until `ticks` scheduled ticks have passed, missed ones included.

        What `tick` raises ends the loop and is raised here.
        """
        clock, period_s = self._clock, self.period_s
        start_s = clock.now_s()
        k = 0
        while not self._stop.is_set() and (ticks is None or k < ticks):
            due_s = start_s + k * period_s
            clock.sleep_until(due_s)
            self.report._note(max(0.0, clock.now_s() - due_s))
            self._tick(k)
            following = self._next(k, clock.now_s() - start_s)
            last = following if ticks is None else min(following, ticks)
            self.report.missed += max(0, last - k - 1)
            k = following
        return self.report

    def stop(self) -> None:
        """Have `run` return after the tick that is under way. Any thread may call it, also before `run`."""
        self._stop.set()

    def _next(self, k: int, elapsed_s: float) -> int:
        """Return the next tick to run: k + 1, or the newest one that is due if later ones are due already."""
        return max(k + 1, math.floor(elapsed_s / self.period_s))
