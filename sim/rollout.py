"""Many substeps of all worlds in one call: drives and physics of a few worlds at a time, on the threads of the batch.

Worlds do not know of each other, so nothing has to wait for all of them between two substeps. A thread takes a group of
worlds, loads and saves their states in its own caches, and has the control core step their drives together: `GROUP`
fill one vector. It is the loop of `sim.worlds` to the bit, for any group and number of threads.
"""

import ctypes
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from controller import Cohort
from controller.kernel import lanes_of
from sim import substep
from sim.engine import OpenBatch, address

Ids = npt.NDArray[np.intp]

GROUP = 8
"""Worlds that a thread steps together: so many numbers of f64 fill the widest vector and a line of the cache."""

_FUNCTIONS = ("mj_step", "mj_setState", "mj_getState")
_ARRAYS = ("state", "warning", "moving", "substep", "world")
_SIZES = (
    "nstate", "nwarning", "nq", "nv", "qpos", "qvel", "qacc", "bad_qpos", "bad_qvel", "bad_qacc", "group", "substeps",
)  # fmt: skip


class _Rollout(ctypes.Structure):
    """Mirror of `struct rollout` in substep.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("drives", "step_lanes", *_FUNCTIONS, *_ARRAYS)),
        ("most", ctypes.c_double),
        *((name, ctypes.c_size_t) for name in _SIZES),
        ("parts", ctypes.c_int32),
    )


class Rollout:
    """The worlds of an `OpenBatch` under the drives of a compiled cohort."""

    def __init__(self, batch: OpenBatch, cohort: Cohort, drive: substep.Drive) -> None:
        """Bind them; `drive` is the compiled substep of these drives on the batch's rows.

        The addresses are taken once, here: no array may be replaced afterwards.
        """
        lanes, handle = lanes_of(cohort.step), substep.loaded().handle
        assert lanes is not None, "a compiled substep has a compiled core"
        assert handle is not None
        assert handle.palaestra_rollout_bytes() == ctypes.sizeof(_Rollout)
        self._batch, self._turn = batch, lanes.turn
        worlds = batch.nsim
        self._moving = np.ones(worlds, np.uint8)
        self._group = min(GROUP, -(-worlds // batch.nthread))
        self._substep, self._world = np.zeros(worlds, np.uint32), np.zeros(worlds, np.uint32)
        engine = batch.engine
        self._r = r = _Rollout(drives=ctypes.addressof(drive.mirror), step_lanes=lanes.step)
        for name in _FUNCTIONS:
            setattr(r, name, engine.function(name))
        arrays: tuple[npt.NDArray[Any], ...] = (batch.state, batch.warning, self._moving, self._substep, self._world)
        for name, array in zip(_ARRAYS, arrays, strict=True):
            assert array.flags.c_contiguous, name
            setattr(r, name, array.ctypes.data)
        state, warning = mujoco.mjtState, mujoco.mjtWarning
        r.qpos, r.nq = engine.state_component(int(state.mjSTATE_QPOS))
        r.qvel, r.nv = engine.state_component(int(state.mjSTATE_QVEL))
        r.qacc, _ = engine.state_component(int(state.mjSTATE_WARMSTART))
        r.bad_qpos, r.bad_qvel = int(warning.mjWARN_BADQPOS), int(warning.mjWARN_BADQVEL)
        r.bad_qacc = int(warning.mjWARN_BADQACC)
        r.nstate, r.nwarning, r.most = batch.nstate, batch.warning.shape[1], mujoco.mjMAXVAL
        r.parts = int(state.mjSTATE_INTEGRATION)
        self._function = address(handle.palaestra_rollout)
        self._keep: Any = (cohort, drive)

    def run(self, ids: Ids | None, substeps: int) -> dict[int, str]:
        """Advance the worlds `ids` (None: all) by some substeps, and all drives; return why for those that raised."""
        engine, r = self._batch.engine, self._r
        self._moving[:] = ids is None
        if ids is not None:
            self._moving[ids] = 1
        # A thread's model is that of one world at a time: worlds that differ in it go one by one.
        r.group = 1 if self._batch.differs else self._group
        r.substeps = substeps
        firsts = np.arange(0, self._batch.nsim, r.group, dtype=np.int32)
        groups = len(firsts)
        self._substep[:groups] = self._world[:groups] = 0
        failures: dict[int, str] = {}
        while engine.apply(self._function, r, firsts):
            # MuJoCo left these groups in the middle, at the world that raised: they go on after it.
            firsts = firsts[self._batch.status[firsts] != 0]
            for first in firsts:
                at = int(self._world[first // r.group])
                assert at > 0, engine.error(int(first))  # Before any world was stepped nothing raises.
                failures[int(first) + at - 1] = engine.error(int(first))
                self._moving[int(first) + at - 1] = 0
        self._turn(substeps)
        return failures
