"""Making room: a lease is asked to end, ends in good order or is ended, costs its vendor nothing, and goes on later."""

from pathlib import Path

import pytest

from palaestra.v1 import episode_pb2, job_pb2, runner_service_pb2
from scheduler.commands import ending, granting, preempting, running
from scheduler.standing import Standing
from scheduler.state import Cause, Config, Decisions, Preemption
from tests.scheduler.site import Site, job, play, refusal

QUEUED, GRANTED, RUNNING, CANCELLED = (
    job_pb2.JOB_STATE_QUEUED,
    job_pb2.JOB_STATE_GRANTED,
    job_pb2.JOB_STATE_RUNNING,
    job_pb2.JOB_STATE_CANCELLED,
)
GRACE_S = 8.0


async def under_way(site: Site, units: int = 1, slots: int = 1) -> tuple[job_pb2.Job, str]:
    await site.connect()
    body = await site.submit(job(units, slots))
    await site.settle()
    return body, await site.start(body)


async def preempt(site: Site, cause: Cause = Cause.GUARANTEE, lease: int = 1) -> bool:
    return await site.run(preempting.preempt(Preemption(lease, cause, 7), GRACE_S))


def refunds(site: Site) -> dict[str, int]:
    rows = site.rows("SELECT resource, amount_ms, cause FROM ledger WHERE entry = 'refund'")
    assert {row["cause"] for row in rows} <= {"PREEMPTED"}
    return {row["resource"]: row["amount_ms"] for row in rows}


