"""The small immutable values that describe a hosted unit and that the threads of a host exchange about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controller.driver import Driver
from controller.safety import Fault, State
from controller.spec import RobotSpec


@dataclass(frozen=True)
class Battery:
    """What a robot carries its energy in.

    Attributes:
        capacity_wh: From full to empty.
        work_power_w: Mean power while it works.
        idle_power_w: Mean power while it stands under control.
        rest_power_w: Mean power while its torque is off.
        charge_power_w: Mean power into it on a charger.
    """

    capacity_wh: float
    work_power_w: float
    idle_power_w: float
    rest_power_w: float
    charge_power_w: float


@dataclass(frozen=True)
class HostedUnit:
    """One robot that a host serves.

    Attributes:
        name: Resource name, "venues/{venue}/units/{unit}".
        driver: The connected robot.
        spec: Its model; the driver's identity must agree with it.
        home_rad: Where it stands at ease, J values; default is the middle of each joint's range.
        robot_class, maker, labels, payload_kg, end_effector, sensors: What claims can select it by.
        battery: What it carries its energy in; None on mains, or if nobody knows.
    """

    name: str
    driver: Driver
    spec: RobotSpec
    home_rad: tuple[float, ...] | None = None
    robot_class: str = ""
    maker: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    payload_kg: float = 0.0
    end_effector: str = ""
    sensors: tuple[str, ...] = ()
    battery: Battery | None = None

    def home(self) -> tuple[float, ...]:
        """Return where it stands at ease [rad], J values."""
        if self.home_rad is not None:
            return self.home_rad
        return tuple(0.5 * (joint.q_min_rad + joint.q_max_rad) for joint in self.spec.joints)


@dataclass(frozen=True)
class Charge:
    """A battery as of lately: its state of charge, 0 to 1 (None: the robot does not tell), and whether it fills."""

    level: float | None = None
    charging: bool = False


@dataclass(frozen=True)
class Authority:
    """Who may drive: the epoch, until `deadline_s` on the loop's clock."""

    epoch: int
    deadline_s: float


@dataclass(frozen=True)
class Target:
    """A complete target of a unit, J values each; a gain of None means the model's own."""

    epoch: int
    q_ref_rad: Sequence[float]
    dq_ref_rad_s: Sequence[float] | float = 0.0
    tau_ff_nm: Sequence[float] | float = 0.0
    kp_nm_rad: Sequence[float] | None = None
    kd_nms_rad: Sequence[float] | None = None


@dataclass(frozen=True)
class Status:
    """A unit as of the last tick. `latched` means that only an operator's reset lets it move again."""

    state: State = State.INIT
    faults: Fault = Fault.NONE
    fault_text: str = ""
    latched: bool = False
    safe_epoch: int = 0
    first_torque_unix_ns: int = 0
