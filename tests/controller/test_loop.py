"""The loop keeps an absolute schedule and accounts for what it could not keep."""

import threading
import time

import numpy as np
import pytest

from controller import CommandError
from controller.loop import EDGES_S, Loop, VirtualClock, WallClock


def test_on_time_every_tick_runs_once_at_its_moment() -> None:
    clock = VirtualClock(5.0)
    moments: list[tuple[int, float]] = []
    report = Loop(0.002, lambda k: moments.append((k, clock.now_s())), clock).run(1000)

    assert [k for k, _ in moments] == list(range(1000))
    assert max(abs(now_s - (5.0 + 0.002 * k)) for k, now_s in moments) < 1e-9
    assert (report.ticks, report.missed) == (1000, 0)
    assert report.lateness_count.sum() == 1000
    assert report.lateness_max_s < 1e-9


@pytest.mark.parametrize(
    ("stall_periods", "missed", "late_periods"), [(0.5, 0, 0.0), (1.3, 0, 0.3), (2.3, 1, 0.3), (10.6, 9, 0.6)]
)
def test_a_stall_skips_what_it_cost_and_never_catches_up(
    stall_periods: float, missed: int, late_periods: float
) -> None:
    """Tick 3 takes that many periods: later ticks run once each, on the old schedule."""
    clock = VirtualClock()
    ran: list[int] = []

    def tick(k: int) -> None:
        ran.append(k)
        if k == 3:
            clock.advance(stall_periods * 0.01)

    report = Loop(0.01, tick, clock).run(40)

    assert ran == [0, 1, 2, 3, *range(4 + missed, 40)]
    assert report.missed == missed
    assert report.ticks + report.missed == 40
    assert report.lateness_max_s == pytest.approx(late_periods * 0.01, abs=1e-9)
    assert report.lateness_count[1:].sum() == (1 if late_periods else 0)


def test_a_stall_over_the_end_counts_only_scheduled_ticks() -> None:
    clock = VirtualClock()
    report = Loop(0.01, lambda k: clock.advance(1.0), clock).run(10)

    assert (report.ticks, report.missed) == (1, 9)


def test_every_tick_too_long_misses_every_other_one() -> None:
    clock = VirtualClock()
    report = Loop(0.01, lambda k: clock.advance(0.0199), clock).run(100)

    assert report.ticks + report.missed == 100
    assert report.ticks == pytest.approx(51, abs=2)


def test_the_histogram_bins_and_quantiles_hold_what_was_late() -> None:
    clock = VirtualClock()
    report = Loop(1.0, lambda k: clock.advance(1.25 if k % 2 == 0 else 0.5), clock).run(100)
    bin_index = int(np.searchsorted(EDGES_S, 0.25)) - 1

    assert report.lateness_count[bin_index] == 50
    assert report.quantile_s(0.25) < 1e-5
    assert report.quantile_s(0.99) == pytest.approx(0.25)


def test_a_tick_that_raises_ends_the_loop() -> None:
    def tick(k: int) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        Loop(0.01, tick, VirtualClock()).run(10)


@pytest.mark.parametrize("period_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_period_that_is_none_is_refused(period_s: float) -> None:
    with pytest.raises(CommandError, match="period_s"):
        Loop(period_s, lambda k: None, VirtualClock())


@pytest.mark.parametrize("spin_s", [0.0, 200e-6])
def test_the_wall_clock_runs_the_same_loop_and_stops_when_told(spin_s: float) -> None:
    """No tick runs before its time and none is unaccounted; another thread ends it."""
    clock = WallClock(spin_s=spin_s)
    early: list[float] = []
    ran: list[int] = []
    start_s = clock.now_s()

    def tick(k: int) -> None:
        early.append(start_s + k * 0.002 - clock.now_s())
        ran.append(k)

    loop = Loop(0.002, tick, clock)
    thread = threading.Thread(target=loop.run)
    thread.start()
    while len(ran) < 20:
        time.sleep(0.001)
    loop.stop()
    thread.join(timeout=10.0)

    assert not thread.is_alive()
    assert max(early) <= 0.0
    assert loop.report.ticks == len(ran)
    assert ran[-1] + 1 <= loop.report.ticks + loop.report.missed
