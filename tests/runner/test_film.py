"""Cameras of a collecting job: frames in the episodes, and what happens where they cannot be had."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palaestra import jobs
from runner import film
from runner.attempt import Attempt
from runner.collect import collect
from runner.errors import AttemptError
from runner.replay.world import verify
from sim.cameras import Cameras, Frames
from sim.errors import NoDisplay
from sim.picture import offscreen
from store import read_episode
from store.reader import CameraFrames, read_camera
from tests.runner.desk import Desk, attempt_at

RAYS = jobs.camera("deep", picture="ray_depth", width_px=32, height_px=24, rate_hz=12.5)
SIDE = jobs.camera("side", width_px=64, height_px=48)


def job(*cameras: Any, worlds: int = 2) -> Any:
    return jobs.collect(
        motion="reach_around", episode_s=0.4, robot_model="own_arm", worlds=worlds, seed=4, cameras=cameras
    )


def recorded(attempt: Attempt, desk: Desk, camera: str) -> list[CameraFrames]:
    return [
        read_camera(attempt.objects.path_of(episode.content.sha256), camera)
        for _, episode in sorted(desk.episodes.items())
    ]


def need_pictures() -> None:
    pytest.importorskip("av", reason="the extra `video` is not installed")
    try:
        context, _ = offscreen(16, 16)
    except NoDisplay as error:
        pytest.skip(str(error))
    context.free()


def test_frames_stand_in_the_rows_of_their_steps_and_show_the_worlds(desk: Desk, tmp_path: Path) -> None:
    """Rows come at 50 Hz: a camera of 12.5 Hz has a frame in each fourth; two worlds differ, as what they do does."""
    attempt = attempt_at(desk, tmp_path, job(RAYS))
    collect(attempt)

    one, other = recorded(attempt, desk, "deep")
    assert one.rows.tolist() == other.rows.tolist() == [0, 4, 8, 12, 16]
    assert np.allclose(one.time_s, 0.02 + 0.08 * np.arange(5))
    first, *_, last = one.frames()
    assert first.shape == (24, 32)
    assert first.max() > 1.0
    assert not np.array_equal(first, last)


def test_colours_are_recorded_too_and_an_episode_with_cameras_runs_again(desk: Desk, tmp_path: Path) -> None:
    """Also what the world did is the same to the last bit as without anybody looking."""
    need_pictures()
    attempt = attempt_at(desk, tmp_path, job(SIDE, worlds=1))
    collect(attempt)
    unseen_desk = Desk()
    unseen = attempt_at(unseen_desk, tmp_path, job(worlds=1))
    collect(unseen)

    (frames,) = recorded(attempt, desk, "side")
    pictures = list(frames.frames())
    assert len(pictures) == 10
    assert pictures[0].shape == (48, 64, 3)
    assert pictures[0].std() > 10.0
    (seen_entry,), (unseen_entry,) = desk.episodes.values(), unseen_desk.episodes.values()
    seen = read_episode(attempt.objects.path_of(seen_entry.content.sha256))
    alone = read_episode(unseen.objects.path_of(unseen_entry.content.sha256))
    assert seen.replay is not None
    assert alone.replay is not None
    assert seen.replay.digests.tolist() == alone.replay.digests.tolist()
    assert verify(seen).same


def test_a_drawing_process_that_is_killed_costs_no_frame(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before its third picture: another one draws the same, and the slot has noticed nothing."""
    undisturbed = attempt_at(other := Desk(), tmp_path, job(RAYS, worlds=1))
    collect(undisturbed)
    killed = []
    draw = Cameras.draw

    def kill_then_draw(self: Cameras, *args: Any, tick: int = 0, **kwargs: Any) -> Frames:
        if tick == 8 and not killed:
            killed.append(self.pid)
            os.kill(self.pid, signal.SIGKILL)
        return draw(self, *args, tick=tick, **kwargs)

    monkeypatch.setattr(Cameras, "draw", kill_then_draw)
    attempt = attempt_at(desk, tmp_path, job(RAYS, worlds=1))
    collect(attempt)

    assert killed
    assert any("was killed by SIGKILL while it drew step 8" in line for line in desk.log)
    for one, two in zip(recorded(attempt, desk, "deep"), recorded(undisturbed, other, "deep"), strict=True):
        assert one.packets == two.packets


def test_drawing_that_dies_again_and_again_fails_the_attempt_with_its_reason(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = Cameras.draw

    def kill_then_draw(self: Cameras, *args: Any, **kwargs: Any) -> Frames:
        os.kill(self.pid, signal.SIGKILL)
        return draw(self, *args, **kwargs)

    monkeypatch.setattr(Cameras, "draw", kill_then_draw)
    with pytest.raises(AttemptError, match="killed by SIGKILL while it drew step 0") as caught:
        collect(attempt_at(desk, tmp_path, job(RAYS)))

    assert (caught.value.reason, caught.value.retryable) == ("WORK_FAILED", True)
    assert not desk.episodes


@pytest.mark.parametrize(
    ("camera", "says"),
    [
        (jobs.camera("deep", picture="ray_depth", body="nose"), "no body 'nose'; there are"),
        (jobs.camera("deep", picture="ray_depth", model_camera="top"), "the model has no camera 'top'; it has"),
        (jobs.camera("deep", picture="ray_depth", width_px=321), "width_px = 321: an even number"),
        (jobs.camera("deep", picture="ray_depth", position_m=(1.0, 2.0)), "position_m has 2 numbers"),
    ],
)
def test_a_camera_that_cannot_be_had_is_named_before_anything_is_recorded(
    desk: Desk, tmp_path: Path, camera: Any, says: str
) -> None:
    with pytest.raises(AttemptError, match=says) as caught:
        collect(attempt_at(desk, tmp_path, job(camera)))

    assert (caught.value.reason, caught.value.retryable) == ("BAD_CAMERA", False)


def test_more_worlds_than_can_be_filmed_and_names_that_come_twice_are_refused(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(AttemptError, match=f"{film.WORLDS_MAX} worlds at most, and the job has 65"):
        collect(attempt_at(desk, tmp_path, job(RAYS, worlds=65)))
    with pytest.raises(AttemptError, match="each once"):
        collect(attempt_at(desk, tmp_path, job(RAYS, RAYS)))
