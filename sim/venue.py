"""A venue's twin: the hall, its cells with their fixtures, its robots at their places, in one MuJoCo scene.

It is built from the tables of a venue file (`configs/venues/*.toml`) that concern the floor; the others
are left to those who need them. Lengths are in metres, angles in degrees about the vertical, x to the
right and y up the map, origin in the lower left corner.

    [venue]    id, name, width_m, depth_m
    [[cell]]   id, x_m, y_m (centre), width_m, depth_m; optional name, scenario, yaw_deg (0)
               fixtures = [{ kind, x_m, y_m }, ...] relative to the cell's centre; optional yaw_deg (0)
               and the sizes of its kind, see FIXTURES
    [[unit]]   id, robot (catalogue id), x_m, y_m; optional yaw_deg (0), host, serial

[[zone]], [[safety]], [[door]] and [[charger]] are described in `sim.venues.areas`; a cell or unit may name its `zone`.

Robots are attached with the prefix `<unit id>/`. In a shared scene the scene's contact options hold for
all robots: a model that asks for others (elliptic cones, say) behaves slightly differently here than alone.
`sim.venues.worlds.contact_options` tells which, and the scene carries it as a text; there, too, is how a venue becomes
one scene for each cell.
"""

import difflib
import math
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from sim.catalog import find
from sim.errors import BrokenVenue, MissingModel
from sim.fixtures import FIXTURES as FIXTURES
from sim.fixtures import footprint
from sim.model import PHYSICS_PERIOD_S, use_keyframe
from sim.venues.areas import Charger, Door, SafetyZone, ZoneTwin, charger_of, door_of, safety_of, zone_of
from sim.venues.polygon import Polygon, rectangle
from sim.venues.table import MAX_SPAN_M as MAX_SPAN_M
from sim.venues.table import Table

WALL_HEIGHT_M = 1.1
_CONCRETE = (0.72, 0.73, 0.75, 1.0)
_LINE = (0.95, 0.75, 0.10, 1.0)


@dataclass(frozen=True)
class Fixture:
    """A thing that stands in a cell. `size` overrides the default sizes of its kind."""

    kind: str
    x_m: float
    y_m: float
    yaw_deg: float = 0.0
    size: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class CellTwin:
    """One workplace: a marked rectangle with fixtures."""

    id: str
    x_m: float
    y_m: float
    width_m: float
    depth_m: float
    yaw_deg: float = 0.0
    name: str = ""
    scenario: str = ""
    fixtures: tuple[Fixture, ...] = ()
    zone: str = ""
    sector: str = ""

    @property
    def polygon(self) -> Polygon:
        """Its corners on the floor."""
        return rectangle(self.x_m, self.y_m, self.width_m, self.depth_m, self.yaw_deg)


@dataclass(frozen=True)
class UnitTwin:
    """One robot and where it stands."""

    id: str
    robot: str
    x_m: float
    y_m: float
    yaw_deg: float = 0.0
    host: str = ""
    zone: str = ""


@dataclass(frozen=True)
class VenueTwin:
    """A venue as far as its floor is concerned."""

    id: str
    name: str
    width_m: float
    depth_m: float
    cells: tuple[CellTwin, ...]
    units: tuple[UnitTwin, ...]
    zones: tuple[ZoneTwin, ...] = ()
    safety: tuple[SafetyZone, ...] = ()
    doors: tuple[Door, ...] = ()
    chargers: tuple[Charger, ...] = ()


def fixture_polygon(cell: CellTwin, fixture: Fixture) -> Polygon:
    """Return the floor that a fixture of a cell stands on."""
    (start, end), half = footprint(fixture.kind, {**FIXTURES[fixture.kind].size, **fixture.size})
    yaw, turn = math.radians(cell.yaw_deg), math.radians(fixture.yaw_deg)

    def on_floor(x: float, y: float) -> tuple[float, float]:
        x, y = _turned(x, y, turn)
        x, y = _turned(fixture.x_m + x, fixture.y_m + y, yaw)
        return cell.x_m + x, cell.y_m + y

    return tuple(on_floor(x, y) for x, y in ((start, -half), (end, -half), (end, half), (start, half)))


