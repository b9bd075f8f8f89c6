"""The export, read back by a strict reader of the published format that shares no code with the writer."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]
import pytest

from store import (
    BrokenEpisode,
    ExportRefused,
    InvalidDigest,
    ObjectNotFound,
    Outcome,
    Status,
    StoreFull,
    joint_units,
    read_episode,
)
from store.lerobot import export_job, export_lerobot

SCALARS = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
INFO_KEYS = {
    "codebase_version",
    "robot_type",
    "total_episodes",
    "total_frames",
    "total_tasks",
    "chunks_size",
    "data_files_size_in_mb",
    "video_files_size_in_mb",
    "fps",
    "splits",
    "data_path",
    "video_path",
    "features",
}
STATS = ("min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99")


@dataclass
class Read:
    """A data set as the strict reader saw it."""

    info: dict[str, Any]
    columns: dict[str, np.ndarray]
    episodes: list[dict[str, Any]]
    tasks: list[str]
    stats: dict[str, Any]
    sidecar: dict[str, Any]


def strict_read(root: Path) -> Read:
    """Read a data set and check every rule of format v3.0 on the way."""
    info = json.loads((root / "meta/info.json").read_text())
    assert set(info) == INFO_KEYS
    assert info["codebase_version"] == "v3.0"
    assert type(info["fps"]) is int
    assert info["splits"] == {"train": f"0:{info['total_episodes']}"}
    features = info["features"]
    for name, dtype in SCALARS.items():
        assert features[name] == {"dtype": dtype, "shape": [1], "names": None}
    for feature in features.values():
        assert set(feature) == {"dtype", "shape", "names"}
        assert feature["names"] is None or len(feature["names"]) == feature["shape"][0]

    tasks = read_tasks(root / "meta/tasks.parquet")
    assert len(tasks) == info["total_tasks"]
    episodes = read_episodes(root, features)
    assert len(episodes) == info["total_episodes"]
    columns = read_data(root, info, episodes)
    length = info["total_frames"]
    assert columns["index"].tolist() == list(range(length))
    check_indices(columns, episodes, tasks, info["fps"])
    stats = json.loads((root / "meta/stats.json").read_text())
    assert set(stats) == set(features)
    for name, feature in features.items():
        assert set(stats[name]) == set(STATS)
        assert stats[name]["count"] == [length]
        assert all(len(stats[name][s]) == feature["shape"][0] for s in STATS if s != "count")
    known = {"info.json", "stats.json", "tasks.parquet", "episodes", "palaestra.json"}
    assert {path.name for path in (root / "meta").iterdir()} == known
    assert {path.name for path in root.iterdir()} == {"meta", "data"}
    return Read(info, columns, episodes, tasks, stats, json.loads((root / "meta/palaestra.json").read_text()))


def read_tasks(path: Path) -> list[str]:
    """Read the task table: pandas must find the text as its index."""
    table = pq.read_table(path)
    described = json.loads(table.schema.metadata[b"pandas"])
    assert described["index_columns"] == ["task"]
    assert [column["name"] for column in described["columns"]] == table.column_names
    assert table.schema.field("task_index").type == pa.int64()
    assert table.schema.field("task").type == pa.string()
    assert table["task_index"].to_pylist() == list(range(len(table)))
    tasks: list[str] = table["task"].to_pylist()
    assert len(set(tasks)) == len(tasks)
    return tasks


def read_episodes(root: Path, features: dict[str, Any]) -> list[dict[str, Any]]:
    """Read the episode table and check its columns and types."""
    table = pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet")
    wanted = {
        "episode_index": pa.int64(),
        "tasks": pa.list_(pa.string()),
        "length": pa.int64(),
        "data/chunk_index": pa.int64(),
        "data/file_index": pa.int64(),
        "dataset_from_index": pa.int64(),
        "dataset_to_index": pa.int64(),
        "meta/episodes/chunk_index": pa.int64(),
        "meta/episodes/file_index": pa.int64(),
    }
    for name, feature in features.items():
        whole = {"count", "min", "max"} if feature["dtype"] == "int64" else {"count"}
        for statistic in STATS:
            wanted[f"stats/{name}/{statistic}"] = pa.list_(pa.int64() if statistic in whole else pa.float64())
    assert {field.name: field.type for field in table.schema} == wanted
    rows: list[dict[str, Any]] = table.to_pylist()
    assert [row["episode_index"] for row in rows] == list(range(len(rows)))
    assert {(r["meta/episodes/chunk_index"], r["meta/episodes/file_index"]) for r in rows} == {(0, 0)}
    return rows


def read_data(root: Path, info: dict[str, Any], episodes: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Read all data files in order; every row group is one episode and lies where the table says."""
    places = [(row["data/chunk_index"], row["data/file_index"]) for row in episodes]
    assert places == sorted(places)
    files = sorted(root.glob("data/*/*"))
    paths = [info["data_path"].format(chunk_index=c, file_index=f) for c, f in dict.fromkeys(places)]
    assert files == [root / path for path in paths]
    described = {}
    for name, feature in info["features"].items():
        value = {"dtype": feature["dtype"], "_type": "Value"}
        width = feature["shape"][0]
        described[name] = value if width == 1 else {"feature": value, "length": width, "_type": "List"}
    tables = []
    for place, path in zip(dict.fromkeys(places), files, strict=True):
        file = pq.ParquetFile(path)
        words = json.loads(file.schema_arrow.metadata[b"huggingface"])
        assert words == {"info": {"features": described}}
        for name, feature in info["features"].items():
            kind = {"float32": pa.float32(), "int64": pa.int64()}[feature["dtype"]]
            width = feature["shape"][0]
            found = file.schema_arrow.field(name).type
            assert found == (kind if width == 1 else pa.list_(kind, width))
        inside = [row for row, at in zip(episodes, places, strict=True) if at == place]
        assert file.num_row_groups == len(inside)
        for group, row in enumerate(inside):
            assert file.metadata.row_group(group).num_rows == row["length"]
        tables.append(file.read())
    table = pa.concat_tables(tables)
    assert set(table.column_names) == set(info["features"])
    assert all(table[name].null_count == 0 for name in table.column_names)
    return {name: np.array(table[name].to_pylist()) for name in table.column_names}


