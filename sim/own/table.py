"""A robot as a table of links, and the one function that turns the table into an MjSpec.

A link hangs on its parent by at most one hinge. A solid is one primitive shape of a link: it carries
mass, and it either touches the world (`touches`) or is only there to be seen. Frames follow the
usual convention of legged robots: x forward, y left, z up; every joint's axis passes through the
link's origin.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import mujoco
import numpy as np

Vec = tuple[float, float, float]

SHELL = (0.92, 0.93, 0.94, 1.0)
DARK = (0.16, 0.17, 0.20, 1.0)
STEEL = (0.55, 0.58, 0.62, 1.0)
ACCENT = (0.05, 0.47, 0.66, 1.0)
GLASS = (0.05, 0.07, 0.09, 1.0)

AXES: dict[str, Vec] = {
    "roll": (1, 0, 0), "pitch": (0, 1, 0), "yaw": (0, 0, 1),
    "forward": (1, 0, 0), "left": (0, 1, 0), "right": (0, -1, 0),
}  # fmt: skip
SLIDES = ("forward", "left", "right")
"""The axes that a joint slides along; it turns about the others."""
# Links this close in the tree always overlap where they are hinged, so they do not collide.
NEIGHBOURHOOD = 3


@dataclass(frozen=True)
class Solid:
    """One primitive shape.

    `shape` is sphere, box, capsule, cylinder or ellipsoid. For capsules and cylinders give `ends`
    (two points) and the radius in `size_m`; for the others a centre `at_m`, half extents in `size_m`
    and a rotation `euler_deg` (x, y, z intrinsic).
    """

    shape: str
    size_m: tuple[float, ...]
    mass_kg: float
    at_m: Vec = (0.0, 0.0, 0.0)
    ends_m: tuple[Vec, Vec] | None = None
    euler_deg: Vec = (0.0, 0.0, 0.0)
    rgba: tuple[float, float, float, float] = SHELL
    touches: bool = False
    friction: float = 0.8


@dataclass(frozen=True)
class Hinge:
    """A motor-driven joint: axis name, range [rad], peak torque [N m], and drive train properties.

    Along one of `SLIDES` it is a slide: metres, newtons and kilograms stand in the place of radians, newton metres and
    kg m^2, as in MJCF.
    """

    axis: str
    range_rad: tuple[float, float]
    tau_max_nm: float
    armature_kgm2: float
    damping_nms_rad: float = 0.1
    friction_nm: float = 0.0


@dataclass(frozen=True)
class Link:
    """One rigid body: where it sits on its parent, how it moves, what it is made of."""

    name: str
    parent: str
    at_m: Vec
    hinge: Hinge | None
    solids: tuple[Solid, ...]


def mirrored(links: Sequence[Link]) -> list[Link]:
    """Return the right-hand twins of left-hand links: y negated, roll and yaw ranges swapped in sign.

    Names change from `left_*` to `right_*`, parents too. The mirror image of a symmetric robot is
    itself, so one table serves both sides and they cannot drift apart.
    """

    def flip(v: Vec) -> Vec:
        return (v[0], -v[1], v[2])

    def twin(solid: Solid) -> Solid:
        ends = solid.ends_m and (flip(solid.ends_m[0]), flip(solid.ends_m[1]))
        x, y, z = solid.euler_deg
        return replace(solid, at_m=flip(solid.at_m), ends_m=ends, euler_deg=(-x, y, -z))

    def name(text: str) -> str:
        return text.replace("left_", "right_", 1) if text.startswith("left_") else text

    out = []
    for link in links:
        hinge = link.hinge
        if hinge is not None and hinge.axis != "pitch":
            hinge = replace(hinge, range_rad=(-hinge.range_rad[1], -hinge.range_rad[0]))
        solids = tuple(twin(s) for s in link.solids)
        out.append(Link(name(link.name), name(link.parent), flip(link.at_m), hinge, solids))
    return out


def build(
    model_name: str,
    links: Sequence[Link],
    *,
    floating: bool,
    home: dict[str, float],
    base_height_m: float,
    sites: dict[str, tuple[str, Vec]],
) -> mujoco.MjSpec:
    """Generate the model.

    Args:
        model_name: Name of the model.
        links: Parents before children; the first is the base.
        floating: Whether the base has a free joint.
        home: Joint angles [rad] of the `home` keyframe; joints not named are at 0.
        base_height_m: Height of the base origin in the home keyframe.
        sites: Named frames: site name -> (link, position in it).

    Every hinge gets a torque actuator of its own name, limited to its peak torque.
    """
    spec = mujoco.MjSpec()
    spec.modelname = model_name
    spec.compiler.degree = False
    spec.option.timestep = 0.002
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    bodies: dict[str, mujoco.MjsBody] = {}
    hinges: list[str] = []
    for link in links:
        parent = bodies[link.parent] if link.parent else spec.worldbody
        at = (link.at_m[0], link.at_m[1], base_height_m) if not link.parent else link.at_m
        body = parent.add_body(name=link.name, pos=at)
        bodies[link.name] = body
        if not link.parent and floating:
            body.add_freejoint(name="base")
        if link.hinge is not None:
            _add_hinge(spec, body, link.hinge)
            hinges.append(link.name)
        for i, solid in enumerate(link.solids):
            _add_solid(body, solid, name=f"{link.name}_{i}")
    for name, (link_name, at) in sites.items():
        bodies[link_name].add_site(name=name, pos=at, size=[0.01, 0.01, 0.01], group=4)
    _exclude_neighbours(spec, links)
    base = [0.0, 0.0, base_height_m, 1.0, 0.0, 0.0, 0.0] if floating else []
    spec.add_key(name="home", qpos=base + [home.get(h, 0.0) for h in hinges])
    return spec


def _add_hinge(spec: mujoco.MjSpec, body: mujoco.MjsBody, hinge: Hinge) -> None:
    tau = hinge.tau_max_nm
    body.add_joint(
        name=body.name,
        type=mujoco.mjtJoint.mjJNT_SLIDE if hinge.axis in SLIDES else mujoco.mjtJoint.mjJNT_HINGE,
        axis=AXES[hinge.axis],
        range=hinge.range_rad,
        limited=mujoco.mjtLimited.mjLIMITED_TRUE,
        armature=hinge.armature_kgm2,
        damping=[hinge.damping_nms_rad, 0.0, 0.0],
        frictionloss=hinge.friction_nm,
        actfrcrange=(-tau, tau),
        actfrclimited=mujoco.mjtLimited.mjLIMITED_TRUE,
    )
    motor = spec.add_actuator(name=body.name, target=body.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    motor.set_to_motor()
    motor.forcerange = (-tau, tau)
    motor.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE


def _add_solid(body: mujoco.MjsBody, solid: Solid, *, name: str) -> None:
    geom = body.add_geom(
        name=name,
        type=getattr(mujoco.mjtGeom, f"mjGEOM_{solid.shape.upper()}"),
        mass=solid.mass_kg,
        rgba=solid.rgba,
        contype=int(solid.touches),
        conaffinity=int(solid.touches),
        group=0 if solid.touches else 2,
        friction=(solid.friction, 0.02, 0.001),
        condim=3,
    )
    geom.size[: len(solid.size_m)] = solid.size_m
    if solid.ends_m is not None:
        geom.fromto = np.array([*solid.ends_m[0], *solid.ends_m[1]])
    else:
        geom.pos = solid.at_m
        if any(solid.euler_deg):
            geom.alt.euler = np.radians(solid.euler_deg)


def _exclude_neighbours(spec: mujoco.MjSpec, links: Sequence[Link]) -> None:
    """Keep contacts between links that are close in the tree out; their shapes overlap on purpose."""
    solid = [link for link in links if any(s.touches for s in link.solids)]
    up = {link.name: link.parent for link in links}

    def chain(name: str) -> list[str]:
        out = [name]
        while up[out[-1]]:
            out.append(up[out[-1]])
        return out

    for i, a in enumerate(solid):
        for b in solid[i + 1 :]:
            path_a, path_b = chain(a.name), chain(b.name)
            shared = len(set(path_a) & set(path_b))
            if len(path_a) + len(path_b) - 2 * shared <= NEIGHBOURHOOD:
                spec.add_exclude(name=f"{a.name}~{b.name}", bodyname1=a.name, bodyname2=b.name)
