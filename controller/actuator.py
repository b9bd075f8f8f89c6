"""What an actuator is made of besides its limits: friction, play, screw, heat, delay, a network. Optional.

The formulas are in `controller/physics.py`; the files in `configs/actuators/` hold the numbers, each with its
source. Everything is seen at the output side, after the gear.
"""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.errors import SpecError
from controller.learned import LearnedActuator, load_learned
from controller.quantity import check_quantities
from controller.transmission import LeadScrew

DELAY_MOST_S = 1.0
"""Of fixed and random delay together: each tick of it takes the memory of five commands."""


@dataclass(frozen=True, kw_only=True)
class Friction:
    """The friction budget, in the terms of the models M1 to M6 of the BAM work (Rhoban, "Extended friction
    models for the physics simulation of servo actuators"). Zeros leave a term out: M1 has the first two,
    M2 adds Stribeck's three, M3 equal load factors, M4 both, M5 unequal ones, M6 the quadratic terms.

    Attributes:
        viscous_nms_rad, coulomb_nm: What always brakes, >= 0.
        stribeck_nm: Additional Coulomb friction at rest, >= 0.
        stribeck_speed_rad_s, stribeck_exponent: How it vanishes, exp(-|v / speed|^exponent), > 0.
        load_motor, load_external: Friction per torque of the motor and of the load, >= 0.
        load_motor_stribeck, load_external_stribeck: The same, additional at rest, >= 0.
        quad_motor_per_nm, quad_external_per_nm: Friction per squared torque where the two oppose, >= 0.
    """

    viscous_nms_rad: float = 0.0
    coulomb_nm: float = 0.0
    stribeck_nm: float = 0.0
    stribeck_speed_rad_s: float = 1.0
    stribeck_exponent: float = 1.0
    load_motor: float = 0.0
    load_external: float = 0.0
    load_motor_stribeck: float = 0.0
    load_external_stribeck: float = 0.0
    quad_motor_per_nm: float = 0.0
    quad_external_per_nm: float = 0.0

    def __post_init__(self) -> None:
        check_quantities(self, above_zero=("stribeck_speed_rad_s", "stribeck_exponent"))


@dataclass(frozen=True, kw_only=True)
class LuGre:
    """Friction of elastic bristles (Canudas de Wit, Olsson, Astrom, Lischinsky, "A new model for control of systems
    with friction", 1995): a joint held by friction yields like a spring before it slips, and creeps.

    Attributes:
        stiffness_nm_rad, damping_nms_rad: Of the bristles, > 0 and >= 0.
        coulomb_nm, static_nm: Friction when sliding fast, > 0, and at the edge of sliding, not below it.
        stribeck_speed_rad_s: How one becomes the other, exp(-(v / speed)^2), > 0.
        viscous_nms_rad: What grows with speed, >= 0.
    """

    stiffness_nm_rad: float
    coulomb_nm: float
    static_nm: float
    stribeck_speed_rad_s: float
    damping_nms_rad: float = 0.0
    viscous_nms_rad: float = 0.0

    def __post_init__(self) -> None:
        check_quantities(self, above_zero=("stiffness_nm_rad", "coulomb_nm", "stribeck_speed_rad_s"))
        if self.static_nm < self.coulomb_nm:
            raise SpecError(f"static_nm = {self.static_nm!r}: must not be below coulomb_nm {self.coulomb_nm!r}")


@dataclass(frozen=True, kw_only=True)
class Thermal:
    """Two nodes, winding and case, with copper losses that grow with the winding's temperature.

    Only time constants and ratios can be read from an overload table, so these are the parameters.

    Attributes:
        tau_rated_nm: Torque that may be held for ever: it leads to `limit_c`, > 0.
        winding_share: Share of the thermal resistance that lies between winding and case, in (0, 1).
        winding_s, case_s: Time constants of winding to case and of case to ambient [s], > 0.
        ambient_c, limit_c: Temperature of the surroundings, and of the winding where the torque is zero.
        derate_from_c: Temperature at which the torque limit begins to fall, < `limit_c`.
        copper_per_k: Growth of the resistance per kelvin above `ambient_c`; copper has 0.0039.
    """

    tau_rated_nm: float
    winding_share: float
    winding_s: float
    case_s: float
    ambient_c: float = 25.0
    limit_c: float = 120.0
    derate_from_c: float = 110.0
    copper_per_k: float = 0.0039

    def __post_init__(self) -> None:
        check_quantities(self, above_zero=("tau_rated_nm", "winding_share", "winding_s", "case_s"))
        if self.winding_share >= 1.0:
            raise SpecError(f"winding_share = {self.winding_share!r}: must be below 1")
        if not self.ambient_c <= self.derate_from_c < self.limit_c:
            raise SpecError(f"derate_from_c = {self.derate_from_c!r}: must lie between ambient_c and limit_c")


