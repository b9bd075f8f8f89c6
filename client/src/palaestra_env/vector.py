"""The worlds of a slot as a Gymnasium `VectorEnv`: all of them in one call, wherever they are.

What an environment does depends on its seed and its actions alone (`palaestra_env.seeds`): not on how many there are,
and not on where their slot is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from palaestra_env.seeds import Seed, fresh, world_numbers
from palaestra_env.slot import Array, Mask, Slot

Info = dict[str, Any]


@dataclass(frozen=True)
class Buffers:
    """Where results are written, one row per environment; made once, or given: memory that others read, for example.

    Attributes:
        obs: (N, obs_size), float64.
        reward: (N,), float64.
        terminated, truncated: (N,), bool.
    """

    obs: Array
    reward: Array
    terminated: Mask
    truncated: Mask

    @classmethod
    def empty(cls, envs: int, obs_size: int) -> "Buffers":
        """Return new ones, all zero."""
        flags = (np.zeros(envs, np.bool_) for _ in range(2))
        return cls(np.zeros((envs, obs_size)), np.zeros(envs), *flags)


def spaces_of(slot: Slot) -> tuple[Box, Box]:
    """Return the spaces of observations and actions of one environment. Observations know no bounds."""
    return (
        Box(-np.inf, np.inf, (slot.obs_size,), np.float64),
        Box(-1.0, 1.0, (slot.action_size,), np.float32),
    )


class SlotVectorEnv(VectorEnv):  # type: ignore[misc]
    """All worlds of a slot.

    Attributes:
        slot: The worlds. Whoever made it may look at it; what it is told goes through the environment.
        seeds: What each environment's chance comes from, (N,): its world's number. Valid after a reset.
        metadata: `autoreset_mode` says what happens to environments whose episode has ended.

    Infos follow Gymnasium's convention for vectors (`key` with a mask `_key`). A reset tells `seed` and
    `episode_number`; the end of an episode tells `success` and, where something broke, the reason: `failure`. Worlds
    that blow up, whose robot the control core stops or whose action is no number are terminated; the others do not
    notice.
    """

    def __init__(
        self,
        slot: Slot,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        buffers: Buffers | None = None,
        copy: bool = True,
    ) -> None:
        """Take over the worlds of `slot`.

        Args:
            slot: The worlds.
            autoreset_mode: `NEXT_STEP`, `SAME_STEP` or `DISABLED`, as Gymnasium defines them.
            buffers: Where results are written; made here by default.
            copy: Whether `reset` and `step` return copies. Otherwise they return the buffers themselves, which the
                next call overwrites.

        Raises:
            ValueError: no such mode, or buffers of another shape or type.
        """
        self.slot = slot
        self.num_envs = slot.worlds
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self.autoreset_mode}
        self.single_observation_space, self.single_action_space = spaces_of(slot)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.buffers = Buffers.empty(self.num_envs, slot.obs_size) if buffers is None else buffers
        _check_buffers(self.buffers, self.num_envs, slot.obs_size)
        self._copy = copy
        self.seeds: npt.NDArray[np.int64] | None = None
        self._ended = np.zeros(self.num_envs, np.bool_)

    @property
    def np_random_seed(self) -> tuple[int, ...]:
        """The seeds, one for each environment, -1 before the first reset."""
        return tuple([-1] * self.num_envs if self.seeds is None else self.seeds.tolist())

    def reset(self, *, seed: Seed = None, options: Mapping[str, Any] | None = None) -> tuple[Array, Info]:
        """Start episodes and return observations and infos.

        Args:
            seed: Which worlds the environments are from now on, as `palaestra_env.seeds`: their first episode begins.
                Without one they go on with the next episode; environments that never had one get one by chance,
                and tell it in `info["seed"]`.
            options: `reset_mask`, (N,) of bool: only these. `episode`, one or (N,): the number of the episode.

        Raises:
            BadSeed: a seed that cannot be honoured.
            ValueError, TypeError: an unknown option or one of another shape.
        """
        mask, episode = _options(options, self.num_envs)
        wanted = world_numbers(seed, self.num_envs)
        if self.seeds is None:
            if not mask.all():
                raise ResetNeeded("the first reset is one of all environments")
            self.seeds = np.array(fresh(self.num_envs), np.int64)
            wanted = [int(s) if w is None else w for s, w in zip(self.seeds, wanted, strict=True)]
        ids = np.flatnonzero(mask)
        for i in np.flatnonzero(~mask):
            if wanted[i] is not None and hasattr(seed, "__len__"):
                raise ValueError(f"a seed for environment {i}, which is not reset")
        seeded = np.array([wanted[i] is not None for i in ids])
        numbers = np.array([self.seeds[i] if wanted[i] is None else wanted[i] for i in ids], np.int64)
        episodes = np.where(seeded, 0, self.slot.episodes[ids] + 1) if episode is None else episode[ids]
        self.seeds[ids] = numbers
        self.buffers.obs[:] = self.slot.reset(mask, worlds=numbers, episodes=episodes)
        for flags in (self._ended, self.buffers.terminated, self.buffers.truncated):
            flags[ids] = False
        self.buffers.reward[ids] = 0.0
        return self._given(self.buffers.obs), self._begun({}, mask)

    def step(self, actions: npt.ArrayLike) -> tuple[Array, Array, Mask, Mask, Info]:
        """Advance all environments by a policy step; those whose episode has ended, as `autoreset_mode` says.

        Args:
            actions: (N, action_size), within [-1, 1]; what lies beyond is clipped. One that is not finite ends the
                episode of its environment with a `failure`.

        Raises:
            ResetNeeded: before the first reset; an environment has ended and `autoreset_mode` is `DISABLED`.
            BadAction: another shape. Nothing was stepped.
        """
        if self.seeds is None:
            raise ResetNeeded("step before the first reset")
        if self.autoreset_mode == AutoresetMode.DISABLED and self._ended.any():
            over = np.flatnonzero(self._ended)[:5].tolist()
            raise ResetNeeded(f"the episodes of environments {over} have ended: reset them")
        before, buffers = self._ended.copy(), self.buffers
        # Worlds that have ended rest in the slot: what is asked of them does not matter.
        after = self.slot.step(actions, contain=True)
        buffers.obs[:], buffers.reward[:] = after.obs, after.reward
        buffers.terminated[:], buffers.truncated[:] = after.terminated & ~before, after.truncated & ~before
        ended: Mask = buffers.terminated | buffers.truncated
        info: Info = {}
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            if ended.any():
                info = self._finals(ended)
                buffers.obs[:] = self.slot.reset(ended)
                self._begun(info, ended)
        else:
            if ended.any():
                self._told(info, ended)
            if before.any():
                buffers.obs[:] = self.slot.reset(before)
                self._begun(info, before)
            self._ended = ended
        return (
            self._given(buffers.obs),
            self._given(buffers.reward),
            self._given(buffers.terminated),
            self._given(buffers.truncated),
            info,
        )

    def _given(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return array.copy() if self._copy else array

    def _begun(self, info: Info, mask: Mask) -> Info:
        """Tell which worlds' episodes have begun."""
        info["seed"], info["_seed"] = np.where(mask, self.slot.world_numbers, 0), mask.copy()
        info["episode_number"], info["_episode_number"] = np.where(mask, self.slot.episodes, 0), mask.copy()
        return info

    def _told(self, info: Info, ended: Mask) -> Info:
        """Tell how episodes have ended."""
        info["success"], info["_success"] = self.slot.success & ended, ended.copy()
        failures = self.slot.failures
        broken = [i for i in np.flatnonzero(ended) if int(i) in failures] if failures else []
        if broken:
            reasons, mask = np.full(self.num_envs, None, object), np.zeros(self.num_envs, np.bool_)
            for i in broken:
                reasons[i], mask[i] = failures[int(i)], True
            info["failure"], info["_failure"] = reasons, mask
        return info

    def _finals(self, ended: Mask) -> Info:
        last = np.full(self.num_envs, None, object)
        for i in np.flatnonzero(ended):
            last[i] = self.buffers.obs[i].copy()
        final = self._told({}, ended)
        return {"final_obs": last, "_final_obs": ended.copy(), "final_info": final, "_final_info": ended.copy()}


