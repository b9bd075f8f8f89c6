"""The limbs of a body that a motion is carried over to: where their ends are, what moves them, how far joints go."""

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
import numpy.typing as npt

from sim.catalog import Entry
from sim.errors import Misfit
from sim.vocabulary.figure import Figure
from sim.vocabulary.geometry import posed
from sim.vocabulary.mapping import JointMap, joint_map
from sim.vocabulary.names import HUMANOID
from sim.vocabulary.paths import ENDS_OF, joint_id

Array = npt.NDArray[np.float64]

ENDS = ("left_foot", "right_foot", "left_hand", "right_hand")
_LIMB_OF = {"left_foot": "left_leg", "right_foot": "right_leg", "left_hand": "left_arm", "right_hand": "right_arm"}
_FULL_TURN_RAD = np.pi


@dataclass(frozen=True)
class Limb:
    """One limb: its end, seen from its root, and the canonical joints that move it.

    Attributes:
        end: One of `ENDS`.
        root: Joint whose anchor the end is seen from (MuJoCo's id).
        tip: Joint whose anchor is the end, or -1.
        body: Body whose subtree's middle, or origin, is the end, or -1.
        whole: Whether the subtree's middle counts, and not the body's origin.
        joints: Which canonical joints move it, indices into `names.HUMANOID`.
    """

    end: str
    root: int
    tip: int
    body: int
    whole: bool
    joints: npt.NDArray[np.intp]


@dataclass(frozen=True)
class Limbs:
    """A humanoid with its limbs. Angles are canonical, (N,) in the order of `names.HUMANOID`.

    Attributes:
        model, data: Of MuJoCo; `data` is scratch.
        limbs: Those that it has.
        address, dof: Of each canonical joint in qpos and qvel, (N,); -1 where it has none.
        sign, zero_rad: As in `JointMap`, (N,).
        low_rad, high_rad: Limits of the canonical angles, (N,).
        speed_rad_s: Limits of their speeds, (N,); inf where nobody says.
    """

    model: mujoco.MjModel
    data: mujoco.MjData
    limbs: tuple[Limb, ...]
    address: npt.NDArray[np.intp]
    dof: npt.NDArray[np.intp]
    sign: Array
    zero_rad: Array
    low_rad: Array
    high_rad: Array
    speed_rad_s: Array

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Which canonical joints it has, (N,)."""
        return self.address >= 0

    def place(self, canonical: Array) -> None:
        """Put the body into a pose; what it has not is ignored."""
        mask = self.mask
        self.data.qpos[self.address[mask]] = (self.sign * canonical + self.zero_rad)[mask]
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)

    def end_m(self, limb: Limb) -> Array:
        """Return where a limb's end is in the present pose, seen from its root [m], (3,)."""
        return np.asarray(self._tip_m(limb) - self.data.xanchor[limb.root])

    def jacobian_m(self, limb: Limb) -> Array:
        """Return how the end moves with the limb's joints, (3, K) [m/rad], canonical."""
        tip, root = np.zeros((3, self.model.nv)), np.zeros((3, self.model.nv))
        if limb.whole:
            mujoco.mj_jacSubtreeCom(self.model, self.data, tip, limb.body)
        else:
            body = limb.body if limb.body >= 0 else int(self.model.jnt_bodyid[limb.tip])
            mujoco.mj_jac(self.model, self.data, tip, None, self._tip_m(limb), body)
        mujoco.mj_jac(
            self.model, self.data, root, None, self.data.xanchor[limb.root], int(self.model.jnt_bodyid[limb.root])
        )
        return np.asarray((tip - root)[:, self.dof[limb.joints]] * self.sign[limb.joints])

    def paths(self, canonical: Array) -> dict[str, Array]:
        """Return where the ends go under angles (T, N), each (T, 3) [m], seen from their roots."""
        out = {limb.end: np.empty((len(canonical), 3)) for limb in self.limbs}
        for t, angles in enumerate(canonical):
            self.place(angles)
            for limb in self.limbs:
                out[limb.end][t] = self.end_m(limb)
        return out

    def reach_m(self, limb: Limb) -> float:
        """Return how far the end is from its root with a straight limb."""
        self.place(np.zeros(len(HUMANOID)))
        return float(np.linalg.norm(self.end_m(limb)))

    def _tip_m(self, limb: Limb) -> Array:
        if limb.tip >= 0:
            return np.array(self.data.xanchor[limb.tip])
        return np.array(self.data.subtree_com[limb.body] if limb.whole else self.data.xpos[limb.body])


