"""Collecting: units or worlds go through a motion or follow a policy, and every episode is recorded."""

from contextlib import ExitStack

import numpy as np

from palaestra.v1 import job_pb2
from runner.attempt import Attempt
from runner.drive import collect_on_units
from runner.errors import AttemptError
from runner.film import Film, open_film
from runner.policy import LinearPolicy, Policy
from runner.scene import scene_of, trials_of
from runner.served import served_policy
from runner.slots import open_slot
from runner.tally import Tally
from runner.worlds import record_worlds
from sim.slot_process import LeasedSlot

EPISODES = 1
EPISODE_S = 5.0
WORLDS = 4


def collect(attempt: Attempt) -> job_pb2.JobResult:
    """Carry out a CollectSpec."""
    spec = attempt.job.collect
    duration_s = spec.episode_duration.seconds + spec.episode_duration.nanos / 1e9 or EPISODE_S
    if attempt.assignment.endpoints and spec.scenario:
        message = "scenarios are run in worlds, and this job's claim has units"
        raise AttemptError("UNKNOWN_WORK", message, retryable=False)
    if attempt.assignment.endpoints and spec.cameras:
        message = "cameras look at worlds, and this job's claim has units"
        raise AttemptError("BAD_CAMERA", message, retryable=False)
    if attempt.assignment.endpoints:
        first_torque_ns = collect_on_units(attempt, spec.episodes or EPISODES, duration_s)
        return job_pb2.JobResult(first_torque_unix_ns=first_torque_ns)
    _collect_in_worlds(attempt, spec.episodes or EPISODES, duration_s)
    return job_pb2.JobResult()


def _collect_in_worlds(attempt: Attempt, episodes: int, duration_s: float) -> None:
    spec = attempt.job.collect
    worlds = spec.worlds or WORLDS
    policy = None
    if attempt.assignment.HasField("policy"):
        policy = LinearPolicy.from_json(attempt.fetch(attempt.assignment.policy))
    with open_slot(
        attempt,
        spec.robot_model,
        task=policy.task if policy else spec.policy_task,
        motion=spec.motion,
        trials=trials_of(spec),
        horizon_s=duration_s,
        worlds=worlds,
        seed=spec.seed,
        scene=scene_of(spec),
    ) as slot:
        if policy:
            policy.check_fits(policy.task, spec.robot_model, slot.obs_size, slot.action_size)
        with ExitStack() as stack:
            film = stack.enter_context(open_film(attempt, slot, spec.cameras))
            driver: Policy | None = policy
            if spec.HasField("policy"):
                served = served_policy(attempt, spec.policy, slot.action_size, title=slot.facts.title)
                driver = stack.enter_context(served)
            _rounds(attempt, slot, driver, episodes, film)


def _rounds(attempt: Attempt, slot: LeasedSlot, policy: Policy | None, episodes: int, film: Film | None) -> None:
    spec, worlds = attempt.job.collect, slot.worlds
    tally = Tally.of(attempt)
    # A round that an earlier attempt did not complete is run again, and the chance in it is the same.
    for episode in range(tally.rounds, episodes):
        obs = slot.reset(episodes=np.full(worlds, episode, dtype=np.int64))
        if policy:
            policy.reset()
        task = spec.task or slot.facts.title
        with record_worlds(attempt, slot, range(worlds), task=task, seed=spec.seed, film=film) as rows:
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
