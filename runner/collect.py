"""Collecting: units or worlds go through a motion or follow a policy, and every episode is recorded."""

import numpy as np

from palaestra.v1 import job_pb2
from runner.attempt import Attempt
from runner.drive import collect_on_units
from runner.errors import AttemptError
from runner.policy import LinearPolicy
from runner.slots import ACTUATORS, find_robot, open_slot
from runner.tally import Tally
from runner.worlds import record_worlds
from sim.errors import SimError
from sim.motion import find_motion
from sim.slot import SimSlot
from sim.task import Task
from sim.tasks.follow import Follow

EPISODES = 1
EPISODE_S = 5.0
WORLDS = 4


def collect(attempt: Attempt) -> job_pb2.JobResult:
    """Carry out a CollectSpec."""
    spec = attempt.job.collect
    duration_s = spec.episode_duration.seconds + spec.episode_duration.nanos / 1e9 or EPISODE_S
    if attempt.assignment.endpoints:
        first_torque_ns = collect_on_units(attempt, spec.episodes or EPISODES, duration_s)
        return job_pb2.JobResult(first_torque_unix_ns=first_torque_ns)
    _collect_in_worlds(attempt, spec.episodes or EPISODES, duration_s)
    return job_pb2.JobResult()


def _collect_in_worlds(attempt: Attempt, episodes: int, duration_s: float) -> None:
    spec = attempt.job.collect
    worlds = spec.worlds or WORLDS
    slot, policy = _prepare(attempt, worlds, duration_s)
    tally = Tally.of(attempt)
    # A round that an earlier attempt did not complete is run again, and the chance in it is the same.
    for episode in range(tally.rounds, episodes):
        obs = slot.reset(episodes=np.full(worlds, episode, dtype=np.int64))
        with record_worlds(attempt, slot, range(worlds), task=spec.task or slot.task.title, seed=spec.seed) as rows:
            total = np.zeros(worlds)
            for _ in range(slot.horizon_steps):
                attempt.check()
                action = policy.act(obs) if policy else np.zeros((worlds, slot.action_size))
                transition = slot.step(action)
                obs = transition.obs
                total += transition.reward
                rows.append()
                if (transition.terminated | transition.truncated).all():
                    break
            rows.seal(slot.success, total)
        tally.rounds = episode + 1
        tally.save(attempt)
        attempt.progress((episode + 1) / episodes, f"{(episode + 1) * worlds} episodes recorded")


def _prepare(attempt: Attempt, worlds: int, duration_s: float) -> tuple[SimSlot, LinearPolicy | None]:
    """Return the worlds, and the policy that drives in them if it is not a motion."""
    spec = attempt.job.collect
    if attempt.assignment.HasField("policy"):
        policy = LinearPolicy.from_json(attempt.fetch(attempt.assignment.policy))
        slot = open_slot(
            attempt, policy.task, spec.robot_model, worlds=worlds, seed=spec.seed, actuators=spec.actuators
        )
        policy.check_fits(policy.task, spec.robot_model, slot.obs_size, slot.action_size)
        return slot, policy
    entry = find_robot(attempt, spec.robot_model)
    try:
        task: Task = Follow(find_motion(spec.motion), duration_s)
        threads = min(max(1, len(attempt.assignment.lease.sim_slots)), worlds)
        actuators = ACTUATORS[spec.actuators]
        return SimSlot(entry, task, worlds=worlds, threads=threads, seed=spec.seed, actuators=actuators), None
    except SimError as error:
        raise AttemptError("UNKNOWN_WORK", str(error), retryable=False) from error
