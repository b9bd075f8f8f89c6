"""What becomes of granted jobs: starts, ends, losses, cancels, leases and what they free."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from palaestra.v1 import episode_pb2, job_pb2, runner_service_pb2
from scheduler import events
from scheduler.clock import DRIFT_MAX
from scheduler.commands import ending, granting, inventory, running
from scheduler.commands.ending import BACKOFF_FIRST_S, CANCEL_GRACE_S, LOST_MAX, STOP_MARGIN_S
from scheduler.identity import Identity
from scheduler.lifecycle import LeaseState
from scheduler.names import parts
from scheduler.roles import Role
from scheduler.services.runners import RunnerService
from scheduler.sql import ERRORS
from scheduler.state import Decisions, Grant
from tests.scheduler.site import TTL_S, Site, job, play, refusal

# The tests of what matters most run on both databases.
on_both = pytest.mark.usefixtures("each_backend")

QUEUED, GRANTED, RUNNING, CANCELLING = (
    job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_GRANTED, job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_CANCELLING,
)  # fmt: skip
SUCCEEDED, FAILED, CANCELLED = (
    job_pb2.ATTEMPT_STATE_SUCCEEDED, job_pb2.ATTEMPT_STATE_FAILED, job_pb2.ATTEMPT_STATE_CANCELLED,
)  # fmt: skip
BROKE = job_pb2.Failure(reason="WORK_FAILED", message="it broke", retryable=True)
FAULT = job_pb2.Failure(reason="UNIT_FAULT", message="joint stuck", retryable=True)
ARTIFACT = job_pb2.Artifact(sha256="cd" * 32, size_bytes=7)


def lease(site: Site) -> Any:
    """Return the latest lease."""
    return site.row("SELECT * FROM lease ORDER BY id DESC LIMIT 1")


def held(site: Site) -> list[str]:
    return [row["unit"] for row in site.rows("SELECT unit FROM lease_unit WHERE free_ns IS NULL ORDER BY unit")]


async def cancel(site: Site, body: job_pb2.Job, etag: str = "") -> None:
    await site.run(ending.cancel(*parts(body.name), etag))


async def granted(site: Site, **claim: Any) -> job_pb2.Job:
    await site.connect()
    body = await site.submit(job(**claim))
    await site.settle()
    assert site.get(body.name).state == GRANTED
    return body


@on_both
def test_a_grant_is_units_slots_and_cell_at_once_with_higher_epochs(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        body = await granted(site, units=2, sim_slots=1, cell="assembly")
        found = site.get(body.name)
        assert list(found.attempts[0].resources) == ["arm-1", "arm-2", "r-0", "bench"]
        assert [row["epoch"] for row in site.rows("SELECT epoch FROM unit ORDER BY id")] == [1, 1, 0]
        kinds = {row["kind"] for row in site.rows("SELECT kind FROM event")}
        assert {"lease.granted", "job.granted", "unit.leased", "sim_slot.leased", "cell.leased"} <= kinds

    play(tmp_path, scene)


@on_both
def test_an_orderly_end_frees_slots_at_once_and_units_and_cell_when_their_host_says_they_rest(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        body = await granted(site, units=1, sim_slots=2, cell="assembly")
        attempt = await site.start(body)
        assert site.get(body.name).state == RUNNING
        await site.finish(attempt, SUCCEEDED)
        assert site.get(body.name).state == job_pb2.JOB_STATE_SUCCEEDED
        assert LeaseState(lease(site)["state"]) is LeaseState.RELEASING
        assert held(site) == ["arm-1"]
        assert site.rows("SELECT 1 FROM lease_slot WHERE free_ns IS NULL") == []
        await site.status("arm-1", safe_epoch=0)
        assert held(site) == ["arm-1"], "that was the epoch before"
        assert len(site.rows("SELECT 1 FROM lease_cell WHERE free_ns IS NULL")) == 1, "a robot still moves in it"
        await site.status("arm-1", safe_epoch=1)
        assert site.rows("SELECT 1 FROM lease_cell WHERE free_ns IS NULL") == []
        assert held(site) == []
        assert LeaseState(lease(site)["state"]) is LeaseState.RELEASED

    play(tmp_path, scene)


@on_both
def test_a_silent_runner_loses_its_lease_and_the_unit_counts_as_occupied_until_its_stop_is_sure(tmp_path: Path) -> None:
    """Sure by the host's word, or by the time to live that the host was given last, and a margin."""

    async def scene(site: Site) -> None:
        body = await granted(site, units=2)
        attempt = await site.start(body)
        await site.sweep(TTL_S - 1)
        assert await site.beat(attempt) == []
        await site.sweep(TTL_S - 1)
        assert site.get(body.name).state == RUNNING, "the beat counted"
        await site.sweep(1.1)
        found = site.get(body.name)
        assert (found.state, found.attempts[0].state) == (QUEUED, job_pb2.ATTEMPT_STATE_LOST)
        assert found.failure.reason == "RUNNER_LOST"
        assert LeaseState(lease(site)["state"]) is LeaseState.UNCERTAIN
        assert held(site) == ["arm-1", "arm-2"]
        await site.status("arm-1", safe_epoch=1)
        assert held(site) == ["arm-2"]
        await site.sweep(STOP_MARGIN_S)
        found = LeaseState(site.row("SELECT state FROM lease WHERE id = 1")["state"])
        assert found is LeaseState.UNCERTAIN, "its host's clock may be a slow one"
        await site.sweep(DRIFT_MAX * TTL_S)
        assert LeaseState(site.row("SELECT state FROM lease WHERE id = 1")["state"]) is LeaseState.EXPIRED
        assert held(site) == ["arm-1", "arm-3"], "free by time is not enough to be granted again"
        assert await site.beat(attempt) == [attempt], "who was lost is told to stop"

    play(tmp_path, scene)


