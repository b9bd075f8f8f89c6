"""Scripted motions: where the joints should be at a given time, for collecting data and for trying a robot out.

A file `configs/motions/<name>.toml` describes a motion for whole classes of robots, in terms of parts of
the body instead of joint names:

    name, title, robot_classes      the file's name is the name
    kind = "waves"                  sums of sine waves, one [[waves]] table each:
        part                        a part, see PARTS, or patterns of joint names in `match`, or in `joints` canonical
                                    names (`sim.vocabulary`), whose signs are the same on every robot
        side = "left" | "right"     only that side (optional)
        amplitude_rad, frequency_hz, phase_cycles (0), offset_rad (0)
        mirrored = true             opposite sign on the right side (optional)
    kind = "trot"                   feet of diagonal legs lift in turn:
        step_hz, lift_share         of the standing height

Targets start at the home pose, swell smoothly, and never leave the joint limits.
"""

import difflib
import fnmatch
import functools
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.body import Array, Body, body_of, legs, lifted
from sim.catalog import ROBOT_CLASSES, Entry
from sim.errors import BrokenCatalogue, Misfit, UnknownMotion
from sim.vocabulary import BODIES, joint_map

MOTIONS_FOLDER = Path(__file__).resolve().parents[1] / "configs" / "motions"
RAMP_S = 1.5
"""Time in which a motion swells from nothing to its full size."""
MARGIN_RAD = 0.02
"""Targets keep this distance from the joint limits."""
SPEED_SHARE = 0.5
"""Waves are made smaller where they would ask for more than this share of a joint's speed limit."""

# Patterns of joint names (lower case) of each part of the body, over the makers' many vocabularies.
PARTS: dict[str, tuple[str, ...]] = {
    "hip_pitch": ("*hip_pitch*", "*hip_fe", "*_hfe"),
    "knee": ("*knee*", "*_kfe"),
    "ankle_pitch": ("*ankle_pitch*", "*ankle_pd", "*_ffe", "*ank_pitch", "*left_ankle", "*right_ankle"),
    "waist_yaw": ("*waist_yaw*", "waist", "torso", "torso_yaw"),
    "shoulder_pitch": ("*shoulder_pitch*", "*shoulder_fe", "*sho_pitch"),
    "shoulder_roll": ("*shoulder_roll*", "*shoulder_aa", "*sho_roll"),
    "elbow": ("*elbow", "*elbow_joint", "*elbow_fe", "*elbow_pitch", "?_el"),
    "arm_base": ("shoulder_yaw", "joint1"),
    "arm_shoulder": ("shoulder_pitch", "joint2"),
    "arm_elbow": ("elbow", "joint4"),
    "arm_wrist": ("wrist_pitch", "joint6"),
    "hip_roll": ("*hip_roll*", "*hip_aa", "*_haa"),
}


@dataclass(frozen=True)
class Wave:
    """One sine on the joints of a part; see the module for the fields."""

    patterns: tuple[str, ...]
    joints: tuple[str, ...]
    side: str
    amplitude_rad: float
    frequency_hz: float
    phase_cycles: float
    offset_rad: float
    mirrored: bool

    def moves(self, joint: str, canonical: Mapping[str, tuple[str, float]]) -> bool:
        """Whether the wave applies to the joint of this name; canonical: names and signs by the robot's own names."""
        if self.joints:
            return canonical.get(joint, ("", 0.0))[0] in self.joints
        if self.side and side_of(joint) != self.side:
            return False
        return any(fnmatch.fnmatchcase(joint.lower(), p) for p in self.patterns)

    def sign(self, joint: str, canonical: Mapping[str, tuple[str, float]]) -> float:
        """Which way the joint of this name, which the wave applies to, is moved."""
        if self.joints:
            return canonical[joint][1]
        return -1.0 if self.mirrored and side_of(joint) == "right" else 1.0


