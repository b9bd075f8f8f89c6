r"""The physics of actuators in NumPy: what a tick of a cohort with `ActuatorPhysics` does besides the law.

Play: the law reads the motor side of a gear, the joint moves on the other. The motor side, held by its
friction, is dragged only by the ends of the gap: $q_m \leftarrow \mathrm{clip}(q_m, q - b/2, q + b/2)$.

Friction budget (BAM M6, of which M1 to M5 are special cases), with motor torque $\tau_m$, load $\tau_e$,
$e = \exp(-|\dot q / v_s|^\alpha)$:
$$F = K_v|\dot q| + K_c + |K_m\tau_m - K_e\tau_e| + e\,(K_{cs} + |K_{ms}\tau_m - K_{es}\tau_e| + Q)$$
where $Q$ is, if the torques have opposite signs, $K_{eq}\tau_e^2$ for $|\tau_m| > |\tau_e|$ and
$K_{mq}\tau_m^2$ for $|\tau_m| < |\tau_e|$. The friction torque is the one that would stop the joint within the
tick, $J\dot q/T + \tau_m + \tau_e$, clipped to $\pm F$.

Heat, per tick of length T, with temperatures $\theta$ of winding and case, share $f$ of the resistance, and
$\theta_l$ the rise that the rated torque leads to:
$\theta_w \mathrel{+}= (f T/t_w)(P - (\theta_w - \theta_c)/f)$,
$\theta_c \mathrel{+}= ((1 - f) T/t_c)((\theta_w - \theta_c)/f - (\theta_c - \theta_a)/(1 - f))$,
$P = \theta_l/(1 + \alpha\theta_l)\,(\tau_m/\tau_{rated})^2\,(1 + \alpha(\theta_w - \theta_a))$.

Lead screw: of the torque (here a force) that would come through without friction, the share $1 - \eta_f$ is lost
where the motor drives the load, and of the load's the share $1 - \eta_b$ where the load drives, which is where it
acts in the direction in which the joint would move: it adds $(1 - \eta_f)|\tau_m|$ or $(1 - \eta_b)|\tau_e|$ to
the budget F. With $\eta_b \le 0$ no load moves the joint: it locks itself (`controller/transmission.py`).

LuGre (Canudas de Wit, Olsson, Astrom, Lischinsky, 1995), in place of the budget: bristles bent by z with
$\dot z = \dot q - \sigma_0 |\dot q| z / g$, $g = \tau_c + (\tau_s - \tau_c) \exp(-(\dot q/v_s)^2)$, brake with
$\sigma_0 z + \sigma_1 \dot z + \sigma_2 \dot q$. A tick is a step of the implicit Euler method,
$z \leftarrow (z + T\dot q)/(1 + T\sigma_0|\dot q|/g)$: stable at any stiffness, exact in the steady state, and z never
leaves $\pm g/\sigma_0$.

The powers are polynomials in a fixed order of operations, so that the compiled kernel can equal them.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.actuator import ActuatorPhysics, Friction, JointPhysics, LuGre, Thermal
from controller.errors import SpecError
from controller.learned import LearnedActuator
from controller.network import Network
from controller.pages import arena, blank, is_blank
from controller.spec import RobotSpec

Real = npt.NDArray[np.floating[Any]]
Bits = npt.NDArray[np.uint32]

PHYSICS_PARAMETERS = (
    "half_backlash", "derate_limit", "derate_slope",
    "viscous", "coulomb", "stribeck", "inverse_speed", "exponent", "power_most",
    "load_motor", "load_external", "load_motor_stribeck", "load_external_stribeck",
    "quad_motor", "quad_external", "loss_motor", "loss_external", "inertia_rate",
    "bristle_stiffness", "bristle_damping", "bristle_viscous", "bristle_coulomb", "bristle_stribeck",
    "bristle_inverse_speed",
    "heat_base", "heat_rise", "ambient", "winding_gain", "case_gain", "ambient_gain", "period", "rate",
)  # fmt: skip
"""Columns of `Physics.parameters`, in the order the kernel reads them."""

NEVER_DERATES_C = 1e6
"""Limit temperature that stands for 'no thermal model'."""

EXP2 = tuple(math.log(2.0) ** k / math.factorial(k) for k in range(12))
"""Taylor's coefficients of 2^x; within 0.5 of zero they reach 2e-13."""
EXP2_F32 = (
    1.0, 0.6931469775987852, 0.2402224208474383, 0.05550733743522496, 0.009671512681042872, 0.0013264727241622913,
)  # fmt: skip
"""The same for f32: of all polynomials of this degree that are 1 at 0 the one with the least error, 9e-8."""
LOG2 = tuple(2.0 / math.log(2.0) / (2 * k + 1) for k in range(9))
"""Coefficients of log2((1 + s) / (1 - s)) in odd powers of s; nine reach 1e-15, the first four 4e-8."""
LOG2_E = 1.0 / math.log(2.0)
LARGEST_POWER = 80.0
"""Far beyond what friction needs, and small enough that no product of the polynomials is denormal (slow)."""


