"""One world as a Gymnasium `Env`: the same task, robot, chance and results as one row of `sim.env.vector`."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.error import ResetNeeded

from palaestra_env.seeds import fresh, world_numbers
from sim.body import Array
from sim.catalog import ACTUATORS, Actuators, find
from sim.env.render import Painter
from sim.env.vector import RENDER_FPS, Info, Slot, spaces_of
from sim.errors import BadAction
from sim.randomisation import NO_RANDOMISATION, Randomisation
from sim.slot import SimSlot
from sim.tasks import find_task


class SlotEnv(gymnasium.Env):  # type: ignore[misc]
    """The world of a slot that has one.

    Attributes:
        slot: The world.

    Infos: `seed` and `episode_number` at a reset, `success` and perhaps `failure` at the end of an episode.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": RENDER_FPS}  # noqa: RUF012, as Gymnasium declares it

    def __init__(self, slot: Slot, *, render_mode: str | None = None) -> None:
        """Take over the world of `slot`. Raises ValueError where it has more than one, or for another render mode."""
        if slot.worlds != 1:
            raise ValueError(f"an Env is one world, the slot has {slot.worlds}: use SlotVectorEnv")
        self.slot = slot
        self.observation_space, self.action_space = spaces_of(slot)
        self._painter = Painter(slot, render_mode)
        self.render_mode = render_mode
        self._seed: int | None = None
        self._ended = True

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[Array, Info]:
        """Start an episode: the first of the world `seed`, else the next one of the same world.

        Args:
            seed: From 0 to 2^63 - 1. A world that never had one gets one by chance and tells it in `info`.
            options: `episode`: the number of the episode.

        Raises:
            BadSeed: a seed that cannot be honoured.
            ValueError: an unknown option.
        """
        (wanted,) = world_numbers(seed, 1)
        given = dict(options or {})
        episode = given.pop("episode", None)
        if given:
            raise ValueError(f"unknown options {sorted(given)}: there is episode")
        if wanted is None and self._seed is None:
            (wanted,) = fresh(1)
        if wanted is not None:
            super().reset(seed=wanted)
            self._seed = wanted
        assert self._seed is not None
        if episode is None:
            episode = 0 if wanted is not None else int(self.slot.episodes[0]) + 1
        obs = self.slot.reset(worlds=[self._seed], episodes=[episode])
        self._ended = False
        return obs[0], {"seed": self._seed, "episode_number": int(self.slot.episodes[0])}

    def step(self, action: npt.ArrayLike) -> tuple[Array, float, bool, bool, Info]:
        """Advance by a policy step.

        Args:
            action: (action_size,), within [-1, 1]; one that is not finite ends the episode with a `failure`.

        Raises:
            ResetNeeded: the episode has ended, or none has begun.
            BadAction: another shape.
        """
        if self._ended:
            raise ResetNeeded("the episode has ended, or none has begun: call reset()")
        asked = np.asarray(action, dtype=np.float64)
        if asked.shape != (self.slot.action_size,):
            raise BadAction(f"an action has shape {asked.shape}, not ({self.slot.action_size},)")
        after = self.slot.step(asked[None], contain=True)
        terminated, truncated = bool(after.terminated[0]), bool(after.truncated[0])
        self._ended = terminated or truncated
        info: Info = {}
        if self._ended:
            info["success"] = bool(self.slot.success[0])
            if 0 in self.slot.failures:
                info["failure"] = self.slot.failures[0]
        return after.obs[0], float(after.reward[0]), terminated, truncated, info

    def render(self) -> npt.NDArray[np.uint8] | None:
        """Draw the world, (height, width, 3); None without a render mode. Raises NoDisplay."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() without a render_mode draws nothing: give render_mode='rgb_array'")
            return None
        return self._painter.draw(0)


def make(
    robot: str,
    task: str,
    *,
    job_seed: int = 0,
    actuators: Actuators = ACTUATORS[0],
    randomisation: Randomisation = NO_RANDOMISATION,
    render_mode: str | None = None,
) -> SlotEnv:
    """Return an environment in a world of its own; parameters as `sim.env.vector.make_vec`."""
    slot = SimSlot(
        find(robot),
        find_task(task),
        worlds=1,
        threads=1,
        seed=job_seed,
        actuators=actuators,
        randomisation=randomisation,
    )
    return SlotEnv(slot, render_mode=render_mode)
