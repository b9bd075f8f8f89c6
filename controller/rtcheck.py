"""Measures what this machine can promise a control loop: `python -m controller rt-check`.

The compiled loop and the Python loop take turns, alone and beside a thread of busy Python, in one run: what a
neighbour on the machine does to one he does to the others. Both drive one robot of 29 joints through the core
and a plant, and both ask for the same priority.
"""

import math
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from controller.cohort import Cohort
from controller.dry_robot import dry_robot
from controller.errors import CommandError
from controller.loop import EDGES_S, LoopReport, WallClock
from controller.machine import Machine, look, stolen_s
from controller.plants import JointPlant
from controller.realtime import LoopBackend, RealtimeLoop
from controller.realtime_library import loaded

JOINTS = 29
"""As a humanoid has, without hands (Unitree G1)."""

SPIN_S = 100e-6
"""How long the compiled loop spins before each tick: a twentieth of a core at 500 Hz."""

PRIORITY = 80
"""Above what asks for a priority without thought (50), below the kernel's own threads that must run (99)."""

SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}

RATES_HZ = (10, 20, 50, 100, 200, 250, 400, 500, 800, 1000, 2000, 4000, 5000, 8000, 10_000)
"""Control rates that are in use, for the verdict."""

SLICE_S = 0.5
"""How long one loop has its turn."""

TICKS_MIN = 3
"""Of each loop in a turn: fewer tell nothing."""


@dataclass
class Row:
    """One loop under one condition.

    Attributes:
        loop: "compiled" or "python".
        busy: Whether another Python thread was busy.
        report: What the loop kept, all turns together.
        unaccounted: Ticks that were due by the clock and neither ran nor were counted as missed. Must be 0.
        grants: What the system said to what was asked for.
    """

    loop: LoopBackend
    busy: bool
    report: LoopReport = field(default_factory=LoopReport)
    unaccounted: int = 0
    grants: Mapping[str, str] = field(default_factory=dict)

    def done_by_s(self, share: float) -> float:
        """Return by when after their moment that share of ticks were done: lateness and cost together."""
        if share >= 1.0:
            return self.report.lateness_max_s + self.report.cost_max_s
        return self.report.quantile_s(share) + self.report.cost_quantile_s(share)

    def figures(self) -> dict[str, Any]:
        """Return the row as plain figures."""
        report = self.report
        return {
            "loop": self.loop,
            "busy_python": self.busy,
            "ticks": report.ticks,
            "missed": report.missed,
            "unaccounted": self.unaccounted,
            "lateness_us": {name: _us(report.quantile_s(share)) for name, share in SHARES.items()},
            "cost_us": {name: _us(report.cost_quantile_s(share)) for name, share in SHARES.items()},
        }


