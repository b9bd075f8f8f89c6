"""The states of many worlds in what differs between them, over a batch of MuJoCo's that is only a few desks.

MuJoCo's batch keeps a row of all that a world goes on from, and for a legged robot more than half of it are forces
applied from outside: six numbers for every body, nearly always zero. Here a world's row is without them. They lie in
memory of their own, of which the system gives only those pages that were written to; and the rows of MuJoCo's batch are
those of its desks, at which worlds take turns (`sim.rollout`). States are to the bit those of a batch of all worlds.
"""

import ctypes
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from controller.pages import blank
from sim.engine import OpenBatch

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.intp]

DESKS = 32
"""For each thread: enough to share the worlds out evenly, and few enough to cost nothing."""
APPLIED = int(mujoco.mjtState.mjSTATE_QFRC_APPLIED | mujoco.mjtState.mjSTATE_XFRC_APPLIED)
"""What is not in a row."""
KEPT = int(mujoco.mjtState.mjSTATE_INTEGRATION) & ~APPLIED
_NONE = np.zeros((), np.int32)
_VIEWS = {
    "qpos": int(mujoco.mjtState.mjSTATE_QPOS),
    "qvel": int(mujoco.mjtState.mjSTATE_QVEL),
    "ctrl": int(mujoco.mjtState.mjSTATE_CTRL),
}


class CompactBatch:
    """N worlds of one model. Of `mujoco.batch.Batch` it has what a slot without sensors needs.

    Attributes:
        model, nsim, nthread: As there.
        desk: The batch at whose simulations worlds take turns.
        rows: Live states without what is applied, (N, n), in the order of `mj_getState` with `KEPT`.
        applied: Live forces on dofs and bodies, (N, nv + 6 nbody), in the order of `mj_getState` with `APPLIED`.
        warning: As there, (N, kinds, 2).
    """

    def __init__(self, functions: ctypes.CDLL, model: mujoco.MjModel, simulations: int, threads: int) -> None:
        """Place all worlds at the first keyframe; `functions` are what `sim.engine.library` returns."""
        self.model, self.nsim, self.nthread = model, simulations, threads
        self.desk = OpenBatch(functions, model, min(simulations, DESKS * threads), threads)
        self._columns, self._applied_columns = (_columns(model, parts) for parts in (KEPT, APPLIED))
        self.rows: Array = np.zeros((simulations, len(self._columns)))
        self.applied: Array = blank((simulations, len(self._applied_columns)), np.float64)
        self.warning = blank((simulations, *self.desk.warning.shape[1:]), np.int32)
        self.desk.reset([0], keyframe=0, stage=mujoco.mjtStage.mjSTAGE_NONE)
        start = self.desk.state[0]
        self._start_row, self._start_applied = start[self._columns], start[self._applied_columns]
        self.rows[:] = self._start_row

    def component(self, part: int) -> tuple[int, int]:
        """Return where a part of the state, an `mjtState`, is in a row, and its size."""
        whole, size = self.desk.engine.state_component(part)
        return int(np.searchsorted(self._columns, whole)), size

    def bind(self, name: str) -> Array:
        """Return a live view: `qpos` (N, nq), `qvel` (N, nv), `ctrl` (N, nu) or `xfrc_applied` (N, nbody, 6)."""
        if name == "xfrc_applied":
            return self.applied[:, self.model.nv :].reshape(self.nsim, self.model.nbody, 6)
        first, size = self.component(_VIEWS[name])
        return self.rows[:, first : first + size]

    def reset(self, ids: Any, *, keyframe: int, stage: mujoco.mjtStage) -> None:
        """Put worlds at the first keyframe, without warnings. What stages would compute nobody keeps here."""
        assert keyframe == 0, keyframe
        which = np.asarray(ids, np.intp)
        self.rows[which] = self._start_row
        _write(self.applied, which, self._start_applied)
        _write(self.warning, which, _NONE)

    def get_model(self, simulation: int) -> mujoco.MjModel:
        """Return a copy of a world's model, which is that of all."""
        assert 0 <= simulation < self.nsim, simulation
        return self.desk.get_model(0)

    def states(self, ids: Ids | None = None) -> Array:
        """Return copies of the whole states of worlds (None: all), (n, nstate), in the order of `mj_getState`."""
        which = slice(None) if ids is None else ids
        whole = np.empty((self.nsim if ids is None else len(ids), self.desk.nstate))
        whole[:, self._columns] = self.rows[which]
        whole[:, self._applied_columns] = self.applied[which]
        return whole

    def put(self, states: Array) -> None:
        """Give all worlds their whole states, (N, nstate)."""
        self.rows[:] = states[:, self._columns]
        _write(self.applied, np.arange(self.nsim), states[:, self._applied_columns])


def _columns(model: mujoco.MjModel, parts: int) -> npt.NDArray[np.intp]:
    """Return where parts of the state are in a row of all that a world goes on from."""
    whole, first, found = int(mujoco.mjtState.mjSTATE_INTEGRATION), 0, [np.zeros(0, np.intp)]
    for bit in (1 << k for k in range(int(mujoco.mjtState.mjNSTATE))):
        size = int(mujoco.mj_stateSize(model, bit)) if whole & bit else 0
        if parts & bit:
            found.append(np.arange(first, first + size))
        first += size
    return np.concatenate(found)


def _write(rows: npt.NDArray[Any], ids: Ids, values: npt.NDArray[Any]) -> None:
    """Write rows, one for each of `ids` or the same, but no zeros over zeros: untouched pages take no memory."""
    if np.count_nonzero(values) or any(np.count_nonzero(rows[ids[k : k + 64]]) for k in range(0, len(ids), 64)):
        rows[ids] = values
