"""What an environment's physics was, recorded, and the plain C loop that takes the same worlds through the same."""

import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from bench.sim_slot import compiled

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Recording:
    """The physics of N worlds over K policy steps of S substeps.

    Attributes:
        torques: What moved the joints, (K * S, N, nu).
        touched: Row of `rows` that a world goes on from at a step, -1 where physics has gone on alone, (K, N).
        rows: States, (any, nstate).
        end: States after the last step, (N, nstate).
    """

    torques: Array
    touched: npt.NDArray[np.int32]
    rows: Array
    end: Array


def record(slot: Any, steps: int, act: Callable[[int], object]) -> Recording:
    """Record what happens in a slot while `act(k)` is called for each of `steps` policy steps."""
    core = slot.core
    ctrl = core.batch.bind("ctrl")
    advance = core.advance
    torques: list[Array] = []
    touched = np.full((steps, slot.worlds), -1, np.int32)
    rows: list[Array] = []
    last: list[Array] = [np.full_like(core.states(), np.nan)]

    def advancing(ids: Any, substeps: int, **rest: Any) -> Any:
        assert ids is None, "a world rests: its physics is not that of a plain loop"
        step = len(torques) // slot.substeps
        states = core.states()
        for world in np.flatnonzero((states != last[0]).any(axis=1)):
            touched[step, world] = len(rows)
            rows.append(states[world])
        failures: dict[int, str] = {}
        for left in range(substeps - 1, -1, -1):
            failures |= advance(None, 1, **({} if left else rest))
            torques.append(ctrl.copy())
        last[0] = core.states()
        return failures

    core.advance = advancing
    try:
        for k in range(steps):
            act(k)
    finally:
        core.advance = advance
    return Recording(np.stack(torques), touched, np.stack(rows), last[0])


class RawEpisodes:
    """The C loop of `raw_episodes.c`."""

    def __init__(self) -> None:
        self._call = compiled("raw_episodes").raw_episodes

    def run(self, model: mujoco.MjModel, data: list[mujoco.MjData], states: Array, of: Recording) -> None:
        """Take all worlds through a recording; one thread for each of `data`. The end is written into `states`."""
        steps, worlds = of.touched.shape
        shares = np.linspace(0, worlds, len(data) + 1).astype(int)

        def share(number: int) -> None:
            self._call(
                ctypes.c_void_p(model._address), ctypes.c_void_p(data[number]._address),
                *(ctypes.c_void_p(a.ctypes.data) for a in (states, of.torques, of.touched, of.rows)),
                int(shares[number]), int(shares[number + 1]), worlds, steps, len(of.torques) // steps,
            )  # fmt: skip

        others = [threading.Thread(target=share, args=(n,)) for n in range(1, len(data))]
        for thread in others:
            thread.start()
        share(0)
        for thread in others:
            thread.join()