def test_who_makes_room_in_time_waits_again_unharmed(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        body, attempt = await under_way(site)
        assert await preempt(site)
        assert site.get(body.name).state == RUNNING
        (assignment,) = site.assigned()
        assert (assignment.cancel_requested, assignment.stop_grace.seconds) == (True, 8)
        assert await site.beat(attempt) == [attempt], "the heartbeat tells too"
        site.clock.pass_s(2.0)
        site.core.runners.clear()
        await site.finish(attempt, job_pb2.ATTEMPT_STATE_CANCELLED)
        found = site.get(body.name)
        assert (found.state, found.create_time) == (QUEUED, body.create_time)
        assert found.attempts[0].failure.reason == "PREEMPTED"
        assert found.attempts[0].state == job_pb2.ATTEMPT_STATE_FAILED
        row = site.row("SELECT * FROM job")
        assert (row["failed_count"], row["lost_count"]) == (0, 0)
        assert row["not_before_ns"] == site.clock.now_ns() + ending.YIELD_S * 1e9, "the same pause each time"
        await site.finish(attempt, job_pb2.ATTEMPT_STATE_CANCELLED)
        assert site.get(body.name).state == QUEUED, "a repeat changes nothing"

    play(tmp_path, scene)


@pytest.mark.parametrize("cause", list(Cause))
def test_why_is_told_but_not_for_whom(tmp_path: Path, cause: Cause) -> None:
    async def scene(site: Site) -> None:
        await under_way(site)
        await preempt(site, cause)
        message = site.row("SELECT message FROM event WHERE kind = 'job.preempted'")["message"]
        assert preempting.WHY[cause] in message
        assert "7" not in message

    play(tmp_path, scene)


def test_who_does_not_make_room_is_ended_after_the_grace(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        body, attempt = await under_way(site)
        await preempt(site)
        site.clock.pass_s(GRACE_S - 0.5)
        await site.beat(attempt)
        await site.sweep()
        assert site.get(body.name).state == RUNNING
        site.core.runners.clear()
        await site.sweep(1.0)
        found = site.get(body.name)
        assert (found.state, found.attempts[-1].failure.reason) == (QUEUED, "PREEMPTED")
        late = await refusal(site.finish(attempt, job_pb2.ATTEMPT_STATE_SUCCEEDED))
        assert late.reason == "ATTEMPT_NOT_ACTIVE"

    play(tmp_path, scene)


def test_what_was_done_since_the_checkpoint_is_given_back(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        _, attempt = await under_way(site)
        site.clock.pass_s(4.0)
        checkpoint = job_pb2.Artifact(sha256="a" * 64)
        await site.run(running.save_checkpoint(attempt, "r/one", checkpoint))
        site.clock.pass_s(3.0)
        await preempt(site)
        site.clock.pass_s(1.0)
        site.core.runners.clear()
        await site.finish(attempt, job_pb2.ATTEMPT_STATE_CANCELLED)
        await site.status("arm-1", safe_epoch=1)
        assert refunds(site) == {"unit": 4_000, "slot": 4_000}
        used = site.row("SELECT sum(amount_ms) FROM ledger WHERE entry = 'use'")[0]
        assert used == 16_000
        await site.runner()
        await site.sweep(ending.YIELD_S)
        (assignment,) = site.assigned()
        assert assignment.checkpoint == checkpoint, "it goes on from there"
        assert not assignment.cancel_requested

    play(tmp_path, scene)


def test_a_sealed_episode_is_kept_and_paid_for(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        _, attempt = await under_way(site, slots=0)
        site.clock.pass_s(5.0)
        episode = episode_pb2.Episode(index=0)
        await site.run(
            running.catalogue(
                runner_service_pb2.CatalogueEpisodeRequest(attempt=attempt, instance="r/one", episode=episode)
            )
        )
        site.clock.pass_s(1.0)
        await preempt(site)
        await site.finish(attempt, job_pb2.ATTEMPT_STATE_CANCELLED)
        await site.status("arm-1", safe_epoch=1)
        assert refunds(site) == {"unit": 1_000}

    play(tmp_path, scene)


def test_who_succeeds_within_the_grace_has_succeeded_and_pays(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        body, attempt = await under_way(site)
        await preempt(site)
        site.clock.pass_s(1.0)
        await site.finish(attempt, job_pb2.ATTEMPT_STATE_SUCCEEDED)
        await site.status("arm-1", safe_epoch=1)
        assert site.get(body.name).state == job_pb2.JOB_STATE_SUCCEEDED
        assert refunds(site) == {}

    play(tmp_path, scene)


def test_what_no_runner_has_begun_makes_room_at_once(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        body = await site.submit(job(1))
        await site.settle()
        site.core.runners.clear()
        name = site.get(body.name).attempts[0].name
        assert site.get(body.name).state == GRANTED
        await preempt(site)
        assert site.get(body.name).state == QUEUED
        assert (await refusal(site.run(running.start(name, "r/one")))).reason == "ATTEMPT_NOT_ACTIVE"

    play(tmp_path, scene)


def test_nobody_is_asked_twice_nor_after_his_end(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        body, attempt = await under_way(site)
        assert await preempt(site)
        before = tuple(site.row("SELECT * FROM attempt"))
        site.clock.pass_s(1.0)
        assert not await preempt(site)
        assert tuple(site.row("SELECT * FROM attempt")) == before
        await site.finish(attempt, job_pb2.ATTEMPT_STATE_SUCCEEDED)
        assert not await preempt(site)
        assert not await preempt(site, lease=99)
        assert site.get(body.name).state == job_pb2.JOB_STATE_SUCCEEDED

    play(tmp_path, scene)


def test_a_cancel_while_making_room_is_a_cancel(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        body, attempt = await under_way(site)
        await preempt(site)
        await site.run(ending.cancel("acme", body.name.split("/")[3], ""))
        (assignment,) = site.assigned()
        assert not assignment.HasField("stop_grace")
        await site.finish(attempt, job_pb2.ATTEMPT_STATE_CANCELLED)
        assert site.get(body.name).state == CANCELLED
        assert refunds(site) == {}

    play(tmp_path, scene)


def test_nobody_says_by_himself_that_he_made_room(tmp_path: Path) -> None:
    """The reason brings a refund and a free try."""

    async def scene(site: Site) -> None:
        body, attempt = await under_way(site)
        failure = job_pb2.Failure(reason="PREEMPTED", message="m", retryable=True)
        refused = await refusal(site.finish(attempt, job_pb2.ATTEMPT_STATE_FAILED, failure=failure))
        assert refused.reason == "INVALID_FIELD"
        assert site.get(body.name).state == RUNNING

    play(tmp_path, scene)


def test_making_room_again_and_again_ends_no_job(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        body = await site.submit(job(0, 1, max_attempts=1))
        for lease in range(1, 31):
            await site.settle()
            await site.start(body)
            assert await preempt(site, lease=lease)
            await site.sweep(GRACE_S + 1.0)
            await site.sweep(ending.YIELD_S)
        assert len(site.rows("SELECT * FROM attempt WHERE refund = 'PREEMPTED'")) == 30
        assert site.get(body.name).state in (QUEUED, GRANTED)

    play(tmp_path, scene)


def test_the_cycle_carries_out_what_deciding_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(site: Site) -> None:
        seen: list[Standing] = []

        def decide(standing: Standing, now_ns: int, config: Config) -> Decisions:
            seen.append(standing)
            asked = [lease for lease in standing.leases.values() if not lease.ending]
            return Decisions(preemptions=tuple(Preemption(lease.lease, Cause.GUARANTEE) for lease in asked))

        body, attempt = await under_way(site, units=3, slots=2)
        site.clock.pass_s(2.0)
        await site.run(running.save_checkpoint(attempt, "r/one", job_pb2.Artifact(sha256="a" * 64)))
        start_ns = site.row("SELECT grant_ns FROM lease")[0]
        monkeypatch.setattr(granting, "decide", decide)
        await site.settle()
        (lease,) = seen[-1].leases.values()
        assert (lease.units, lease.slots, lease.vendor) == (("arm-1", "arm-2", "arm-3"), 2, "acme")
        assert (lease.start_ns, lease.safe_ns) == (start_ns, start_ns + 2_000_000_000)
        assert site.row("SELECT preempt_ns FROM attempt")[0] == site.clock.now_ns()
        await site.settle()
        assert seen[-1].leases[1].ending
        assert seen[-1].preempted_ns == site.clock.now_ns()
        assert await site.beat(attempt) == [attempt]
        assert site.get(body.name).state == RUNNING

    # Nothing is free: deciding is asked all the same, for somebody holds a guarantee.
    vendors = [{"id": "acme"}, {"id": "rival", "guarantee": {"units": 1}}, {"id": "third"}]
    play(tmp_path, scene, vendor=vendors)


def test_a_guarantee_is_honoured_and_who_made_room_goes_on_afterwards(tmp_path: Path) -> None:
    """From the decision to the refund: rival has borrowed everything, acme comes for the unit that it is guaranteed."""

    async def scene(site: Site) -> None:
        await site.connect()
        borrowed = [await site.submit(job(1), vendor="rival") for _ in range(3)]
        await site.settle()
        attempts = {body.name: await site.start(body) for body in borrowed}
        due = await site.submit(job(1))
        asked: list[str] = []
        for _ in range(20):
            site.clock.pass_s(9.0)
            asked = await site.beat(*attempts.values())
            if asked:
                break
            await site.sweep()
        assert len(asked) == 1
        (loser,) = (body for body in borrowed if attempts[body.name] in asked)
        await site.finish(asked[0], job_pb2.ATTEMPT_STATE_CANCELLED)
        (unit,) = (row["unit"] for row in site.rows("SELECT unit FROM lease_unit x JOIN lease l ON l.id = x.lease_id "
                                                    "WHERE l.state = 3 AND x.free_ns IS NULL"))  # fmt: skip
        await site.status(unit, safe_epoch=1)
        await site.settle()
        assert site.get(due.name).state == GRANTED
        assert site.get(loser.name).state == QUEUED
        assert refunds(site)["unit"] > 0
        await site.finish(await site.start(due), job_pb2.ATTEMPT_STATE_SUCCEEDED)
        await site.status(unit, safe_epoch=2)
        site.clock.pass_s(ending.YIELD_S)
        await site.beat(*attempts.values())
        await site.settle()
        assert site.get(loser.name).state == GRANTED

    vendors = [{"id": "acme", "guarantee": {"units": 1}}, {"id": "rival"}, {"id": "third"}]
    play(tmp_path, scene, vendor=vendors)


def test_a_full_venue_without_guarantees_is_not_decided_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(site: Site) -> None:
        await under_way(site, units=3, slots=2)
        monkeypatch.setattr(granting, "decide", lambda *_: pytest.fail("decided"))
        await site.settle()

    play(tmp_path, scene)
