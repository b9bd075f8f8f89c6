"""What a unit is driven along: a motion, or a policy that sees through the unit's own sensors."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from runner.attempt import Attempt
from runner.errors import AttemptError
from runner.policy import LinearPolicy
from runner.slots import find_robot
from sim.errors import SimError
from sim.mirror import Mirror
from sim.motion import FittedMotion, find_motion
from sim.tasks import find_task

Array = npt.NDArray[np.float64]
# Units meet other draws than any world of a slot.
FIRST_WORLD = 3_000_000


@dataclass(frozen=True)
class Seen:
    """What a unit last told of itself: its own time, angles [rad], speeds [rad/s], base pose (7,) if it has one."""

    time_s: float
    q_rad: Array
    dq_rad_s: Array
    base_pose: Array | None


class Course(Protocol):
    """Where the joints should be, step by step."""

    title: str

    def begin(self, episode: int) -> None:
        """Start over for an episode."""
        ...

    def target(self, time_s: float, seen: Seen, last_rad: Array) -> Array:
        """Return the targets [rad], (nu,), at a time of the episode; `last_rad` are those before."""
        ...


class MotionCourse:
    """Along a scripted motion."""

    def __init__(self, motion: FittedMotion) -> None:
        self.title = motion.name
        self._motion = motion

    def begin(self, episode: int) -> None:
        """A motion is the same each time."""

    def target(self, time_s: float, seen: Seen, last_rad: Array) -> Array:
        return self._motion.targets(time_s)


class PolicyCourse:
    """Along a policy: what the unit told goes through the task's own eyes to the policy, and back as targets."""

    def __init__(self, mirror: Mirror, policy: LinearPolicy) -> None:
        self.title = policy.task
        self._mirror = mirror
        self._policy = policy

    def begin(self, episode: int) -> None:
        self._mirror.begin(episode)

    def target(self, time_s: float, seen: Seen, last_rad: Array) -> Array:
        obs = self._mirror.observe(seen.time_s, seen.q_rad, seen.dq_rad_s, seen.base_pose)
        return self._mirror.target(self._policy.act(obs), last_rad)


def course_of(attempt: Attempt, robot_model: str, number: int) -> Course:
    """Return the course of a CollectSpec for the unit of that number. Raises AttemptError."""
    spec = attempt.job.collect
    entry = find_robot(attempt, robot_model)
    try:
        if not attempt.assignment.HasField("policy"):
            return MotionCourse(find_motion(spec.motion).fit(entry))
        policy = LinearPolicy.from_json(attempt.fetch(attempt.assignment.policy))
        mirror = Mirror(entry, find_task(policy.task), seed=spec.seed, world=FIRST_WORLD + number)
        policy.check_fits(policy.task, robot_model, mirror.obs_size, mirror.action_size)
        return PolicyCourse(mirror, policy)
    except SimError as error:
        raise AttemptError("UNKNOWN_WORK", str(error), retryable=False) from error