@on_both
def test_epochs_only_grow(tmp_path: Path) -> None:
    """Over grants, restarts, and hosts that know higher or lower ones."""

    async def scene(site: Site) -> None:
        seen = []

        def epoch() -> int:
            return int(site.row("SELECT epoch FROM unit WHERE id = 'arm-1'")["epoch"])

        await site.connect(units=["arm-1"])
        for _ in range(3):
            body = await site.submit(job())
            await site.settle()
            await site.finish(await site.start(body), SUCCEEDED)
            seen.append(epoch())
            await site.status("arm-1", safe_epoch=epoch())
        await site.hello(instance="i2", highest_epoch=40)
        seen.append(epoch())
        await site.hello(instance="i3", highest_epoch=2)
        seen.append(epoch())
        await site.submit(job())
        await site.settle()
        assert [*seen, epoch()] == [1, 2, 3, 40, 40, 41]

    play(tmp_path, scene)


@pytest.mark.parametrize("status", [{"motion": 4}, {"motion": 4, "fault": "stuck"}, {"motion": 1, "fault": "stuck"}])
def test_a_unit_that_is_stopped_or_has_a_fault_is_not_granted(tmp_path: Path, status: dict[str, Any]) -> None:
    async def scene(site: Site) -> None:
        await site.connect(units=["arm-1"])
        await site.status("arm-1", **status)
        body = await site.submit(job())
        await site.settle()
        assert site.get(body.name).state == QUEUED
        await site.status("arm-1", motion=1)
        await site.passes_check("arm-1") if "fault" in status else None
        await site.settle()
        assert site.get(body.name).state == GRANTED

    play(tmp_path, scene)