def check_indices(columns: dict[str, np.ndarray], episodes: list[dict[str, Any]], tasks: list[str], fps: int) -> None:
    """Check that episodes follow each other without holes and that each row knows its place."""
    end = 0
    for row in episodes:
        start, end_before = row["dataset_from_index"], end
        end = row["dataset_to_index"]
        assert start == end_before
        assert end - start == row["length"] > 0
        inside = slice(start, end)
        assert columns["frame_index"][inside].tolist() == list(range(row["length"]))
        assert set(columns["episode_index"][inside]) == {row["episode_index"]}
        assert [tasks[index] for index in dict.fromkeys(columns["task_index"][inside])] == row["tasks"]
        even = (np.arange(row["length"]) / fps).astype(np.float32)
        assert np.array_equal(columns["timestamp"][inside].astype(np.float32), even)
    assert end == len(columns["index"])


def test_every_value_is_where_the_format_says(house: Any, make_header: Any, tmp_path: Path) -> None:
    """Five episodes of three tasks at the rate of their recording: all values exact, in all indices."""
    tasks = ["reach", "把红色箱子放到架子上", "reach", "wave ✋", "reach"]
    sealed = [house.seal(make_header(task=task), rows=30 + i, seed=i) for i, task in enumerate(tasks)]

    dataset = export_lerobot(house.objects, [s.sha256 for s in sealed], tmp_path / "out", 100)

    read = strict_read(tmp_path / "out")
    assert read.tasks == ["reach", "把红色箱子放到架子上", "wave ✋"]
    assert (read.info["robot_type"], read.info["fps"], read.info["total_episodes"]) == ("own_arm", 100, 5)
    assert read.info["features"]["action"]["names"] == ["joint_0", "joint_1", "joint_2"]
    assert (dataset.path, dataset.robot_model, dataset.episodes) == (tmp_path / "out", "own_arm", 5)
    assert dataset.steps == read.info["total_frames"] == sum(s.rows for s in sealed)
    for row, one in zip(read.episodes, sealed, strict=True):
        episode = read_episode(one.path)
        for signal, values in episode.signals.items():
            found = read.columns[signal][row["dataset_from_index"] : row["dataset_to_index"]]
            assert np.array_equal(found.astype(np.float32), values)


