"""The scheduler's settings: one venue file, read once at the start, checked here and nowhere else."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from database.address import is_url
from scheduler import calendar, leadership, toml, tree
from scheduler.calendar import Scope, Window
from scheduler.care import Care
from scheduler.decay import HALF_LIFE_S
from scheduler.party import Group, Party, Project, Vendor, group_of, parties_of, project_of, vendor_of
from scheduler.quota import Quotas, quotas_of
from scheduler.rates import Rate
from scheduler.state import Amounts, Config
from scheduler.tls import Tls, tls_of
from scheduler.toml import BadConfiguration

__all__ = ["BadConfiguration", "Cell", "Party", "Settings", "Unit", "Venue", "Zone", "settings_of"]


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
    # The one host that serves it; empty: any.
    host: str = ""


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
        return parties_of(self.groups, self.vendors, self.projects)


@dataclass(frozen=True)
class Settings:
    """Scheduler settings of a venue file's [scheduler] table, all optional."""

    venue: Venue
    # How long a lease lives without a heartbeat. Long enough to outlive a restart of the scheduler.
    lease_ttl_s: float = 10.0
    queued_jobs_max: int = 20_000
    # What each vendor may take of the service.
    rate: Rate = field(default_factory=Rate)
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
    # "postgresql://..." instead of the file in the data folder (docs/postgres.md); empty: the file.
    database: str = ""
    # How to decide; every decision is kept with what it was made on, as many as this, so that it can be made again.
    deciding: Config = field(default_factory=Config)
    decisions_kept: int = 1_000
    # How long a leader that does nothing is waited for by a standby.
    leader_ttl_s: float = leadership.TTL_S
    # How much of the store each vendor may have, a table of its own.
    quotas: Quotas = field(default_factory=Quotas)
    # The way in for those from elsewhere, a table of its own.
    tls: Tls = field(default_factory=Tls)

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
    floor = toml.table(tables, "venue", source)
    name = toml.id(floor, source, "[venue]")
    venue = Venue(
        id=name,
        name=toml.text(floor, "name", name, source, "[venue]"),
        width_m=toml.positive(floor.get("width_m", 20.0), source, "[venue] width_m"),
        depth_m=toml.positive(floor.get("depth_m", 12.0), source, "[venue] depth_m"),
        seats=toml.count(floor.get("seats", 0), source, "[venue] seats"),
        chargers=_chargers(tables, floor, source),
        vendors=tuple(vendor_of(table, source) for table in toml.tables(tables, "vendor", source)),
        cells=tuple(_cell(table, source) for table in toml.tables(tables, "cell", source)),
        units=tuple(_unit(table, source) for table in toml.tables(tables, "unit", source)),
        care=_care(toml.table(tables, "bodies", source), source),
        groups=tuple(group_of(table, source) for table in toml.tables(tables, "group", source)),
        projects=tuple(project_of(table, source) for table in toml.tables(tables, "project", source)),
        time_zone=toml.text(floor, "time_zone", "UTC", source, "[venue]"),
        zones=tuple(_zone(table, source) for table in toml.tables(tables, "zone", source)),
        windows=(
            *(_window(table, source, "opening") for table in toml.tables(tables, "opening", source)),
            *(_window(table, source, "closure") for table in toml.tables(tables, "closure", source)),
        ),
    )
    kinds = (("vendor", venue.vendors), ("cell", venue.cells), ("unit", venue.units), ("zone", venue.zones))
    for what, things in kinds:
        toml.distinct([thing.id for thing in things], source, what)
    _check_calendar(venue, source)
    if not venue.vendors:
        raise BadConfiguration(f"{source}: a venue needs at least one [[vendor]]")
    _check_tree(venue, tables, source)
    settings = _settings(venue, toml.table(tables, "scheduler", source), source)
    quotas = quotas_of(tables, frozenset(vendor.id for vendor in venue.vendors), source)
    return replace(settings, quotas=quotas, tls=tls_of(toml.table(tables, "tls", source), source))


def _chargers(tables: Mapping[str, Any], floor: Mapping[str, Any], source: str) -> int:
    """Return how many there are: those that the file places, or a number where it places none."""
    placed = len(toml.tables(tables, "charger", source))
    told = toml.count(floor.get("chargers", placed), source, "[venue] chargers")
    if placed and told != placed:
        raise BadConfiguration(f"{source}: [venue] chargers is {told}, but there are {placed} [[charger]] tables")
    return told


# Defaults of [scheduler] that are positive numbers; of these, whole ones.
POSITIVE = {
    "lease_ttl_s": 10.0, "queued_jobs_max": 20_000, "events_kept": 500_000, "reservation_max_s": 7 * 86_400.0,
    "reservation_horizon_s": 30 * 86_400.0, "reservations_max": 200, "reservation_grace_s": 900.0,
    "usage_half_life_s": HALF_LIFE_S, "preempt_grace_s": 10.0, "calls_per_s": 5_000.0, "calls_burst_s": 2.0,
    "calls_under_way_max": 512, "leader_ttl_s": leadership.TTL_S,
}  # fmt: skip
WHOLE = ("queued_jobs_max", "events_kept", "reservations_max", "calls_under_way_max")
OTHERS = ("database", "sim_first", "sim_first_success_min", "targets_period_s", "decisions_kept")
# What of `Config` a venue may set, by what it must be.
DECIDING: Mapping[str, Any] = {
    "hold_after_s": toml.positive, "reservations": toml.count, "flow_max_s": toml.positive, "preempt": toml.choice,
    "preempt_after_s": toml.not_negative, "runtime_min_s": toml.not_negative, "preempt_period_s": toml.not_negative,
}  # fmt: skip


