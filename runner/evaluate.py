"""Evaluation: a policy over seeded episodes, with an honest interval around its success rate."""

import numpy as np

from palaestra.v1 import job_pb2
from runner.attempt import Attempt
from runner.interval import wilson
from runner.policy import LinearPolicy, Policy
from runner.scene import scene_of, trials_of
from runner.served import served_policy
from runner.slots import open_slot
from runner.worlds import record_worlds
from sim.slot_process import LeasedSlot

EPISODES = 32
WORLDS = 16
TRIALS = 4
"""Worlds of a scenario: each builds a scene of its own for each episode."""
# The first episodes are recorded, so that a number can be looked at.
RECORDED = 4
# Evaluation never meets the worlds that training or its judge saw.
FIRST_WORLD = 2_000_000


def evaluate(attempt: Attempt) -> job_pb2.JobResult:
    """Carry out an EvaluateSpec."""
    spec = attempt.job.evaluate
    episodes = spec.episodes or EPISODES
    trials = trials_of(spec)
    worlds = min(TRIALS if trials else WORLDS, episodes)
    with open_slot(
        attempt,
        spec.robot_model,
        task=spec.task,
        trials=trials,
        worlds=worlds,
        seed=spec.seed,
        scene=scene_of(spec),
        first_world=FIRST_WORLD,
    ) as slot:
        if spec.HasField("policy"):
            with served_policy(attempt, spec.policy, slot.action_size, title=slot.facts.title) as served:
                return _trials(attempt, slot, episodes, served)
        # With a script, too: what nobody adds anything to is the script alone.
        policy = LinearPolicy.zero(spec.task, spec.robot_model, slot.obs_size, slot.action_size)
        if attempt.assignment.HasField("policy"):
            policy = LinearPolicy.from_json(attempt.fetch(attempt.assignment.policy))
            policy.check_fits(spec.task, spec.robot_model, slot.obs_size, slot.action_size)
        return _trials(attempt, slot, episodes, policy)


def _trials(attempt: Attempt, slot: LeasedSlot, episodes: int, policy: Policy) -> job_pb2.JobResult:
    spec, worlds = attempt.job.evaluate, slot.worlds
    successes, returns, done = 0, [], 0
    while done < episodes:
        obs = slot.reset(episodes=np.full(worlds, done // worlds, dtype=np.int64))
        policy.reset()
        counted = min(worlds, episodes - done)
        # What an earlier attempt has recorded is the same to the bit and need not be recorded again.
        already = max(0, attempt.assignment.episode_count - done)
        recorded = range(already, max(0, min(RECORDED - done, counted)))
        with record_worlds(attempt, slot, recorded, task=slot.facts.title, seed=spec.seed) as rows:
            total = np.zeros(worlds)
            for _ in range(slot.horizon_steps):
                attempt.check()
                transition = slot.step(policy.act(obs))
                obs = transition.obs
                total += transition.reward
                rows.append()
                if (transition.terminated | transition.truncated).all():
                    break
            rows.seal(slot.success, total)
        successes += int(slot.success[:counted].sum())
        returns += total[:counted].tolist()
        done += counted
        attempt.progress(done / episodes, f"{successes} of {done} episodes succeeded")
    low, high = wilson(successes, episodes)
    attempt.log(f"success {successes}/{episodes}, 95 % interval {low:.3f} to {high:.3f}")
    mean = float(np.mean(returns))
    return job_pb2.JobResult(
        trials=episodes,
        successes=successes,
        success_rate=successes / episodes,
        success_low=low,
        success_high=high,
        return_after=mean,
    )
