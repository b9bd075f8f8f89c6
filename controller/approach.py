"""Leads one unit to its targets within a limit of acceleration, tick by tick, between and beyond their coming."""

from dataclasses import replace

import numpy as np

from controller.cohort import Cohort
from controller.limiter import TargetLimiter
from controller.unit import Target


class Approach:
    """A limiter between a unit's targets and the command in force.

    A new target goes through the cohort as ever, its position and speed replaced by the limiter's; in the ticks after
    it the command in force moves on. That is no sign of life: only targets keep the watchdog quiet.
    """

    def __init__(self, cohort: Cohort, column: int, ddq_max_rad_s2: float) -> None:
        """Take range and speed limit from the model. Raises CommandError: `ddq_max_rad_s2` is not above 0."""
        joints = cohort.spec.joints
        self._limiter = TargetLimiter(
            [joint.q_min_rad for joint in joints],
            [joint.q_max_rad for joint in joints],
            [joint.dq_max_rad_s for joint in joints],
            ddq_max_rad_s2,
            cohort.period_s,
        )
        self._q_ref = cohort.block.held_q_ref[:, column]
        self._dq_ref = cohort.block.held_dq_ref[:, column]
        self._goal_rad: np.ndarray | None = None

    def begin(self, q_rad: np.ndarray) -> None:
        """Begin at rest where the unit is, without a goal."""
        self._limiter.start(q_rad)
        self._goal_rad = None

    def limited(self, target: Target) -> Target:
        """Return the target with the position and speed of this tick on the way to it.

        A position that is not finite is passed on as it is, for the core to reject; the goal stays.
        """
        goal = np.asarray(target.q_ref_rad, np.float64)
        if goal.shape != self._limiter.q_ref.shape or not np.isfinite(goal).all():
            return target
        self._goal_rad = goal
        q_ref, dq_ref = self._limiter.step(goal)
        return replace(target, q_ref_rad=q_ref.tolist(), dq_ref_rad_s=dq_ref.tolist())

    def move_on(self) -> None:
        """Move the command in force of a running unit by a tick towards its goal, if it has one."""
        if self._goal_rad is not None:
            self._q_ref[:], self._dq_ref[:] = self._limiter.step(self._goal_rad)
