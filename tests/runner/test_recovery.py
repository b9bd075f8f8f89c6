"""Episodes of workers that died come into the catalogue, once, whatever has become of the scheduler meanwhile."""

import asyncio
import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palaestra import jobs
from palaestra.errors import PalaestraError
from palaestra.v1 import episode_pb2
from runner.attempt import Attempt
from runner.errors import AttemptError, Stopped
from runner.recovery import keep_recovering, recover_once
from store import InvalidEpisode, LocalObjects, Outcome, Status
from tests.runner.desk import Desk, attempt_at, settings

INTERRUPTED, SUCCESS = episode_pb2.EPISODE_OUTCOME_INTERRUPTED, episode_pb2.EPISODE_OUTCOME_SUCCESS
PROVENANCE = {
    "engine": "plant",
    "engine_version": "1",
    "model_sha256": "ab" * 32,
    "controller_backend": "numpy",
    "calibration": "cal-7",
}


def recorder_of(attempt: Attempt) -> Any:
    recorder = attempt.recorder(
        attempt.next_index(),
        robot_model="own_arm",
        maker="Palaestra",
        joint_names=["a", "b"],
        task="reach",
        seed=1,
        control_rate_hz=500.0,
        sample_rate_hz=100.0,
        clock_source="monotonic",
        provenance=PROVENANCE,
        base_pose=False,
        unit="venues/v/units/a",
    )
    recorder.extend(np.arange(50) / 100, dict.fromkeys(recorder.header.signals, np.zeros((50, 2))))
    return recorder


def attempt(desk: Desk, folder: Path) -> Attempt:
    return attempt_at(desk, folder, jobs.collect(motion="reach_around", units=[jobs.unit(robot_class="arm")]))


def recover(desk: Desk, folder: Path) -> int:
    async def enter(request: Any) -> None:
        desk.call("CatalogueEpisode", request)

    return asyncio.run(recover_once(settings(folder), LocalObjects(settings(folder).objects), "runner/2", enter))


def test_a_dead_worker_s_open_episode_is_entered_as_interrupted(tmp_path: Path) -> None:
    desk = Desk()
    recorder = recorder_of(attempt(desk, tmp_path))
    recorder._spool()
    recorder._segment.close()
    recorder._claim.leave()

    assert recover(desk, tmp_path) == 1
    assert recover(desk, tmp_path) == 0

    (episode,) = desk.episodes.values()
    assert (episode.outcome, episode.rows, episode.maker) == (INTERRUPTED, 50, "Palaestra")
    assert episode.provenance["calibration"] == "cal-7"
    assert {signal.name: signal.frame for signal in episode.signals}["action"] == "joint"
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.parametrize(("reason", "raised"), [("ATTEMPT_NOT_ACTIVE", Stopped), ("SHUTTING_DOWN", AttemptError)])
def test_a_sealed_episode_that_could_not_be_told_is_told_once_more(
    tmp_path: Path, reason: str, raised: type[Exception]
) -> None:
    """The lease was over, or the scheduler away: the recording is the vendor's all the same, with its own outcome."""
    desk = Desk()
    one = attempt(desk, tmp_path)
    recorder, outcome = recorder_of(one), Outcome(Status.SUCCESS)
    desk.refuse = reason
    with pytest.raises(raised):
        one.catalogue(recorder.header, outcome, recorder.seal(outcome, hold=True))
    desk.refuse = ""

    recover(desk, tmp_path)

    assert [episode.outcome for episode in desk.episodes.values()] == [SUCCESS]
    assert list((tmp_path / "spool").iterdir()) == []


