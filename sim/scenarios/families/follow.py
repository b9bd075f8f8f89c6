"""Follow: keep the tip of an arm's tool at something that moves."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np

from sim.body import Array
from sim.scenarios.drive import CONTROL_PERIOD_S, Drive
from sim.scenarios.families.family import Family, Field, Ref, Work, part, value
from sim.scenarios.fixtures import Size
from sim.scenarios.fixtures.part import FORWARD, Mover
from sim.scenarios.hand import Hand
from sim.scenarios.scenario import Scenario
from sim.scenarios.scene import Scene


class Follow(Family):
    """See the module."""

    name = "follow"
    title = "follow something that moves with the tip of an arm"
    success = "the tip was within `near_m` of the point in front of the target for `hold_s` on end"
    tool = "camera"
    fields: ClassVar[Mapping[str, Field]] = {
        "target": Ref("what is followed", Mover),
        "off_m": Size(0.06, 0.02, 0.5, "distance kept in front of it [m]"),
        "near_m": Size(0.02, 0.002, 0.2, "how near counts [m]"),
        "hold_s": Size(4.0, 0.2, 60.0, "for how long on end [s]"),
    }

    def approach(self, scenario: Scenario) -> str:
        """Targets on rails look at the robot."""
        return "forward"

    def work(self, scene: Scene, drive: Drive) -> Work:
        assert isinstance(drive, Hand)
        return _Work(self, scene, drive)


class _Work(Work):
    def __init__(self, family: Follow, scene: Scene, hand: Hand) -> None:
        super().__init__(scene)
        self._hand = hand
        self._target: Mover = part(scene, self.goal["target"], Mover)
        self._off, self._near = value(self.goal, family, "off_m"), value(self.goal, family, "near_m")
        self._hold_s = value(self.goal, family, "hold_s")
        self._held_s = self._longest_s = 0.0
        self._worst_m = self._off_now = 0.0

    def _goal(self) -> Array:
        return np.asarray(np.array(self.scene.data.body(self._target.body).xpos) - self._off * np.array(FORWARD))

    def _script(self, follows: bool) -> Iterator[None]:
        hand = self._hand
        yield from hand.go(self._goal(), np.array(FORWARD))
        for _ in range(int((self._hold_s + 3.0) / CONTROL_PERIOD_S)):
            if self._longest_s >= self._hold_s:
                return
            if follows:
                away = self._goal() - hand.goal_m
                most = 0.3 * CONTROL_PERIOD_S
                hand.goal_m = hand.goal_m + away * min(1.0, most / max(1e-9, float(np.linalg.norm(away))))
            yield

    def passing(self) -> Iterator[None]:
        return self._script(True)

    def failing(self) -> Iterator[None]:
        """Stay where the target was."""
        return self._script(False)

    def watch(self) -> None:
        self._off_now = float(np.linalg.norm(self._hand.tip_m() - self._goal()))
        self._held_s = self._held_s + CONTROL_PERIOD_S if self._off_now <= self._near else 0.0
        self._longest_s = max(self._longest_s, self._held_s)

    def missing(self) -> list[str]:
        if self._longest_s >= self._hold_s:
            return []
        return [f"within {self._near:g} m for {self._longest_s:.2f} s of {self._hold_s:g} s"]

    def measured(self) -> dict[str, float]:
        return {"held_s": self._longest_s, "off_m": self._off_now}
