"""What a venue's file must be as far as its floor goes, see `sim.venue`; tables of other processes are left to them."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from sim.catalog import robots
from sim.check.finding import Key, nearest
from sim.check.schema import DIALECT, Schema, number, one_of, rows, table, text
from sim.errors import BrokenVenue
from sim.venue import FIXTURES, MAX_SPAN_M, parse_venue

_PLACE = {
    "x_m": number(-MAX_SPAN_M, MAX_SPAN_M, "to the right [m]"),
    "y_m": number(-MAX_SPAN_M, MAX_SPAN_M, "up the map [m]"),
    "yaw_deg": number(-360.0, 360.0, "about the vertical [degrees]"),
}
_SIDE = number(0.1, MAX_SPAN_M, "[m]")
TYPO = 0.8
"""An unknown field this close to a known one is a misspelt one; others belong to other processes."""


def schema() -> Schema:
    """Return the JSON Schema of `configs/venues/*.toml`."""
    known = tuple(entry.id for entry in robots())
    sizes = {key: number(-100.0, 100.0, "size of its kind") for kind in FIXTURES.values() for key in kind.size}
    fixture = table(
        {**sizes, **_PLACE, "kind": one_of(tuple(FIXTURES), "what stands there")}, required=["kind", "x_m", "y_m"]
    )
    cell = {
        "id": text("unique among the cells"),
        "name": text("for people"),
        "scenario": text("what is trained there"),
        **_PLACE,
        "width_m": _SIDE,
        "depth_m": _SIDE,
        "fixtures": rows(fixture),
    }
    unit = {
        "id": text("serial number, unique among the units"),
        "serial": text("the maker's serial number, unique among the units"),
        "robot": one_of(known, "robot model of the catalogue"),
        "host": text("who serves it"),
        **_PLACE,
    }
    hall = {"id": text("of the venue"), "name": text("for people"), "width_m": _SIDE, "depth_m": _SIDE}
    whole = {
        "venue": table(hall, required=tuple(k for k in hall if k != "name"), closed=False),
        "cell": rows(table(cell, required=["id", "x_m", "y_m", "width_m", "depth_m"], closed=False)),
        "unit": rows(table(unit, required=["id", "robot", "x_m", "y_m"], closed=False)),
        "host": rows(table({"id": text("of the host")}, required=["id"], closed=False)),
        "vendor": rows(table({"id": text("of the vendor")}, required=["id"], closed=False)),
    }
    return {"$schema": DIALECT, "title": "A Palaestra venue", **table(whole, required=["venue"], closed=False)}


def mistakes(tables: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """Yield (key, reason) for what does not go together, of a file that fits its schema."""
    found = [*_misspelt(tables), *_twice(tables), *_hosts(tables), *_outside(tables)]
    yield from found
    if not found:
        try:
            parse_venue(tables)
        except BrokenVenue as error:
            yield ("venue",), str(error)


def _misspelt(tables: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    known = schema()["properties"]
    for kind in ("venue", "cell", "unit"):
        whole = kind == "venue"
        fields = known[kind]["properties"] if whole else known[kind]["items"]["properties"]
        for i, row in enumerate([tables[kind]] if whole else tables.get(kind, ())):
            for name in row:
                close = "" if name in fields else nearest(name, set(fields) - set(row), closeness=TYPO)
                if close:
                    yield ((kind, name) if whole else (kind, i, name)), f"no such field{close}"


def _twice(tables: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    for kind, field in (("unit", "id"), ("unit", "serial"), ("cell", "id"), ("host", "id"), ("vendor", "id")):
        first: dict[str, int] = {}
        for i, row in enumerate(tables.get(kind, ())):
            if field not in row:
                continue
            value = row[field]
            if value in first:
                what = "serial number" if kind == "unit" else field
                yield (kind, i, field), f"two {kind}s have the {what} {value!r}: this one and number {first[value] + 1}"
            first.setdefault(value, i)


def _hosts(tables: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    hosts = [row["id"] for row in tables.get("host", ())]
    for i, row in enumerate(tables.get("unit", ())):
        host = row.get("host")
        if host and hosts and host not in hosts:
            yield ("unit", i, "host"), f"no [[host]] {host!r}{nearest(host, hosts)}"


def _outside(tables: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """Cells with all their corners, units with their middle."""
    width_m, depth_m = tables["venue"]["width_m"], tables["venue"]["depth_m"]
    for i, row in enumerate(tables.get("cell", ())):
        yaw = math.radians(row.get("yaw_deg", 0.0))
        half_x = 0.5 * (abs(math.cos(yaw)) * row["width_m"] + abs(math.sin(yaw)) * row["depth_m"])
        half_y = 0.5 * (abs(math.sin(yaw)) * row["width_m"] + abs(math.cos(yaw)) * row["depth_m"])
        over_m = max(half_x - row["x_m"], row["x_m"] + half_x - width_m, half_y - row["y_m"])
        over_m = max(over_m, row["y_m"] + half_y - depth_m)
        if over_m > 1e-6:
            yield (
                ("cell", i),
                f"cell {row['id']!r} reaches {over_m:.3g} m out of the hall of {width_m:g} x {depth_m:g} m",
            )
    for i, row in enumerate(tables.get("unit", ())):
        if not (0 <= row["x_m"] <= width_m and 0 <= row["y_m"] <= depth_m):
            yield ("unit", i), f"unit {row['id']!r} at ({row['x_m']:g}, {row['y_m']:g}) m is outside the hall"