def _turned(x: float, y: float, angle_rad: float) -> tuple[float, float]:
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    return cos * x - sin * y, sin * x + cos * y


def load_venue(path: Path) -> VenueTwin:
    """Read a venue file. Raises BrokenVenue naming the file, table and field."""
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BrokenVenue(f"{path}: {error}") from error
    try:
        return parse_venue(table)
    except BrokenVenue as error:
        raise BrokenVenue(f"{path.name}: {error}") from error


def parse_venue(table: Mapping[str, Any]) -> VenueTwin:
    """Return the twin described by the tables of a venue file. Raises BrokenVenue."""
    hall = Table(table.get("venue", {}), "[venue]")
    width_m, depth_m = hall.length("width_m"), hall.length("depth_m")
    cells = tuple(cell_of(row, where) for row, where in _rows(table, "cell"))
    units = tuple(_unit(Table(row, where)) for row, where in _rows(table, "unit"))
    zones = tuple(zone_of(row, where) for row, where in _rows(table, "zone"))
    safety = tuple(safety_of(row, where) for row, where in _rows(table, "safety"))
    doors = tuple(door_of(row, where, width_m, depth_m) for row, where in _rows(table, "door"))
    chargers = tuple(charger_of(row, where) for row, where in _rows(table, "charger"))
    placed: tuple[tuple[str, tuple[CellTwin | UnitTwin | Charger, ...]], ...] = (
        ("cell", cells), ("unit", units), ("charger", chargers),
    )  # fmt: skip
    for kind, things in placed:
        for thing in things:
            if not (0 <= thing.x_m <= width_m and 0 <= thing.y_m <= depth_m):
                raise BrokenVenue(f"{kind} {thing.id!r} at ({thing.x_m}, {thing.y_m}) is outside the hall")
    named = (*placed, ("zone", zones), ("safety", safety), ("door", doors))
    for kind, found in named:
        twice = [name for name, count in Counter(thing.id for thing in found).items() if count > 1]
        if twice:
            raise BrokenVenue(f"two {kind}s have the id {twice[0]!r}")
    name = hall.text("id")
    return VenueTwin(name, hall.text("name", name), width_m, depth_m, cells, units, zones, safety, doors, chargers)


def _rows(table: Mapping[str, Any], kind: str) -> list[tuple[Mapping[str, Any], str]]:
    rows = table.get(kind, ())
    if not isinstance(rows, list | tuple) or not all(isinstance(row, Mapping) for row in rows):
        raise BrokenVenue(f"{kind} must be tables: [[{kind}]]")
    return [(row, f"[[{kind}]] {row.get('id', i)!r}") for i, row in enumerate(rows)]


def cell_of(row: Mapping[str, Any], where: str) -> CellTwin:
    """Read one [[cell]]. Raises BrokenVenue naming `where`."""
    table = Table(row, where)
    fixtures = []
    for i, item in enumerate(table.get("fixtures", ())):
        entry = Table(item, f"{table.where} fixture {i}")
        kind = entry.text("kind")
        if kind not in FIXTURES:
            close = difflib.get_close_matches(kind, FIXTURES, n=1, cutoff=0.3) or sorted(FIXTURES)
            raise BrokenVenue(f"{entry.where}: no kind {kind!r}; did you mean {', '.join(close)}?")
        default = FIXTURES[kind].size
        unknown = set(item) - {"kind", "x_m", "y_m", "yaw_deg"} - set(default)
        if unknown:
            raise BrokenVenue(f"{entry.where}: a {kind} has no {sorted(unknown)}; it has {sorted(default)}")
        size = {key: entry.number(key) for key in default if key in item}
        if any(value <= 0 for key, value in size.items() if not key.endswith("_m_s")):
            raise BrokenVenue(f"{entry.where}: sizes must be above 0: {size}")
        fixtures.append(Fixture(kind, entry.number("x_m"), entry.number("y_m"), entry.number("yaw_deg", 0.0), size))
    return CellTwin(
        id=table.text("id"),
        x_m=table.number("x_m"),
        y_m=table.number("y_m"),
        width_m=table.length("width_m"),
        depth_m=table.length("depth_m"),
        yaw_deg=table.number("yaw_deg", 0.0),
        name=table.text("name", ""),
        scenario=table.text("scenario", ""),
        fixtures=tuple(fixtures),
        zone=table.text("zone", ""),
        sector=table.text("sector", ""),
    )


