"""Walk: a quadruped that trots in place learns to trot forward."""

import math

import numpy as np
import numpy.typing as npt

from sim.body import Array, Body, legs, lifted
from sim.catalog import Entry
from sim.task import Mask, Run, Task, View, gravity_across, heading, share_of_range, upright

STEP_PERIOD_S = 0.5
"""One full trot cycle: 2 Hz, a calm trot for a dog-sized robot."""
LIFT_SHARE = 0.16
"""Foot lift as a share of the standing height."""
SPEED_GOAL_M_S = 0.6
SUCCESS_DISTANCE_M = 0.6
FALLEN_TILT_COS = 0.5
FALLEN_HEIGHT_SHARE = 0.5


class Walk(Task):
    """See the module."""

    name = "walk"
    title = "walk forward"
    scenario = "inspection/patrol"
    robot_classes = ("quadruped",)
    horizon_s = 3.0
    success = f"{SUCCESS_DISTANCE_M} m forward in the episode, still on its feet"

    def action_scale(self, body: Body) -> Array:
        """A tenth of each joint's range, at most 0.3 rad."""
        return share_of_range(body, 0.1, 0.3)

    def bind(self, view: View, entry: Entry) -> Run:
        """Return the run."""
        return _Run(view)


class _Run(Run):
    draws = 2
    observation_names = (
        "phase_sin", "phase_cos", "velocity_forward_m_s", "velocity_left_m_s", "height_error_m",
        "roll_rate_rad_s", "pitch_rate_rad_s", "yaw_rate_rad_s", "gravity_x", "gravity_y",
    )  # fmt: skip

    def __init__(self, view: View) -> None:
        super().__init__(view)
        worlds = len(view.steps)
        self.memory = {
            "phase_rad": np.zeros(worlds),
            "start_m": np.zeros((worlds, 2)),
            "heading": np.zeros((worlds, 2)),
        }
        body = view.body
        lift_m = LIFT_SHARE * float(body.home_qpos[2])
        # Diagonal legs swing together: front left with rear right, then the other two.
        self._swing = np.zeros((2, len(body.home_q)))
        for leg in legs(view.model, body):
            pair = int(leg.foot_m[0] * leg.foot_m[1] < 0)
            self._swing[pair, list(leg.joints)] = lifted(view.model, body, leg, lift_m)

    def begin(self, ids: npt.NDArray[np.intp], uniform: Array) -> None:
        self.memory["phase_rad"][ids] = 2 * math.pi * uniform[:, 0]
        yaw = 2 * math.pi * uniform[:, 1]
        self.view.qpos[ids, 3] = np.cos(0.5 * yaw)
        self.view.qpos[ids, 4:6] = 0.0
        self.view.qpos[ids, 6] = np.sin(0.5 * yaw)
        self.memory["start_m"][ids] = self.view.qpos[ids, :2]
        self.memory["heading"][ids] = np.stack([np.cos(yaw), np.sin(yaw)], axis=-1)

    def _phase_rad(self) -> Array:
        return np.asarray(
            self.memory["phase_rad"] + self.view.steps * (2 * math.pi * self.view.policy_period_s / STEP_PERIOD_S)
        )

    def base_pose(self) -> Array:
        """A trot in place: each diagonal pair lifts during its half of the cycle."""
        wave = np.sin(self._phase_rad())
        first, second = np.maximum(wave, 0.0)[:, None], np.maximum(-wave, 0.0)[:, None]
        return np.asarray(self.view.body.home_q + first * self._swing[0] + second * self._swing[1])

    def _velocity(self) -> tuple[Array, Array]:
        cos, sin = heading(self.view.qpos[:, 3:7])
        vx, vy = self.view.qvel[:, 0], self.view.qvel[:, 1]
        return cos * vx + sin * vy, cos * vy - sin * vx

    def observe(self) -> Array:
        qpos, qvel = self.view.qpos, self.view.qvel
        phase, found = self._phase_rad(), np.empty((len(qpos), 10))
        found[:, 0], found[:, 1] = np.sin(phase), np.cos(phase)
        found[:, 2], found[:, 3] = self._velocity()
        found[:, 4] = qpos[:, 2] - self.view.body.home_qpos[2]
        found[:, 5:8] = qvel[:, 3:6]
        found[:, 8], found[:, 9] = gravity_across(qpos[:, 3:7])
        return found

    def reward(self, actions: Array) -> Array:
        """Forward speed up to the goal, along the heading at the start, less sideways drift, turning and effort."""
        memory, qvel = self.memory, self.view.qvel
        along = memory["heading"][:, 0] * qvel[:, 0] + memory["heading"][:, 1] * qvel[:, 1]
        across = memory["heading"][:, 0] * qvel[:, 1] - memory["heading"][:, 1] * qvel[:, 0]
        effort = np.add.reduce(actions * actions, axis=1) / actions.shape[1]
        value = np.minimum(np.maximum(along, -1.0), SPEED_GOAL_M_S) / SPEED_GOAL_M_S + 0.3
        value = value - 0.5 * np.minimum(np.abs(across), 1.0) - 0.1 * np.minimum(np.abs(qvel[:, 5]), 2.0)
        return np.asarray(np.where(self.ended(), 0.0, value - 0.05 * effort) * self.view.policy_period_s)

    def ended(self) -> Mask:
        height = self.view.qpos[:, 2] / self.view.body.home_qpos[2]
        return np.asarray((upright(self.view.qpos[:, 3:7]) < FALLEN_TILT_COS) | (height < FALLEN_HEIGHT_SHARE))

    def succeeded(self) -> Mask:
        moved = self.view.qpos[:, :2] - self.memory["start_m"]
        along = self.memory["heading"][:, 0] * moved[:, 0] + self.memory["heading"][:, 1] * moved[:, 1]
        return np.asarray((along > SUCCESS_DISTANCE_M) & ~self.ended())
