"""Turn any robot's MjSpec into one that the control core can drive: torque in, angles out.

Published models carry position servos inside MuJoCo. Here the servo is the control core, as on the
real robot, so every driven joint gets a plain torque motor named after the joint.
"""

import fnmatch
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from sim.errors import BrokenModel

# Physics runs at the control core's rate; models that ask for larger steps are brought down to it.
PHYSICS_PERIOD_S = 0.002
FLOOR = "floor"
FLOOR_LIGHT = "floor_light"
_DRIVEN = (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE)


@dataclass(frozen=True)
class DrivenJoint:
    """What the MJCF says about one driven joint. Limits it does not give are None.

    Attributes:
        name: Name of the joint.
        range_rad: Lower and upper position limit [rad], or None.
        tau_max_nm: Largest torque [N m] that actuator and joint limits allow, or None.
        armature_kg_m2: Inertia of the rotor, reflected to the joint.
        damping_nms_rad, friction_nm: Viscous and dry friction of the joint.
    """

    name: str
    range_rad: tuple[float, float] | None
    tau_max_nm: float | None
    armature_kg_m2: float
    damping_nms_rad: float
    friction_nm: float


def driven_joints(spec: mujoco.MjSpec) -> list[DrivenJoint]:
    """Return the joints that the model's actuators drive, in actuator order.

    Raises BrokenModel where an actuator drives something else than a hinge or slide joint, or where two
    drive the same joint.
    """
    out: list[DrivenJoint] = []
    for actuator in spec.actuators:
        if actuator.trntype != mujoco.mjtTrn.mjTRN_JOINT:
            raise BrokenModel(f"actuator {actuator.name!r} does not drive a joint")
        joint = spec.joint(actuator.target)
        if joint is None or joint.type not in _DRIVEN:
            raise BrokenModel(f"actuator {actuator.name!r} drives {actuator.target!r}, which is no hinge or slide")
        if any(known.name == joint.name for known in out):
            raise BrokenModel(f"joint {joint.name!r} is driven twice")
        limits = [
            float(abs(bound))
            for values, limited in (
                (actuator.forcerange, actuator.forcelimited),
                (joint.actfrcrange, joint.actfrclimited),
                (actuator.ctrlrange * _motor_gain(actuator), actuator.ctrllimited),
            )
            if limited != mujoco.mjtLimited.mjLIMITED_FALSE
            for bound in values
            if bound != 0.0 and np.isfinite(bound)
        ]
        out.append(
            DrivenJoint(
                name=joint.name,
                range_rad=_range_rad(spec, joint),
                tau_max_nm=min(limits) if limits else None,
                armature_kg_m2=float(joint.armature),
                damping_nms_rad=float(np.ravel(joint.damping)[0]),
                friction_nm=float(joint.frictionloss),
            )
        )
    return out


def _motor_gain(actuator: mujoco.MjsActuator) -> float:
    """Torque [N m] per unit of control for a plain motor; 0 for servos, whose control is no torque."""
    is_motor = actuator.biastype == mujoco.mjtBias.mjBIAS_NONE
    return float(actuator.gainprm[0] * actuator.gear[0]) if is_motor else 0.0


def _range_rad(spec: mujoco.MjSpec, joint: mujoco.MjsJoint) -> tuple[float, float] | None:
    low, high = (float(v) for v in joint.range)
    if joint.limited == mujoco.mjtLimited.mjLIMITED_FALSE or low >= high:
        return None
    in_degrees = spec.compiler.degree and joint.type == mujoco.mjtJoint.mjJNT_HINGE
    return (float(np.radians(low)), float(np.radians(high))) if in_degrees else (low, high)


