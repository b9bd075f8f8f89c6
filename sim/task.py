"""What a robot is asked to do: the scene, the chance in it, what is seen, what is rewarded, what counts.

A `Task` is a description without state; `Task.bind` makes the `Run` of one slot, which works on all its
worlds at once. A run draws no random numbers: at the start of an episode it is handed uniform numbers
that belong to that world and episode alone, so nothing depends on how many worlds share a slot.

Actions are joint position offsets in [-1, 1]; a task scales them per joint and adds them to a base pose,
which is the home pose or, for walking, a trot in place.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import mujoco
import numpy as np
import numpy.typing as npt

from sim.body import Array, Body
from sim.catalog import Entry
from sim.errors import Misfit

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class View:
    """The worlds of a slot as a task sees them; arrays are live, one row per world.

    Attributes:
        model: The compiled model all worlds share.
        body: Where the robot is in it.
        qpos, qvel: State, (N, nq) and (N, nv), writable at the start of an episode.
        push_n: External force and torque on every body [N, N m], (N, nbody, 6), writable.
        derived: Fields named in `Task.derived`, such as `site_xpos`, current after every step.
        steps: Policy steps since the start of each world's episode, (N,).
        policy_period_s: Time between two policy steps.
    """

    model: mujoco.MjModel
    body: Body
    qpos: Array
    qvel: Array
    push_n: Array
    derived: dict[str, Array]
    steps: npt.NDArray[np.int64]
    policy_period_s: float


class Run(ABC):
    """A task at work in the worlds of one slot.

    Attributes:
        memory: Arrays with one row per world that, with the physics, make the run's whole state.
        draws: How many uniform numbers an episode needs.
        observation_names: What each column of an observation is, with its unit.
    """

    draws: int
    observation_names: tuple[str, ...]

    def __init__(self, view: View) -> None:
        self.view = view
        self.memory: dict[str, Array] = {}

    @abstractmethod
    def begin(self, ids: npt.NDArray[np.intp], uniform: Array) -> None:
        """Start episodes in the worlds `ids`: their state is home; `uniform` is (len(ids), draws) in [0, 1)."""

    def base_pose(self) -> Array:
        """Return the joint angles [rad], (N, nu) or (nu,), that an action of zero asks for."""
        return self.view.body.home_q

    def before_step(self) -> None:
        """Act on the worlds for the coming policy step, for example push."""
        return

    @abstractmethod
    def observe(self) -> Array:
        """Return what a policy sees, (N, number of names)."""

    @abstractmethod
    def reward(self, actions: Array) -> Array:
        """Return the reward of the last policy step, (N,); `actions` are (N, nu) in [-1, 1]."""

    @abstractmethod
    def ended(self) -> Mask:
        """Return which worlds have ended early, by failure, (N,)."""

    @abstractmethod
    def succeeded(self) -> Mask:
        """Return which worlds would count as successes if their episode ended now, (N,)."""


class Task(ABC):
    """The description of a task.

    Attributes:
        name: What it is called on the command line.
        title: One line for people.
        scenario: The scenario of the venue it stands for.
        robot_classes: Whom it suits.
        horizon_s: Length of an episode that does not end early.
        derived: MuJoCo data fields that the run reads besides qpos and qvel.
    """

    name: str
    title: str
    scenario: str
    robot_classes: tuple[str, ...]
    horizon_s: float
    success: str
    derived: tuple[str, ...] = ()

    def check(self, entry: Entry) -> None:
        """Raise Misfit unless the task suits the robot."""
        if entry.robot_class not in self.robot_classes:
            raise Misfit(
                f"task {self.name!r} is for {', '.join(self.robot_classes)}; {entry.id!r} is a {entry.robot_class}"
            )

    def furnish(self, spec: mujoco.MjSpec, entry: Entry) -> None:
        """Add to the scene what the task needs. The robot's joints stay as they are."""
        return

    @abstractmethod
    def action_scale(self, body: Body) -> Array:
        """Return the joint offset [rad] that an action of 1 asks for, (nu,)."""

    @abstractmethod
    def bind(self, view: View, entry: Entry) -> Run:
        """Return the run for a slot's worlds."""


def share_of_range(body: Body, share: float, cap_rad: float) -> Array:
    """Return per joint the smaller of a share of its range and a cap [rad], (nu,)."""
    return np.minimum(share * (body.q_max - body.q_min), cap_rad)


def rotated_back(quaternion: Array, vector: Array) -> Array:
    """Return world vectors in body frames.

    Args:
        quaternion: Orientations (w, x, y, z), (N, 4).
        vector: One vector (3,) or one per row, (N, 3).

    Returns:
        (N, 3). Written out component by component, so that a row's result does not depend on the others.
    """
    w, x, y, z = (quaternion[:, i] for i in range(4))
    a, b, c = (vector[..., i] for i in range(3))
    # v' = v + 2 u x (u x v + w v) with u = -(x, y, z): Rodrigues' form of the inverse rotation.
    tx, ty, tz = b * z - c * y + w * a, c * x - a * z + w * b, a * y - b * x + w * c
    return np.stack([a + 2 * (ty * z - tz * y), b + 2 * (tz * x - tx * z), c + 2 * (tx * y - ty * x)], axis=-1)


def gravity_across(quaternion: Array) -> tuple[Array, Array]:
    """Return forward and left of where gravity points in body frames: both 0 upright. To the bits of `rotated_back`.

    Args:
        quaternion: Orientations (w, x, y, z), (N, 4).

    Returns:
        (N,) each.
    """
    w, x, y, z = (quaternion[:, i] for i in range(4))
    # What `rotated_back` leaves of the vector (0, 0, -1); the sum has no zero with a sign.
    return 0.0 + 2 * (w * y - x * z), 0.0 - 2 * (w * x + y * z)


def upright(quaternion: Array) -> Array:
    """Return the cosine of the tilt of orientations (w, x, y, z), (N, 4): 1 upright, 0 lying; (N,)."""
    x, y = quaternion[:, 1], quaternion[:, 2]
    return np.asarray(1 - 2 * (x * x + y * y))


def heading(quaternion: Array) -> tuple[Array, Array]:
    """Return cosine and sine of the yaw of orientations (N, 4), each (N,)."""
    w, x, y, z = (quaternion[:, i] for i in range(4))
    forward_x, forward_y = 1 - 2 * (y * y + z * z), 2 * (x * y + w * z)
    length = np.sqrt(forward_x * forward_x + forward_y * forward_y)
    length = np.where(length > 1e-9, length, 1.0)
    return forward_x / length, forward_y / length
