"""Fairness from the lease history: figures worked out by hand, and what must hold of any history."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.v1 import job_pb2
from scheduler import throughput
from scheduler.commands import running
from scheduler.fairness import command
from scheduler.fairness.history import report
from scheduler.fairness.metrics import Contention, Line, Report, entitlements, isolated_s, rho, service, union
from scheduler.replay.metrics import jain
from scheduler.state import Vendor
from tests.scheduler.site import FakeClock, Site, job, play

START_NS = int(datetime(2026, 11, 10, tzinfo=UTC).timestamp()) * 1_000_000_000


def test_service_is_the_dominant_share() -> None:
    """DRF's worked example (Ghodsi et al., 2011): of <9 CPU, 18 GB> A holds <3, 12> and B <6, 2>: 2/3 each."""
    assert service([3 * 60, 12 * 60], [9, 18], 60) == service([6 * 60, 2 * 60], [9, 18], 60) == pytest.approx(2 / 3)
    assert service([5.0], [0], 10.0) == 0.0


def test_entitlement_follows_who_wants_something() -> None:
    """A, twice B's weight, alone for an hour, then both for an hour, then B alone for two."""
    found = entitlements(
        {"A": [(0, 3600), (1800, 7200)], "B": [(3600, 14_400)]}, [Vendor("A", 2.0), Vendor("B")], (0, 14_400)
    )

    assert found["A"] == pytest.approx((1 + 2 / 3) / 4)
    assert found["B"] == pytest.approx((1 / 3 + 2) / 4)


def test_a_group_passes_its_share_on_to_those_of_it_who_want_something() -> None:
    tree = [Vendor("g"), Vendor("a", parent="g", weight=3.0), Vendor("b", parent="g"), Vendor("c")]
    both = entitlements({"a": [(0, 1)], "b": [(0, 1)], "c": [(0, 1)]}, tree, (0, 1))
    one = entitlements({"b": [(0, 1)], "c": [(0, 1)]}, tree, (0, 1))

    assert both == pytest.approx({"a": 3 / 8, "b": 1 / 8, "c": 1 / 2})
    assert one == pytest.approx({"b": 1 / 2, "c": 1 / 2})


spans = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=6)


@given(
    wanted=st.dictionaries(st.sampled_from("abcd"), spans), weights=st.lists(st.floats(0.1, 10), min_size=4, max_size=4)
)
def test_entitlements_add_up_to_the_time_in_which_anybody_wanted_something(
    wanted: dict[str, list[tuple[float, float]]], weights: list[float]
) -> None:
    parties = [
        Vendor(name, weight, parent="g" if name in "ab" else "") for name, weight in zip("abcd", weights, strict=True)
    ]
    found = entitlements(wanted, [*parties, Vendor("g")], (10.0, 90.0))

    busy = union((max(a, 10.0), min(b, 90.0)) for each in wanted.values() for a, b in each)
    assert sum(found.values()) == pytest.approx(sum(b - a for a, b in busy) / 80.0)


@given(lives=st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 50)).map(lambda p: (p[0], p[0] + p[1])), min_size=1))
def test_contention_is_the_mean_number_of_unfinished_jobs(lives: list[tuple[float, float]]) -> None:
    contention = Contention(lives)
    for start_s, end_s in lives:
        overlap_s = sum(max(0.0, min(b, end_s) - max(a, start_s)) for a, b in lives)
        assert contention.mean((start_s, end_s)) == pytest.approx(max(1.0, overlap_s / (end_s - start_s)))


def test_finish_time_fairness_by_hand() -> None:
    """Half the venue for an hour, against two contenders: alone on its half it would have run at once."""
    assert rho(3600, {"arm": (1.0, isolated_s(3600, 0.5, 2))}) == 1.0
    assert rho(7200, {"arm": (1.0, isolated_s(3600, 0.5, 2))}) == 2.0, "it waited an hour"
    assert rho(7200, {"arm": (1.0, isolated_s(3600, 0.5, 4))}) == 1.0, "a quarter would have served it half the time"


def test_among_unlike_classes_each_counts_with_its_probability() -> None:
    """Sia, equation 3: on the fast class (one unit in four) it would have taken half as long."""
    assert rho(3600, {"fast": (0.25, 1800.0), "slow": (0.75, 3600.0)}) == 0.25 * 2 + 0.75 * 1


def test_jain_says_how_equal() -> None:
    assert jain([1, 1, 1]) == 1.0
    assert jain([1, 0, 0, 0]) == 0.25


async def serve(
    site: Site, vendor: str, run_s: float, units: int = 1, outcome: int = job_pb2.ATTEMPT_STATE_SUCCEEDED
) -> job_pb2.Job:
    body = await site.submit(job(units), vendor=vendor)
    await site.settle()
    attempt = await site.start(body)
    site.clock.pass_s(run_s)
    failure = (
        {"failure": job_pb2.Failure(reason="RUNNER_LOST", retryable=False)}
        if outcome == job_pb2.ATTEMPT_STATE_LOST
        else {}
    )
    await site.beat(attempt)
    await site.finish(attempt, outcome, **failure)
    for row in site.rows("SELECT unit, epoch FROM lease_unit WHERE free_ns IS NULL"):
        await site.status(row["unit"], safe_epoch=row["epoch"])
    return body


