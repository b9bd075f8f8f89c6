"""A task seen through one robot's own sensors, so that a policy trained in worlds can drive a unit.

The mirror holds a model of the robot and puts what the unit told of itself into it: joint angles and speeds, and the
pose of the base. From there the task's own code makes the observation and, with the policy's action, the next target,
exactly as in a slot. Only the base's velocity has to be estimated, from its last two poses.
"""

import mujoco
import numpy as np

from sim.body import Array, body_of
from sim.catalog import Entry
from sim.chance import philox_uniform
from sim.mjcf import compile_model
from sim.slot import POLICY_PERIOD_S, TARGET_SPEED_SHARE
from sim.task import Task, View


class Mirror:
    """A task on one unit, episode after episode.

    Attributes:
        obs_size, action_size: Widths of observations and actions, as of a slot at the same task.
    """

    def __init__(self, entry: Entry, task: Task, *, seed: int, world: int) -> None:
        """Compile the robot's model. What an episode draws belongs to (seed, world, episode), as in a slot.

        Raises:
            Misfit: the task does not suit the robot.
            MissingModel, BrokenModel, BrokenCatalogue: as `Entry.mjspec`.
        """
        task.check(entry)
        spec = entry.mjspec(visuals=False)
        task.furnish(spec, entry)
        self._model = compile_model(spec, label=entry.id)
        self._data = mujoco.MjData(self._model)
        robot = entry.robot_spec()
        self._body = body_of(self._model, robot)
        self._scale_rad = task.action_scale(self._body)
        dq_max = np.array([joint.dq_max_rad_s for joint in robot.joints])
        self._step_rad = TARGET_SPEED_SHARE * dq_max * POLICY_PERIOD_S
        self._view = View(
            model=self._model,
            body=self._body,
            qpos=self._body.home_qpos[None].copy(),
            qvel=np.zeros((1, self._model.nv)),
            push_n=np.zeros((1, self._model.nbody, 6)),
            derived={name: np.array(getattr(self._data, name))[None] for name in task.derived},
            steps=np.zeros(1, dtype=np.int64),
            policy_period_s=POLICY_PERIOD_S,
        )
        self._run = task.bind(self._view, entry)
        self._seed, self._world = seed, world
        self._pose: Array | None = None
        self._time_s = 0.0
        self.obs_size = len(self._run.observation_names)
        self.action_size = len(robot.joints)
        self.begin(0)

    def begin(self, episode: int) -> None:
        """Begin an episode of the task: its goals are drawn, nothing of the last one is remembered."""
        uniform = philox_uniform(self._seed, self._world, episode, self._run.draws)
        self._view.steps[:] = 0
        self._run.begin(np.array([0]), uniform[None])
        self._pose = None

    def observe(self, time_s: float, q: Array, dq: Array, base_pose: Array | None) -> Array:
        """Return what a policy sees, (1, obs_size).

        Args:
            time_s: The robot's own time.
            q, dq: Joint angles [rad] and speeds [rad/s], (nu,).
            base_pose: Position [m] and quaternion (w, x, y, z), (7,); None for a fixed base.
        """
        qpos, qvel = self._view.qpos[0], self._view.qvel[0]
        qpos[self._body.q], qvel[self._body.dq] = q, dq
        if self._body.floating and base_pose is not None:
            pose = np.asarray(base_pose, dtype=np.float64)
            if self._pose is not None and time_s > self._time_s:
                # In qvel's own convention: linear velocity in the world, angular in the body.
                before, after, velocity = qpos.copy(), qpos.copy(), np.zeros(self._model.nv)
                before[:7], after[:7] = self._pose, pose
                mujoco.mj_differentiatePos(self._model, velocity, time_s - self._time_s, before, after)
                qvel[:6] = velocity[:6]
            qpos[:7] = pose
            self._pose, self._time_s = pose, time_s
        self._data.qpos[:], self._data.qvel[:] = qpos, qvel
        mujoco.mj_kinematics(self._model, self._data)
        for name, array in self._view.derived.items():
            array[0] = getattr(self._data, name)
        return np.asarray(self._run.observe(), dtype=np.float64)

    def target(self, action: Array, last_rad: Array) -> Array:
        """Return the next joint targets [rad], (nu,), for an action (1, nu), at an allowed speed from the last."""
        base = np.broadcast_to(self._run.base_pose(), (1, self.action_size))[0]
        goal = base + self._scale_rad * np.clip(action[0], -1.0, 1.0)
        np.add(self._view.steps, 1, out=self._view.steps)
        return np.asarray(last_rad + np.clip(goal - last_rad, -self._step_rad, self._step_rad))
