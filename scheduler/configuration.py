"""The scheduler's settings: one venue file, read once at the start, checked here and nowhere else."""

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from scheduler import calendar, state, tree
from scheduler.calendar import Scope, Window
from scheduler.care import Care
from scheduler.decay import HALF_LIFE_S
from scheduler.health import VENUE_VENDOR
from scheduler.state import EVERYTHING, NOTHING, Amounts
from scheduler.tree import FIELDS, REST

COUNT_MAX = 100_000


class BadConfiguration(Exception):
    """A venue file that cannot be used; the message names file, table and field."""


@dataclass(frozen=True)
class Group:
    """Vendors, or groups of them, that share what they are due. `parent`: a group."""

    id: str
    parent: str = ""
    weight: float = 1.0
    guarantee: Amounts = NOTHING
    limit: Amounts = EVERYTHING


@dataclass(frozen=True)
class Vendor:
    """`starts_per_hour` and `leases_max`: None for no limit."""

    id: str
    name: str = ""
    weight: float = 1.0
    parent: str = ""
    guarantee: Amounts = NOTHING
    limit: Amounts = EVERYTHING
    starts_per_hour: int | None = None
    leases_max: int | None = None


@dataclass(frozen=True)
class Project:
    """A part of a vendor's work with a share of its own."""

    id: str
    vendor: str
    weight: float = 1.0
    guarantee: Amounts = NOTHING
    limit: Amounts = EVERYTHING


@dataclass(frozen=True)
class Party:
    """A node of the tree; of a leaf, which owns jobs, `vendor` and `project` say whose. A group has no vendor."""

    node: state.Vendor
    vendor: str = ""
    project: str = ""
    leaf: bool = False
    starts_per_hour: int | None = None


@dataclass(frozen=True)
class Cell:
    id: str
    name: str = ""
    scenario: str = ""
    sector: str = ""
    level: int = 1
    x_m: float = 0.0
    y_m: float = 0.0
    yaw_rad: float = 0.0
    width_m: float = 2.0
    depth_m: float = 2.0
    zone: str = ""


@dataclass(frozen=True)
class Zone:
    """A part of the floor. In an exclusive one, cells never run at once."""

    id: str
    exclusive: bool = False


@dataclass(frozen=True)
class Unit:
    """Where a unit stands; what it is, its host tells."""

    id: str
    robot_model: str
    x_m: float = 0.0
    y_m: float = 0.0
    yaw_rad: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    # Its own rules for resting after work, None for those of the venue.
    rest_fraction: float | None = None
    rest_s: float | None = None
    zone: str = ""


@dataclass(frozen=True)
class Venue:
    id: str
    name: str = ""
    width_m: float = 20.0
    depth_m: float = 12.0
    # Operators' seats and chargers, which have numbers and no names.
    seats: int = 0
    chargers: int = 0
    vendors: tuple[Vendor, ...] = ()
    cells: tuple[Cell, ...] = ()
    units: tuple[Unit, ...] = ()
    # IANA name; opening hours and closures recur in its local time.
    time_zone: str = "UTC"
    zones: tuple[Zone, ...] = ()
    windows: tuple[Window, ...] = ()
    care: Care = field(default_factory=Care)
    groups: tuple[Group, ...] = ()
    projects: tuple[Project, ...] = ()

    @property
    def parties(self) -> tuple[Party, ...]:
        """The tree between whose nodes the venue is shared."""
        divided = {project.vendor for project in self.projects}
        found = [Party(_node(group.id, group.parent, group)) for group in self.groups]
        for vendor in self.vendors:
            node = replace(_node(vendor.id, vendor.parent, vendor), leases_max=_or_infinite(vendor.leases_max))
            found.append(Party(node, vendor.id, leaf=vendor.id not in divided, starts_per_hour=vendor.starts_per_hour))
            if vendor.id in divided:
                found.append(Party(state.Vendor(f"{vendor.id}/{REST}", parent=vendor.id), vendor.id, leaf=True))
        for project in self.projects:
            node = _node(f"{project.vendor}/{project.id}", project.vendor, project)
            found.append(Party(node, project.vendor, project.id, leaf=True))
        return tuple(found)


