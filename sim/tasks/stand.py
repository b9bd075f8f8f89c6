"""Stand: stay upright while being pushed."""

import math

import numpy as np
import numpy.typing as npt

from sim.body import Array, Body
from sim.catalog import Entry
from sim.task import Mask, Run, Task, View, gravity_across, heading, share_of_range, upright

PUSHES = 2
PUSH_EVERY_S = 1.0
PUSH_LENGTH_S = 0.1
PUSH_SPEED_M_S = (0.15, 0.45)
"""A push changes the whole body's speed by this much: a nudge to a firm shove, whatever the robot weighs."""
FALLEN_TILT_COS = 0.6
FALLEN_HEIGHT_SHARE = 0.65


class Stand(Task):
    """See the module."""

    name = "stand"
    title = "stay upright under pushes"
    scenario = "emergency-rescue/balance"
    robot_classes = ("humanoid", "biped")
    horizon_s = 3.0
    success = "on its feet at the end"

    def action_scale(self, body: Body) -> Array:
        """A sixth of each joint's range, at most 0.3 rad."""
        return share_of_range(body, 1 / 6, 0.3)

    def bind(self, view: View, entry: Entry) -> Run:
        """Return the run."""
        return _Run(view)


class _Run(Run):
    draws = 3 * PUSHES
    observation_names = (
        "gravity_x", "gravity_y", "roll_rate_rad_s", "pitch_rate_rad_s", "yaw_rate_rad_s",
        "velocity_forward_m_s", "velocity_left_m_s", "height_error_m",
    )  # fmt: skip

    def __init__(self, view: View) -> None:
        super().__init__(view)
        worlds = len(view.steps)
        # Per push: first policy step, force forward and left [N].
        self.memory = {"push_step": np.zeros((worlds, PUSHES)), "push_n": np.zeros((worlds, PUSHES, 2))}
        self._push_steps = round(PUSH_LENGTH_S / view.policy_period_s)

    def begin(self, ids: npt.NDArray[np.intp], uniform: Array) -> None:
        draw = uniform.reshape(len(ids), PUSHES, 3)
        period_s = self.view.policy_period_s
        starts_s = PUSH_EVERY_S * (np.arange(PUSHES) + 0.2 + 0.5 * draw[:, :, 0])
        low, high = PUSH_SPEED_M_S
        force_n = self.view.body.mass_kg * (low + (high - low) * draw[:, :, 1]) / PUSH_LENGTH_S
        angle = 2 * math.pi * draw[:, :, 2]
        self.memory["push_step"][ids] = np.floor(starts_s / period_s)
        self.memory["push_n"][ids] = np.stack([force_n * np.cos(angle), force_n * np.sin(angle)], axis=-1)

    def before_step(self) -> None:
        since = self.view.steps[:, None] - self.memory["push_step"]
        active = (since >= 0) & (since < self._push_steps)
        force = np.where(active[:, :, None], self.memory["push_n"], 0.0)
        self.view.push_n[:, self.view.body.base, 0] = force[:, 0, 0] + force[:, 1, 0]
        self.view.push_n[:, self.view.body.base, 1] = force[:, 0, 1] + force[:, 1, 1]

    def observe(self) -> Array:
        qpos, qvel = self.view.qpos, self.view.qvel
        cos, sin = heading(qpos[:, 3:7])
        forward = cos * qvel[:, 0] + sin * qvel[:, 1]
        left = cos * qvel[:, 1] - sin * qvel[:, 0]
        height = qpos[:, 2] - self.view.body.home_qpos[2]
        across = gravity_across(qpos[:, 3:7])
        return np.column_stack([*across, qvel[:, 3:6], forward, left, height])

    def reward(self, actions: Array) -> Array:
        """One per second on its feet, less what it tilts and drifts."""
        speed2 = self.view.qvel[:, 0] ** 2 + self.view.qvel[:, 1] ** 2
        shape = upright(self.view.qpos[:, 3:7]) - 0.2 * np.minimum(speed2, 1.0)
        return np.asarray(np.where(self.ended(), 0.0, shape) * self.view.policy_period_s)

    def ended(self) -> Mask:
        height = self.view.qpos[:, 2] / self.view.body.home_qpos[2]
        return np.asarray((upright(self.view.qpos[:, 3:7]) < FALLEN_TILT_COS) | (height < FALLEN_HEIGHT_SHARE))

    def succeeded(self) -> Mask:
        return np.asarray(~self.ended())
