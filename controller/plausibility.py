r"""Is it plausible what a joint measures? Finds frozen encoders and stuck joints, and lets robots stand still.

A joint that does not move balances all torques. As long as the motor's torque stays as it is, that is how a
robot stands, holds a load or leans on something. If the torque swings and the joint still does not move, then
friction or the load has to swing against it. So what is watched is the swing (largest minus least torque) since
the joint last moved by more than `travel_rad`:

* a position that repeated itself bit for bit for `frozen_window_s`, under a swing above `frozen_share` of the
  joint's largest torque, is a frozen encoder (`Fault.ENCODER_FROZEN`): a live one shows its noise, and a shaft
  winds up. That is judged soon, for the law drives such a joint blindly;
* a position that is alive and stayed within `travel_rad` for `stuck_window_s`, under a swing above `stuck_share`, is
  a stuck joint (`Fault.JOINT_STUCK`).

Joints near the ends of their range are not judged: their stops hold them. All shares and times are our own choice;
friction at rest may use up some of either share, twice, for it turns round with the torque.

Each tick looks at the rows j with (j + tick) mod `every_ticks` = 0, so that the cost is small and even.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from controller.errors import SpecError
from controller.quantity import check_quantities
from controller.safety import Fault, State
from controller.spec import RobotSpec

if TYPE_CHECKING:
    from controller.block import Block

Real = npt.NDArray[np.floating[Any]]
Bits = npt.NDArray[np.uint32]

INSPECTION_PARAMETERS = ("q_low", "q_high", "travel", "swing_frozen", "swing_stuck")
"""Columns of `Inspection.parameters`, in the order the kernel reads them."""

STIRRED = np.uint32(1 << 31)
"""Bit of `Inspection.still`: the joint has measured other positions since. The rest counts looks."""

LOOKS_MOST = 1 << 30
"""Where counting ends."""

_RUN = np.uint32(State.RUN)
_FROZEN, _STUCK, _NONE, _ONE = (np.uint32(bits) for bits in (Fault.ENCODER_FROZEN, Fault.JOINT_STUCK, 0, 1))


@dataclass(frozen=True, kw_only=True)
class Plausibility:
    """When a joint is taken for broken.

    Attributes:
        interval_s: Time between two looks at a joint, > 0; rounded to whole ticks.
        frozen_window_s, stuck_window_s: Shortest times without movement, not below `interval_s`.
        travel_rad: What counts as no movement, > 0: more than the encoder's noise.
        frozen_share, stuck_share: Swings of the torque over the joint's largest, > 0; at 2 nothing is found.
        margin_rad: Distance from the ends of the range within which nothing is judged, >= 0.
    """

    interval_s: float = 0.02
    frozen_window_s: float = 0.06
    stuck_window_s: float = 0.2
    travel_rad: float = 0.002
    frozen_share: float = 0.25
    stuck_share: float = 0.5
    margin_rad: float = 0.02

    def __post_init__(self) -> None:
        check_quantities(self, above_zero=("interval_s", "travel_rad", "frozen_share", "stuck_share"))
        for name in ("frozen_window_s", "stuck_window_s"):
            if getattr(self, name) < self.interval_s:
                raise SpecError(f"{name} = {getattr(self, name)!r}: must not be below interval_s {self.interval_s!r}")


class Inspection:
    """What a cohort remembers of its joints. Shapes (J, P) as in `Block`.

    Attributes:
        anchor: Position at which the joint came to rest [rad], (J, P).
        tau_low, tau_high: Least and largest torque since then [N m], (J, P).
        still: Looks since then, and `STIRRED`; 0 begins anew, (J, P).
        tick: Ticks so far, (1,).
        every_ticks: Ticks between two looks.
        frozen_looks, stuck_looks: Looks that make the windows.
    """

    def __init__(self, made: Plausibility, spec: RobotSpec, period_s: float, lanes: int, dtype: npt.DTypeLike) -> None:
        rows = (len(spec.joints), lanes)
        self.anchor: Real = np.zeros(rows, dtype)
        self.tau_low: Real = np.zeros(rows, dtype)
        self.tau_high: Real = np.zeros(rows, dtype)
        self.still: Bits = np.zeros(rows, np.uint32)
        self.tick: Bits = np.zeros(1, np.uint32)
        self.every_ticks = max(1, round(made.interval_s / period_s))
        self.frozen_looks = 1 + round(made.frozen_window_s / (self.every_ticks * period_s))
        self.stuck_looks = 1 + round(made.stuck_window_s / (self.every_ticks * period_s))
        self.parameters: Real = np.array(
            [
                (
                    joint.q_min_rad + made.margin_rad, joint.q_max_rad - made.margin_rad, made.travel_rad,
                    made.frozen_share * joint.tau_max_nm, made.stuck_share * joint.tau_max_nm,
                )
                for joint in spec.joints
            ],
            dtype=dtype,
        )  # fmt: skip

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return all arrays that make the state, live, by name."""
        return {name: getattr(self, name) for name in ("anchor", "tau_low", "tau_high", "still", "tick")}


def inspect(b: "Block", x: Inspection) -> None:
    """Look at this tick's rows; latch the faults of joints that are not plausible."""
    rows = slice(-int(x.tick[0]) % x.every_ticks, None, x.every_ticks)
    x.tick += _ONE
    q, tau, anchor, still = b.q[rows], b.tau[rows], x.anchor[rows], x.still[rows]
    column = {name: x.parameters[rows, i, None] for i, name in enumerate(INSPECTION_PARAMETERS)}
    runs = b.state == _RUN
    stays = runs & (still != 0) & (np.abs(q - anchor) <= column["travel"])
    count = np.minimum(still & ~STIRRED, np.uint32(LOOKS_MOST)) + _ONE
    stirred = np.where(q == anchor, still & STIRRED, STIRRED)
    # Of the looks before: a torque of this tick has not moved anything yet, and its position was measured before it.
    swing = x.tau_high[rows] - x.tau_low[rows]
    x.tau_low[rows] = np.where(stays & (x.tau_low[rows] <= tau), x.tau_low[rows], tau)
    x.tau_high[rows] = np.where(stays & (x.tau_high[rows] >= tau), x.tau_high[rows], tau)
    x.anchor[rows] = np.where(stays, anchor, q)
    x.still[rows] = still = np.where(stays, count | stirred, _ONE)

    judged = runs & (q > column["q_low"]) & (q < column["q_high"])
    looks, alive = still & ~STIRRED, (still & STIRRED) != 0
    frozen = judged & ~alive & (looks >= x.frozen_looks) & (swing > column["swing_frozen"])
    stuck = judged & alive & (looks >= x.stuck_looks) & (swing > column["swing_stuck"])
    found = np.where(frozen, _FROZEN, _NONE) | np.where(stuck, _STUCK, _NONE)
    b.fault[rows] |= found
    b.unit_fault |= np.bitwise_or.reduce(found, axis=0)