def test_statistics_are_those_of_the_rows(house: Any, make_header: Any, tmp_path: Path) -> None:
    """Recomputed by numpy from the data files; the quantiles of the set are weighted means."""
    digests = [house.seal(rows=20 + 30 * seed, seed=seed).sha256 for seed in range(4)]
    export_lerobot(house.objects, digests, tmp_path / "out", 50)
    read = strict_read(tmp_path / "out")

    levels = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
    for name, column in read.columns.items():
        column = column.reshape(len(column), -1).astype(np.float64)
        stats = read.stats[name]
        assert stats["min"] == column.min(axis=0).tolist()
        assert stats["max"] == column.max(axis=0).tolist()
        assert stats["mean"] == pytest.approx(column.mean(axis=0).tolist(), rel=1e-9, abs=1e-12)
        assert stats["std"] == pytest.approx(column.std(axis=0).tolist(), rel=1e-9, abs=1e-12)
        weighted = {level: np.zeros(column.shape[1]) for level in levels}
        for row in read.episodes:
            part = column[row["dataset_from_index"] : row["dataset_to_index"]]
            assert row[f"stats/{name}/min"] == part.min(axis=0).tolist()
            assert row[f"stats/{name}/max"] == part.max(axis=0).tolist()
            assert row[f"stats/{name}/count"] == [len(part)]
            assert row[f"stats/{name}/mean"] == pytest.approx(part.mean(axis=0).tolist(), abs=1e-12)
            assert row[f"stats/{name}/std"] == pytest.approx(part.std(axis=0).tolist(), abs=1e-12)
            for level, share in levels.items():
                quantile = np.quantile(part, share, axis=0)
                assert row[f"stats/{name}/{level}"] == pytest.approx(quantile.tolist(), abs=1e-12)
                weighted[level] += quantile * len(part) / len(column)
        for level in levels:
            assert stats[level] == pytest.approx(weighted[level].tolist(), abs=1e-9)


def test_a_slower_view_is_resampled_and_says_how(house: Any, tmp_path: Path) -> None:
    """500 Hz to 30 steps per second: between the samples, with the method and the source beside it."""
    sealed = house.seal(rows=1001, rate_hz=500.0, outcome=Outcome(Status.FAILURE, "fell", -2.0))
    episode = read_episode(sealed.path)

    export_lerobot(house.objects, [sealed.sha256], tmp_path / "out", 30)

    read = strict_read(tmp_path / "out")
    assert read.info["total_frames"] == 61
    at_s = np.arange(61) / 30
    for joint in range(3):
        straight = np.interp(at_s, episode.time_s, episode.signals["observation.state"][:, joint])
        assert np.allclose(read.columns["observation.state"][:, joint], straight, atol=1e-6)
    held = np.floor(at_s * 500 + 1e-6).astype(int)
    assert np.array_equal(read.columns["action"].astype(np.float32), episode.signals["action"][np.minimum(held, 1000)])
    assert read.sidecar["resampling"]["observation.state"] == "linear"
    assert read.sidecar["resampling"]["action"] == "hold"
    (provenance,) = read.sidecar["episodes"]
    assert provenance["sha256"] == sealed.sha256
    assert provenance["header"] == json.loads(episode.header.to_json())
    assert provenance["outcome"] == {"status": "failure", "cause": "fell", "episode_return": -2.0}
    assert (provenance["rows"], provenance["steps"]) == (1001, 61)
    assert provenance["longest_gap_s"] == pytest.approx(1 / 500)


def test_a_body_with_one_joint_has_plain_columns(house: Any, make_header: Any, tmp_path: Path) -> None:
    """The format has no list of length 1: the strict reader wants a plain column."""
    sealed = house.seal(make_header(1))

    export_lerobot(house.objects, [sealed.sha256], tmp_path / "out", 100)

    read = strict_read(tmp_path / "out")
    values = read_episode(sealed.path).signals["action"][:, 0]
    assert np.array_equal(read.columns["action"].astype(np.float32), values)


