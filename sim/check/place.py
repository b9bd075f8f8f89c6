"""Where a venue's things stand: in the hall, in their zones, not on each other, not where people walk."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sim.check.finding import Key, nearest
from sim.errors import BrokenVenue
from sim.venue import cell_of, fixture_polygon
from sim.venues.areas import door_of, safety_of, shape_of
from sim.venues.polygon import Polygon, bounds, contains, overlap, overlapping, reach_m, rectangle

UNITS_APART_M = 0.2
"""No two robots of the catalogue can stand nearer, middle to middle."""
_TOLERANCE_M = 1e-6
FIXTURE_SLACK_M = 0.01
NO_ROBOTS = ("walkway",)

Found = Iterator[tuple[Key, str]]
Tables = Mapping[str, Any]


def misplaced(tables: Tables) -> Found:
    """Yield (key, reason) for what stands where it may not, of a file that fits its schema."""
    shapes: dict[Key, Polygon] = {}
    for kind in ("zone", "safety", "door"):
        for i, row in enumerate(tables.get(kind, ())):
            try:
                shapes[kind, i] = _shape(kind, row, tables)
            except BrokenVenue as error:
                yield (kind, i), str(error)
    shapes |= {("cell", i): _cell(row) for i, row in enumerate(tables.get("cell", ()))}
    yield from _outside(tables, shapes)
    yield from _zones(tables, shapes)
    yield from _fixtures(tables)
    yield from _on_each_other(tables, shapes)
    yield from _where_people_walk(tables, shapes)


def _shape(kind: str, row: Mapping[str, Any], tables: Tables) -> Polygon:
    where = f"[[{kind}]] {row['id']!r}"
    if kind == "door":
        door_of(row, where, tables["venue"]["width_m"], tables["venue"]["depth_m"])
        return ()
    return safety_of(row, where).polygon if kind == "safety" else shape_of(row, where)


def _cell(row: Mapping[str, Any]) -> Polygon:
    return rectangle(row["x_m"], row["y_m"], row["width_m"], row["depth_m"], row.get("yaw_deg", 0.0))


def _outside(tables: Tables, shapes: Mapping[Key, Polygon]) -> Found:
    """Cells and zones with all their corners, units and chargers with their middle."""
    width_m, depth_m = tables["venue"]["width_m"], tables["venue"]["depth_m"]
    for key, polygon in shapes.items():
        if not polygon:
            continue
        left, low, right, high = bounds(polygon)
        over_m = max(-left, -low, right - width_m, high - depth_m)
        if over_m > _TOLERANCE_M:
            name = f"{_words(key)} {_row(tables, key)['id']!r}"
            yield key, f"{name} reaches {over_m:.3g} m out of the hall of {width_m:g} x {depth_m:g} m"
    for kind in ("unit", "charger"):
        for i, row in enumerate(tables.get(kind, ())):
            if not (0 <= row["x_m"] <= width_m and 0 <= row["y_m"] <= depth_m):
                yield (kind, i), f"{kind} {row['id']!r} at ({row['x_m']:g}, {row['y_m']:g}) m is outside the hall"


def _zones(tables: Tables, shapes: Mapping[Key, Polygon]) -> Found:
    """What names a zone is in it, if the zone has a shape; zones with shapes share no floor."""
    of_zone = {row["id"]: shapes.get(("zone", i), ()) for i, row in enumerate(tables.get("zone", ()))}
    for kind in ("cell", "unit"):
        for i, row in enumerate(tables.get(kind, ())):
            name = row.get("zone", "")
            if not name:
                continue
            if name not in of_zone:
                yield (kind, i, "zone"), f"no [[zone]] {name!r}{nearest(name, of_zone)}"
            elif not of_zone[name]:
                continue
            elif kind == "cell":
                over_m = reach_m(of_zone[name], shapes["cell", i])
                if over_m > _TOLERANCE_M:
                    yield (kind, i), f"cell {row['id']!r} reaches {over_m:.3g} m out of its zone {name!r}"
            elif not contains(of_zone[name], (row["x_m"], row["y_m"])):
                yield (
                    (kind, i),
                    f"unit {row['id']!r} at ({row['x_m']:g}, {row['y_m']:g}) m is outside its zone {name!r}",
                )


def _fixtures(tables: Tables) -> Found:
    """What stands in a cell stands in it wholly."""
    for i, row in enumerate(tables.get("cell", ())):
        try:
            cell = cell_of(row, f"[[cell]] {row['id']!r}")
        except BrokenVenue as error:
            yield ("cell", i), str(error)
            continue
        for fixture in cell.fixtures:
            over_m = reach_m(cell.polygon, fixture_polygon(cell, fixture))
            if over_m > FIXTURE_SLACK_M:
                reason = (
                    f"a {fixture.kind} at ({fixture.x_m:g}, {fixture.y_m:g}) m reaches {over_m:.3g} m out of the cell"
                )
                yield ("cell", i, "fixtures"), reason


def _on_each_other(tables: Tables, shapes: Mapping[Key, Polygon]) -> Found:
    for kind in ("cell", "zone"):
        keys = [key for key, polygon in shapes.items() if key[0] == kind and polygon]
        for a, b in overlapping([shapes[key] for key in keys]):
            first, second = _row(tables, keys[a])["id"], _row(tables, keys[b])["id"]
            yield keys[b], f"{kind}s {first!r} and {second!r} share floor"
    places = sorted((row["x_m"], row["y_m"], i) for i, row in enumerate(tables.get("unit", ())))
    for at, (x, y, i) in enumerate(places):
        for other_x, other_y, j in places[at + 1 :]:
            if other_x - x >= UNITS_APART_M:
                break
            if math.hypot(other_x - x, other_y - y) < UNITS_APART_M:
                first, second = sorted((i, j))
                ids = [tables["unit"][k]["id"] for k in (first, second)]
                yield ("unit", second), f"units {ids[0]!r} and {ids[1]!r} stand on one place"


def _where_people_walk(tables: Tables, shapes: Mapping[Key, Polygon]) -> Found:
    ways = [(row["id"], shapes.get(("safety", i), ())) for i, row in enumerate(tables.get("safety", ()))
            if row["kind"] in NO_ROBOTS]  # fmt: skip
    for name, way in ways:
        if not way:
            continue
        left, low, right, high = bounds(way)
        for key, polygon in shapes.items():
            if key[0] == "cell" and overlap(way, polygon):
                yield key, f"cell {_row(tables, key)['id']!r} reaches into the walkway {name!r}"
        for kind in ("unit", "charger"):
            for i, row in enumerate(tables.get(kind, ())):
                x, y = row["x_m"], row["y_m"]
                # The edge itself is no place on the way.
                if left < x < right and low < y < high and overlap(way, rectangle(x, y, 0.01, 0.01)):
                    yield (kind, i), f"{kind} {row['id']!r} stands in the walkway {name!r}"


def _row(tables: Tables, key: Key) -> Mapping[str, Any]:
    rows: Sequence[Mapping[str, Any]] = tables[str(key[0])]
    return rows[int(key[1])]


def _words(key: Key) -> str:
    return "safety zone" if key[0] == "safety" else str(key[0])
