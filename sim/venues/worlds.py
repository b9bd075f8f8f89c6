"""A venue as one scene of many makers' robots, or as one world for each cell; and what sharing a scene changes.

MuJoCo has one set of contact options for a scene, whoever stands in it. A maker's model may ask for others (elliptic
friction cones, another ratio of frictional to normal impedance); in the shared scene it gets the scene's. What each
robot asked for and what it gets is told here, and the scene itself carries it as the text `contact_options`.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import mujoco

from sim.catalog import find
from sim.errors import MissingModel
from sim.venue import CellTwin, UnitTwin, VenueTwin, venue_spec
from sim.venues.polygon import contains

CONTACT_OPTIONS = (
    "cone",
    "impratio",
    "solver",
    "iterations",
    "tolerance",
    "noslip_iterations",
    "integrator",
    "timestep",
)
"""What of `mjOption` decides how contacts behave, and is the scene's where robots share one."""
TEXT = "contact_options"
_NAMES: Mapping[str, type] = {
    "cone": mujoco.mjtCone, "solver": mujoco.mjtSolver, "integrator": mujoco.mjtIntegrator
}  # fmt: skip
_FREE_M = 1.0
"""Floor around a cell that its own world has, too."""

Value = float | str


@dataclass(frozen=True)
class ContactChange:
    """One option of a robot's model that a shared scene does not honour.

    Attributes:
        option: One of `CONTACT_OPTIONS`.
        asked: What the model has alone.
        given: What the scene has.
    """

    option: str
    asked: Value
    given: Value


def contact_options(spec: mujoco.MjSpec) -> dict[str, Value]:
    """Return the contact options of a model, by name; choices by MuJoCo's name, such as "mjCONE_ELLIPTIC"."""
    return {name: _value(name, getattr(spec.option, name)) for name in CONTACT_OPTIONS}


def contact_changes(venue: VenueTwin, *, skip_missing: bool = True) -> dict[str, tuple[ContactChange, ...]]:
    """Return by robot model what it asks for and does not get in the venue's shared scene; () for those that get all.

    Raises MissingModel for a model that is not on this machine, unless told to leave it out; BrokenModel.
    """
    given = contact_options(venue_spec(replace(venue, cells=(), units=())))
    found = {}
    for robot in sorted({unit.robot for unit in venue.units}):
        try:
            asked = contact_options(find(robot).mjspec(visuals=False, floor=False))
        except MissingModel:
            if skip_missing:
                continue
            raise
        found[robot] = tuple(
            ContactChange(name, asked[name], given[name]) for name in CONTACT_OPTIONS if asked[name] != given[name]
        )
    return found


def shared_scene(venue: VenueTwin, *, visuals: bool = False, skip_missing: bool = False) -> mujoco.MjSpec:
    """Return the whole venue as one scene that says what it changes: its text `contact_options` is JSON.

    `recorded_changes` reads it back, from a compiled model or one read from a file. Raises as `venue_spec`.
    """
    spec = venue_spec(venue, visuals=visuals, skip_missing=skip_missing)
    changes = {
        robot: [[change.option, change.asked, change.given] for change in found]
        for robot, found in contact_changes(venue, skip_missing=skip_missing).items()
    }
    spec.add_text(name=TEXT, data=json.dumps({"scene": contact_options(spec), "changed": changes}))
    return spec


def recorded_changes(model: mujoco.MjModel) -> dict[str, Any]:
    """Return what a shared scene says of its contact options: {"scene": ..., "changed": ...}; {} of other models."""
    i = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_TEXT, TEXT)
    if i < 0:
        return {}
    start, size = int(model.text_adr[i]), int(model.text_size[i])
    # The size counts C's final zero.
    return dict(json.loads(bytes(model.text_data[start : start + size - 1]).decode()))


def cell_worlds(venue: VenueTwin) -> Iterator[VenueTwin]:
    """Yield each cell as a small venue of its own: its floor with a margin, its fixtures, the units that stand in it.

    Then, as the last, what stands in no cell, if there is any, in a hall without cells. Together they hold each
    unit once; a unit at the edge of two cells is the first one's.
    """
    left = list(venue.units)
    for cell in venue.cells:
        its = [unit for unit in left if contains(cell.polygon, (unit.x_m, unit.y_m))]
        left = [unit for unit in left if unit not in its]
        yield _alone(venue, cell, its)
    if left:
        yield VenueTwin(
            f"{venue.id}-floor", f"{venue.name}, outside the cells", venue.width_m, venue.depth_m, (), tuple(left)
        )


def _alone(venue: VenueTwin, cell: CellTwin, units: Sequence[UnitTwin]) -> VenueTwin:
    """The cell, turned as it stands, in the middle of a floor that is just large enough."""
    xs, ys = zip(*cell.polygon, strict=True)
    width_m, depth_m = max(xs) - min(xs) + 2 * _FREE_M, max(ys) - min(ys) + 2 * _FREE_M
    dx, dy = width_m / 2 - cell.x_m, depth_m / 2 - cell.y_m
    return VenueTwin(
        f"{venue.id}-{cell.id}",
        f"{venue.name}: {cell.name or cell.id}",
        width_m,
        depth_m,
        (replace(cell, x_m=width_m / 2, y_m=depth_m / 2),),
        tuple(replace(unit, x_m=unit.x_m + dx, y_m=unit.y_m + dy) for unit in units),
    )


def _value(name: str, value: Any) -> Value:
    number = float(value)
    if name in _NAMES:
        return str(_NAMES[name](int(number)).name)
    return number if math.isfinite(number) else str(number)
