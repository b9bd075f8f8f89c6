"""Clocks that are set or run badly: nothing is granted early, and no lease is lost or outlives its time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.grants import Offer, expire, receive
from palaestra.v1 import job_pb2
from scheduler.clock import DRIFT_MAX, Anchor, Clock, jump_ns
from scheduler.commands import ending
from tests.scheduler.site import TTL_S, FakeClock, Site, job, play

HOUR_S = 3600.0
JUMPS = [HOUR_S, -HOUR_S]


class Quartz:
    """The clocks of a machine: `pass_s` for all, `set_by_s` for the one on the wall."""

    def __init__(self) -> None:
        self.wall, self.monotonic, self.boot = 1_700_000_000_000_000_000, 5_000_000_000, 9_000_000_000

    def pass_s(self, duration_s: float) -> None:
        passed = int(duration_s * 1e9)
        self.wall, self.monotonic, self.boot = self.wall + passed, self.monotonic + passed, self.boot + passed

    def set_by_s(self, jump_s: float) -> None:
        self.wall += int(jump_s * 1e9)

    def start(self, boot: str = "one") -> Clock:
        return Clock(lambda: self.wall, lambda: self.monotonic, lambda: self.boot, lambda: boot)


@pytest.mark.parametrize("jump_s", JUMPS)
def test_a_clock_that_is_set_while_we_run_changes_nothing(jump_s: float) -> None:
    quartz = Quartz()
    clock = quartz.start()
    before = clock.now_ns()
    quartz.set_by_s(jump_s)
    quartz.pass_s(2.0)

    assert clock.now_ns() - before == 2_000_000_000


@given(st.lists(st.tuples(st.booleans(), st.integers(-(10**6), 10**6)), max_size=10))
def test_what_is_passed_between_two_starts_is_no_jump_and_what_is_set_is(steps: list[tuple[bool, int]]) -> None:
    quartz = Quartz()
    before = quartz.start().anchor()
    for is_set, amount_s in steps:
        if is_set:
            quartz.set_by_s(amount_s)
        else:
            quartz.pass_s(abs(amount_s))
    total_s = sum(amount_s for is_set, amount_s in steps if is_set)
    now = quartz.start().anchor()

    assert jump_ns(before, now) == total_s * 10**9
    assert jump_ns(Anchor.from_bytes(before.to_bytes()), now) == total_s * 10**9
    assert jump_ns(before, quartz.start("another boot").anchor()) == 0
    assert jump_ns(None, now) == 0
    unknown = quartz.start("").anchor()
    assert jump_ns(unknown, unknown) == 0


def test_a_machines_own_clocks_give_an_anchor_that_stays() -> None:
    one = Clock()
    time.sleep(0.01)
    other = Clock()

    assert jump_ns(one.anchor(), other.anchor()) == 0
    assert abs(one.now_ns() - time.time_ns()) < 10**9


def restarted(folder: Path, before: Callable[[Site], Awaitable[object]], after: Callable[[Site], Awaitable[object]],
              jump_s: float, away_s: float = 1.0) -> None:  # fmt: skip
    """Play two scenes, between which the scheduler was away and the clock was set."""
    clock = FakeClock()

    async def act() -> None:
        async with Site(folder, clock) as site:
            await before(site)
        clock.pass_s(away_s)
        clock.set_by_s(jump_s)
        async with Site(folder, clock) as site:
            await site.hello(units=("arm-1", "arm-2", "arm-3"))
            await site.runner()
            await after(site)

    asyncio.run(act())


@pytest.mark.parametrize("jump_s", JUMPS)
def test_no_lease_is_lost_or_lasts_longer_when_the_clock_was_set_between_two_starts(
    tmp_path: Path, jump_s: float
) -> None:
    """A job of ten minutes has used one of them; the runner beats on, and after nine it is over, not before."""
    attempts = []

    async def before(site: Site) -> None:
        await site.connect()
        body = await site.submit(job())
        await site.settle()
        attempts.append(await site.start(body))
        await beats(site, 60.0)

    async def beats(site: Site, duration_s: float) -> None:
        for _ in range(int(duration_s / 3)):
            await site.sweep(3.0)
            await site.beat(*attempts)

    async def after(site: Site) -> None:
        await beats(site, 530.0)
        assert [row["state"] for row in site.rows("SELECT state FROM attempt")] == [2], "it runs on"
        await beats(site, 15.0)
        assert [row["state"] for row in site.rows("SELECT state FROM attempt")] == [4], "its duration is over"
        await site.status("arm-1", safe_epoch=1)
        (used,) = site.rows("SELECT amount_ms FROM ledger WHERE entry = 'use'")
        assert abs(used["amount_ms"] - 600_000) < 10_000, "and what it used is what it had"

    restarted(tmp_path, before, after, jump_s)


@pytest.mark.parametrize("jump_s", JUMPS)
def test_a_back_off_is_as_long_as_it_should_be_though_the_clock_was_set(tmp_path: Path, jump_s: float) -> None:
    async def before(site: Site) -> None:
        await site.connect()
        body = await site.submit(job(max_attempts=9))
        for _ in range(6):
            await site.settle()
            attempt = await site.start(body)
            broke = job_pb2.Failure(reason="WORK_FAILED", message="it broke", retryable=True)
            await site.finish(attempt, job_pb2.ATTEMPT_STATE_FAILED, failure=broke)
            await site.status("arm-1", safe_epoch=site.row("SELECT epoch FROM unit WHERE id = 'arm-1'")["epoch"])
            left_ns = site.row("SELECT not_before_ns FROM job")["not_before_ns"] - site.clock.now_ns()
            if left_ns < 7e9:
                site.clock.pass_s(left_ns / 1e9)

    async def after(site: Site) -> None:
        await site.sweep(4.0)
        assert site.row("SELECT state FROM job")["state"] == job_pb2.JOB_STATE_QUEUED, "not early"
        await site.sweep(5.0)
        assert site.row("SELECT state FROM job")["state"] == job_pb2.JOB_STATE_GRANTED, "nor late"

    restarted(tmp_path, before, after, jump_s)


def test_time_that_really_passed_while_the_scheduler_was_away_counts(tmp_path: Path) -> None:
    async def before(site: Site) -> None:
        await site.connect()
        body = await site.submit(job())
        await site.settle()
        await site.start(body)

    async def after(site: Site) -> None:
        await site.sweep(1.0)
        assert [row["state"] for row in site.rows("SELECT state FROM attempt")] == [4], "its ten minutes are over"

    restarted(tmp_path, before, after, 0.0, away_s=700.0)


@pytest.mark.parametrize("ttl_s", [2.0, 10.0, 120.0])
@pytest.mark.parametrize("rate", [1 - DRIFT_MAX, 1.0, 1 + DRIFT_MAX])
def test_no_cell_is_free_while_a_host_with_a_bad_clock_may_still_move_its_unit(
    tmp_path: Path, ttl_s: float, rate: float
) -> None:
    """The host's own rule, with the host's own clock; it has lost its connection and can confirm nothing."""

    async def scene(site: Site) -> None:
        await site.connect()
        await site.start(await granted(site))
        row = site.row("SELECT u.unit, u.epoch, l.uid, l.expire_ns FROM lease_unit u JOIN lease l ON l.id = u.lease_id")
        ttl_told_s = (row["expire_ns"] - site.clock.now_ns()) / 1e9
        offer = Offer(row["unit"], row["uid"], row["epoch"], b"", ttl_told_s)
        # It reaches the host late, and counts from there.
        late_s = 0.5
        held = receive({}, [offer], highest={row["unit"]: 0}, now_s=late_s * rate).held
        passed_s = 0.0
        while site.rows("SELECT 1 FROM lease_cell WHERE lease_id = 1 AND free_ns IS NULL"):
            await site.sweep(ttl_s / 50)
            passed_s += ttl_s / 50
            assert passed_s < 3 * ttl_s + 5, "it is free at some time"
        assert expire(held, now_s=passed_s * rate).held == {}, "the host let go before"

    play(tmp_path, scene, scheduler={"lease_ttl_s": ttl_s})


async def granted(site: Site) -> job_pb2.Job:
    body = await site.submit(job(cell="assembly"))
    await site.settle()
    return body


@pytest.mark.parametrize("rate", [1 - DRIFT_MAX, 1 + DRIFT_MAX])
def test_no_lease_is_lost_by_a_runner_whose_clock_runs_badly(tmp_path: Path, rate: float) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        attempt = await site.start(await granted(site))
        for _ in range(100):
            await site.sweep(TTL_S / 3 / rate)
            assert await site.beat(attempt) == []

    play(tmp_path, scene)


def test_the_margin_of_a_slow_clock_grows_with_the_time_to_live(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        margin_s = await site.run(ending._stop_margin_s)
        assert margin_s == ending.STOP_MARGIN_S + DRIFT_MAX * 200.0

    play(tmp_path, scene, scheduler={"lease_ttl_s": 200.0})
