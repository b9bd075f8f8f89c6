"""`make_env` as LeRobot's EnvHub calls it, and the vector that its evaluation asks for.

A hub's `env.py` is one line: `from sim.env.lerobot import make_env`. Observations are a dict under LeRobot's names:
`agent_pos`, the joints' angles, and `environment_state`, the task's observation. The vector answers `call` and
`get_attr` for what LeRobot asks of every environment, and tells `is_success` in `info["final_info"]`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Dict
from gymnasium.vector.utils import batch_space

from palaestra_env.seeds import Seed
from sim.env.vector import Info, SlotVectorEnv, make_vec
from sim.slot import SimSlot

NEW_ROLLOUT = "lerobot_new_rollout"
"""An option of LeRobot's resets: a new rollout begins. Every reset of ours begins new episodes."""


class LerobotVectorEnv(SlotVectorEnv):
    """A vector of worlds in this process whose observations have LeRobot's names and are float32.

    Attributes:
        task_description: What the robot is asked to do, in words.
    """

    def __init__(self, slot: SimSlot, **rest: Any) -> None:
        """Take over the worlds of `slot`; parameters as `SlotVectorEnv`."""
        super().__init__(slot, **rest)
        self._slot = slot
        limits = [np.float32(each) for each in (slot.body.q_min, slot.body.q_max)]
        # Joints may be pressed beyond their soft limits: the bounds are for scaling, as in LeRobot's own.
        self.single_observation_space = Dict(
            {
                "agent_pos": Box(limits[0] - np.float32(np.pi), limits[1] + np.float32(np.pi), dtype=np.float32),
                "environment_state": Box(-np.inf, np.inf, (slot.obs_size,), np.float32),
            }
        )
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.task_description = slot.task.title

    def reset(self, *, seed: Seed = None, options: Mapping[str, Any] | None = None) -> tuple[Any, Info]:
        """As `SlotVectorEnv.reset`; LeRobot's own option is understood."""
        rest = {key: value for key, value in (options or {}).items() if key != NEW_ROLLOUT}
        _, info = super().reset(seed=seed, options=rest)
        return self._named(), info

    def step(self, actions: npt.ArrayLike) -> tuple[Any, Any, Any, Any, Info]:
        """As `SlotVectorEnv.step`."""
        _, reward, terminated, truncated, info = super().step(actions)
        ended = terminated | truncated
        if ended.any():
            told = info.setdefault("final_info", {})
            told["is_success"] = np.asarray(told.get("success", info.get("success")))
            told["_is_success"] = ended.copy()
            info["_final_info"] = ended.copy()
        return self._named(), reward, terminated, truncated, info

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Return an attribute, or what a method of it returns, once for each environment. Raises AttributeError."""
        known = {
            "task": self._slot.task.name,
            "task_description": self.task_description,
            "_max_episode_steps": self._slot.horizon_steps,
        }
        found = known[name] if name in known else getattr(self, name)
        return (found(*args, **kwargs) if callable(found) else found,) * self.num_envs

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Return an attribute, once for each environment. Raises AttributeError."""
        return self.call(name)

    def _named(self) -> dict[str, npt.NDArray[np.float32]]:
        q, *_ = self._slot.joint_state()
        return {"agent_pos": q.astype(np.float32), "environment_state": self.buffers.obs.astype(np.float32)}


def make_env(
    n_envs: int = 1,
    use_async_envs: bool = False,
    cfg: Any = None,
    *,
    robot: str = "own_arm",
    task: str = "reach",
    threads: int = 1,
    **rest: Any,
) -> dict[str, dict[int, LerobotVectorEnv]]:
    """Return `{suite: {task_id: vector}}`, LeRobot's form of a benchmark.

    Args:
        n_envs: How many environments.
        use_async_envs: Taken for granted: worlds are stepped on `threads` threads, and results do not depend on it.
        cfg: LeRobot's configuration; a `task` of the form "robot/task" in it comes before the parameters.
        robot, task, threads: As `sim.env.vector.make_vec`.
        rest: As `sim.env.vector.make_vec`.

    Raises:
        As `make_vec`.
    """
    chosen = getattr(cfg, "task", None)
    if isinstance(chosen, str) and chosen.count("/") == 1:
        robot, task = chosen.split("/")
    slot = make_vec(robot, task, n_envs, threads=threads, **rest).slot
    assert isinstance(slot, SimSlot)
    return {f"palaestra/{robot}": {0: LerobotVectorEnv(slot)}}
