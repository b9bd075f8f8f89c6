"""A health check: every joint of a unit moves a little, one after the other, and the unit must be seen to follow.

What it finds: joints that do not move (jammed, unpowered, a broken cable), and encoders that do not tell (frozen).
What it does not find: small errors of calibration, wear. A robot that stands on its feet is a closed chain, in which a
joint that moves alone is held back by all others; so "follows" is asked generously.
"""

import math

import numpy as np
import numpy.typing as npt

from palaestra.v1 import job_pb2
from runner.attempt import Attempt
from runner.course import Seen
from runner.drive import UnitDrive
from runner.errors import AttemptError
from runner.gang import Gang
from runner.slots import find_robot
from runner.tally import Tally
from sim.errors import SimError

Array = npt.NDArray[np.float64]

AMPLITUDE_RAD = 0.05
# Distance from the joint limits that no target goes below.
MARGIN_RAD = 0.01
SETTLE_S = 0.5
# One joint's turn: there and back along a raised cosine, whose steepest part is pi / TURN_S times its height.
TURN_S = 0.8
# Joints that take their turns at one time: the first of each half of the robot's list, then the second, and so on.
AT_A_TIME = 2
# A joint that follows less than this share of what it was told does not answer. Measured over all robots of the
# catalogue in simulation, with friction at rest and play: at least 0.06 for sound joints (hips and ankles of a standing
# robot), below 0.001 for jammed ones.
FOLLOW_MIN = 0.02


class CheckCourse:
    """The targets of a check, and what the unit was seen to do meanwhile."""

    title = "health check"

    def __init__(self, home_rad: Array, q_min_rad: Array, q_max_rad: Array) -> None:
        """Plan for joints at home, (n,), with these limits, (n,)."""
        self._home = home_rad
        room_up, room_down = q_max_rad - MARGIN_RAD - home_rad, home_rad - q_min_rad - MARGIN_RAD
        up = room_up >= room_down
        self._height = np.where(up, np.clip(room_up, 0.0, AMPLITUDE_RAD), -np.clip(room_down, 0.0, AMPLITUDE_RAD))
        self._turns = -(-len(home_rad) // AT_A_TIME)
        self._times: list[float] = []
        self._told: list[Array] = []
        self._seen: list[Array] = []

    @property
    def duration_s(self) -> float:
        """Time from the first target to the last."""
        return SETTLE_S + self._turns * TURN_S

    def begin(self, episode: int) -> None:
        """A check is the same each time."""

    def close(self) -> None:
        """A check holds nothing that would have to be let go of."""

    def target(self, time_s: float, seen: Seen, last_rad: Array) -> Array:
        """Return the targets [rad], (n,), and remember what was seen."""
        if seen.q_rad.shape == self._home.shape:
            self._times.append(time_s)
            self._told.append(last_rad)
            self._seen.append(seen.q_rad)
        target = self._home.copy()
        turn = math.floor((time_s - SETTLE_S) / TURN_S)
        if turn >= 0:
            part = (time_s - SETTLE_S) / TURN_S - turn
            joints = np.arange(turn, len(target), self._turns)
            target[joints] += self._height[joints] * 0.5 * (1.0 - math.cos(2.0 * math.pi * part))
        return target

    def follows(self) -> Array:
        """Return the share of its motion that each joint was seen to make, (n,); NaN where there was none to make.

        Told and seen are fitted over the joint's turn by a line and one period of a sine and a cosine (least squares);
        the share is the ratio of the two amplitudes, which a delay or a steady sag does not change.
        """
        times, told, seen = np.array(self._times), np.array(self._told), np.array(self._seen)
        out = np.full(len(self._home), np.nan)
        for joint in range(len(self._home)):
            start_s = SETTLE_S + (joint % self._turns) * TURN_S
            turn = (times >= start_s) & (times < start_s + TURN_S)
            if turn.sum() < 8 or self._height[joint] == 0.0:
                continue
            phase = 2.0 * np.pi * (times[turn] - start_s) / TURN_S
            basis = np.column_stack([np.ones_like(phase), phase, np.cos(phase), np.sin(phase)])
            fits = np.linalg.lstsq(basis, np.column_stack([told[turn, joint], seen[turn, joint]]), rcond=None)[0]
            amplitude = np.hypot(fits[2], fits[3])
            out[joint] = amplitude[1] / amplitude[0] if amplitude[0] > 0.0 else np.nan
        return out


def check(attempt: Attempt) -> job_pb2.JobResult:
    """Carry out a CheckSpec.

    Raises:
        AttemptError: CHECK_FAILED, the unit does not follow; UNIT_FAULT, it stopped; others as a drive's.
        Stopped: told to stop.
    """
    endpoints = list(attempt.assignment.endpoints)
    if len(endpoints) != 1:
        raise AttemptError("WORK_FAILED", f"a check is of one unit, not of {len(endpoints)}", retryable=False)
    (endpoint,) = endpoints
    try:
        spec = find_robot(attempt, endpoint.robot_model).robot_spec()
    except SimError as error:
        raise AttemptError("UNKNOWN_WORK", str(error), retryable=False) from error
    gang = Gang(attempt, Tally.of(attempt), 0)
    q_min, q_max, dq_max = (
        np.array([getattr(joint, key) for joint in spec.joints]) for key in ("q_min_rad", "q_max_rad", "dq_max_rad_s")
    )
    try:
        with UnitDrive(attempt, endpoint, gang, dq_max) as drive:
            drive.glide_home()
            course = CheckCourse(np.array(drive.opened.home_rad), q_min, q_max)
            drive.follow(course, course.duration_s)
            drive.glide_home()
    finally:
        gang.close()
    follows = course.follows()
    lame = [
        f"{name} {share:.3f}" for name, share in zip(spec.joint_names, follows, strict=True) if not share >= FOLLOW_MIN
    ]
    told = ", ".join(f"{name} {share:.2f}" for name, share in zip(spec.joint_names, follows, strict=True))
    attempt.log(f"share of its motion that each joint was seen to make: {told}")
    if lame:
        message = f"{endpoint.unit}: of what they were told, joints made only these shares: {', '.join(lame)}"
        raise AttemptError("CHECK_FAILED", message[:2000], retryable=False)
    return job_pb2.JobResult(first_torque_unix_ns=drive.first_torque_ns)
