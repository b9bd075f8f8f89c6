"""One trial: a scripted policy in a scene, what was measured, and whether it succeeded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import mujoco
import numpy as np

from sim.body import Array
from sim.catalog import Entry
from sim.chance import philox_uniform, stream
from sim.scenarios.drive import CONTROL_PERIOD_S
from sim.scenarios.families import FAMILIES, Work
from sim.scenarios.fixtures.part import Mover, mover_at
from sim.scenarios.scenario import Scenario
from sim.scenarios.scene import Scene
from sim.task import upright

POLICIES = ("pass", "fail", "idle")
"""The scripted policy that does the task, one that makes a plausible mistake, and one that does nothing."""
FREE = ""
"""No script: whoever gives the actions drives, and the trial ends once nothing has been missing for a while."""
SETTLE_S = 0.5
FALLEN_COS = 0.5
PUSH_EVERY_S, PUSH_S = 1.5, 0.15


@dataclass(frozen=True)
class Outcome:
    """What came of a trial.

    Attributes:
        success: Whether the task was done and no limit crossed.
        why: What was missing, or which limits were crossed; empty for successes.
        time_s: Simulated time until the policy was done.
        force_n: Largest contact force between robot and what is not the robot (of walkers: sideways ones).
        energy_j: Mechanical work of all joints, braking counted as well.
        falls: How often the robot fell.
        damage: How often the force went above its limit.
        people_touched: How often somebody was touched.
        more: The family's own quantities.
    """

    success: bool
    why: tuple[str, ...]
    time_s: float
    force_n: float
    energy_j: float
    falls: int
    damage: int
    people_touched: int
    more: dict[str, float] = field(default_factory=dict)


class Trial:
    """A trial that has not begun, or has."""

    def __init__(self, scenario: Scenario, entry: Entry, *, level: int, seed: int, visuals: bool = False) -> None:
        """Build the scene. Raises as `sim.scenarios.scene.build`."""
        self.family = FAMILIES[scenario.family]
        self.scene = self.family.scene(scenario, entry, level=level, seed=seed, visuals=visuals)
        self.drive = self.family.drive(self.scene)
        self.work: Work = self.family.work(self.scene, self.drive)
        self._contacts = _Contacts(self.scene, sideways=self.family.on_floor)
        self._pushes = _Pushes(self.scene, self.family.on_floor)
        self.time_s = 0.0
        self.cycle_s: float | None = None
        self.falls = 0
        self.over = False
        self._policy = FREE
        self._script = _nothing()
        self._ending_s = 0.0

    def begin(self, policy: str) -> None:
        """Choose a policy of `POLICIES`, or `FREE`, before the first step."""
        scripts: dict[str, Callable[[], Iterator[None]]] = {
            "pass": self.work.passing,
            "fail": self.work.failing,
            "idle": _nothing,
            FREE: _nothing,
        }
        self._policy, self._script = policy, scripts[policy]()

    def step(self, action: Array | None = None) -> None:
        """Run one control period, after which `over` says whether the trial has ended.

        action: What is added to the script's targets, or drives without one: as `Drive.lead`.
        """
        self._move_movers()
        self._pushes.push(self.time_s)
        free = self._policy == FREE
        if not free and next(self._script, _END) is _END:
            self.cycle_s = self.time_s if self.cycle_s is None else self.cycle_s
            self._ending_s += CONTROL_PERIOD_S
        self.drive.lead(action, free=free)
        self.drive.advance()
        self.time_s += CONTROL_PERIOD_S
        self._contacts.look()
        self.work.force_n = self._contacts.force_n
        self.work.watch()
        if free:
            well = not self.work.missing()
            self._ending_s = self._ending_s + CONTROL_PERIOD_S if well else 0.0
            self.cycle_s = (self.time_s if self.cycle_s is None else self.cycle_s) if well else None
        if self.scene.body.floating and float(upright(self.scene.data.qpos[None, 3:7])[0]) < FALLEN_COS:
            self.falls = 1
        # An idle robot is watched for as long as the task may take: nothing may succeed by itself.
        done = self._ending_s > SETTLE_S and self._policy != "idle"
        self.over = bool(self.falls) or done or self.time_s >= self.scene.scenario.limits.time_max_s

    def steps(self, policy: str) -> Iterator[None]:
        """Run it, a control period at a time; `outcome` is there at the end."""
        self.begin(policy)
        while not self.over:
            self.step()
            yield

    def outcome(self) -> Outcome:
        """Judge what has happened so far."""
        limits, contacts = self.scene.scenario.limits, self._contacts
        time_s = self.time_s if self.cycle_s is None else self.cycle_s
        why = list(self.work.missing())
        if time_s >= limits.time_max_s:
            why.append(f"not done after {limits.time_max_s:g} s")
        if contacts.damage:
            why.append(f"force {contacts.most_n:.0f} N above {limits.force_max_n:g} N")
        if self.drive.energy_j > limits.energy_max_j:
            why.append(f"energy {self.drive.energy_j:.0f} J above {limits.energy_max_j:g} J")
        if self.falls:
            why.append("the robot fell")
        if contacts.people:
            why.append("somebody was touched")
        return Outcome(
            success=not why,
            why=tuple(why),
            time_s=round(time_s, 3),
            force_n=contacts.most_n,
            energy_j=self.drive.energy_j,
            falls=self.falls,
            damage=contacts.damage,
            people_touched=contacts.people,
            more=self.work.measured(),
        )

    def _move_movers(self) -> None:
        for part in self.scene.parts.values():
            if isinstance(part, Mover):
                at = mover_at(part, self.time_s)
                self.scene.data.mocap_pos[self.scene.model.body(part.body).mocapid[0]] = at


def run(scenario: Scenario, entry: Entry, *, level: int, seed: int, policy: str) -> Outcome:
    """Run one trial of a policy of `POLICIES`. Raises as `sim.scenarios.scene.build`."""
    trial = Trial(scenario, entry, level=level, seed=seed)
    for _ in trial.steps(policy):
        pass
    return trial.outcome()


_END = object()


def _nothing() -> Iterator[None]:
    return iter(())


class _Contacts:
    """Forces between the robot and everything else."""

    def __init__(self, scene: Scene, *, sideways: bool) -> None:
        model = scene.model
        self._model, self._data, self._sideways = model, scene.data, sideways
        robot = np.zeros(model.nbody, dtype=bool)
        roots = {int(model.body_rootid[scene.body.base])}
        for body in range(model.nbody):
            robot[body] = int(model.body_rootid[body]) in roots
        self._robot = robot[model.geom_bodyid]
        people = {part.body for part in scene.parts.values() if isinstance(part, Mover) and "person" in part.body}
        self._people = np.isin(model.geom_bodyid, [model.body(name).id for name in people])
        self._limit_n = scene.scenario.limits.force_max_n
        self._above = self._touching = False
        self.force_n = self.most_n = 0.0
        self.damage = self.people = 0

    def look(self) -> None:
        data, total, touching = self._data, 0.0, False
        wrench = np.zeros(6)
        for i in range(data.ncon):
            contact = data.contact[i]
            one, other = contact.geom
            if self._robot[one] == self._robot[other] or contact.efc_address < 0:
                continue
            if self._people[one] or self._people[other]:
                touching = True
            if self._sideways and abs(contact.frame[2]) > 0.5:
                continue
            mujoco.mj_contactForce(self._model, data, i, wrench)
            total += float(wrench[0])
        self.force_n = total
        self.most_n = max(self.most_n, total)
        self.damage += int(total > self._limit_n and not self._above)
        self.people += int(touching and not self._touching)
        self._above, self._touching = total > self._limit_n, touching


class _Pushes:
    """Pushes at the base or the tool, every `PUSH_EVERY_S` for `PUSH_S`, from drawn sides."""

    def __init__(self, scene: Scene, on_floor: bool) -> None:
        from sim.scenarios import tool

        self._scene, self._force_n = scene, scene.drawn["push_n"]
        last = scene.model.joint(scene.body.spec.joint_names[-1]).bodyid[0]
        if on_floor:
            self._at = scene.body.base if scene.body.floating else int(last)
        else:
            self._at = int(scene.model.body(tool.BODY).id)

    def push(self, time_s: float) -> None:
        if not self._force_n:
            return
        number, since = divmod(time_s, PUSH_EVERY_S)
        force = np.zeros(3)
        if number > 0 and since < PUSH_S:
            (share,) = philox_uniform(self._scene.seed, int(number), 0, 1, stream=stream("push"))
            force[:2] = self._force_n * np.array([np.cos(2 * np.pi * share), np.sin(2 * np.pi * share)])
        self._scene.data.xfrc_applied[self._at, :3] = force
