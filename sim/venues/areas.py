"""What lies on a venue's floor beside cells and units: zones, safety zones, doors, chargers.

    [[zone]]     id; optional name, exclusive (the scheduler's: cells of it never run at once), and a shape
    [[safety]]   id, kind, a shape; optional name, speed_max_m_s
    [[door]]     id, x_m, y_m (on a wall), width_m; optional name, emergency (false)
    [[charger]]  id, x_m, y_m; optional yaw_deg (0)

A shape is a rectangle, x_m, y_m (centre), width_m, depth_m, optional yaw_deg, or `polygon = [[x, y], ...]`, three
corners or more [m].

Kinds of safety zones, in the words of ISO 10218-1 and -2 (industrial robots, safety) and ISO 3691-4 (driverless
trucks): `safeguarded` (the safeguarded space: robots work, no people while they do), `collaborative` (the collaborative
workspace: people beside robots that go no faster than speed_max_m_s), `restricted` (the restricted zone: trained people
alone), `walkway` (people walk; no cell, no unit). They are what a plan shows and `palaestra check` looks at, and no
safety function: what stops a robot near people is a rated device of the hall.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sim.errors import BrokenVenue
from sim.venues.polygon import NEAR_M, Polygon, area_m2, crosses_itself, rectangle
from sim.venues.table import Table

SAFETY_KINDS = ("safeguarded", "collaborative", "restricted", "walkway")
CORNERS_MAX = 100
LEAST_M2 = 0.01


@dataclass(frozen=True)
class ZoneTwin:
    """A part of the floor by name. No shape: a name alone, that cells and units belong to."""

    id: str
    name: str = ""
    exclusive: bool = False
    polygon: Polygon = ()


@dataclass(frozen=True)
class SafetyZone:
    """Where people and robots go, one of `SAFETY_KINDS`; 0 m/s: no limit told."""

    id: str
    kind: str
    polygon: Polygon
    name: str = ""
    speed_max_m_s: float = 0.0


@dataclass(frozen=True)
class Door:
    """A gap in a wall, its middle on the wall's line."""

    id: str
    x_m: float
    y_m: float
    width_m: float
    name: str = ""
    emergency: bool = False


@dataclass(frozen=True)
class Charger:
    """A place to charge at."""

    id: str
    x_m: float
    y_m: float
    yaw_deg: float = 0.0


def shape_of(row: Mapping[str, Any], where: str) -> Polygon:
    """Return a row's shape, () where it has none. Raises BrokenVenue naming `where`."""
    table = Table(row, where)
    corners = row.get("polygon")
    sides = [key for key in ("width_m", "depth_m") if key in row]
    if corners is None and not sides:
        return ()
    if corners is None:
        return rectangle(
            table.number("x_m"), table.number("y_m"), table.length("width_m"), table.length("depth_m"),
            table.number("yaw_deg", 0.0),
        )  # fmt: skip
    if sides:
        raise BrokenVenue(f"{where}: a polygon has no {sides[0]}: one shape or the other")
    if not isinstance(corners, list) or not 3 <= len(corners) <= CORNERS_MAX:
        raise BrokenVenue(f"{where}: polygon must be a list of 3 to {CORNERS_MAX} corners, [[x, y], ...] in metres")
    found = []
    for i, corner in enumerate(corners):
        if not isinstance(corner, list) or len(corner) != 2:
            raise BrokenVenue(f"{where}: polygon[{i}] = {corner!r} is no [x, y] in metres")
        point = Table({"x": corner[0], "y": corner[1]}, f"{where} polygon[{i}]")
        found.append((point.number("x"), point.number("y")))
    polygon = tuple(found)
    if crosses_itself(polygon):
        raise BrokenVenue(f"{where}: its polygon crosses itself")
    if area_m2(polygon) < LEAST_M2:
        raise BrokenVenue(f"{where}: its polygon has no area")
    return polygon


def zone_of(row: Mapping[str, Any], where: str) -> ZoneTwin:
    """Read one [[zone]]. Raises BrokenVenue."""
    table = Table(row, where)
    return ZoneTwin(table.text("id"), table.text("name", ""), table.flag("exclusive"), shape_of(row, where))


def safety_of(row: Mapping[str, Any], where: str) -> SafetyZone:
    """Read one [[safety]]. Raises BrokenVenue."""
    table = Table(row, where)
    kind = table.text("kind")
    if kind not in SAFETY_KINDS:
        close = difflib.get_close_matches(kind, SAFETY_KINDS, n=1, cutoff=0.3) or SAFETY_KINDS
        raise BrokenVenue(f"{where}: no kind {kind!r} of safety zone; did you mean {', '.join(close)}?")
    polygon = shape_of(row, where)
    if not polygon:
        raise BrokenVenue(f"{where}: a safety zone needs a shape: x_m, y_m, width_m, depth_m, or polygon")
    speed_m_s = table.number("speed_max_m_s", 0.0)
    if speed_m_s < 0.0 or (kind == "collaborative" and speed_m_s <= 0.0):
        raise BrokenVenue(f"{where}: a collaborative zone needs speed_max_m_s above 0, it is {speed_m_s:g}")
    return SafetyZone(table.text("id"), kind, polygon, table.text("name", ""), speed_m_s)


def door_of(row: Mapping[str, Any], where: str, width_m: float, depth_m: float) -> Door:
    """Read one [[door]] of a hall of that size. Raises BrokenVenue, too if it is on no wall."""
    table = Table(row, where)
    door = Door(
        table.text("id"), table.number("x_m"), table.number("y_m"), table.length("width_m"),
        table.text("name", ""), table.flag("emergency"),
    )  # fmt: skip
    half = door.width_m / 2
    along = (
        (door.x_m, width_m) if min(door.y_m, abs(depth_m - door.y_m)) <= NEAR_M and door.y_m >= -NEAR_M
        else (door.y_m, depth_m) if min(abs(door.x_m), abs(width_m - door.x_m)) <= NEAR_M
        else None
    )  # fmt: skip
    if along is None or not half - NEAR_M <= along[0] <= along[1] - half + NEAR_M:
        raise BrokenVenue(f"{where}: a door's middle is on a wall, and all of it within; ({door.x_m}, {door.y_m})")
    return door


def charger_of(row: Mapping[str, Any], where: str) -> Charger:
    """Read one [[charger]]. Raises BrokenVenue."""
    table = Table(row, where)
    return Charger(table.text("id"), table.number("x_m"), table.number("y_m"), table.number("yaw_deg", 0.0))
