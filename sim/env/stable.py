"""The worlds of a slot as Stable-Baselines3's `VecEnv`, so that its algorithms train on them as they are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv

from palaestra_env.seeds import world_numbers
from sim.env.vector import SlotVectorEnv


class StableVecEnv(VecEnv):  # type: ignore[misc]
    """A `SlotVectorEnv` under Stable-Baselines3's convention: ends reset at once, infos are one dict each."""

    def __init__(self, env: SlotVectorEnv) -> None:
        """Take over `env`. Raises ValueError unless its autoreset mode is `SAME_STEP`."""
        if env.autoreset_mode != AutoresetMode.SAME_STEP:
            raise ValueError(f"autoreset mode {env.autoreset_mode.name}: Stable-Baselines3 needs SAME_STEP")
        self.env = env
        # The base class asks for the render modes while it is built.
        self.render_mode = env.render_mode
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self._actions: npt.NDArray[Any] = np.zeros((env.num_envs, env.slot.action_size))

    def reset(self) -> npt.NDArray[np.float64]:
        """Start episodes, from the seeds given to `seed` if there are new ones."""
        seeds = self._seeds
        obs, info = self.env.reset(seed=None if seeds[0] is None else list(seeds))
        self.reset_infos = [{"seed": int(s)} for s in info["seed"]]
        self._reset_seeds()
        self._reset_options()
        return obs

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the next reset; environments get `seed`, `seed + 1` and so on. Raises BadSeed."""
        self._seeds = world_numbers(seed, self.num_envs)
        return list(self._seeds)

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Remember the actions."""
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any], npt.NDArray[np.bool_], list[dict[str, Any]]]:
        """Step, and tell the last observation of each episode that ended and whether it only ran out of time."""
        obs, reward, terminated, truncated, info = self.env.step(self._actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(terminated | truncated):
            final = info["final_info"]
            infos[i] = {
                "terminal_observation": info["final_obs"][i],
                "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
                "is_success": bool(final["success"][i]),
            }
            if "failure" in final and final["_failure"][i]:
                infos[i]["failure"] = final["failure"][i]
        return obs, reward, terminated | truncated, infos

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of the vector, once for each index. Raises AttributeError."""
        return [getattr(self.env, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Raise NotImplementedError: single environments of a vector have no attributes of their own."""
        raise NotImplementedError(f"set_attr({attr_name!r}): the environments of a vector have no own attributes")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Raise NotImplementedError: single environments of a vector have no methods of their own."""
        raise NotImplementedError(f"env_method({method_name!r}): the environments of a vector have no own methods")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Return that none is wrapped, once for each index."""
        return [False] * len(list(self._get_indices(indices)))
