"""The books of a venue: uses and refunds by lease, the hours that they fall into, and the decayed mean of both."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.v1 import job_pb2
from scheduler import snapshot
from scheduler.commands import accounting, ending
from scheduler.decay import decayed
from tests.scheduler.site import Site, job, play

SUCCEEDED, FAILED = job_pb2.ATTEMPT_STATE_SUCCEEDED, job_pb2.ATTEMPT_STATE_FAILED
HALF_LIFE_S = 86_400.0


def used_share(site: Site, vendor: str = "acme") -> float:
    found = snapshot.vendors(site.core.read, site.clock.now_ns())
    return next(each.used_share for each in found if each.vendor == vendor)


def entries(site: Site) -> list[tuple[str, str, str, int]]:
    rows = site.rows("SELECT entry, cause, resource, amount_ms FROM ledger ORDER BY id")
    return [tuple(row) for row in rows]


async def run(site: Site, run_s: float, units: int = 1) -> None:
    """Have one job of acme hold units for a time."""
    body = await site.submit(
        job(units, claim={"units": [{"selector": {}, "count": units}], "duration": {"seconds": 604800}})
    )
    await site.settle()
    attempt = await site.start(body)
    site.clock.pass_s(run_s)
    await site.finish(attempt, SUCCEEDED)
    for row in site.rows("SELECT unit, epoch FROM lease_unit WHERE free_ns IS NULL"):
        await site.status(row["unit"], safe_epoch=row["epoch"])


def test_what_runs_counts_as_it_will_when_it_has_ended(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        body = await site.submit(
            job(2, claim={"units": [{"selector": {}, "count": 2}], "duration": {"seconds": 604800}})
        )
        await site.settle()
        attempt = await site.start(body)
        assert used_share(site) == 0.0
        site.clock.pass_s(2 * HALF_LIFE_S)
        # Two of three units for two half-lives: HTCondor's law.
        assert used_share(site) == pytest.approx(decayed(0.0, 2 / 3, 2 * HALF_LIFE_S, HALF_LIFE_S), rel=1e-9)
        await site.finish(attempt, SUCCEEDED)
        for unit in ("arm-1", "arm-2"):
            await site.status(unit, safe_epoch=1)
        assert used_share(site) == pytest.approx(0.5, rel=1e-9)
        site.clock.pass_s(HALF_LIFE_S)
        assert used_share(site) == pytest.approx(0.25, rel=1e-9)
        assert used_share(site, "rival") == 0.0

    play(tmp_path, scene)


def test_past_use_counts_for_the_vendor_and_its_group_too(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        for fields, vendor in (({"project": "legs"}, "acme"), ({}, "acme"), ({}, "rival")):
            await site.submit(job(1, **fields), vendor=vendor)
        await site.settle()
        site.clock.pass_s(HALF_LIFE_S)
        # Each holds a third of the units, for one half-life.
        expected = {"acme/legs": 1, "acme/-": 1, "acme": 2, "rival": 1, "labs": 3, "third": 0}
        assert {name: used_share(site, name) for name in expected} == pytest.approx(
            {name: count / 6 for name, count in expected.items()}
        )

    vendors = [{"id": "acme", "parent": "labs"}, {"id": "rival", "parent": "labs"}, {"id": "third"}]
    play(tmp_path, scene, group=[{"id": "labs"}], vendor=vendors, project=[{"id": "legs", "vendor": "acme"}])


def test_every_use_is_an_entry_and_falls_into_its_hours(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        await run(site, 7000.0, units=2)
        assert entries(site) == [("use", "", "unit", 14_000_000)]
        rows = site.rows("SELECT * FROM usage_hour ORDER BY hour")
        assert sum(row["used_ms"] for row in rows) == 14_000_000
        assert all(row["used_ms"] <= 2 * 3_600_000 and row["robot_class"] == "arm" for row in rows)
        first_hour = rows[0]["hour"]
        assert [row["hour"] for row in rows] == list(range(first_hour, first_hour + len(rows)))

    play(tmp_path, scene)


@pytest.mark.parametrize("reason", sorted(ending.VENUE_REASONS))
def test_what_the_venue_broke_is_given_back_since_the_last_checkpoint(tmp_path: Path, reason: str) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        body = await site.submit(job(1, 1))
        await site.settle()
        attempt = await site.start(body)
        site.clock.pass_s(30.0)
        row = site.row("SELECT * FROM attempt")
        await site.run(lambda tx: tx.db.execute("UPDATE attempt SET safe_ns = ?", (tx.now_ns,)))
        assert row["safe_ns"] is None
        site.clock.pass_s(10.0)
        await site.beat(attempt)
        failure = job_pb2.Failure(reason=reason, message="m", retryable=True)
        await site.finish(attempt, FAILED, failure=failure)
        site.clock.pass_s(2.0)
        await site.status("arm-1", safe_epoch=1)
        assert entries(site) == [
            ("use", "", "slot", 40_000), ("use", "", "unit", 42_000),
            ("refund", reason, "slot", 10_000), ("refund", reason, "unit", 12_000),
        ]  # fmt: skip
        hours = site.row("SELECT sum(used_ms), sum(refund_ms) FROM usage_hour")
        assert tuple(hours) == (82_000, 22_000)
        # Of three units one, for the 30 s that count, 12 s ago; the slots' share of two is larger.
        mean = decayed(decayed(0.0, 0.5, 30.0, HALF_LIFE_S), 0.0, 12.0, HALF_LIFE_S)
        assert used_share(site) == pytest.approx(mean, rel=1e-6)

    play(tmp_path, scene)


def test_who_fails_by_his_own_fault_pays(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        body = await site.submit(job(1))
        await site.settle()
        attempt = await site.start(body)
        site.clock.pass_s(5.0)
        failure = job_pb2.Failure(reason="WORK_FAILED", message="m", retryable=True)
        await site.finish(attempt, FAILED, failure=failure)
        await site.status("arm-1", safe_epoch=1)
        assert entries(site) == [("use", "", "unit", 5_000)]

    play(tmp_path, scene)


def test_a_lost_runner_costs_the_venue(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        body = await site.submit(job(0, 1))
        await site.settle()
        await site.start(body)
        site.clock.pass_s(5.0)
        await site.runner("r/two")
        assert entries(site) == [("use", "", "slot", 5_000), ("refund", "RUNNER_LOST", "slot", 5_000)]

    play(tmp_path, scene)


def test_another_half_life_counts_for_the_past_too(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        await run(site, 3 * 3600.0, units=3)
        site.clock.pass_s(3600.0)
        before = used_share(site)
        assert before == pytest.approx(decayed(decayed(0, 1, 10_800, HALF_LIFE_S), 0, 3600, HALF_LIFE_S), rel=1e-6)
        await site.run(accounting.adopt(3600.0))
        after = decayed(decayed(0.0, 1.0, 10_800.0, 3600.0), 0.0, 3600.0, 3600.0)
        # From the hours alone: within each hour the exact times are forgotten.
        assert used_share(site) == pytest.approx(after, rel=0.5)
        assert used_share(site) != pytest.approx(before, rel=0.1)
        await site.run(accounting.adopt(HALF_LIFE_S))
        assert used_share(site) == pytest.approx(before, rel=0.03)

    play(tmp_path, scene)


@settings(max_examples=15)
@given(
    plays=st.lists(
        st.tuples(
            st.integers(0, 2),
            st.integers(1, 2),
            st.floats(0.0, 9.0),
            st.sampled_from(["UNIT_FAULT", "WORK_FAILED", "RUNNER_LOST"]),
            st.floats(0.0, 3.0),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_no_refund_exceeds_its_use_and_books_agree_with_hours(
    tmp_path_factory: pytest.TempPathFactory, plays: list[tuple[int, int, float, str, float]]
) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        for units, slots, run_s, reason, rest_s in plays:
            body = await site.submit(job(units, slots))
            await site.settle()
            attempt = await site.start(body)
            site.clock.pass_s(run_s)
            await site.finish(attempt, FAILED, failure=job_pb2.Failure(reason=reason, message="m"))
            if site.get(body.name).state == job_pb2.JOB_STATE_QUEUED:
                await site.run(ending.cancel("acme", body.name.split("/")[3], ""))
            site.clock.pass_s(rest_s)
            for row in site.rows("SELECT unit, epoch FROM lease_unit WHERE free_ns IS NULL"):
                await site.status(row["unit"], safe_epoch=row["epoch"])
        sums = site.rows(
            """
            SELECT lease_id, resource, sum(amount_ms * (entry = 'use')) AS used,
              sum(amount_ms * (entry = 'refund')) AS refunded FROM ledger GROUP BY 1, 2
            """
        )
        assert all(row["refunded"] <= row["used"] for row in sums)
        hours = site.row("SELECT coalesce(sum(used_ms), 0), coalesce(sum(refund_ms), 0) FROM usage_hour")
        assert tuple(hours) == (sum(row["used"] for row in sums), sum(row["refunded"] for row in sums))
        assert 0.0 <= used_share(site) <= 1.0

    play(tmp_path_factory.mktemp("books"), scene)