def robot_limbs(entry: Entry) -> Limbs:
    """Return a humanoid of the catalogue. Ends are those of `paths.robot_points`.

    Raises Misfit for other bodies, and as `joint_map`.
    """
    names = joint_map(entry)
    if names.body != "humanoid":
        raise Misfit(f"robot {entry.id!r} is a {names.body}, feet and hands are a humanoid's")
    model = entry.model()
    data = posed(model, names, np.zeros(len(names.names)))
    joints = [joint_id(model, names, name) if has else -1 for name, has in zip(names.names, names.mask, strict=True)]
    spec = {joint.name: joint for joint in entry.robot_spec().joints}
    own = [spec[names.joint_names[i]] if i >= 0 else None for i in names.index]
    low, high = names.limits(
        np.array([spec[name].q_min_rad for name in names.joint_names]),
        np.array([spec[name].q_max_rad for name in names.joint_names]),
    )
    limbs = []
    for end in ENDS:
        side, kind = end.split("_")
        start, tip = (f"{side}_{name}" for name in ENDS_OF[kind])
        if names.mask[names.names.index(start)] and names.mask[names.names.index(tip)]:
            tip_id = joint_id(model, names, tip)
            foot = kind == "foot"
            body = -1 if foot else int(model.jnt_bodyid[tip_id])
            moving = _moving(end, names.mask, HUMANOID_NAMES)
            limbs.append(Limb(end, joint_id(model, names, start), tip_id if foot else -1, body, not foot, moving))
    return Limbs(
        model, data, tuple(limbs),
        np.array([model.jnt_qposadr[j] if j >= 0 else -1 for j in joints]),
        np.array([model.jnt_dofadr[j] if j >= 0 else -1 for j in joints]),
        names.sign, names.zero_rad, low, high,
        np.array([joint.dq_max_rad_s if joint else np.inf for joint in own]),
    )  # fmt: skip


def figure_limbs(figure: Figure, names: JointMap) -> Limbs:
    """Return a recorded body: its proportions, and the joints that its recording has (the others stay at 0).

    Nobody tells its limits: a full turn each way.
    """
    model = figure.model
    ids = [int(model.joint(joint.name).id) for joint in HUMANOID]
    count = len(HUMANOID)
    limbs = []
    for end in ENDS:
        side, kind = end.split("_")
        start = model.body(f"{side}_{'hip' if kind == 'foot' else 'shoulder'}")
        root = int(model.body_jntadr[start.id])
        limbs.append(Limb(end, root, -1, int(model.body(end).id), False, _moving(end, names.mask, HUMANOID_NAMES)))
    return Limbs(
        model, mujoco.MjData(model), tuple(limbs),
        np.where(names.mask, [model.jnt_qposadr[j] for j in ids], -1),
        np.where(names.mask, [model.jnt_dofadr[j] for j in ids], -1),
        np.ones(count), np.zeros(count), np.full(count, -_FULL_TURN_RAD), np.full(count, _FULL_TURN_RAD),
        np.full(count, np.inf),
    )  # fmt: skip


HUMANOID_NAMES = tuple(joint.name for joint in HUMANOID)


def _moving(end: str, mask: npt.NDArray[np.bool_], names: Sequence[str]) -> npt.NDArray[np.intp]:
    """The joints of the end's limb that the body has; hands and feet themselves turn about the end, not it."""
    return np.array(
        [i for i, joint in enumerate(HUMANOID) if joint.limb == _LIMB_OF[end] and mask[i] and joint.name in names],
        dtype=np.intp,
    )
