"""The timed loop: calls a tick on an absolute schedule, counts what it could not keep, never catches up.

The same loop runs on a `WallClock` and on a `VirtualClock`. Tick k is due at start + k * period. A loop
that is late runs its tick at once; ticks whose whole period has passed by then are skipped and counted, for
a burst of ticks would act on stale measurements.

Time is counted in whole nanoseconds, so that a schedule has no rounding and `controller/realtime.c`, which is
this loop without Python, keeps the same one to the last tick.
"""

import ctypes
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from controller.errors import CommandError

NS_PER_S = 1_000_000_000

PERIOD_MIN_S, PERIOD_MAX_S = 1e-6, 3600.0
"""A shorter period is not told from none by any clock; a longer one is a mistake in the unit."""

BINS = 272
"""Of a histogram of durations: 1 ns wide up to 16 ns, then eight in each doubling; the last ends at 69 s."""


def bin_of(duration_ns: int) -> int:
    """Return the histogram bin of a duration [ns], >= 0; what is longer than the last bin is in it.

    The bin is read off the highest bits (HdrHistogram's way): no bin is wider than an eighth of what is in it.
    """
    if duration_ns < 8:
        return duration_ns
    doubling = duration_ns.bit_length() - 4
    return min(BINS - 1, 8 * doubling + (duration_ns >> doubling))


def _edge_ns(index: int) -> int:
    doubling = max(0, index // 8 - 1)
    return (index - 8 * doubling) << doubling


EDGES_S: npt.NDArray[np.float64] = np.array([_edge_ns(index) for index in range(BINS + 1)]) / NS_PER_S
"""Where the bins begin, and where the last one ends, shape (BINS + 1,)."""


class Clock(Protocol):
    """A time that only grows."""

    def now_s(self) -> float:
        """Return the time [s] since some fixed moment."""
        ...

    def now_ns(self) -> int:
        """Return the same time [ns]."""
        ...

    def sleep_until_ns(self, due_ns: int) -> None:
        """Return when `now_ns` has reached `due_ns`; at once if it has."""
        ...


class VirtualClock:
    """Time that passes only when told to: sleeping takes no time, working takes what `advance` says."""

    def __init__(self, start_s: float = 0.0) -> None:
        # In memory that a compiled loop shares: both see and move the same time.
        self.cell = ctypes.c_int64(round(start_s * NS_PER_S))

    def now_s(self) -> float:
        """Return the virtual time [s]."""
        return self.cell.value / NS_PER_S

    def now_ns(self) -> int:
        """Return the virtual time [ns]."""
        return self.cell.value

    def sleep_until_ns(self, due_ns: int) -> None:
        """Jump to `due_ns`."""
        self.cell.value = max(self.cell.value, due_ns)

    def advance(self, duration_s: float) -> None:
        """Let `duration_s` pass, which must be >= 0."""
        assert duration_s >= 0.0, duration_s
        self.cell.value += round(duration_s * NS_PER_S)


class WallClock:
    """The machine's monotonic clock: steps of the calendar clock do not reach it."""

    def __init__(self, *, spin_s: float = 0.0) -> None:
        """Spin instead of sleeping for the last `spin_s` (200e-6 is useful, and costs a core that much).

        Raises:
            CommandError: `spin_s` is not finite or below 0.
        """
        if not (math.isfinite(spin_s) and spin_s >= 0.0):
            raise CommandError(f"spin_s = {spin_s!r}: must be finite and at least 0")
        self.spin_ns = round(spin_s * NS_PER_S)

    def now_s(self) -> float:
        """Return the monotonic time [s]."""
        return time.monotonic_ns() / NS_PER_S

    def now_ns(self) -> int:
        """Return the monotonic time [ns]."""
        return time.monotonic_ns()

    def sleep_until_ns(self, due_ns: int) -> None:
        """Sleep, then spin."""
        nap_ns = due_ns - self.spin_ns - time.monotonic_ns()
        if nap_ns > 0:
            time.sleep(nap_ns / NS_PER_S)
        while time.monotonic_ns() < due_ns:
            pass


@dataclass
class LoopReport:
    """What a loop kept and what it did not.

    Attributes:
        ticks: Ticks that ran, the one under way included.
        missed: Scheduled ticks that were skipped. `ticks + missed` is what was due: none is lost.
        lateness_count: Ticks per bin of `EDGES_S`, shape (BINS,): how long after its moment each one began.
        lateness_max_s: Worst lateness.
        cost_count: The same for how long each tick took.
        cost_max_s: Longest tick.
    """

    ticks: int = 0
    missed: int = 0
    lateness_max_s: float = 0.0
    cost_max_s: float = 0.0
    lateness_count: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    cost_count: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))

    @property
    def due(self) -> int:
        """Ticks that were due: those that ran and those that were missed."""
        return self.ticks + self.missed

    def quantile_s(self, share: float) -> float:
        """Return the `share` quantile of lateness, rounded up to its bin's edge; 0.0 before any tick."""
        return _quantile_s(self.lateness_count, share, self.lateness_max_s)

    def cost_quantile_s(self, share: float) -> float:
        """Return the `share` quantile of a tick's cost, rounded up to its bin's edge; 0.0 before any tick."""
        return _quantile_s(self.cost_count, share, self.cost_max_s)

    def add(self, other: "LoopReport") -> None:
        """Count what another loop kept as well."""
        self.ticks += other.ticks
        self.missed += other.missed
        self.lateness_count += other.lateness_count
        self.cost_count += other.cost_count
        self.lateness_max_s = max(self.lateness_max_s, other.lateness_max_s)
        self.cost_max_s = max(self.cost_max_s, other.cost_max_s)

    def _begun(self, lateness_ns: int) -> None:
        self.lateness_count[bin_of(lateness_ns)] += 1
        self.lateness_max_s = max(self.lateness_max_s, lateness_ns / NS_PER_S)
        self.ticks += 1

    def _done(self, cost_ns: int) -> None:
        self.cost_count[bin_of(cost_ns)] += 1
        self.cost_max_s = max(self.cost_max_s, cost_ns / NS_PER_S)


