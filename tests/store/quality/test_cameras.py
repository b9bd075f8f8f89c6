"""Checks of what cameras show, on planted faults that went through the store's own encoders."""

from dataclasses import replace

import numpy as np
import pytest

from bench.store_cameras import CAMERA, KINDS, frame_faults, watched
from bench.store_quality import LIMITS
from store import Status
from store.camera import DEPTH_MM, CameraStream
from store.episode import STATE
from store.quality import Track, cameras_of, check_track, track_of
from store.quality.cameras import BLOCKS, block_means
from store.quality.finding import CameraTrack
from store.reader import read_episode
from tests.store.conftest import House, build_header
from tests.store.pictures import seal_with_cameras

SIGNAL = f"observation.images.{CAMERA}"


def still(rows: int, *, rate_hz: float = 10.0, light: float = 100.0, spread: float = 20.0) -> CameraTrack:
    """A camera that shows one picture all along."""
    ones = np.ones(rows, np.float32)
    return CameraTrack(np.arange(rows) / rate_hz, np.zeros(rows, np.int64), light * ones, spread * ones, rate_hz)


def moving(rows: int, camera: CameraTrack) -> Track:
    """A joint that turns by a radian within ten seconds."""
    time_s = np.linspace(0.0, 10.0, rows, endpoint=False)
    return Track(time_s, rows / 10.0, {STATE: (time_s / 10.0)[:, None]}, cameras={CAMERA: camera})


def told(track: Track) -> list[tuple[str, str, float, float]]:
    found = check_track(track).findings
    return [(f.kind, f.signal, round(f.start_s, 2), round(f.end_s, 2)) for f in found if f.signal == SIGNAL]


def test_planted_faults_of_cameras_are_found_and_nothing_else_is() -> None:
    pytest.importorskip("av", reason="the extra `video` is not installed")
    figures = frame_faults(4)
    assert set(figures) == set(KINDS)
    assert all(value == 1.0 for one in figures.values() for value in one.values()), figures


def test_a_picture_that_stands_still_while_a_joint_moves_is_told_with_its_time() -> None:
    camera = still(100)
    # New pictures up to 4 s, then one for three seconds, then new ones.
    shows = np.where(np.arange(100) <= 70, np.minimum(np.arange(100), 40), np.arange(100))
    assert told(moving(100, replace(camera, shows=shows))) == [("frozen_frames", SIGNAL, 4.0, 7.0)]


def test_a_camera_before_a_robot_at_rest_is_not_frozen() -> None:
    track = moving(100, still(100))
    assert told(replace(track, signals={STATE: np.zeros((100, 1))})) == []
    assert told(replace(track, signals={})) == []


def test_frames_are_missed_between_others_before_the_first_and_after_the_last() -> None:
    camera, new = still(100), np.arange(100)
    camera = replace(camera, shows=new)
    for keep, want in (
        (np.r_[0:30, 36:100], [(2.9, 3.6)]),
        (np.r_[20:100], [(0.0, 2.0)]),
        (np.r_[0:80], [(7.9, 9.9)]),
        (np.r_[0:30, 31:100], []),
    ):
        rest = replace(camera, time_s=camera.time_s[keep], shows=np.arange(len(keep)), light=camera.light[keep],
                       spread=camera.spread[keep])  # fmt: skip
        assert told(moving(100, rest)) == [("lost_frames", SIGNAL, *one) for one in want]


def test_a_camera_without_a_frame_has_lost_them_all() -> None:
    assert told(moving(100, still(0))) == [("lost_frames", SIGNAL, 0.0, 9.9)]


@pytest.mark.parametrize("changed", [{"light": 2.0}, {"spread": 0.3}])
def test_a_picture_in_which_nothing_is_to_be_seen_is_blank_and_not_frozen_too(changed: dict[str, float]) -> None:
    assert told(moving(100, still(100, **changed))) == [("blank_frames", SIGNAL, 0.0, 9.9)]


def test_a_fault_of_a_camera_costs_its_part_alone_and_without_cameras_there_is_no_such_part() -> None:
    track = watched("", 3, DEPTH_MM)
    clean, without = (check_track(one, motion=LIMITS) for one in (track, replace(track, cameras={})))
    assert clean.parts.items() - without.parts.items() == {("cameras", 1.0)}
    assert clean.score == pytest.approx(1.0)
    faulty = check_track(watched("frozen_frames", 3, DEPTH_MM), motion=LIMITS)
    assert faulty.parts["cameras"] < 1.0
    assert {part for part, value in faulty.parts.items() if value < 1.0} == {"cameras"}
    assert faulty.score < clean.score


def test_what_cameras_show_is_part_of_what_is_looked_at() -> None:
    track = moving(100, still(100))
    other = moving(100, replace(still(100), light=np.full(100, 99.0, np.float32)))
    assert len({track.sha256(), other.sha256(), replace(track, cameras={}).sha256()}) == 3


def test_cameras_of_a_sealed_episode_are_looked_at(house: House) -> None:
    """Each frame of the sample is another picture, and there is one in each row."""
    stream = CameraStream(16, 16, 50.0, DEPTH_MM)
    sealed = seal_with_cameras(house, build_header(cameras={"deep": stream}))
    episode = read_episode(sealed.path)
    assert episode.outcome.status is Status.SUCCESS
    looked = cameras_of(sealed.path, episode.header.cameras)
    assert set(looked) == {"deep"}
    assert len(looked["deep"].time_s) > 10
    assert "cameras" in check_track(track_of(episode, looked)).parts
    assert "cameras" not in check_track(track_of(episode)).parts


@pytest.mark.parametrize("shape", [(48, 64, 3), (50, 37, 3), (17, 16), (4, 2, 3)])
def test_the_means_of_blocks_are_those_of_their_pixels(shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8 if len(shape) == 3 else np.float32)
    edges = [np.linspace(0, size, min(BLOCKS, size), endpoint=False).astype(int).tolist() for size in shape[:2]]
    rows, columns = (np.split(np.arange(size), one[1:]) for size, one in zip(shape[:2], edges, strict=True))
    want = [[picture[np.ix_(row, column)].mean() for column in columns] for row in rows]
    assert np.allclose(block_means(picture), want)