def test_a_signal_that_some_lack_is_left_out_and_named(house: Any, make_header: Any, tmp_path: Path) -> None:
    """A base pose in one of two episodes; in both it stays."""
    with_pose = house.seal(make_header(base_pose=True)).sha256
    without = house.seal(seed=1).sha256

    export_lerobot(house.objects, [with_pose, without], tmp_path / "mixed", 100)
    export_lerobot(house.objects, [with_pose], tmp_path / "pose", 100)

    mixed, pose = strict_read(tmp_path / "mixed"), strict_read(tmp_path / "pose")
    assert mixed.sidecar["omitted_signals"] == ["observation.base_pose"]
    assert "observation.base_pose" not in mixed.columns
    assert pose.columns["observation.base_pose"].shape == (100, 7)
    assert pose.sidecar["omitted_signals"] == []


def test_full_files_are_followed_by_new_ones(house: Any, tmp_path: Path) -> None:
    """With a bound of 3 kB, two episodes fill a file; the episode table knows where each lies."""
    digests = [house.seal(rows=30, seed=seed).sha256 for seed in range(5)]

    export_lerobot(house.objects, digests, tmp_path / "out", 100, data_file_mb=0.003)

    read = strict_read(tmp_path / "out")
    assert len(list((tmp_path / "out/data").rglob("*.parquet"))) > 1
    assert len({row["data/file_index"] for row in read.episodes}) > 1