class Physics:
    """What a cohort with physics has besides its `Block`. Shapes (J, P) and (P,) as there.

    Attributes:
        tau_external: Torque of the load on the joint [N m], yours to write, (J, P).
        supply: Supply voltage over the nominal one, yours to write, (P,).
        tau_joint: Motor torque less friction: what moves the joint [N m], (J, P).
        q_motor: Position of the motor side [rad], (J, P).
        winding, case: Temperatures [degrees Celsius], (J, P).
        bristle: Bending of LuGre's bristles [rad], (J, P).
        ring: Commands of the last `slots` ticks, (slots, 5, J, P); empty without a delay.
        cursor: Slot of this tick, (1,).
        tick: Ticks so far, (1,).
        lag: Age of the commands that act [ticks], (J, P); only with a random delay.
        key: What tells a unit's random numbers from another's, yours to write, (P,).
        told: Commands that the law is told, (5, J, P); only with a random delay or a network.
        history: What networks remember of errors and speeds, (history_slots, 2, J, P).
        networks, network_of: The networks, and which of them each joint has, -1 for none, (J,).
    """

    def __init__(self, made: ActuatorPhysics, spec: RobotSpec, period_s: float, lanes: int, dtype: Any) -> None:
        unknown = set(made.joints) - set(spec.joint_names)
        if unknown:
            raise SpecError(f"{spec.robot_model} has no joint {min(unknown)!r}")
        joints = [made.joints.get(name, made.default) for name in spec.joint_names]
        rows = (len(joints), lanes)
        self.dtype = np.dtype(dtype)
        # Side by side is what begins anew together.
        self._moving = arena(5, rows, self.dtype)
        self.tau_external: Real
        self.tau_joint: Real
        self.q_motor: Real
        self.winding: Real
        self.case: Real
        self.tau_external, self.tau_joint, self.q_motor, self.winding, self.case = self._moving
        self._new = np.zeros((5, len(joints), 1), self.dtype)
        self._new[3:] = [[(joint.thermal or _COLD).ambient_c] for joint in joints]
        self._moving[:] = self._new
        self.supply: Real = np.ones(lanes, dtype)
        self.bristle: Real = blank(rows, dtype)
        self.delay_ticks = round(made.command_delay_s / period_s)
        self.jitter_ticks = round(made.command_jitter_s / period_s)
        self.seed = made.seed
        self.slots = self.delay_ticks + self.jitter_ticks + 1 if self.delay_ticks + self.jitter_ticks else 0
        self.ring: Real = np.zeros((self.slots, 5, *rows), dtype)
        self.cursor: Bits = np.zeros(1, np.uint32)
        self.tick: Bits = np.zeros(1, np.uint32)
        self.key: Bits = np.arange(lanes, dtype=np.uint32)
        self.lag: Bits = np.full(rows if self.jitter_ticks else (0, 0), max(0, self.slots - 1), np.uint32)
        self.networks, self.network_of = _networks(joints, period_s, self.dtype)
        self.history_slots = max((network.slots for network in self.networks), default=0)
        self.history: Real = np.zeros((self.history_slots, 2, *rows), dtype)
        tells = self.jitter_ticks or self.networks
        self.told: Real = np.zeros((5, *rows) if tells else (0, 0, 0), dtype)
        self.parameters: Real = np.array(
            [_parameters(name, joint, period_s) for name, joint in zip(spec.joint_names, joints, strict=True)],
            dtype=dtype,
        )
        queues = (self.ring, self.lag, self.history, self.told)
        self._queues = [(rows, rows[..., :1].copy()) for rows in queues if rows.size]

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return all arrays that make the state, live, by name."""
        arrays = {name: array for name, array in vars(self).items() if isinstance(array, np.ndarray)}
        unchanging = ("parameters", "network_of")
        return {name: array for name, array in arrays.items() if not name.startswith("_") and name not in unchanging}

    def renew(self, lanes: npt.NDArray[np.intp] | slice, q: Real) -> None:
        """Give the units of these lanes new actuators, at rest and at ambient temperature, at `q` [rad], (J, n).

        Their keys they keep: these are who they are.
        """
        self._moving[:, :, lanes] = self._new
        self.q_motor[:, lanes] = q
        self.supply[lanes] = 1
        # Bristles that were never bent keep their pages of zeros, which take no memory.
        if not is_blank(self.bristle[:, lanes]):
            self.bristle[:, lanes] = 0
        for rows, first in self._queues:
            rows[..., lanes] = first

    def column(self, name: str) -> Real:
        """Return one of `PHYSICS_PARAMETERS` as a column, (J, 1)."""
        return self.parameters[:, PHYSICS_PARAMETERS.index(name), None]


_COLD = Thermal(tau_rated_nm=1.0, winding_share=0.5, winding_s=1.0, case_s=1.0)


def _networks(
    joints: Sequence[JointPhysics], period_s: float, dtype: np.dtype[Any]
) -> tuple[list[Network], npt.NDArray[np.int32]]:
    networks: list[Network] = []
    known: dict[LearnedActuator, int] = {}
    network_of = np.full(len(joints), -1, np.int32)
    for row, joint in enumerate(joints):
        if joint.learned is None:
            continue
        if joint.learned not in known:
            known[joint.learned] = len(networks)
            networks.append(Network(joint.learned, period_s, dtype))
        network_of[row] = known[joint.learned]
    return networks, network_of


def _parameters(name: str, joint: JointPhysics, period_s: float) -> tuple[float, ...]:
    friction, thermal, lugre, screw = joint.friction or Friction(), joint.thermal, joint.lugre, joint.lead_screw
    values = dict.fromkeys(PHYSICS_PARAMETERS, 0.0) | {
        "half_backlash": joint.backlash_rad / 2.0,
        "derate_limit": NEVER_DERATES_C,
        "derate_slope": 1.0,
        "viscous": friction.viscous_nms_rad,
        "coulomb": friction.coulomb_nm,
        "stribeck": friction.stribeck_nm,
        "inverse_speed": 1.0 / friction.stribeck_speed_rad_s,
        "exponent": friction.stribeck_exponent,
        "power_most": LARGEST_POWER,
        "load_motor": friction.load_motor,
        "load_external": friction.load_external,
        "load_motor_stribeck": friction.load_motor_stribeck,
        "load_external_stribeck": friction.load_external_stribeck,
        "quad_motor": friction.quad_motor_per_nm,
        "quad_external": friction.quad_external_per_nm,
        "inertia_rate": joint.inertia_kg_m2 / period_s,
        "ambient": _COLD.ambient_c,
        "period": period_s,
        "rate": 1.0 / period_s,
    }
    if screw is not None:
        values |= {"loss_motor": 1.0 - screw.efficiency_forward, "loss_external": 1.0 - screw.efficiency_backward}
    if lugre is not None:
        values |= _bristles(name, lugre, joint.inertia_kg_m2, period_s)
    if thermal is not None:
        rise_k = thermal.limit_c - thermal.ambient_c
        share = thermal.winding_share
        per_torque = rise_k / (1.0 + thermal.copper_per_k * rise_k) / thermal.tau_rated_nm**2
        heat = per_torque * share * period_s / thermal.winding_s
        values |= {
            "derate_limit": thermal.limit_c,
            "derate_slope": 1.0 / (thermal.limit_c - thermal.derate_from_c),
            "heat_base": heat * (1.0 - thermal.copper_per_k * thermal.ambient_c),
            "heat_rise": heat * thermal.copper_per_k,
            "ambient": thermal.ambient_c,
            "winding_gain": period_s / thermal.winding_s,
            "case_gain": (1.0 - share) / share * period_s / thermal.case_s,
            "ambient_gain": period_s / thermal.case_s,
        }
    return tuple(values[name] for name in PHYSICS_PARAMETERS)


def _bristles(name: str, lugre: LuGre, inertia_kg_m2: float, period_s: float) -> dict[str, float]:
    # A mass on bristles, speed after position, is stable for k + 2c < 4 with the stiffness k and the damping c of
    # a tick: Jury's criterion of its characteristic polynomial.
    stiffness = lugre.stiffness_nm_rad * period_s**2 / inertia_kg_m2
    damping = (lugre.damping_nms_rad + lugre.viscous_nms_rad) * period_s / inertia_kg_m2
    if stiffness + 2.0 * damping >= 4.0:
        raise SpecError(
            f"joint {name!r}: lugre: too stiff for {inertia_kg_m2} kg m^2 at {period_s} s: "
            f"stiffness T^2/J + 2 (damping + viscous) T/J = {stiffness + 2.0 * damping:.3g}, must be below 4"
        )
    return {
        "bristle_stiffness": lugre.stiffness_nm_rad,
        "bristle_damping": lugre.damping_nms_rad,
        "bristle_viscous": lugre.viscous_nms_rad,
        "bristle_coulomb": lugre.coulomb_nm,
        "bristle_stribeck": lugre.static_nm - lugre.coulomb_nm,
        "bristle_inverse_speed": 1.0 / lugre.stribeck_speed_rad_s,
    }


def drag_motor_side(x: Physics, q: Real) -> Real:
    """Move the motor side with the joint and return it."""
    half = x.column("half_backlash")
    lower, upper = q - half, q + half
    motor = np.where(x.q_motor > upper, upper, x.q_motor)
    x.q_motor[:] = np.where(motor < lower, lower, motor)
    return x.q_motor


def derating(x: Physics) -> Real:
    """Return the share of the torque limit that the windings' temperature leaves, 0 to 1; 0 for NaN."""
    share = (x.column("derate_limit") - x.winding) * x.column("derate_slope")
    share = np.where(share > 1, share.dtype.type(1), share)
    return np.where(share > 0, share, share.dtype.type(0))


