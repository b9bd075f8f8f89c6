"""How well a policy does: episodes of a slot's worlds, each world as often as the others, none chosen by its end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sim.body import Array
from sim.slot import SimSlot


class Policy(Protocol):
    """What chooses actions for all worlds at once."""

    def reset(self) -> None:
        """Forget what belongs to episodes that are over."""

    def act(self, obs: Array) -> Array:
        """Return actions for observations (N, obs_size), (N, action_size)."""


@dataclass(frozen=True)
class Evaluation:
    """What came of it.

    Attributes:
        trials, successes: Episodes, and those that met the task's criterion.
        returns: Sum of rewards of each episode, (trials,).
        failures: Why, for each that broke off.
    """

    trials: int
    successes: int
    returns: Array
    failures: tuple[str, ...]


def evaluate(
    slot: SimSlot, policy: Policy, episodes: int, *, progress: Callable[[int, int], None] | None = None
) -> Evaluation:
    """Return how a policy does in the first episodes of the slot's worlds.

    Args:
        slot: The worlds. Episode k is number k // N of world k modulo N, so the same ones whatever the policy.
        policy: What chooses the actions; an action that is no number ends its episode.
        episodes: How many, at least 1.
        progress: Told after every round: episodes so far, and how many of them were successes.

    Raises:
        ValueError: `episodes` is less than 1.
        BadAction: actions of another shape. What `policy` raises goes through.
    """
    if episodes < 1:
        raise ValueError(f"episodes = {episodes}: must be at least 1")
    successes, returns, failures = 0, np.zeros(episodes), list[str]()
    for done in range(0, episodes, slot.worlds):
        counted = min(slot.worlds, episodes - done)
        policy.reset()
        obs = slot.reset(episodes=np.full(slot.worlds, done // slot.worlds))
        total = np.zeros(slot.worlds)
        while not (slot.terminated | slot.truncated).all():
            transition = slot.step(policy.act(obs), contain=True)
            obs = transition.obs
            total += transition.reward
        successes += int(slot.success[:counted].sum())
        returns[done : done + counted] = total[:counted]
        failures += [why for world, why in sorted(slot.failures.items()) if world < counted]
        if progress is not None:
            progress(done + counted, successes)
    return Evaluation(episodes, successes, returns, tuple(failures))
