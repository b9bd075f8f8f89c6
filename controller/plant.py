"""The smallest robot there is: one free mass per joint. For dry runs and for tests, without MuJoCo."""

import hashlib
from collections.abc import Sequence

import numpy as np

from controller.driver import Capabilities, Identity, Vector
from controller.errors import DriverError
from controller.spec import RobotSpec


class PlantDriver:
    r"""A `Driver` whose joints obey $J \ddot q = \tau - d \dot q$, each on its own, without stops or gravity.

    Each `write` advances the time by `period_s` with semi-implicit Euler: the speed first, then the
    position with the new speed. Its error is of first order in `period_s`.
    """

    def __init__(
        self,
        spec: RobotSpec,
        *,
        period_s: float,
        serial: str = "plant-1",
        inertia_kg_m2: float | Sequence[float] = 0.05,
        damping_nms_rad: float | Sequence[float] = 0.0,
        q_start_rad: float | Sequence[float] | None = None,
    ) -> None:
        """Make a robot of the model `spec` at rest.

        Args:
            spec: The robot model.
            period_s: Time per `write`, > 0.
            serial: Serial number that `identity` reports.
            inertia_kg_m2: Inertia of each joint, > 0: one for all, or J values.
            damping_nms_rad: Viscous damping of each joint, >= 0: one for all, or J values.
            q_start_rad: Start position; default is the middle of each joint's range.

        Raises:
            DriverError: a value is not finite or of the wrong sign.
        """
        joints = len(spec.joints)
        if q_start_rad is None:
            q_start_rad = [0.5 * (joint.q_min_rad + joint.q_max_rad) for joint in spec.joints]
        self._spec = spec
        self._serial = serial
        self._period_s = period_s
        self._inertia_kg_m2 = np.broadcast_to(np.asarray(inertia_kg_m2, np.float64), (joints,))
        self._damping_nms_rad = np.broadcast_to(np.asarray(damping_nms_rad, np.float64), (joints,))
        if not (np.isfinite(self._inertia_kg_m2) & (self._inertia_kg_m2 > 0.0)).all():
            raise DriverError(f"inertia_kg_m2 = {inertia_kg_m2!r}: must be finite and above 0")
        if not (np.isfinite(self._damping_nms_rad) & (self._damping_nms_rad >= 0.0)).all():
            raise DriverError(f"damping_nms_rad = {damping_nms_rad!r}: must be finite and at least 0")
        if not (np.isfinite(period_s) and period_s > 0.0):
            raise DriverError(f"period_s = {period_s!r}: must be finite and above 0")
        self._q_start_rad = np.broadcast_to(np.asarray(q_start_rad, np.float64), (joints,))
        self.q_rad = self._q_start_rad.copy()
        self.dq_rad_s = np.zeros(joints)
        self.tau_nm = np.zeros(joints)
        self._stuck = np.zeros(joints, np.bool_)
        self._closed = False

    def identity(self) -> Identity:
        """Return the model, the given serial number and the joints of the spec."""
        return Identity(
            self._spec.robot_model,
            self._serial,
            "plant 1",
            self._spec.joint_names,
            {
                "engine": "plant",
                "engine_version": "1",
                "model_sha256": hashlib.sha256(repr(self._spec).encode()).hexdigest(),
                "calibration": "model",
            },
        )

    def capabilities(self) -> Capabilities:
        """Return the rate that its period stands for."""
        return Capabilities(rate_max_hz=1.0 / self._period_s, simulated=True)

    def read(self, q_out: Vector, dq_out: Vector) -> None:
        """Write positions [rad] and speeds [rad/s], shape (J,). Raises DriverError after `close`."""
        self._refuse_if_closed()
        q_out[:] = self.q_rad
        dq_out[:] = self.dq_rad_s

    def write(self, tau: Vector) -> None:
        """Apply torques [N m], shape (J,), for one period. Raises DriverError if one is not finite."""
        self._refuse_if_closed()
        if not np.isfinite(tau).all():
            raise DriverError(f"torque is not finite: {tau!r}")
        self.tau_nm[:] = tau
        acceleration_rad_s2 = (self.tau_nm - self._damping_nms_rad * self.dq_rad_s) / self._inertia_kg_m2
        self.dq_rad_s += acceleration_rad_s2 * self._period_s
        self.dq_rad_s[self._stuck] = 0.0
        self.q_rad += self.dq_rad_s * self._period_s

    def base_pose(self, out: Vector) -> bool:
        """Return False: the plant is bolted down."""
        self._refuse_if_closed()
        return False

    def stick(self, joint: int, stuck: bool) -> None:
        """Jam the joint where it is, or set it free."""
        self._stuck[joint] = stuck

    def restart(self) -> None:
        """Put the joints back to where they started, at rest."""
        self._refuse_if_closed()
        self.q_rad[:] = self._q_start_rad
        self.dq_rad_s[:] = 0.0
        self.tau_nm[:] = 0.0

    def safe_state(self) -> None:
        """Take the torque off."""
        self.tau_nm[:] = 0.0

    def close(self) -> None:
        """Take the torque off and refuse further use."""
        self.safe_state()
        self._closed = True

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise DriverError(f"{self._serial} is closed")
