"""Recordings of other projects, read into the one vocabulary.

`configs/recordings/<id>.toml` describes whose recordings and of what body:

    id, body, source            the file's name is the id
    [proportions]               see `figure.Proportions`
    [vocabulary]                as in a robot's file, with the names of the recording's arrays

The recordings themselves are archives of arrays (`.npz`), one for each joint: `q_<joint>` [rad], all of one length, and
where there are speeds `dq_<joint>` [rad/s].
"""

import functools
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim.catalog import CONFIGS
from sim.errors import BrokenCatalogue, BrokenRecording
from sim.vocabulary.figure import Proportions, parse_proportions
from sim.vocabulary.mapping import JointMap, nearest, parse_map

RECORDINGS_FOLDER = CONFIGS / "recordings"
MAX_FRAMES = 1_000_000
_RATE_FIT = 0.05
_STILL_RAD = 1e-4
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Format:
    """How one project records one body. `names` maps its arrays, without `q_`, to the vocabulary."""

    id: str
    source: str
    proportions: Proportions
    names: JointMap


@functools.cache
def load_format(path: Path) -> Format:
    """Read one description file. Raises BrokenCatalogue naming the file and the field."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
        rows = table["vocabulary"]["joints"].values()
        joints = [row["joint"] for row in rows]
        found = Format(
            id=table["id"],
            source=table["source"],
            proportions=parse_proportions(table["proportions"], label=path.name),
            names=parse_map(table["vocabulary"], joints, label=path.name),
        )
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BrokenCatalogue(f"{path.name}: {error}") from error
    if found.id != path.stem:
        raise BrokenCatalogue(f"{path.name}: id {found.id!r} is not the file's name")
    return found


def find_format(name: str) -> Format:
    """Return the format `name`. Raises BrokenCatalogue with the closest names."""
    known = sorted(path.stem for path in RECORDINGS_FOLDER.glob("*.toml"))
    if name not in known:
        raise BrokenCatalogue(f"no format of recordings {name!r}{nearest(name, known)}")
    return load_format(RECORDINGS_FOLDER / f"{name}.toml")


def read_recording(path: Path, form: Format) -> Array:
    """Return a recording's canonical angles [rad], (T, N); what the body has not is 0 (`form.names.mask`).

    Raises BrokenRecording naming the file and the array: missing, of another length, not numbers, not finite.
    """
    try:
        # Opened here: of an archive that is cut off numpy would leave the file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            columns = [_column(arrays, name, path) for name in form.names.joint_names]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise BrokenRecording(f"{path.name}: {error}") from error
    lengths = {len(column) for column in columns}
    if len(lengths) != 1:
        raise BrokenRecording(f"{path.name}: arrays of {len(lengths)} lengths, from {min(lengths)} to {max(lengths)}")
    return form.names.canonical(np.stack(columns, axis=1))


def recorded_period_s(path: Path, form: Format) -> float | None:
    """Return the time from frame to frame [s] that a recording's own speeds `dq_<joint>` [rad/s] tell, None without.

    Speeds are differences of angles over that time; of the joints that move, the one in which the two fit best
    says how long. What fits in no joint to within `_RATE_FIT` tells nothing.

    Raises BrokenRecording as `read_recording`.
    """
    best, rate_hz = _RATE_FIT, 0.0
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            for name in form.names.joint_names:
                if f"dq_{name}" not in arrays:
                    continue
                q, dq = _column(arrays, name, path), _column(arrays, name, path, "dq")
                if len(q) < 3 or len(q) != len(dq):
                    continue
                change, speed = 0.5 * (q[2:] - q[:-2]), dq[1:-1]
                moved = float(change @ change)
                if moved < len(change) * _STILL_RAD**2:
                    continue
                found_hz = float(speed @ change) / moved
                off = float(np.linalg.norm(speed - found_hz * change)) / max(1e-12, float(np.linalg.norm(speed)))
                if off < best and found_hz > 0:
                    best, rate_hz = off, found_hz
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise BrokenRecording(f"{path.name}: {error}") from error
    return 1.0 / rate_hz if rate_hz else None


def _column(arrays: "np.lib.npyio.NpzFile", name: str, path: Path, of: str = "q") -> Array:
    key = f"{of}_{name}"
    if key not in arrays:
        raise BrokenRecording(f"{path.name}: no array {key}{nearest(key, arrays.files)}")
    column = np.asarray(arrays[key])
    if column.ndim != 1 or column.dtype.kind not in "fi" or not 0 < len(column) <= MAX_FRAMES:
        raise BrokenRecording(
            f"{path.name}: {key} is {column.dtype} of shape {column.shape}, one row of angles is read"
        )
    if not np.isfinite(column).all():
        raise BrokenRecording(f"{path.name}: {key} is not finite at frame {int(np.argmin(np.isfinite(column)))}")
    return column.astype(np.float64)
