"""A family of tasks: what its scenarios' goals say, how success is judged, a scripted policy that passes and one that
fails.

Scripted policies know the scene's true poses; they move nothing but the robot's joints.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from sim.catalog import Entry
from sim.scenarios import scene as scenes
from sim.scenarios.base import Base, base_of
from sim.scenarios.drive import Drive
from sim.scenarios.fixtures import Size, Word
from sim.scenarios.fixtures.part import Part
from sim.scenarios.hand import Hand
from sim.scenarios.scenario import Scenario
from sim.scenarios.scene import Scene


class Ref:
    """A goal's field that names a fixture (`many`: a list of them) that offers one of these parts."""

    def __init__(self, what: str, *parts: type, many: bool = False) -> None:
        self.what, self.parts, self.many = what, parts, many


Field = Size | Word | Ref


class Work(ABC):
    """A task at work in one trial.

    Attributes:
        force_n: The force between robot and surroundings now, kept by the trial.
    """

    force_n = 0.0

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.goal: Mapping[str, Any] = scene.scenario.goal

    @abstractmethod
    def passing(self) -> Iterator[None]:
        """Do the task; a step is a control period."""

    @abstractmethod
    def failing(self) -> Iterator[None]:
        """Do it with a plausible mistake."""

    def watch(self) -> None:
        """Look at the scene after a control period."""
        return

    @abstractmethod
    def missing(self) -> list[str]:
        """Return what is missing for success, with numbers; empty if nothing is."""

    def measured(self) -> dict[str, float]:
        """Return the family's own quantities, named with their units."""
        return {}


class Family(ABC):
    """The description of a family.

    Attributes:
        name, title: What it is called, and one line for people.
        robot_classes: Whom its scripted policies can be run on.
        on_floor: Whether its robots go on the floor; else they are arms with a tool.
        tool: One of `sim.scenarios.tool.TOOLS`; "" on the floor.
        fields: What a goal of it says, besides `approach` for arms.
        success: What counts, in words.
    """

    name: str
    title: str
    success: str
    robot_classes: tuple[str, ...] = ("arm", "dual_arm")
    on_floor = False
    tool = ""
    fields: ClassVar[Mapping[str, Field]] = {}

    def approach(self, scenario: Scenario) -> str:
        """Return which way the tool points: "down" or "forward"; "" on the floor."""
        return "" if self.on_floor else str(scenario.goal.get("approach", "down"))

    def scene(self, scenario: Scenario, entry: Entry, *, level: int, seed: int, visuals: bool = False) -> Scene:
        """Build a trial's scene. Raises as `sim.scenarios.scene.build`."""
        return scenes.build(
            scenario,
            entry,
            level=level,
            seed=seed,
            tool_kind=self.tool,
            approach=self.approach(scenario),
            visuals=visuals,
        )

    def drive(self, scene: Scene) -> Drive:
        """Return what moves the robot."""
        return base_of(scene) if self.on_floor else Hand(scene)

    @abstractmethod
    def work(self, scene: Scene, drive: Drive) -> Work:
        """Return the work of a trial."""


def part(scene: Scene, name: str, kind: type[Any]) -> Any:
    """Return a fixture's part, which the file's check has seen to be of this kind. Raises BrokenScenario."""
    from sim.errors import BrokenScenario

    found: Part | None = scene.parts.get(name)
    if not isinstance(found, kind):
        raise BrokenScenario(f"{scene.scenario.id}: fixture {name!r} offers no {kind.__name__.lower()}")
    return found


def value(goal: Mapping[str, Any], family: Family, name: str) -> Any:
    """Return a goal's field, or its default."""
    field = family.fields[name]
    assert isinstance(field, Size | Word)
    return goal.get(name, field.default)


__all__ = ["Base", "Family", "Field", "Ref", "Work", "part", "value"]