def _options(options: Mapping[str, Any] | None, envs: int) -> tuple[Mask, npt.NDArray[np.int64] | None]:
    given = dict(options or {})
    mask = given.pop("reset_mask", None)
    episode = given.pop("episode", None)
    if given:
        raise ValueError(f"unknown options {sorted(given)}: there are reset_mask and episode")
    if mask is None:
        mask = np.ones(envs, np.bool_)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise TypeError(f"reset_mask must be a numpy array of bool, not {type(mask).__name__}")
    if mask.shape != (envs,) or not mask.any():
        raise ValueError(f"reset_mask has shape {mask.shape} and {int(mask.sum())} set, not ({envs},) and at least 1")
    if episode is None:
        return mask, None
    numbers = np.asarray(episode)
    if numbers.dtype.kind not in "iu" or numbers.shape not in ((), (envs,)) or (numbers < 0).any():
        raise ValueError(f"episode = {episode!r}: must be a whole number from 0, or {envs} of them")
    return mask, np.broadcast_to(numbers, (envs,)).astype(np.int64)


def _check_buffers(buffers: Buffers, envs: int, obs_size: int) -> None:
    wanted = {
        "obs": ((envs, obs_size), np.float64),
        "reward": ((envs,), np.float64),
        "terminated": ((envs,), np.bool_),
        "truncated": ((envs,), np.bool_),
    }
    for name, (shape, dtype) in wanted.items():
        array = getattr(buffers, name)
        if array.shape != shape or array.dtype != dtype or not array.flags.writeable:
            raise ValueError(f"buffer {name} is {array.dtype}{array.shape}, not writable {np.dtype(dtype)}{shape}")