def _unit(table: Table) -> UnitTwin:
    return UnitTwin(
        id=table.text("id"),
        robot=table.text("robot"),
        x_m=table.number("x_m"),
        y_m=table.number("y_m"),
        yaw_deg=table.number("yaw_deg", 0.0),
        host=table.text("host", ""),
        zone=table.text("zone", ""),
    )


def venue_spec(venue: VenueTwin, *, visuals: bool = True, skip_missing: bool = False) -> mujoco.MjSpec:
    """Build the scene. The keyframe `home` has all robots at home at their places.

    Args:
        venue: The twin.
        visuals: Keep what is only there to be seen.
        skip_missing: Leave out robots whose models are not on this machine instead of raising.

    Raises:
        UnknownRobot, MissingModel, BrokenModel: of a unit's robot.
    """
    spec = mujoco.MjSpec()
    spec.modelname = venue.id
    spec.compiler.degree = False
    spec.option.timestep = PHYSICS_PERIOD_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    _hall(spec, venue)
    for cell in venue.cells:
        _build_cell(spec, cell)
    home: list[float] = []
    for unit in venue.units:
        try:
            home += _attach(spec, unit, visuals=visuals)
        except MissingModel:
            if not skip_missing:
                raise
    use_keyframe(spec, home)
    spec.compiler.discardvisual = not visuals
    return spec


def _attach(spec: mujoco.MjSpec, unit: UnitTwin, *, visuals: bool) -> list[float]:
    """Attach one robot and return its part of the home configuration."""
    robot = find(unit.robot).mjspec(visuals=visuals, floor=False)
    home = np.array(robot.key("home").qpos, dtype=np.float64)
    _make_a_guest(robot, spec)
    if not visuals:
        _leave_what_is_only_seen(robot)
    yaw = math.radians(unit.yaw_deg)
    quat = (math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2))
    frame = spec.worldbody.add_frame(pos=(unit.x_m, unit.y_m, 0.0), quat=quat)
    free = any(joint.type == mujoco.mjtJoint.mjJNT_FREE for joint in robot.joints)
    spec.attach(robot, prefix=f"{unit.id}/", frame=frame)
    if free:
        # A free joint's qpos is in world coordinates, whatever frame its body was attached to.
        x, y = home[0], home[1]
        home[0] = unit.x_m + math.cos(yaw) * x - math.sin(yaw) * y
        home[1] = unit.y_m + math.sin(yaw) * x + math.cos(yaw) * y
        rotated = np.zeros(4)
        mujoco.mju_mulQuat(rotated, np.array(quat), home[3:7])
        home[3:7] = rotated
    return [float(v) for v in home]


def _make_a_guest(robot: mujoco.MjSpec, hall: mujoco.MjSpec) -> None:
    """Take from a robot's model what only makes sense when it is alone: its keyframes, lights and options."""
    for thing in [*robot.keys, *robot.lights]:
        robot.delete(thing)
    for name in ("timestep", "integrator", "cone", "impratio", "iterations", "tolerance", "noslip_iterations"):
        setattr(robot.option, name, getattr(hall.option, name))