def _node(name: str, parent: str, share: Group | Vendor | Project) -> state.Vendor:
    return state.Vendor(name, share.weight, parent=parent, guarantee=share.guarantee, limit=share.limit)


def _or_infinite(value: int | None) -> float:
    return math.inf if value is None else value


@dataclass(frozen=True)
class Settings:
    """Scheduler settings of a venue file's [scheduler] table, all optional."""

    venue: Venue
    # How long a lease lives without a heartbeat. Long enough to outlive a restart of the scheduler.
    lease_ttl_s: float = 10.0
    # After this wait, a blocked job's start is planned, and nothing may start that would delay it.
    hold_after_s: float = 30.0
    queued_jobs_max: int = 20_000
    # Watchers that fall further behind must list again. About 1 kB each on the disk.
    events_kept: int = 500_000
    # Advance reservations: how long and how far ahead they may be, how many of a vendor may be open, and how long after
    # its start one is kept for jobs that do not come.
    reservation_max_s: float = 7 * 86_400.0
    reservation_horizon_s: float = 30 * 86_400.0
    reservations_max: int = 200
    reservation_grace_s: float = 900.0
    # Every job's work must have passed in simulation before it may reach units, whether the job asks for that or not.
    sim_first: bool = False
    # What counts as passed: the lower end of the 95 % interval of the success rate.
    sim_first_success_min: float = 0.5
    # After so long past use counts half; see `scheduler.decay`.
    usage_half_life_s: float = HALF_LIFE_S
    # How long what must make room for others may take to end in good order.
    preempt_grace_s: float = 10.0
    # How often target shares are computed from measured speeds; 0: never (`scheduler.targets`).
    targets_period_s: float = 0.0

    @classmethod
    def load(cls, path: Path) -> "Settings":
        """Read a venue file. Raises BadConfiguration."""
        try:
            tables = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise BadConfiguration(f"{path}: {error}") from error
        return settings_of(tables, str(path))


