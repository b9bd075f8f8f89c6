"""One world as a `dm_env.Environment`.

An episode that ends by failure has discount 0 in its last step, one that reaches its horizon 1: what would have come
after still counts. A step after the last one begins the next episode, as dm_env asks for.
"""

from typing import Any

import dm_env
import numpy as np
import numpy.typing as npt
from dm_env import specs

from palaestra_env.seeds import world_numbers
from sim.body import Array
from sim.catalog import ACTUATORS, Actuators, find
from sim.errors import BadAction, BadSeed
from sim.randomisation import NO_RANDOMISATION, Randomisation
from sim.slot import SimSlot
from sim.tasks import find_task

OBSERVATION = "observation"


class DmEnv(dm_env.Environment):  # type: ignore[misc]
    """A robot at a task.

    Attributes:
        slot: The world.
    """

    def __init__(
        self,
        robot: str,
        task: str,
        *,
        seed: int,
        job_seed: int = 0,
        actuators: Actuators = ACTUATORS[0],
        randomisation: Randomisation = NO_RANDOMISATION,
    ) -> None:
        """Make the world.

        Args:
            robot, task: Names of the catalogue and of the tasks.
            seed: Which world it is, as `palaestra_env.seeds`; episodes follow each other from the first.
            job_seed, actuators, randomisation: As `sim.env.vector.make_vec`.

        Raises:
            BadSeed, UnknownRobot, UnknownTask, and what `SimSlot` raises.
        """
        (world,) = world_numbers(seed, 1)
        if world is None:
            raise BadSeed("seed = None: a dm_env environment is told its seed when it is made")
        self.slot = SimSlot(
            find(robot),
            find_task(task),
            worlds=1,
            threads=1,
            seed=job_seed,
            first_world=world,
            actuators=actuators,
            randomisation=randomisation,
        )
        self._episode = -1
        self._ended = True

    def reset(self) -> dm_env.TimeStep:
        """Begin the next episode."""
        self._episode += 1
        self._ended = False
        return dm_env.restart(self._seen(self.slot.reset(episodes=[self._episode])))

    def step(self, action: npt.ArrayLike) -> dm_env.TimeStep:
        """Advance by a policy step, or begin an episode where none is under way; the action is then ignored.

        Args:
            action: (action_size,), within [-1, 1]; one that is not finite ends the episode by failure.

        Raises:
            BadAction: another shape.
        """
        if self._ended:
            return self.reset()
        asked = np.asarray(action, dtype=np.float64)
        if asked.shape != (self.slot.action_size,):
            raise BadAction(f"an action has shape {asked.shape}, not ({self.slot.action_size},)")
        after = self.slot.step(asked[None], contain=True)
        obs, reward = self._seen(after.obs), float(after.reward[0])
        self._ended = bool(after.terminated[0] or after.truncated[0])
        if after.terminated[0]:
            return dm_env.termination(reward, obs)
        return dm_env.truncation(reward, obs) if self._ended else dm_env.transition(reward, obs)

    def failure(self) -> str:
        """Return why the last episode broke off, "" where nothing broke."""
        return self.slot.failures.get(0, "")

    def observation_spec(self) -> dict[str, Any]:
        """Return the spec of the one observation, (obs_size,); `slot.observation_names` says what its numbers are."""
        return {OBSERVATION: specs.Array((self.slot.obs_size,), np.float64, name=OBSERVATION)}

    def action_spec(self) -> specs.BoundedArray:
        """Return the spec of an action, (action_size,) within [-1, 1]."""
        return specs.BoundedArray((self.slot.action_size,), np.float64, -1.0, 1.0, name="action")

    def _seen(self, obs: Array) -> dict[str, Array]:
        return {OBSERVATION: obs[0].copy()}
