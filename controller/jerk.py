"""Targets limited in jerk as well, by Ruckig: an option for robots whose gears or loads mind it.

Ruckig (Berscheid and Kröger, "Jerk-limited real-time trajectory generation with arbitrary target states", RSS 2021) is
the package `ruckig`, installed with the extra `jerk`. Its calculation per joint is microseconds instead of the
nanoseconds of `TargetLimiter`: for a robot, not for thousands.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from controller.errors import CommandError

Real = npt.NDArray[np.float64]


class JerkLimiter:
    """Online limiter of position targets under speed, acceleration and jerk limits, J joints, each on its own.

    Attributes:
        q_ref, dq_ref: Position [rad] and speed [rad/s] of the last step, (J,).
    """

    def __init__(
        self,
        dq_max_rad_s: npt.ArrayLike,
        ddq_max_rad_s2: npt.ArrayLike,
        dddq_max_rad_s3: npt.ArrayLike,
        period_s: float,
    ) -> None:
        """Make a limiter at position 0; limits have J values each.

        Raises:
            CommandError: Ruckig is not installed, or a limit is not finite and above 0.
        """
        try:
            import ruckig
        except ImportError:
            raise CommandError("limiting jerk needs the package ruckig: install the extra 'jerk'") from None
        limits = {
            "dq_max_rad_s": np.atleast_1d(np.asarray(dq_max_rad_s, np.float64)),
            "ddq_max_rad_s2": np.atleast_1d(np.asarray(ddq_max_rad_s2, np.float64)),
            "dddq_max_rad_s3": np.atleast_1d(np.asarray(dddq_max_rad_s3, np.float64)),
        }
        joints = len(limits["dq_max_rad_s"])
        for name, values in limits.items():
            if values.shape != (joints,) or not (np.isfinite(values) & (values > 0.0)).all():
                raise CommandError(f"{name} = {values}: must be {joints} finite numbers above 0")
        if not (np.isfinite(period_s) and period_s > 0.0):
            raise CommandError(f"period_s = {period_s!r}: must be finite and above 0")
        self._good = (ruckig.Result.Working, ruckig.Result.Finished)
        self._generator: Any = ruckig.Ruckig(joints, period_s)
        self._input: Any = ruckig.InputParameter(joints)
        self._output: Any = ruckig.OutputParameter(joints)
        # By default all joints would arrive together, and a target for one would slow the others.
        self._input.synchronization = ruckig.Synchronization.No
        self._input.max_velocity = limits["dq_max_rad_s"].tolist()
        self._input.max_acceleration = limits["ddq_max_rad_s2"].tolist()
        self._input.max_jerk = limits["dddq_max_rad_s3"].tolist()
        self.start(np.zeros(joints))

    def start(self, q_rad: npt.ArrayLike) -> None:
        """Begin at rest at a position, (J,). Raises CommandError: not finite, or of another shape."""
        q = self._positions("q_rad", q_rad)
        self._input.current_position = q.tolist()
        self._input.current_velocity = [0.0] * len(q)
        self._input.current_acceleration = [0.0] * len(q)
        self.q_ref, self.dq_ref = q, np.zeros(len(q))

    def step(self, target_rad: npt.ArrayLike) -> tuple[Real, Real]:
        """Advance by one period towards the targets; return positions [rad] and speeds [rad/s], (J,).

        Raises:
            CommandError: targets are not finite or of another shape, or Ruckig refuses. Nothing has moved.
        """
        self._input.target_position = self._positions("target_rad", target_rad).tolist()
        result = self._generator.update(self._input, self._output)
        if result not in self._good:
            raise CommandError(f"target {target_rad!r}: ruckig says {result}")
        self._output.pass_to_input(self._input)
        self.q_ref, self.dq_ref = np.array(self._output.new_position), np.array(self._output.new_velocity)
        return self.q_ref.copy(), self.dq_ref.copy()

    def _positions(self, name: str, values: npt.ArrayLike) -> Real:
        given = np.array(values, np.float64)
        if given.shape != (len(self._input.max_velocity),) or not np.isfinite(given).all():
            raise CommandError(f"{name} = {values!r}: must be {len(self._input.max_velocity)} finite numbers")
        return given
