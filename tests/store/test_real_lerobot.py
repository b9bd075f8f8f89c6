"""The export read by LeRobot itself, where it is installed: value for value.

LeRobot needs torch and is no dependency of ours; this runs in an environment made for it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from store import read_episode
from store.camera import CameraStream
from store.lerobot import export_lerobot
from tests.store.pictures import colours, seal_with_cameras

pytestmark = pytest.mark.lerobot


@pytest.mark.parametrize("joints", [1, 3])
def test_lerobot_reads_every_value_of_our_export(
    house: Any, make_header: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, joints: int
) -> None:
    """Its own loader, offline: frames, times, tasks, episode bounds, statistics and windows."""
    datasets = pytest.importorskip("lerobot.datasets.lerobot_dataset", exc_type=ImportError)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    tasks = ["reach", "把红色箱子放到架子上", "reach"]
    headers = [make_header(joints, task=task, base_pose=True) for task in tasks]
    sealed = [house.seal(header, rows=40 + i, seed=i) for i, header in enumerate(headers)]
    export_lerobot(house.objects, [s.sha256 for s in sealed], tmp_path / "out", 100)

    dataset = datasets.LeRobotDataset("acme/export", root=tmp_path / "out")

    assert (dataset.num_episodes, dataset.num_frames, dataset.fps) == (3, 40 + 41 + 42, 100)
    index = 0
    for number, one in enumerate(sealed):
        episode = read_episode(one.path)
        for row in range(one.rows):
            item = dataset[index]
            assert item["task"] == tasks[number]
            assert int(item["episode_index"]) == number
            assert int(item["frame_index"]) == row
            assert int(item["index"]) == index
            assert float(item["timestamp"]) == np.float32(row / 100)
            for signal, values in episode.signals.items():
                assert np.array_equal(item[signal].numpy().reshape(-1), values[row])
            index += 1
    actions = np.concatenate([read_episode(one.path).signals["action"] for one in sealed])
    assert np.allclose(dataset.meta.stats["action"]["mean"], actions.mean(axis=0), atol=1e-6)

    windows = datasets.LeRobotDataset(
        "acme/export", root=tmp_path / "out", delta_timestamps={"action": [-0.01, 0.0, 0.01]}
    )
    assert np.array_equal(windows[50]["action"].numpy().reshape(3, joints), actions[49:52])
    assert windows[40]["action_is_pad"].tolist() == [True, False, False]


def test_lerobot_shows_the_frames_of_our_videos(
    house: Any, make_header: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own decoder finds a frame for each step, within its own tolerance, in the second episode of a file too."""
    datasets = pytest.importorskip("lerobot.datasets.lerobot_dataset", exc_type=ImportError)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    front = CameraStream(64, 48, 25.0)
    header = make_header(cameras={"front": front})
    sealed = [seal_with_cameras(house, header, rows=rows) for rows in (41, 45)]
    export_lerobot(house.objects, [s.sha256 for s in sealed], tmp_path / "out", 25)

    dataset = datasets.LeRobotDataset("acme/export", root=tmp_path / "out")

    assert dataset.meta.camera_keys == ["observation.images.front"]
    for index in range(dataset.num_frames):
        item = dataset[index]
        shown = 255 * item["observation.images.front"].numpy().transpose(1, 2, 0)
        assert np.abs(shown - colours(4 * int(item["frame_index"]), front)).mean() < 8.0
    mean = np.array(dataset.meta.stats["observation.images.front"]["mean"]).reshape(3)
    assert np.all((mean > 0.2) & (mean < 0.8))
