"""A trot for quadrupeds: diagonal legs swing in turn, feet are placed by the velocity, stance legs bear the weight.

Foot placement after Raibert, "Legged Robots That Balance" (MIT Press 1986): half a stance ahead of the hip at the
wanted velocity, plus a share of what the velocity is off by. Stance feet are moved against the tilt of the trunk.
"""

import mujoco
import numpy as np

from sim.body import Array, at_home, legs
from sim.scenarios.base import Base, yaw_of
from sim.scenarios.drive import CONTROL_PERIOD_S
from sim.scenarios.scene import Scene

PERIOD_S = 0.44
_LIFT_SHARE = 0.24
_PLACING_S = 0.10
_LEVELLING = 0.4
_REACH_SHARE = 0.35


class Trotter(Base):
    """A quadruped, whatever its joints are called."""

    fastest_m_s = 0.35
    turning_rad_s = 0.6
    camera_ahead_m = 0.26
    camera_up_m = 0.06

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        model, body = scene.model, self.body
        alone = scene.entry.model()
        home = at_home(alone, body)
        found = legs(alone, body)
        self._joints = [list(leg.joints) for leg in found]
        names = body.spec.joint_names
        self._tips = [int(model.joint(names[leg.joints[-1]]).bodyid[0]) for leg in found]
        self._adr = [[int(model.joint(names[i]).qposadr[0]) for i in leg.joints] for leg in found]
        self._dof = [[int(model.joint(names[i]).dofadr[0]) for i in leg.joints] for leg in found]
        self._feet = np.array([leg.foot_m for leg in found])
        rotation = home.xmat[body.base].reshape(3, 3)
        self._local = []
        for leg, foot in zip(found, self._feet, strict=True):
            tip = int(alone.joint(names[leg.joints[-1]]).bodyid[0])
            world = home.xpos[body.base] + rotation @ foot
            self._local.append(home.xmat[tip].reshape(3, 3).T @ (world - home.xpos[tip]))
        self._pair = [int(leg.foot_m[0] * leg.foot_m[1] < 0) for leg in found]
        self._height = -float(self._feet[:, 2].mean())
        self._phase = 0.0
        self._scratch = mujoco.MjData(model)
        self._jacobian = np.zeros((3, model.nv))
        self._from = self._feet.copy()
        self._now = self._feet.copy()
        self._mass_n = 9.81 * body.mass_kg

    def pose(self) -> tuple[Array, float]:
        return np.array(self.data.qpos[:2]), yaw_of(self.data.qpos[3:7])

    def middle(self) -> int:
        return self.body.base

    def load(self, mass_kg: float) -> None:
        super().load(mass_kg)
        self._mass_n += 9.81 * mass_kg

    def track(self) -> None:
        """Advance the gait by one control period; a robot that is led nowhere and stands well stands still."""
        data = self.data
        rotation = data.xmat[self.body.base].reshape(3, 3)
        yaw = self.pose()[1]
        vx, vy = float(data.qvel[0]), float(data.qvel[1])
        measured = np.array([np.cos(yaw) * vx + np.sin(yaw) * vy, np.cos(yaw) * vy - np.sin(yaw) * vx])
        # Roll and pitch of the trunk, small: the world's up in its own frame.
        up = rotation.T @ np.array([0.0, 0.0, 1.0])
        forward, left, turn = self.velocity
        quiet = not self.velocity.any() and np.abs(measured).max() < 0.15 and up[2] > 0.995
        half = 0.5 * PERIOD_S
        resting = quiet and self._phase % half < CONTROL_PERIOD_S
        if not resting:
            self._phase = (self._phase + CONTROL_PERIOD_S) % PERIOD_S
        targets = np.zeros((4, 3))
        stance = np.ones(4, dtype=bool)
        for i in range(4):
            phase = (self._phase / half + self._pair[i]) % 2.0
            swing = phase < 1.0 and not resting
            stance[i] = not swing
            home = self._feet[i]
            pull = np.array([forward - turn * home[1], left + turn * home[0]])
            if swing:
                x = phase
                ahead = 0.5 * half * pull + _PLACING_S * (measured - np.array([forward, left]))
                ahead = np.clip(ahead, -_REACH_SHARE * self._height, _REACH_SHARE * self._height)
                smooth = x * x * (3.0 - 2.0 * x)
                goal = home[:2] + ahead
                self._now[i, :2] = self._from[i, :2] + smooth * (goal - self._from[i, :2])
                self._now[i, 2] = home[2] + _LIFT_SHARE * self._height * np.sin(np.pi * x)
            else:
                if not resting:
                    self._now[i, :2] -= CONTROL_PERIOD_S * pull
                self._now[i, 2] = home[2]
                self._from[i] = self._now[i]
            targets[i] = self._now[i]
            # Level the trunk: the low side's stance legs grow longer.
            if stance[i]:
                targets[i, 2] += _LEVELLING * (home[0] * up[0] + home[1] * up[1]) / max(0.5, up[2])
        self._solve(targets, stance, up)

    def _solve(self, targets: Array, stance: Array, up: Array) -> None:
        """Set the joints' targets for feet in the trunk's frame (4, 3), and torques for the weight."""
        scratch, model = self._scratch, self.model
        scratch.qpos[:7] = (0, 0, 0, 1, 0, 0, 0)
        q = self.q.copy()
        self.extra[:] = 0.0
        share = self._mass_n / max(2, int(stance.sum()))
        for repeat in range(2):
            for adr, joints in zip(self._adr, self._joints, strict=True):
                scratch.qpos[adr] = q[joints]
            mujoco.mj_kinematics(model, scratch)
            mujoco.mj_comPos(model, scratch)
            for i, tip in enumerate(self._tips):
                point = scratch.xpos[tip] + scratch.xmat[tip].reshape(3, 3) @ self._local[i]
                base = scratch.xpos[self.body.base]
                mujoco.mj_jac(model, scratch, self._jacobian, None, point, tip)
                jacobian = self._jacobian[:, self._dof[i]]
                error = targets[i] - (point - base)
                q[self._joints[i]] += jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + 1e-6 * np.eye(3), error)
                if repeat and stance[i]:
                    # The ground pushes up: the leg gives the opposite.
                    self.extra[self._joints[i]] = -jacobian.T @ (share * up)
        self.q = self.limited(q)
