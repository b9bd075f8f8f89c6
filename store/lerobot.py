"""Export episodes as a LeRobot data set, format v3.0, with numpy and pyarrow alone.

The format is the one of LeRobotDataset, `codebase_version` v3.0 (huggingface/lerobot 0.4 to 0.6):

    data/chunk-000/file-000.parquet           steps of many episodes, one row group per episode
    videos/observation.images.front/...       what a camera saw, one frame for each step (`store.lerobot_video`)
    meta/info.json                            rates, totals, features, path patterns
    meta/stats.json                           statistics per feature over all episodes
    meta/tasks.parquet                        task texts, the index of a pandas table
    meta/episodes/chunk-000/file-000.parquet  one row per episode: where it lies, its tasks and statistics
    meta/palaestra.json                       ours: provenance of every episode and how it was resampled

The same episodes in the same order give the same bytes.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

from store.episode import BASE_POSE, BASE_POSE_NAMES, MAX_VALUES, EpisodeHeader
from store.errors import ExportRefused
from store.featurestats import QUANTILES, FeatureStats
from store.folder import new_folder
from store.lerobot_video import CHUNK_FILES, VIDEO_PATH, Videos, common_cameras, image_lists, video_feature
from store.objects import ObjectStore
from store.reader import Episode, read_camera, read_episode, read_summary
from store.steps import METHODS, resample, step_times

CODEBASE_VERSION = "v3.0"
DATA_FILE_MB = 100
VIDEO_FILE_MB = 200
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
MAX_FPS = 1000

Progress = Callable[[int, int], None]

_COUNTERS = {"frame_index": "int64", "episode_index": "int64", "index": "int64", "task_index": "int64"}
_SCALARS = {"timestamp": "float32", **_COUNTERS}
_EPISODES_PER_GROUP = 500


@dataclass(frozen=True)
class Dataset:
    """One written data set."""

    path: Path
    robot_model: str
    episodes: int
    steps: int


def export_lerobot(
    objects: ObjectStore,
    digests: Sequence[str],
    out_dir: Path,
    fps: int,
    *,
    progress: Progress | None = None,
    data_file_mb: float = DATA_FILE_MB,
    video_file_mb: float = VIDEO_FILE_MB,
) -> Dataset:
    """Write the episodes as one data set; `out_dir` appears whole or not at all.

    Every source is read once and must have the hash that names it. One episode is in memory at a time.

    Args:
        objects: Where the episodes lie.
        digests: Their names, in the order of their `episode_index`; each once.
        out_dir: Must not exist, or be an empty folder.
        fps: Steps per second of the even view, 1 to 1000.
        progress: Called with (episodes done, episodes in all) after each episode.
        data_file_mb: A data file is closed after the episode that makes it this big [1e6 bytes].
        video_file_mb: The same of a video file.

    Raises:
        ExportRefused: No or doubled episodes, a bad `fps`, a target in use, or episodes whose robot models,
            joint names or units of measure differ: one data set has one body.
        ObjectNotFound, InvalidDigest, BrokenEpisode: A source is missing or damaged.
        StoreFull: No room; nothing of the data set stays.
        VideoUnavailable: The episodes have cameras, and PyAV is not installed.
    """
    headers = _read_headers(objects, digests, fps)
    first = next(iter(headers.values()))
    for digest, header in headers.items():
        if _body(header) != _body(first):
            raise ExportRefused(
                f"episode {digest}: robot model {header.robot_model!r} with {len(header.joint_names)} joints "
                f"does not go with {first.robot_model!r} with {len(first.joint_names)} joints "
                "in one data set; export_job splits by body"
            )
    count = _counter(progress, len(headers))
    with new_folder(out_dir) as folder:
        steps = _write(objects, headers, folder, fps, count, data_file_mb, video_file_mb)
    return Dataset(out_dir, first.robot_model, len(headers), steps)


def export_job(
    objects: ObjectStore,
    digests: Sequence[str],
    out_dir: Path,
    fps: int,
    *,
    progress: Progress | None = None,
    data_file_mb: float = DATA_FILE_MB,
) -> list[Dataset]:
    """Write the episodes of a job: as one data set, or as one folder per body where bodies are mixed.

    Arguments and errors are those of `export_lerobot`, but for the mix of bodies. The folders are named after
    the robot model; all of them appear together or not at all.
    """
    headers = _read_headers(objects, digests, fps)
    bodies: dict[tuple[str, tuple[str, ...]], dict[str, EpisodeHeader]] = {}
    for digest, header in headers.items():
        bodies.setdefault(_body(header), {})[digest] = header
    count = _counter(progress, len(headers))
    datasets: list[Dataset] = []
    with new_folder(out_dir) as folder:
        for (robot_model, joint_names), group in bodies.items():
            name = _folder_name(robot_model, joint_names, list(bodies)) if len(bodies) > 1 else ""
            steps = _write(objects, group, folder / name, fps, count, data_file_mb, VIDEO_FILE_MB)
            datasets.append(Dataset(out_dir / name, robot_model, len(group), steps))
    return datasets


def _read_headers(objects: ObjectStore, digests: Sequence[str], fps: int) -> dict[str, EpisodeHeader]:
    if type(fps) is not int or not 1 <= fps <= MAX_FPS:
        raise ExportRefused(f"fps {fps!r} is not an integer from 1 to {MAX_FPS}")
    if not digests:
        raise ExportRefused("no episodes: a data set has at least one")
    headers: dict[str, EpisodeHeader] = {}
    for digest in digests:
        if digest in headers:
            raise ExportRefused(f"episode {digest} is named twice")
        headers[digest] = read_summary(objects.path_of(digest)).header
    return headers


def _body(header: EpisodeHeader) -> tuple[str, tuple[str, ...]]:
    return header.robot_model, header.joint_names


def _folder_name(robot_model: str, joint_names: tuple[str, ...], bodies: Sequence[tuple[str, tuple[str, ...]]]) -> str:
    """Return a safe folder name for a body; a hash tells apart bodies whose names would be the same."""
    names = [_slug(model) for model, _ in bodies]
    slug = _slug(robot_model)
    if names.count(slug) == 1:
        return slug
    text = "\0".join((robot_model, *joint_names))
    return f"{slug}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _slug(robot_model: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", robot_model).strip("-")[:100].lower() or "robot"


def _counter(progress: Progress | None, total: int) -> Callable[[], None]:
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    return count


def _write(
    objects: ObjectStore,
    headers: dict[str, EpisodeHeader],
    root: Path,
    fps: int,
    count: Callable[[], None],
    data_file_mb: float,
    video_file_mb: float,
) -> int:
    """Write one data set of one body into `root` and return its number of steps."""
    signals = [s for s in METHODS if all(s in header.signals for header in headers.values())]
    first = next(iter(headers.values()))
    _check_units(headers, signals)
    features = _features(first, signals, fps)
    tasks = {task: index for index, task in enumerate(dict.fromkeys(h.task for h in headers.values()))}
    cameras = common_cameras(list(headers.values()))
    data = _DataFiles(root, _data_schema(features), data_file_mb)
    videos = Videos(root, cameras, fps, file_mb=video_file_mb)
    rows: list[dict[str, Any]] = []
    stats: dict[str, list[FeatureStats]] = {name: [] for name in (*features, *cameras)}
    provenance: list[dict[str, Any]] = []
    index = 0
    with data.closing(), videos.closing():
        for number, digest in enumerate(headers):
            episode = read_episode(objects.path_of(digest), sha256=digest)
            columns = _step_view(episode, signals, fps)
            length = len(columns["timestamp"])
            columns["episode_index"] = np.full(length, number)
            columns["index"] = np.arange(index, index + length)
            columns["task_index"] = np.full(length, tasks[episode.header.task])
            chunk_index, file_index = data.add(columns)
            row: dict[str, Any] = {
                "episode_index": number,
                "tasks": [episode.header.task],
                "length": length,
                "data/chunk_index": chunk_index,
                "data/file_index": file_index,
                "dataset_from_index": index,
                "dataset_to_index": index + length,
                "meta/episodes/chunk_index": 0,
                "meta/episodes/file_index": 0,
            }
            for name in features:
                part = FeatureStats.of(columns[name].reshape(length, -1))
                stats[name].append(part)
                row |= {f"stats/{name}/{statistic}": value for statistic, value in part.as_lists().items()}
            places, seen = videos.add(partial(read_camera, objects.path_of(digest)), step_times(episode.time_s, fps))
            row |= places
            for name, part in seen.items():
                stats[name].append(part)
                row |= {f"stats/{name}/{statistic}": value for statistic, value in image_lists(part).items()}
            rows.append(row)
            provenance.append(_provenance(episode, digest, number, length))
            index += length
            count()
    _write_tasks(root / "meta" / "tasks.parquet", list(tasks))
    _write_episodes(root / EPISODES_PATH.format(chunk_index=0, file_index=0), rows, features, list(cameras))
    described = {**features, **{name: video_feature(stream, fps) for name, stream in cameras.items()}}
    _write_json(root / "meta" / "info.json", _info(first, described, fps, len(rows), index, len(tasks)))
    pooled = {name: FeatureStats.pooled(parts) for name, parts in stats.items()}
    lists = {name: image_lists(part) if name in cameras else part.as_lists() for name, part in pooled.items()}
    _write_json(root / "meta" / "stats.json", lists)
    recorded = {s for header in headers.values() for s in (*header.signals, *header.images)}
    omitted = sorted(recorded - set(signals) - set(cameras))
    sidecar = {
        "version": 1,
        "fps": fps,
        "resampling": {signal: METHODS[signal] for signal in signals},
        "units": {signal: first.units[signal] for signal in signals},
        "omitted_signals": omitted,
        "episodes": provenance,
    }
    _write_json(root / "meta" / "palaestra.json", sidecar)
    return index


def _check_units(headers: dict[str, EpisodeHeader], signals: Sequence[str]) -> None:
    first = next(iter(headers.values()))
    for digest, header in headers.items():
        for signal in signals:
            if header.units[signal] != first.units[signal]:
                raise ExportRefused(
                    f"episode {digest}: {signal} in {header.units[signal]!r} does not go with "
                    f"{first.units[signal]!r} in one data set"
                )


def _step_view(episode: Episode, signals: Sequence[str], fps: int) -> dict[str, np.ndarray]:
    duration_s = float(episode.time_s[-1] - episode.time_s[0])
    if (duration_s * fps + 1) * episode.header.row_values > MAX_VALUES:
        raise ExportRefused(
            f"episode {episode.header.name}: {duration_s} s at {fps} steps per second are too many steps"
        )
    at_s = step_times(episode.time_s, fps)
    columns = {s: resample(s, episode.time_s, episode.signals[s], at_s) for s in signals}
    steps = np.arange(len(at_s))
    return {**columns, "timestamp": (steps / fps).astype(np.float32), "frame_index": steps}


def _provenance(episode: Episode, digest: str, number: int, length: int) -> dict[str, Any]:
    gaps_s = np.diff(episode.time_s)
    return {
        "episode_index": number,
        "sha256": digest,
        "rows": len(episode.time_s),
        "steps": length,
        "first_row_s": float(episode.time_s[0]),
        "longest_gap_s": float(gaps_s.max()) if gaps_s.size else 0.0,
        "header": json.loads(episode.header.to_json()),
        "outcome": asdict(episode.outcome),
    }


def _features(header: EpisodeHeader, signals: Sequence[str], fps: int) -> dict[str, dict[str, Any]]:
    """Return the features of `info.json`: type, shape and the names of the dimensions."""
    features: dict[str, dict[str, Any]] = {}
    for signal in signals:
        names = list(BASE_POSE_NAMES if signal == BASE_POSE else header.joint_names)
        features[signal] = {"dtype": "float32", "shape": [len(names)], "names": names}
    for name, dtype in _SCALARS.items():
        features[name] = {"dtype": dtype, "shape": [1], "names": None}
    return features


def _data_schema(features: dict[str, dict[str, Any]]) -> Any:
    """Return the schema of the data files, with the metadata by which `datasets` restores its feature types.

    A feature of shape [1] is a plain column there, a longer one a list of fixed length.
    """
    columns, described = [], {}
    for name, feature in features.items():
        value = {"dtype": feature["dtype"], "_type": "Value"}
        (width,) = feature["shape"]
        kind = pa.float32() if feature["dtype"] == "float32" else pa.int64()
        if width == 1:
            described[name] = value
            columns.append(pa.field(name, kind))
        else:
            described[name] = {"feature": value, "length": width, "_type": "List"}
            columns.append(pa.field(name, pa.list_(kind, width)))
    return pa.schema(columns, metadata={"huggingface": json.dumps({"info": {"features": described}})})


class _DataFiles:
    """The data files of a data set: episodes go in one row group each, full files are closed."""

    def __init__(self, root: Path, schema: Any, file_mb: float) -> None:
        self._root = root
        self._schema = schema
        self._file_bytes = file_mb * 1e6
        self._number = -1
        self._sink: Any = None
        self._writer: Any = None

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Close the open file at the end, also after an error."""
        try:
            yield
        finally:
            self._close()

    def add(self, columns: dict[str, np.ndarray]) -> tuple[int, int]:
        """Write one episode and return the chunk and the file it went to."""
        if self._writer is None:
            self._number += 1
            path = self._root / DATA_PATH.format(**self._place())
            path.parent.mkdir(parents=True, exist_ok=True)
            self._sink = pa.OSFile(str(path), "wb")
            self._writer = pq.ParquetWriter(
                self._sink, self._schema, compression="snappy", use_dictionary=["episode_index", "task_index"]
            )
        arrays = []
        for field in self._schema:
            values = pa.array(columns[field.name].reshape(-1))
            fixed = pa.types.is_fixed_size_list(field.type)
            arrays.append(pa.FixedSizeListArray.from_arrays(values, type=field.type) if fixed else values)
        table = pa.Table.from_arrays(arrays, schema=self._schema)
        self._writer.write_table(table, row_group_size=table.num_rows)
        place = self._place()
        if self._sink.tell() >= self._file_bytes:
            self._close()
        return place["chunk_index"], place["file_index"]

    def _place(self) -> dict[str, int]:
        chunk_index, file_index = divmod(self._number, CHUNK_FILES)
        return {"chunk_index": chunk_index, "file_index": file_index}

    def _close(self) -> None:
        writer, sink, self._writer, self._sink = self._writer, self._sink, None, None
        if writer is not None:
            try:
                writer.close()
            finally:
                sink.close()


