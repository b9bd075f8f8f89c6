"""The worlds of a slot as a Gymnasium `VectorEnv`: all of them in one call, on as many threads as the slot has.

    env = make_vec("own_quadruped", "walk", num_envs=64, threads=2)
    obs, info = env.reset(seed=7)
    obs, reward, terminated, truncated, info = env.step(actions)

What an environment does depends on its seed and its actions alone (`palaestra_env.seeds`): not on how many there are,
not on threads, and a vector equals `SyncVectorEnv` over `sim.env.single.SlotEnv` to the bit, in every autoreset mode.
"""

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from palaestra_env.slot import Slot as Slot
from palaestra_env.vector import Buffers as Buffers
from palaestra_env.vector import Info as Info
from palaestra_env.vector import SlotVectorEnv as PlainVectorEnv
from palaestra_env.vector import spaces_of as spaces_of
from sim.catalog import ACTUATORS, Actuators, find
from sim.env.render import Painter
from sim.randomisation import NO_RANDOMISATION, Randomisation
from sim.slot import POLICY_PERIOD_S, SimSlot
from sim.tasks import find_task

RENDER_FPS = round(1.0 / POLICY_PERIOD_S)


class SlotVectorEnv(PlainVectorEnv):
    """All worlds of a slot, as `palaestra_env.vector.SlotVectorEnv`, which can be looked at."""

    def __init__(self, slot: Slot, *, render_mode: str | None = None, **rest: Any) -> None:
        """Take over the worlds of `slot`.

        Args:
            slot: The worlds.
            render_mode: None or "rgb_array".
            rest: As there.

        Raises:
            ValueError: no such mode, and as there.
        """
        super().__init__(slot, **rest)
        self.metadata |= {"render_modes": ["rgb_array"], "render_fps": RENDER_FPS}
        self._painter = Painter(slot, render_mode)
        self.render_mode = render_mode

    def render(self) -> tuple[npt.NDArray[np.uint8], ...] | None:
        """Draw every environment, each (height, width, 3); None without a render mode. Raises NoDisplay."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() without a render_mode draws nothing: give render_mode='rgb_array'")
            return None
        return tuple(self._painter.draw(i) for i in range(self.num_envs))


def make_vec(
    robot: str,
    task: str,
    num_envs: int,
    *,
    threads: int = 1,
    job_seed: int = 0,
    actuators: Actuators = ACTUATORS[0],
    randomisation: Randomisation = NO_RANDOMISATION,
    **rest: Any,
) -> SlotVectorEnv:
    """Return environments in worlds of their own, in this process.

    Args:
        robot, task: Names of the catalogue and of the tasks.
        num_envs: How many.
        threads: That step them, at least 1.
        job_seed: What tells this job's chance from another's at the same seeds.
        actuators, randomisation: As for `SimSlot`.
        rest: As for `SlotVectorEnv`.

    Raises:
        UnknownRobot, UnknownTask, and what `SimSlot` and `SlotVectorEnv` raise.
    """
    slot = SimSlot(
        find(robot),
        find_task(task),
        worlds=num_envs,
        threads=threads,
        seed=job_seed,
        actuators=actuators,
        randomisation=randomisation,
    )
    return SlotVectorEnv(slot, **rest)
