"""Makes up venues of any size: halls full of cells, robots of every maker, vendors, opening hours.

For tests and trials of what must bear a city: the scheduler, the console. Pure and deterministic: the same numbers give
the same tables, on every machine. What comes out has the form of `configs/venues/*.toml` and passes its check.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sim.errors import BrokenVenue
from sim.venues.table import MAX_SPAN_M

Tables = dict[str, Any]

UNITS_MAX, VENUES_MAX = 100_000, 100
UNITS_OF_CELL, UNITS_OF_CHARGER, UNITS_OF_HOST = 4, 10, 50
"""So many share a cell, a charger, a host at most."""
_CELL_W_M, _CELL_D_M, _GAP_M, _WAY_M, _EDGE_M = 6.0, 5.0, 1.0, 2.4, 1.5
LEVELS = (1, 2, 3, 4)

SECTORS: tuple[str, ...] = (
    "manufacturing", "inspection and analysis", "maintenance", "warehousing and logistics", "catering and retail",
    "medical care and rehabilitation", "emergency rescue", "disaster prevention and mitigation",
)  # fmt: skip
TASKS: Mapping[str, tuple[str, ...]] = {
    "manufacturing": ("bench-assembly", "line-feeding", "machine-start", "clamp-closing", "housing-cleaning"),
    "inspection and analysis": ("patrol-inspection", "gauge-reading", "board-inspection", "probe-test",
                                "sample-sorting"),
    "maintenance": ("breaker-switching", "valve-turning", "plug-changing", "sensor-cleaning", "cabinet-opening"),
    "warehousing and logistics": ("shelf-picking", "parcel-sorting", "tote-transport", "aisle-passing",
                                  "stock-counting"),
    "catering and retail": ("dish-serving", "table-wiping", "coffee-button", "shelf-restocking", "drawer-opening"),
    "medical care and rehabilitation": ("ward-delivery", "back-support", "medicine-handing", "massage-press",
                                        "wound-camera"),
    "emergency rescue": ("rescue-stairs", "rubble-crossing", "victim-search", "ramp-access", "gas-shutoff"),
    "disaster prevention and mitigation": ("hose-crossing", "dike-slope", "sluice-opening", "hydrant-check",
                                           "alarm-button"),
}  # fmt: skip
"""What is trained, by sector: ids of scenarios."""

_FIXTURES: Mapping[str, tuple[str, ...]] = {
    "manufacturing": ("bench", "conveyor"), "inspection and analysis": ("shelf", "ramp"),
    "maintenance": ("bench", "shelf"), "warehousing and logistics": ("shelf", "conveyor"),
    "catering and retail": ("bench", "shelf"), "medical care and rehabilitation": ("bench", "crate"),
    "emergency rescue": ("stairs", "crate"), "disaster prevention and mitigation": ("crate", "ramp"),
}  # fmt: skip
_VENDORS = (
    "aurora", "borealis", "cygnus", "dorado", "eridanus", "fornax", "grus", "hydra", "indus", "lyra", "mensa", "norma",
)  # fmt: skip


@dataclass(frozen=True)
class Scenario:
    """What is trained in a cell, at one level."""

    id: str
    sector: str
    level: int


@dataclass(frozen=True)
class Robot:
    """A model of the catalogue, for whoever makes up halls."""

    id: str
    robot_class: str


def scenarios(count: int) -> tuple[Scenario, ...]:
    """Return `count` scenarios: the tasks of all sectors at level 1, then at level 2, and so on.

    Raises BrokenVenue if there are not so many.
    """
    found = [Scenario(task, sector, level) for level in LEVELS for sector in SECTORS for task in TASKS[sector]]
    if not 1 <= count <= len(found):
        raise BrokenVenue(f"scenarios: {count} is not from 1 to {len(found)}, all tasks at {len(LEVELS)} levels")
    return tuple(found[:count])


def city(units: int, plays: Sequence[Scenario], venues: int, robots: Sequence[Robot], *, seed: int) -> list[Tables]:
    """Return the tables of `venues` halls with `units` robots between them and every scenario in some cell.

    Raises BrokenVenue, naming the number that cannot be.
    """
    for name, value, most in (("units", units, UNITS_MAX), ("venues", venues, VENUES_MAX)):
        if not 1 <= value <= most:
            raise BrokenVenue(f"{name}: {value} is not from 1 to {most}")
    if units < venues:
        raise BrokenVenue(f"units: {units} do not fill {venues} venues")
    if not robots or not plays:
        raise BrokenVenue("a city needs robots and scenarios")
    chance = random.Random(seed)
    order = list(plays)
    chance.shuffle(order)
    # One number for all: a robot's serial and a cell's scenario go on where the hall before ended.
    found, first_unit, first_cell = [], 0, 0
    for i in range(venues):
        here = units // venues + (i < units % venues)
        cells = max(math.ceil(here / UNITS_OF_CELL), len(plays) // venues + (i < len(plays) % venues))
        its = [order[(first_cell + k) % len(order)] for k in range(cells)]
        found.append(_hall(i, here, its, robots, first_unit, chance))
        first_unit, first_cell = first_unit + here, first_cell + cells
    return found


def merged(halls: Sequence[Tables], *, gap_m: float = 20.0) -> Tables:
    """Return several halls as one venue, side by side: for a scheduler that is to bear them all.

    Ids of cells, zones, hosts and so on get the hall's id before them; units' are the city's already. Doors are left
    out, for there are no walls between the halls. Raises BrokenVenue if they do not fit into one venue's floor.
    """
    columns = math.ceil(math.sqrt(len(halls)))
    wide = max(hall["venue"]["width_m"] for hall in halls) + gap_m
    deep = max(hall["venue"]["depth_m"] for hall in halls) + gap_m
    rows = math.ceil(len(halls) / columns)
    whole: Tables = {
        "venue": {
            "id": "city", "name": "City of all halls",
            "width_m": round(columns * wide - gap_m, 3), "depth_m": round(rows * deep - gap_m, 3),
            "time_zone": halls[0]["venue"]["time_zone"], "seats": sum(hall["venue"]["seats"] for hall in halls),
        },
        **{key: halls[0][key] for key in ("ports", "scheduler", "runner", "vendor")},
    }  # fmt: skip
    if max(whole["venue"]["width_m"], whole["venue"]["depth_m"]) > MAX_SPAN_M:
        raise BrokenVenue(f"venues: {len(halls)} halls side by side are wider than {MAX_SPAN_M:g} m")
    for i, hall in enumerate(halls):
        x_m, y_m, name = (i % columns) * wide, (i // columns) * deep, hall["venue"]["id"]
        for kind in ("host", "zone", "safety", "opening", "closure", "charger", "cell", "unit"):
            whole.setdefault(kind, []).extend(_moved(row, kind, name, x_m, y_m) for row in hall[kind])
    return whole


def _moved(row: Tables, kind: str, hall: str, x_m: float, y_m: float) -> Tables:
    moved = dict(row)
    if "x_m" in row:
        moved |= {"x_m": round(row["x_m"] + x_m, 3), "y_m": round(row["y_m"] + y_m, 3)}
    if kind != "unit" and "id" in row:
        moved["id"] = f"{hall}-{row['id']}"
    for key in ("zone", "host"):
        if key in row:
            moved[key] = f"{hall}-{row[key]}"
    if kind in ("opening", "closure"):
        moved["name"] = f"{hall}, {row['name']}"
        # Of the whole hall: of all its zones, for the venue is wider now.
        moved["zones"] = [f"{hall}-{zone}" for zone in row["zones"]]
    return moved


def _hall(
    number: int, units: int, plays: Sequence[Scenario], robots: Sequence[Robot], first: int, chance: random.Random
) -> Tables:
    """One hall: rows of cells sorted by sector, a walkway after every second row, a zone for each row of cells."""
    its = sorted(plays, key=lambda play: (play.sector, play.id, play.level))
    columns = max(1, round(math.sqrt(len(its) * 1.2)))
    rows = math.ceil(len(its) / columns)
    width_m = round(2 * _EDGE_M + columns * (_CELL_W_M + _GAP_M) - _GAP_M, 3)
    pitch_m = _CELL_D_M + _GAP_M
    depth_m = round(2 * _EDGE_M + rows * pitch_m - _GAP_M + (rows // 2) * _WAY_M, 3)
    hall: Tables = {
        "venue": {
            "id": f"hall-{number + 1}", "name": f"Hall {number + 1}", "width_m": width_m, "depth_m": depth_m,
            "time_zone": "Asia/Shanghai", "seats": max(1, units // 50),
        },
        "ports": {"scheduler": 0, "api": 0},
        "scheduler": {"lease_ttl_s": 10.0, "queued_jobs_max": 20_000},
        "runner": {"sim_slots": 2, "warm_workers": 2, "ray_cpus": 2},
        "vendor": [{"id": name, "name": name.capitalize(), "weight": 1.0 + i % 3} for i, name in enumerate(_VENDORS)],
        "host": [{"id": f"host-{i + 1}"} for i in range(math.ceil(units / UNITS_OF_HOST))],
        "zone": [], "safety": [], "door": [], "charger": [], "opening": [], "closure": [], "cell": [], "unit": [],
    }  # fmt: skip
    per_cell = [units // len(its) + (k < units % len(its)) for k in range(len(its))]
    placed = 0
    for row in range(rows):
        y_m = round(_EDGE_M + row * pitch_m + (row // 2) * _WAY_M + _CELL_D_M / 2, 3)
        if row % 2 == 1 and row < rows - 1:
            hall["safety"].append({
                "id": f"way-{row // 2 + 1}", "name": "Walkway", "kind": "walkway", "x_m": width_m / 2,
                "y_m": round(y_m + _CELL_D_M / 2 + (_GAP_M + _WAY_M) / 2, 3), "width_m": width_m, "depth_m": _WAY_M,
            })  # fmt: skip
            hall["door"] += [
                {"id": f"door-{row // 2 + 1}-{side}", "x_m": x_m, "y_m": hall["safety"][-1]["y_m"], "width_m": 1.8,
                 "emergency": bool(x_m)}
                for side, x_m in (("west", 0.0), ("east", width_m))
            ]  # fmt: skip
        in_row = its[row * columns : (row + 1) * columns]
        zone = f"row-{row + 1}"
        hall["zone"].append({
            "id": zone, "name": in_row[0].sector.capitalize(), "x_m": width_m / 2, "y_m": y_m,
            "width_m": width_m - _EDGE_M, "depth_m": _CELL_D_M + 0.6,
        })  # fmt: skip
        for column, play in enumerate(in_row):
            index = row * columns + column
            x_m = _EDGE_M + column * (_CELL_W_M + _GAP_M) + _CELL_W_M / 2
            hall["cell"].append(_cell(index, play, zone, x_m, y_m, chance))
            for k in range(per_cell[index]):
                robot = _robot(play.sector, robots, chance)
                hall["unit"].append(_unit(first + placed, robot, zone, placed, x_m, y_m, k, per_cell[index]))
                placed += 1
    chargers = max(1, units // UNITS_OF_CHARGER)
    # Along the west wall, beside the zones, where there is no door.
    for i in range(chargers):
        along = (i + 0.5) / chargers * depth_m
        hall["charger"].append(
            {"id": f"charger-{i + 1}", "x_m": 0.4, "y_m": round(_off_the_ways(along, hall["safety"]), 3)}
        )
    _hours(hall, number)
    return hall


def _off_the_ways(y_m: float, ways: Sequence[Mapping[str, Any]]) -> float:
    for way in ways:
        if abs(y_m - way["y_m"]) <= way["depth_m"] / 2:
            return float(way["y_m"] + way["depth_m"] / 2 + 0.3)
    return y_m


def _cell(index: int, play: Scenario, zone: str, x_m: float, y_m: float, chance: random.Random) -> Tables:
    kind = chance.choice(_FIXTURES.get(play.sector, ("bench",)))
    of_kind: dict[str, Tables] = {"conveyor": {"length_m": 3.0}, "stairs": {"steps": 4}}
    x = {"stairs": -0.6, "ramp": -0.5}.get(kind, round(chance.uniform(-1.2, 1.2), 2))
    return {
        "id": f"cell-{index + 1}", "name": f"{play.id.replace('-', ' ').capitalize()} {index + 1}", "scenario": play.id,
        "sector": play.sector, "level": play.level, "zone": zone, "x_m": x_m, "y_m": y_m, "width_m": _CELL_W_M,
        "depth_m": _CELL_D_M, "fixtures": [{"kind": kind, "x_m": x, "y_m": 1.5, **of_kind.get(kind, {})}],
    }  # fmt: skip


_CLASSES: Mapping[str, tuple[str, ...]] = {
    "manufacturing": ("arm", "dual_arm", "humanoid"), "inspection and analysis": ("quadruped", "humanoid"),
    "maintenance": ("arm", "humanoid"), "warehousing and logistics": ("humanoid", "mobile_base"),
    "catering and retail": ("humanoid", "dual_arm", "mobile_base"),
    "medical care and rehabilitation": ("humanoid", "dual_arm"), "emergency rescue": ("quadruped", "humanoid"),
    "disaster prevention and mitigation": ("quadruped",),
}  # fmt: skip


def _robot(sector: str, robots: Sequence[Robot], chance: random.Random) -> Robot:
    fitting = [robot for robot in robots if robot.robot_class in _CLASSES.get(sector, ())]
    return chance.choice(fitting or list(robots))


def _unit(serial: int, robot: Robot, zone: str, placed: int, x_m: float, y_m: float, k: int, of_cell: int) -> Tables:
    step_m = (_CELL_W_M - 0.6) / max(of_cell, 1)
    return {
        "id": f"u{serial + 1:06d}", "serial": f"SN-{serial + 1:06d}", "robot": robot.id,
        "host": f"host-{placed // UNITS_OF_HOST + 1}", "zone": zone,
        "x_m": round(x_m + (k - (of_cell - 1) / 2) * step_m, 3), "y_m": round(y_m - 1.5, 3), "yaw_deg": 90.0,
    }  # fmt: skip


def _hours(hall: Tables, number: int) -> None:
    """Working days for all; every third hall has a night shift, so that not all close at once."""
    zones = [zone["id"] for zone in hall["zone"]]
    end = datetime(2026, 1, 5, 22) if number % 3 == 2 else datetime(2026, 1, 5, 19)
    hall["opening"].append({
        "name": "working days", "start": datetime(2026, 1, 5, 7), "end": end, "zones": zones,
        "rrule": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA",
    })  # fmt: skip
    day = 5 + number % 7
    hall["closure"].append({
        "name": "inspection", "start": datetime(2026, 1, day, 7), "end": datetime(2026, 1, day, 9),
        "rrule": "FREQ=MONTHLY;INTERVAL=1", "zones": zones[:1],
    })  # fmt: skip
