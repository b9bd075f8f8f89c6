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

The powers are polynomials in a fixed order of operations, so that the compiled kernel can equal them.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.actuator import ActuatorPhysics, Friction, JointPhysics, Thermal
from controller.errors import SpecError
from controller.spec import RobotSpec

Real = npt.NDArray[np.floating[Any]]

PHYSICS_PARAMETERS = (
    "half_backlash", "derate_limit", "derate_slope",
    "viscous", "coulomb", "stribeck", "inverse_speed", "exponent",
    "load_motor", "load_external", "load_motor_stribeck", "load_external_stribeck",
    "quad_motor", "quad_external", "inertia_rate",
    "heat", "copper", "ambient", "winding_gain", "case_gain", "ambient_gain",
)  # fmt: skip
"""Columns of `Physics.parameters`, in the order the kernel reads them."""

NEVER_DERATES_C = 1e6
"""Limit temperature that stands for 'no thermal model'."""

EXP2 = tuple(math.log(2.0) ** k / math.factorial(k) for k in range(12))
"""Taylor's coefficients of 2^x; within 0.5 of zero twelve reach 2e-13, the first seven 2e-7."""
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
        ring: Commands of the last `slots` ticks, (slots, 5, J, P); empty without a delay.
        cursor: Slot of this tick, (1,).
    """

    def __init__(self, made: ActuatorPhysics, spec: RobotSpec, period_s: float, lanes: int, dtype: Any) -> None:
        unknown = set(made.joints) - set(spec.joint_names)
        if unknown:
            raise SpecError(f"{spec.robot_model} has no joint {min(unknown)!r}")
        joints = [made.joints.get(name, made.default) for name in spec.joint_names]
        rows = (len(joints), lanes)
        self.tau_external: Real = np.zeros(rows, dtype)
        self.tau_joint: Real = np.zeros(rows, dtype)
        self.q_motor: Real = np.zeros(rows, dtype)
        self.supply: Real = np.ones(lanes, dtype)
        ambient = np.array([[(joint.thermal or _COLD).ambient_c] for joint in joints])
        self.winding: Real = np.zeros(rows, dtype) + ambient.astype(dtype)
        self.case: Real = self.winding.copy()
        delay_ticks = round(made.command_delay_s / period_s)
        self.slots = delay_ticks + 1 if delay_ticks else 0
        self.ring: Real = np.zeros((self.slots, 5, *rows), dtype)
        self.cursor: npt.NDArray[np.uint32] = np.zeros(1, np.uint32)
        self.parameters: Real = np.array([_parameters(joint, period_s) for joint in joints], dtype=dtype)
        self._new = {name: array[..., :1].copy() for name, array in self.memory().items() if array.shape[-1] == lanes}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return all arrays that make the state, live, by name."""
        mine = {name: array for name, array in vars(self).items() if isinstance(array, np.ndarray)}
        del mine["parameters"]
        return mine

    def renew(self, lanes: npt.NDArray[np.intp], q: Real) -> None:
        """Give the units of these lanes new actuators, at rest and at ambient temperature, at `q` [rad], (J, n)."""
        for name, first in self._new.items():
            getattr(self, name)[..., lanes] = first
        self.q_motor[:, lanes] = q

    def column(self, name: str) -> Real:
        """Return one of `PHYSICS_PARAMETERS` as a column, (J, 1)."""
        return self.parameters[:, PHYSICS_PARAMETERS.index(name), None]


_COLD = Thermal(tau_rated_nm=1.0, winding_share=0.5, winding_s=1.0, case_s=1.0)


def _parameters(joint: JointPhysics, period_s: float) -> tuple[float, ...]:
    friction, thermal = joint.friction or Friction(), joint.thermal
    values = dict.fromkeys(PHYSICS_PARAMETERS, 0.0) | {
        "half_backlash": joint.backlash_rad / 2.0,
        "derate_limit": NEVER_DERATES_C,
        "derate_slope": 1.0,
        "viscous": friction.viscous_nms_rad,
        "coulomb": friction.coulomb_nm,
        "stribeck": friction.stribeck_nm,
        "inverse_speed": 1.0 / friction.stribeck_speed_rad_s,
        "exponent": friction.stribeck_exponent,
        "load_motor": friction.load_motor,
        "load_external": friction.load_external,
        "load_motor_stribeck": friction.load_motor_stribeck,
        "load_external_stribeck": friction.load_external_stribeck,
        "quad_motor": friction.quad_motor_per_nm,
        "quad_external": friction.quad_external_per_nm,
        "inertia_rate": joint.inertia_kg_m2 / period_s,
        "ambient": _COLD.ambient_c,
    }
    if thermal is not None:
        rise_k = thermal.limit_c - thermal.ambient_c
        share = thermal.winding_share
        per_torque = rise_k / (1.0 + thermal.copper_per_k * rise_k) / thermal.tau_rated_nm**2
        values |= {
            "derate_limit": thermal.limit_c,
            "derate_slope": 1.0 / (thermal.limit_c - thermal.derate_from_c),
            "heat": per_torque * share * period_s / thermal.winding_s,
            "copper": thermal.copper_per_k,
            "ambient": thermal.ambient_c,
            "winding_gain": period_s / thermal.winding_s,
            "case_gain": (1.0 - share) / share * period_s / thermal.case_s,
            "ambient_gain": period_s / thermal.case_s,
        }
    return tuple(values[name] for name in PHYSICS_PARAMETERS)


