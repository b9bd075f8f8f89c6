"""A scenario's scene for one trial: robot, tool, fixtures and floor as one MuJoCo model, built from primitives.

The *work frame* of arms has its origin where the tip of the tool works best, `WORK_HEIGHT_M` above the floor: x away
from the robot, y to its left, z up. Robots are mounted so that their tips get there, so one file serves all of them.
The work frame of robots that walk or drive is the floor where they start.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np

from sim.body import Array, Body, body_of
from sim.catalog import Entry
from sim.errors import BrokenScenario, Misfit
from sim.mjcf import compile_model
from sim.model import FLOOR, FLOOR_LIGHT
from sim.picture import use_our_light
from sim.scenarios import tool
from sim.scenarios.draws import POSE, drawn, ranges_at
from sim.scenarios.fixtures import KINDS, Size
from sim.scenarios.fixtures.part import STEEL, Build, Part, Vec
from sim.scenarios.scenario import Piece, Scenario

WORK_HEIGHT_M = 1.05
PHYSICS_PERIOD_S = 0.002

# Where tips work well, from where they are at home: by class and by which way the tool points. Chosen so that +-0.15 m
# around it can be reached (tests/sim/test_scenarios.py).
_READY_M: Mapping[tuple[str, str], Vec] = {
    ("arm", "down"): (0.0, 0.0, 0.08),
    ("arm", "forward"): (0.06, 0.0, 0.32),
    ("dual_arm", "down"): (-0.14, 0.04, -0.12),
    ("dual_arm", "forward"): (-0.16, 0.0, 0.04),
}


@dataclass(frozen=True)
class Scene:
    """What a trial runs in.

    Attributes:
        scenario, level, seed, entry: What it is a scene of.
        drawn: The trial's draws, by quantity.
        model, data: Compiled, at the start of the trial.
        body: The robot in the model.
        parts: What the fixtures offer, by name.
        approach: Which way a tool points at its work: "down" or "forward"; "" on the floor.
    """

    scenario: Scenario
    level: int
    seed: int
    entry: Entry
    drawn: Mapping[str, float]
    model: mujoco.MjModel
    data: mujoco.MjData
    body: Body
    parts: Mapping[str, Part]
    approach: str

    def point(self, body: str, at_m: Vec | Array) -> Array:
        """Return a point of a body's frame in the world (3,)."""
        handle = self.data.body(body)
        return np.asarray(handle.xpos + handle.xmat.reshape(3, 3) @ np.asarray(at_m))

    def direction(self, body: str, vector: Vec | Array) -> Array:
        """Return a direction of a body's frame in the world (3,)."""
        return np.asarray(self.data.body(body).xmat.reshape(3, 3) @ np.asarray(vector))


def build(
    scenario: Scenario, entry: Entry, *, level: int, seed: int, tool_kind: str, approach: str, visuals: bool = False
) -> Scene:
    """Build and compile a trial's scene.

    Args:
        scenario: What to build.
        entry: The robot; its class must be one of the scenario's.
        level: 1 to 4.
        seed: Of the trial.
        tool_kind: One of `TOOLS`, or "" for robots that carry none.
        approach: Which way the tool points at its work: "down" or "forward"; "" on the floor.
        visuals: Keep what is only there to be seen.

    Raises:
        Misfit: the scenario is not for this robot.
        BrokenScenario: a fixture's kind or size is unknown, or the scene does not compile.
        MissingModel, BrokenModel: as `Entry.mjspec`.
    """
    if entry.robot_class not in scenario.robot_classes:
        raise Misfit(
            f"scenario {scenario.id!r} is for {', '.join(scenario.robot_classes)}; "
            f"{entry.id!r} is a {entry.robot_class}"
        )
    values = drawn(ranges_at(scenario.levels, level), scenario=scenario.id, level=level, seed=seed)
    values["seed"] = float(seed)
    spec = entry.mjspec(visuals=visuals)
    home = np.array(spec.keys[0].qpos, dtype=np.float64)
    for key in list(spec.keys):
        spec.delete(key)
    spec.option.timestep = PHYSICS_PERIOD_S
    # Elliptic cones and a high ratio: what is pressed or carried does not creep.
    spec.option.cone, spec.option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 10.0
    origin_m = np.zeros(3)
    if approach:
        origin_m = _place(spec, entry, approach)
    if tool_kind:
        tool.mount(spec, entry, tool_kind)
    if visuals:
        use_our_light(spec)
    _light(spec, values["light_scale"])
    spec.geom(FLOOR).friction = (1.0 * values["friction_scale"], 0.02, 0.001)
    parts: dict[str, Part] = {}
    for piece in scenario.pieces:
        parts |= _furnish(spec, piece, values, origin_m)
    try:
        model = compile_model(spec, label=scenario.id)
    except Exception as error:
        raise BrokenScenario(f"{scenario.id} at level {level} with {entry.id}: {error}") from error
    data = mujoco.MjData(model)
    data.qpos[: len(home)] = home
    key_body = _body(model, entry, home)
    mujoco.mj_forward(model, data)
    return Scene(scenario, level, seed, entry, values, model, data, key_body, parts, approach)


