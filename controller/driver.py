"""The line between the control loop and one robot, real or emulated.

A driver moves numbers and nothing else: no control law, no limits, no retries, no thread. The loop calls
it from one thread, once per tick: `read`, then (after the core has stepped) `write`. Every driver passes
the conformance tests in `tests/controller/driver_contract.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.floating[Any]]
"""Joint values in the order of `Identity.joints`, shape (J,)."""


@dataclass(frozen=True)
class Identity:
    """Who is on the other side, as the robot itself says.

    Attributes:
        robot_model: Must equal the `RobotSpec.robot_model` it is driven with.
        serial: Unique among all units of a venue.
        firmware: Version text of the robot's firmware, or of the emulation's engine and model.
        joints: Joint names in the order of `read` and `write`.
        provenance: What an episode must name to be repeatable: of an emulation its engine, version,
            architecture, model hash and calibration; of a robot what it says about itself. Nothing is recorded of a
            unit that tells neither `model_sha256`, of the body description it is driven by, nor `calibration`.
    """

    robot_model: str
    serial: str
    firmware: str
    joints: tuple[str, ...]
    provenance: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Capabilities:
    """What the driver can promise.

    Attributes:
        rate_max_hz: Fastest tick rate that the transport carries.
        simulated: True for an emulation: its time advances by one control period per `write`.
        device_watchdog_s: The robot itself lets go after this long without a `write`; None if it does not.
    """

    rate_max_hz: float
    simulated: bool
    device_watchdog_s: float | None = None


@runtime_checkable
class Driver(Protocol):
    """One connected robot."""

    def identity(self) -> Identity:
        """Return who is connected. Constant for the life of the driver."""
        ...

    def capabilities(self) -> Capabilities:
        """Return what the driver can promise. Constant for the life of the driver."""
        ...

    def read(self, q_out: Vector, dq_out: Vector) -> None:
        """Write the newest joint positions [rad] and speeds [rad/s], shape (J,), into the caller's arrays.

        The arrays may be strided and of either float type. A value the robot could not measure is NaN.

        Raises:
            DriverError: the robot does not answer, or the driver is closed.
        """
        ...

    def write(self, tau: Vector) -> None:
        """Send joint torques [N m], shape (J,). An emulated robot advances by one control period.

        Raises:
            DriverError: a torque is not finite (nothing is sent), the robot does not answer,
                or the driver is closed.
        """
        ...

    def base_pose(self, out: Vector) -> bool:
        """Write the base's position [m] and quaternion (w, x, y, z), shape (7,), relative to where it stood.

        Returns False, and writes nothing, where the base is fixed or its pose is not known.

        Raises:
            DriverError: the robot does not answer, or the driver is closed.
        """
        ...

    def safe_state(self) -> None:
        """Take the torque off all joints at once and leave it off until the next `write`.

        May be called at any time and any number of times, also after `close`; never raises.
        """
        ...

    def close(self) -> None:
        """Go to the safe state and let the robot go. May be called again; never raises."""
        ...


@runtime_checkable
class Restarting(Protocol):
    """An emulation that can be put back to where it started, for the next user. Optional."""

    def restart(self) -> None:
        """Put the robot back to its start pose, at rest, without torque. Raises DriverError after `close`."""
        ...


@runtime_checkable
class Sticking(Protocol):
    """An emulation whose joints can be made to jam, for fault injection. Optional."""

    def stick(self, joint: int, stuck: bool) -> None:
        """Have the joint not move from now on, whatever the torque, or set it free again."""
        ...


@runtime_checkable
class Powered(Protocol):
    """A robot that may have a battery. Optional."""

    def charge_level(self) -> float | None:
        """Return the state of charge, 0 to 1; None without a battery. Raises DriverError after `close`."""
        ...

    def is_charging(self) -> bool:
        """Return whether it takes in energy now. Raises DriverError after `close`."""
        ...

    def charge(self, on: bool) -> None:
        """Go to a charger, or leave it. Leaving where it is not at one does nothing. Raises DriverError."""
        ...
