"""Megabytes of signals that one core records and seals in a second, against raw pyarrow writing the same tables.

An episode is ten seconds of a humanoid of 29 joints with five signals at 500 Hz, in blocks of 100 ms, with a clock that
runs at the robot's rate: so it is flushed to its segment each half second, and then sealed to Parquet, hashed and put
into the store. The peer writes the finished table, once as a plain Parquet file with the same options, once as LeRobot
does (snappy, dictionaries), and neither checks, keeps nor names anything. All take turns; figures are medians over the
turns, by processor time of all threads, `best` those of the best turns. `fleet_margin` is how many times over two cores
would record 1,000 such robots at 100 Hz, whose blocks are of ten rows; `scaling` is the same for more recorders open at
a time.
"""

import gc
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

from store import EpisodeHeader, EpisodeRecorder, LocalObjects, Outcome, Status, joint_frames, joint_units
from store.layout import schema_of

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "store-ingest.png"
JOINTS, RATE_HZ, EPISODE_S, BLOCK_ROWS = 29, 500, 10.0, 50
FIFTH = "observation.sensor.current"
BAR_MB_PER_S = 250.0
FLEET_ROBOTS, FLEET_HZ, CORES = 1_000, 100, 2
TURNS = 7
SAME_OPTIONS: dict[str, Any] = {
    "use_dictionary": False,
    "compression": "zstd",
    "compression_level": 1,
    "use_byte_stream_split": True,
    "write_page_checksum": True,
}
"""Those of a sealed file."""
SCALING_S = 2.0
"""Length of the episodes of `scaling`."""
RECORDERS = (1, 10, 50, 200)

Signals = dict[str, npt.NDArray[np.float32]]


def header() -> EpisodeHeader:
    """Return what is known of the humanoid."""
    return EpisodeHeader(
        name="vendors/acme/jobs/j/attempts/1/episodes/0",
        vendor="acme",
        job="vendors/acme/jobs/j",
        attempt=1,
        robot_model="humanoid",
        maker="Palaestra",
        joint_names=tuple(f"joint_{number}" for number in range(JOINTS)),
        task="walk",
        seed=0,
        control_rate_hz=RATE_HZ,
        sample_rate_hz=RATE_HZ,
        clock_source="monotonic",
        engine="firmware",
        engine_version="1",
        architecture="x86_64",
        model_sha256="0" * 64,
        controller_version="0.1.0",
        controller_backend="c",
        started_at_ns=1,
        unit="venues/v/units/h",
        units={**joint_units(), FIFTH: "A"},
        sensor_widths={FIFTH: JOINTS},
        frames={**joint_frames(), FIFTH: "joint"},
        calibration="bench",
    )