def _body(model: mujoco.MjModel, entry: Entry, home: Array) -> Body:
    """The robot alone knows its home; in the scene its joints come first, so its addresses hold there, too."""
    robot_spec = entry.robot_spec()
    alone = body_of(entry.model(), robot_spec)
    for i, joint in enumerate(robot_spec.joint_names):
        at = int(model.joint(joint).qposadr[0])
        expected = (alone.q.start + i) if isinstance(alone.q, slice) else int(alone.q[i])
        if at != expected:
            raise Misfit(f"robot {entry.id!r}: joint {joint!r} is not where it is without fixtures")
    return alone


def _place(spec: mujoco.MjSpec, entry: Entry, approach: str) -> Array:
    """Mount an arm so that its tip works at (0, 0, WORK_HEIGHT_M); return that point."""
    alone = entry.mjspec(visuals=False)
    tool.mount(alone, entry, "camera")
    model = compile_model(alone, label=entry.id)
    data = mujoco.MjData(model)
    data.qpos[:] = model.key("home").qpos
    mujoco.mj_kinematics(model, data)
    ready = data.site(tool.TIP).xpos + np.array(_READY_M[entry.robot_class, approach])
    goal = np.array([0.0, 0.0, WORK_HEIGHT_M])
    shift = goal - ready
    for body in spec.worldbody.bodies:
        body.pos = body.pos + shift
    for thing in (*spec.worldbody.geoms, *spec.worldbody.sites):
        if thing.name != FLOOR:
            thing.pos = thing.pos + shift
    if shift[2] > 0.1:
        half = 0.5 * float(shift[2])
        spec.worldbody.add_geom(
            name="stand",
            type=mujoco.mjtGeom.mjGEOM_CYLINDER,
            size=(0.06, half, 0.0),
            pos=(shift[0], shift[1], half),
            rgba=STEEL,
            contype=0,
            conaffinity=0,
            group=2,
        )
    return goal


def _light(spec: mujoco.MjSpec, scale: float) -> None:
    for light in spec.lights:
        if light.name == FLOOR_LIGHT:
            light.diffuse = np.clip(np.asarray(light.diffuse) * scale**0.5, 0.0, 1.0)
    head = spec.visual.headlight
    # Eyes and cameras adapt: of a hundredth of the light a third is still seen.
    head.ambient = np.clip(np.array([0.40] * 3) * scale**0.25, 0.0, 1.0)


def _furnish(spec: mujoco.MjSpec, piece: Piece, values: Mapping[str, float], origin_m: Array) -> dict[str, Part]:
    kind = KINDS.get(piece.kind)
    if kind is None:
        raise BrokenScenario(f"fixture {piece.name!r}: no kind {piece.kind!r}; there are {', '.join(KINDS)}")
    unknown = set(piece.sizes) - set(kind.sizes)
    if unknown:
        raise BrokenScenario(f"fixture {piece.name!r}: a {piece.kind} has no {', '.join(sorted(unknown))}")
    at = np.array(piece.at_m, dtype=np.float64)
    yaw = piece.yaw_deg
    if piece.moves:
        at += [values[name] for name in POSE[:3]]
        yaw += values["yaw_deg"]
    at += [origin_m[0], origin_m[1], 0.0 if kind.on_floor else origin_m[2]]
    sizes = {name: float(piece.sizes[name]) if isinstance(size, Size) and name in piece.sizes
             else piece.sizes.get(name, size.default) for name, size in kind.sizes.items()}  # fmt: skip
    half = 0.5 * np.radians(yaw)
    body = spec.worldbody.add_body(name=piece.name, pos=at, quat=(np.cos(half), 0, 0, np.sin(half)))
    build_ = Build(spec, body, piece.name, sizes, values, float(at[2]))
    kind.build(build_)
    return build_.parts
