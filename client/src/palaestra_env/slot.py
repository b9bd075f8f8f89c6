"""What worlds are to whoever steps them, wherever they are."""

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class Transition(NamedTuple):
    """What one policy step brought; all arrays are copies, one row per world.

    Attributes:
        obs: (N, number of observation names).
        reward: (N,), 0 for worlds that had already ended.
        terminated: Ended by failure (a fall, a stop by the control core, a divergence), (N,).
        truncated: Ended because the horizon was reached, (N,).
    """

    obs: Array
    reward: Array
    terminated: Mask
    truncated: Mask


class Slot(Protocol):
    """What an environment asks of worlds, in this process or elsewhere."""

    worlds: int
    obs_size: int
    action_size: int
    world_numbers: npt.NDArray[np.int64]
    episodes: npt.NDArray[np.int64]
    success: Mask

    @property
    def failures(self) -> dict[int, str]: ...

    def reset(
        self,
        mask: npt.ArrayLike | None = None,
        *,
        worlds: npt.ArrayLike | None = None,
        episodes: npt.ArrayLike | None = None,
    ) -> Array: ...

    def step(self, actions: npt.ArrayLike, *, contain: bool = False) -> Transition: ...