def walk(rows: int, seed: int = 0) -> tuple[npt.NDArray[np.float64], Signals]:
    """Return times and five signals: sums of a few sines, with the noise of a sensor of 16 bits on them."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(rows) / RATE_HZ
    signals: Signals = {}
    for name in header().signals:
        phase, rate_hz = rng.uniform(0, 6.28, (3, JOINTS)), rng.uniform(0.3, 4.0, (3, 1))
        angle = 6.28 * rate_hz[:, :, None] * time_s + phase[:, :, None]
        smooth = np.sin(angle).sum(axis=0).T
        signals[name] = (smooth + 1e-3 * rng.standard_normal(smooth.shape)).astype(np.float32)
    return time_s, signals


def size_mb(signals: Signals) -> float:
    """Return how much the signals are, raw [1e6 bytes], without their times."""
    return sum(values.nbytes for values in signals.values()) / 1e6


def record(
    objects: LocalObjects, spool: Path, time_s: Any, signals: Signals, recorders: int = 1, block_rows: int = BLOCK_ROWS
) -> None:
    """Record and seal the same episode with so many recorders side by side."""
    now_s = [0.0]
    opened = [EpisodeRecorder(header(), spool, objects, clock=lambda: now_s[0]) for _ in range(recorders)]
    for first in range(0, len(time_s), block_rows):
        rows = slice(first, first + block_rows)
        now_s[0] = float(time_s[first])
        block = {name: values[rows] for name, values in signals.items()}
        for recorder in opened:
            recorder.extend(time_s[rows], block)
    for recorder in opened:
        recorder.seal(Outcome(Status.SUCCESS))


def table_of(time_s: Any, signals: Signals) -> Any:
    """Return the episode as a table, for the peers."""
    schema = schema_of(header())
    columns = [pa.array(time_s)]
    for column in list(schema)[1:]:
        flat = pa.array(signals[column.name].reshape(-1))
        columns.append(pa.FixedSizeListArray.from_arrays(flat, type=column.type))
    return pa.table(columns, schema=schema)


def run(
    turns: int = TURNS, recorders: tuple[int, ...] = RECORDERS, *, picture: Path | None = PICTURE
) -> dict[str, Any]:
    """Measure, and draw the scaling."""
    time_s, signals = walk(int(EPISODE_S * RATE_HZ))
    mb, table = size_mb(signals), table_of(time_s, signals)
    folder = Path(tempfile.mkdtemp(prefix="store-ingest-"))
    try:
        objects, spool = LocalObjects(folder / "objects"), folder / "spool"
        plain, other = folder / "plain.parquet", folder / "other.parquet"
        contestants: dict[str, Callable[[], object]] = {
            "sealed": lambda: record(objects, spool, time_s, signals),
            "pyarrow_same_options": lambda: pq.write_table(table, plain, row_group_size=len(table), **SAME_OPTIONS),
            "pyarrow_snappy": lambda: pq.write_table(table, other, row_group_size=len(table)),
        }
        taken: dict[str, list[float]] = {name: [] for name in contestants}
        for turn in range(turns + 1):
            for name, act in contestants.items():
                cpu_s = _cpu_s(act)
                if turn:
                    taken[name].append(cpu_s)
        figures = {f"{name}_mb_per_s": mb / statistics.median(times) for name, times in taken.items()}
        ratios = [own / peer for own, peer in zip(taken["sealed"], taken["pyarrow_same_options"], strict=True)]
        best = {f"best_{name}_mb_per_s": mb / min(times) for name, times in taken.items()}
        slow_s = time_s[: int(EPISODE_S * FLEET_HZ)] * (RATE_HZ / FLEET_HZ)
        slow = {name: values[: len(slow_s)] for name, values in signals.items()}
        fleet = [_cpu_s(lambda: record(objects, spool, slow_s, slow, 10, FLEET_HZ // 10)) for _ in range(turns)]
        scaling = []
        for count in recorders:
            part = slice(0, int(SCALING_S * RATE_HZ))
            few = {name: values[part] for name, values in signals.items()}
            cpu_s = _cpu_s(lambda few=few, part=part, count=count: record(objects, spool, time_s[part], few, count))  # type: ignore[misc]
            scaling.append({"recorders": count, "mb_per_s": size_mb(few) * count / cpu_s})
    finally:
        shutil.rmtree(folder)
    fleet_mb_per_s = FLEET_ROBOTS * FLEET_HZ * JOINTS * len(signals) * 4 / 1e6
    if picture is not None:
        draw(scaling, figures["pyarrow_same_options_mb_per_s"], picture)
    return {
        **{name: round(value, 1) for name, value in (figures | best).items()},
        "bar_mb_per_s": BAR_MB_PER_S,
        "time_ratio_to_pyarrow": round(statistics.median(ratios), 2),
        "fleet_mb_per_s": fleet_mb_per_s,
        "fleet_margin": round(CORES * 10 * EPISODE_S / statistics.median(fleet) / FLEET_ROBOTS, 1),
        "scaling": [{key: round(value, 1) for key, value in row.items()} for row in scaling],
        "turns": turns,
    }


def draw(scaling: list[dict[str, float]], peer_mb_per_s: float, path: Path) -> None:
    """Draw ingest against recorders that are open at a time."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    axes.plot(
        [row["recorders"] for row in scaling], [row["mb_per_s"] for row in scaling], "o-", label="recorded, sealed"
    )
    axes.axhline(peer_mb_per_s, color="grey", linestyle="--", label="pyarrow writes the finished table")
    axes.axhline(BAR_MB_PER_S, color="tab:red", linewidth=0.8, label="bar")
    axes.set(xscale="log", xlabel="recorders open at a time", ylabel="MB/s of one core", ylim=(0, None))
    axes.set_xticks([row["recorders"] for row in scaling], [f"{row['recorders']:g}" for row in scaling])
    axes.minorticks_off()
    axes.legend(frameon=False, loc="center right")
    axes.set_title("Sealed ingest, 29 joints x 5 signals at 500 Hz", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _cpu_s(act: Callable[[], object]) -> float:
    gc.collect()
    begin_s = time.process_time()
    act()
    return time.process_time() - begin_s
