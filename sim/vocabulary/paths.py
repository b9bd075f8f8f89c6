"""Where feet and hands go, and whether two bodies' paths are one up to scale."""

import mujoco
import numpy as np
import numpy.typing as npt

from sim.catalog import Entry
from sim.errors import Misfit
from sim.vocabulary.geometry import posed
from sim.vocabulary.mapping import JointMap, joint_map

Array = npt.NDArray[np.float64]

ENDS_OF = {"foot": ("hip_pitch", "ankle_pitch"), "hand": ("shoulder_roll", "elbow_pitch")}
"""From which canonical joint an end is seen, and the joint that it belongs to."""


def robot_points(entry: Entry, canonical: Array) -> dict[str, Array]:
    """Return where a humanoid's feet and hands go under canonical angles (T, N), by its own kinematics.

    Feet are the ankle's pivot seen from the hip's, hands the middle of all that the elbow moves seen from the
    shoulder's, each (T, 3) [m] along the base's axes; for as many ends as the robot has.

    Raises Misfit for other bodies, and as `joint_map`.
    """
    names = joint_map(entry)
    if names.body != "humanoid":
        raise Misfit(f"robot {entry.id!r} is a {names.body}, feet and hands are a humanoid's")
    model = entry.model()
    ends = {}
    for side in ("left", "right"):
        for end, (start, tip) in ENDS_OF.items():
            start, tip = f"{side}_{start}", f"{side}_{tip}"
            if names.mask[names.names.index(start)] and names.mask[names.names.index(tip)]:
                ends[f"{side}_{end}"] = (joint_id(model, names, start), joint_id(model, names, tip))
    out = {end: np.empty((len(canonical), 3)) for end in ends}
    for t, angles in enumerate(canonical):
        data = posed(model, names, angles)
        for end, (start_id, tip_id) in ends.items():
            at = data.xanchor[tip_id] if end.endswith("foot") else data.subtree_com[model.jnt_bodyid[tip_id]]
            out[end][t] = at - data.xanchor[start_id]
    return out


def same_up_to_scale(path: Array, other: Array) -> tuple[float, float]:
    """Fit `path` by a multiple of `other`, both (T, 3), each about its own mean.

    Returns:
        (scale, residual): the multiple with the least squares, and the root mean square of what it leaves over that of
        `path`: 0 for paths that are one up to scale, 1 for paths that have nothing in common.
    """
    a, b = path - path.mean(axis=0), other - other.mean(axis=0)
    scale = float((a * b).sum() / (b * b).sum())
    return scale, float(np.linalg.norm(a - scale * b) / np.linalg.norm(a))


def joint_id(model: mujoco.MjModel, names: JointMap, canonical: str) -> int:
    """Return MuJoCo's id of a robot's joint by its canonical name."""
    own = names.joint_names[names.index[names.names.index(canonical)]]
    return int(model.joint(own).id)