def tree(root: Path) -> dict[str, str]:
    """Return the hash of every file."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_the_same_episodes_give_the_same_bytes(house: Any, tmp_path: Path) -> None:
    """And another order gives others."""
    digests = [house.seal(seed=seed).sha256 for seed in range(3)]
    for name, order in (("a", digests), ("b", digests), ("c", digests[::-1])):
        export_lerobot(house.objects, order, tmp_path / name, 50)

    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert tree(tmp_path / "a") != tree(tmp_path / "c")


def test_bodies_are_not_mixed_in_one_data_set_but_a_job_is_split(house: Any, make_header: Any, tmp_path: Path) -> None:
    """Two models, and one of them with another set of joints: three data sets, each strictly right."""
    headers = [
        make_header(robot_model="maker/robotModels/A1"),
        make_header(4, robot_model="maker/robotModels/B2"),
        make_header(robot_model="maker/robotModels/A1"),
        make_header(5, robot_model="maker/robotModels/B2"),
    ]
    digests = [house.seal(header, seed=i).sha256 for i, header in enumerate(headers)]
    seen: list[tuple[int, int]] = []

    with pytest.raises(ExportRefused, match=r"'maker/robotModels/B2' with 4 joints .* 'maker/robotModels/A1'"):
        export_lerobot(house.objects, digests, tmp_path / "one", 100)
    datasets = export_job(
        house.objects, digests, tmp_path / "job", 100, progress=lambda done, total: seen.append((done, total))
    )

    assert not (tmp_path / "one").exists()
    assert [(d.robot_model[-2:], d.episodes) for d in datasets] == [("A1", 2), ("B2", 1), ("B2", 1)]
    assert len({d.path for d in datasets}) == 3
    assert {d.path for d in datasets} == set((tmp_path / "job").iterdir())
    assert datasets[0].path.name == "maker-robotmodels-a1"
    exported = [e["sha256"] for d in datasets for e in strict_read(d.path).sidecar["episodes"]]
    assert exported == [digests[0], digests[2], digests[1], digests[3]]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_job_with_one_body_is_one_data_set(house: Any, tmp_path: Path) -> None:
    """No folder in between."""
    digests = [house.seal(seed=seed).sha256 for seed in range(2)]

    (dataset,) = export_job(house.objects, digests, tmp_path / "job", 100)

    assert dataset.path == tmp_path / "job"
    assert strict_read(tmp_path / "job").info["total_episodes"] == 2


@pytest.mark.parametrize("name", ["../../evil", "..", "/", "", "\x00", "a" * 300, "机器人"])
def test_a_robot_model_never_names_a_folder_outside(house: Any, make_header: Any, tmp_path: Path, name: str) -> None:
    """Whatever the header says, the folders lie inside the target."""
    model = name if name.strip() and "\x00" not in name and len(name) < 256 else f"{name[:10]!r}"
    digests = [house.seal(make_header(robot_model=m)).sha256 for m in (model, "other")]

    datasets = export_job(house.objects, digests, tmp_path / "job", 100)

    assert all(dataset.path.parent == tmp_path / "job" for dataset in datasets)
    assert all((dataset.path / "meta/info.json").is_file() for dataset in datasets)


@pytest.mark.parametrize("fps", [0, -1, 1001, 30.0, True, "50"])
def test_a_rate_that_is_none_is_refused(house: Any, tmp_path: Path, fps: Any) -> None:
    """The format wants whole steps per second."""
    with pytest.raises(ExportRefused, match="fps"):
        export_lerobot(house.objects, [house.seal().sha256], tmp_path / "out", fps)


def test_what_cannot_be_exported_is_named_and_leaves_nothing(house: Any, make_header: Any, tmp_path: Path) -> None:
    """None, doubled, missing, ill-formed names, damaged bytes, other units, too many steps."""
    good = house.seal()
    damaged = house.seal(seed=1)
    content = bytearray(damaged.path.read_bytes())
    content[len(content) // 3] ^= 1
    damaged.path.write_bytes(content)
    swapped = house.seal(seed=3)
    swapped.path.write_bytes(good.path.read_bytes())
    in_degrees = house.seal(make_header(units={**joint_units(), "action": "deg"}), seed=2)
    recorder = house.recorder()
    for time_s in (0.0, 1e9):
        recorder.append(time_s, *[[0.0] * 3] * 4)
    endless = recorder.seal(Outcome(Status.SUCCESS))

    for digests, error, words in (
        ([], ExportRefused, "no episodes"),
        ([good.sha256, good.sha256], ExportRefused, "twice"),
        (["0" * 64], ObjectNotFound, "0" * 64),
        (["../../x"], InvalidDigest, "no SHA-256"),
        ([good.sha256, damaged.sha256], BrokenEpisode, damaged.sha256),
        ([swapped.sha256], BrokenEpisode, "has the hash"),
        ([good.sha256, in_degrees.sha256], ExportRefused, "action in 'deg' does not go with 'rad'"),
        ([endless.sha256], ExportRefused, "too many steps"),
    ):
        with pytest.raises(error, match=words):
            export_lerobot(house.objects, digests, tmp_path / "out", 50)
        assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_a_target_in_use_is_refused_and_left_alone(house: Any, tmp_path: Path) -> None:
    """A folder with something in it, a file, a link; an empty folder is taken."""
    digests = [house.seal().sha256]
    (tmp_path / "used").mkdir()
    (tmp_path / "used/note").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for name in ("used", "file", "link"):
        with pytest.raises(ExportRefused, match=name):
            export_lerobot(house.objects, digests, tmp_path / name, 50)

    export_lerobot(house.objects, digests, tmp_path / "empty", 50)

    strict_read(tmp_path / "empty")
    assert (tmp_path / "used/note").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "mine"


def test_a_target_that_somebody_takes_meanwhile_is_left_alone(house: Any, tmp_path: Path) -> None:
    """Free at the start, in use at the end."""

    def take(done: int, total: int) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out/note").write_text("mine")

    with pytest.raises(ExportRefused, match="not an empty folder"):
        export_lerobot(house.objects, [house.seal().sha256], tmp_path / "out", 50, progress=take)

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["note"]


def test_the_target_appears_only_when_it_is_whole(house: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While episodes are written there is no target; a disk full at the last flush leaves none."""
    digests = [house.seal(seed=seed).sha256 for seed in range(3)]
    seen = []
    export_lerobot(
        house.objects, digests, tmp_path / "a", 50, progress=lambda *_: seen.append((tmp_path / "a").exists())
    )
    assert seen == [False, False, False]

    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFull, match="No space left"):
        export_lerobot(house.objects, digests, tmp_path / "b", 50)
    assert [path.name for path in tmp_path.iterdir() if path.name.strip(".")[0] == "b"] == []
