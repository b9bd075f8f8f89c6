"""One task of the training ground, as its file describes it.

`configs/scenarios/<sector>/<id>.toml`. The check of a file (`sim.check.scenario`) has the fields with their bounds and
says in which line a mistake is; reading one here raises `BrokenScenario`.
"""

import difflib
import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.catalog import CONFIGS
from sim.errors import BrokenScenario, UnknownScenario
from sim.scenarios.draws import Range
from sim.scenarios.names import LEVELS

FOLDER = CONFIGS / "scenarios"


@dataclass(frozen=True)
class Piece:
    """One fixture: its kind, name, place in the work frame, and numbers of its kind.

    Attributes:
        kind: One of `sim.scenarios.fixtures.KINDS`.
        name: Unique in the scenario.
        at_m: Where it is in the work frame (x away from the robot, y to its left, z up).
        yaw_deg: Turn about the vertical.
        moves: Whether the draws of poses shift it.
        sizes: Numbers and words of its kind.
    """

    kind: str
    name: str
    at_m: tuple[float, float, float]
    yaw_deg: float
    moves: bool
    sizes: Mapping[str, Any]


@dataclass(frozen=True)
class Economics:
    """What a cycle is worth, and what the unit that does it costs; CNY. `source` says where the numbers come from."""

    value_per_cycle_cny: float
    cost_per_hour_cny: float
    investment_cny: float
    hours_per_year: float
    source: str

    def payback_years(self, cycle_s: float, success_rate: float = 1.0) -> float:
        """Return after how many years the investment is earned; infinite where an hour costs more than it brings.

        Args:
            cycle_s: Time of one cycle, successful or not.
            success_rate: Share of cycles that bring their value.
        """
        margin_cny_h = success_rate * self.value_per_cycle_cny * 3600.0 / cycle_s - self.cost_per_hour_cny
        return self.investment_cny / (margin_cny_h * self.hours_per_year) if margin_cny_h > 0 else float("inf")


@dataclass(frozen=True)
class Limits:
    """What no trial may cross. Of what is not named, there is no limit but that of falls and touched people: none."""

    time_max_s: float
    force_max_n: float
    energy_max_j: float


@dataclass(frozen=True)
class Scenario:
    """A task of a sector.

    Attributes:
        id: The file's name; what cells and claims call it.
        title: One line for people.
        sector: One of `SECTORS`.
        family: One of `sim.scenarios.families.FAMILIES`: what kind of task it is.
        demand: The functional demand, in words.
        conditions: Operating conditions: light, floor, noise, people, weather.
        robot_classes: Whom it suits.
        pieces: Its fixtures.
        goal: What the family must know, success among it.
        limits: What no trial may cross.
        economics: What it is worth.
        levels: By level, the quantities that it draws besides those of the levels below.
    """

    id: str
    title: str
    sector: str
    family: str
    demand: str
    conditions: Mapping[str, Any]
    robot_classes: tuple[str, ...]
    pieces: tuple[Piece, ...]
    goal: Mapping[str, Any]
    limits: Limits
    economics: Economics
    levels: Mapping[int, Mapping[str, Range]]

    @property
    def path(self) -> str:
        """Sector and id, such as "rescue/rescue-stairs"."""
        return f"{self.sector}/{self.id}"

    def piece(self, name: str) -> Piece:
        """Return a fixture by name. Raises BrokenScenario."""
        for piece in self.pieces:
            if piece.name == name:
                return piece
        names = [piece.name for piece in self.pieces]
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.4) or names
        raise BrokenScenario(f"{self.id}: no fixture {name!r}; there is {', '.join(close)}")


