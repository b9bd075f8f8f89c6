"""A venue's twin: the hall, its cells with their fixtures, its robots at their places, in one MuJoCo scene.

It is built from the tables of a venue file (`configs/venues/*.toml`) that concern the floor; the others
are left to those who need them. Lengths are in metres, angles in degrees about the vertical, x to the
right and y up the map, origin in the lower left corner.

    [venue]    id, name, width_m, depth_m
    [[cell]]   id, x_m, y_m (centre), width_m, depth_m; optional name, scenario, yaw_deg (0)
               fixtures = [{ kind, x_m, y_m }, ...] relative to the cell's centre; optional yaw_deg (0)
               and the sizes of its kind, see FIXTURES
    [[unit]]   id, robot (catalogue id), x_m, y_m; optional yaw_deg (0), host

Robots are attached with the prefix `<unit id>/`. In a shared scene the scene's contact options hold for
all robots: a model that asks for others (elliptic cones, say) behaves slightly differently here than alone.
"""

import difflib
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from sim.catalog import find
from sim.errors import BrokenVenue, MissingModel
from sim.model import PHYSICS_PERIOD_S, use_keyframe

WALL_HEIGHT_M = 1.1
MAX_SPAN_M = 1000.0
_CONCRETE = (0.72, 0.73, 0.75, 1.0)
_LINE = (0.95, 0.75, 0.10, 1.0)
_STEEL = (0.45, 0.48, 0.52, 1.0)
_WOOD = (0.72, 0.55, 0.36, 1.0)
_BELT = (0.13, 0.14, 0.15, 1.0)
_BLUE = (0.12, 0.32, 0.55, 1.0)
_CARTON = (0.76, 0.60, 0.42, 1.0)


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


@dataclass(frozen=True)
class UnitTwin:
    """One robot and where it stands."""

    id: str
    robot: str
    x_m: float
    y_m: float
    yaw_deg: float = 0.0
    host: str = ""


@dataclass(frozen=True)
class VenueTwin:
    """A venue as far as its floor is concerned."""

    id: str
    name: str
    width_m: float
    depth_m: float
    cells: tuple[CellTwin, ...]
    units: tuple[UnitTwin, ...]


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
    hall = _Table(table.get("venue", {}), "[venue]")
    width_m, depth_m = hall.length("width_m"), hall.length("depth_m")
    cells = tuple(_cell(_Table(t, f"[[cell]] {t.get('id', i)!r}")) for i, t in enumerate(table.get("cell", ())))
    units = tuple(_unit(_Table(t, f"[[unit]] {t.get('id', i)!r}")) for i, t in enumerate(table.get("unit", ())))
    for kind, things in (("cell", cells), ("unit", units)):
        seen: set[str] = set()
        for thing in things:
            if thing.id in seen:
                raise BrokenVenue(f"two {kind}s have the id {thing.id!r}")
            seen.add(thing.id)
            if not (0 <= thing.x_m <= width_m and 0 <= thing.y_m <= depth_m):
                raise BrokenVenue(f"{kind} {thing.id!r} at ({thing.x_m}, {thing.y_m}) is outside the hall")
    return VenueTwin(hall.text("id"), hall.text("name", hall.text("id")), width_m, depth_m, cells, units)


def _cell(table: "_Table") -> CellTwin:
    fixtures = []
    for i, item in enumerate(table.get("fixtures", ())):
        entry = _Table(item, f"{table.where} fixture {i}")
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
    )


def _unit(table: "_Table") -> UnitTwin:
    return UnitTwin(
        id=table.text("id"),
        robot=table.text("robot"),
        x_m=table.number("x_m"),
        y_m=table.number("y_m"),
        yaw_deg=table.number("yaw_deg", 0.0),
        host=table.text("host", ""),
    )


class _Table:
    """A table of a venue file whose fields are checked as they are taken."""

    def __init__(self, table: Any, where: str) -> None:
        if not isinstance(table, Mapping):
            raise BrokenVenue(f"{where}: {table!r} is no table")
        self._table = table
        self.where = where

    def get(self, key: str, default: Any) -> Any:
        return self._table.get(key, default)

    def text(self, key: str, default: str | None = None) -> str:
        value = self._table.get(key, default)
        if not isinstance(value, str) or (default is None and not value):
            raise BrokenVenue(f"{self.where}: {key} = {value!r} must be text")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise BrokenVenue(f"{self.where}: {key} = {value!r} must be a finite number")
        return float(value)

    def length(self, key: str) -> float:
        value = self.number(key)
        if not 0 < value <= MAX_SPAN_M:
            raise BrokenVenue(f"{self.where}: {key} = {value!r} must be above 0 and at most {MAX_SPAN_M}")
        return value


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


