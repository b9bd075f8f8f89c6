"""A projection's speed: four recordings of a humanoid at 500 Hz, made anew without torque, marked, hashed, described.

In this process, by its processor time: the bar is for one core. A megabyte is one of the values that leave, decoded.
What nobody can be faster than by pyarrow's means, reading the same columns and writing them as they are, is measured in
turn with it: the ratio of the two holds on a busy machine, too.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

from sharing.projection import worker
from sharing.projection.transforms import Transforms
from store.episode import ACTION, EFFORT, STATE, TIME, VELOCITY, EpisodeHeader, Outcome, Status
from store.objects import LocalObjects
from store.recorder import EpisodeRecorder

EPISODES, ROWS, JOINTS, REPEATS = 4, 20_000, 29, 5
GRANTED = (STATE, VELOCITY, ACTION)


def projection() -> dict[str, float]:
    """Return `projection_mb_per_s`, a median, the same of all that was recorded, and its ratio to a bare copy."""
    with tempfile.TemporaryDirectory() as name:
        told = _told(Path(name))
        spent_s, bare_s = [], []
        for repeat in range(REPEATS):
            out = Path(name) / f"out-{repeat}"
            out.mkdir()
            begin_s = time.process_time()
            worker.make(told, Transforms(), out, None)
            spent_s.append(time.process_time() - begin_s)
            begin_s = time.process_time()
            _copied(told, out)
            bare_s.append(time.process_time() - begin_s)
    values = EPISODES * ROWS * JOINTS * 4 / 1e6
    median_s = float(np.median(spent_s))
    ratios = [copied / spent for copied, spent in zip(bare_s, spent_s, strict=True)]
    return {
        "projection_of_bare_copy": float(np.median(ratios)),
        "projection_mb_per_s": (len(GRANTED) * values + EPISODES * ROWS * 8 / 1e6) / median_s,
        "projection_recorded_mb_per_s": (4 * values + EPISODES * ROWS * 8 / 1e6) / median_s,
    }


def run() -> dict[str, Any]:
    """Measure it alone."""
    found = projection()
    for key, value in found.items():
        print(f"{key:32} {value:12.2f}")
    return found


def _copied(told: dict[str, Any], out: Path) -> None:
    """Read the granted columns and write them with pyarrow, nothing else done: neither checked, marked nor hashed."""
    for number, episode in enumerate(told["episodes"]):
        table = pq.read_table(episode["path"], columns=[TIME, *GRANTED], use_threads=False)
        pq.write_table(
            table,
            out / f"{number}.parquet",
            row_group_size=len(table),
            compression="zstd",
            compression_level=1,
            use_dictionary=False,
            use_byte_stream_split=True,
        )


def _told(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    objects = LocalObjects(folder / "objects")
    episodes = []
    for number in range(EPISODES):
        walk = np.cumsum(rng.standard_normal((4, ROWS, JOINTS)), axis=1) * 1e-3
        signals = dict(zip((STATE, VELOCITY, EFFORT, ACTION), walk.astype(np.float32), strict=True))
        with EpisodeRecorder(_header(number), folder / "spool", objects) as recorder:
            recorder.extend(np.arange(ROWS) / 500.0, signals)
            sealed = recorder.seal(Outcome(Status.SUCCESS))
        episodes.append({"path": str(sealed.path), "sha256": sealed.sha256})
    key = bytes(32).hex()
    return {
        "episodes": episodes,
        "columns": list(GRANTED),
        "secrets": {"names": key, "marks": key, "times": key},
        "words": [],
        "max_values": 1 << 28,
        "generalise": True,
    }


def _header(number: int) -> EpisodeHeader:
    return EpisodeHeader(
        name=f"vendors/aurora/episodes/e-{number}",
        vendor="vendors/aurora",
        job="vendors/aurora/jobs/j",
        attempt=1,
        robot_model="humanoid",
        maker="Palaestra",
        joint_names=tuple(f"joint_{index}" for index in range(JOINTS)),
        task="walk",
        seed=number,
        control_rate_hz=500.0,
        sample_rate_hz=500.0,
        clock_source="monotonic",
        engine="firmware",
        engine_version="1",
        architecture="x86_64",
        model_sha256="0" * 64,
        controller_version="1",
        controller_backend="c",
        started_at_ns=1,
        unit="venues/v/units/u",
        frames=dict.fromkeys((STATE, VELOCITY, EFFORT, ACTION), "joint"),
        calibration="model",
    )
