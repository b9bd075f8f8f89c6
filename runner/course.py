"""What a unit is driven along: a motion, or a policy, ours or served, that sees through the unit's own sensors."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from palaestra.v1 import worlds_pb2
from runner.attempt import Attempt
from runner.errors import AttemptError
from runner.policy import LinearPolicy
from runner.served import line_to, policy_over
from runner.slots import find_robot
from sim.errors import PolicyServerError, SimError
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

    def close(self) -> None:
        """Let go of what it holds. Does not wait."""
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

    def close(self) -> None:
        """A motion holds nothing."""


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

    def close(self) -> None:
        """Weights hold nothing."""


class ServedCourse:
    """Along a policy that is served elsewhere. Worlds wait for an answer; a unit does not: its joints hold meanwhile.

    A unit that is left without targets stops by itself. So a thread of its own asks the server, and until it has
    answered the last target stands.
    """

    def __init__(self, attempt: Attempt, spec: worlds_pb2.ServedPolicy, mirror: Mirror, *, title: str) -> None:
        """Raises AttemptError as `line_to`. The server is called when the first target is asked for."""
        self.title = title
        self._mirror = mirror
        self._line = line_to(attempt, spec)
        self._policy = policy_over(self._line, spec, mirror.action_size, title=title)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="served-policy")
        self._asked: Future[Array] | None = None
        self._stale = False

    def begin(self, episode: int) -> None:
        """Start over; what the server still thinks about is of the last episode, and not carried out."""
        self._mirror.begin(episode)
        self._stale = self._asked is not None
        if not self._stale:
            self._policy.reset()

    def target(self, time_s: float, seen: Seen, last_rad: Array) -> Array:
        """Return the next targets [rad], (nu,); the last ones until the server has answered. Raises AttemptError."""
        action = self._answer()
        if action is None and self._asked is None:
            obs = self._mirror.observe(seen.time_s, seen.q_rad, seen.dq_rad_s, seen.base_pose)
            if self._policy.has_next(0):
                action = self._policy.act(obs)
            else:
                self._asked = self._pool.submit(self._policy.act, obs)
        return last_rad if action is None else self._mirror.target(action, last_rad)

    def close(self) -> None:
        """Hang up, without waiting for the server."""
        self._line.end()
        # By the one thread that uses it.
        self._pool.submit(self._line.close)
        self._pool.shutdown(wait=False)

    def _answer(self) -> Array | None:
        """Return what came of the question, None if there is none or nothing yet. Raises AttemptError."""
        if self._asked is None or not self._asked.done():
            return None
        asked, self._asked = self._asked, None
        try:
            action = asked.result()
        except PolicyServerError as error:
            # Chunks that are too narrow.
            raise AttemptError("POLICY_SERVER_LOST", str(error), retryable=False) from error
        if self._stale:
            self._stale = False
            self._policy.reset()
            return None
        return action


def course_of(attempt: Attempt, robot_model: str, number: int) -> Course:
    """Return the course of a CollectSpec for the unit of that number. Raises AttemptError."""
    spec = attempt.job.collect
    entry = find_robot(attempt, robot_model)
    try:
        if spec.HasField("policy"):
            task = find_task(spec.policy_task)
            mirror = Mirror(entry, task, seed=spec.seed, world=FIRST_WORLD + number)
            return ServedCourse(attempt, spec.policy, mirror, title=task.title)
        if not attempt.assignment.HasField("policy"):
            return MotionCourse(find_motion(spec.motion).fit(entry))
        policy = LinearPolicy.from_json(attempt.fetch(attempt.assignment.policy))
        mirror = Mirror(entry, find_task(policy.task), seed=spec.seed, world=FIRST_WORLD + number)
        policy.check_fits(policy.task, robot_model, mirror.obs_size, mirror.action_size)
        return PolicyCourse(mirror, policy)
    except SimError as error:
        raise AttemptError("UNKNOWN_WORK", str(error), retryable=False) from error
