"""Videos of the export, read by PyAV as LeRobot reads them: by their own timestamps."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]
import pytest

from store import Outcome, Status
from store.camera import DEPTH_MM, CameraStream
from store.errors import ExportRefused
from store.lerobot import export_lerobot
from tests.store.conftest import House, build_header
from tests.store.pictures import colours, seal_with_cameras

av = pytest.importorskip("av", reason="the extra `video` is not installed")

FRONT = CameraStream(64, 48, 25.0)
NAME = "observation.images.front"


def frame_at(path: Path, time_s: float) -> np.ndarray:
    """The frame whose own time is nearest, which LeRobot wants within 0.1 ms."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    nearest = min(frames, key=lambda frame: abs(frame.time - time_s))
    assert abs(nearest.time - time_s) < 1e-4
    found: np.ndarray = nearest.to_ndarray(format="rgb24")
    return found


def exported(house: House, out: Path, fps: int, count: int = 2, **options: Any) -> list[dict[str, Any]]:
    header = build_header(cameras={"front": FRONT})
    digests = [seal_with_cameras(house, header, rows=41 + 4 * i).sha256 for i in range(count)]
    export_lerobot(house.objects, digests, out, fps, **options)
    rows: list[dict[str, Any]] = pq.read_table(out / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    return rows


@pytest.mark.parametrize("fps", [25, 50, 20])
def test_each_step_has_the_latest_frame_at_its_own_time(house: House, tmp_path: Path, fps: int) -> None:
    """At the camera's rate, above it, and at one that does not divide: two episodes in one file."""
    rows = exported(house, tmp_path / "out", fps)

    info = json.loads((tmp_path / "out/meta/info.json").read_text())
    assert info["features"][NAME]["shape"] == [48, 64, 3]
    assert info["features"][NAME]["info"]["video.fps"] == fps
    end_s = 0.0
    for row in rows:
        place = {key: row[f"videos/{NAME}/{key}"] for key in ("chunk_index", "file_index")}
        path = tmp_path / "out" / info["video_path"].format(video_key=NAME, **place)
        start_s = row[f"videos/{NAME}/from_timestamp"]
        assert start_s == pytest.approx(end_s)
        end_s = row[f"videos/{NAME}/to_timestamp"]
        assert end_s - start_s == pytest.approx(row["length"] / fps)
        for step in {0, 1, row["length"] // 2, row["length"] - 1}:
            # Rows come at 100 Hz, frames with every fourth.
            seen = 4 * int(step / fps * 100 / 4 + 1e-6)
            frame = frame_at(path, start_s + step / fps)
            assert np.abs(frame.astype(int) - colours(seen, FRONT)).mean() < 8.0
            assert np.abs(frame.astype(int) - colours(seen + 12, FRONT)).mean() > 12.0


def test_statistics_are_of_each_channel_from_0_to_1(house: House, tmp_path: Path) -> None:
    rows = exported(house, tmp_path / "out", 25)

    stats = json.loads((tmp_path / "out/meta/stats.json").read_text())[NAME]
    wanted = np.stack([colours(4 * i, FRONT) for i in range(11)]).reshape(-1, 3) / 255
    assert np.allclose(np.array(stats["mean"]).reshape(3), wanted.mean(axis=0), atol=0.02)
    assert np.array(stats["max"]).shape == (3, 1, 1)
    assert stats["count"] == [11 + 12]
    assert rows[0][f"stats/{NAME}/count"] == [11]


def test_a_full_video_file_is_followed_by_the_next(house: House, tmp_path: Path) -> None:
    rows = exported(house, tmp_path / "out", 25, count=3, video_file_mb=1e-6)

    assert [row[f"videos/{NAME}/file_index"] for row in rows] == [0, 1, 2]
    assert [row[f"videos/{NAME}/from_timestamp"] for row in rows] == [0.0, 0.0, 0.0]
    for row in rows:
        path = tmp_path / "out" / f"videos/{NAME}/chunk-000/file-{row['episode_index']:03d}.mp4"
        assert np.abs(frame_at(path, 0.0).astype(int) - colours(0, FRONT)).mean() < 8.0


def test_a_camera_without_a_frame_is_refused_by_name(house: House, tmp_path: Path) -> None:
    header = build_header(cameras={"front": FRONT})
    with house.recorder(header) as recorder:
        row = np.zeros(len(header.joint_names))
        recorder.append(0.0, row, row, row, row)
        sealed = recorder.seal(Outcome(Status.SUCCESS))

    with pytest.raises(ExportRefused, match=f"{NAME}: the camera has no frame"):
        export_lerobot(house.objects, [sealed.sha256], tmp_path / "out", 25)
    assert not (tmp_path / "out").exists()


def test_the_same_episodes_give_the_same_videos(house: House, tmp_path: Path) -> None:
    hashes = set()
    for name in ("one", "two"):
        exported(house, tmp_path / name, 25)
        video = (tmp_path / name / f"videos/{NAME}/chunk-000/file-000.mp4").read_bytes()
        hashes.add(hashlib.sha256(video).hexdigest())
    assert len(hashes) == 1


def test_a_camera_that_not_all_episodes_have_and_depths_are_left_out_and_said_to_be(
    house: House, tmp_path: Path
) -> None:
    deep = CameraStream(16, 16, 25.0, DEPTH_MM)
    headers = [build_header(cameras=each) for each in ({"front": FRONT, "deep": deep}, {"deep": deep})]
    digests = [seal_with_cameras(house, header).sha256 for header in headers]
    export_lerobot(house.objects, digests, tmp_path / "out", 25)

    sidecar = json.loads((tmp_path / "out/meta/palaestra.json").read_text())
    assert sidecar["omitted_signals"] == ["observation.images.deep", NAME]
    assert not (tmp_path / "out/videos").exists()