@dataclass(frozen=True)
class Trot:
    """Feet of diagonal legs lift in turn, `step_hz` times a second, by a share of the standing height."""

    step_hz: float
    lift_share: float


@dataclass(frozen=True)
class Motion:
    """The description of a motion. `fit` makes the motion of one robot from it."""

    name: str
    title: str
    robot_classes: tuple[str, ...]
    script: tuple[Wave, ...] | Trot

    def fits(self, entry: Entry) -> bool:
        """Whether the motion suits the robot's class and moves at least one of its joints.

        Raises as `Entry.mjspec`: without the model nobody knows the joints.
        """
        if entry.robot_class not in self.robot_classes:
            return False
        names, canonical = entry.joint_names(), _canonical(entry)
        return isinstance(self.script, Trot) or any(w.moves(name, canonical) for w in self.script for name in names)

    def fit(self, entry: Entry) -> "FittedMotion":
        """Return the motion for one robot.

        Raises:
            Misfit: the motion does not suit the robot.
            MissingModel, BrokenModel, BrokenCatalogue: as `Entry.mjspec`.
        """
        if not self.fits(entry):
            raise Misfit(
                f"motion {self.name!r} is for {', '.join(self.robot_classes)} with the joints it moves; "
                f"{entry.id!r} is a {entry.robot_class} with {', '.join(entry.joint_names())}"
            )
        model = entry.model()
        body = body_of(model, entry.robot_spec())
        if isinstance(self.script, Trot):
            swing = np.zeros((2, len(body.home_q)))
            for leg in legs(model, body):
                pair = int(leg.foot_m[0] * leg.foot_m[1] < 0)
                height_m = self.script.lift_share * float(body.home_qpos[2])
                swing[pair, list(leg.joints)] = lifted(model, body, leg, height_m)
            return FittedMotion(self.name, body, trot_hz=self.script.step_hz, swing_rad=swing)
        return FittedMotion(self.name, body, waves=_fit_waves(self.script, body, _canonical(entry)))


class FittedMotion:
    """A motion of one robot.

    Attributes:
        name: The motion's name.
        joint_names: Joints in the order of the targets.
    """

    def __init__(
        self,
        name: str,
        body: Body,
        *,
        waves: npt.NDArray[np.float64] | None = None,
        trot_hz: float = 0.0,
        swing_rad: Array | None = None,
    ) -> None:
        self.name = name
        self.joint_names = body.spec.joint_names
        self._home = body.home_q
        self._low = np.minimum(body.q_min + MARGIN_RAD, body.home_q)
        self._high = np.maximum(body.q_max - MARGIN_RAD, body.home_q)
        # Rows: joint, amplitude [rad], frequency [Hz], phase [cycles], offset [rad].
        self._waves = np.zeros((0, 5)) if waves is None else waves
        self._trot_hz = trot_hz
        self._swing = swing_rad

    def targets(self, t_s: float) -> Array:
        """Return the joint targets [rad] at time `t_s` since the start, (nu,). At 0 it is the home pose."""
        x = min(max(t_s / RAMP_S, 0.0), 1.0)
        # Smoothstep: the swelling itself starts and ends without a jerk in speed.
        swell = x * x * (3.0 - 2.0 * x)
        q = self._home.copy()
        for joint, amplitude, frequency, phase, offset in self._waves:
            wave = amplitude * math.sin(2 * math.pi * (frequency * t_s + phase)) + offset
            q[int(joint)] += swell * wave
        if self._swing is not None:
            wave = math.sin(2 * math.pi * self._trot_hz * t_s)
            q += swell * (max(wave, 0.0) * self._swing[0] + max(-wave, 0.0) * self._swing[1])
        return np.clip(q, self._low, self._high)


def _canonical(entry: Entry) -> dict[str, tuple[str, float]]:
    """Canonical name and sign by the robot's own names."""
    if not entry.vocabulary:
        return {}
    names = joint_map(entry)
    return {
        names.joint_names[names.index[i]]: (name, float(names.sign[i]))
        for i, name in enumerate(names.names)
        if names.mask[i]
    }


