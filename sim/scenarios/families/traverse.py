"""Traverse: go over, around and through what is on the floor to a marked place, with a load or without."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np

from sim.body import Array
from sim.scenarios.base import Base
from sim.scenarios.drive import CONTROL_PERIOD_S, Drive
from sim.scenarios.families.family import Family, Field, Ref, Work, part, value
from sim.scenarios.fixtures import Size
from sim.scenarios.fixtures.part import Mover, Zone, mover_at
from sim.scenarios.scene import Scene

_SOON_S, _CLEAR_M = np.arange(0.0, 7.0, 0.2), 0.7
"""When people's ways are looked at, from now on [s], and how near nobody may come to the robot's middle [m]."""


class Traverse(Family):
    """See the module."""

    name = "traverse"
    title = "go to a marked place: round obstacles, over slopes, stairs and rubble, past people"
    success = "the robot's middle was in the marked places, one after the other, in the last for `hold_s` on end"
    robot_classes = ("mobile_base", "quadruped")
    on_floor = True
    fields: ClassVar[Mapping[str, Field]] = {
        "zones": Ref("where to, one after the other", Zone, many=True),
        "hold_s": Size(0.5, 0.0, 30.0, "how long it stays in the last [s]"),
        "load_kg": Size(0.0, 0.0, 40.0, "load that is strapped to its middle, times the drawn mass [kg]"),
    }

    def work(self, scene: Scene, drive: Drive) -> Work:
        assert isinstance(drive, Base)
        return _Work(self, scene, drive)


class _Work(Work):
    def __init__(self, family: Traverse, scene: Scene, base: Base) -> None:
        super().__init__(scene)
        self._base = base
        self._zones: list[Zone] = [part(scene, name, Zone) for name in self.goal["zones"]]
        self._hold_s = value(self.goal, family, "hold_s")
        base.load(value(self.goal, family, "load_kg") * scene.drawn["mass_scale"])
        self._next = 0
        self._held_s = self._longest_s = 0.0
        self._people = [p for p in scene.parts.values() if isinstance(p, Mover) and p.body.endswith(".person")]

    def _people_near(self) -> bool:
        """Whether going on meets somebody who walks on, and standing here does not: then the scripted policy waits."""
        at, yaw = self._base.pose()
        ahead = self._base.fastest_m_s * np.array([np.cos(yaw), np.sin(yaw)])
        going = standing = False
        for person in self._people:
            there = mover_at(person, float(self.scene.data.time) + _SOON_S)[:, :2]
            # Over obstacles it is slower than it is led.
            for share in (1.0, 0.7):
                going |= _nearest_m(at + share * _SOON_S[:, None] * ahead, there) < _CLEAR_M
            standing |= _nearest_m(at, there) < _CLEAR_M
        return going and not standing

    def _script(self, share: float) -> Iterator[None]:
        for i, zone in enumerate(self._zones):
            goal = self.scene.point(zone.body, (0.0, 0.0, 0.0))[:2]
            at, _ = self._base.pose()
            if i == len(self._zones) - 1:
                goal = at + share * (goal - at)
            yield from self._base.go(goal, wait=self._people_near)
        for _ in range(int((self._hold_s + 0.3) / CONTROL_PERIOD_S)):
            yield

    def passing(self) -> Iterator[None]:
        return self._script(1.0)

    def failing(self) -> Iterator[None]:
        """Stop half way to the last place."""
        return self._script(0.5)

    def watch(self) -> None:
        at, _ = self._base.pose()
        if self._next < len(self._zones):
            zone = self._zones[self._next]
            body = self.scene.data.body(zone.body)
            local = body.xmat.reshape(3, 3).T[:2, :2] @ (at - body.xpos[:2])
            inside = bool(np.all(np.abs(local) <= np.array(zone.half_m[:2])))
            last = self._next == len(self._zones) - 1
            if last:
                self._held_s = self._held_s + CONTROL_PERIOD_S if inside else 0.0
                self._longest_s = max(self._longest_s, self._held_s)
            elif inside:
                self._next += 1

    def missing(self) -> list[str]:
        if self._next < len(self._zones) - 1:
            return [f"not at {self.goal['zones'][self._next]}"]
        if self._longest_s == 0.0 or self._longest_s < self._hold_s:
            return [f"in the last place for {self._longest_s:.2f} s of {self._hold_s:g} s"]
        return []

    def measured(self) -> dict[str, float]:
        return {"places": float(self._next), "held_s": self._longest_s}


def _nearest_m(one: Array, other: Array) -> float:
    """Return the shortest distance between points of the floor (..., 2)."""
    return float(np.sqrt(((one - other) ** 2).sum(axis=-1)).min())