def settings_of(tables: Mapping[str, Any], source: str) -> Settings:
    """Return the settings of a parsed venue file. Raises BadConfiguration, naming `source`.

    The file is also other processes' file: what they alone understand is left to them.
    """
    floor = _table(tables, "venue", source)
    name = _id(floor, source, "[venue]")
    venue = Venue(
        id=name,
        name=_text(floor, "name", name, source, "[venue]"),
        width_m=_positive(floor.get("width_m", 20.0), source, "[venue] width_m"),
        depth_m=_positive(floor.get("depth_m", 12.0), source, "[venue] depth_m"),
        seats=_count(floor.get("seats", 0), source, "[venue] seats"),
        chargers=_count(floor.get("chargers", 0), source, "[venue] chargers"),
        vendors=tuple(_vendor(table, source) for table in _tables(tables, "vendor", source)),
        cells=tuple(_cell(table, source) for table in _tables(tables, "cell", source)),
        units=tuple(_unit(table, source) for table in _tables(tables, "unit", source)),
        care=_care(_table(tables, "bodies", source), source),
        groups=tuple(_group(table, source) for table in _tables(tables, "group", source)),
        projects=tuple(_project(table, source) for table in _tables(tables, "project", source)),
        time_zone=_text(floor, "time_zone", "UTC", source, "[venue]"),
        zones=tuple(_zone(table, source) for table in _tables(tables, "zone", source)),
        windows=(
            *(_window(table, source, "opening") for table in _tables(tables, "opening", source)),
            *(_window(table, source, "closure") for table in _tables(tables, "closure", source)),
        ),
    )
    kinds = (("vendor", venue.vendors), ("cell", venue.cells), ("unit", venue.units), ("zone", venue.zones))
    for what, things in kinds:
        _distinct([thing.id for thing in things], source, what)
    _check_calendar(venue, source)
    if not venue.vendors:
        raise BadConfiguration(f"{source}: a venue needs at least one [[vendor]]")
    _check_tree(venue, tables, source)
    own = {
        "lease_ttl_s": 10.0, "hold_after_s": 30.0, "queued_jobs_max": 20_000, "events_kept": 500_000,
        "reservation_max_s": 7 * 86_400.0, "reservation_horizon_s": 30 * 86_400.0, "reservations_max": 200,
        "reservation_grace_s": 900.0, "usage_half_life_s": HALF_LIFE_S, "preempt_grace_s": 10.0,
    }  # fmt: skip
    table = _table(tables, "scheduler", source)
    known = [*own, "sim_first", "sim_first_success_min", "targets_period_s"]
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise BadConfiguration(f"{source}: [scheduler] has no {unknown[0]}; it has {', '.join(known)}")
    values = {key: _positive(table.get(key, default), source, f"[scheduler] {key}") for key, default in own.items()}
    targets_period_s = _not_negative(table.get("targets_period_s", 0.0), source, "[scheduler] targets_period_s")
    for key in ("queued_jobs_max", "events_kept", "reservations_max"):
        if values[key] != int(values[key]):
            raise BadConfiguration(f"{source}: [scheduler] {key} is {values[key]}, must be whole")
    return Settings(
        venue,
        lease_ttl_s=values["lease_ttl_s"],
        hold_after_s=values["hold_after_s"],
        queued_jobs_max=int(values["queued_jobs_max"]),
        events_kept=int(values["events_kept"]),
        reservation_max_s=values["reservation_max_s"],
        reservation_horizon_s=values["reservation_horizon_s"],
        reservations_max=int(values["reservations_max"]),
        reservation_grace_s=values["reservation_grace_s"],
        sim_first=_choice(table.get("sim_first", False), source, "[scheduler] sim_first"),
        sim_first_success_min=_fraction(
            table.get("sim_first_success_min", 0.5), source, "[scheduler] sim_first_success_min"
        ),
        usage_half_life_s=values["usage_half_life_s"],
        preempt_grace_s=values["preempt_grace_s"],
        targets_period_s=targets_period_s,
    )


def _care(table: Mapping[str, Any], source: str) -> Care:
    """Return the rules of a [bodies] table."""
    known = asdict(Care())
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise BadConfiguration(f"{source}: [bodies] has no {unknown[0]}; it has {', '.join(known)}")
    values: dict[str, Any] = {}
    for key, value in table.items():
        what = f"[bodies] {key}"
        if isinstance(known[key], bool):
            if not isinstance(value, bool):
                raise BadConfiguration(f"{source}: {what} is {value!r}, must be true or false")
            values[key] = value
        elif isinstance(known[key], int):
            if type(value) is not int or value < 0:
                raise BadConfiguration(f"{source}: {what} is {value!r}, must be a whole number, 0 or more")
            values[key] = value
        else:
            values[key] = _not_negative(value, source, what)
    care = Care(**values)
    if care.reserve >= 1.0:
        raise BadConfiguration(f"{source}: [bodies] reserve is {care.reserve:g}, must be below 1")
    if care.charge_below > 1.0:
        raise BadConfiguration(f"{source}: [bodies] charge_below is {care.charge_below:g}, must be at most 1")
    if care.faults_max < 1:
        raise BadConfiguration(f"{source}: [bodies] faults_max is {care.faults_max}, must be 1 or more")
    if care.check_duration_s < 1.0:
        raise BadConfiguration(f"{source}: [bodies] check_duration_s is {care.check_duration_s:g}, must be 1 or more")
    return care


