"""Expected starts and what-if on the live state, through the whole server and in a site whose time the test moves."""

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson

from palaestra.errors import PalaestraError
from palaestra.v1 import (
    estimate_pb2,
    estimate_service_pb2,
    estimate_service_pb2_grpc,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
)
from scheduler import foresight
from scheduler.calibration import JOBS_MIN
from scheduler.commands import running, telling
from scheduler.commands.submitting import Catalogue
from scheduler.core import RunnerConnection
from scheduler.forecast import Expectation
from scheduler.guard import _caller
from scheduler.identity import Identity, Role
from scheduler.services.jobs import JobService
from scheduler.snapshot import past
from tests.scheduler.site import PATIENCE_S, LiveServer, Site, error_of, job, play, refusal

ACME = Identity(Role.VENDOR, "acme")


async def explain(site: Site, name: str, who: Identity = ACME) -> job_service_pb2.ExplainJobResponse:
    _caller.set(who)
    return await JobService(site.core).ExplainJob(job_service_pb2.ExplainJobRequest(name=name), None)


async def what_if(site: Site, body: job_pb2.Job, vendor: str = "acme") -> job_service_pb2.WhatIfResponse:
    _caller.set(Identity(Role.VENDOR, vendor))
    request = job_service_pb2.WhatIfRequest(parent=f"vendors/{vendor}", job=body)
    return await JobService(site.core).WhatIf(request, None)


