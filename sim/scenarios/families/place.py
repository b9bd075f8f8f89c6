"""Place: pick something up with a vacuum gripper and bring it to a zone, a bin or a shelf."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np

from sim.body import Array
from sim.scenarios import tool
from sim.scenarios.drive import CONTROL_PERIOD_S, Drive
from sim.scenarios.families.family import Family, Field, Ref, Work, part, value
from sim.scenarios.fixtures import Size
from sim.scenarios.fixtures.part import DOWN, Thing, Zone
from sim.scenarios.hand import Hand
from sim.scenarios.scene import Scene

_LEAD_S = 0.05


class Place(Family):
    """See the module."""

    name = "place"
    title = "pick up and place: onto a zone, into a bin, from a belt"
    success = "the thing lies inside the zone, at rest and let go, at the end"
    tool = "cup"
    fields: ClassVar[Mapping[str, Field]] = {
        "thing": Ref("what is moved", Thing),
        "zone": Ref("where to", Zone),
        "lift_m": Size(0.10, 0.02, 0.6, "how high the scripted policy lifts it [m]"),
        "rest_m_s": Size(0.05, 0.001, 1.0, "slower than this is at rest [m/s]"),
    }

    def work(self, scene: Scene, drive: Drive) -> Work:
        assert isinstance(drive, Hand)
        return _Work(self, scene, drive)


class _Work(Work):
    def __init__(self, family: Place, scene: Scene, hand: Hand) -> None:
        super().__init__(scene)
        self._hand = hand
        self._thing: Thing = part(scene, self.goal["thing"], Thing)
        self._zone: Zone = part(scene, self.goal["zone"], Zone)
        self._body = int(scene.model.body(self._thing.body).id)
        self._lift_m, self._rest = value(self.goal, family, "lift_m"), value(self.goal, family, "rest_m_s")
        self._start_m = self._at()
        self._cup = int(scene.model.body(tool.CUP).id)
        self._thing_geoms = set(np.flatnonzero(scene.model.geom_bodyid == self._body).tolist())
        self._cup_geoms = set(np.flatnonzero(scene.model.geom_bodyid == self._cup).tolist())
        self._lifted_m = 0.0

    def _at(self) -> Array:
        return np.array(self.scene.data.xpos[self._body])

    def _velocity(self) -> Array:
        first = int(self.scene.model.body_dofadr[self._body])
        return np.array(self.scene.data.qvel[first : first + 3])

    def _top(self) -> Array:
        return np.asarray(self._at() + np.array([0.0, 0.0, self._thing.half_height_m]))

    def _script(self, share: float) -> Iterator[None]:
        hand, down = self._hand, np.array(DOWN)
        up = np.array([0.0, 0.0, 1.0])
        yield from hand.go(self._top() + 0.07 * up, down)
        hand.suck(True)
        # Down onto it, following it where it moves, until the cup has it.
        height = 0.07
        for _ in range(int(4.0 / CONTROL_PERIOD_S)):
            if self._touches():
                break
            height = max(-0.012, height - (0.12 if height > 0.02 else 0.03) * CONTROL_PERIOD_S)
            hand.goal_m = self._top() + _LEAD_S * self._velocity() + height * up
            yield
        # Not deeper than it is: the arm is stiff.
        hand.goal_m = hand.tip_m()
        yield from hand.wait(0.15)
        zone = self.scene.point(self._zone.body, self._zone.at_m)
        start = hand.tip_m()
        top = max(zone[2] - self._zone.half_m[2] + 2 * self._thing.half_height_m, start[2]) + self._lift_m
        yield from hand.go(np.array([start[0], start[1], top]), down, speed_m_s=0.2)
        goal = start[:2] + share * (zone[:2] - start[:2])
        yield from hand.go(np.array([goal[0], goal[1], top]), down, speed_m_s=0.25)
        floor = zone[2] - self._zone.half_m[2] + 2 * self._thing.half_height_m + 0.004
        yield from hand.go(np.array([goal[0], goal[1], floor]), down, speed_m_s=0.15)
        hand.suck(False)
        yield from hand.wait(0.2)
        yield from hand.go(np.array([goal[0], goal[1], floor + 0.08]), down)
        yield from hand.wait(0.4)

    def passing(self) -> Iterator[None]:
        return self._script(1.0)

    def failing(self) -> Iterator[None]:
        """Let go on the way."""
        return self._script(0.1)

    def _touches(self) -> bool:
        for i in range(self.scene.data.ncon):
            one, other = self.scene.data.contact[i].geom
            if (one in self._cup_geoms and other in self._thing_geoms) or (
                other in self._cup_geoms and one in self._thing_geoms
            ):
                return True
        return False

    def watch(self) -> None:
        self._lifted_m = max(self._lifted_m, float(self._at()[2] - self._start_m[2]))

    def _off_m(self) -> Array:
        """How far outside the zone the thing's middle is along its axes; nothing above 0 is inside."""
        body = self.scene.data.body(self._zone.body)
        local = body.xmat.reshape(3, 3).T @ (self._at() - body.xpos) - np.array(self._zone.at_m)
        return np.asarray(np.abs(local) - np.array(self._zone.half_m))

    def missing(self) -> list[str]:
        found = []
        off_m = float(self._off_m().max())
        if off_m > 0:
            found.append(f"the thing is {off_m:.3f} m outside the zone")
        speed = float(np.linalg.norm(self._velocity()))
        if speed > self._rest:
            found.append(f"the thing moves at {speed:.3f} m/s")
        if self._touches():
            found.append("the thing has not been let go")
        return found

    def measured(self) -> dict[str, float]:
        return {"outside_m": max(0.0, float(self._off_m().max())), "lifted_m": self._lifted_m}
