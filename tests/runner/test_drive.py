"""Driving units: against a real unit host, with the analytic plant as the robot."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palaestra import jobs
from palaestra.v1 import episode_pb2
from runner.attempt import Attempt
from runner.collect import collect
from runner.drive import POLICY_HZ, SAMPLE_HZ, UnitDrive, glide_time_s, pace, shares
from runner.errors import AttemptError, Stopped
from store import ACTION, STATE, read_episode
from tests.runner.desk import Desk, attempt_at
from tests.runner.floor import PERIOD_S, A, B, Floor, floor

SUCCESS, ABORTED = episode_pb2.EPISODE_OUTCOME_SUCCESS, episode_pb2.EPISODE_OUTCOME_ABORTED
PATIENCE_S = 20.0


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Floor]:
    with floor(tmp_path / "state") as made:
        yield made


def job(episodes: int = 1, episode_s: float = 0.5, **fields: Any) -> Any:
    return jobs.collect(
        motion="reach_around", episodes=episodes, episode_s=episode_s, units=[jobs.unit(robot_class="arm")], **fields
    )


def lease(epoch: int = 1, **fields: Any) -> dict[str, Any]:
    return {"lease": {"name": f"lease-{epoch}"}, "lease_token": f"token-{epoch}", **fields}


def once_recording(attempt: Attempt, act: Callable[[], None], *, after_s: float = 0.7) -> None:
    """Act while the attempt's first episode is being recorded."""
    recorder = attempt.recorder

    def opening(*arguments: Any, **fields: Any) -> Any:
        attempt.recorder = recorder  # type: ignore[method-assign]
        threading.Timer(after_s, act).start()
        return recorder(*arguments, **fields)

    attempt.recorder = opening  # type: ignore[method-assign]


def test_shares_are_as_equal_as_possible_and_lose_nothing() -> None:
    assert shares(7, 3) == [3, 2, 2]
    assert shares(2, 3) == [1, 1, 0]
    assert shares(-1, 2) == [0, 0]


def test_a_glide_is_slower_than_the_joints_limits_however_long_the_way() -> None:
    for way_rad in (0.0, 0.3, -3.0):
        duration_s = glide_time_s(np.array([way_rad, 0.1]), np.array([2.0, 10.0]))
        x = np.linspace(0.0, 1.0, 1001)
        speed_rad_s = np.abs(np.diff(x * x * (3.0 - 2.0 * x) * way_rad)) * 1000 / duration_s

        assert speed_rad_s.max() <= 0.4 * 2.0 + 1e-9
        assert duration_s >= 0.6


def test_a_motion_keeps_the_robot_s_pace() -> None:
    """A robot that lives at half speed is followed at half speed; one that stands is waited for."""
    assert (pace(-1.0), pace(0.05), pace(0.2), pace(5.0)) == (1.0, 1.0, 0.0, 0.0)
    time_s = robot_s = 0.0
    speeds = []
    for _ in range(500):
        robot_s += 0.5 / POLICY_HZ
        step_s = pace(time_s - robot_s) / POLICY_HZ
        time_s += step_s
        speeds.append(step_s * POLICY_HZ)

    assert speeds[-1] == pytest.approx(0.5, abs=0.01)
    assert time_s - robot_s < 0.2


def test_units_of_one_claim_are_recorded_together(hall: Floor, desk: Desk, tmp_path: Path) -> None:
    """Two arms, two episodes each: four files of the catalogue's hashes, whose joints moved and were commanded."""
    ends = [hall.grant(A), hall.grant(B)]
    attempt = attempt_at(desk, tmp_path, job(episodes=2), **lease(endpoints=ends))

    result = collect(attempt)

    assert desk.outcomes() == [SUCCESS] * 4
    assert sorted(episode.unit for episode in desk.episodes.values()) == [A, A, B, B]
    # The first torque went out before the first episode was complete.
    assert 0 < result.first_torque_unix_ns < min(e.start_time.ToNanoseconds() for e in desk.episodes.values()) + 10**9
    for entry in desk.episodes.values():
        episode = read_episode(attempt.objects.path_of(entry.content.sha256))
        assert episode.header.sample_rate_hz == SAMPLE_HZ
        assert len(episode.time_s) == entry.rows
        # As long as the motion, less what was on its way when it ended; a busy machine may stretch it.
        assert 0.5 * 0.5 * SAMPLE_HZ < entry.rows < 4 * 0.5 * SAMPLE_HZ
        # A sample is a tick: a skipped one moves its sample to the next, and the one after is on time again.
        steps = np.round(np.diff(episode.time_s) / PERIOD_S)
        assert np.allclose(steps * PERIOD_S, np.diff(episode.time_s), atol=1e-9)
        assert np.median(steps) * PERIOD_S == pytest.approx(1.0 / SAMPLE_HZ)
        assert np.ptp(episode.signals[ACTION], axis=0).max() > 0.01
        assert np.ptp(episode.signals[STATE], axis=0).max() > 0.001
    assert desk.progress[-1].fraction == 1.0