def test_what_the_catalogue_will_never_take_is_not_offered_for_ever(tmp_path: Path) -> None:
    """Its job is gone; the object stays, and nobody asks again."""
    desk = Desk()
    one = attempt(desk, tmp_path)
    recorder, outcome = recorder_of(one), Outcome(Status.SUCCESS)
    recorder.seal(outcome, hold=True).settle(False)
    desk.refuse = "NOT_FOUND"

    assert recover(desk, tmp_path) == 0
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_store_that_cannot_be_opened_at_first_is_recovered_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that is full when the runner starts."""
    desk = Desk()
    recorder = recorder_of(attempt(desk, tmp_path))
    recorder.seal(Outcome(Status.SUCCESS), hold=True).settle(False)
    failures = [OSError(errno.ENOSPC, "no room")]

    def opened(address: str, _: Path) -> LocalObjects:
        if failures:
            raise failures.pop()
        return LocalObjects(Path(address))

    monkeypatch.setattr("runner.recovery.open_objects", opened)
    monkeypatch.setattr("runner.recovery.PERIOD_S", 0.0)

    async def scene() -> None:
        entered = asyncio.Event()

        async def enter(request: Any) -> None:
            entered.set()

        keeping = asyncio.create_task(keep_recovering(settings(tmp_path), "runner/2", enter))
        try:
            await asyncio.wait_for(entered.wait(), 30.0)
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])

    asyncio.run(scene())


def test_an_episode_in_the_catalogue_leaves_nothing_in_the_spool(tmp_path: Path) -> None:
    desk = Desk()
    one = attempt(desk, tmp_path)
    recorder, outcome = recorder_of(one), Outcome(Status.SUCCESS)

    one.catalogue(recorder.header, outcome, recorder.seal(outcome, hold=True))

    assert list((tmp_path / "spool").iterdir()) == []
    assert len(desk.episodes) == 1


def test_a_unit_that_does_not_say_what_is_mandatory_is_not_recorded(tmp_path: Path) -> None:
    one = attempt(Desk(), tmp_path)
    mute = {**PROVENANCE, "model_sha256": "", "calibration": ""}
    with pytest.raises(InvalidEpisode, match=r"model_sha256 \(body description\), calibration \(calibration\)"):
        one.recorder(
            0,
            robot_model="own_arm",
            maker="Palaestra",
            joint_names=["a"],
            task="reach",
            seed=1,
            control_rate_hz=500.0,
            sample_rate_hz=100.0,
            clock_source="monotonic",
            provenance=mute,
            base_pose=False,
            unit="venues/v/units/a",
        )


@pytest.mark.parametrize("reason", ["SHUTTING_DOWN", "DATABASE_BUSY", "DISK_FULL", "DISK_FAILED", "BAD_TOKEN"])
def test_a_refusal_for_now_leaves_everything_where_it_is(tmp_path: Path, reason: str) -> None:
    desk = Desk()
    recorder, outcome = recorder_of(attempt(desk, tmp_path)), Outcome(Status.SUCCESS)
    recorder.seal(outcome, hold=True).settle(False)
    before = {path.name for path in (tmp_path / "spool").iterdir()}

    def away(method: str) -> None:
        raise PalaestraError(reason, "soon back")

    desk.on_call = away

    assert recover(desk, tmp_path) == 0
    assert {path.name for path in (tmp_path / "spool").iterdir()} == before


def test_a_vendor_without_room_begins_no_recording_and_tries_no_second_time(tmp_path: Path) -> None:
    desk = Desk()
    desk.room = PalaestraError("STORE_QUOTA", "vendors/acme has no room in the store: 3 of 3 episodes are there")

    with pytest.raises(AttemptError, match="3 of 3 episodes") as refused:
        recorder_of(attempt(desk, tmp_path))

    assert (refused.value.reason, refused.value.retryable) == ("STORE_QUOTA", False)
    assert not (tmp_path / "spool").exists()


def test_that_room_is_short_stands_in_the_job_s_log_once(tmp_path: Path) -> None:
    desk = Desk()
    desk.room = "the store's quota is nearly full: 9 of 10 episodes"
    one = attempt(desk, tmp_path)
    for _ in range(2):
        recorder_of(one).abort()
    assert desk.log == [desk.room]


def test_what_was_sealed_beyond_the_quota_waits_in_the_spool_until_there_is_room(tmp_path: Path) -> None:
    """It was begun while there was room; nothing of it is lost, and nothing of it is visible."""
    desk = Desk()
    one = attempt(desk, tmp_path)
    recorder = recorder_of(one)
    outcome = Outcome(Status.SUCCESS)
    sealed = recorder.seal(outcome, hold=True)
    desk.refuse = "STORE_QUOTA"
    with pytest.raises(AttemptError, match="refused"):
        one.catalogue(recorder.header, outcome, sealed)
    assert recover(desk, tmp_path) == 0
    assert desk.episodes == {}

    desk.refuse = ""
    assert recover(desk, tmp_path) == 1
    assert desk.outcomes() == [SUCCESS]
    assert recover(desk, tmp_path) == 0
