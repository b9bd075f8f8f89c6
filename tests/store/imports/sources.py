"""Small recordings in every format, written here so that a test knows every number of them."""

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from store.imports.formats.rlds import masked_crc32c

JOINTS = ("shoulder", "elbow")


def motion(rows: int, width: int = 2, seed: int = 0) -> np.ndarray:
    """Return float32 numbers that no two rows share."""
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def write_csv(path: Path, rows: int = 20) -> np.ndarray:
    """Semicolons, decimal commas, a duplicate name, empty columns: returns both joints' values."""
    values = motion(rows).astype(np.float64)
    lines = ["time;a;b;a;;"]
    lines += [f"{i / 100};{x};{y};7;;".replace(".", ",") for i, (x, y) in enumerate(values.tolist())]
    path.write_text("\n".join(lines) + "\n")
    return values


def write_lerobot(root: Path, lengths: tuple[int, ...] = (5, 7), version: str = "v3.0", **changes: Any) -> np.ndarray:
    """A data set as LeRobot lays it out. `changes` replace keys of `info.json`. Returns all states."""
    steps = sum(lengths)
    values = motion(steps)
    number = np.repeat(np.arange(len(lengths)), lengths)
    frame = np.concatenate([np.arange(length) for length in lengths])
    columns = {
        "observation.state": pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), 2),
        "action": pa.FixedSizeListArray.from_arrays(pa.array(-values.reshape(-1)), 2),
        "timestamp": pa.array((frame / 50).astype(np.float32)),
        "frame_index": pa.array(frame),
        "episode_index": pa.array(number),
        "index": pa.array(np.arange(steps)),
        "task_index": pa.array(np.zeros(steps, np.int64)),
    }
    table = pa.table(columns)
    vector = {"dtype": "float32", "shape": [2], "names": list(JOINTS)}
    scalars = dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), "int64")
    features = {"observation.state": vector, "action": vector}
    features |= {k: {"dtype": v, "shape": [1], "names": None} for k, v in {"timestamp": "float32", **scalars}.items()}
    v3 = version == "v3.0"
    pattern = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    info = {
        "codebase_version": version,
        "robot_type": "own_arm",
        "fps": 50,
        "features": features,
        "total_episodes": len(lengths),
        "chunks_size": 1000,
        "data_path": pattern if v3 else "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
    }
    meta, data = root / "meta", root / "data" / "chunk-000"
    meta.mkdir(parents=True)
    data.mkdir(parents=True)
    (meta / "info.json").write_text(json.dumps({**info, **changes}))
    if v3:
        pq.write_table(table, data / "file-000.parquet")
        pq.write_table(pa.table({"task_index": [0], "task": ["lift"]}), meta / "tasks.parquet")
        zeros = [0] * len(lengths)
        rows = {"episode_index": list(range(len(lengths))), "length": list(lengths)}
        rows |= {"data/chunk_index": zeros, "data/file_index": zeros}
        (meta / "episodes" / "chunk-000").mkdir(parents=True)
        pq.write_table(pa.table(rows), meta / "episodes" / "chunk-000" / "file-000.parquet")
        return values
    for i in range(len(lengths)):
        pq.write_table(table.filter(pa.array(number == i)), data / f"episode_{i:06d}.parquet")
    (meta / "tasks.jsonl").write_text(json.dumps({"task_index": 0, "task": "lift"}) + "\n")
    episodes = [json.dumps({"episode_index": i, "length": n, "tasks": ["lift"]}) for i, n in enumerate(lengths)]
    (meta / "episodes.jsonl").write_text("\n".join(episodes))
    return values


def write_npz(path: Path, rows: int = 30) -> np.ndarray:
    """An array for each joint, as LocoMuJoCo has them."""
    values = motion(rows).astype(np.float64)
    np.savez(path, q_shoulder=values[:, 0], q_elbow=values[:, 1])
    return values


def write_failures(path: Path) -> None:
    """Two windows, the second one a collision."""
    block = "\n".join("\t" + "\t".join(str(i + j) for j in range(6)) for i in range(15))
    path.write_text(f"normal\n{block}\n\n\ncollision\n{block}\n\n")


def write_ulog(path: Path, rows: int = 10) -> np.ndarray:
    """One topic with an array and a structure within it."""
    values = motion(rows, 3)

    def message(kind: str, data: bytes) -> bytes:
        return struct.pack("<HB", len(data), ord(kind)) + data

    parts = [b"ULog\x01\x12\x35\x01" + struct.pack("<Q", 0)]
    parts.append(message("F", b"arm:uint64_t timestamp;float[2] q;tip tip;"))
    parts.append(message("F", b"tip:float z;"))
    parts.append(message("A", struct.pack("<BH", 0, 3) + b"arm"))
    for i, row in enumerate(values):
        parts.append(message("D", struct.pack("<HQ3f", 3, 1_000_000 + i * 4000, *row.tolist())))
    path.write_bytes(b"".join(parts))
    return values


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found += bytes([value & 127 | 128])
        value >>= 7
    return found + bytes([value])


def write_tfrecord(path: Path, steps: int = 6) -> np.ndarray:
    """One episode as TensorFlow Datasets writes RLDS."""
    values = motion(steps)
    flags = b"".join(_varint(int(i == 0)) for i in range(steps))
    features = {
        "steps/is_first": _field(3, _field(1, flags)),
        "steps/action": _field(2, _field(1, values.tobytes())),
        "steps/language_instruction": _field(1, b"".join(_field(1, b"open the drawer") for _ in range(steps))),
    }
    entries = b"".join(_field(1, _field(1, name.encode()) + _field(2, part)) for name, part in features.items())
    data = _field(1, entries)
    head = struct.pack("<Q", len(data))
    path.write_bytes(head + struct.pack("<I", masked_crc32c(head)) + data + struct.pack("<I", masked_crc32c(data)))
    return values


def zip_bomb(path: Path, size_bytes: int) -> None:
    """An archive whose array says that it has three numbers and unpacks to `size_bytes`."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (size_bytes // 8,)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("q_a.npy", "w") as member:
        member.write(head.getvalue())
        member.write(bytes(size_bytes))
