"""Domain randomisation: what differs from episode to episode in robot and scene, typed, recomputed, recorded.

A `Randomisation` is a list of terms: a quantity (`QUANTITIES`), what of (names by pattern), and a distribution. Every
number belongs to the job's seed, the world, the episode and the term, and to nothing else (`sim.chance`): not to the
batch, and not to the other terms, so that adding one leaves the others' numbers alone.

Changing a number of a compiled model is not always enough. Each quantity names its *level*:

- NOTHING: the engine reads the number in every step.
- CONSTANTS: `mj_setConst` has to derive others from it (inverse inertias, subtree masses, bounding volumes).
- MODEL: the compiler has to run; every world then has a model of its own, with its memory.
"""

import fnmatch
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from sim.body import Array
from sim.chance import philox_uniform, stream
from sim.distribution import Distribution, LogUniform, Normal, Uniform
from sim.errors import BadRandomisation

Drawn = Mapping[str, npt.ArrayLike]
"""By the name of a term, the numbers of some worlds: (n, width)."""

_KINDS: dict[str, type[Distribution]] = {"uniform": Uniform, "log_uniform": LogUniform, "normal": Normal}


class Level(IntEnum):
    """What must be recomputed after a number of the model has changed."""

    NOTHING = 0
    CONSTANTS = 1
    MODEL = 2


@dataclass(frozen=True)
class Quantity:
    """Something that can be randomised.

    Attributes:
        on: What it is of: "body", "geom", "joint" (driven ones), "robot" or "world".
        level: What has to be recomputed.
        fields: The MjModel fields that it changes; none if it is of the control core or the spec.
        axes: Numbers for each target.
        least: No value may be below.
        actuators: The only actuators it means anything for, "" for both.
        what: One line, with the unit.
    """

    on: str
    level: Level
    what: str
    fields: tuple[str, ...] = ()
    axes: int = 1
    least: float = -np.inf
    actuators: str = ""


_SCALE_MIN = 1e-3
QUANTITIES: dict[str, Quantity] = {
    "mass_scale": Quantity(
        "body", Level.CONSTANTS, "mass and inertia, times", ("body_mass", "body_inertia"), least=_SCALE_MIN
    ),
    "payload_kg": Quantity("body", Level.CONSTANTS, "mass added at the centre of mass [kg]", ("body_mass",), least=0.0),
    "centre_of_mass_m": Quantity(
        "body", Level.CONSTANTS, "shift of the centre of mass [m], x y z", ("body_ipos", "body_sameframe"), axes=3
    ),
    "friction_scale": Quantity(
        "geom",
        Level.NOTHING,
        "sliding friction, times; of two shapes that touch the larger counts",
        ("geom_friction", "pair_friction"),
        least=0.0,
    ),
    "damping_scale": Quantity(
        "joint", Level.NOTHING, "viscous friction, times", ("dof_damping",), least=0.0, actuators="ideal"
    ),
    "dry_friction_scale": Quantity(
        "joint", Level.NOTHING, "dry friction, times", ("dof_frictionloss",), least=0.0, actuators="ideal"
    ),
    "armature_scale": Quantity(
        "joint",
        Level.CONSTANTS,
        "reflected inertia of the rotor, times",
        ("dof_armature",),
        least=_SCALE_MIN,
        actuators="ideal",
    ),
    "gravity_m_s2": Quantity("world", Level.CONSTANTS, "added to gravity [m/s^2], x y z", ("opt.gravity",), axes=3),
    "kp_scale": Quantity("joint", Level.NOTHING, "stiffness of the control core's law, times", least=0.0),
    "kd_scale": Quantity("joint", Level.NOTHING, "damping of the control core's law, times", least=0.0),
    "supply": Quantity("robot", Level.NOTHING, "supply voltage over the nominal one", least=0.0, actuators="physical"),
    "size_scale": Quantity(
        "geom", Level.MODEL, "size, and mass where it follows from the size, times", least=_SCALE_MIN
    ),
}


