"""Inspect: bring a camera to where it sees marks from near, straight on and unhidden; by arm or on the floor."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import mujoco
import numpy as np

from sim.body import Array
from sim.scenarios import tool
from sim.scenarios.base import Base
from sim.scenarios.drive import CONTROL_PERIOD_S, Drive
from sim.scenarios.families.family import Family, Field, Ref, Work, part, value
from sim.scenarios.fixtures import Size
from sim.scenarios.fixtures.part import Mark
from sim.scenarios.hand import Hand
from sim.scenarios.scenario import Scenario
from sim.scenarios.scene import Scene

_FIELDS: Mapping[str, Field] = {
    "marks": Ref("what is looked at, in this order by the scripted policy", Mark, many=True),
    "far_m": Size(0.2, 0.03, 5.0, "largest distance in full light; in the dark it shrinks with the light's root [m]"),
    "near_m": Size(0.04, 0.0, 2.0, "smallest distance [m]"),
    "angle_deg": Size(25.0, 2.0, 80.0, "largest angle between view and face [degrees]"),
    "dwell_s": Size(0.3, 0.02, 30.0, "for how long on end [s]"),
}
_SUCCESS = "each mark was seen from `near_m` to `far_m`, within `angle_deg` of its face, unhidden, for `dwell_s` on end"


class Inspect(Family):
    """Marks that an arm's camera sees."""

    name = "inspect"
    title = "look at marks with a camera at the end of an arm"
    success = _SUCCESS
    tool = "camera"
    fields = _FIELDS

    def approach(self, scenario: Scenario) -> str:
        """The first mark's face says from where."""
        return "down" if scenario.piece(scenario.goal["marks"][0]).sizes.get("face", "robot") == "up" else "forward"

    def work(self, scene: Scene, drive: Drive) -> Work:
        assert isinstance(drive, Hand)
        return _ByArm(self, scene, drive)


class Patrol(Family):
    """Marks that a robot on the floor sees."""

    name = "patrol"
    title = "go from mark to mark on the floor and look at each with the robot's own camera"
    success = _SUCCESS
    robot_classes = ("mobile_base", "quadruped")
    on_floor = True
    fields: ClassVar[Mapping[str, Field]] = {
        **_FIELDS,
        "far_m": Size(1.6, 0.3, 5.0, "largest distance in full light [m]"),
        "near_m": Size(0.3, 0.0, 2.0, "smallest distance [m]"),
        "dwell_s": Size(0.5, 0.02, 30.0, "for how long on end [s]"),
    }

    def work(self, scene: Scene, drive: Drive) -> Work:
        assert isinstance(drive, Base)
        return _OnFloor(self, scene, drive)


class _Work(Work):
    def __init__(self, family: Family, scene: Scene) -> None:
        super().__init__(scene)
        self._marks: list[Mark] = [part(scene, name, Mark) for name in self.goal["marks"]]
        self._near = value(self.goal, family, "near_m")
        # What a camera needs of light goes with the square of the distance.
        self._far = value(self.goal, family, "far_m") * min(1.0, scene.drawn["light_scale"] ** 0.5)
        self._cos = float(np.cos(np.radians(value(self.goal, family, "angle_deg"))))
        self._dwell_s = value(self.goal, family, "dwell_s")
        self._seen_s, self._best_s = np.zeros(len(self._marks)), np.zeros(len(self._marks))
        robot_root = scene.model.body_rootid[scene.body.base]
        self._robot_body = int(robot_root)
        self._ray_geom = np.zeros(1, dtype=np.int32)

    def camera(self) -> tuple[Array, Array]:
        """Return where the camera is and which way it looks."""
        raise NotImplementedError

    def _sees(self, mark: Mark) -> bool:
        at, looks = self.camera()
        point, normal = self.scene.point(mark.body, mark.at_m), self.scene.direction(mark.body, mark.normal)
        way = point - at
        distance = float(np.linalg.norm(way))
        if not self._near <= distance <= self._far:
            return False
        way = way / distance
        if float(way @ looks) < self._cos or float(-way @ normal) < self._cos:
            return False
        hit = mujoco.mj_ray(
            self.scene.model, self.scene.data, at, way, None, 1, self._hidden_by, self._ray_geom
        )  # fmt: skip
        return bool(hit < 0 or hit >= distance - 0.012)

    @property
    def _hidden_by(self) -> int:
        """The body that does not hide anything: the camera's own."""
        return self._robot_body

    def watch(self) -> None:
        for i, mark in enumerate(self._marks):
            self._seen_s[i] = self._seen_s[i] + CONTROL_PERIOD_S if self._sees(mark) else 0.0
        self._best_s = np.maximum(self._best_s, self._seen_s)

    def missing(self) -> list[str]:
        unseen = [self.goal["marks"][i] for i, best in enumerate(self._best_s) if best < self._dwell_s]
        return [f"not seen for {self._dwell_s:g} s: {', '.join(unseen)}"] if unseen else []

    def measured(self) -> dict[str, float]:
        return {"marks_seen": float((self._best_s >= self._dwell_s).sum())}


class _ByArm(_Work):
    def __init__(self, family: Inspect, scene: Scene, hand: Hand) -> None:
        super().__init__(family, scene)
        self._hand = hand
        self._robot_body = int(scene.model.body(tool.BODY).id)

    def camera(self) -> tuple[Array, Array]:
        return self._hand.tip_m(), self._hand.pointing()

    def _script(self, marks: list[Mark]) -> Iterator[None]:
        for i, mark in enumerate(marks):
            point, normal = self.scene.point(mark.body, mark.at_m), self.scene.direction(mark.body, mark.normal)
            if i:
                # Back a little first, so that nothing is brushed on the way.
                yield from self._hand.go(self._hand.goal_m + 0.02 * normal, -normal)
            yield from self._hand.go(point + 0.5 * (self._near + self._far) * normal, -normal)
            for _ in range(int((self._dwell_s + 1.5) / CONTROL_PERIOD_S)):
                if self._best_s[self._marks.index(mark)] >= self._dwell_s:
                    break
                yield

    def passing(self) -> Iterator[None]:
        return self._script(self._marks)

    def failing(self) -> Iterator[None]:
        """Forget the last mark."""
        return self._script(self._marks[:-1])


class _OnFloor(_Work):
    def __init__(self, family: Patrol, scene: Scene, base: Base) -> None:
        super().__init__(family, scene)
        self._base = base

    def camera(self) -> tuple[Array, Array]:
        return self._base.camera()

    def _script(self, marks: list[Mark]) -> Iterator[None]:
        for mark in marks:
            point, normal = self.scene.point(mark.body, mark.at_m), self.scene.direction(mark.body, mark.normal)
            stand = point[:2] + (0.45 * self._near + 0.55 * self._far + self._base.camera_ahead_m) * normal[:2]
            yield from self._base.go(stand)
            yield from self._base.face(float(np.arctan2(-normal[1], -normal[0])))
            for _ in range(int((self._dwell_s + 3.0) / CONTROL_PERIOD_S)):
                if self._best_s[self._marks.index(mark)] >= self._dwell_s:
                    break
                yield

    def passing(self) -> Iterator[None]:
        return self._script(self._marks)

    def failing(self) -> Iterator[None]:
        """Forget the last mark."""
        return self._script(self._marks[:-1])
