"""`python -m sim retarget`: a recorded motion on a robot of the catalogue, by inverse kinematics; how well it goes."""

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from sim.catalog import Entry, find
from sim.errors import BrokenRecording
from sim.listing import print_table
from sim.vocabulary.compare import ENDS, draw
from sim.vocabulary.figure import Figure
from sim.vocabulary.limbs import figure_limbs, robot_limbs
from sim.vocabulary.mapping import joint_map
from sim.vocabulary.paths import same_up_to_scale
from sim.vocabulary.recording import find_format, read_recording, recorded_period_s
from sim.vocabulary.retarget import Retargeted, retarget

Array = npt.NDArray[np.float64]


def carry(
    form: str,
    file: Path,
    robot: str,
    *,
    frames: int,
    period_s: float | None,
    out: Path | None,
    picture: Path | None,
    menagerie_root: Path | None,
) -> Retargeted:
    """Carry a recording to a robot; print what copying the angles and what inverse kinematics leaves of each path.

    Args:
        form: Format of the recording, one of `configs/recordings`.
        file: The recording.
        period_s: From frame to frame; None: what the recording's own speeds tell.
        robot: Of the catalogue, a humanoid.
        out: Archive to write: an array `q_<joint>` [rad] for each of the robot's joints, and `period_s`.
        picture: PNG to draw the paths into.

    Raises BrokenCatalogue, BrokenRecording (also where nobody tells the period), Misfit, and as `find`.
    """
    read = find_format(form)
    told_s = recorded_period_s(file, read)
    if period_s is None and told_s is None:
        raise BrokenRecording(
            f"{file.name}: no speeds (dq_<joint>) tell how far apart its frames are: --period-s says so"
        )
    if period_s is None:
        assert told_s is not None
        period_s = told_s
        print(f"{file.name}: a frame every {1000 * period_s:g} ms, by its own speeds")
    elif told_s is not None and abs(period_s - told_s) > 0.05 * told_s:
        print(f"{file.name}: its own speeds tell a frame every {1000 * told_s:g} ms, not every {1000 * period_s:g} ms")
    canonical = read_recording(file, read)[:frames]
    source = figure_limbs(Figure(read.proportions), read.names)
    entry = find(robot, menagerie_root)
    target = robot_limbs(entry)
    found = retarget(source, canonical, target, period_s=period_s)
    low, high = np.where(target.mask, target.low_rad, 0.0), np.where(target.mask, target.high_rad, 0.0)
    copied = target.paths(np.clip(np.where(target.mask, canonical, 0.0), low, high))
    rows = [("END", "copied angles: scale, residual", "inverse kinematics: scale, residual")]
    for end in ENDS:
        if end in found.paths:
            both = [same_up_to_scale(path[end], found.goals[end]) for path in (copied, found.paths)]
            first, second = (f"{scale:.3f}, {residual:.3f}" for scale, residual in both)
            rows.append((end, first, second))
    print_table(rows)
    if out is not None:
        arrays: dict[str, Any] = {"period_s": np.array(period_s), **joint_arrays(entry, found.canonical)}
        np.savez(out, **arrays)
        print(out)
    if picture is not None:
        draw({robot: {"to follow": found.goals, "copied angles": copied, "inverse kinematics": found.paths}}, picture)
        print(picture)
    return found


def joint_arrays(entry: Entry, canonical: Array) -> dict[str, Array]:
    """Return the robot's own angles by `q_<joint>`, each (T,) [rad], of canonical ones (T, N); others stay at home."""
    names = joint_map(entry)
    model = entry.model()
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    home = np.array([data.qpos[model.joint(name).qposadr[0]] for name in names.joint_names])
    own = names.robot(canonical, np.broadcast_to(home, (len(canonical), len(home))))
    return {f"q_{name}": own[:, i] for i, name in enumerate(names.joint_names)}