def usable_supply(x: Physics) -> Real:
    """Return the supply ratio, 0 where it is negative or no number: no driving torque then."""
    usable = (x.supply >= 0) & (x.supply <= np.finfo(x.supply.dtype).max)
    return np.where(usable, x.supply, x.supply.dtype.type(0))


def friction_budget(x: Physics, tau: Real, tau_external: Real, dq: Real) -> Real:
    """Return the largest friction torque [N m], viscous part included, (J, P)."""
    zero = tau.dtype.type(0)
    speed = np.abs(dq)
    exponent, slip = x.column("exponent"), speed * x.column("inverse_speed")
    power = np.where(exponent == 2, slip * slip, exp2(exponent * log2(slip)))
    rest = decay(np.where(exponent == 1, slip, power))
    load = np.abs(x.column("load_motor") * tau - x.column("load_external") * tau_external)
    load_rest = np.abs(x.column("load_motor_stribeck") * tau - x.column("load_external_stribeck") * tau_external)
    opposed = tau * tau_external < 0
    driven = opposed & (np.abs(tau) > np.abs(tau_external))
    driving = opposed & (np.abs(tau) < np.abs(tau_external))
    quad = np.where(driven, x.column("quad_external") * tau_external * tau_external, zero)
    quad = quad + np.where(driving, x.column("quad_motor") * tau * tau, zero)
    always = x.column("viscous") * speed + x.column("coulomb") + load
    budget = always + rest * (x.column("stribeck") + load_rest + quad)
    loaded = tau_external * _stopping(x, tau, tau_external, dq) > 0
    lost_by_load = np.where(loaded, x.column("loss_external") * np.abs(tau_external), zero)
    total: Real = budget + (lost_by_load + np.where(loaded, zero, x.column("loss_motor") * np.abs(tau)))
    return total