@dataclass(frozen=True, kw_only=True)
class JointPhysics:
    """The actuator of one joint.

    Attributes:
        inertia_kg_m2: Inertia that friction has to stop: reflected rotor plus link, > 0.
        backlash_rad: Whole width of the play between motor and joint, >= 0.
        friction, lugre, lead_screw, thermal: None leaves them out. LuGre's friction takes the place of both the
            budget and the screw's.
        learned: A network that takes the place of the law; None for the law.
        sources: Where each number comes from, by name ("friction.coulomb_nm").
    """

    inertia_kg_m2: float = 0.01
    backlash_rad: float = 0.0
    friction: Friction | None = None
    thermal: Thermal | None = None
    lugre: LuGre | None = None
    lead_screw: LeadScrew | None = None
    learned: LearnedActuator | None = None
    sources: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        check_quantities(self, above_zero=("inertia_kg_m2",))
        if self.lugre is not None and (self.friction is not None or self.lead_screw is not None):
            raise SpecError("lugre: takes the place of friction and lead_screw, and stands beside one")


@dataclass(frozen=True, kw_only=True)
class ActuatorPhysics:
    """The actuators of a robot model.

    Attributes:
        joints: By joint name.
        default: For the joints that `joints` does not name.
        command_delay_s: Time between taking over a command and acting on it, >= 0; rounded to whole ticks.
        command_jitter_s: Random time that may come on top, >= 0, of whole ticks (`controller/delay.py`).
        seed: Of these random times, 0 to 2^64 - 1.
    """

    joints: Mapping[str, JointPhysics] = field(default_factory=dict, hash=False)
    default: JointPhysics = field(default_factory=JointPhysics)
    command_delay_s: float = 0.0
    command_jitter_s: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_quantities(self)
        if self.command_delay_s + self.command_jitter_s > DELAY_MOST_S:
            raise SpecError(f"command_delay_s + command_jitter_s: must be at most {DELAY_MOST_S} s")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 1 << 64:
            raise SpecError(f"seed = {self.seed!r}: must be a whole number from 0 to 2^64 - 1")


def reflected_inertia_kg_m2(inertias_kg_m2: Sequence[float], ratios: Sequence[float]) -> float:
    r"""Return the inertia of a gear train at its output, $J = \sum_i J_i (\prod_{k>i} g_k)^2$.

    Args:
        inertias_kg_m2: Of the rotor and of each stage's output, I of them.
        ratios: Gear ratio of each of the I - 1 stages, >= 0.

    Raises:
        SpecError: the numbers of both do not fit, or one is negative or not finite.
    """
    if len(inertias_kg_m2) != len(ratios) + 1:
        raise SpecError(f"{len(inertias_kg_m2)} inertias and {len(ratios)} stages: need one inertia more")
    total = 0.0
    for index, inertia in enumerate(inertias_kg_m2):
        ratio = math.prod(ratios[index:])
        if not (math.isfinite(inertia) and inertia >= 0.0 and math.isfinite(ratio) and ratio >= 0.0):
            raise SpecError(f"inertia {inertia!r} behind ratio {ratio!r}: must be finite and not negative")
        total += inertia * ratio * ratio
    return total


def load_actuator(path: Path) -> JointPhysics:
    """Read one actuator: numbers as `name = { value = 1.0, source = "..." }`.

    Raises:
        SpecError: not TOML, an unknown name, a number without a source, or one that cannot be.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"{path.name}: {error}") from error
    document.pop("name", None)
    sources: dict[str, str] = {}
    parts: dict[str, Any] = {}
    try:
        for key, part in _PARTS.items():
            if key in document:
                parts[key] = part(**_numbers(document.pop(key), f"{key}.", sources))
        if "learned" in document:
            parts["learned"] = load_learned(document.pop("learned"), path.parent)
            sources["learned"] = parts["learned"].sources["*"]
        return JointPhysics(**_numbers(document, "", sources), **parts, sources=sources)
    except (TypeError, AttributeError, SpecError) as error:
        raise SpecError(f"{path.name}: {error}") from error


_PARTS: dict[str, Any] = {"friction": Friction, "thermal": Thermal, "lugre": LuGre, "lead_screw": LeadScrew}


def _numbers(table: Mapping[str, Any], prefix: str, sources: dict[str, str]) -> dict[str, Any]:
    numbers = {}
    for name, entry in table.items():
        if not isinstance(entry, dict) or set(entry) != {"value", "source"} or not entry["source"]:
            raise SpecError(f"{prefix}{name} = {entry!r}: must be {{ value = ..., source = ... }}")
        numbers[name] = entry["value"]
        sources[prefix + name] = entry["source"]
    return numbers