def _quantile_s(count: npt.NDArray[np.int64], share: float, largest_s: float) -> float:
    total = int(count.sum())
    if total == 0:
        return 0.0
    reached = int(np.searchsorted(np.cumsum(count), share * total))
    return float(min(EDGES_S[reached + 1], largest_s))


class Loop:
    """Calls `tick(k)` for k = 0, 1, 2, ... at start + k * period_s; k jumps over missed ticks."""

    def __init__(
        self,
        period_s: float,
        tick: Callable[[int], Any],
        clock: Clock,
        *,
        on_missed: Callable[[int], Any] = lambda missed: None,
    ) -> None:
        """Make a loop; `on_missed` is told how many ticks were skipped, before the next one runs.

        Raises:
            CommandError: `period_s` is not a number from 1 us to an hour.
        """
        self.period_ns = period_ns(period_s)
        self.period_s = period_s
        self.report = LoopReport()
        self._tick = tick
        self._on_missed = on_missed
        self._clock = clock
        self._stop = threading.Event()
        self.start_ns: int | None = None
        """When the schedule began, on the clock [ns]."""

    def run(self, ticks: int | None = None) -> LoopReport:
        """Run until `stop`, or until `ticks` more scheduled ticks have passed, missed ones included.

        The schedule begins with the first `run`; a later one goes on with it.

        What `tick` raises ends the loop and is raised here.
        """
        clock, period, report = self._clock, self.period_ns, self.report
        start_ns = self.start_ns = clock.now_ns() if self.start_ns is None else self.start_ns
        end = None if ticks is None else report.due + ticks
        while True:
            # Also before the end: what was missed until then is accounted for.
            missed = newest_due(report.due, clock.now_ns() - start_ns, period, end) - report.due
            if missed:
                report.missed += missed
                self._on_missed(missed)
            k = report.due
            if k == end or self._stop.is_set():
                break
            due_ns = start_ns + k * period
            clock.sleep_until_ns(due_ns)
            begin_ns = clock.now_ns()
            report._begun(max(0, begin_ns - due_ns))
            self._tick(k)
            report._done(clock.now_ns() - begin_ns)
        return report

    def stop(self) -> None:
        """Have `run` return after the tick that is under way. Any thread may call it, also before `run`."""
        self._stop.set()


def newest_due(k: int, elapsed_ns: int, period_ns: int, end: int | None) -> int:
    """Return the tick to run next, of which k is the first: the newest that is due if later ones are due already.

    The ticks between are missed. None at or after `end` is scheduled.
    """
    newest = max(k, elapsed_ns // period_ns)
    return newest if end is None else min(newest, max(k, end))


def period_ns(period_s: float) -> int:
    """Return a control period in whole nanoseconds.

    Raises:
        CommandError: it is not a number from `PERIOD_MIN_S` to `PERIOD_MAX_S`.
    """
    if not (math.isfinite(period_s) and PERIOD_MIN_S <= period_s <= PERIOD_MAX_S):
        raise CommandError(f"period_s = {period_s!r}: must be a number from {PERIOD_MIN_S} to {PERIOD_MAX_S}")
    return round(period_s * NS_PER_S)
