"""Faults on demand, between a driver and the loop: what the loop sees is what a broken robot would show."""

from enum import Enum

import numpy as np

from controller.driver import Capabilities, Driver, Identity, Powered, Restarting, Sticking, Vector
from controller.errors import CommandError


class InjectedFault(Enum):
    """What can be broken."""

    ENCODER_DROPOUT = "encoder dropout"
    """The joint's position and speed read NaN."""
    ENCODER_FROZEN = "encoder frozen"
    """The joint's position repeats its last value and its speed reads zero."""
    JOINT_STUCK = "joint stuck"
    """The joint does not move, whatever the torque. Emulations only."""


class InjectableDriver:
    """A `Driver` that passes everything on, and breaks what it is told to break."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._joints = driver.identity().joints
        self._q = np.full(len(self._joints), np.nan)
        self._broken: dict[int, InjectedFault] = {}

    def inject(self, fault: InjectedFault, joint: str = "") -> None:
        """Break a joint, by default the first one, until `mend`.

        Raises:
            CommandError: no such joint, or the robot is real or its emulation cannot jam joints.
        """
        if joint and joint not in self._joints:
            raise CommandError(f"{self._driver.identity().robot_model} has no joint {joint!r}")
        index = self._joints.index(joint) if joint else 0
        if fault is InjectedFault.JOINT_STUCK:
            if not isinstance(self._driver, Sticking):
                raise CommandError(f"{self._driver.identity().serial} cannot jam a joint")
            self._driver.stick(index, True)
        self._broken[index] = fault

    def mend(self) -> None:
        """Undo all that was broken."""
        for index, fault in self._broken.items():
            if fault is InjectedFault.JOINT_STUCK and isinstance(self._driver, Sticking):
                self._driver.stick(index, False)
        self._broken.clear()

    def identity(self) -> Identity:
        """As the driver's."""
        return self._driver.identity()

    def capabilities(self) -> Capabilities:
        """As the driver's."""
        return self._driver.capabilities()

    def read(self, q_out: Vector, dq_out: Vector) -> None:
        """As the driver's, but for broken encoders."""
        self._driver.read(q_out, dq_out)
        if self._broken:
            for index, fault in self._broken.items():
                if fault is InjectedFault.ENCODER_DROPOUT:
                    q_out[index] = dq_out[index] = np.nan
                elif fault is InjectedFault.ENCODER_FROZEN and np.isfinite(self._q[index]):
                    q_out[index], dq_out[index] = self._q[index], 0.0
        self._q[:] = np.where(np.isfinite(q_out), q_out, self._q)

    def write(self, tau: Vector) -> None:
        """As the driver's."""
        self._driver.write(tau)

    def base_pose(self, out: Vector) -> bool:
        """As the driver's."""
        return self._driver.base_pose(out)

    def restart(self) -> None:
        """Put an emulated robot back to where it started, where it can; otherwise do nothing."""
        if isinstance(self._driver, Restarting):
            self._driver.restart()

    def charge_level(self) -> float | None:
        """As the driver's; None where it has no battery."""
        return self._driver.charge_level() if isinstance(self._driver, Powered) else None

    def is_charging(self) -> bool:
        """As the driver's; False where it has no battery."""
        return isinstance(self._driver, Powered) and self._driver.is_charging()

    def charge(self, on: bool) -> None:
        """As the driver's. Raises CommandError where it has no battery to charge."""
        if isinstance(self._driver, Powered):
            self._driver.charge(on)
        elif on:
            raise CommandError(f"{self._driver.identity().serial} has no battery that it could charge")

    def safe_state(self) -> None:
        """As the driver's."""
        self._driver.safe_state()

    def close(self) -> None:
        """As the driver's."""
        self._driver.close()
