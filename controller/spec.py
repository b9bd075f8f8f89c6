"""What a robot can do: the limits and default gains of its joints, checked once, when they are made.

Everything behind this file may trust the numbers: finite, positive where physics says so, consistent
with each other. Units are SI and last in the name.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from controller.errors import SpecError


@dataclass(frozen=True, kw_only=True)
class JointSpec:
    """One revolute joint as seen at its output side (after the gear).

    Attributes:
        name: Joint name, unique within its robot.
        q_min_rad, q_max_rad: Position range, `q_min_rad < q_max_rad`.
        dq_max_rad_s: Largest commanded speed, > 0.
        tau_max_nm: Largest torque, > 0.
        tau_rate_nm_s: Largest change of torque per second, > 0.
        kp_nm_rad, kd_nms_rad: Gains used where a command names none, >= 0. `kd_nms_rad` also brakes
            the joint in a category 1 stop.
        v_knee_rad_s: Speed up to which the full torque holds, >= 0.
        v_noload_rad_s: Speed at which no driving torque is left, > `v_knee_rad_s`. Both or neither:
            without them the torque limit holds at every speed.
        sources: Where each number comes from, by field name ("*" for all that are not named).

    Raises:
        SpecError: a value is missing, not finite, of the wrong sign or contradicts another one.
    """

    name: str
    q_min_rad: float
    q_max_rad: float
    dq_max_rad_s: float
    tau_max_nm: float
    tau_rate_nm_s: float
    kp_nm_rad: float
    kd_nms_rad: float
    v_knee_rad_s: float | None = None
    v_noload_rad_s: float | None = None
    sources: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not self.name or self.name.split() != [self.name]:
            raise SpecError(f"joint name {self.name!r}: must be one word")
        for quantity in ("q_min_rad", "q_max_rad"):
            self._number(quantity, at_least=-math.inf)
        for quantity in ("dq_max_rad_s", "tau_max_nm", "tau_rate_nm_s"):
            self._number(quantity, above=0.0)
        for quantity in ("kp_nm_rad", "kd_nms_rad"):
            self._number(quantity, at_least=0.0)
        if self.q_min_rad >= self.q_max_rad:
            self._refuse("q_min_rad", f"must be below q_max_rad {self.q_max_rad!r}")
        if (self.v_knee_rad_s is None) != (self.v_noload_rad_s is None):
            missing = "v_knee_rad_s" if self.v_knee_rad_s is None else "v_noload_rad_s"
            self._refuse(missing, "a torque-speed curve needs both its speeds")
        if self.v_knee_rad_s is not None:
            self._number("v_knee_rad_s", at_least=0.0)
            self._number("v_noload_rad_s", above=self.v_knee_rad_s)
        known = {f.name for f in fields(self)} | {"*"}
        for quantity in self.sources:
            if quantity not in known:
                raise SpecError(f"joint {self.name!r}: sources names {quantity!r}, which is no field")

    def source(self, quantity: str) -> str | None:
        """Return where the number `quantity` comes from, or None where nobody said."""
        return self.sources.get(quantity, self.sources.get("*"))

    def _number(self, quantity: str, *, above: float | None = None, at_least: float | None = None) -> None:
        value = getattr(self, quantity)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            self._refuse(quantity, "must be a finite number")
        if above is not None and not value > above:
            self._refuse(quantity, f"must be above {above}")
        if at_least is not None and not value >= at_least:
            self._refuse(quantity, f"must be at least {at_least}")

    def _refuse(self, quantity: str, why: str) -> None:
        raise SpecError(f"joint {self.name!r}: {quantity} = {getattr(self, quantity)!r}: {why}")


@dataclass(frozen=True, kw_only=True)
class RobotSpec:
    """A robot model: its joints in the order of every array, and how it stops.

    Attributes:
        robot_model: Name of the model, one word.
        joints: At least one joint, names unique.
        watchdog_s: Age of the newest command at which a running unit stops. 0.1 s is what moteus
            controllers ship with (mjbots/moteus, reference of `servo.default_timeout_s`).
        stop_slow_rad_s: A category 1 stop counts a joint as at rest below this speed.
        stop_dwell_s: How long all joints must be at rest before the torque goes off: a standing robot
            that begins to sink is at rest only for an instant.
        stop_timeout_s: Longest braking before the torque goes off anyway.
        overspeed_ratio: A joint faster than this multiple of `dq_max_rad_s` is a fault. Ours, not a norm's.

    Raises:
        SpecError: as for `JointSpec`, or two joints share a name.
    """

    robot_model: str
    joints: tuple[JointSpec, ...]
    watchdog_s: float = 0.1
    stop_slow_rad_s: float = 0.05
    stop_dwell_s: float = 0.1
    stop_timeout_s: float = 1.0
    overspeed_ratio: float = 1.25

    def __post_init__(self) -> None:
        if not self.robot_model or self.robot_model.split() != [self.robot_model]:
            raise SpecError(f"robot model {self.robot_model!r}: must be one word")
        object.__setattr__(self, "joints", tuple(self.joints))
        if not self.joints:
            raise SpecError(f"{self.robot_model}: joints is empty")
        seen: set[str] = set()
        for joint in self.joints:
            if joint.name in seen:
                raise SpecError(f"{self.robot_model}: two joints are named {joint.name!r}")
            seen.add(joint.name)
        for quantity in ("watchdog_s", "stop_slow_rad_s", "stop_dwell_s", "stop_timeout_s"):
            value = getattr(self, quantity)
            if not (math.isfinite(value) and value > 0.0):
                raise SpecError(f"{self.robot_model}: {quantity} = {value!r}: must be finite and above 0")
        ratio = self.overspeed_ratio
        if not (math.isfinite(ratio) and ratio >= 1.0):
            raise SpecError(f"{self.robot_model}: overspeed_ratio = {ratio!r}: must be at least 1")

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Joint names in array order."""
        return tuple(joint.name for joint in self.joints)