def _database(table: Mapping[str, Any], source: str) -> str:
    url = toml.text(table, "database", "", source, "[scheduler]")
    if url and not is_url(url):
        raise BadConfiguration(f"{source}: [scheduler] database must be postgresql://...; a file needs no setting")
    return url


def _settings(venue: Venue, table: Mapping[str, Any], source: str) -> Settings:
    """Return the settings of a [scheduler] table."""
    # Whether a standby is started is the supervisor's concern.
    known = [*POSITIVE, *OTHERS, *DECIDING, "standby"]
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise BadConfiguration(f"{source}: [scheduler] has no {unknown[0]}; it has {', '.join(known)}")
    values: dict[str, Any] = {
        key: toml.positive(table.get(key, default), source, f"[scheduler] {key}") for key, default in POSITIVE.items()
    }
    for key in WHOLE:
        if values[key] != int(values[key]):
            raise BadConfiguration(f"{source}: [scheduler] {key} is {values[key]}, must be whole")
        values[key] = int(values[key])
    rate = Rate(values.pop("calls_per_s"), values.pop("calls_burst_s"), values.pop("calls_under_way_max"))
    deciding = {key: check(table[key], source, f"[scheduler] {key}") for key, check in DECIDING.items() if key in table}
    return Settings(
        venue,
        **values,
        database=_database(table, source),
        rate=rate,
        sim_first=toml.choice(table.get("sim_first", False), source, "[scheduler] sim_first"),
        sim_first_success_min=toml.fraction(
            table.get("sim_first_success_min", 0.5), source, "[scheduler] sim_first_success_min"
        ),
        targets_period_s=toml.not_negative(table.get("targets_period_s", 0.0), source, "[scheduler] targets_period_s"),
        deciding=Config(**deciding),
        decisions_kept=toml.count(table.get("decisions_kept", 1_000), source, "[scheduler] decisions_kept"),
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
            values[key] = toml.not_negative(value, source, what)
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


def _check_tree(venue: Venue, tables: Mapping[str, Any], source: str) -> None:
    """Raise BadConfiguration for a tree of groups, vendors and projects that cannot be."""
    inner: tuple[Group | Vendor, ...] = (*venue.groups, *venue.vendors)
    toml.distinct([each.id for each in inner], source, "group or vendor")
    toml.distinct([f"{each.vendor}/{each.id}" for each in venue.projects], source, "project")
    vendors, groups = {each.id for each in venue.vendors}, {each.id for each in venue.groups}
    for project in venue.projects:
        if project.vendor not in vendors:
            raise BadConfiguration(f"{source}: project {project.id}: {project.vendor!r} is no vendor")
    for each in inner:
        if each.parent and each.parent not in groups:
            raise BadConfiguration(f"{source}: {each.id}: parent {each.parent!r} is no group")
    # Units may come with their hosts and slots with the runner: a file that names none says nothing of their number.
    slots = toml.table(tables, "runner", source).get("sim_slots", math.inf)
    there = Amounts(len(venue.units) or math.inf, slots, len(venue.cells))
    wrong = tree.problem([party.node for party in venue.parties], there)
    if wrong is not None:
        raise BadConfiguration(f"{source}: {wrong}")


def _cell(table: Mapping[str, Any], source: str) -> Cell:
    name = toml.id(table, source, "cell")
    what = f"cell {name}"
    level = table.get("level", 1)
    if type(level) is not int or level not in (1, 2, 3, 4):
        raise BadConfiguration(f"{source}: {what}: level is {level!r}, must be 1 to 4")
    return Cell(
        id=name,
        name=toml.text(table, "name", name, source, what),
        scenario=toml.text(table, "scenario", "", source, what),
        sector=toml.text(table, "sector", "", source, what),
        level=level,
        width_m=toml.positive(table.get("width_m", 2.0), source, f"{what}: width_m"),
        depth_m=toml.positive(table.get("depth_m", 2.0), source, f"{what}: depth_m"),
        zone=toml.text(table, "zone", "", source, what),
        **_pose(table, source, what),
    )


def _unit(table: Mapping[str, Any], source: str) -> Unit:
    name = toml.id(table, source, "unit")
    what = f"unit {name}"
    robot = toml.text(table, "robot", "", source, what)
    if not robot:
        raise BadConfiguration(f"{source}: {what} needs a robot, an id of the catalogue")
    labels = toml.table(table, "labels", source)
    for key in labels:
        toml.text(labels, key, "", source, f"{what}: labels")
    rest = {
        key: toml.not_negative(table[key], source, f"{what}: {key}")
        for key in ("rest_fraction", "rest_s")
        if key in table
    }
    zone = toml.text(table, "zone", "", source, what)
    host = toml.text(table, "host", "", source, what)
    return Unit(name, robot, labels=labels, zone=zone, host=host, **_pose(table, source, what), **rest)


def _zone(table: Mapping[str, Any], source: str) -> Zone:
    name = toml.id(table, source, "zone")
    return Zone(name, toml.flag(table, "exclusive", source, f"zone {name}"))


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
        name=toml.text(table, "name", kind, source, what),
        start=toml.local_time(table, "start", source, what),
        end=toml.local_time(table, "end", source, what),
        rrule=toml.text(table, "rrule", "", source, what),
        scope=Scope(*(toml.names(table, key, source, what) for key in ("units", "cells", "zones"))),
        opens=kind == "opening",
        stop_running=toml.flag(table, "stop_running", source, what),
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
        "x_m": toml.finite(table.get("x_m", 0.0), source, f"{what}: x_m"),
        "y_m": toml.finite(table.get("y_m", 0.0), source, f"{what}: y_m"),
        "yaw_rad": math.radians(toml.finite(table.get("yaw_deg", 0.0), source, f"{what}: yaw_deg")),
    }
