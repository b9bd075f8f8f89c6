"""A recording as a file: NumPy's archive of plain arrays, without objects, so that it may come from anywhere."""

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from sim.drift.record import Motion, Recording
from sim.errors import BrokenRecording

FORMAT = "palaestra-drift-1"
_ARRAYS = ("digests", "rows", "nudged", "values")
_UNREADABLE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    RecursionError,
    zipfile.BadZipFile,
    zlib.error,
)


def save(recording: Recording, path: Path) -> None:
    """Write a recording. Raises OSError."""
    arrays: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    for robot, motion in recording.motions.items():
        plain[robot] = {
            name: getattr(motion, name) for name in ("robot", "substep_s", "row_s", "controls", "model", "ended")
        }
        for part in _ARRAYS:
            arrays |= {f"{robot}/{part}/{name}": array for name, array in getattr(motion, part).items()}
    told = {
        "format": FORMAT,
        "engine_version": recording.engine_version,
        "architecture": recording.architecture,
        "left_out": dict(recording.left_out),
        "motions": plain,
    }
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, about=np.array(json.dumps(told)), **arrays)


def load(path: Path) -> Recording:
    """Read a recording. Raises BrokenRecording for anything else, OSError."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
            told = json.loads(str(archive["about"]))
            if told["format"] != FORMAT:
                raise ValueError(f"format {str(told['format'])[:50]!r}, not {FORMAT}")
            parts: dict[str, dict[str, Any]] = {}
            for key in archive.files:
                if key != "about":
                    robot, part, name = key.split("/", 2)
                    parts.setdefault(robot, {part: {} for part in _ARRAYS})[part][name] = archive[key]
        motions = {robot: Motion(**plain, **parts.get(robot, {})) for robot, plain in told["motions"].items()}
        for motion in motions.values():
            if not motion.rows or not (motion.rows.keys() == motion.nudged.keys() == motion.digests.keys()):
                raise ValueError(f"{motion.robot}: rows of {sorted(motion.rows)}, bits of {sorted(motion.digests)}")
        return Recording(str(told["engine_version"]), str(told["architecture"]), motions, dict(told["left_out"]))
    except _UNREADABLE as error:
        raise BrokenRecording(f"{path.name}: not a recording of `drift record`: {error}") from error
