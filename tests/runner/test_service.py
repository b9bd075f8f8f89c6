"""The runner's process against a scheduler over gRPC, with workers that do as they are told."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from palaestra.errors import PalaestraError
from palaestra.v1 import job_pb2, runner_service_pb2
from runner import service
from runner.errors import NoWorker, RayLost
from runner.service import Runner
from tests.runner.desk import settings
from tests.runner.office import PATIENCE_S, Crew, Office, eventually

ONE, TWO = "vendors/acme/jobs/1/attempts/1", "vendors/acme/jobs/2/attempts/1"
SUCCEEDED, FAILED = job_pb2.ATTEMPT_STATE_SUCCEEDED, job_pb2.ATTEMPT_STATE_FAILED
CANCELLED = job_pb2.ATTEMPT_STATE_CANCELLED
Act = Callable[[Office, Crew, Runner], Awaitable[None]]


def play(folder: Path, act: Act) -> None:
    """Run one act with a fresh runner; stop it afterwards, and have it end without an error."""

    async def whole() -> None:
        office, crew = Office(), Crew()
        await office.start()
        catalogue = runner_service_pb2.WatchAssignmentsRequest()
        runner = Runner(settings(folder, f"127.0.0.1:{office.port}"), crew, catalogue)
        running = asyncio.create_task(runner.run())
        try:
            await asyncio.wait_for(act(office, crew, runner), 3 * PATIENCE_S)
        finally:
            runner.stop()
            try:
                await asyncio.wait_for(running, PATIENCE_S)
            finally:
                await office.stop()

    asyncio.run(whole())


def test_an_assignment_is_started_carried_out_and_reported_once(tmp_path: Path) -> None:
    async def act(office: Office, crew: Crew, runner: Runner) -> None:
        office.assign(ONE)
        await eventually("at work", lambda: ONE in crew.working)
        crew.finish(ONE)
        await eventually("reported", lambda: bool(office.finished))
        await eventually("given back", lambda: crew.idle == [1])
        assert office.started == [ONE]
        assert office.end(ONE).outcome == SUCCEEDED

    play(tmp_path, act)


def test_a_start_whose_answer_is_lost_is_asked_again_and_done_once(tmp_path: Path) -> None:
    async def act(office: Office, crew: Crew, runner: Runner) -> None:
        office.lost_answers["StartAttempt"] = 2
        office.assign(ONE)
        await eventually("at work", lambda: ONE in crew.working)
        assert office.started == [ONE] * 3
        crew.finish(ONE)
        await eventually("reported", lambda: bool(office.finished))

    play(tmp_path, act)


def test_an_end_is_reported_until_the_scheduler_is_back(tmp_path: Path) -> None:
    """The scheduler is away when the work ends, and comes back on the same port: the end arrives, the work is not done
    again."""

    async def act(office: Office, crew: Crew, runner: Runner) -> None:
        office.assign(ONE)
        await eventually("at work", lambda: ONE in crew.working)
        await office.stop()
        crew.finish(ONE)
        await asyncio.sleep(0.5)
        assert not office.finished
        await office.start(office.port)
        await eventually("reported", lambda: bool(office.finished))
        assert office.end(ONE).outcome == SUCCEEDED
        assert office.started == [ONE]

    play(tmp_path, act)


def test_a_cancel_stops_the_worker_and_is_reported_as_what_the_vendor_wanted(tmp_path: Path) -> None:
    async def act(office: Office, crew: Crew, runner: Runner) -> None:
        office.assign(ONE)
        await eventually("at work", lambda: ONE in crew.working)
        office.assign(ONE, cancel=True)
        await eventually("reported", lambda: bool(office.finished))
        assert office.end(ONE).outcome == CANCELLED
        assert crew.cancelled == [ONE]
        assert not crew.killed

    play(tmp_path, act)


def test_a_worker_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "STOP_GRACE_S", 0.1)

    async def act(office: Office, crew: Crew, runner: Runner) -> None:
        crew.stubborn = True
        office.assign(ONE)
        await eventually("at work", lambda: ONE in crew.working)
        office.assign(ONE, cancel=True)
        await eventually("reported", lambda: bool(office.finished))
        assert (office.end(ONE).outcome, crew.killed) == (CANCELLED, [1])

    play(tmp_path, act)


def test_who_is_asked_to_make_room_gets_the_grace_that_comes_with_the_wish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "STOP_GRACE_S", 0.05)

    async def act(office: Office, crew: Crew, runner: Runner) -> None:
        crew.stubborn = True
        office.assign(ONE)
        await eventually("at work", lambda: ONE in crew.working)
        office.assign(ONE, cancel=True, stop_grace_s=600)
        await eventually("asked", lambda: crew.cancelled == [ONE])
        await asyncio.sleep(0.3)
        assert not crew.killed
        crew.finish(ONE, CANCELLED)
        await eventually("reported", lambda: bool(office.finished))
        assert (office.end(ONE).outcome, crew.killed) == (CANCELLED, [])

    play(tmp_path, act)


def test_a_worker_that_is_back_in_the_pool_is_never_killed_for_its_former_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cancelled attempt's end cannot be reported for long; its worker has gone on to another one."""
    monkeypatch.setattr(service, "STOP_GRACE_S", 0.1)

    async def act(office: Office, crew: Crew, runner: Runner) -> None:
        office.assign(ONE)
        await eventually("at work", lambda: ONE in crew.working)
        reasons = ("SHUTTING_DOWN", "DATABASE_BUSY", "DISK_FULL", "DISK_FAILED")
        office.refusals["FinishAttempt"] = [PalaestraError(reason, "later") for reason in reasons]
        office.assign(ONE, cancel=True)
        await eventually("given back", lambda: crew.idle == [1])
        await eventually("reported", lambda: bool(office.finished))
        assert not crew.killed

    play(tmp_path, act)


