r"""Lead screws: what makes a linear joint of a rotary motor, $F = 2\pi\tau/l$ and $v = l\,\omega/2\pi$ for lead l.

All numbers of a linear joint read as a rotary one's with m for rad and N for N m. The screw's friction acts in
cohorts with physics (`controller/physics.py`); this file has what follows from its geometry.

Efficiencies of a square thread with lead angle $\lambda$, $\tan\lambda = l/(\pi d)$, and friction angle
$\phi = \arctan\mu$: forward $\tan\lambda/\tan(\lambda + \phi)$, backward $\tan(\lambda - \phi)/\tan\lambda$ (Budynas,
Nisbett, "Shigley's Mechanical Engineering Design", power screws: raising and lowering torque). A thread that is
not square has the friction coefficient $\mu/\cos\alpha$ with half its angle $\alpha$.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from controller.errors import SpecError
from controller.quantity import check_quantities
from controller.spec import JointSpec


@dataclass(frozen=True, kw_only=True)
class LeadScrew:
    """A screw between a rotary motor and a linear joint.

    Attributes:
        lead_m: Way of the nut per turn of the screw (pitch times starts), > 0.
        efficiency_forward: Force at the nut over the force without friction, where the motor drives, in (0, 1].
        efficiency_backward: Holding force at the motor over the load, where the load drives, at most 1. At 0 and
            below no load turns the screw; lowering one then takes the motor's torque.
        sources: Where each number comes from, by field name.

    Raises:
        SpecError: a number is not finite or out of these bounds.
    """

    lead_m: float
    efficiency_forward: float
    efficiency_backward: float
    sources: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False)

    def __post_init__(self) -> None:
        check_quantities(self, above_zero=("lead_m", "efficiency_forward"), any_sign=("efficiency_backward",))
        for name in ("efficiency_forward", "efficiency_backward"):
            if getattr(self, name) > 1.0:
                raise SpecError(f"{name} = {getattr(self, name)!r}: must be at most 1")

    @classmethod
    def of_thread(
        cls,
        *,
        pitch_m: float,
        mean_diameter_m: float,
        friction: float,
        starts: int = 1,
        half_angle_rad: float = 0.0,
        collar_friction: float = 0.0,
        collar_diameter_m: float = 0.0,
    ) -> "LeadScrew":
        """Return the screw of this thread; a sliding collar that carries the load adds its friction.

        Args:
            pitch_m, mean_diameter_m: Of the thread, > 0.
            friction: Coefficient in the thread, >= 0.
            starts: Number of threads, >= 1.
            half_angle_rad: Half the thread's angle: 0 square, 0.253 (14.5 degrees) Acme.
            collar_friction, collar_diameter_m: Coefficient and mean diameter of the collar, >= 0.

        Raises:
            SpecError: a number is out of these bounds, or friction holds the screw in both directions.
        """
        for name, value, least in (
            ("pitch_m", pitch_m, 0.0), ("mean_diameter_m", mean_diameter_m, 0.0), ("starts", starts, 0.0),
            ("friction", friction, -1.0), ("collar_friction", collar_friction, -1.0),
            ("collar_diameter_m", collar_diameter_m, -1.0), ("half_angle_rad", half_angle_rad, -1.0),
        ):  # fmt: skip
            if not math.isfinite(value) or value < 0.0 or value == least:
                sign = "above 0" if least == 0.0 else "not negative"
                raise SpecError(f"{name} = {value!r}: must be finite and {sign}")
        lead_m = pitch_m * starts
        slope, friction = lead_m / (math.pi * mean_diameter_m), friction / math.cos(half_angle_rad)
        if friction * slope >= 1.0:
            raise SpecError(f"friction = {friction!r}: holds a thread of slope {slope:.3g} in both directions")
        # Torques per load times mean radius, and the collar's beside them.
        raising, lowering = (slope + friction) / (1.0 - friction * slope), (friction - slope) / (1.0 + friction * slope)
        collar = collar_friction * collar_diameter_m / mean_diameter_m
        return cls(
            lead_m=lead_m,
            efficiency_forward=slope / (raising + collar),
            efficiency_backward=-(lowering + collar) / slope,
        )

    @property
    def self_locking(self) -> bool:
        """Whether no load moves the joint."""
        return self.efficiency_backward <= 0.0

    @property
    def ratio_rad_m(self) -> float:
        """Turn of the screw per way of the nut."""
        return 2.0 * math.pi / self.lead_m

    def motor_torque_nm(self, load_n: float, *, raising: bool) -> float:
        """Return the steady torque that raises a load against it, or lowers it with it (negative: it brakes)."""
        ideal = load_n / self.ratio_rad_m
        return ideal / self.efficiency_forward if raising else -ideal * self.efficiency_backward

    def reflected_mass_kg(self, inertia_kg_m2: float) -> float:
        """Return the mass that the inertia of rotor and screw is felt as at the nut."""
        return inertia_kg_m2 * self.ratio_rad_m**2

    def linear_joint(self, motor: JointSpec, *, name: str, q_min_m: float, q_max_m: float) -> JointSpec:
        """Return the linear joint that `motor` drives through the screw: m, m/s, N, N/m in place of rad and N m.

        Raises:
            SpecError: the range is empty.
        """
        ratio = self.ratio_rad_m
        return replace(
            motor,
            name=name,
            q_min_rad=q_min_m,
            q_max_rad=q_max_m,
            dq_max_rad_s=motor.dq_max_rad_s / ratio,
            tau_max_nm=motor.tau_max_nm * ratio,
            tau_rate_nm_s=motor.tau_rate_nm_s * ratio,
            kp_nm_rad=motor.kp_nm_rad * ratio**2,
            kd_nms_rad=motor.kd_nms_rad * ratio**2,
            v_knee_rad_s=None if motor.v_knee_rad_s is None else motor.v_knee_rad_s / ratio,
            v_noload_rad_s=None if motor.v_noload_rad_s is None else motor.v_noload_rad_s / ratio,
        )
