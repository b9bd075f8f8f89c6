"""A body of given proportions with the canonical joints: for recordings of robots whose own model is not here.

Its joints lie on straight lines, its links weigh next to nothing: only where hands and feet are is asked of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from sim.errors import BrokenCatalogue
from sim.vocabulary.names import AXES, HUMANOID

LENGTHS = (
    "hip_below_m", "hip_out_m", "thigh_m", "shin_m", "shoulder_above_m", "shoulder_out_m", "upper_arm_m", "forearm_m",
)  # fmt: skip
_HIPS = {"hip_pitch", "hip_roll", "hip_yaw"}
_SHOULDERS = {"shoulder_pitch", "shoulder_roll", "shoulder_yaw"}
LONGEST_M = 2.0

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Proportions:
    """Lengths of a humanoid, and the order of its joints where three of them meet, from the base outwards.

    Attributes:
        hip_below_m, hip_out_m: Where the hips are, from the base downwards and to each side.
        thigh_m, shin_m: Hip to knee, knee to ankle.
        shoulder_above_m, shoulder_out_m: Where the shoulders are, from the base upwards and to each side.
        upper_arm_m, forearm_m: Shoulder to elbow, elbow to hand.
        leg_order: The three joints of the hip.
        arm_order: The three joints of the shoulder.
    """

    hip_below_m: float
    hip_out_m: float
    thigh_m: float
    shin_m: float
    shoulder_above_m: float
    shoulder_out_m: float
    upper_arm_m: float
    forearm_m: float
    leg_order: tuple[str, ...]
    arm_order: tuple[str, ...]


def parse_proportions(table: Mapping[str, Any], *, label: str) -> Proportions:
    """Return the proportions that a table describes. Raises BrokenCatalogue, naming `label` and the field."""
    for key in LENGTHS:
        value = table.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= LONGEST_M:
            raise BrokenCatalogue(f"{label}: [proportions] {key} = {value!r} is no length of 0 to {LONGEST_M} m")
    for key, wanted in (("leg_order", _HIPS), ("arm_order", _SHOULDERS)):
        if sorted(table.get(key, ())) != sorted(wanted):
            raise BrokenCatalogue(f"{label}: [proportions] {key} must name {', '.join(sorted(wanted))}, each once")
    return Proportions(
        **{key: float(table[key]) for key in LENGTHS},
        leg_order=tuple(table["leg_order"]),
        arm_order=tuple(table["arm_order"]),
    )


class Figure:
    """A humanoid of given proportions; angles are canonical, (N,) in the order of `names.HUMANOID`."""

    def __init__(self, proportions: Proportions) -> None:
        self.model = _model(proportions)
        self._data = mujoco.MjData(self.model)
        self._address = [int(self.model.joint(joint.name).qposadr[0]) for joint in HUMANOID]

    def points(self, canonical: Array) -> dict[str, Array]:
        """Return where `left_foot`, `right_foot`, `left_hand` and `right_hand` are [m], each (T, 3) for (T, N).

        Feet are seen from their hip, hands from their shoulder, along the base's axes.
        """
        out = {f"{side}_{end}": np.empty((len(canonical), 3)) for side in ("left", "right") for end in ("foot", "hand")}
        for t, angles in enumerate(canonical):
            self._data.qpos[self._address] = angles
            mujoco.mj_kinematics(self.model, self._data)
            for side in ("left", "right"):
                for end, start in (("foot", "hip"), ("hand", "shoulder")):
                    tip, root = self._data.body(f"{side}_{end}").xpos, self._data.body(f"{side}_{start}").xpos
                    out[f"{side}_{end}"][t] = tip - root
        return out


def _model(size: Proportions) -> mujoco.MjModel:
    spec = mujoco.MjSpec()
    pelvis = spec.worldbody.add_body(name="pelvis", mass=1.0, inertia=[1.0, 1.0, 1.0])
    torso = _body(pelvis, "torso", (0.0, 0.0, 0.0), ("waist_yaw", "waist_roll", "waist_pitch"))
    _body(torso, "head", (0.0, 0.0, size.shoulder_above_m), ("neck_yaw", "neck_roll", "neck_pitch"))
    for side, out in (("left", 1.0), ("right", -1.0)):
        hip = (0.0, out * size.hip_out_m, -size.hip_below_m)
        leg = _body(pelvis, f"{side}_hip", hip, [f"{side}_{name}" for name in size.leg_order])
        shin = _body(leg, f"{side}_shin", (0.0, 0.0, -size.thigh_m), (f"{side}_knee_pitch",))
        ankle = (f"{side}_ankle_pitch", f"{side}_ankle_roll")
        _body(shin, f"{side}_foot", (0.0, 0.0, -size.shin_m), ankle)
        shoulder = (0.0, out * size.shoulder_out_m, size.shoulder_above_m)
        arm = _body(torso, f"{side}_shoulder", shoulder, [f"{side}_{name}" for name in size.arm_order])
        forearm = _body(arm, f"{side}_forearm", (0.0, 0.0, -size.upper_arm_m), (f"{side}_elbow_pitch",))
        wrist = tuple(f"{side}_wrist_{axis}" for axis in ("yaw", "pitch", "roll"))
        _body(forearm, f"{side}_hand", (0.0, 0.0, -size.forearm_m), wrist)
    return spec.compile()


def _body(parent: mujoco.MjsBody, name: str, at_m: tuple[float, float, float], joints: Sequence[str]) -> mujoco.MjsBody:
    body = parent.add_body(name=name, pos=at_m, mass=1.0, inertia=[1.0, 1.0, 1.0])
    for joint in joints:
        body.add_joint(name=joint, type=mujoco.mjtJoint.mjJNT_HINGE, axis=AXES[joint.rpartition("_")[2]])
    return body