def parse_scenario(table: Mapping[str, Any], *, id_: str, sector: str) -> Scenario:
    """Read the tables of a file of this name in a folder of this name. Raises BrokenScenario naming the field."""
    try:
        limits, economics = table["limits"], table["economics"]
        scenario = Scenario(
            id=table["id"],
            title=table["title"],
            sector=table["sector"],
            family=table["family"],
            demand=table["demand"],
            conditions=dict(table["conditions"]),
            robot_classes=tuple(table["robot_classes"]),
            pieces=tuple(_piece(piece) for piece in table["fixtures"]),
            goal=dict(table["goal"]),
            limits=Limits(
                float(limits["time_max_s"]),
                float(limits.get("force_max_n", float("inf"))),
                float(limits.get("energy_max_j", float("inf"))),
            ),
            economics=Economics(
                **{k: float(economics[k]) for k in Economics.__annotations__ if k != "source"},
                source=economics["source"],
            ),
            levels={
                int(level): {name: (float(r[0]), float(r[1])) for name, r in ranges.items()}
                for level, ranges in table["level"].items()
            },
        )
    except KeyError as error:
        raise BrokenScenario(f"{id_}: {error.args[0]} is missing") from error
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise BrokenScenario(f"{id_}: {error}") from error
    if scenario.id != id_:
        raise BrokenScenario(f"{id_}: id {scenario.id!r} is not the file's name")
    if scenario.sector != sector:
        raise BrokenScenario(f"{id_}: sector {scenario.sector!r} is not the folder's name {sector!r}")
    if set(scenario.levels) != set(LEVELS):
        raise BrokenScenario(f"{id_}: levels {sorted(scenario.levels)}, must be {sorted(LEVELS)}")
    return scenario


def _piece(table: Mapping[str, Any]) -> Piece:
    taken = {"kind", "name", "x_m", "y_m", "z_m", "yaw_deg", "moves"}
    return Piece(
        kind=table["kind"],
        name=table["name"],
        at_m=(float(table.get("x_m", 0.0)), float(table.get("y_m", 0.0)), float(table.get("z_m", 0.0))),
        yaw_deg=float(table.get("yaw_deg", 0.0)),
        moves=bool(table.get("moves", True)),
        sizes={key: value for key, value in table.items() if key not in taken},
    )


def load_scenario(path: Path) -> Scenario:
    """Read one file. Raises BrokenScenario, OSError."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BrokenScenario(f"{path.name}: {error}") from error
    return parse_scenario(table, id_=path.stem, sector=path.parent.name)


@functools.cache
def scenario_ids() -> dict[str, Path]:
    """Return the file of every scenario that is shipped, by id; reads none of them."""
    return {path.stem: path for path in sorted(FOLDER.glob("*/*.toml"))}


@functools.cache
def scenarios() -> dict[str, Scenario]:
    """Return all scenarios that are shipped, by id, sector by sector. Raises BrokenScenario."""
    return {id_: load_scenario(path) for id_, path in scenario_ids().items()}


def find_scenario(id_: str) -> Scenario:
    """Return one scenario, by id, by sector and id ("rescue/rescue-stairs") or, where it ends in `.toml`, from a file.

    Raises UnknownScenario with the closest ids, BrokenScenario, OSError.
    """
    if id_.endswith(".toml"):
        return load_scenario(Path(id_))
    return find_shipped(id_)


def find_shipped(id_: str) -> Scenario:
    """Return one scenario that is shipped, by id or by sector and id. Raises UnknownScenario, BrokenScenario."""
    known = scenario_ids()
    full = {f"{path.parent.name}/{name}": name for name, path in known.items()}
    if "/" in id_:
        if id_ not in full:
            close = difflib.get_close_matches(id_, full, n=3, cutoff=0.4) or sorted(full)
            raise UnknownScenario(f"no scenario {id_!r}; did you mean {', '.join(close)}?")
        id_ = full[id_]
    if id_ not in known:
        close = difflib.get_close_matches(id_, known, n=3, cutoff=0.4) or sorted(known)
        raise UnknownScenario(f"no scenario {id_!r}; did you mean {', '.join(close)}?")
    return load_scenario(known[id_])
