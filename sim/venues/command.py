"""`python -m sim venues`: list the venue files, show one, draw its plan, make up a city."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim.catalog import CONFIGS, robots
from sim.check.finding import nearest
from sim.errors import BrokenVenue, SimError
from sim.listing import print_table
from sim.venue import VenueTwin, load_venue
from sim.venues.city import LEVELS, Robot, city, merged, scenarios
from sim.venues.document import toml
from sim.venues.plan import plan_svg
from sim.venues.polygon import area_m2
from sim.venues.worlds import contact_changes

VENUES_FOLDER = CONFIGS / "venues"


def main(arguments: Sequence[str]) -> int:
    """Carry out one verb; 2 where what was asked for cannot be done."""
    given = _parser().parse_args(arguments)
    try:
        return run(given)
    except (SimError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sim venues", description="Venues as data.")
    parser.add_argument("--json", action="store_true")
    commands = parser.add_subparsers(dest="verb")
    shown = commands.add_parser(
        "show", help="one venue: its zones, cells, robots, hours, and what sharing a scene changes"
    )
    shown.add_argument("venue", help="its id, or a file ending in .toml")
    shown.add_argument("--json", action="store_true")
    plan = commands.add_parser("plan", help="draw the floor plan")
    plan.add_argument("venue", help="its id, or a file ending in .toml")
    plan.add_argument("out", type=Path, help="SVG file to write")
    made = commands.add_parser("generate", help="make up a city of venues, for tests and trials")
    made.add_argument("--units", type=int, default=10_000, help="robots in all venues together (10,000)")
    made.add_argument("--scenarios", type=int, default=100, help="tasks at levels, each in some cell (100)")
    made.add_argument("--venues", type=int, default=7, help="halls (7)")
    made.add_argument("--seed", type=int, default=1, help="the same seed makes the same city (1)")
    made.add_argument("out", type=Path, help="folder: one file for each hall, and city.toml with all as one venue")
    return parser


def run(given: argparse.Namespace) -> int:
    """Carry out one verb. Raises BrokenVenue, MissingModel, BrokenModel, OSError."""
    if given.verb == "show":
        _show(_load(given.venue), as_json=given.json)
    elif given.verb == "plan":
        classes = {entry.id: entry.robot_class for entry in robots()}
        given.out.write_text(plan_svg(_load(given.venue), classes), encoding="utf-8")
        print(given.out)
    elif given.verb == "generate":
        _generate(given.units, given.scenarios, given.venues, given.seed, given.out)
    else:
        _list(as_json=given.json)
    return 0


def _load(name: str) -> VenueTwin:
    if name.endswith(".toml"):
        return load_venue(Path(name))
    known = sorted(path.stem for path in VENUES_FOLDER.glob("*.toml"))
    if name not in known:
        raise BrokenVenue(
            f"no venue {name!r}{nearest(name, known)}; there are {', '.join(known)}, or name a .toml file"
        )
    return load_venue(VENUES_FOLDER / f"{name}.toml")


def _facts(venue: VenueTwin) -> dict[str, Any]:
    catalogue = {entry.id: entry for entry in robots()}
    models = Counter(unit.robot for unit in venue.units)
    return {
        "id": venue.id,
        "name": venue.name,
        "width_m": venue.width_m,
        "depth_m": venue.depth_m,
        "zones": len(venue.zones),
        "cells": len(venue.cells),
        "scenarios": len({cell.scenario for cell in venue.cells if cell.scenario}),
        "units": len(venue.units),
        "makers": len({catalogue[robot].maker for robot in models if robot in catalogue}),
        "chargers": len(venue.chargers),
        "robots": {
            robot: {"units": count, "model_here": robot in catalogue and catalogue[robot].available()}
            for robot, count in sorted(models.items())
        },
    }


def _list(*, as_json: bool) -> None:
    venues = [_facts(load_venue(path)) for path in sorted(VENUES_FOLDER.glob("*.toml"))]
    if as_json:
        print(json.dumps({"venues": venues}, indent=2))
        return
    columns = ("zones", "cells", "scenarios", "units", "makers", "chargers")
    rows = [("id", "name", "floor", *columns)]
    rows += [(v["id"], v["name"], _floor(v), *(str(v[column]) for column in columns)) for v in venues]
    print_table(rows)


def _floor(facts: dict[str, Any]) -> str:
    return f"{facts['width_m']:g} m x {facts['depth_m']:g} m"


def _show(venue: VenueTwin, *, as_json: bool) -> None:
    facts = _facts(venue)
    changes = contact_changes(venue)
    if as_json:
        facts |= {
            "zone_list": [{"id": z.id, "name": z.name, "exclusive": z.exclusive,
                           "area_m2": area_m2(z.polygon) if z.polygon else None} for z in venue.zones],
            "safety": [{"id": s.id, "kind": s.kind, "area_m2": area_m2(s.polygon),
                        "speed_max_m_s": s.speed_max_m_s or None} for s in venue.safety],
            "cell_list": [{"id": c.id, "name": c.name, "scenario": c.scenario, "zone": c.zone} for c in venue.cells],
            "contact_changes": {robot: [[c.option, c.asked, c.given] for c in found]
                                for robot, found in changes.items()},
        }  # fmt: skip
        print(json.dumps(facts, indent=2))
        return
    for key in ("id", "name"):
        print(f"{key:10} {facts[key]}")
    print(f"{'floor':10} {_floor(facts)}")
    print(f"{'chargers':10} {facts['chargers']}\n")
    if venue.zones:
        print_table([("zone", "name", "area", "one cell at a time"), *(
            (z.id, z.name, f"{area_m2(z.polygon):.0f} m2" if z.polygon else "-", "yes" if z.exclusive else "no")
            for z in venue.zones
        )])  # fmt: skip
        print()
    if venue.safety:
        print_table([("safety zone", "kind", "area", "at most"), *(
            (s.id, s.kind, f"{area_m2(s.polygon):.0f} m2", f"{s.speed_max_m_s:g} m/s" if s.speed_max_m_s else "-")
            for s in venue.safety
        )])  # fmt: skip
        print()
    print_table([("cell", "name", "scenario", "zone"), *((c.id, c.name, c.scenario, c.zone) for c in venue.cells)])
    print()
    rows = [("robot", "units", "model", "in the venue's one scene")]
    for robot, found in facts["robots"].items():
        model = "here" if found["model_here"] else "missing"
        changed = "; ".join(f"{c.option} {c.given} for {c.asked}" for c in changes.get(robot, ()))
        rows.append((robot, str(found["units"]), model, changed or ("-" if robot not in changes else "as alone")))
    print_table(rows)


def _generate(units: int, count: int, venues: int, seed: int, out: Path) -> None:
    models = [Robot(entry.id, entry.robot_class) for entry in robots()]
    halls = city(units, scenarios(count), venues, models, seed=seed)
    out.mkdir(parents=True, exist_ok=True)
    made = (
        f"Made up: python -m sim venues generate --units {units} --scenarios {count} --venues {venues} --seed {seed}\n"
        f"{count} scenarios are tasks at up to {len(LEVELS)} levels."
    )
    for tables in [*halls, merged(halls)]:
        path = out / f"{tables['venue']['id']}.toml"
        path.write_text(toml(tables, comment=made), encoding="utf-8")
        print(f"{path}: {len(tables['unit']):,} units, {len(tables['cell']):,} cells")