def delay(x: Physics, held: tuple[Real, ...], run: npt.NDArray[np.bool_]) -> tuple[Real, ...]:
    """Store the commands in force and return those of `slots - 1` ticks ago.

    A unit that does not run loses the gains and torques of all slots: what it was told before a stop never
    acts after it, however soon it runs again.
    """
    if not x.slots:
        return held
    now, oldest = int(x.cursor[0]), (int(x.cursor[0]) + 1) % x.slots
    for index, values in enumerate(held):
        x.ring[now, index] = values
    x.ring[:, 2:, :, ~run] = 0
    x.cursor[0] = oldest
    return tuple(x.ring[oldest])


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
    rest = exp2(-LOG2_E * exp2(x.column("exponent") * log2(speed * x.column("inverse_speed"))))
    load = np.abs(x.column("load_motor") * tau - x.column("load_external") * tau_external)
    load_rest = np.abs(x.column("load_motor_stribeck") * tau - x.column("load_external_stribeck") * tau_external)
    opposed = ((tau > 0) & (tau_external < 0)) | ((tau < 0) & (tau_external > 0))
    driven = opposed & (np.abs(tau) > np.abs(tau_external))
    driving = opposed & (np.abs(tau) < np.abs(tau_external))
    quad = np.where(driven, x.column("quad_external") * tau_external * tau_external, zero)
    quad = quad + np.where(driving, x.column("quad_motor") * tau * tau, zero)
    always = x.column("viscous") * speed + x.column("coulomb") + load
    return always + rest * (x.column("stribeck") + load_rest + quad)


def rub(x: Physics, tau: Real, dq: Real) -> None:
    """Write `tau_joint`: what friction leaves of the motor torque `tau` [N m], (J, P)."""
    zero = tau.dtype.type(0)
    largest = np.finfo(tau.dtype).max
    dq = np.where(np.abs(dq) <= largest, dq, zero)
    external = np.where(np.abs(x.tau_external) <= largest, x.tau_external, zero)
    budget = friction_budget(x, tau, external, dq)
    stopping = x.column("inertia_rate") * dq + tau + external
    stopping = np.where(stopping > budget, budget, stopping)
    stopping = np.where(stopping < -budget, -budget, stopping)
    joint = tau - stopping
    x.tau_joint[:] = np.where(np.abs(joint) <= largest, joint, zero)


def heat(x: Physics, tau: Real) -> None:
    """Advance the temperatures by a tick under the motor torque `tau` [N m], (J, P)."""
    losses = x.column("heat") * tau * tau * (1 + x.column("copper") * (x.winding - x.column("ambient")))
    flow = x.winding - x.case
    x.winding[:] = x.winding + losses - x.column("winding_gain") * flow
    x.case[:] = x.case + x.column("case_gain") * flow - x.column("ambient_gain") * (x.case - x.column("ambient"))


def exp2(y: Real) -> Real:
    """Return 2^y, y clamped to +-80; f32 to 2e-7 and f64 to 2e-13."""
    wide = y.dtype == np.float64
    bits, magic, shift = (np.uint64, 1.5 * 2.0**52, 52) if wide else (np.uint32, 1.5 * 2.0**23, 23)
    y = np.where(y > LARGEST_POWER, y.dtype.type(LARGEST_POWER), y)
    y = np.where(y < -LARGEST_POWER, y.dtype.type(-LARGEST_POWER), y)
    rounded = y + y.dtype.type(magic)
    f = y - (rounded - y.dtype.type(magic))
    p = _horner(f, EXP2 if wide else EXP2[:7])
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
