"""From the files of a projection back to sealed episodes, so that the store's writers of formats can take them.

An episode made here knows no more than the projection does: what its header has to say and nobody told is `withheld`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.compute as pc  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

from sharing.projection.plan import FRAME, JOINTS_COLUMNS, VALUE
from sharing.projection.tables import EPISODES, JOINTS
from store.camera import IMAGE_PREFIX, CameraStream
from store.episode import BASE_POSE, SENSOR_PREFIX, TIME, EpisodeHeader, Outcome, Status
from store.objects import LocalObjects
from store.recorder import EpisodeRecorder
from store.stream import TEXT, Stream

WITHHELD = "withheld"
_NOBODY = "0" * 64


def seal_all(tables: Path, told: Mapping[str, Any], folder: Path) -> tuple[LocalObjects, list[str]]:
    """Seal the episodes of a projection's files below `folder`.

    Args:
        tables: Its files, `TABLE/NAME`.
        told: `provider` and `words`: of each column its unit and frame, of each stream the rest of what it is.

    Returns:
        Where they are, and their hashes in the order of the projection.
    """
    objects = LocalObjects(folder / "objects")
    rows = pq.read_table(tables / EPISODES / "episodes.parquet").to_pylist()
    digests = [_seal(row, tables, told, objects, folder / "spool") for row in rows if row["rows"]]
    return objects, list(dict.fromkeys(digests))


def _seal(row: Mapping[str, Any], tables: Path, told: Mapping[str, Any], objects: LocalObjects, spool: Path) -> str:
    name, words = f"{row['episode']}.parquet", told["words"]
    joints = pq.read_table(tables / JOINTS / name)
    signals = {
        column: _matrix(joints.column(column))
        for column in JOINTS_COLUMNS
        if column in joints.column_names and joints.column(column).null_count == 0
    }
    streams, tracks = {}, {}
    cameras: dict[str, CameraStream] = {}
    packets: dict[str, dict[int, bytes]] = {}
    for table in sorted(path.parent.name for path in tables.glob(f"*/{name}")):
        if table == JOINTS:
            continue
        track = pq.read_table(tables / table / name)
        if table.startswith(IMAGE_PREFIX):
            cameras[table.removeprefix(IMAGE_PREFIX)] = CameraStream(**words[table])
            packets[table.removeprefix(IMAGE_PREFIX)] = _frames(track, joints.column(TIME).to_numpy())
            continue
        if table.startswith(SENSOR_PREFIX):
            signals[table] = _matrix(track.column(VALUE))
            continue
        streams[table] = Stream(**words[table])
        text = streams[table].kind == TEXT
        values = track.column(VALUE).to_pylist() if text else _matrix(track.column(VALUE))
        tracks[table] = track.column(TIME).to_numpy(), values
    header = _header(row, signals, streams, cameras, told)
    with EpisodeRecorder(header, spool, objects) as recorder:
        for stream, (time_s, values) in tracks.items():
            recorder.add(stream, time_s, values)
        recorder.extend(joints.column(TIME).to_numpy(), signals, packets)
        status = Status(row["status"])
        cause = "" if status is Status.SUCCESS else WITHHELD
        return recorder.seal(Outcome(status, cause, row["episode_return"])).sha256


def _header(
    row: Mapping[str, Any],
    signals: Mapping[str, np.ndarray],
    streams: Mapping[str, Stream],
    cameras: Mapping[str, CameraStream],
    told: Mapping[str, Any],
) -> EpisodeHeader:
    provider, words = told["provider"], told["words"]
    started_s = row["started_at_s"]
    return EpisodeHeader(
        name=f"{provider}/episodes/{row['episode']}",
        vendor=provider,
        job=f"{provider}/jobs/{row['job'] or WITHHELD}",
        attempt=1,
        robot_model=row["robot_model"] or WITHHELD,
        maker=row["maker"] or WITHHELD,
        joint_names=tuple(row["joint_names"]) if set(signals) & (set(JOINTS_COLUMNS) - {BASE_POSE}) else (),
        task=row["task"] or WITHHELD,
        seed=0,
        control_rate_hz=row["sample_rate_hz"],
        sample_rate_hz=row["sample_rate_hz"],
        clock_source="monotonic",
        engine=WITHHELD,
        engine_version=WITHHELD,
        architecture=WITHHELD,
        model_sha256=_NOBODY,
        controller_version=WITHHELD,
        controller_backend=WITHHELD,
        # No start is told: the clock begins with its own epoch.
        started_at_ns=max(1, int(started_s * 1e9)) if started_s is not None else 1,
        unit=row["unit"] or WITHHELD,
        scenario=row["scenario"],
        cell=row["cell"],
        level=row["level"],
        units={TIME: "s", **{name: words[name]["unit"] for name in signals}},
        frames={name: words[name]["frame"] for name in signals},
        sensor_widths={name: values.shape[1] for name, values in signals.items() if name.startswith(SENSOR_PREFIX)},
        calibration=WITHHELD,
        streams=streams,
        cameras=cameras,
        source={"format": "projection", "sha256": told["key"]},
    )


def _frames(track: Any, joints_s: np.ndarray) -> dict[int, bytes]:
    """Return packets by the row of the joints that their frame belongs to: a frame has the time of its row."""
    rows = np.searchsorted(joints_s, track.column(TIME).to_numpy())
    return dict(zip(rows.tolist(), track.column(FRAME).to_pylist(), strict=True))


def _matrix(column: Any) -> np.ndarray:
    rows = len(column)
    flat = pc.list_flatten(column)
    values: np.ndarray = (flat.combine_chunks() if isinstance(flat, pa.ChunkedArray) else flat).to_numpy()
    return values.reshape(rows, -1)
