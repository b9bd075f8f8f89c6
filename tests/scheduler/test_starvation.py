"""Nobody starves: every wait is within the bound that docs/replay.md states, whatever others submit."""

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.replay.simulate import simulate
from scheduler.replay.starvation import HOUR_S, STREAMS, Stream, bounds_s, venue, workload
from scheduler.replay.workload import TraceJob, Workload
from scheduler.state import Config

UNPLANNED = replace(Config(), hold_after_s=inf, flow_max_s=inf)


def longest_s(jobs: Workload, waits_s: tuple[float, ...], work: str) -> float:
    return max(wait_s for job, wait_s in zip(jobs.jobs, waits_s, strict=True) if job.user == work)


@pytest.mark.parametrize("hours", [200, pytest.param(1_000, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_every_wait_among_gangs_and_floods_is_within_its_bound(hours: float) -> None:
    """The bound of each, and what that comes to at these loads: within a day, however large the claim."""
    jobs = workload(hours)
    waits_s = simulate(jobs, Config())

    assert len(jobs.jobs) > 30 * hours
    assert {job.user for job in jobs.jobs} == {stream.work for stream in STREAMS}
    assert all(wait_s <= bound_s for wait_s, bound_s in zip(waits_s, bounds_s(jobs, waits_s, Config()), strict=True))
    assert max(waits_s) < 24 * HOUR_S


def test_without_planned_starts_gangs_starve_so_the_bound_says_something() -> None:
    jobs = workload(60)
    waits_s = simulate(jobs, UNPLANNED)

    assert longest_s(jobs, waits_s, "whole venue") > 40 * HOUR_S
    assert any(wait_s > bound_s for wait_s, bound_s in zip(waits_s, bounds_s(jobs, waits_s, Config()), strict=True))


arrivals = st.tuples(st.integers(0, 40_000), st.sampled_from(STREAMS), st.floats(0.05, 1.0))


@given(st.lists(arrivals, min_size=1, max_size=60), st.sampled_from([0.0, 30.0, 7_200.0]))
@settings(max_examples=40, deadline=None)
def test_the_bound_holds_whatever_comes(rows: list[tuple[int, Stream, float]], hold_after_s: float) -> None:
    rows.sort(key=lambda row: row[0])
    jobs = Workload(
        1,
        tuple(
            TraceJob(n, time_s, part * stream.claim.duration_s, 1, stream.claim.duration_s, stream.work,
                     stream.claim, stream.vendor)
            for n, (time_s, stream, part) in enumerate(rows)
        ),
        venue=venue(),
    )  # fmt: skip
    config = Config(hold_after_s=hold_after_s)
    waits_s = simulate(jobs, config)

    assert all(wait_s <= bound_s for wait_s, bound_s in zip(waits_s, bounds_s(jobs, waits_s, config), strict=True))
