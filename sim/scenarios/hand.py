"""An arm whose tip is led through space: differential inverse kinematics with damped least squares.

Per control period some steps of dq = J^T (J J^T + lambda^2 I)^-1 e + (I - J^+ J) k (q_home - q), after Wampler,
"Manipulator inverse kinematic solutions based on vector formulations and damped least-squares methods" (IEEE SMC 1986);
e is the error of the tip and, weighted, of the direction that the tool points in. The roll about it is free.
"""

from collections.abc import Iterator

import mujoco
import numpy as np

from sim.body import Array
from sim.scenarios import tool
from sim.scenarios.drive import CONTROL_PERIOD_S, Drive
from sim.scenarios.fixtures.part import DOWN, FORWARD
from sim.scenarios.scene import WORK_HEIGHT_M, Scene
from sim.task import share_of_range

_DAMPING2 = 4e-4
_AXIS_M = 0.15
"""What a radian of direction weighs against a metre of position."""
_HOMING = 0.01
_STEPS = 2
_INTEGRAL_HZ = 3.0
_SLIP_MAX_M = 0.03
_BACK_M, _READY_STEPS = 0.10, 150


class Hand(Drive):
    """The tip of an arm's tool.

    Attributes:
        goal_m: Where the tip shall be now, world (3,).
        axis: Which way the tool shall point, world (3,).
        compliant: Whether what the tip misses along the tool is left alone: something holds it back on purpose.
    """

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._site = int(scene.model.site(tool.TIP).id)
        tool_body = int(scene.model.body(tool.BODY).id)
        chain = set()
        while tool_body:
            chain.add(tool_body)
            tool_body = int(scene.model.body_parentid[tool_body])
        names = self.body.spec.joint_names
        self._own = np.array([i for i, n in enumerate(names) if int(scene.model.joint(n).bodyid[0]) in chain])
        self._adr = np.array([int(scene.model.joint(names[i]).qposadr[0]) for i in self._own])
        self._dof = np.array([int(scene.model.joint(names[i]).dofadr[0]) for i in self._own])
        self._scratch = mujoco.MjData(scene.model)
        self._jacobian = np.zeros((6, scene.model.nv))
        self._slip = np.zeros(3)
        self.compliant = False
        self._home = self.body.home_q.copy()
        self._stand_ready()
        self.goal_m, self.axis = self.tip_m().copy(), self.pointing().copy()
        self._cup = scene.model.nu - 1 if scene.model.nu > len(names) else -1
        self.action_names = (*names, *(("cup",) if self._cup >= 0 else ()))
        # As of the tasks: enough for all of the work frame, and not far beyond.
        self._scale_rad = share_of_range(self.body, 0.25, 0.8)
        self._scripted: Array | None = None

    def tip_m(self) -> Array:
        """Return where the tip is (3,)."""
        return np.array(self.data.site_xpos[self._site])

    def pointing(self) -> Array:
        """Return which way the tool points (3,)."""
        return np.array(self.data.site_xmat[self._site].reshape(3, 3)[:, 2])

    def suck(self, on: bool) -> None:
        """Switch the cup's vacuum."""
        self.data.ctrl[self._cup] = float(on)

    def _stand_ready(self) -> None:
        """Begin `_BACK_M` in front of the work frame's origin, the tool pointing at it: clear of all fixtures."""
        axis = np.array(DOWN if self.scene.approach == "down" else FORWARD)
        q = self.q
        for _ in range(_READY_STEPS):
            q = self._step(q, np.array([0.0, 0.0, WORK_HEIGHT_M]) - _BACK_M * axis, axis)
        self.q, self._before, self._home = q, q.copy(), q.copy()
        self.data.qpos[self.body.q] = q
        mujoco.mj_forward(self.model, self.data)

    def lead(self, action: Array | None, *, free: bool) -> None:
        """Actions are offsets of all joints from where the tool stands ready, or from the script's targets.

        A cup's last number switches its vacuum: on above 0. The script switches it by itself.
        """
        count = len(self._scale_rad)
        if free:
            offset = np.zeros(count) if action is None else self._scale_rad * action[:count]
            self.q = self.limited(self._home + offset)
            if self._cup >= 0:
                self.suck(action is not None and bool(action[-1] > 0))
            return
        driven = self._before
        if self._scripted is not None:
            # The script goes on from its own targets: offsets do not add up.
            self.q = self._before = self._scripted
        self.track()
        self._before = driven
        offset = np.zeros(count) if action is None else self._scale_rad * action[:count]
        if self._scripted is not None or offset.any():
            self._scripted = self.q.copy()
            self.q = self.limited(self.q + offset)

    def track(self) -> None:
        """Set the joints' targets so that the tip goes to the goal."""
        missed = self.goal_m - self.tip_m()
        if self.compliant:
            missed -= (missed @ self.axis) * self.axis
        self._slip += _INTEGRAL_HZ * CONTROL_PERIOD_S * missed
        np.clip(self._slip, -_SLIP_MAX_M, _SLIP_MAX_M, out=self._slip)
        q = self.q.copy()
        for _ in range(_STEPS):
            q = self._step(q, self.goal_m + self._slip, self.axis)
        self.q = self.limited(q)

    def _step(self, q: Array, wanted_m: Array, pointing: Array) -> Array:
        """Return joint angles a step nearer to a tip and a direction in the world."""
        scratch, model, q = self._scratch, self.model, q.copy()
        scratch.qpos[self._adr] = q[self._own]
        mujoco.mj_kinematics(model, scratch)
        mujoco.mj_comPos(model, scratch)
        mujoco.mj_jacSite(model, scratch, self._jacobian[:3], self._jacobian[3:], self._site)
        axis = scratch.site_xmat[self._site].reshape(3, 3)[:, 2]
        turn = np.cross(axis, pointing)
        if float(axis @ pointing) < -0.9:
            # Nearly opposite: the cross product vanishes; about any level axis it comes round.
            turn = np.array([0.0, 1.0, 0.0])
        error = np.concatenate([wanted_m - scratch.site_xpos[self._site], _AXIS_M * turn])
        for rows in (slice(0, 3), slice(3, 6)):
            length = float(np.linalg.norm(error[rows]))
            error[rows] *= min(1.0, 0.06 / length) if length > 0 else 1.0
        jacobian = self._jacobian[:, self._dof].copy()
        jacobian[3:] *= _AXIS_M
        inverse = jacobian.T @ np.linalg.inv(jacobian @ jacobian.T + _DAMPING2 * np.eye(6))
        home = _HOMING * (self._home - q)[self._own]
        q[self._own] += inverse @ error + home - inverse @ (jacobian @ home)
        return np.asarray(np.clip(q, self.body.q_min + 0.01, self.body.q_max - 0.01))

    def go(self, goal_m: Array, axis: Array, *, speed_m_s: float = 0.3, settle_s: float = 0.6) -> Iterator[None]:
        """Lead the tip to a point, evenly and without a jerk, then wait until it is there or `settle_s` is over."""
        start, first = self.goal_m.copy(), self.axis.copy()
        way = float(np.linalg.norm(goal_m - start))
        turn = float(np.arccos(np.clip(first @ axis, -1.0, 1.0)))
        periods = max(2, int(max(1.6 * way / speed_m_s, 1.2 * turn) / CONTROL_PERIOD_S))
        for i in range(1, periods + 1):
            x = i / periods
            x = x * x * (3.0 - 2.0 * x)
            self.goal_m = start + x * (goal_m - start)
            blend = (1.0 - x) * first + x * np.asarray(axis)
            self.axis = blend / max(1e-9, float(np.linalg.norm(blend)))
            yield
        for _ in range(int(settle_s / CONTROL_PERIOD_S)):
            if np.linalg.norm(self.goal_m - self.tip_m()) < 0.002:
                return
            yield

    def wait(self, time_s: float) -> Iterator[None]:
        """Stay."""
        for _ in range(int(time_s / CONTROL_PERIOD_S)):
            yield