def _stopping(x: Physics, tau: Real, tau_external: Real, dq: Real) -> Real:
    """Return the torque that would stop the joint within the tick [N m]; its sign is where the joint would move."""
    stopping: Real = x.column("inertia_rate") * dq + tau + tau_external
    return stopping


def bend(x: Physics, dq: Real) -> Real:
    """Advance LuGre's bristles by a tick and return their friction torque [N m], (J, P)."""
    stiffness, slip = x.column("bristle_stiffness"), dq * x.column("bristle_inverse_speed")
    slide = x.column("bristle_coulomb") + x.column("bristle_stribeck") * decay(slip * slip)
    one = dq.dtype.type(1)
    yielding = one + x.column("period") * (stiffness * np.abs(dq) / slide)
    bent = _or_zero((x.bristle + x.column("period") * dq) / yielding)
    friction = stiffness * bent + x.column("bristle_damping") * ((bent - x.bristle) * x.column("rate"))
    x.bristle[:] = np.where(stiffness != 0, bent, x.bristle)
    total: Real = friction + x.column("bristle_viscous") * dq
    return total


def rub(x: Physics, tau: Real, dq: Real) -> None:
    """Write `tau_joint`: what friction leaves of the motor torque `tau` [N m], (J, P)."""
    dq, external = _or_zero(dq), _or_zero(x.tau_external)
    budget = friction_budget(x, tau, external, dq)
    stopping = _stopping(x, tau, external, dq)
    stopping = np.where(stopping > budget, budget, stopping)
    stopping = np.where(stopping < -budget, -budget, stopping)
    bristled = x.column("bristle_stiffness") != 0
    friction = np.where(bristled, bend(x, dq), stopping) if bristled.any() else stopping
    x.tau_joint[:] = _or_zero(tau - friction)


