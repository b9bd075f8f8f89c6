"""What a venue's file must be as far as its floor goes, see `sim.venue`; tables of other processes are left to them."""

from collections.abc import Iterator, Mapping
from typing import Any

from sim.catalog import CONFIGS, robots
from sim.check.finding import Key, nearest
from sim.check.hours import wrong_hours
from sim.check.place import misplaced
from sim.check.schema import DIALECT, Schema, number, one_of, rows, table, text
from sim.errors import BrokenVenue
from sim.fixtures import FIXTURES
from sim.venue import MAX_SPAN_M, parse_venue
from sim.venues.areas import SAFETY_KINDS

_PLACE = {
    "x_m": number(-MAX_SPAN_M, MAX_SPAN_M, "to the right [m]"),
    "y_m": number(-MAX_SPAN_M, MAX_SPAN_M, "up the map [m]"),
    "yaw_deg": number(-360.0, 360.0, "about the vertical [degrees]"),
}
_SIDE = number(0.1, MAX_SPAN_M, "[m]")
_COUNT = {"type": "integer", "minimum": 0, "maximum": 100_000}
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
        "sector": text("of work"),
        "level": {"type": "integer", "minimum": 1, "maximum": 4, "description": "L1 fixed to L4 dynamic"},
        "zone": text("the [[zone]] that it lies in"),
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
        "zone": text("the [[zone]] that it stands in"),
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        **_PLACE,
    }
    hall = {
        "id": text("of the venue"),
        "width_m": _SIDE,
        "depth_m": _SIDE,
        "name": text("for people"),
        "time_zone": text("IANA name; hours are in its local time"),
        "seats": _COUNT,
        "chargers": {**_COUNT, "description": "how many; as many as [[charger]] tables, where there are any"},
    }
    corner = {"type": "array", "items": number(-MAX_SPAN_M, MAX_SPAN_M, "[m]"), "minItems": 2}
    shape = {**_PLACE, "width_m": _SIDE, "depth_m": _SIDE, "polygon": {"type": "array", "items": corner, "minItems": 3}}
    zone = {
        "id": text("unique among the zones"),
        "name": text("for people"),
        "exclusive": {"type": "boolean", "description": "whether its cells never run at once"},
        **shape,
    }
    safety = {
        "id": text("unique among the safety zones"),
        "name": text("for people"),
        "kind": one_of(SAFETY_KINDS, "who goes there"),
        "speed_max_m_s": number(0.05, 5.0, "of robots beside people [m/s]"),
        **shape,
    }
    door = {
        "id": text("unique among the doors"),
        "name": text("for people"),
        "emergency": {"type": "boolean", "description": "an emergency exit"},
        "x_m": _PLACE["x_m"],
        "y_m": _PLACE["y_m"],
        "width_m": number(0.5, 30.0, "[m]"),
    }
    charger = {"id": text("unique among the chargers"), **_PLACE}
    whole = {
        "venue": table(hall, required=("id", "width_m", "depth_m"), closed=False),
        "zone": rows(table(zone, required=["id"], closed=False)),
        "safety": rows(table(safety, required=["id", "kind"])),
        "door": rows(table(door, required=["id", "x_m", "y_m", "width_m"])),
        "charger": rows(table(charger, required=["id", "x_m", "y_m"])),
        "opening": rows(table(_hours(), required=["start", "end"])),
        "closure": rows(table({**_hours(), "stop_running": {"type": "boolean"}}, required=["start", "end"])),
        "cell": rows(table(cell, required=["id", "x_m", "y_m", "width_m", "depth_m"], closed=False)),
        "unit": rows(table(unit, required=["id", "robot", "x_m", "y_m"], closed=False)),
        "host": rows(table({"id": text("of the host")}, required=["id"], closed=False)),
        "vendor": rows(table({"id": text("of the vendor")}, required=["id"], closed=False)),
    }
    return {"$schema": DIALECT, "title": "A Palaestra venue", **table(whole, required=["venue"], closed=False)}


def _hours() -> dict[str, Schema]:
    names = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}
    scope = {key: {**names, "description": "where; none of the three: the whole venue"} for key in ("units", "cells")}
    time = {"description": "local time of the venue, such as 2026-01-05T08:00:00"}
    return {
        "name": text("for people"),
        "start": time,
        "end": time,
        "rrule": {"type": "string", "description": "recurrence of RFC 5545"},
        **scope,
        "zones": names,
    }


def mistakes(tables: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """Yield (key, reason) for what does not go together, of a file that fits its schema."""
    found = [*_misspelt(tables), *_twice(tables), *_hosts(tables), *_chargers(tables), *_scenarios(tables)]
    found += [*misplaced(tables), *wrong_hours(tables)]
    yield from found
    if not found:
        try:
            parse_venue(tables)
        except BrokenVenue as error:
            yield ("venue",), str(error)


def _misspelt(tables: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    known = schema()["properties"]
    for kind in ("venue", "cell", "unit", "zone"):
        whole = kind == "venue"
        fields = known[kind]["properties"] if whole else known[kind]["items"]["properties"]
        for i, row in enumerate([tables[kind]] if whole else tables.get(kind, ())):
            for name in row:
                close = "" if name in fields else nearest(name, set(fields) - set(row), closeness=TYPO)
                if close:
                    yield ((kind, name) if whole else (kind, i, name)), f"no such field{close}"


def _twice(tables: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    others = ((kind, "id") for kind in ("cell", "host", "vendor", "zone", "safety", "door", "charger"))
    for kind, field in (("unit", "id"), ("unit", "serial"), *others):
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


def _scenarios(tables: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """A venue may train what is its own; what is nearly one of ours, is misspelt."""
    known = {path.stem for path in (CONFIGS / "scenarios").rglob("*.toml")}
    for i, row in enumerate(tables.get("cell", ())):
        name = row.get("scenario", "")
        close = "" if not name or name in known else nearest(name, known, closeness=TYPO)
        if close:
            yield ("cell", i, "scenario"), f"no scenario {name!r}{close}"


def _chargers(tables: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    told, placed = tables["venue"].get("chargers"), len(tables.get("charger", ()))
    if placed and told is not None and told != placed:
        yield ("venue", "chargers"), f"{told}, but there are {placed} [[charger]] tables"
