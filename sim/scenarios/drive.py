"""What robots of a scenario are driven by: torques from targets, the way the control core computes them.

tau = kp (q* - q) + kd (dq* - dq) + bias, with the catalogue's gains and torque limits; the bias holds the weight of the
arm (MuJoCo's qfrc_bias), as the gravity compensation of the makers' own controllers does.
"""

import mujoco
import numpy as np

from sim.body import Array
from sim.scenarios.scene import Scene

CONTROL_PERIOD_S = 0.01
_DAMPING_RATIO = 0.7
_INTEGRAL_HZ = 3.0
_INTEGRAL_SHARE = 0.1
"""An integral part takes up dry friction in the joints, with at most this share of a joint's torque."""


class Drive:
    """Torques for all driven joints; a subclass decides on the targets.

    Attributes:
        q: Targets for the end of the control period [rad or m], (nu,).
        extra: Torques on top [N m], (nu,).
        tau: Torques of the last physics step [N m or N], (nu,).
        action_names: What the columns of an action are, each from -1 to 1.
    """

    action_names: tuple[str, ...]

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.model, self.data, self.body = scene.model, scene.data, scene.body
        joints = self.body.spec.joints
        self._kp = np.array([j.kp_nm_rad for j in joints])
        self._kd = np.array([j.kd_nms_rad for j in joints])
        if not self.body.floating:
            # Gains that hold a pose may ring in motion: damped for the inertia that each joint feels at the start.
            inertia = np.zeros((scene.model.nv, scene.model.nv))
            mujoco.mj_fullM(scene.model, scene.data, inertia)
            felt = np.diag(inertia)[self.body.dq]
            self._kd = np.maximum(self._kd, 2.0 * _DAMPING_RATIO * np.sqrt(self._kp * felt))
        self._tau = np.array([j.tau_max_nm for j in joints])
        self.tau = np.zeros(len(joints))
        self.dq_max = np.array([j.dq_max_rad_s for j in joints])
        self.q = self.body.home_q.copy()
        self._before = self.q.copy()
        self.extra = np.zeros_like(self.q)
        self.energy_j = 0.0
        # Robots on their own feet bear their weight by their gait.
        self._weight = 0.0 if self.body.floating else 1.0
        self._sum = np.zeros_like(self.q)

    def advance(self) -> None:
        """Advance the physics by one control period towards the targets."""
        data, body = self.data, self.body
        substeps = round(CONTROL_PERIOD_S / self.model.opt.timestep)
        step = (self.q - self._before) / substeps
        speed = step / self.model.opt.timestep
        off = self._before - data.qpos[body.q]
        most = self._weight * _INTEGRAL_SHARE * self._tau
        self._sum = np.clip(self._sum + _INTEGRAL_HZ * CONTROL_PERIOD_S * self._kp * off, -most, most)
        for i in range(1, substeps + 1):
            dq = data.qvel[body.dq]
            tau = self._kp * (self._before + i * step - data.qpos[body.q]) + self._kd * (speed - dq) + self.extra
            tau += self._sum + self._weight * data.qfrc_bias[body.dq]
            tau = np.clip(tau, -self._tau, self._tau)
            data.ctrl[: len(tau)] = tau
            mujoco.mj_step(self.model, data)
            self.energy_j += float(np.abs(tau * dq).sum()) * self.model.opt.timestep
        self._before = self.q.copy()
        self.tau = tau

    def lead(self, action: Array | None, *, free: bool) -> None:
        """Set the targets for the coming control period.

        Args:
            action: (len(action_names),) in [-1, 1]; None: none.
            free: The action alone says where to; else it is added to where the script leads.
        """
        raise NotImplementedError

    def track(self) -> None:
        """Set the targets for the coming control period."""
        raise NotImplementedError

    def limited(self, q: Array) -> Array:
        """Return targets brought within the joints' limits and speeds."""
        most = 0.9 * self.dq_max * CONTROL_PERIOD_S
        near = np.clip(q, self._before - most, self._before + most)
        return np.asarray(np.clip(near, self.body.q_min + 0.01, self.body.q_max - 0.01))