def _vendor(table: Mapping[str, Any], source: str) -> Vendor:
    name = _id(table, source, "vendor")
    if name == VENUE_VENDOR:
        raise BadConfiguration(f"{source}: no vendor may be called {name}; that name is the venue's own")
    what = f"vendor {name}"
    return Vendor(
        name,
        _text(table, "name", name, source, what),
        parent=_text(table, "parent", "", source, what),
        starts_per_hour=_whole(table["starts_per_hour"], source, f"{what}: starts_per_hour")
        if "starts_per_hour" in table
        else None,
        leases_max=_whole(table["leases_max"], source, f"{what}: leases_max") if "leases_max" in table else None,
        **_share(table, source, what),
    )


def _group(table: Mapping[str, Any], source: str) -> Group:
    name = _id(table, source, "group")
    what = f"group {name}"
    return Group(name, _text(table, "parent", "", source, what), **_share(table, source, what))


def _project(table: Mapping[str, Any], source: str) -> Project:
    name = _id(table, source, "project")
    what = f"project {name}"
    if name == REST:
        raise BadConfiguration(f"{source}: {what}: {REST!r} stands for what a vendor does outside of its projects")
    return Project(name, _text(table, "vendor", "", source, what), **_share(table, source, what))


def _share(table: Mapping[str, Any], source: str, what: str) -> dict[str, Any]:
    return {
        "weight": _positive(table.get("weight", 1.0), source, f"{what}: weight"),
        "guarantee": _amounts(table, "guarantee", NOTHING, source, what),
        "limit": _amounts(table, "limit", EVERYTHING, source, what),
    }


def _amounts(table: Mapping[str, Any], key: str, default: Amounts, source: str, what: str) -> Amounts:
    """Return a table such as { units = 4, cells = 1 }; what it leaves out is as in the default."""
    found = _table(table, key, source)
    for name, amount in found.items():
        if name not in FIELDS:
            raise BadConfiguration(f"{source}: {what}: {key} has no {name}; it has {', '.join(FIELDS)}")
        _whole(amount, source, f"{what}: {key} {name}", least=0)
    return Amounts(*(float(found.get(name, getattr(default, name))) for name in FIELDS))


def _check_tree(venue: Venue, tables: Mapping[str, Any], source: str) -> None:
    """Raise BadConfiguration for a tree of groups, vendors and projects that cannot be."""
    inner: tuple[Group | Vendor, ...] = (*venue.groups, *venue.vendors)
    _distinct([each.id for each in inner], source, "group or vendor")
    _distinct([f"{each.vendor}/{each.id}" for each in venue.projects], source, "project")
    vendors, groups = {each.id for each in venue.vendors}, {each.id for each in venue.groups}
    for project in venue.projects:
        if project.vendor not in vendors:
            raise BadConfiguration(f"{source}: project {project.id}: {project.vendor!r} is no vendor")
    for each in inner:
        if each.parent and each.parent not in groups:
            raise BadConfiguration(f"{source}: {each.id}: parent {each.parent!r} is no group")
    # Units may come with their hosts and slots with the runner: a file that names none says nothing of their number.
    slots = _table(tables, "runner", source).get("sim_slots", math.inf)
    there = Amounts(len(venue.units) or math.inf, slots, len(venue.cells))
    wrong = tree.problem([party.node for party in venue.parties], there)
    if wrong is not None:
        raise BadConfiguration(f"{source}: {wrong}")


def _cell(table: Mapping[str, Any], source: str) -> Cell:
    name = _id(table, source, "cell")
    what = f"cell {name}"
    level = table.get("level", 1)
    if type(level) is not int or level not in (1, 2, 3, 4):
        raise BadConfiguration(f"{source}: {what}: level is {level!r}, must be 1 to 4")
    return Cell(
        id=name,
        name=_text(table, "name", name, source, what),
        scenario=_text(table, "scenario", "", source, what),
        sector=_text(table, "sector", "", source, what),
        level=level,
        width_m=_positive(table.get("width_m", 2.0), source, f"{what}: width_m"),
        depth_m=_positive(table.get("depth_m", 2.0), source, f"{what}: depth_m"),
        zone=_text(table, "zone", "", source, what),
        **_pose(table, source, what),
    )


