"""The canonical joints of each kind of body: their names, their order, how they count.

A name is side, limb and joint with its axis: `left_hip_pitch`, `front_left_knee_pitch`, `wrist_yaw`. Two rules give
every angle its meaning, so that no table of conventions is needed beside them:

* zero: a humanoid stands upright with straight legs and arms that hang down; a quadruped stands with straight legs
  below its hips; an arm points straight up.
* sign: at zero, all positive angles turn right-handed about the axes of the base: roll about x (forward), pitch about
  y (left), yaw about z (up). Left and right are not mirrored: a positive `hip_roll` leads the left leg outwards and the
  right leg inwards.

An arm is called by its kinematics. `arm` has shoulder, elbow and wrist whose axes meet or nearly do: seven axes, or
six without the turns of upper arm and forearm and with a `wrist_roll` between wrist_pitch and wrist_yaw.
`six_axis_arm` has three parallel pitches and a wrist off the line, pitch, yaw, pitch; its joints are called as their
makers and drivers call them (Universal Robots: shoulder pan, shoulder lift, elbow, wrist 1 to 3).

Roll, pitch and yaw about x forward, y left, z up are those of REP 103 (ROS, Standard Units of Measure and Coordinate
Conventions); the names of joints are those of the makers that name them by axis (Unitree, Booster).
"""

from collections.abc import Mapping
from dataclasses import dataclass

AXES: Mapping[str, tuple[float, float, float]] = {
    "roll": (1.0, 0.0, 0.0),
    "pitch": (0.0, 1.0, 0.0),
    "yaw": (0.0, 0.0, 1.0),
}


@dataclass(frozen=True)
class Joint:
    """One canonical joint.

    Attributes:
        name: Such as `left_hip_pitch`.
        side: "left", "right", or "" for the middle.
        limb: The chain it belongs to, from the base outwards, such as `left_leg`.
        axis: One of `AXES`.
    """

    name: str
    side: str
    limb: str
    axis: str


def _limb(limb: str, side: str, prefix: str, joints: tuple[str, ...]) -> list[Joint]:
    return [Joint(f"{prefix}{name}", side, limb, name.rpartition("_")[2]) for name in joints]


_LEG = ("hip_pitch", "hip_roll", "hip_yaw", "knee_pitch", "ankle_pitch", "ankle_roll")
_ARM = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow_pitch", "wrist_yaw", "wrist_pitch", "wrist_roll")
_SIDES = ("left", "right")

HUMANOID: tuple[Joint, ...] = (
    *(joint for side in _SIDES for joint in _limb(f"{side}_leg", side, f"{side}_", _LEG)),
    *_limb("waist", "", "", ("waist_yaw", "waist_roll", "waist_pitch")),
    *_limb("neck", "", "", ("neck_yaw", "neck_roll", "neck_pitch")),
    *(joint for side in _SIDES for joint in _limb(f"{side}_arm", side, f"{side}_", _ARM)),
)
QUADRUPED: tuple[Joint, ...] = tuple(
    joint
    for end in ("front", "rear")
    for side in _SIDES
    for joint in _limb(f"{end}_{side}_leg", side, f"{end}_{side}_", ("hip_roll", "hip_pitch", "knee_pitch"))
)
_SEVEN = ("shoulder_yaw", "shoulder_pitch", "upper_arm_yaw", "elbow_pitch", "forearm_yaw", "wrist_pitch", "wrist_yaw")
# Last, so that the seven keep their places: arms of six axes may have it where others have two yaws.
ARM: tuple[Joint, ...] = tuple(_limb("arm", "", "", (*_SEVEN, "wrist_roll")))
SIX_AXIS_ARM: tuple[Joint, ...] = tuple(
    Joint(name, "", "arm", axis)
    for name, axis in (
        ("shoulder_pan", "yaw"), ("shoulder_lift", "pitch"), ("elbow", "pitch"),
        ("wrist_1", "pitch"), ("wrist_2", "yaw"), ("wrist_3", "pitch"),
    )
)  # fmt: skip

BODIES: Mapping[str, tuple[Joint, ...]] = {
    "humanoid": HUMANOID, "quadruped": QUADRUPED, "arm": ARM, "six_axis_arm": SIX_AXIS_ARM
}  # fmt: skip
"""The canonical joints of each kind of body, in the order of every array."""