def _or_zero(x: Real) -> Real:
    return np.where(np.abs(x) <= np.finfo(x.dtype).max, x, x.dtype.type(0))


def heat(x: Physics, tau: Real) -> None:
    """Advance the temperatures by a tick under the motor torque `tau` [N m], (J, P)."""
    losses = tau * tau * (x.column("heat_base") + x.column("heat_rise") * x.winding)
    flow = x.winding - x.case
    x.winding[:] = x.winding + losses - x.column("winding_gain") * flow
    x.case[:] = x.case + x.column("case_gain") * flow - x.column("ambient_gain") * (x.case - x.column("ambient"))


def decay(x: Real) -> Real:
    """Return exp(-x) for x >= 0; no less than 2^-80."""
    return exp2(x.dtype.type(-LOG2_E) * x)


def exp2(y: Real) -> Real:
    """Return 2^y, y clamped to +-80; f32 to 2e-7 and f64 to 2e-13."""
    wide = y.dtype == np.float64
    bits, magic, shift = (np.uint64, 1.5 * 2.0**52, 52) if wide else (np.uint32, 1.5 * 2.0**23, 23)
    y = np.where(y > LARGEST_POWER, y.dtype.type(LARGEST_POWER), y)
    y = np.where(y < -LARGEST_POWER, y.dtype.type(-LARGEST_POWER), y)
    rounded = y + y.dtype.type(magic)
    f = y - (rounded - y.dtype.type(magic))
    p = _horner(f, EXP2 if wide else EXP2_F32)
    # The low bits of `rounded` are the whole part; added to the exponent they multiply by its power.
    integers: Any = rounded.view(bits)
    power: Real = (p.view(bits) + (integers << bits(shift))).view(y.dtype)
    return power


def log2(x: Real) -> Real:
    """Return the logarithm of x >= 0 to base 2; that of zero is about -127 or -1023."""
    wide = x.dtype == np.float64
    real, bits, shift, bias = (x.dtype.type, np.uint64, 52, 1023) if wide else (x.dtype.type, np.uint32, 23, 127)
    one, root = _pattern(1.0, x.dtype), _pattern(math.sqrt(0.5), x.dtype)
    magic = _pattern(2.0**shift, x.dtype)
    moved: Any = x.view(bits) + (one - root)
    whole: Real = ((moved >> bits(shift)) | magic).view(x.dtype) - real(2.0**shift + bias)
    m: Real = ((moved & bits(2**shift - 1)) + root).view(x.dtype)
    s: Real = (m - real(1)) / (m + real(1))
    return whole + s * _horner(s * s, LOG2 if wide else LOG2[:4])


def _pattern(value: float, dtype: np.dtype[Any]) -> Any:
    """Return the bits of `value` as an unsigned integer of the same width."""
    return np.array(value, dtype).view(np.uint64 if dtype == np.float64 else np.uint32)


def _horner(x: Real, coefficients: tuple[float, ...]) -> Real:
    p = np.full_like(x, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        p = p * x + x.dtype.type(c)
    return p
