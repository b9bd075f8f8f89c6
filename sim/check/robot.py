"""What a robot's file must be, see `sim.catalog`, and whether it is true of the model."""

import fnmatch
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from sim.catalog import ACTUATORS_FOLDER, ROBOT_CLASSES, Entry, load_entry
from sim.check.finding import Key, nearest
from sim.check.schema import DIALECT, Schema, number, one_of, rows, table, text
from sim.errors import MissingModel, SimError
from sim.model import DrivenJoint, driven_joints
from sim.own import BUILDERS
from sim.resolve import PACKAGES
from sim.vocabulary import BODIES, problems

SOURCE = text("where the numbers come from")
RANGE_SLACK_RAD = 1e-3
"""A range may be wider than the model's by rounding."""
UNIT_RATIO = 300.0
"""A number this far from the model's own is in another unit; sources that merely disagree stay below a factor of 25."""

# What is plausible: from a finger's joint to the largest legged robots. Slides count in metres, newtons and kilograms.
_LIMITS: dict[str, Schema] = {
    "dq_max_rad_s": number(0.01, 100.0, "largest speed [rad/s]; of slides [m/s]"),
    "tau_rate_nm_s": number(1.0, 1e6, "largest change of the torque [N m/s]"),
    "kp_nm_rad": number(0.0, 2e4, "position gain [N m/rad]"),
    "kd_nms_rad": number(0.0, 2e3, "speed gain [N m s/rad]"),
    "v_knee_rad_s": number(0.01, 100.0, "speed up to which the full torque is there [rad/s]"),
    "v_noload_rad_s": number(0.01, 150.0, "speed at which none is left [rad/s]"),
    "tau_max_nm": number(0.01, 2000.0, "largest torque [N m]; of slides [N]"),
    "q_min_rad": number(-4 * math.pi, 4 * math.pi, "lower position limit [rad]; of slides [m]"),
    "q_max_rad": number(-4 * math.pi, 4 * math.pi, "upper position limit [rad]; of slides [m]"),
}
_NEEDED = ("dq_max_rad_s", "tau_rate_nm_s", "kp_nm_rad", "kd_nms_rad")
_NAMES = rows({"type": "string", "minLength": 1}, least=1)
_MASS = number(0.05, 2000.0, "[kg]")


def schema() -> Schema:
    """Return the JSON Schema of `configs/robots/*.toml`."""
    actuators = sorted(file.stem for file in ACTUATORS_FOLDER.glob("*.toml"))
    group = {
        "match": {**_NAMES, "description": "patterns of joint names; the first table that matches counts"},
        **_LIMITS,
        "source": SOURCE,
    }
    of_joint = {
        **group,
        "actuator": one_of(actuators, "what drives the joints"),
        "armature_kg_m2": number(1e-7, 50.0, "reflected inertia of the rotor [kg m^2]"),
    }
    power = {key: number(0.5, 2e4, "[W]") for key in ("work_power_w", "idle_power_w", "rest_power_w", "charge_power_w")}
    battery = {"capacity_wh": number(1.0, 2e4, "from full to empty [W h]"), **power, "source": SOURCE}
    home = {
        "keyframe": text("of the model"),
        "raise_m": number(-1.0, 1.0, "lift of the keyframe's base [m]"),
        "base_height_m": number(0.0, 3.0, "[m]"),
        "joints": {"type": "object", "additionalProperties": number(-4 * math.pi, 4 * math.pi, "[rad]")},
    }
    named = table(
        {"joint": text("the robot's own name"), "sign": {"enum": [1, -1]}, "zero_rad": number(-6.3, 6.3, "[rad]")},
        required=["joint"],
    )
    vocabulary = {
        "body": one_of(tuple(BODIES), "whose canonical joints"),
        "joints": table({joint.name: named for body in BODIES.values() for joint in body}),
    }
    whole = {
        "id": text("the file's name"),
        "maker": text("who makes it"),
        "name": text("what they call it"),
        "robot_class": one_of(ROBOT_CLASSES, "its kind"),
        "licence": text("SPDX identifier of the model's licence"),
        "end_effector": text("site or body at the tip of an arm"),
        "source": table(
            {
                "builder": one_of(tuple(BUILDERS), "one of our own"),
                "path": text("of the model inside its package"),
                "package": one_of(tuple(PACKAGES), "that carries the model"),
                "menagerie_path": text("of the same model in a Menagerie"),
                "sha256": text("of the model's folder"),
                "stand_m": number(0.0, 3.0, "height of its stand [m]"),
                "touching": _NAMES,
            }
        ),
        "home": table(home),
        "body": table({"payload_kg": number(0.01, 500.0, "[kg]"), "source": SOURCE}, required=["payload_kg", "source"]),
        "battery": table(battery, required=tuple(battery)),
        "bus": table({"command_delay_s": number(0.0, 0.5, "[s]"), "source": SOURCE}, required=["source"]),
        "joints": rows(table(of_joint, required=["match", "source", *_NEEDED]), least=1),
        "second_sources": rows(table(group, required=["match", "source"])),
        "masses": rows(table({"mass_kg": _MASS, "source": SOURCE}, required=["mass_kg", "source"])),
        "vocabulary": table(vocabulary, required=["body", "joints"]),
    }
    needed = ("id", "maker", "name", "robot_class", "licence", "source", "home", "joints")
    return {"$schema": DIALECT, "title": "A Palaestra robot", **table(whole, required=needed)}


