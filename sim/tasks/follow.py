"""Follow: a robot goes through a scripted motion, for collecting data in worlds."""

import numpy as np
import numpy.typing as npt

from sim.body import Array, Body
from sim.catalog import ROBOT_CLASSES, Entry
from sim.motion import FittedMotion, Motion
from sim.task import Mask, Run, Task, View, upright

FALLEN_TILT_COS = 0.5
START_SPREAD_RAD = 0.02
"""Joints start within this of home, so that no two episodes are the same."""


class Follow(Task):
    """The task of going through one motion. Not in the registry: it needs the motion and a length.

    An action of zero follows the motion exactly; the episode succeeds if the robot is upright at its end.
    """

    name = "follow"
    title = "follow a motion"
    scenario = "data-collection/motion"
    robot_classes = ROBOT_CLASSES
    horizon_s = 5.0
    success = "upright at the end"

    def __init__(self, motion: Motion, horizon_s: float) -> None:
        self.title = motion.title
        self.horizon_s = horizon_s
        self._motion = motion
        self._fitted: dict[str, FittedMotion] = {}

    def check(self, entry: Entry) -> None:
        """Raise Misfit unless the motion suits the robot."""
        # Fitting compiles the robot's model, most of the time that a slot takes to start.
        self._fitted[entry.id] = self._motion.fit(entry)

    def action_scale(self, body: Body) -> Array:
        """A tenth of each joint's range."""
        return 0.1 * (body.q_max - body.q_min)

    def bind(self, view: View, entry: Entry) -> Run:
        """Return the run."""
        return _Run(view, self._fitted.get(entry.id) or self._motion.fit(entry))


class _Run(Run):
    observation_names = ("time_s",)

    def __init__(self, view: View, motion: FittedMotion) -> None:
        super().__init__(view)
        self._motion = motion
        self.draws = len(motion.joint_names)

    def begin(self, ids: npt.NDArray[np.intp], uniform: Array) -> None:
        body = self.view.body
        start = np.clip(body.home_q + START_SPREAD_RAD * (2.0 * uniform - 1.0), body.q_min, body.q_max)
        columns = np.arange(self.view.qpos.shape[1])[body.q]
        self.view.qpos[np.ix_(ids, columns)] = start

    def base_pose(self) -> Array:
        # Most worlds are at the same step.
        steps, which = np.unique(self.view.steps, return_inverse=True)
        return np.stack([self._motion.targets(float(t)) for t in steps * self.view.policy_period_s])[which]

    def observe(self) -> Array:
        return np.asarray((self.view.steps * self.view.policy_period_s)[:, None], dtype=np.float64)

    def reward(self, actions: Array) -> Array:
        """No goal, no reward."""
        return np.zeros(len(actions))

    def ended(self) -> Mask:
        if not self.view.body.floating:
            return np.zeros(len(self.view.steps), dtype=np.bool_)
        return np.asarray(upright(self.view.qpos[:, 3:7]) < FALLEN_TILT_COS)

    def succeeded(self) -> Mask:
        return np.asarray(~self.ended())
