"""The memory of one cohort: joint-major arrays, padded, aligned, owned once and shared with the kernel.

All arrays of joints have shape (J, P): one row per joint, one lane per unit. P is the number of units
rounded up to whole vectors of `LANES`, so that the kernel runs whole vectors without a remainder. Lanes past
the last unit hold no unit: they stay in INIT and their torque stays zero.

Joint-major beats unit-major about fourfold on one core, because a joint's parameters stay in registers
while its row is walked.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from controller.actuator import ActuatorPhysics
from controller.pages import arena, blank, is_blank, repeated
from controller.physics import Physics
from controller.plausibility import Inspection, Plausibility
from controller.safety import State
from controller.spec import JointSpec, RobotSpec

LANES = 16
"""Lanes per vector: sixteen f32 are one 512-bit register."""

LONG_ROW_VECTORS = 32
"""From here on a row takes an odd number of vectors; one more costs less than 4 %."""

PARAMETERS = (
    "q_min", "q_max", "dq_max", "dq_trip", "dq_slow",
    "tau_max", "tau_slope", "v_noload", "tau_step", "kd_stop",
)  # fmt: skip
"""Columns of `Block.parameters`, in the order the kernel reads them."""

V_NOLOAD_NONE_RAD_S = 1e6
"""No-load speed that stands for 'no torque-speed curve': far above every joint, exact in f32."""

Real = npt.NDArray[np.floating[Any]]
Bits = npt.NDArray[np.uint32]


class Block:
    """All arrays of one cohort.

    Attributes:
        staged_*: Commands as written by the caller, (J, P).
        held_*: Commands in force: the last good ones, (J, P).
        q, dq: Measured positions [rad] and speeds [rad/s], (J, P).
        tau: Torques of the last tick [N m], (J, P); also the rate limiter's memory.
        fault: Sticky `Fault` bits per joint, (J, P).
        fresh: 1 where a command waits to be taken over, (P,).
        age: Ticks since the last complete command, (P,).
        state: `State`, (P,).
        stop_request: Bit c is set where a stop of category c was asked for, (P,).
        stop_ticks, slow_ticks: Ticks spent braking, and of these the last ones at rest, (P,).
        unit_fault: Sticky `Fault` bits per unit: its joints' and its own, (P,).
        parameters: `PARAMETERS` of each joint, (J, len(PARAMETERS)).
        physics: What actuators with physics need besides, or None.
        inspection: What finding broken joints needs besides, or None.
    """

    def __init__(
        self,
        spec: RobotSpec,
        units: int,
        period_s: float,
        dtype: npt.DTypeLike,
        physics: ActuatorPhysics | None = None,
        plausibility: Plausibility | None = None,
    ) -> None:
        self.dtype = np.dtype(dtype)
        self.joints = len(spec.joints)
        self.units = units
        self.lanes = _lanes(units)
        self.watchdog_ticks = max(1, round(spec.watchdog_s / period_s))
        self.dwell_ticks = max(1, round(spec.stop_dwell_s / period_s))
        self.timeout_ticks = max(1, round(spec.stop_timeout_s / period_s))
        rows = (self.joints, self.lanes)
        # Side by side is what begins anew together.
        self._moving = arena(5, rows, self.dtype)
        self.staged_q_ref, self.held_q_ref, self.q, self.dq, self.tau = self._moving
        self._seldom = arena(4, rows, self.dtype)
        self.staged_dq_ref, self.staged_tau_ff, self.held_dq_ref, self.held_tau_ff = self._seldom
        gains = [[getattr(joint, name) for joint in spec.joints] for name in ("kp_nm_rad", "kd_nms_rad")]
        self._default_gains: Real = np.array([*gains, *gains], self.dtype)[..., None]
        self._gains = _gains(self._default_gains, self.lanes)
        self.staged_kp, self.staged_kd, self.held_kp, self.held_kd = self._gains
        self.fault: Bits = blank(rows, np.uint32)
        self._counts = arena(7, (self.lanes,), np.dtype(np.uint32))
        self.fresh, self.age, self.stop_request, self.stop_ticks, self.slow_ticks, self.unit_fault = self._counts[:6]
        self.state: Bits = self._counts[6]
        self._new_counts: Bits = np.array([[0]] * 6 + [[State.ARMED]], np.uint32)
        self.parameters: Real = np.array(
            [_parameters(joint, spec, period_s) for joint in spec.joints], dtype=self.dtype
        )
        self.physics = None if physics is None else Physics(physics, spec, period_s, self.lanes, self.dtype)
        self.inspection = (
            None if plausibility is None else Inspection(plausibility, spec, period_s, self.lanes, self.dtype)
        )

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return all arrays that make the cohort's state, live, by name: restoring them continues to the bit."""
        arrays = {name: array for name, array in vars(self).items() if isinstance(array, np.ndarray)}
        mine = {name: array for name, array in arrays.items() if not name.startswith("_") and name != "parameters"}
        extended = {} if self.physics is None else self.physics.memory()
        looked = {} if self.inspection is None else self.inspection.memory()
        mine |= {f"physics.{name}": array for name, array in extended.items()}
        return mine | {f"inspection.{name}": array for name, array in looked.items()}

    def renew(self, lanes: npt.NDArray[np.intp] | slice, q: Real, dq: Real) -> None:
        """Put newly built, armed units with the default gains into lanes: `q` [rad] and `dq` [rad/s], (J, n).

        A world of a simulator begins anew every few steps: few assignments, each of many arrays.
        """
        new = np.zeros((5, *q.shape), self.dtype)
        new[:3] = q
        new[3] = dq
        self._moving[:, :, lanes] = new
        self._counts[:, lanes] = self._new_counts
        # Worlds are many, command positions and are sound: rows that were never but as they began take no memory.
        for rows in (self._seldom, self.fault):
            if not is_blank(rows[..., lanes]):
                rows[..., lanes] = 0
        if not (self._gains[..., lanes] == self._default_gains).all():
            self._gains[..., lanes] = self._default_gains
        if self.physics is not None:
            self.physics.renew(lanes, new[2])
        if self.inspection is not None:
            self.inspection.still[:, lanes] = 0