def _info(
    header: EpisodeHeader,
    features: dict[str, dict[str, Any]],
    fps: int,
    episodes: int,
    steps: int,
    tasks: int,
) -> dict[str, Any]:
    return {
        "codebase_version": CODEBASE_VERSION,
        "robot_type": header.robot_model,
        "total_episodes": episodes,
        "total_frames": steps,
        "total_tasks": tasks,
        "chunks_size": CHUNK_FILES,
        "data_files_size_in_mb": DATA_FILE_MB,
        "video_files_size_in_mb": VIDEO_FILE_MB,
        "fps": fps,
        "splits": {"train": f"0:{episodes}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH if any(each["dtype"] == "video" for each in features.values()) else None,
        "features": features,
    }


def _write_tasks(path: Path, tasks: list[str]) -> None:
    """Write the tasks with the metadata that makes the text the index when pandas reads them."""
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": pa.array(tasks)})

    def column(name: str, pandas_type: str, numpy_type: str) -> dict[str, Any]:
        return {
            "name": name,
            "field_name": name,
            "pandas_type": pandas_type,
            "numpy_type": numpy_type,
            "metadata": None,
        }

    described = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [column("task_index", "int64", "int64"), column("task", "unicode", "object")],
        "creator": {"library": "palaestra", "version": "1"},
        "pandas_version": "2.0.0",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(described)}), path, compression="snappy")


