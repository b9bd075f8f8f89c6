"""Robots that go on the floor: a platform that drives, or a quadruped that trots, led by velocities."""

from collections.abc import Callable, Iterator

import mujoco
import numpy as np

from sim.body import Array
from sim.errors import Misfit
from sim.scenarios.drive import CONTROL_PERIOD_S, Drive
from sim.scenarios.scene import Scene
from sim.task import heading

_NEAR_M = 0.06


class Base(Drive):
    """Something that goes where it is led.

    Attributes:
        velocity: Forward and left [m/s] and turning [rad/s], in the robot's own frame (3,).
        camera_ahead_m: How far its camera is before its middle.
        fastest_m_s, turning_rad_s: Its speeds on the scripted policies' ways.
    """

    action_names = ("forward", "left", "turn")
    fastest_m_s = 0.6
    turning_rad_s = 0.8
    camera_ahead_m = 0.3
    camera_up_m = 0.1

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.velocity = np.zeros(3)
        self.heading_rad = 0.0

    def pose(self) -> tuple[Array, float]:
        """Return where its middle is (2,), and its heading [rad]."""
        raise NotImplementedError

    def middle(self) -> int:
        """Return the body that loads are strapped to."""
        raise NotImplementedError

    def load(self, mass_kg: float) -> None:
        """Strap a load to its middle."""
        if mass_kg > 0:
            body, model = self.middle(), self.model
            before = float(model.body_mass[body])
            # As if it were spread like the body itself.
            model.body_inertia[body] *= (before + mass_kg) / before
            model.body_mass[body] = before + mass_kg
            home = self.data.qpos.copy()
            mujoco.mj_setConst(model, self.data)
            self.data.qpos[:] = home
            mujoco.mj_forward(model, self.data)

    def camera(self) -> tuple[Array, Array]:
        """Return where its camera is and which way it looks, world (3,) each."""
        rotation = self.data.xmat[self.middle()].reshape(3, 3)
        at = self.data.xpos[self.middle()] + rotation @ np.array([self.camera_ahead_m, 0.0, self.camera_up_m])
        return np.asarray(at), np.asarray(rotation[:, 0])

    def track(self) -> None:
        """Set the joints' targets for the velocities."""
        raise NotImplementedError

    def lead(self, action: Array | None, *, free: bool) -> None:
        """Actions are velocities, as shares of the scripted policies' own: the gait is the robot's."""
        scripted = self.velocity.copy()
        if free:
            self.velocity[:] = 0.0
        if action is not None:
            self.velocity += action * np.array([self.fastest_m_s, self.fastest_m_s, self.turning_rad_s])
        self.track()
        self.velocity[:] = scripted

    def go(self, goal_m: Array, *, wait: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Go to a point of the floor (2,), head first; stand while `wait` says so."""
        while True:
            at, yaw = self.pose()
            way = goal_m - at
            distance = float(np.linalg.norm(way))
            if distance < _NEAR_M:
                break
            self.velocity[:] = 0.0
            if not wait():
                turn = _wrapped(float(np.arctan2(way[1], way[0])) - yaw) if distance > 0.25 else 0.0
                self.velocity[2] = np.clip(2.0 * turn, -self.turning_rad_s, self.turning_rad_s)
                speed = min(self.fastest_m_s, 1.2 * distance + 0.05)
                away = np.array(
                    [np.cos(yaw) * way[0] + np.sin(yaw) * way[1], np.cos(yaw) * way[1] - np.sin(yaw) * way[0]]
                )
                if abs(turn) < 0.5:
                    self.velocity[:2] = speed * away / distance
            yield
        self.velocity[:] = 0.0

    def face(self, yaw_rad: float) -> Iterator[None]:
        """Turn on the spot."""
        for _ in range(int(12.0 / CONTROL_PERIOD_S)):
            off = _wrapped(yaw_rad - self.pose()[1])
            if abs(off) < 0.04:
                break
            self.velocity[:] = (0.0, 0.0, np.clip(2.0 * off, -self.turning_rad_s, self.turning_rad_s))
            yield
        self.velocity[:] = 0.0


class Platform(Base):
    """A platform with joints along x, along y and about the vertical."""

    camera_ahead_m = 0.34
    camera_up_m = 0.30

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._middle = int(scene.model.joint(self.body.spec.joint_names[2]).bodyid[0])

    def pose(self) -> tuple[Array, float]:
        x, y, yaw = self.data.qpos[self.body.q][:3]
        return np.array([x, y]), float(yaw)

    def middle(self) -> int:
        return self._middle

    def track(self) -> None:
        yaw = float(self.q[2])
        forward, left, turn = self.velocity
        away = np.array([np.cos(yaw) * forward - np.sin(yaw) * left, np.sin(yaw) * forward + np.cos(yaw) * left, turn])
        self.q = self.limited(self.q + CONTROL_PERIOD_S * away)


def _wrapped(angle_rad: float) -> float:
    return float((angle_rad + np.pi) % (2 * np.pi) - np.pi)


def yaw_of(quaternion: Array) -> float:
    """Return the heading [rad] of an orientation (4,)."""
    cos, sin = heading(np.asarray(quaternion)[None])
    return float(np.arctan2(sin[0], cos[0]))


def base_of(scene: Scene) -> Base:
    """Return what leads the scene's robot. Raises Misfit."""
    from sim.scenarios.gait import Trotter

    if scene.entry.robot_class == "mobile_base":
        return Platform(scene)
    if scene.entry.robot_class == "quadruped":
        return Trotter(scene)
    raise Misfit(f"robot {scene.entry.id!r}: nobody has scripted how a {scene.entry.robot_class} goes")