def _box(
    body: mujoco.MjsBody,
    at: Sequence[float],
    half: Sequence[float],
    rgba: Sequence[float],
    *,
    pitch_rad: float = 0.0,
    surface_m_s: float = 0.0,
) -> None:
    geom = body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=at,
        size=half,
        rgba=rgba,
        quat=(math.cos(pitch_rad / 2), 0.0, math.sin(pitch_rad / 2), 0.0),
    )
    if surface_m_s:
        # A moving surface: what lies on it is carried along without any joint.
        geom.surfacevel = (surface_m_s, 0.0, 0.0, 0.0, 0.0, 0.0)


def _bench(body: mujoco.MjsBody, s: Mapping[str, float]) -> None:
    w, d, h = s["width_m"] / 2, s["depth_m"] / 2, s["height_m"]
    _box(body, (0, 0, h - 0.02), (w, d, 0.02), _WOOD)
    for x in (-w + 0.05, w - 0.05):
        for y in (-d + 0.05, d - 0.05):
            _box(body, (x, y, (h - 0.04) / 2), (0.025, 0.025, (h - 0.04) / 2), _STEEL)
    _box(body, (0.25 * w, 0, h + 0.05), (0.08, 0.06, 0.05), _BLUE)
    _box(body, (-0.3 * w, 0.2 * d, h + 0.03), (0.05, 0.05, 0.03), _CARTON)


def _shelf(body: mujoco.MjsBody, s: Mapping[str, float]) -> None:
    w, d, h = s["width_m"] / 2, s["depth_m"] / 2, s["height_m"]
    levels = max(1, round(s["levels"]))
    for x in (-w, w):
        for y in (-d, d):
            _box(body, (x, y, h / 2), (0.02, 0.02, h / 2), _BLUE)
    for level in range(levels):
        z = 0.15 + level * (h - 0.3) / max(1, levels - 1)
        _box(body, (0, 0, z), (w, d, 0.015), _STEEL)
        for i in range(3):
            _box(body, ((i - 1) * 0.6 * w, 0, z + 0.115), (0.16 * s["width_m"] / 1.2, 0.8 * d, 0.10), _CARTON)


def _conveyor(body: mujoco.MjsBody, s: Mapping[str, float]) -> None:
    w, d, h = s["length_m"] / 2, s["width_m"] / 2, s["height_m"]
    _box(body, (0, 0, h - 0.04), (w, d, 0.04), _BELT, surface_m_s=s["speed_m_s"])
    for y in (-d - 0.03, d + 0.03):
        _box(body, (0, y, h), (w, 0.03, 0.05), _STEEL)
    for x in (-0.85 * w, 0.85 * w):
        _box(body, (x, 0, (h - 0.08) / 2), (0.04, d, (h - 0.08) / 2), _STEEL)


def _stairs(body: mujoco.MjsBody, s: Mapping[str, float]) -> None:
    steps, rise, tread, w = max(1, round(s["steps"])), s["rise_m"], s["tread_m"], s["width_m"] / 2
    for i in range(steps):
        _box(body, (i * tread, 0, (i + 1) * rise / 2), (tread / 2, w, (i + 1) * rise / 2), _CONCRETE)
    _box(body, (steps * tread + 0.3, 0, steps * rise / 2), (0.3 + tread / 2, w, steps * rise / 2), _CONCRETE)


def _ramp(body: mujoco.MjsBody, s: Mapping[str, float]) -> None:
    length, rise, w = s["length_m"], s["rise_m"], s["width_m"] / 2
    angle = math.atan2(rise, length)
    half = math.hypot(length, rise) / 2
    # The upper face runs from the floor to the landing's edge; the slab lies below it.
    thick = 0.03
    x, z = -thick * math.sin(-angle), rise / 2 - thick * math.cos(angle)
    _box(body, (x, 0, z), (half, w, thick), _STEEL, pitch_rad=-angle)
    _box(body, (length / 2 + 0.5, 0, rise / 2), (0.5, w, rise / 2), _CONCRETE)


def _crate(body: mujoco.MjsBody, s: Mapping[str, float]) -> None:
    _box(body, (0, 0, s["height_m"] / 2), (s["width_m"] / 2, s["depth_m"] / 2, s["height_m"] / 2), _CARTON)


@dataclass(frozen=True)
class Kind:
    """A kind of fixture: its default sizes and how it is built from boxes."""

    size: Mapping[str, float]
    build: Callable[[mujoco.MjsBody, Mapping[str, float]], None]


FIXTURES: dict[str, Kind] = {
    "bench": Kind({"width_m": 1.8, "depth_m": 0.8, "height_m": 0.75}, _bench),
    "shelf": Kind({"width_m": 1.2, "depth_m": 0.5, "height_m": 1.8, "levels": 4}, _shelf),
    "conveyor": Kind({"length_m": 3.5, "width_m": 0.6, "height_m": 0.7, "speed_m_s": 0.2}, _conveyor),
    "stairs": Kind({"steps": 5, "rise_m": 0.12, "tread_m": 0.30, "width_m": 1.6}, _stairs),
    "ramp": Kind({"length_m": 2.0, "rise_m": 0.35, "width_m": 1.6}, _ramp),
    "crate": Kind({"width_m": 0.6, "depth_m": 0.4, "height_m": 0.4}, _crate),
}