def test_a_cancel_does_not_wait_for_a_worker_to_start(tmp_path: Path) -> None:
    async def act(office: Office, crew: Crew, runner: Runner) -> None:
        crew.slow_start = asyncio.Event()
        office.assign(ONE)
        await eventually("started", lambda: bool(office.started))
        office.assign(ONE, cancel=True)
        await eventually("reported", lambda: bool(office.finished))
        assert office.end(ONE).outcome == CANCELLED
        crew.slow_start.set()
        await eventually("the worker is kept", lambda: crew.idle == [1])

    play(tmp_path, act)


def test_a_worker_s_death_fails_the_attempt_for_another_try(tmp_path: Path) -> None:
    async def act(office: Office, crew: Crew, runner: Runner) -> None:
        office.assign(ONE)
        await eventually("at work", lambda: ONE in crew.working)
        crew.die(ONE)
        await eventually("reported", lambda: bool(office.finished))
        failure = office.end(ONE).failure
        assert (failure.reason, failure.retryable) == ("RUNNER_LOST", True)
        assert not crew.idle

    play(tmp_path, act)


def test_a_runner_that_is_stopped_hands_its_attempts_back(tmp_path: Path) -> None:
    office_after: list[Office] = []

    async def act(office: Office, crew: Crew, runner: Runner) -> None:
        office_after.append(office)
        office.assign(ONE)
        office.assign(TWO)
        await eventually("at work", lambda: len(crew.working) == 2)

    play(tmp_path, act)
    for attempt in (ONE, TWO):
        end = office_after[0].end(attempt)
        assert (end.outcome, end.failure.reason, end.failure.retryable) == (FAILED, "SHUTTING_DOWN", True)


def test_what_is_no_longer_assigned_is_stopped(tmp_path: Path) -> None:
    async def act(office: Office, crew: Crew, runner: Runner) -> None:
        office.assign(ONE)
        await eventually("at work", lambda: ONE in crew.working)
        office.refusals["FinishAttempt"] = [PalaestraError("ATTEMPT_NOT_ACTIVE", "it is lost")]
        office.withdraw(ONE)
        await eventually("stopped", lambda: crew.idle == [1])
        await eventually("told", lambda: not office.refusals["FinishAttempt"])
        assert not office.finished

    play(tmp_path, act)


def test_an_end_that_the_scheduler_refuses_fails_the_attempt_for_good(tmp_path: Path) -> None:
    """A result with a NaN, say: without this the attempt would be done again for ever."""

    async def act(office: Office, crew: Crew, runner: Runner) -> None:
        office.assign(ONE)
        await eventually("at work", lambda: ONE in crew.working)
        metadata = {"field": "result.return_after", "rule": "finite"}
        office.refusals["FinishAttempt"] = [PalaestraError("INVALID_FIELD", "result: NaN", metadata=metadata)]
        crew.finish(ONE)
        await eventually("reported", lambda: bool(office.finished))
        failure = office.end(ONE).failure
        assert (failure.reason, failure.retryable) == ("WORK_FAILED", False)
        assert "NaN" in failure.message

    play(tmp_path, act)


def test_a_runner_without_workers_hands_the_attempt_back_and_gives_up(tmp_path: Path) -> None:
    async def act(office: Office, crew: Crew, runner: Runner) -> None:
        crew.broken = True
        office.assign(ONE)
        await eventually("reported", lambda: bool(office.finished))
        failure = office.end(ONE).failure
        assert (failure.reason, failure.retryable) == ("SHUTTING_DOWN", True)

    with pytest.raises(NoWorker, match="no process can be started"):
        play(tmp_path, act)


def test_what_runs_is_kept_alive_by_heartbeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "HEARTBEAT_S", 0.05)

    async def act(office: Office, crew: Crew, runner: Runner) -> None:
        office.assign(ONE)
        await eventually("beats", lambda: office.beats.count([ONE]) >= 2)
        await eventually("at work", lambda: ONE in crew.working)
        crew.finish(ONE)
        await eventually("reported", lambda: bool(office.finished))

    play(tmp_path, act)


def test_a_runner_whose_ray_is_lost_ends_itself_and_hands_its_attempts_back_as_lost(tmp_path: Path) -> None:
    """Its workers are ended without asking Ray, which could not pass it on."""
    after: list[tuple[Office, Crew]] = []

    async def act(office: Office, crew: Crew, runner: Runner) -> None:
        after.append((office, crew))
        office.assign(ONE)
        await eventually("at work", lambda: ONE in crew.working)
        crew.lost.set()
        await eventually("reported", lambda: bool(office.finished))

    with pytest.raises(RayLost, match="gcs_server ended"):
        play(tmp_path, act)
    ((office, crew),) = after
    failure = office.end(ONE).failure
    assert (failure.reason, failure.retryable) == ("RUNNER_LOST", True)
    assert (crew.abandoned, crew.cancelled, crew.killed) == (True, [], [])


def test_a_silent_stream_of_assignments_is_opened_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network swallows everything, and nobody is told: what is assigned meanwhile is heard on the next stream."""
    monkeypatch.setattr(service, "SILENCE_S", 0.5)

    async def act(office: Office, crew: Crew, runner: Runner) -> None:
        await eventually("connected", lambda: office.streams == 1)
        office.silent = True
        await asyncio.sleep(0.1)
        office.assign(ONE)
        await asyncio.sleep(0.1)
        assert not office.started
        office.silent = False
        await eventually("at work", lambda: ONE in crew.working)
        assert office.streams > 1
        crew.finish(ONE)
        await eventually("reported", lambda: bool(office.finished))

    play(tmp_path, act)