def _leave_what_is_only_seen(robot: mujoco.MjSpec) -> None:
    """Delete meshes that nothing touches and no mass follows from.

    MuJoCo discards them, too, but in a scene with bodies that have shapes and no inertia of their own (fixtures, our
    own robots) only after it has compiled every mesh: seconds for a hall of makers' robots.
    """
    named = {name for pair in robot.pairs for name in (pair.geomname1, pair.geomname2)}
    named |= {thing.objname for thing in robot.sensors if thing.objtype == mujoco.mjtObj.mjOBJ_GEOM}
    meshes = set()
    for body in robot.bodies:
        for geom in list(body.geoms):
            seen = geom.contype == geom.conaffinity == 0 and geom.name not in named
            if geom.type == mujoco.mjtGeom.mjGEOM_MESH and seen and body.explicitinertial:
                robot.delete(geom)
            elif geom.meshname:
                meshes.add(geom.meshname)
    for mesh in list(robot.meshes):
        if mesh.name not in meshes:
            robot.delete(mesh)


def _hall(spec: mujoco.MjSpec, venue: VenueTwin) -> None:
    w, d = venue.width_m, venue.depth_m
    world = spec.worldbody
    spec.visual.map.zfar = 100.0
    spec.stat.center = (w / 2, d / 2, 0.5)
    spec.stat.extent = max(w, d) / 2
    texture = spec.add_texture(name="hall_floor", type=mujoco.mjtTexture.mjTEXTURE_2D)
    texture.builtin = mujoco.mjtBuiltin.mjBUILTIN_CHECKER
    texture.rgb1, texture.rgb2 = [0.78, 0.79, 0.81], [0.75, 0.76, 0.78]
    texture.width = texture.height = 256
    material = spec.add_material(name="hall_floor", texrepeat=[1, 1], texuniform=True)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "hall_floor"
    world.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        pos=(w / 2, d / 2, 0),
        size=(w / 2, d / 2, 0.1),
        material="hall_floor",
    )
    for name, pos, half in (
        ("wall_south", (w / 2, -0.05), (w / 2 + 0.1, 0.05)),
        ("wall_north", (w / 2, d + 0.05), (w / 2 + 0.1, 0.05)),
        ("wall_west", (-0.05, d / 2), (0.05, d / 2)),
        ("wall_east", (w + 0.05, d / 2), (0.05, d / 2)),
    ):
        world.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=(*pos, WALL_HEIGHT_M / 2),
            size=(*half, WALL_HEIGHT_M / 2),
            rgba=_CONCRETE,
        )
    for i, x in enumerate((0.25, 0.75)):
        world.add_light(
            name=f"lamp_{i}",
            pos=(x * w, d / 2, 8.0),
            dir=(0.1, 0.15, -1),
            diffuse=(0.22, 0.22, 0.22),
            castshadow=i == 0,
        )


def _build_cell(spec: mujoco.MjSpec, cell: CellTwin) -> None:
    yaw = math.radians(cell.yaw_deg)
    quat = (math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2))
    body = spec.worldbody.add_body(name=f"cell:{cell.id}", pos=(cell.x_m, cell.y_m, 0), quat=quat)
    half_w, half_d = cell.width_m / 2, cell.depth_m / 2
    for i, (x, y, a, b) in enumerate(
        ((0, half_d, half_w, 0.03), (0, -half_d, half_w, 0.03), (half_w, 0, 0.03, half_d), (-half_w, 0, 0.03, half_d))
    ):
        body.add_geom(
            name=f"cell:{cell.id}:line{i}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=(x, y, 0.002),
            size=(a, b, 0.002),
            rgba=_LINE,
            contype=0,
            conaffinity=0,
        )
    for i, fixture in enumerate(cell.fixtures):
        kind = FIXTURES[fixture.kind]
        angle = math.radians(fixture.yaw_deg)
        stand = body.add_body(
            name=f"cell:{cell.id}:{fixture.kind}{i}",
            pos=(fixture.x_m, fixture.y_m, 0),
            quat=(math.cos(angle / 2), 0.0, 0.0, math.sin(angle / 2)),
        )
        kind.build(stand, {**kind.size, **fixture.size})