def _write_episodes(
    path: Path, rows: list[dict[str, Any]], features: dict[str, dict[str, Any]], cameras: list[str]
) -> None:
    columns = [
        ("episode_index", pa.int64()),
        ("tasks", pa.list_(pa.string())),
        ("length", pa.int64()),
        ("data/chunk_index", pa.int64()),
        ("data/file_index", pa.int64()),
        ("dataset_from_index", pa.int64()),
        ("dataset_to_index", pa.int64()),
    ]
    for name, feature in features.items():
        whole = ("count", "min", "max") if feature["dtype"] == "int64" else ("count",)
        for statistic in ("min", "max", "mean", "std", "count", *QUANTILES):
            kind = pa.int64() if statistic in whole else pa.float64()
            columns.append((f"stats/{name}/{statistic}", pa.list_(kind)))
    for name in cameras:
        columns += [(f"videos/{name}/{key}", pa.int64()) for key in ("chunk_index", "file_index")]
        columns += [(f"videos/{name}/{key}", pa.float64()) for key in ("from_timestamp", "to_timestamp")]
        image = pa.list_(pa.list_(pa.list_(pa.float64())))
        for statistic in ("min", "max", "mean", "std", "count", *QUANTILES):
            columns.append((f"stats/{name}/{statistic}", pa.list_(pa.int64()) if statistic == "count" else image))
    columns += [("meta/episodes/chunk_index", pa.int64()), ("meta/episodes/file_index", pa.int64())]
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows, schema=pa.schema(columns))
    pq.write_table(table, path, row_group_size=_EPISODES_PER_GROUP, compression="snappy")


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