def _unit(table: Mapping[str, Any], source: str) -> Unit:
    name = _id(table, source, "unit")
    what = f"unit {name}"
    robot = _text(table, "robot", "", source, what)
    if not robot:
        raise BadConfiguration(f"{source}: {what} needs a robot, an id of the catalogue")
    labels = _table(table, "labels", source)
    for key in labels:
        _text(labels, key, "", source, f"{what}: labels")
    rest = {
        key: _not_negative(table[key], source, f"{what}: {key}") for key in ("rest_fraction", "rest_s") if key in table
    }
    zone = _text(table, "zone", "", source, what)
    return Unit(name, robot, labels=labels, zone=zone, **_pose(table, source, what), **rest)


def _zone(table: Mapping[str, Any], source: str) -> Zone:
    name = _id(table, source, "zone")
    return Zone(name, _flag(table, "exclusive", source, f"zone {name}"))


def _window(table: Mapping[str, Any], source: str, kind: str) -> Window:
    """Return an [[opening]] or a [[closure]]. Its scope is checked with the whole venue."""
    what = f"{kind} {table.get('name', '')!r}"
    known = {"name", "start", "end", "rrule", "units", "cells", "zones"} | (
        {"stop_running"} if kind == "closure" else set()
    )
    unknown = sorted(set(table) - known)
    if unknown:
        raise BadConfiguration(f"{source}: {what} has no {unknown[0]}; it has {', '.join(sorted(known))}")
    return Window(
        name=_text(table, "name", kind, source, what),
        start=_local_time(table, "start", source, what),
        end=_local_time(table, "end", source, what),
        rrule=_text(table, "rrule", "", source, what),
        scope=Scope(*(_names(table, key, source, what) for key in ("units", "cells", "zones"))),
        opens=kind == "opening",
        stop_running=_flag(table, "stop_running", source, what),
    )