def mistakes(tables: Mapping[str, Any], path: Path, menagerie_root: Path | None) -> Iterator[tuple[Key, str, bool]]:
    """Yield (key, reason, whether it is a note) for what contradicts the model, of a file that fits its schema."""
    try:
        entry = load_entry(path, menagerie_root=menagerie_root)
        spec = entry.source_spec()
        driven = driven_joints(spec)
    except MissingModel as error:
        yield ("source",), f"joints and limits were not compared: {error}", True
        return
    except SimError as error:
        yield _place(tables, str(error)), str(error), False
        return
    names = [joint.name for joint in driven]
    found = [*_patterns(tables, names), *_home(tables, entry, spec, driven), *_ranges(tables, driven)]
    yield from ((*one, False) for one in found)
    if found:
        return
    try:
        entry.model()
        mass_kg = entry.mass_kg()
        for i, row in enumerate(tables.get("masses", ())):
            reason = _factor(row["mass_kg"], mass_kg, "the model weighs", "kg")
            if reason:
                yield ("masses", i, "mass_kg"), reason, False
        if entry.vocabulary:
            yield from ((("vocabulary",), problem, False) for problem in problems(entry))
    except SimError as error:
        yield _place(tables, str(error)), str(error), False


def _patterns(tables: Mapping[str, Any], names: list[str]) -> Iterator[tuple[Key, str]]:
    for kind in ("joints", "second_sources"):
        for i, row in enumerate(tables.get(kind, ())):
            for pattern in row["match"]:
                if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
                    yield (kind, i, "match"), f"{pattern!r} matches no joint of the model{nearest(pattern, names)}"
    for name in names:
        if not any(fnmatch.fnmatchcase(name, p) for row in tables["joints"] for p in row["match"]):
            yield ("joints",), f"no table matches joint {name!r}"
    for canonical, row in tables.get("vocabulary", {}).get("joints", {}).items():
        if row["joint"] not in names:
            yield ("vocabulary", "joints", canonical), f"no joint {row['joint']!r}{nearest(row['joint'], names)}"


def _home(
    tables: Mapping[str, Any], entry: Entry, spec: mujoco.MjSpec, driven: list[DrivenJoint]
) -> Iterator[tuple[Key, str]]:
    keyframe = tables["home"].get("keyframe")
    if keyframe is not None and spec.key(keyframe) is None:
        yield ("home", "keyframe"), f"no keyframe {keyframe!r}{nearest(keyframe, [key.name for key in spec.keys])}"
    names = [joint.name for joint in spec.joints]
    limits = {joint.name: joint.range_rad for joint in driven}
    for name, angle in tables["home"].get("joints", {}).items():
        key: Key = ("home", "joints", name)
        if name not in names:
            yield key, f"the model has no joint {name!r}{nearest(name, names)}"
            continue
        narrowed = _narrowed(tables, name)
        low, high = limits.get(name) or (-np.inf, np.inf)
        low, high = narrowed.get("q_min_rad", low), narrowed.get("q_max_rad", high)
        if not low - RANGE_SLACK_RAD <= angle <= high + RANGE_SLACK_RAD:
            yield key, f"{angle} rad is outside the joint's limits, {low:.4g} to {high:.4g}"


def _ranges(tables: Mapping[str, Any], driven: list[DrivenJoint]) -> Iterator[tuple[Key, str]]:
    """Limits that cross each other or the model's, and torques in another unit than the model's."""
    told: set[Key] = set()
    for joint in driven:
        row = _row_of(tables, joint.name)
        if row is None:
            continue
        values = tables["joints"][row]
        low, high = values.get("q_min_rad"), values.get("q_max_rad")
        for key, reason in _of_joint(joint, low, high, values.get("tau_max_nm")):
            where: Key = ("joints", row, key)
            if where not in told:
                told.add(where)
                yield where, reason


def _of_joint(
    joint: DrivenJoint, low: float | None, high: float | None, tau_nm: float | None
) -> Iterator[tuple[str, str]]:
    least, most = joint.range_rad or (-math.inf, math.inf)
    if (least if low is None else low) >= (most if high is None else high):
        yield ("q_min_rad" if low is not None else "q_max_rad"), f"{joint.name}: the lower limit is not below the upper"
    elif low is not None and low < least - RANGE_SLACK_RAD:
        yield "q_min_rad", f"{low} crosses the limit of {joint.name} in the model, {least:.4g} rad"
    elif high is not None and high > most + RANGE_SLACK_RAD:
        yield "q_max_rad", f"{high} crosses the limit of {joint.name} in the model, {most:.4g} rad"
    if tau_nm is not None and joint.tau_max_nm is not None:
        reason = _factor(tau_nm, joint.tau_max_nm, f"the model gives {joint.name}", "N m")
        if reason:
            yield "tau_max_nm", reason


def _factor(value: float, other: float, words: str, unit: str) -> str:
    ratio = value / other if other > 0.0 else 1.0
    if 1.0 / UNIT_RATIO < ratio < UNIT_RATIO:
        return ""
    return f"{value:g} {unit}, but {words} {other:.4g} {unit}: a factor of {max(ratio, 1 / ratio):,.0f}, another unit?"


def _row_of(tables: Mapping[str, Any], joint: str) -> int | None:
    rows_ = enumerate(tables["joints"])
    return next((i for i, row in rows_ if any(fnmatch.fnmatchcase(joint, p) for p in row["match"])), None)


def _narrowed(tables: Mapping[str, Any], joint: str) -> Mapping[str, float]:
    row = _row_of(tables, joint)
    return tables["joints"][row] if row is not None else {}


def _place(tables: Mapping[str, Any], reason: str) -> Key:
    """Return the field that a reason is most likely about: the one that it names."""
    for name in ("id", "home", "vocabulary", "battery", "body", "bus"):
        if f" {name} " in reason or f"[{name}]" in reason:
            return (name,)
    return ("source", "path") if "path" in tables.get("source", {}) else ("source",)