def test_an_attempt_that_failed_is_tried_again_after_a_growing_pause_up_to_a_number(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect(units=[])
        body = await site.submit(job(0, 1, max_attempts=3))
        pause_s = BACKOFF_FIRST_S
        for _ in range(2):
            await site.settle()
            await site.finish(await site.start(body), FAILED, failure=BROKE)
            assert site.get(body.name).state == QUEUED
            await site.sweep(pause_s * 0.9)
            assert site.get(body.name).state == QUEUED, "too early"
            await site.sweep(pause_s * 0.2)
            assert site.get(body.name).state == GRANTED
            pause_s *= 2
        await site.finish(await site.start(body), FAILED, failure=BROKE)
        found = site.get(body.name)
        assert (found.state, len(found.attempts)) == (job_pb2.JOB_STATE_FAILED, 3)
        assert found.failure == BROKE

    play(tmp_path, scene)


def test_a_failure_that_cannot_be_mended_ends_the_job_at_once(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        body = await granted(site)
        await site.finish(await site.start(body), FAILED, failure=job_pb2.Failure(reason="WORK_FAILED", message="no"))
        assert site.get(body.name).state == job_pb2.JOB_STATE_FAILED

    play(tmp_path, scene)


def test_what_the_venue_broke_is_not_counted_against_the_job(tmp_path: Path) -> None:
    """Faults and losses are tried again beyond max_attempts, up to a bound of their own."""

    async def scene(site: Site) -> None:
        await site.connect(units=[])
        body = await site.submit(job(0, 1, max_attempts=1))
        await site.settle()
        for _ in range(LOST_MAX):
            assert site.get(body.name).state == GRANTED
            await site.finish(await site.start(body), FAILED, failure=FAULT)
            await site.sweep(40.0)
        row = site.row("SELECT * FROM job")
        assert (row["failed_count"], row["lost_count"], row["attempt_count"]) == (0, LOST_MAX - 1, LOST_MAX)
        assert site.get(body.name).state == job_pb2.JOB_STATE_FAILED

    play(tmp_path, scene)


def test_a_claims_duration_ends_it_for_good(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        body = await granted(site)
        attempt = await site.start(body)
        for _ in range(60):
            site.clock.pass_s(9.9)
            await site.beat(attempt)
        assert lease(site)["expire_ns"] == lease(site)["end_by_ns"]
        await site.sweep(9.9)
        found = site.get(body.name)
        assert found.state == job_pb2.JOB_STATE_FAILED
        assert "duration" in found.failure.message

    play(tmp_path, scene)


@on_both
def test_a_job_is_cancelled_in_every_state(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.run(running.register_runner("r", "r/one", 2))
        waiting = await site.submit(job(0, 1))
        await cancel(site, waiting)
        assert site.get(waiting.name).state == job_pb2.JOB_STATE_CANCELLED
        await cancel(site, waiting)

        await site.connect()
        never_started = await site.submit(job(0, 1))
        await site.settle()
        await cancel(site, never_started)
        assert site.get(never_started.name).state == CANCELLING
        await site.sweep(CANCEL_GRACE_S * 0.9)
        assert site.get(never_started.name).state == CANCELLING
        await site.sweep(CANCEL_GRACE_S * 0.2)
        assert site.get(never_started.name).state == job_pb2.JOB_STATE_CANCELLED

        body = await site.submit(job(0, 1))
        await site.settle()
        attempt = await site.start(body)
        await cancel(site, body)
        await cancel(site, body)
        assert site.get(body.name).state == CANCELLING
        assert await site.beat(attempt) == [attempt]
        await site.finish(attempt, CANCELLED)
        assert site.get(body.name).state == job_pb2.JOB_STATE_CANCELLED

        won = await site.submit(job(0, 1))
        await site.settle()
        attempt = await site.start(won)
        await cancel(site, won)
        await site.finish(attempt, SUCCEEDED)
        assert site.get(won.name).state == job_pb2.JOB_STATE_SUCCEEDED
        assert (await refusal(cancel(site, won))).reason == "JOB_ENDED"

    play(tmp_path, scene)


@pytest.mark.parametrize("end", ["failed", "lost"])
def test_a_job_that_is_being_cancelled_is_not_tried_again(tmp_path: Path, end: str) -> None:
    async def scene(site: Site) -> None:
        body = await granted(site)
        attempt = await site.start(body)
        await cancel(site, body)
        if end == "failed":
            await site.finish(attempt, FAILED, failure=BROKE)
        else:
            await site.runner("r/two")
        assert site.get(body.name).state == job_pb2.JOB_STATE_CANCELLED

    play(tmp_path, scene)


def test_an_etag_of_before_cancels_nothing(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        body = await granted(site)
        assert (await refusal(cancel(site, body, body.etag))).reason == "ETAG_MISMATCH"
        await cancel(site, body, site.get(body.name).etag)
        assert site.get(body.name).state == CANCELLING

    play(tmp_path, scene)


@on_both
def test_an_end_is_written_once_and_another_end_is_refused(tmp_path: Path) -> None:
    """A repeat is fine; a success that comes after the lease was lost is not taken for one."""

    async def scene(site: Site) -> None:
        body = await granted(site)
        attempt = await site.start(body)
        await site.finish(attempt, SUCCEEDED)
        before = site.row("SELECT max(seq) FROM event")[0]
        await site.finish(attempt, SUCCEEDED)
        assert site.row("SELECT max(seq) FROM event")[0] == before
        assert (await refusal(site.finish(attempt, FAILED))).reason == "ATTEMPT_NOT_ACTIVE"

        late = await site.submit(job())
        await site.settle()
        attempt = await site.start(late)
        await site.sweep(TTL_S + 0.1)
        assert (await refusal(site.finish(attempt, SUCCEEDED))).reason == "ATTEMPT_NOT_ACTIVE"

    play(tmp_path, scene)


@pytest.mark.parametrize("outcome", [0, 1, 2, 99, CANCELLED])
def test_an_outcome_that_is_none_is_refused(tmp_path: Path, outcome: int) -> None:
    """Neither is it an end to say cancelled when nobody asked for it."""

    async def scene(site: Site) -> None:
        body = await granted(site)
        attempt = await site.start(body)
        error = await refusal(site.finish(attempt, outcome))
        assert (error.reason, error.metadata["field"]) == ("INVALID_FIELD", "outcome")
        assert site.get(body.name).state == RUNNING

    play(tmp_path, scene)


def test_an_attempt_belongs_to_the_instance_that_started_it(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        body = await granted(site)
        attempt = await site.start(body)
        await site.run(running.start(attempt, "r/one"))
        for call in (
            site.run(running.start(attempt, "s/one")),
            site.finish(attempt, SUCCEEDED, instance="s/one"),
            site.run(running.save_checkpoint(attempt, "s/one", ARTIFACT)),
        ):
            assert (await refusal(call)).reason == "ATTEMPT_NOT_ACTIVE"
        assert await site.beat(attempt, instance="s/one") == [attempt]
        for number in ("99", "9" * 60):
            wrong = f"{body.name}/attempts/{number}"
            assert (await refusal(site.run(running.start(wrong, "r/one")))).reason == "NOT_FOUND"
            assert await site.beat(wrong) == [wrong]

    play(tmp_path, scene)


def test_a_runner_that_comes_as_a_new_instance_has_lost_what_the_old_one_ran(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        body = await granted(site, units=1, sim_slots=1)
        await site.start(body)
        await site.runner("r/one")
        assert site.get(body.name).state == RUNNING, "the same instance came back"
        await site.runner("r/two")
        found = site.get(body.name)
        assert (found.state, found.attempts[0].failure.reason) == (QUEUED, "RUNNER_LOST")
        assert held(site) == ["arm-1"]
        await site.status("arm-1", safe_epoch=1)
        await site.sweep(1.0)
        assert site.get(body.name).attempts[0].number == 2

    play(tmp_path, scene)


@on_both
def test_a_runner_that_comes_ends_nothing_of_another_whose_name_is_like_its_own(tmp_path: Path) -> None:
    """An underscore is no joker, and a longer name is another one."""

    async def scene(site: Site) -> None:
        body = await granted(site, units=1, sim_slots=1)
        for instance, like in (("rx1/one", "r_1"), ("r_10/one", "r_1")):
            await site.run(lambda tx, one=instance: tx.db.execute("UPDATE attempt SET instance = ?, state = 2", (one,)))
            await site.run(running.register_runner(like, f"{like}/two", 0))
            assert site.get(body.name).attempts[0].state == job_pb2.ATTEMPT_STATE_RUNNING, instance
        await site.run(running.register_runner("r_10", "r_10/two", 0))
        assert site.get(body.name).attempts[0].failure.reason == "RUNNER_LOST"

    play(tmp_path, scene)


@on_both
def test_use_is_accounted_from_grant_to_freedom(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        body = await granted(site, units=2, sim_slots=1, cell="assembly")
        attempt = await site.start(body)
        site.clock.pass_s(5.0)
        await site.finish(attempt, SUCCEEDED)
        site.clock.pass_s(1.0)
        await site.status("arm-1", safe_epoch=1)
        site.clock.pass_s(2.0)
        await site.status("arm-2", safe_epoch=1)
        usage = site.row("SELECT * FROM usage")
        assert (usage["vendor"], usage["unit_ms"], usage["slot_ms"], usage["cell_ms"]) == ("acme", 14_000, 5_000, 8_000)

    play(tmp_path, scene)


@on_both
def test_an_episode_is_catalogued_once_with_its_jobs_event(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        body = await granted(site)
        attempt = await site.start(body)

        def seal(index: int, instance: str = "r/one", **fields: Any) -> Any:
            episode = episode_pb2.Episode(index=index, robot_model="own_arm", content=ARTIFACT, name="not mine to say")
            request = runner_service_pb2.CatalogueEpisodeRequest(
                attempt=attempt, instance=instance, episode=episode, **fields
            )
            return site.run(running.catalogue(request))

        answers = await asyncio.gather(*(seal(0) for _ in range(5)), seal(1))
        assert len({answer.name for answer in answers}) == 2
        assert site.get(body.name).episode_count == 2
        kinds = [row["kind"] for row in site.rows("SELECT kind FROM event WHERE kind LIKE '%episode%' ORDER BY seq")]
        assert kinds == ["episode.sealed", "job.episode"] * 2
        assert (await refusal(seal(2, "s/other"))).reason == "ATTEMPT_NOT_ACTIVE"
        await site.finish(attempt, SUCCEEDED)
        assert (await seal(1)).name == answers[-1].name, "a repeat finds what was kept, even now"
        assert (await refusal(seal(2))).reason == "ATTEMPT_NOT_ACTIVE"
        found = [await seal(2, "s/other", recovered=True) for _ in range(2)]
        assert found[0].name == found[1].name, "what was recovered comes in once, too, whatever became of its attempt"
        assert site.get(body.name).episode_count == 2, "and does not count as recorded"
        assert len(site.rows("SELECT 1 FROM event WHERE kind = 'episode.sealed'")) == 3

    play(tmp_path, scene)


def test_a_recovered_episode_comes_from_the_runner_whose_attempt_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the certificate of one runner would be good for what the others record."""

    async def scene(site: Site) -> None:
        body = await granted(site)
        service = RunnerService(site.core)

        async def recover(attempt: str, runner: str, index: int = 0) -> Any:
            shown = Identity(Role.RUNNER, credential="certificate", process=runner)
            monkeypatch.setattr("scheduler.services.runners.caller", lambda: shown)
            episode = episode_pb2.Episode(index=index, robot_model="own_arm", content=ARTIFACT)
            request = runner_service_pb2.CatalogueEpisodeRequest(
                attempt=attempt, instance=f"{runner}/two", episode=episode, recovered=True
            )
            return await service.CatalogueEpisode(request, None)

        waiting = f"{body.name}/attempts/1"
        assert (await refusal(recover(waiting, "s"))).reason == "ATTEMPT_NOT_ACTIVE", "nobody has begun it"
        attempt = await site.start(body)
        assert attempt == waiting
        assert (await refusal(recover(attempt, "s"))).reason == "CERTIFICATE_REFUSED"
        assert (await recover(attempt, "r")).attempt == attempt
        assert (await refusal(recover(f"{body.name}/attempts/9", "s"))).reason == "NOT_FOUND"

    play(tmp_path, scene)


def test_a_checkpoint_is_handed_to_the_next_attempt(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect(units=[])
        body = await site.submit(job(0, 1))
        await site.settle()
        attempt = await site.start(body)
        await site.run(running.save_checkpoint(attempt, "r/one", ARTIFACT))
        await site.finish(attempt, FAILED, failure=BROKE)
        await site.sweep(1.0)
        (assignment,) = site.assigned()
        assert assignment.attempt == f"{body.name}/attempts/2"
        assert assignment.checkpoint == ARTIFACT

    play(tmp_path, scene)


@on_both
def test_a_restarted_scheduler_gives_leases_a_full_time_to_live(tmp_path: Path) -> None:
    """Nobody could beat while it was away; but no lease outlives its end, or a clock that was set back."""

    async def scene(site: Site) -> None:
        await site.start(await granted(site))
        for away_s in (100.0, -50.0):
            site.clock.pass_s(away_s)
            await site.run(inventory.recover(TTL_S, site.clock.anchor()))
            assert lease(site)["expire_ns"] == site.clock.now_ns() + int(TTL_S * 1e9)
        site.clock.pass_s(540.0)
        await site.run(inventory.recover(TTL_S, site.clock.anchor()))
        assert lease(site)["expire_ns"] == lease(site)["end_by_ns"]

    play(tmp_path, scene)


@on_both
def test_no_more_events_are_kept_than_was_set(tmp_path: Path) -> None:
    """The oldest go, and numbers go on growing."""

    async def scene(site: Site) -> None:
        for _ in range(30):
            await site.submit(job())
        await site.run(lambda tx: events.forget_old(tx, 10))
        assert [row["seq"] for row in site.rows("SELECT seq FROM event")] == list(range(21, 31))
        await site.run(lambda tx: events.forget_old(tx, 10))
        assert (await site.submit(job())).sequence == 31

    play(tmp_path, scene)


@on_both
@pytest.mark.parametrize("what", ["unit", "slot", "cell"])
def test_the_database_refuses_a_double_grant_whatever_was_decided(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision that gives one thing to two jobs is undone as a whole, and can be undone by the schema alone."""

    async def scene(site: Site) -> None:
        await site.connect()
        site.core._writer._cycle = lambda tx: None
        names = [(await site.submit(job(1, 1))).name for _ in range(2)]
        ids = [row["id"] for row in site.rows("SELECT id FROM job ORDER BY id")]
        things = [{"unit": f"arm-{n}", "slot": f"r-{n - 1}", "cell": None} for n in (1, 2)]
        things[0]["cell"] = things[1]["cell"] = "bench" if what == "cell" else None
        things[1][what] = things[0][what]
        grants = [
            Grant(number, "acme", (str(thing["unit"]),), (str(thing["slot"]),), thing["cell"])
            for number, thing in zip(ids, things, strict=True)
        ]
        monkeypatch.setattr(granting, "decide", lambda *_: Decisions(tuple(grants)))
        with pytest.raises(ERRORS, match=r"(?i)unique"):
            await site.run(site.core._decider.command(runner_ready=True))
        assert {site.get(name).state for name in names} == {QUEUED}
        assert site.rows("SELECT 1 FROM lease") == []
        monkeypatch.setattr(granting, "decide", lambda *_: Decisions((grants[0],)))
        await site.run(site.core._decider.command(runner_ready=True))
        assert site.get(names[0]).state == GRANTED

    play(tmp_path, scene)