@dataclass
class Check:
    """A whole measurement."""

    machine: Machine
    rate_hz: float
    rows: Sequence[Row]
    stolen_share: float | None

    def row(self, loop: LoopBackend, busy: bool) -> Row | None:
        """Return one loop's row; None where it was not measured."""
        return next((row for row in self.rows if row.loop == loop and row.busy == busy), None)

    def best(self) -> LoopBackend:
        """Return the loop that a host would run here."""
        return "compiled" if self.row("compiled", True) else "python"

    def ratio(self, share: float) -> float | None:
        """Return the compiled loop's lateness over the Python loop's, both beside busy Python, at `share`."""
        compiled, python = self.row("compiled", True), self.row("python", True)
        if compiled is None or python is None or not python.report.quantile_s(share):
            return None
        return compiled.report.quantile_s(share) / python.report.quantile_s(share)

    def held(self) -> dict[str, float | None]:
        """Return, for each of `SHARES`, the highest of `RATES_HZ` whose period that share of ticks kept to.

        A tick keeps to a period if it is done before the next one is due. Of both conditions the worse one
        counts. None where not even the lowest rate is kept.
        """
        mine = [row for row in self.rows if row.loop == self.best()]
        out: dict[str, float | None] = {}
        for name, share in SHARES.items():
            done_by_s = max(row.done_by_s(share) for row in mine)
            out[name] = max((rate for rate in RATES_HZ if done_by_s * rate < 1.0), default=None)
        return out

    def holds(self, share: float = 0.99) -> bool:
        """Return whether the rate asked for is kept by that share of ticks, missed ones counted."""
        for row in self.rows:
            if row.loop == self.best():
                kept = row.report.ticks >= share * row.report.due
                if not kept or row.done_by_s(share) * self.rate_hz >= 1.0:
                    return False
        return True

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain figures."""
        return {
            "machine": asdict(self.machine),
            "stolen_share": None if self.stolen_share is None else round(self.stolen_share, 4),
            "rate_hz": self.rate_hz,
            "grants": dict(self.rows[0].grants),
            "loops": [row.figures() for row in self.rows],
            "p99_ratio_to_python": self.ratio(0.99),
            "held_hz": self.held(),
            "verdict": verdict(self),
        }


def check(*, rate_hz: float, seconds: float, priority: int | None = PRIORITY) -> Check:
    """Measure for about `seconds` in all.

    Raises:
        CommandError: the rate or the time is not a number above 0, together they are too few ticks, or no clock keeps
            that rate.
    """
    if not (math.isfinite(seconds) and 0.0 < seconds <= 86_400.0):
        raise CommandError(f"seconds = {seconds!r}: must be above 0 and at most a day")
    if not (math.isfinite(rate_hz) and rate_hz > 0.0):
        raise CommandError(f"rate = {rate_hz!r}: must be a number of ticks per second above 0")
    loops: tuple[LoopBackend, ...] = ("compiled", "python") if loaded().handle is not None else ("python",)
    rows = [Row(loop, busy) for busy in (False, True) for loop in loops]
    if seconds * rate_hz < TICKS_MIN * len(rows):
        raise CommandError(
            f"rate = {rate_hz!r}: {seconds:g} s are too short for {TICKS_MIN} ticks of each of {len(rows)} loops"
        )
    rounds = max(1, round(seconds / (len(rows) * SLICE_S)))
    slice_s = max(seconds / (rounds * len(rows)), TICKS_MIN / rate_hz)
    begun_s, stolen_before_s = time.monotonic(), stolen_s()
    for _ in range(rounds):
        for row in rows:
            _turn(row, rate_hz, slice_s, priority)
    took_s, stolen_after_s = time.monotonic() - begun_s, stolen_s()
    machine = look()
    share = None
    if stolen_before_s is not None and stolen_after_s is not None:
        share = (stolen_after_s - stolen_before_s) / (took_s * machine.cores)
    return Check(machine, rate_hz, rows, share)


def verdict(check: Check) -> list[str]:
    """Return what it comes to, in sentences."""
    held = check.held()
    loop = {"compiled": "compiled loop", "python": "Python loop (no compiled one here)"}[check.best()]
    keeps = "keeps" if check.holds() else "does not keep"
    said = [
        f"{_rate(check.rate_hz)} is {'held' if check.holds() else 'NOT held'}:"
        f" the {loop} {keeps} it for 99 % of ticks, Python idle or busy.",
        "Highest usual rate that is kept: "
        + ", ".join(f"{_rate(rate) if rate else 'none'} {_words(name)}" for name, rate in held.items() if name != "p50")
        + ".",
    ]
    ratio = check.ratio(0.99)
    if ratio is not None:
        said.append(f"Beside busy Python its p99 lateness is {100 * ratio:.2g} % of a Python loop's.")
    lost = sum(row.unaccounted for row in check.rows)
    said.append(f"{'No tick' if not lost else f'{lost} ticks'} lost unaccounted.")
    return said + _doubts(check)


def _doubts(check: Check) -> list[str]:
    """Return what stands between this machine and a better promise."""
    machine, said = check.machine, []
    if machine.preemption != "PREEMPT_RT":
        said.append(f"The kernel is {machine.preemption}, not PREEMPT_RT: the worst tick seen is no bound.")
    if machine.virtual == "yes":
        stolen = "" if check.stolen_share is None else f" ({100 * check.stolen_share:.1f} % were stolen meanwhile)"
        said.append(f"A hypervisor is below and may take the processor away at any time{stolen}.")
    grants = check.rows[0].grants
    for what, remedy in (
        ("SCHED_FIFO", "grant CAP_SYS_NICE or raise the rtprio limit"),
        ("LOCKED_MEMORY", "grant CAP_IPC_LOCK or raise the memlock limit"),
    ):
        if grants.get(what, "granted") != "granted":
            said.append(f"{what} {grants[what]}: {remedy}.")
    if machine.governor not in ("performance", "unknown"):
        said.append(f"The processor's governor is {machine.governor}: 'performance' wakes faster.")
    return said


def table(check: Check) -> str:
    """Return facts, figures and verdict as text."""
    lines = [f"{name.replace('_', ' '):22} {value}" for name, value in asdict(check.machine).items()]
    lines += [f"{name:22} {answer}" for name, answer in check.rows[0].grants.items()]
    lines += ["", f"lateness of ticks at {_rate(check.rate_hz)}, one robot of {JOINTS} joints [us]"]
    heads = "".join(f"{name:>10}" for name in SHARES)
    lines.append(f"{'loop':10}{'Python':10}{heads}{'cost p99':>10}{'ticks':>9}{'missed':>8}{'lost':>6}")
    for row in check.rows:
        report = row.report
        late = "".join(f"{_us(report.quantile_s(share)):>10}" for share in SHARES.values())
        lines.append(
            f"{row.loop:10}{'busy' if row.busy else 'idle':10}{late}{_us(report.cost_quantile_s(0.99)):>10}"
            f"{report.ticks:>9}{report.missed:>8}{row.unaccounted:>6}"
        )
    return "\n".join([*lines, "", *verdict(check)])


def draw(checks: Sequence[Check], path: Path) -> None:
    """Draw histograms of lateness, and how many ticks were later than what: one row of pictures per rate.

    Raises:
        OSError: the file cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, grid = plt.subplots(len(checks), 2, figsize=(12, 4.2 * len(checks)), layout="constrained", squeeze=False)
    colours = {"compiled": "#1f6f8b", "python": "#c0562f"}
    for (left, right), check in zip(grid, checks, strict=True):
        period_us = 1e6 / check.rate_hz
        latest_us = 3e6 * max(row.report.lateness_max_s for row in check.rows)
        for row in check.rows:
            label = f"{row.loop} loop, Python {'busy' if row.busy else 'idle'}"
            style = {"color": colours[row.loop], "linestyle": "-" if row.busy else ":", "label": label}
            _curves(left, right, row.report, style)
        for axes in (left, right):
            axes.axvline(period_us, color="#888888", linewidth=0.8)
            axes.text(period_us, 0.99, " one period", transform=axes.get_xaxis_transform(), va="top", fontsize=8)
            axes.set(xscale="log", yscale="log", xlabel="lateness [µs]", xlim=(0.05, max(2.0 * period_us, latest_us)))
            axes.grid(alpha=0.3)
        left.set(title=f"lateness of ticks at {_rate(check.rate_hz)}", ylabel="share of ticks, per bin")
        right.set(title="share that was later than that, or missed", ylabel="share of ticks that were due")
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _curves(left: Any, right: Any, report: LoopReport, style: Mapping[str, Any]) -> None:
    # Four bins in one: an eighth of a doubling is finer than the eye needs. Missed ticks were never on time.
    edges_us = EDGES_S[::4] * 1e6
    count = report.lateness_count.reshape(-1, 4).sum(axis=1)
    due = max(1, report.due)
    left.stairs(count / due, edges_us, baseline=None, **style)
    later = 1.0 - count.cumsum() / due
    seen = later > 0.5 / due
    right.step(edges_us[1:][seen], later[seen], where="post", **style)