def _lanes(units: int) -> int:
    """Return the length of a row: whole vectors, and for long rows an odd number of them.

    Rows at a distance of a power of two fall into the same few sets of a cache and evict each other.
    """
    vectors = -(-units // LANES)
    return LANES * (vectors | 1 if vectors >= LONG_ROW_VECTORS else vectors)


def _parameters(joint: JointSpec, spec: RobotSpec, period_s: float) -> tuple[float, ...]:
    if joint.v_knee_rad_s is None or joint.v_noload_rad_s is None:
        slope, v_noload = joint.tau_max_nm, V_NOLOAD_NONE_RAD_S
    else:
        slope, v_noload = joint.tau_max_nm / (joint.v_noload_rad_s - joint.v_knee_rad_s), joint.v_noload_rad_s
    values = {
        "q_min": joint.q_min_rad,
        "q_max": joint.q_max_rad,
        "dq_max": joint.dq_max_rad_s,
        "dq_trip": joint.dq_max_rad_s * spec.overspeed_ratio,
        "dq_slow": spec.stop_slow_rad_s,
        "tau_max": joint.tau_max_nm,
        "tau_slope": slope,
        "v_noload": v_noload,
        "tau_step": joint.tau_rate_nm_s * period_s,
        "kd_stop": joint.kd_nms_rad,
    }
    return tuple(values[name] for name in PARAMETERS)


def _gains(default: Real, lanes: int) -> Real:
    """Return rows of gains, each (J, P) as arrays of `arena` are; those of simulated robots in shared memory."""
    kinds, joints, _ = default.shape
    if default.dtype == np.float64:
        return repeated(default.reshape(-1), lanes).reshape(kinds, joints, lanes)
    gains = arena(kinds, (joints, lanes), default.dtype)
    gains[:] = default
    return gains
