"""Whether a map is true: the robot is put into the canonical zero, and its own kinematics are looked at.

MuJoCo computes where every joint's axis and anchor then are. Names, signs and zeros that say otherwise are found,
whoever wrote them.
"""

import itertools
import math

import mujoco
import numpy as np
import numpy.typing as npt

from sim.catalog import Entry
from sim.vocabulary.mapping import JointMap, joint_map
from sim.vocabulary.names import AXES, BODIES, Joint

AXIS_TOLERANCE_RAD = math.radians(35.0)
"""How far a joint's axis may be from the canonical one. Makers tilt hips and shoulders by up to 33 degrees."""
LIMB_TOLERANCE_RAD = math.radians(25.0)
"""How far a limb's part may be from the vertical at zero: knees and elbows are often set off the line."""
_SAME_M = 0.03
"""Joints closer than this have no direction from one to the other."""

Array = npt.NDArray[np.float64]


def problems(entry: Entry) -> list[str]:
    """Return what is wrong with a robot's map, empty if nothing is. Raises as `joint_map`."""
    names = joint_map(entry)
    model = entry.model()
    data = posed(model, names, np.zeros(len(names.names)))
    found = []
    for joint, own in _mapped(names):
        tilt_rad = _tilt_rad(model, data, names, joint, own)
        if tilt_rad > AXIS_TOLERANCE_RAD:
            named = f"{joint.name} ({names.joint_names[names.index[own]]})"
            found.append(f"{named}: its axis is {math.degrees(tilt_rad):.0f} degrees from positive {joint.axis}")
    return [*found, *_limbs(model, data, names), *_sides(model, data, names)]


def axis_tilts_rad(entry: Entry) -> dict[str, float]:
    """Return by canonical name how far each joint's axis is from the canonical one at zero. Raises as `joint_map`."""
    names = joint_map(entry)
    model = entry.model()
    data = posed(model, names, np.zeros(len(names.names)))
    return {joint.name: _tilt_rad(model, data, names, joint, i) for joint, i in _mapped(names)}


def posed(model: mujoco.MjModel, names: JointMap, canonical: Array) -> mujoco.MjData:
    """Return fresh data of a robot in a canonical pose, its base upright at the origin, all else at home.

    Args:
        model: Made by `Entry.mjspec`.
        names: The robot's map.
        canonical: Angles [rad], (N,).
    """
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    if model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE:
        data.qpos[:7] = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
    addresses = [int(model.joint(name).qposadr[0]) for name in names.joint_names]
    data.qpos[addresses] = names.robot(canonical, data.qpos[addresses])
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    return data


def _mapped(names: JointMap) -> list[tuple[Joint, int]]:
    return [(joint, i) for i, joint in enumerate(BODIES[names.body]) if names.mask[i]]


def _id(model: mujoco.MjModel, names: JointMap, canonical: int) -> int:
    return int(model.joint(names.joint_names[names.index[canonical]]).id)


def _tilt_rad(model: mujoco.MjModel, data: mujoco.MjData, names: JointMap, joint: Joint, own: int) -> float:
    """Angle between a joint's axis, as it counts, and the canonical one."""
    cosine = names.sign[own] * data.xaxis[_id(model, names, own)] @ AXES[joint.axis]
    return math.acos(float(np.clip(cosine, -1.0, 1.0)))


def _limbs(model: mujoco.MjModel, data: mujoco.MjData, names: JointMap) -> list[str]:
    """Legs and hanging arms go down from pivot to pivot at zero, arms on a table go up."""
    found = []
    upright = names.body in ("arm", "six_axis_arm")
    for limb, group in itertools.groupby(_mapped(names), key=lambda pair: pair[0].limb):
        joints = [(joint, _id(model, names, i)) for joint, i in group]
        pivots = [(joint, j) for joint, j in joints if joint.axis == "pitch" and joint.name != "wrist_3"]
        if limb in ("waist", "neck") or not pivots:
            continue
        points = [(joint.name, data.xanchor[j]) for joint, j in pivots]
        tip = pivots[-1][1]
        if not pivots[-1][0].name.endswith(("ankle_pitch", "wrist_pitch", "wrist_1")):
            # Shins, forearms and upper arms are in the line, too; feet and hands need not be.
            points.append((f"the part after {points[-1][0]}", data.subtree_com[model.jnt_bodyid[tip]]))
        for (_, above), (name, below) in itertools.pairwise(points):
            way = below - above
            length_m = float(np.linalg.norm(way))
            if length_m < _SAME_M:
                continue
            off = math.acos(float(np.clip((way[2] if upright else -way[2]) / length_m, -1.0, 1.0)))
            if off > LIMB_TOLERANCE_RAD:
                found.append(
                    f"{limb}: {name} is {math.degrees(off):.0f} degrees off the vertical at zero: a zero_rad is wrong"
                )
    return found


def _sides(model: mujoco.MjModel, data: mujoco.MjData, names: JointMap) -> list[str]:
    """Left is where y is positive, front where x is."""
    found = []
    base = data.xpos[model.body_rootid[model.jnt_bodyid[_id(model, names, int(np.flatnonzero(names.mask)[0]))]]]
    for joint, i in _mapped(names):
        at = data.xanchor[_id(model, names, i)] - base
        if (joint.side == "left" and at[1] <= 0.0) or (joint.side == "right" and at[1] >= 0.0):
            found.append(f"{joint.name}: it is on the other side")
        if (joint.limb.startswith("front_") and at[0] <= 0.0) or (joint.limb.startswith("rear_") and at[0] >= 0.0):
            found.append(f"{joint.name}: it is at the other end")
    return found