def use_torque_motors(spec: mujoco.MjSpec, joints: Sequence[str], tau_max_nm: Sequence[float]) -> None:
    """Replace all actuators of `spec` by one torque motor per joint, in the given order."""
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    for name, tau in zip(joints, tau_max_nm, strict=True):
        joint = spec.joint(name)
        joint.actfrcrange = (-tau, tau)
        joint.actfrclimited = mujoco.mjtLimited.mjLIMITED_TRUE
        motor = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        motor.set_to_motor()
        motor.gear = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        motor.forcerange = (-tau, tau)
        motor.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE
        motor.ctrllimited = mujoco.mjtLimited.mjLIMITED_FALSE


def leave_friction_to_drives(spec: mujoco.MjSpec, joints: Sequence[str]) -> None:
    """Take from joints with torque motors what `sim.drives` brings: viscous and dry friction, and the torque's limit.

    The reflected inertia stays. The limit goes because friction adds to what the motor brakes with: the control core
    limits the motor alone.
    """
    for name in joints:
        joint, motor = spec.joint(name), spec.actuator(name)
        damping = np.array(joint.damping, dtype=np.float64)
        damping.flat[0] = 0.0
        joint.damping = damping
        joint.frictionloss = 0.0
        joint.actfrclimited = mujoco.mjtLimited.mjLIMITED_FALSE
        motor.forcelimited = mujoco.mjtLimited.mjLIMITED_FALSE


def use_position_limits(spec: mujoco.MjSpec, name: str, range_rad: tuple[float, float]) -> None:
    """Give a joint that has none a position limit."""
    joint = spec.joint(name)
    joint.range = np.degrees(range_rad) if spec.compiler.degree else range_rad
    joint.limited = mujoco.mjtLimited.mjLIMITED_TRUE


def use_keyframe(spec: mujoco.MjSpec, qpos: Sequence[float]) -> None:
    """Make `home` the only keyframe."""
    for key in list(spec.keys):
        spec.delete(key)
    spec.add_key(name="home", qpos=list(qpos))


def let_touch(spec: mujoco.MjSpec, patterns: Sequence[str]) -> None:
    """Make the geoms whose names match touch the world, for models that only touch through named pairs."""
    for geom in spec.geoms:
        if any(fnmatch.fnmatchcase(geom.name, p) for p in patterns):
            geom.contype, geom.conaffinity = 1, 0


def put_on_stand(spec: mujoco.MjSpec, height_m: float) -> None:
    """Lift a robot that is mounted somewhere, and draw a column below it."""
    for body in spec.worldbody.bodies:
        body.pos[2] += height_m
    for thing in (*spec.worldbody.geoms, *spec.worldbody.sites):
        thing.pos[2] += height_m
    half_m = 0.5 * (height_m - 0.1)
    spec.worldbody.add_geom(
        name="stand",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[0.05, half_m, 0.0],
        pos=[0.0, 0.0, half_m],
        rgba=[0.55, 0.58, 0.62, 1.0],
        contype=0,
        conaffinity=0,
        group=2,
    )


def add_floor(spec: mujoco.MjSpec) -> None:
    """Put the robot on a floor of its own, with a light and a checker pattern for pictures."""
    spec.add_texture(
        name="floor",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=[0.80, 0.82, 0.84],
        rgb2=[0.74, 0.76, 0.79],
        width=256,
        height=256,
    )
    material = spec.add_material(name="floor", texrepeat=[2, 2], texuniform=True)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "floor"
    spec.worldbody.add_geom(
        name=FLOOR,
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[0, 0, 0.05],
        material="floor",
        contype=1,
        conaffinity=1,
        condim=3,
        friction=[1.0, 0.02, 0.001],
    )
    spec.worldbody.add_light(
        name=FLOOR_LIGHT, pos=[1.5, -2.0, 4.0], dir=[-0.35, 0.45, -1.0], diffuse=[0.55, 0.55, 0.55]
    )


def fingerprint(model: mujoco.MjModel) -> str:
    """Return the SHA-256 [hex] of a compiled model: it changes whenever the physics could."""
    buffer = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return hashlib.sha256(buffer.tobytes()).hexdigest()
