"""Where a robot's quantities lie in MuJoCo's arrays, and what its shape says: limits, home, legs."""

from dataclasses import dataclass

import mujoco
import numpy as np
import numpy.typing as npt

from controller.spec import RobotSpec
from sim.errors import BrokenModel

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp] | slice

_ROUND = (int(mujoco.mjtGeom.mjGEOM_SPHERE), int(mujoco.mjtGeom.mjGEOM_CAPSULE))


@dataclass(frozen=True)
class Leg:
    """One leg of a walking robot.

    Attributes:
        joints: Positions of its joints in the robot's joint order, hip to foot.
        hip_m: Where it starts, in the base frame at home (3,).
        foot_m: Its lowest point, in the base frame at home (3,).
    """

    joints: tuple[int, ...]
    hip_m: tuple[float, float, float]
    foot_m: tuple[float, float, float]


@dataclass(frozen=True)
class Body:
    """A robot in a compiled model.

    Attributes:
        spec: Limits and gains of the joints.
        q, dq: Where the driven joints are in qpos and qvel, as a slice where they lie side by side.
        base: Body id of the base link.
        floating: Whether the base moves freely; it is then the first joint of the model.
        home_qpos: Home configuration, (nq,).
        home_q: Home angles of the driven joints [rad], (nu,).
        q_min, q_max: Position limits [rad], (nu,).
        mass_kg: Mass of the robot.
    """

    spec: RobotSpec
    q: Index
    dq: Index
    base: int
    floating: bool
    home_qpos: Array
    home_q: Array
    q_min: Array
    q_max: Array
    mass_kg: float


def body_of(model: mujoco.MjModel, spec: RobotSpec) -> Body:
    """Find the robot in a model made by `Entry.mjspec`. Raises BrokenModel where a joint or `home` is missing."""
    try:
        joints = [model.joint(name) for name in spec.joint_names]
        home = np.array(model.key("home").qpos, dtype=np.float64)
    except KeyError as error:
        raise BrokenModel(f"{spec.robot_model}: {' '.join(str(error).split())[:200]}") from error
    base = int(model.body_rootid[model.jnt_bodyid[joints[0].id]])
    q = np.array([j.qposadr[0] for j in joints])
    return Body(
        spec=spec,
        q=_compact(q),
        dq=_compact(np.array([j.dofadr[0] for j in joints])),
        base=base,
        floating=bool(model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE),
        home_qpos=home,
        home_q=home[q],
        q_min=np.array([j.q_min_rad for j in spec.joints]),
        q_max=np.array([j.q_max_rad for j in spec.joints]),
        mass_kg=float(model.body_subtreemass[base]),
    )


def _compact(index: npt.NDArray[np.intp]) -> Index:
    """A slice reads a block of columns without a copy; most robots allow it."""
    first = int(index[0])
    if np.array_equal(index, np.arange(first, first + len(index))):
        return slice(first, first + len(index))
    return index


def legs(model: mujoco.MjModel, body: Body) -> list[Leg]:
    """Find the legs of a quadruped from its kinematics alone, whatever its joints are called.

    A leg is the set of driven joints below one child of the base whose lowest point, at home, is near
    the ground. Ordered front left, front right, rear left, rear right. Raises BrokenModel where these
    are not four.
    """
    data = at_home(model, body)
    chains: dict[int, list[int]] = {}
    for i, name in enumerate(body.spec.joint_names):
        link = int(model.joint(name).bodyid[0])
        while model.body_parentid[link] != body.base:
            link = int(model.body_parentid[link])
        chains.setdefault(link, []).append(i)
    rotation = data.xmat[body.base].reshape(3, 3)
    origin = data.xpos[body.base]
    found: list[Leg] = []
    height = float(data.xpos[body.base][2])
    for link, joints in chains.items():
        hip = rotation.T @ (data.xpos[link] - origin)
        tip = int(model.joint(body.spec.joint_names[joints[-1]]).bodyid[0])
        lowest = _lowest_point(model, data, tip)
        if lowest[2] < 0.25 * height:
            foot = rotation.T @ (lowest - origin)
            found.append(Leg(tuple(joints), (hip[0], hip[1], hip[2]), (foot[0], foot[1], foot[2])))
    if len(found) != 4:
        raise BrokenModel(f"{body.spec.robot_model}: found {len(found)} legs, a quadruped has 4")
    return sorted(found, key=lambda leg: (-np.sign(leg.foot_m[0]), -leg.foot_m[1]))