def _check_calendar(venue: Venue, source: str) -> None:
    """Raise BadConfiguration for an unknown time zone or place, a window that cannot be, and what would never open."""
    try:
        zone = ZoneInfo(venue.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadConfiguration(
            f"{source}: [venue] time_zone is {venue.time_zone!r}, not an IANA name such as Asia/Shanghai"
        ) from None
    zones = {zone.id for zone in venue.zones}
    for what, place in [("unit", unit) for unit in venue.units] + [("cell", cell) for cell in venue.cells]:
        if place.zone and place.zone not in zones:
            raise BadConfiguration(f"{source}: {what} {place.id}: zone {place.zone!r} is none of the [[zone]] tables")
    known = {("venue", "")} | {("zone", name) for name in zones}
    known |= {("unit", unit.id) for unit in venue.units} | {("cell", cell.id) for cell in venue.cells}
    for window in venue.windows:
        what = f"{'opening' if window.opens else 'closure'} {window.name!r}"
        for target in window.scope.targets():
            if target not in known:
                raise BadConfiguration(f"{source}: {what}: there is no {target[0]} {target[1]!r}")
        try:
            calendar.check(window, zone)
        except calendar.BadCalendar as error:
            raise BadConfiguration(f"{source}: {what}: {error}") from None
    zones_of = {("unit", unit.id): unit.zone for unit in venue.units}
    zones_of |= {("cell", cell.id): cell.zone for cell in venue.cells}
    never = calendar.never_open(venue.windows, zone, zones_of)
    if never is not None:
        raise BadConfiguration(f"{source}: by its openings and closures, {never}")


def _pose(table: Mapping[str, Any], source: str, what: str) -> dict[str, float]:
    return {
        "x_m": _finite(table.get("x_m", 0.0), source, f"{what}: x_m"),
        "y_m": _finite(table.get("y_m", 0.0), source, f"{what}: y_m"),
        "yaw_rad": math.radians(_finite(table.get("yaw_deg", 0.0), source, f"{what}: yaw_deg")),
    }


def _table(tables: Mapping[str, Any], key: str, source: str) -> Mapping[str, Any]:
    found = tables.get(key, {})
    if not isinstance(found, Mapping):
        raise BadConfiguration(f"{source}: {key} is {found!r}, must be a table")
    return found


def _tables(tables: Mapping[str, Any], key: str, source: str) -> list[Mapping[str, Any]]:
    found = tables.get(key, [])
    if not isinstance(found, list) or not all(isinstance(table, Mapping) for table in found):
        raise BadConfiguration(f"{source}: {key} is {found!r}, must be tables: [[{key}]]")
    return found


def _text(table: Mapping[str, Any], key: str, default: str, source: str, what: str) -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise BadConfiguration(f"{source}: {what}: {key} is {value!r}, not a text")
    return value


def _flag(table: Mapping[str, Any], key: str, source: str, what: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise BadConfiguration(f"{source}: {what}: {key} is {value!r}, not true or false")
    return value


def _names(table: Mapping[str, Any], key: str, source: str, what: str) -> frozenset[str]:
    """Return a list of names. An empty one is refused: it would not mean nothing but the whole venue."""
    value = table.get(key)
    if value is None:
        return frozenset()
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise BadConfiguration(f"{source}: {what}: {key} is {value!r}, not a list of names")
    return frozenset(value)


def _local_time(table: Mapping[str, Any], key: str, source: str, what: str) -> datetime:
    value = table.get(key)
    if not isinstance(value, datetime) or value.tzinfo is not None:
        raise BadConfiguration(
            f"{source}: {what}: {key} is {value!r}, not a local time of the venue such as 2026-01-05T08:00:00"
        )
    return value.replace(microsecond=0)


def _id(table: Mapping[str, Any], source: str, what: str) -> str:
    name = table.get("id", "")
    if not isinstance(name, str) or not re.fullmatch("[a-z0-9-]+", name):
        raise BadConfiguration(f"{source}: {what}: id is {name!r}; lower-case letters, digits and hyphens are allowed")
    return name


def _finite(value: Any, source: str, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadConfiguration(f"{source}: {what} is {value!r}, not a finite number")
    return float(value)


def _positive(value: Any, source: str, what: str) -> float:
    number = _finite(value, source, what)
    if number <= 0:
        raise BadConfiguration(f"{source}: {what} is {value!r}, must be positive")
    return number


def _count(value: Any, source: str, what: str) -> int:
    if type(value) is not int or not 0 <= value <= COUNT_MAX:
        raise BadConfiguration(f"{source}: {what} is {value!r}, must be a whole number from 0 to {COUNT_MAX}")
    return value


def _fraction(value: Any, source: str, what: str) -> float:
    number = _finite(value, source, what)
    if not 0 <= number <= 1:
        raise BadConfiguration(f"{source}: {what} is {value!r}, must be from 0 to 1")
    return number


def _choice(value: Any, source: str, what: str) -> bool:
    if not isinstance(value, bool):
        raise BadConfiguration(f"{source}: {what} is {value!r}, must be true or false")
    return value


def _not_negative(value: Any, source: str, what: str) -> float:
    number = _finite(value, source, what)
    if number < 0:
        raise BadConfiguration(f"{source}: {what} is {value!r}, must not be negative")
    return number


def _whole(value: Any, source: str, what: str, *, least: int = 1) -> int:
    if type(value) is not int or value < least:
        raise BadConfiguration(f"{source}: {what} is {value!r}, must be a whole number of at least {least}")
    return value


def _distinct(ids: list[str], source: str, what: str) -> None:
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise BadConfiguration(f"{source}: {what} {', '.join(twice)} occurs twice")
