"""A venue's own database: its past under any policy, and any of its decisions once more."""

import json
from pathlib import Path
from typing import Any

import pytest

from palaestra.v1 import job_pb2
from scheduler import snapshot
from scheduler.commands import recording
from scheduler.ground import decide_on
from scheduler.replay import command, database
from scheduler.replay.policy import POLICIES
from scheduler.replay.simulate import simulate
from scheduler.replay.workload import BadTrace
from scheduler.state import Config, Decisions
from tests.scheduler.site import Site, job, play

SUCCEEDED = job_pb2.ATTEMPT_STATE_SUCCEEDED


async def past(site: Site) -> None:
    """Two jobs of both slots, one of a unit, and one that still waits for a unit that is no more in order."""
    await site.connect()
    first = await site.submit(job(0, 2))
    second = await site.submit(job(0, 2), "rival")
    unit = await site.submit(job(1), "rival")
    await site.settle()
    started, on_unit = await site.start(first), await site.start(unit)
    site.clock.pass_s(8)
    await site.finish(on_unit, SUCCEEDED)
    await site.status("arm-1", safe_epoch=1)
    await site.beat(started)
    site.clock.pass_s(4)
    await site.finish(started, SUCCEEDED)
    await site.settle()
    started = await site.start(second)
    site.clock.pass_s(5)
    await site.finish(started, SUCCEEDED)
    await site.status("arm-2", fault="joint stuck")
    await site.submit(job(3))


def test_a_venues_past_is_replayed_with_its_claims_vendors_and_real_lengths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    play(tmp_path, past)
    workload = database.read(tmp_path / "db")

    assert [(one.vendor, one.procs, one.run_s, one.recorded_wait_s) for one in workload.jobs] == [
        ("acme", 2, 12.0, 0.0),
        ("rival", 2, 5.0, 12.0),
        ("rival", 1, 8.0, 0.0),
    ]
    assert (workload.procs, workload.dropped) == (5, 1)
    assert simulate(workload, POLICIES["easy"]) == (0.0, 12.0, 0.0)
    assert simulate(workload, POLICIES["fcfs"]) == (0.0, 12.0, 12.0)
    assert command.main([str(tmp_path / "db"), "--policy", "easy", "fcfs", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["policies"]
    assert list(told) == ["recorded", "easy", "fcfs"]
    assert told["recorded"]["wait_max_s"] == 12.0
    assert command.main([str(tmp_path / "db"), "--waits", str(tmp_path / "waits.csv")]) == 0
    assert (tmp_path / "waits.csv").read_text() == "job_id,wait_s\n1,0.0\n2,12.0\n3,0.0\n"


async def record(site: Site, config: Config) -> str:
    """Record what would be decided now."""

    def act(tx: Any) -> str:
        state = snapshot.load(tx.db, tx.now_ns, runner_ready=True)
        return recording.record(tx, state, config, decide_on(state, config))

    return await site.run(act)


def test_a_recorded_decision_is_made_again_to_the_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokens: list[str] = []

    async def scene(site: Site) -> None:
        # Nobody can carry jobs out yet, so all of them wait.
        await site.hello(units=("arm-1", "arm-2"))
        for vendor in ("acme", "rival", "acme"):
            await site.submit(job(1), vendor)
        tokens.append(await record(site, Config()))
        site.clock.pass_s(60)
        tokens.append(await record(site, Config()))

    play(tmp_path, scene)
    again = database.decide_again(tmp_path / "db", tokens[0])

    assert again.same
    assert len(json.loads(again.decisions)[0]) == 2
    assert database.decide_again(tmp_path / "db", tokens[1][:12]).recorded.token == tokens[1]
    assert command.main(["--decision", tokens[0], str(tmp_path / "db")]) == 0
    assert "True" in capsys.readouterr().out
    assert command.main(["--decision", tokens[1], str(tmp_path / "db"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["same_to_the_byte"] is True
    for unknown in ("0" * 64, tokens[0][:7], "zz" * 32, "%" * 8, tokens[0] + "0"):
        assert command.main(["--decision", unknown, str(tmp_path / "db")]) == 2


def test_a_decision_that_would_be_another_one_now_ends_with_code_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after a change of the code: what is recorded is not what the state leads to."""
    tokens: list[str] = []

    async def scene(site: Site) -> None:
        await site.hello(units=("arm-1",))
        await site.submit(job(1))
        state = snapshot.load(site.core.read, site.clock.now_ns(), runner_ready=True)
        assert decide_on(state, Config()) != Decisions()
        tokens.append(await site.run(lambda tx: recording.record(tx, state, Config(), Decisions())))

    play(tmp_path, scene)

    assert command.main(["--decision", tokens[0], str(tmp_path / "db")]) == 1
    assert "False" in capsys.readouterr().out


def test_only_the_latest_decisions_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "KEPT", 3)

    async def scene(site: Site) -> None:
        tokens = []
        for _ in range(5):
            site.clock.pass_s(1)
            tokens.append(await record(site, Config()))
        kept = [row["token"] for row in site.rows("SELECT token FROM decision ORDER BY id")]
        assert kept == tokens[2:]

    play(tmp_path, scene)


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"SQLite format 3\0" + b"x" * 5000])
def test_what_is_no_database_of_a_venue_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "db").write_bytes(content)

    with pytest.raises(BadTrace):
        database.decide_again(tmp_path / "db", "0" * 64)
    with pytest.raises(BadTrace):
        database.read(tmp_path / "db")
    assert command.main([str(tmp_path / "db")]) == 2


def test_a_venue_without_a_past_is_told_so(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()

    play(tmp_path, scene)

    with pytest.raises(BadTrace, match="no job"):
        database.read(tmp_path / "db")