def test_a_fault_keeps_what_was_recorded_and_ends_the_other_units_too(hall: Floor, desk: Desk, tmp_path: Path) -> None:
    ends = [hall.grant(A), hall.grant(B)]
    attempt = attempt_at(desk, tmp_path, job(episode_s=PATIENCE_S), **lease(endpoints=ends))
    once_recording(attempt, lambda: hall.break_encoder(A))
    start_s = time.monotonic()

    with pytest.raises(AttemptError, match="SENSOR_NOT_FINITE") as failed:
        collect(attempt)

    assert (failed.value.reason, failed.value.retryable) == ("UNIT_FAULT", True)
    assert time.monotonic() - start_s < PATIENCE_S
    assert desk.outcomes() == [ABORTED, ABORTED]
    assert all("SENSOR_NOT_FINITE" in episode.outcome_cause for episode in desk.episodes.values())
    hall.rests(B)


def test_an_attempt_after_a_fault_records_all_that_is_missing(hall: Floor, desk: Desk, tmp_path: Path) -> None:
    """What the fault cut short is in the catalogue and does not count as recorded."""
    cut = attempt_at(desk, tmp_path, job(episodes=2, episode_s=2.0), **lease(endpoints=[hall.grant(A)]))
    once_recording(cut, lambda: hall.break_encoder(A))
    with pytest.raises(AttemptError, match="SENSOR_NOT_FINITE"):
        collect(cut)
    before = desk.outcomes().count(SUCCESS)
    assert desk.outcomes().count(ABORTED) == 1

    again = attempt_at(desk, tmp_path, job(episodes=2), number=2, **lease(2, endpoints=[hall.grant(B, 2)]))
    collect(again)

    assert before < 2
    assert desk.outcomes().count(SUCCESS) == 2


def test_what_was_leased_counts_and_not_what_the_claim_allows(hall: Floor, desk: Desk, tmp_path: Path) -> None:
    """Of up to eight units there were two, and for the next attempt one: it has nothing left to record."""
    body = job()
    body.claim.units[0].count_max = 8
    collect(attempt_at(desk, tmp_path, body, **lease(endpoints=[hall.grant(A), hall.grant(B)])))
    assert sorted(episode.unit for episode in desk.episodes.values()) == [A, B]
    hall.rests(B)

    collect(attempt_at(desk, tmp_path, body, number=2, **lease(2, endpoints=[hall.grant(B, 2)])))

    assert desk.outcomes() == [SUCCESS] * 2


def test_a_stop_comes_through_within_a_second_and_keeps_the_episode(hall: Floor, desk: Desk, tmp_path: Path) -> None:
    stop = threading.Event()
    attempt = attempt_at(desk, tmp_path, job(episode_s=PATIENCE_S), stop=stop, **lease(endpoints=[hall.grant(A)]))
    stopped_s: list[float] = []

    def ask() -> None:
        stopped_s.append(time.monotonic())
        stop.set()

    once_recording(attempt, ask)
    with pytest.raises(Stopped):
        collect(attempt)

    # One fifth of a second on a quiet machine; this one need not be.
    assert time.monotonic() - stopped_s[0] < 3.0
    assert desk.outcomes() == [ABORTED]
    hall.rests(A)


def test_an_epoch_that_is_over_is_refused_and_nothing_recorded(hall: Floor, desk: Desk, tmp_path: Path) -> None:
    old = hall.grant(A, 1)
    hall.grant(A, 2)

    with pytest.raises(AttemptError, match="epoch 1 is over") as refused:
        collect(attempt_at(desk, tmp_path, job(), **lease(1, endpoints=[old])))

    assert (refused.value.reason, refused.value.retryable) == ("STALE_EPOCH", True)
    assert not desk.episodes


def test_another_lease_s_token_is_refused(hall: Floor, desk: Desk, tmp_path: Path) -> None:
    wrong = lease(endpoints=[hall.grant(A)]) | {"lease_token": "stolen"}

    with pytest.raises(AttemptError) as refused:
        collect(attempt_at(desk, tmp_path, job(), **wrong))

    assert refused.value.reason == "LEASE_TOKEN_INVALID"


def test_a_slow_disk_does_not_stop_the_targets(
    hall: Floor, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening a recorder and cataloguing take a second each: targets go on, so no refusal and no stop."""
    attempt = attempt_at(desk, tmp_path, job(episodes=2), **lease(endpoints=[hall.grant(A)]))
    recorder = attempt.recorder

    def slow_recorder(*arguments: Any, **fields: Any) -> Any:
        sent.append(None)
        time.sleep(1.0)
        return recorder(*arguments, **fields)

    sent: list[None] = []
    gaps: list[float] = []
    send = UnitDrive._send
    last_s: list[float] = []

    def timed(self: UnitDrive, target: Any) -> None:
        now_s = time.monotonic()
        if last_s:
            gaps.append(now_s - last_s[-1])
        last_s.append(now_s)
        send(self, target)

    monkeypatch.setattr(attempt, "recorder", slow_recorder)
    monkeypatch.setattr(UnitDrive, "_send", timed)
    desk.on_call = lambda method: time.sleep(1.0) if method == "CatalogueEpisode" else None
    collect(attempt)

    assert len(sent) == 2
    assert desk.outcomes() == [SUCCESS, SUCCESS]
    # At 50 Hz; half of a second's pause would show.
    assert max(gaps) < 0.5


def test_a_host_that_is_gone_fails_the_attempt_for_another_try(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.drive.OPEN_PATIENCE_S", 0.3)
    with floor(tmp_path / "state") as hall:
        end = hall.grant(A)

    with pytest.raises(AttemptError) as failed:
        collect(attempt_at(desk, tmp_path, job(), **lease(endpoints=[end])))

    assert failed.value.retryable
