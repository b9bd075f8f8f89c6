"""Insert: put a peg, a plug or a probe into a hole."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np

from sim.body import Array
from sim.scenarios.drive import CONTROL_PERIOD_S, Drive
from sim.scenarios.families.family import Family, Field, Ref, Work, part, value
from sim.scenarios.fixtures import Size
from sim.scenarios.fixtures.part import Socket
from sim.scenarios.hand import Hand
from sim.scenarios.scenario import Scenario
from sim.scenarios.scene import Scene

_ATTEMPTS = 4
_STEADY_M, _STEADY_PERIODS = 0.0015, 5
_PATIENCE_S = 2.5
"""It goes in once the tip has been so near the hole's axis for so many periods on end; so long is waited for that."""
_ENTRY_M = 0.006


class Insert(Family):
    """See the module."""

    name = "insert"
    title = "insert a peg, a plug or a probe into a hole"
    success = "the tip was `depth_share` of the hole's depth inside it for `hold_s` on end"
    tool = "peg"
    fields: ClassVar[Mapping[str, Field]] = {
        "socket": Ref("the hole", Socket),
        "depth_share": Size(0.7, 0.1, 0.98, "share of the hole's depth that counts"),
        "hold_s": Size(0.2, 0.0, 30.0, "for how long on end [s]"),
    }

    def approach(self, scenario: Scenario) -> str:
        """The hole's face says from where."""
        return "down" if scenario.piece(scenario.goal["socket"]).sizes.get("face", "robot") == "up" else "forward"

    def work(self, scene: Scene, drive: Drive) -> Work:
        assert isinstance(drive, Hand)
        return _Work(self, scene, drive)


class _Work(Work):
    def __init__(self, family: Insert, scene: Scene, hand: Hand) -> None:
        super().__init__(scene)
        self._hand = hand
        self._socket: Socket = part(scene, self.goal["socket"], Socket)
        self._need_m = value(self.goal, family, "depth_share") * self._socket.depth_m
        self._hold_s = value(self.goal, family, "hold_s")
        self._deepest_m = self._held_s = self._longest_s = 0.0

    def _script(self, beside_m: float) -> Iterator[None]:
        hand = self._hand
        mouth = self.scene.point(self._socket.body, self._socket.at_m)
        inward = self.scene.direction(self._socket.body, self._socket.inward)
        aim = mouth + self.scene.direction(self._socket.body, (0.0, beside_m, 0.0))
        deep = self._need_m + 0.12 * self._socket.depth_m
        yield from hand.go(aim - 0.06 * inward, inward)
        for _ in range(_ATTEMPTS):
            # Whatever pushes it, it goes in only from where it is straight above, and then without delay: between the
            # hole's walls the next push moves it no more.
            yield from hand.go(aim - 0.008 * inward, inward, speed_m_s=0.1, settle_s=0.2)
            yield from self._steady(aim, inward)
            yield from hand.go(aim + _ENTRY_M * inward, inward, speed_m_s=0.12, settle_s=0.0)
            yield from hand.go(aim + deep * inward, inward, speed_m_s=0.06, settle_s=0.3)
            yield from hand.wait(self._hold_s + 0.1)
            if self._longest_s >= self._hold_s and self._deepest_m >= self._need_m:
                break
            yield from hand.go(aim - 0.03 * inward, inward, speed_m_s=0.1)
        yield from hand.go(aim - 0.05 * inward, inward, speed_m_s=0.15)

    def _steady(self, aim: Array, inward: Array) -> Iterator[None]:
        """Stay until the tip rests on the axis through `aim` (3,)."""
        on_end = 0
        for _ in range(int(_PATIENCE_S / CONTROL_PERIOD_S)):
            off = self._hand.tip_m() - aim
            off -= (off @ inward) * inward
            on_end = on_end + 1 if float(np.linalg.norm(off)) < _STEADY_M else 0
            if on_end >= _STEADY_PERIODS:
                return
            yield

    def passing(self) -> Iterator[None]:
        return self._script(0.0)

    def failing(self) -> Iterator[None]:
        """Aim beside the hole, at its rim."""
        return self._script(0.018)

    def watch(self) -> None:
        mouth = self.scene.point(self._socket.body, self._socket.at_m)
        inward = self.scene.direction(self._socket.body, self._socket.inward)
        off = self._hand.tip_m() - mouth
        deep_m = float(off @ inward)
        # Inside is inside: beside the walls nothing is deep.
        if float(np.linalg.norm(off - deep_m * inward)) > 0.02:
            deep_m = 0.0
        self._deepest_m = max(self._deepest_m, deep_m)
        self._held_s = self._held_s + CONTROL_PERIOD_S if deep_m >= self._need_m else 0.0
        self._longest_s = max(self._longest_s, self._held_s)

    def missing(self) -> list[str]:
        if self._deepest_m < self._need_m:
            return [f"{1000 * self._deepest_m:.0f} mm deep, {1000 * self._need_m:.0f} mm count"]
        if self._longest_s < self._hold_s:
            return [f"held for {self._longest_s:.2f} s of {self._hold_s:g} s"]
        return []

    def measured(self) -> dict[str, float]:
        return {"depth_m": self._deepest_m, "held_s": self._longest_s}
