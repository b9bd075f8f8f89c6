"""Wipe a face clean, or hold a padded plate with an even force: work under force with a flat pad."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np

from sim.body import Array
from sim.scenarios import tool
from sim.scenarios.drive import CONTROL_PERIOD_S, Drive
from sim.scenarios.families.family import Family, Field, Ref, Work, part, value
from sim.scenarios.fixtures import Size
from sim.scenarios.fixtures.part import Surface
from sim.scenarios.hand import Hand
from sim.scenarios.scenario import Scenario
from sim.scenarios.scene import Scene

_CELL_M = 0.01


class _Faces(Family):
    tool = "pad"

    def approach(self, scenario: Scenario) -> str:
        """The face says from where."""
        piece = scenario.piece(scenario.goal["surface"])
        upright = piece.kind == "wall" or (piece.kind == "pad" and piece.sizes.get("face", "robot") == "robot")
        return "forward" if upright else "down"


class Wipe(_Faces):
    """Cover a face."""

    name = "wipe"
    title = "wipe a face: every part of an area under some force"
    success = "`share` of the area was under the pad with at least `force_n`"
    fields: ClassVar[Mapping[str, Field]] = {
        "surface": Ref("the face", Surface),
        "along_m": Size(0.16, 0.05, 0.6, "side of the area [m]"),
        "across_m": Size(0.12, 0.05, 0.6, "other side of the area [m]"),
        "force_n": Size(2.0, 0.1, 60.0, "least force [N]"),
        "share": Size(0.85, 0.1, 1.0, "of the area that counts"),
        "speed_m_s": Size(0.12, 0.01, 0.5, "of the scripted policy [m/s]"),
    }

    def work(self, scene: Scene, drive: Drive) -> Work:
        assert isinstance(drive, Hand)
        return _Wiping(self, scene, drive)


class Hold(_Faces):
    """Hold a force."""

    name = "hold"
    title = "press or support with an even force"
    success = "the force stayed between `low_n` and `high_n` for `hold_s` on end"
    fields: ClassVar[Mapping[str, Field]] = {
        "surface": Ref("what is pressed", Surface),
        "low_n": Size(8.0, 0.5, 200.0, "least force [N]"),
        "high_n": Size(14.0, 1.0, 400.0, "largest force [N]"),
        "hold_s": Size(2.0, 0.1, 60.0, "for how long on end [s]"),
    }

    def work(self, scene: Scene, drive: Drive) -> Work:
        assert isinstance(drive, Hand)
        return _Holding(self, scene, drive)


class _Pressing(Work):
    def __init__(self, scene: Scene, hand: Hand) -> None:
        super().__init__(scene)
        self._hand = hand
        self._surface: Surface = part(scene, self.goal["surface"], Surface)
        self._deep_m = 0.0

    def _frame(self) -> tuple[Array, Array, Array, Array]:
        """Return middle, normal, and both directions of the face in the world, for the body as it stands."""
        s = self._surface
        return (
            self.scene.point(s.body, s.at_m),
            self.scene.direction(s.body, s.normal),
            self.scene.direction(s.body, s.along),
            self.scene.direction(s.body, s.across),
        )

    def _press(self, goal_n: float) -> None:
        """One period of a force loop: deeper where the force is too small."""
        self._hand.compliant = True
        self._deep_m = float(np.clip(self._deep_m + 4e-5 * np.clip(goal_n - self.force_n, -20, 20), -0.01, 0.12))

    def _lead(self, point: Array, normal: Array) -> None:
        self._hand.goal_m = point - self._deep_m * normal


class _Wiping(_Pressing):
    def __init__(self, family: Wipe, scene: Scene, hand: Hand) -> None:
        super().__init__(scene, hand)
        goal = self.goal
        self._half = 0.5 * value(goal, family, "along_m"), 0.5 * value(goal, family, "across_m")
        self._need_n, self._share = value(goal, family, "force_n"), value(goal, family, "share")
        self._speed = value(goal, family, "speed_m_s")
        self._cells = [np.arange(-half + _CELL_M / 2, half, _CELL_M) for half in self._half]
        self._clean = np.zeros((len(self._cells[0]), len(self._cells[1])), dtype=bool)

    def _script(self, share: float) -> Iterator[None]:
        hand = self._hand
        middle, normal, along, across = self._frame()
        width = 1.6 * tool.PAD_HALF_M
        ends = max(0.0, self._half[0] - 0.5 * tool.PAD_HALF_M)
        inside = max(0.0, self._half[1] - 0.8 * tool.PAD_HALF_M)
        lanes = max(2, int(np.ceil(2 * inside / width)) + 1)
        rows = np.linspace(-inside, inside, lanes)[: max(1, int(np.ceil(share * lanes)))]
        at = middle - ends * along + rows[0] * across
        yield from hand.go(at + 0.06 * normal, -normal)
        yield from hand.go(at + 0.005 * normal, -normal, speed_m_s=0.08)
        for _ in range(int(0.8 / CONTROL_PERIOD_S)):
            self._press(3.0 * self._need_n)
            self._lead(at, normal)
            yield
        side = 1.0
        for row in rows:
            for goal in (
                at + ((row - float((at - middle) @ across)) * across),
                middle + (side * ends if share == 1.0 or side < 0 else 0.0) * along + row * across,
            ):
                way = goal - at
                periods = max(1, int(np.linalg.norm(way) / self._speed / CONTROL_PERIOD_S))
                for i in range(1, periods + 1):
                    self._press(3.0 * self._need_n)
                    self._lead(at + way * i / periods, normal)
                    yield
                at = goal
            side = -side
        hand.compliant = False
        yield from hand.go(hand.tip_m() + 0.06 * normal, -normal)

    def passing(self) -> Iterator[None]:
        return self._script(1.0)

    def failing(self) -> Iterator[None]:
        """Wipe a quarter: half of the lanes, half of their length."""
        return self._script(0.45)

    def watch(self) -> None:
        if self.force_n < self._need_n:
            return
        middle, normal, along, across = self._frame()
        off = self._hand.tip_m() - middle
        if abs(float(off @ normal)) > 0.02:
            return
        u, v = float(off @ along), float(off @ across)
        near = [np.abs(cells - at) <= tool.PAD_HALF_M for cells, at in zip(self._cells, (u, v), strict=True)]
        self._clean |= near[0][:, None] & near[1][None, :]

    def missing(self) -> list[str]:
        share = float(self._clean.mean())
        return [f"{share:.0%} wiped, {self._share:.0%} count"] if share < self._share else []

    def measured(self) -> dict[str, float]:
        return {"wiped_share": float(self._clean.mean())}


class _Holding(_Pressing):
    def __init__(self, family: Hold, scene: Scene, hand: Hand) -> None:
        super().__init__(scene, hand)
        self._low, self._high = value(self.goal, family, "low_n"), value(self.goal, family, "high_n")
        self._hold_s = value(self.goal, family, "hold_s")
        self._held_s = self._longest_s = 0.0
        self._smooth_n = 0.0

    def _script(self, goal_n: float) -> Iterator[None]:
        hand = self._hand
        middle, normal, _, _ = self._frame()
        yield from hand.go(middle + 0.06 * normal, -normal)
        yield from hand.go(middle + 0.005 * normal, -normal, speed_m_s=0.08)
        for i in range(int((self._hold_s + 3.0) / CONTROL_PERIOD_S)):
            self._press(goal_n)
            self._lead(middle, normal)
            if self._longest_s >= self._hold_s or (i * CONTROL_PERIOD_S > 2.5 and goal_n < self._low):
                break
            yield
        hand.compliant = False
        yield from hand.go(hand.tip_m() + 0.06 * normal, -normal)

    def passing(self) -> Iterator[None]:
        return self._script(0.5 * (self._low + self._high))

    def failing(self) -> Iterator[None]:
        """Press too lightly."""
        return self._script(0.5 * self._low)

    def watch(self) -> None:
        # A force sensor's own low-pass, 20 Hz.
        self._smooth_n += 0.7 * (self.force_n - self._smooth_n)
        inside = self._low <= self._smooth_n <= self._high
        self._held_s = self._held_s + CONTROL_PERIOD_S if inside else 0.0
        self._longest_s = max(self._longest_s, self._held_s)

    def missing(self) -> list[str]:
        if self._longest_s >= self._hold_s:
            return []
        return [f"between {self._low:g} and {self._high:g} N for {self._longest_s:.2f} s of {self._hold_s:g} s"]

    def measured(self) -> dict[str, float]:
        return {"held_s": self._longest_s}