@dataclass(frozen=True)
class Term:
    """One quantity, what it is changed of, and what the numbers are drawn from.

    Attributes:
        quantity: One of `QUANTITIES`.
        distribution: Of every number.
        of: Names of bodies, shapes or joints, as patterns (`left_*`).
        each: Whether each of them has a number of its own, or all share one.
    """

    quantity: str
    distribution: Distribution
    of: tuple[str, ...] = ("*",)
    each: bool = False

    def __post_init__(self) -> None:
        kind = QUANTITIES.get(self.quantity)
        if kind is None:
            raise BadRandomisation(f"no quantity {self.quantity!r}: there are {', '.join(QUANTITIES)}")
        if not self.of or isinstance(self.of, str):
            raise BadRandomisation(f"{self.quantity}: of = {self.of!r} must be a tuple of at least one name or pattern")
        if self.distribution.bounds[0] < kind.least:
            raise BadRandomisation(
                f"{self.quantity}: values from {self.distribution.bounds[0]}, but no less than {kind.least} is possible"
            )

    @property
    def name(self) -> str:
        """What tells the term from others, and its numbers from theirs."""
        return f"{self.quantity}({','.join(self.of)})"


@dataclass(frozen=True)
class Randomisation:
    """What differs from episode to episode. Terms of the same quantity and targets are refused by name."""

    terms: tuple[Term, ...] = ()

    def __post_init__(self) -> None:
        names = [term.name for term in self.terms]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise BadRandomisation(f"more than one term is called {min(twice)}")

    @property
    def level(self) -> Level:
        """What an episode's beginning has to recompute: the highest of all terms."""
        return max((QUANTITIES[term.quantity].level for term in self.terms), default=Level.NOTHING)

    @property
    def fields(self) -> bool:
        """Whether worlds will differ in their models."""
        return any(QUANTITIES[term.quantity].fields or QUANTITIES[term.quantity].level for term in self.terms)

    @property
    def sha256(self) -> str:
        """SHA-256 [hex] of what is randomised."""
        return hashlib.sha256(json.dumps(self.to_table(), sort_keys=True).encode()).hexdigest()

    def to_table(self) -> list[dict[str, Any]]:
        """Return the terms as plain tables, for JSON and TOML."""
        kinds = {kind: name for name, kind in _KINDS.items()}
        return [
            {"quantity": t.quantity, "of": list(t.of), "each": t.each, "distribution": kinds[type(t.distribution)]}
            | asdict(t.distribution)  # type: ignore[call-overload]
            for t in self.terms
        ]

    @classmethod
    def from_table(cls, rows: Iterable[Mapping[str, Any]]) -> "Randomisation":
        """Read what `to_table` returns. Raises BadRandomisation naming what is wrong."""
        terms = []
        for row in rows:
            rest = dict(row)
            try:
                quantity, kind = str(rest.pop("quantity")), str(rest.pop("distribution"))
                of, each = tuple(rest.pop("of", ("*",))), bool(rest.pop("each", False))
                if kind not in _KINDS:
                    raise BadRandomisation(f"{quantity}: distribution {kind!r} is none of {', '.join(_KINDS)}")
                terms.append(Term(quantity, _KINDS[kind](**rest), of, each))
            except (KeyError, TypeError) as error:
                raise BadRandomisation(f"a term {dict(row)!r}: {error}") from error
        return cls(tuple(terms))


NO_RANDOMISATION = Randomisation()
Fields = Callable[[str], Any]
"""Gives an MjModel field of one world to write into."""


@dataclass(frozen=True)
class Bound:
    """A term and the ids of what it changes: bodies, geoms, rows of the core's joints with their dofs."""

    term: Term
    kind: Quantity
    ids: npt.NDArray[np.intp]
    dofs: npt.NDArray[np.intp]
    pairs: npt.NDArray[np.intp]

    @property
    def width(self) -> int:
        """How many numbers an episode draws."""
        return self.kind.axes * (len(self.ids) if self.term.each else 1)

    def spread(self, values: Array) -> Array:
        """Return the numbers of one world for each target, (len(ids), axes)."""
        return np.broadcast_to(values.reshape(-1, self.kind.axes), (len(self.ids), self.kind.axes))


def bind(
    randomisation: Randomisation, model: mujoco.MjModel, joints: Sequence[str], actuators: str
) -> tuple[Bound, ...]:
    """Find what the terms name in a model. Raises BadRandomisation naming what is not there or not possible."""
    return tuple(_bound(term, model, joints, actuators) for term in randomisation.terms)