def _turn(row: Row, rate_hz: float, slice_s: float, priority: int | None) -> None:
    cohort = Cohort(dry_robot(JOINTS), 1, 1.0 / rate_hz)
    # Spinning in Python keeps the GIL from others and is no faster: the Python loop sleeps.
    clock = WallClock(spin_s=min(SPIN_S, 0.1 / rate_hz) if row.loop == "compiled" else 0.0)
    loop = RealtimeLoop(
        cohort, JointPlant(cohort), clock=clock, priority=priority, lock_memory=row.loop == "compiled", backend=row.loop
    )
    loop.start()
    with _busy_python(row.busy):
        time.sleep(slice_s)
        asked_s = clock.now_s()
    start_s = loop.snapshot().start_s
    row.grants = loop.grants()
    report = loop.stop(brake=False)
    ended_s = clock.now_s()
    row.report.add(report)
    # What had wholly passed when the stop was asked for must be accounted for, and nothing that was never due.
    lost = max(0, math.floor((asked_s - start_s) * rate_hz) - report.due)
    invented = max(0, report.due - 1 - math.floor((ended_s - start_s) * rate_hz))
    row.unaccounted += lost + invented


@contextmanager
def _busy_python(wanted: bool) -> Any:
    """Have another thread compute in Python meanwhile."""
    ends = threading.Event()

    def compute() -> None:
        number = 1
        while not ends.is_set():
            for _ in range(1000):
                number = number * 1103515245 % 2147483647

    thread = threading.Thread(target=compute, daemon=True)
    if wanted:
        thread.start()
    try:
        yield
    finally:
        ends.set()
        if wanted:
            thread.join()


def _us(seconds: float) -> float:
    return round(seconds * 1e6, 1)


def _rate(rate_hz: float) -> str:
    return f"{rate_hz:g} Hz"


def _words(name: str) -> str:
    return "in the worst tick" if name == "max" else f"at {name}"
