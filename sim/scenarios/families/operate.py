"""Operate: move something that has one joint, such as a button, a valve, a lever, a drawer or a door."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import mujoco
import numpy as np

from sim.body import Array
from sim.scenarios.drive import CONTROL_PERIOD_S, Drive
from sim.scenarios.families.family import Family, Field, Ref, Work, part, value
from sim.scenarios.fixtures import Size
from sim.scenarios.fixtures.part import Control
from sim.scenarios.hand import Hand
from sim.scenarios.scenario import Scenario
from sim.scenarios.scene import Scene

_CLEAR_M = 0.09
_BEHIND_M = 0.02
_LEAD_SHARE, _LEAD_LEAST_M = 0.2, 0.005
_TRIES = 3
_SLIPPED_M, _SLIPPED_S = 0.035, 0.25
"""A tip that has been so far from where it should touch for so long has slipped off: it is set on anew."""


class Operate(Family):
    """See the module."""

    name = "operate"
    title = "move a control: button, switch, valve, lever, drawer, door"
    success = "the control's joint was beyond `travel_share` of its range for `hold_s` on end"
    tool = "finger"
    fields: ClassVar[Mapping[str, Field]] = {
        "control": Ref("what is moved", Control),
        "travel_share": Size(0.8, 0.05, 0.98, "share of the joint's range that counts"),
        "hold_s": Size(0.2, 0.0, 30.0, "for how long on end [s]"),
        "move_s": Size(1.6, 0.2, 60.0, "time that the scripted policy takes to move it [s]"),
    }

    def approach(self, scenario: Scenario) -> str:
        """The control's kind says from where."""
        kind = scenario.piece(scenario.goal["control"]).kind
        return "down" if kind in ("lever", "drawer", "slider") else "forward"

    def work(self, scene: Scene, drive: Drive) -> Work:
        assert isinstance(drive, Hand)
        return _Work(self, scene, drive)


class _Work(Work):
    def __init__(self, family: Operate, scene: Scene, hand: Hand) -> None:
        super().__init__(scene)
        self._hand, goal = hand, self.goal
        self._control: Control = part(scene, goal["control"], Control)
        joint = scene.model.joint(self._control.joint)
        self._joint = int(joint.id)
        self._adr = int(joint.qposadr[0])
        self._need = value(goal, family, "travel_share") * float(joint.range[1])
        self._most = float(joint.range[1])
        self._hold_s, self._move_s = value(goal, family, "hold_s"), value(goal, family, "move_s")
        self._held_s = self._longest_s = self._furthest = 0.0

    def _now(self) -> float:
        return float(self.scene.data.qpos[self._adr])

    def _grip(self, at: float) -> tuple[Array, Array]:
        """Where the tip touches, and which way it pushes, with the joint at `at`; from the scene as it stands."""
        scene, data = self.scene, self.scene.data
        point = scene.point(self._control.body, self._control.grip_m)
        push = scene.direction(self._control.body, self._control.push)
        anchor, axis = np.array(data.xanchor[self._joint]), np.array(data.xaxis[self._joint])
        change = at - self._now()
        if scene.model.jnt_type[self._joint] == mujoco.mjtJoint.mjJNT_SLIDE:
            return point + change * axis, push
        quat, turned, forward = np.zeros(4), np.zeros(3), np.zeros(3)
        mujoco.mju_axisAngle2Quat(quat, axis, change)
        mujoco.mju_rotVecQuat(turned, point - anchor, quat)
        mujoco.mju_rotVecQuat(forward, push, quat)
        return anchor + turned, forward

    def _script(self, share: float, hold_s: float) -> Iterator[None]:
        for _ in range(_TRIES):
            yield from self._try(share, hold_s)
            if share < self._need or self._longest_s >= hold_s:
                break

    def _try(self, share: float, hold_s: float) -> Iterator[None]:
        hand = self._hand
        fixture = self.scene.scenario.piece(self.goal["control"]).name
        tool = self.scene.direction(fixture, self._control.tool)
        grip, push = self._grip(self._now())
        # In front of the control, beside it or behind its handle, then against it.
        entry = grip - _BEHIND_M * push * (abs(float(push @ tool)) < 0.5)
        yield from hand.go(entry - _CLEAR_M * tool, tool)
        yield from hand.go(entry - 0.003 * push, tool, speed_m_s=0.15)
        yield from hand.go(self._grip(self._now())[0], tool, speed_m_s=0.06, settle_s=0.1)
        target, start = min(share, 1.02 * self._most), self._now()
        rate = (target - start) / self._move_s * CONTROL_PERIOD_S
        at, further, slipped_s = start, 0.0, 0.0
        slides = self.scene.model.jnt_type[self._joint] == mujoco.mjtJoint.mjJNT_SLIDE
        # A button's way is short: a share of it would press with next to nothing.
        lead = max(_LEAD_SHARE * self._most, _LEAD_LEAST_M if slides else 0.0)
        for _ in range(int((1.5 * self._move_s + hold_s + 4.0) / CONTROL_PERIOD_S)):
            now = self._now()
            if (self._held_s >= hold_s and now >= self._need) or (share < self._need and now >= 0.97 * target):
                break
            if at >= target and now < target:
                # What resists keeps it behind: lead a little further.
                further = min(further + 0.003 * self._most, 0.3 * self._most)
            at = min(at + rate, target)
            off_m = float(np.linalg.norm(self._grip(now)[0] - hand.tip_m()))
            slipped_s = slipped_s + CONTROL_PERIOD_S if off_m > _SLIPPED_M else 0.0
            if slipped_s > _SLIPPED_S:
                break
            # A tip far ahead would slip off.
            hand.goal_m, _ = self._grip(min(at + further, now + lead))
            yield
        grip, push = self._grip(self._now())
        yield from hand.go(hand.tip_m() - 0.04 * push * (abs(float(push @ tool)) < 0.5) - 0.03 * tool, tool)

    def passing(self) -> Iterator[None]:
        return self._script(min(self._most, self._need + 0.12 * self._most), self._hold_s)

    def failing(self) -> Iterator[None]:
        """Let go at half of the way that counts."""
        return self._script(0.5 * self._need, 0.0)

    def watch(self) -> None:
        now = self._now()
        self._furthest = max(self._furthest, now)
        self._held_s = self._held_s + CONTROL_PERIOD_S if now >= self._need else 0.0
        self._longest_s = max(self._longest_s, self._held_s)

    def missing(self) -> list[str]:
        if self._furthest < self._need:
            return [f"moved to {self._furthest / self._most:.0%} of its range, {self._need / self._most:.0%} counts"]
        if self._longest_s < self._hold_s:
            return [f"held for {self._longest_s:.2f} s of {self._hold_s:g} s"]
        return []

    def measured(self) -> dict[str, float]:
        return {"travel_share": self._furthest / self._most, "held_s": self._longest_s}