async def run_to_end(site: Site, body: job_pb2.Job, after_s: float) -> None:
    """Let a granted job succeed after a time; its units rest at once."""
    attempt = await site.start(body)
    for _ in range(int(after_s // 5)):
        site.clock.pass_s(5.0)
        await site.beat(attempt)
    await site.finish(attempt, job_pb2.ATTEMPT_STATE_SUCCEEDED)
    for row in site.rows("SELECT lu.unit, lu.epoch FROM lease_unit lu WHERE lu.free_ns IS NULL"):
        await site.status(row["unit"], safe_epoch=row["epoch"], motion=1)
    await site.settle()


def lease_end_ns(site: Site) -> int:
    return int(site.row("SELECT max(end_by_ns) FROM lease WHERE end_ns IS NULL")[0])


def test_a_job_behind_a_long_lease_is_planned_for_its_end_and_expected_by_then(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        await site.submit(job(3), "rival")
        await site.settle()
        waiting = await site.submit(job(3))
        await site.settle()
        start = (await explain(site, waiting.name)).start

        assert start.planned_time.ToNanoseconds() == lease_end_ns(site)
        now_ns = site.clock.now_ns()
        assert now_ns < start.p50_time.ToNanoseconds() <= start.p90_time.ToNanoseconds() <= lease_end_ns(site)

    play(tmp_path, scene)


def test_past_leases_that_ended_early_bring_the_expected_start_forward(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        for _ in range(22):
            short = await site.submit(job(3), "rival")
            await site.settle()
            await run_to_end(site, short, 60.0)
        await site.submit(job(3), "rival")
        await site.settle()
        waiting = await site.submit(job(1))
        start = (await explain(site, waiting.name)).start

        wait_s = (start.p90_time.ToNanoseconds() - site.clock.now_ns()) / 1e9
        assert 50 <= wait_s <= 75
        assert start.planned_time.ToNanoseconds() == lease_end_ns(site)

    play(tmp_path, scene)


def test_lengths_of_what_had_to_make_room_are_not_learnt_from(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        for _ in range(20):
            short = await site.submit(job(3), "rival")
            await site.settle()
            await run_to_end(site, short, 60.0)
        drawn = past.ratios(site.core.read).draw("rival", 0.0, random.Random(0))
        assert drawn == pytest.approx(0.1)
        await site.run(lambda tx: tx.db.execute("UPDATE attempt SET preempt_ns = 1 WHERE job_id = 1"))

        assert past.ratios(site.core.read).draw("rival", 0.0, random.Random(0)) == 1.0

    play(tmp_path, scene)


def test_a_change_that_is_told_and_then_submitted_starts_when_told(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        await site.submit(job(1), "rival")
        await site.settle()
        told = await what_if(site, job(3))
        assert not told.starts_now
        first = told.start.counterfactuals[0]
        assert first.start_time.ToNanoseconds() == site.clock.now_ns()
        assert first.start_time.ToNanoseconds() < told.start.planned_time.ToNanoseconds()

        changed = job(3)
        changed.claim.CopyFrom(first.claim)
        assert (await what_if(site, changed)).starts_now
        accepted = await site.submit(changed)
        await site.settle()

        assert site.get(accepted.name).grant_time == first.start_time

    play(tmp_path, scene)


def test_what_if_submits_nothing_and_is_refused_as_a_job_would_be(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        events = site.row("SELECT max(seq) FROM event")[0]
        assert (await what_if(site, job(1))).starts_now

        assert (await refusal(what_if(site, job(9)))).reason == "IMPOSSIBLE_CLAIM"
        assert (await refusal(what_if(site, job(1, model="no_such")))).reason == "UNKNOWN_SELECTOR"
        assert (await refusal(what_if(site, job(1, project="nope")))).reason == "INVALID_FIELD"
        assert site.row("SELECT count(*) FROM job WHERE vendor = 'acme'")[0] == 0
        assert site.row("SELECT max(seq) FROM event")[0] == events

    play(tmp_path, scene)


def test_a_job_that_would_wait_for_another_is_told_so_and_no_time(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        before = await site.submit(job(3))
        told = await what_if(site, job(1, after=[before.name]))

        assert told.reasons[0].constraint == "DEPENDENCY"
        assert before.name in told.summary
        assert not told.HasField("start")

    play(tmp_path, scene)


def test_with_too_many_jobs_ahead_no_quantile_is_told(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        await site.submit(job(3), "rival")
        await site.settle()
        for _ in range(257):
            await site.submit(job(1))
        told = await what_if(site, job(1))

        assert told.jobs_ahead >= 256
        assert not told.HasField("start")

    play(tmp_path, scene)


def test_what_is_told_names_no_other_vendor(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        # Of three units, two are held: with one less, the job could start.
        theirs = [await site.submit(job(2, display_name="secret"), "rival")]
        await site.settle()
        theirs += [await site.submit(job(3, display_name="secret"), "rival") for _ in range(2)]
        waiting = await site.submit(job(2, 1, cell="assembly"))
        for answer in (await explain(site, waiting.name), await what_if(site, job(2, cell="assembly"))):
            text = MessageToJson(answer)
            assert answer.start.counterfactuals
            for word in ("rival", "third", "secret", *(body.name.split("/")[-1] for body in theirs)):
                assert word not in text
            assert answer.jobs_ahead <= 1

    play(tmp_path, scene)


def test_of_others_only_the_time_matters_that_they_hold_what_is_wanted(tmp_path: Path) -> None:
    """Whichever vendor holds the units, under whatever name, the answer is the same."""
    answers = []

    async def scene(site: Site, vendor: str, label: str) -> None:
        await site.connect()
        await site.submit(job(3, display_name=label, labels={"k": label}), vendor)
        await site.settle()
        answers.append(await what_if(site, job(1)))

    for vendor, label in (("rival", "one"), ("third", "another")):
        folder = tmp_path / vendor
        folder.mkdir()
        play(folder, lambda site, v=vendor, w=label: scene(site, v, w))  # type: ignore[misc]

    assert answers[0] == answers[1]


def test_a_sampled_job_is_told_once_and_its_real_wait_is_kept(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        ahead = site.core.foresight
        assert not await ahead.tell_one(site.run)
        running_job = await site.submit(job(3), "rival")
        await site.settle()
        waiting = await site.submit(job(3))
        await site.settle()
        assert await ahead.tell_one(site.run)
        assert not await ahead.tell_one(site.run)
        told = site.row("SELECT * FROM told_start")
        assert (told["told_ns"], told["wait_s"]) == (site.clock.now_ns(), None)
        assert 0 < told["p50_s"] <= told["p90_s"]

        await run_to_end(site, running_job, 100.0)
        assert site.get(waiting.name).state == job_pb2.JOB_STATE_GRANTED
        assert site.row("SELECT wait_s FROM told_start")["wait_s"] == pytest.approx(100.0)

    play(tmp_path, scene)


def test_what_starts_at_once_is_not_told_of(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        await site.core.foresight.tell_one(site.run)
        await site.submit(job(1))
        await site.settle()

        assert not await site.core.foresight.tell_one(site.run)
        assert not await site.run(telling.tell(1, Expectation(site.clock.now_ns(), True, 0, 0.0, 0.0, 0.0, 0.0)))

    play(tmp_path, scene)


def test_calibration_is_told_from_thirty_jobs_on(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        await site.submit(job(3), "rival")
        await site.settle()
        for count in range(JOBS_MIN):
            assert site.core.calibration().jobs == 0
            body = await site.submit(job(1))
            row = site.row("SELECT id FROM job ORDER BY id DESC LIMIT 1")
            expected = Expectation(site.clock.now_ns(), False, None, 10.0, 40.0, 8.0, 30.0)
            assert await site.run(telling.tell(row["id"], expected))
            site.clock.pass_s(5.0 if count < 15 else 20.0 if count < 27 else 100.0)
            await site.run(lambda tx, job_id=row["id"]: telling.started(tx, [job_id]))
            assert body.name
        held = site.core.calibration()

        assert (held.jobs, held.p50_held, held.p90_held) == (30, 0.5, 0.9)
        # 15 waited 5 s less than the P50, 12 10 s more, 3 90 s more.
        assert held.p50_pinball_s == pytest.approx((15 * 2.5 + 12 * 5 + 3 * 45) / 30)
        assert held.p90_pinball_s == pytest.approx((15 * 3.5 + 12 * 2 + 3 * 54) / 30)

    play(tmp_path, scene)


def test_two_look_ahead_at_a_time_and_one_of_each_vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        await site.submit(job(3), "rival")
        await site.settle()
        waiting = await site.submit(job(3))
        release = asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow(*arguments: Any, **named: Any) -> Any:
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result(PATIENCE_S)
            return real(*arguments, **named)

        real = foresight.forecast
        monkeypatch.setattr(foresight, "forecast", slow)
        first, second = (asyncio.create_task(what_if(site, job(3), vendor)) for vendor in ("acme", "rival"))
        while len(site.core.foresight._askers) < 2:
            await asyncio.sleep(0.01)
        for vendor in ("acme", "third"):
            error = await refusal(what_if(site, job(3), vendor))
            assert (error.reason, error.retry_after_s) == ("FORECAST_BUSY", foresight.RETRY_AFTER_S)
        # Who asks why is answered all the same, without a time.
        answer = await explain(site, waiting.name)
        assert answer.reasons
        assert not answer.HasField("start")
        # The place of a caller that has gone is taken until its thread is done.
        first.cancel()
        await asyncio.sleep(0)
        assert (await refusal(what_if(site, job(3), "third"))).reason == "FORECAST_BUSY"
        release.set()
        assert (await second).start.HasField("planned_time")
        while site.core.foresight._askers:
            await asyncio.sleep(0.01)

    play(tmp_path, scene)


def test_who_is_out_of_time_tells_what_it_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foresight, "PATIENCE_S", 1e-9)

    async def scene(site: Site) -> None:
        await site.connect()
        await site.submit(job(3), "rival")
        await site.settle()
        told = await what_if(site, job(3))

        assert told.start.planned_time.ToNanoseconds() == lease_end_ns(site)
        assert not told.start.HasField("p50_time")

    play(tmp_path, scene)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("ahead")) as server:
        server.run(running.register_runner("r", "r/one", 2))
        server.core.runners["r"] = RunnerConnection("r/one", Catalogue())
        yield server


def test_over_the_wire_a_vendor_learns_when_a_simulated_job_would_start(live: LiveServer) -> None:
    jobs = job_service_pb2_grpc.JobServiceStub(live.channel)  # type: ignore[no-untyped-call]
    request = job_service_pb2.WhatIfRequest(parent="vendors/acme", job=job(0, 2))
    options = {"timeout": PATIENCE_S, "metadata": live.metadata("vendor-acme")}
    assert jobs.WhatIf(request, **options).starts_now

    submitted = jobs.SubmitJob(job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=job(0, 1)), **options)
    live.until(
        lambda: jobs.GetJob(job_service_pb2.GetJobRequest(name=submitted.name), **options),
        lambda found: found.state == job_pb2.JOB_STATE_GRANTED,
    )
    told = jobs.WhatIf(request, **options)
    assert not told.starts_now
    assert told.start.planned_time.ToNanoseconds() > time.time_ns()
    assert any(one.claim.sim_slots == 1 for one in told.start.counterfactuals)


def test_a_vendor_asks_what_if_for_itself_alone(live: LiveServer) -> None:
    jobs = job_service_pb2_grpc.JobServiceStub(live.channel)  # type: ignore[no-untyped-call]

    def ask(parent: str, who: str) -> PalaestraError:
        request = job_service_pb2.WhatIfRequest(parent=parent, job=job(0, 1))
        return error_of(
            lambda: jobs.WhatIf(request, timeout=PATIENCE_S, metadata=live.metadata(who)),
        )

    assert ask("vendors/rival", "vendor-acme").reason == "NOT_FOUND"
    assert ask("vendors/nobody", "vendor-acme").reason == "NOT_FOUND"
    assert ask("vendors/acme", "operator").reason == "ROLE_DENIED"


def test_everybody_may_ask_how_good_estimates_are(live: LiveServer) -> None:
    estimates = estimate_service_pb2_grpc.EstimateServiceStub(live.channel)  # type: ignore[no-untyped-call]
    request = estimate_service_pb2.GetEstimateCalibrationRequest(parent="venues/-")
    for who in ("vendor-acme", "operator"):
        found = estimates.GetEstimateCalibration(request, timeout=PATIENCE_S, metadata=live.metadata(who))
        assert found == estimate_pb2.EstimateCalibration()