def _fit_waves(
    waves: tuple[Wave, ...], body: Body, canonical: Mapping[str, tuple[str, float]]
) -> npt.NDArray[np.float64]:
    rows = []
    for wave in waves:
        for joint, name in enumerate(body.spec.joint_names):
            if not wave.moves(name, canonical):
                continue
            spec = body.spec.joints[joint]
            speed = wave.amplitude_rad * 2 * math.pi * wave.frequency_hz
            scale = min(1.0, SPEED_SHARE * spec.dq_max_rad_s / speed) if speed > 0 else 1.0
            sign = wave.sign(name, canonical)
            rows.append(
                (joint, sign * scale * wave.amplitude_rad, wave.frequency_hz, wave.phase_cycles, sign * wave.offset_rad)
            )
    return np.array(rows, dtype=np.float64)


def side_of(joint: str) -> str:
    """Return "left", "right" or "" for a joint's name, over the makers' vocabularies."""
    name = joint.lower()
    for side, starts in (
        ("left", ("left", "l_", "ll_", "fl_", "rl_")),
        ("right", ("right", "r_", "lr_", "fr_", "rr_")),
    ):
        if name.startswith(starts) or name.endswith("_" + side):
            return side
    return ""


def load_motion(path: Path) -> Motion:
    """Read one description file. Raises BrokenCatalogue naming the file and the field."""
    try:
        table = tomllib.loads(path.read_text())
        kind = table["kind"]
        if kind == "waves":
            script: tuple[Wave, ...] | Trot = tuple(_wave(w) for w in table["waves"])
        elif kind == "trot":
            script = Trot(float(table["step_hz"]), float(table["lift_share"]))
        else:
            raise BrokenCatalogue(f"{path.name}: kind {kind!r} is neither 'waves' nor 'trot'")
        motion = Motion(table["name"], table["title"], tuple(table["robot_classes"]), script)
    except (KeyError, tomllib.TOMLDecodeError) as error:
        raise BrokenCatalogue(f"{path.name}: {error}") from error
    unknown = set(motion.robot_classes) - set(ROBOT_CLASSES)
    if unknown:
        raise BrokenCatalogue(f"{path.name}: robot_classes {sorted(unknown)} are none of {ROBOT_CLASSES}")
    if motion.name != path.stem:
        raise BrokenCatalogue(f"{path.name}: name {motion.name!r} is not the file's name")
    return motion


def _wave(table: Mapping[str, Any]) -> Wave:
    joints = tuple(table.get("joints", ()))
    unknown = set(joints) - {joint.name for body in BODIES.values() for joint in body}
    if unknown:
        raise BrokenCatalogue(f"no canonical joints {sorted(unknown)}")
    patterns = () if joints else tuple(table["match"]) if "match" in table else PARTS[table["part"]]
    return Wave(
        patterns=patterns,
        joints=joints,
        side=str(table.get("side", "")),
        amplitude_rad=float(table["amplitude_rad"]),
        frequency_hz=float(table["frequency_hz"]),
        phase_cycles=float(table.get("phase_cycles", 0.0)),
        offset_rad=float(table.get("offset_rad", 0.0)),
        mirrored=bool(table.get("mirrored", False)),
    )


@functools.cache
def motions() -> dict[str, Motion]:
    """Return all motions by name."""
    return {m.name: m for m in (load_motion(p) for p in sorted(MOTIONS_FOLDER.glob("*.toml")))}


def find_motion(name: str) -> Motion:
    """Return the motion `name`. Raises UnknownMotion with the closest names."""
    known = motions()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or sorted(known)
        raise UnknownMotion(f"no motion {name!r}; did you mean {', '.join(close)}?")
    return known[name]


def motions_for(entry: Entry) -> list[Motion]:
    """Return the motions that suit a robot. Raises as `Entry.mjspec`."""
    return [motion for motion in motions().values() if motion.fits(entry)]