def _bound(term: Term, model: mujoco.MjModel, joints: Sequence[str], actuators: str) -> Bound:
    kind = QUANTITIES[term.quantity]
    if kind.actuators and kind.actuators != actuators:
        reason = "the drives have it" if kind.actuators == "ideal" else "there is no battery"
        raise BadRandomisation(f"{term.name} needs {kind.actuators} actuators: with {actuators} ones {reason}")
    names = {
        "body": [model.body(i).name for i in range(model.nbody)],
        "geom": [model.geom(i).name for i in range(model.ngeom)],
        "joint": list(joints),
        "robot": ["*"],
        "world": ["*"],
    }[kind.on]
    # The world's own body has no mass.
    chosen = [
        i
        for i, name in enumerate(names)
        if (kind.on != "body" or i > 0) and any(fnmatch.fnmatchcase(name, pattern) for pattern in term.of)
    ]
    for pattern in term.of:
        if not any(fnmatch.fnmatchcase(names[i], pattern) for i in chosen):
            known = ", ".join(name for name in names if name)[:400]
            raise BadRandomisation(f"{term.name}: no {kind.on} is called {pattern!r}; there are {known}")
    ids = np.array(chosen, dtype=np.intp)
    none = np.zeros(0, np.intp)
    dofs = np.array([int(model.joint(names[i]).dofadr[0]) for i in chosen], np.intp) if kind.on == "joint" else none
    pairs = none
    if kind.on == "geom" and model.npair:
        pairs = np.flatnonzero(np.isin(model.pair_geom1, ids) | np.isin(model.pair_geom2, ids))
    if term.quantity == "friction_scale" and term.each and len(pairs):
        raise BadRandomisation(f"{term.name}: shapes that touch by named pairs share their friction, not each its own")
    if term.quantity == "centre_of_mass_m" and (model.body_simple[ids] != 0).any():
        name = names[int(ids[np.flatnonzero(model.body_simple[ids])[0]])]
        raise BadRandomisation(f"{term.name}: {name!r} is a body whose inertia the compiler has simplified")
    return Bound(term, kind, ids, dofs, pairs)


def change(bound: Bound, fields: Fields, values: Array) -> None:
    """Write the numbers of one world into its model's fields, which hold what terms before have made of them."""
    each, ids, name = bound.spread(values), bound.ids, bound.term.quantity
    if name == "mass_scale":
        fields("body_mass")[ids] *= each[:, 0]
        fields("body_inertia")[ids] *= each
    elif name == "payload_kg":
        fields("body_mass")[ids] += each[:, 0]
    elif name == "centre_of_mass_m":
        fields("body_ipos")[ids] += each
        # Else kinematics would take the frames for the same and never look at the shift.
        fields("body_sameframe")[ids] = int(mujoco.mjtSameFrame.mjSAMEFRAME_NONE)
    elif name == "friction_scale":
        fields("geom_friction")[ids, 0] *= each[:, 0]
        if len(bound.pairs):
            fields("pair_friction")[bound.pairs, :2] *= values[0]
    elif name in ("damping_scale", "dry_friction_scale", "armature_scale"):
        rows = fields(bound.kind.fields[0])
        rows[bound.dofs] *= each[:, 0].reshape(-1, *[1] * (rows.ndim - 1))
    elif name == "gravity_m_s2":
        fields("opt.gravity")[...] += each[0]


def reshape_spec(bound: Bound, spec: mujoco.MjSpec, model: mujoco.MjModel, values: Array) -> None:
    """Write the numbers of one world into its spec: what only the compiler can carry out."""
    for geom, scale in zip(bound.ids, bound.spread(values)[:, 0], strict=True):
        shape = spec.geom(model.geom(int(geom)).name)
        if shape is None or shape.type == mujoco.mjtGeom.mjGEOM_MESH:
            raise BadRandomisation(f"{bound.term.name}: only named primitive shapes change their size")
        shape.size = np.array(shape.size) * scale


def draw(
    bound: Sequence[Bound], seed: int, worlds: npt.NDArray[np.int64], episodes: npt.NDArray[np.int64]
) -> dict[str, Array]:
    """Return the numbers of episodes of worlds, by term: (n, width)."""
    drawn = {}
    for each in bound:
        purpose = stream(each.term.name)
        uniform = [
            philox_uniform(seed, int(world), int(episode), each.width, stream=purpose)
            for world, episode in zip(worlds, episodes, strict=True)
        ]
        drawn[each.term.name] = each.term.distribution.value(np.stack(uniform))
    return drawn
