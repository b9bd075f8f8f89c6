"""Pictures for reviewers: signals with the faults marked, and frames of the cameras."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from bench.store_quality import LIMITS, SENSOR, clean_track, planted
from store import LocalObjects, read_episode
from store.__main__ import main
from store.camera import DEPTH_MM, CameraStream
from store.marked import SIDE_PX, contact_sheet, draw_marked
from store.quality import Quality, Track, check_track
from store.reader import Episode
from tests.store.conftest import House, build_header
from tests.store.pictures import seal_with_cameras

RED = np.array((0xC0, 0x39, 0x2B)) / 255
"""Of the only kind that is found."""


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An episode with a camera, 41 rows."""
    deep = CameraStream(640, 16, 20.0, DEPTH_MM)
    folder = tmp_path_factory.mktemp("house")
    house = House(folder, LocalObjects(folder / "objects"), folder / "spool")
    return seal_with_cameras(house, build_header(cameras={"deep": deep}))


def dressed(episode: Episode, track: Track) -> Episode:
    """Return the episode with a track's rows."""
    signals = {name: values for name, values in track.signals.items() if name != SENSOR}
    return dataclasses.replace(episode, time_s=track.time_s, signals=signals, streams={})


def red(path: Path) -> Any:
    return np.abs(imread(path)[..., :3] - RED).max(axis=2) < 0.03


def test_a_fault_is_marked_where_it_is_and_a_clean_episode_has_no_mark(sealed: Any, tmp_path: Path) -> None:
    """A joint that is not a number for a while is drawn in the colour of the fault, and the strip names the time."""
    episode = read_episode(sealed.path)
    for name, track in (("bad.png", planted("not_finite", 3)), ("good.png", clean_track(3))):
        quality = check_track(track, motion=LIMITS)
        draw_marked(dressed(episode, track), quality, tmp_path / name)
        assert {finding.kind for finding in quality.findings} == ({"not_finite"} if name == "bad.png" else set())

    assert red(tmp_path / "bad.png").sum() > 200
    assert red(tmp_path / "good.png").sum() == 0


def test_what_a_camera_saw_is_in_the_picture_thinned_to_a_small_side(sealed: Any, tmp_path: Path) -> None:
    sheet = contact_sheet(sealed.path, "deep", frames=3)
    assert sheet is not None
    assert sheet.shape == (8, 3 * SIDE_PX, 3)
    # Later frames of the picture are farther away, so darker.
    assert sheet[0, 0, 0] > sheet[0, SIDE_PX, 0] > sheet[0, -1, 0]

    assert main(["mark", str(sealed.path), str(tmp_path / "out.png")]) == 0

    greys = imread(tmp_path / "out.png")[..., :3] * 255
    assert (np.abs(greys - float(sheet[0, 0, 0])).max(axis=2) < 1.5).sum() > 100


def test_more_findings_than_can_be_drawn_are_counted(sealed: Any, tmp_path: Path) -> None:
    track = clean_track(1)
    found = check_track(planted("gap", 1), motion=LIMITS)
    (gap,) = found.findings
    (first, *others) = found.steps
    many = dataclasses.replace(first, findings=(gap,) * 500)

    draw_marked(
        dressed(read_episode(sealed.path), track), Quality(0.0, {"timing": 0.0}, (many, *others)), tmp_path / "o.png"
    )

    assert red(tmp_path / "o.png").any()