def lifted(model: mujoco.MjModel, body: Body, leg: Leg, height_m: float) -> Array:
    """Return the change of the leg's joint angles [rad] that lifts its foot straight up by `height_m`.

    Newton's method on the foot's position relative to the base, with the joint Jacobian.
    """
    data = at_home(model, body)
    tip = int(model.joint(body.spec.joint_names[leg.joints[-1]]).bodyid[0])
    local = data.xmat[tip].reshape(3, 3).T @ (_lowest_point(model, data, tip) - data.xpos[tip])
    goal = data.xpos[tip] + data.xmat[tip].reshape(3, 3) @ local + np.array([0.0, 0.0, height_m])
    adr = [int(model.joint(body.spec.joint_names[i]).qposadr[0]) for i in leg.joints]
    dof = [int(model.joint(body.spec.joint_names[i]).dofadr[0]) for i in leg.joints]
    jacobian = np.zeros((3, model.nv))
    start = data.qpos[adr].copy()
    low, high = body.q_min[list(leg.joints)], body.q_max[list(leg.joints)]
    for _ in range(20):
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        point = data.xpos[tip] + data.xmat[tip].reshape(3, 3) @ local
        mujoco.mj_jac(model, data, jacobian, None, point, tip)
        step = np.linalg.lstsq(jacobian[:, dof], goal - point, rcond=1e-3)[0]
        data.qpos[adr] = np.clip(data.qpos[adr] + step, low, high)
    return np.asarray(data.qpos[adr] - start)


def at_home(model: mujoco.MjModel, body: Body) -> mujoco.MjData:
    """Return fresh data with the robot at home and its kinematics computed."""
    data = mujoco.MjData(model)
    data.qpos[:] = body.home_qpos
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    return data


def _lowest_point(model: mujoco.MjModel, data: mujoco.MjData, link: int) -> Array:
    """Return the lowest point (3,) of a link's shapes and of what is fixed to it: the sole's skin."""
    best: Array = np.array(data.xpos[link], dtype=np.float64)
    for geom in range(model.ngeom):
        owner = int(model.geom_bodyid[geom])
        if owner != link and model.body_weldid[owner] != model.body_weldid[link]:
            continue
        points = data.geom_xpos[geom] + _outline(model, geom) @ data.geom_xmat[geom].reshape(3, 3).T
        if int(model.geom_type[geom]) in _ROUND:
            points = points - np.array([0.0, 0.0, model.geom_size[geom][0]])
        lowest = points[np.argmin(points[:, 2])]
        if lowest[2] < best[2]:
            best = lowest
    return best


def _outline(model: mujoco.MjModel, geom: int) -> Array:
    """Points of a shape in its own frame, (k, 3), among them its lowest (spheres, capsules: their axis)."""
    kind, size = int(model.geom_type[geom]), model.geom_size[geom]
    if kind == int(mujoco.mjtGeom.mjGEOM_MESH):
        mesh = model.geom_dataid[geom]
        first = model.mesh_vertadr[mesh]
        return np.asarray(model.mesh_vert[first : first + model.mesh_vertnum[mesh]], dtype=np.float64)
    if kind == int(mujoco.mjtGeom.mjGEOM_SPHERE):
        return np.zeros((1, 3))
    if kind == int(mujoco.mjtGeom.mjGEOM_CAPSULE):
        return np.array([[0.0, 0.0, size[1]], [0.0, 0.0, -size[1]]])
    half = np.array(model.geom_aabb[geom][3:])
    corners = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8).T
    return np.asarray(np.array(model.geom_aabb[geom][:3]) + corners * half)


def base_name(spec: mujoco.MjSpec, joint: str) -> str:
    """Return the body at the root of the robot that has this joint."""
    body = spec.joint(joint).parent
    while body.parent is not None and body.parent.name != "world":
        body = body.parent
    return str(body.name)