def test_a_history_is_reported_as_it_was(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        start_s = site.clock.now_ns() / 1e9
        await serve(site, "acme", 300.0, units=3)
        await serve(site, "rival", 100.0, units=3)
        now_s = site.clock.now_ns() / 1e9
        found = report(site.core.read, (start_s, now_s), now_s)
        acme, rival = found.lines
        assert (acme.vendor, acme.service, acme.entitlement) == ("acme", pytest.approx(0.75), pytest.approx(0.75))
        assert (rival.vendor, rival.service, rival.entitlement) == ("rival", pytest.approx(0.25), pytest.approx(0.25))
        assert found.total.service == pytest.approx(1.0)
        assert (acme.jobs, acme.rho_mean, acme.unfair) == (1, pytest.approx(1.0), 0.0)
        assert found.jain_weighted == pytest.approx(jain([0.75, 0.25]))
        assert found.jain_entitled == pytest.approx(1.0)
        # Nobody is told of the other: two are too few.
        seen = command.seen_by("acme", found)
        assert "rival" not in command.as_json(seen) + command.as_table(seen)
        assert "total" not in json.loads(command.as_json(seen))

    play(tmp_path, scene)


def test_work_that_was_refunded_is_no_service(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        start_s = site.clock.now_ns() / 1e9
        body = await site.submit(job(3))
        await site.settle()
        attempt = await site.start(body)
        site.clock.pass_s(100.0)
        await site.run(running.save_checkpoint(attempt, "r/one", job_pb2.Artifact(sha256="a" * 64)))
        site.clock.pass_s(50.0)
        await site.beat(attempt)
        await site.finish(attempt, job_pb2.ATTEMPT_STATE_LOST)
        now_s = site.clock.now_ns() / 1e9
        (line,) = report(site.core.read, (start_s, now_s), now_s).lines
        assert line.service == pytest.approx(100 / 150)

    play(tmp_path, scene)


def test_a_vendor_sees_itself_and_a_total_without_names() -> None:
    lines = tuple(Line(name, 1.0, 0.2, 0.3, 1, 1.5, 1.5, 1.0) for name in ("acme", "rival", "third"))
    whole = Report(lines, Line("", 3.0, 0.6, 0.9, 3, 1.5, 1.5, 1.0), 1.0, 1.0)
    seen = command.seen_by("acme", whole)

    text = command.as_json(seen) + command.as_table(seen)
    assert not {"rival", "third"} & set(text.replace('"', " ").split())
    assert json.loads(command.as_json(seen))["total"]["service"] == 0.6
    with pytest.raises(ValueError, match="used and wanted nothing"):
        command.seen_by("nobody", whole)


def test_the_command_prints_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def scene() -> None:
        async with Site(tmp_path, FakeClock(START_NS)) as site:
            await site.connect()
            for vendor in ("acme", "rival", "third"):
                await serve(site, vendor, 60.0)

    import asyncio

    asyncio.run(scene())
    path, picture = str(tmp_path / "db"), tmp_path / "fairness.png"
    assert command.main([path, "--month", "2026-11", "--json", "--plot", str(picture)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [line["vendor"] for line in found["vendors"]] == ["acme", "rival", "third"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert command.main([path, "--month", "2026-11"]) == 0
    assert "Jain index" in capsys.readouterr().out
    assert command.main([path, "--month", "2026-11", "--vendor", "acme"]) == 0
    assert "rival" not in capsys.readouterr().out
    assert command.main([path, "--month", "2026-13"]) == 2
    assert command.main([path, "--month", "2026-11", "--vendor", "nobody"]) == 2
    assert command.main([str(tmp_path / "none")]) == 2
    assert "is no file" in capsys.readouterr().err


def test_throughput_is_pieces_per_thing_hour(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        from palaestra.v1 import episode_pb2, runner_service_pb2

        await site.connect()
        body = await site.submit(job(2))
        await site.settle()
        attempt = await site.start(body)
        for index in range(4):
            episode = episode_pb2.Episode(index=index)
            request = runner_service_pb2.CatalogueEpisodeRequest(attempt=attempt, instance="r/one", episode=episode)
            await site.run(running.catalogue(request))
        site.clock.pass_s(360.0)
        await site.beat(attempt)
        await site.finish(attempt, job_pb2.ATTEMPT_STATE_SUCCEEDED)
        # Four episodes in a tenth of an hour on two arms.
        assert throughput.measured(site.core.read) == {("collect sway", "arm"): pytest.approx(20.0)}
        assert throughput.measured(site.core.read, site.clock.now_ns() + 1) == {}

    play(tmp_path, scene)
