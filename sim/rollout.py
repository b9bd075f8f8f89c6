"""Many substeps of all worlds in one call: drives and physics of a few worlds at a time, on the threads of the batch.

Worlds do not know of each other, so nothing has to wait for all of them between two substeps. A thread takes a group of
worlds, loads and saves their states in its own caches, and has the control core step their drives together: `GROUP`
fill one vector. It is the loop of `sim.worlds` to the bit, for any group and number of threads.

What MuJoCo's batch calls a simulation is a *desk* here: it goes through some of the groups, one after the other.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from controller import Cohort
from controller.kernel import lanes_of
from sim import substep
from sim.compact import APPLIED, KEPT, CompactBatch
from sim.engine import OpenBatch, address
from sim.sites import Sites

Ids = npt.NDArray[np.intp]
Array = npt.NDArray[np.float64]

GROUP = 8
"""Worlds that a thread steps together: so many numbers of f64 fill the widest vector and a line of the cache."""

_GIVEN = int(mujoco.mjtState.mjSTATE_USER) & ~int(mujoco.mjtState.mjSTATE_USERDATA)
"""Parts of a state that a step reads and leaves."""
_FUNCTIONS = ("mj_step", "mj_setState", "mj_getState")
_ARRAYS = ("state", "applied", "warning", "moving", "pushed", "strained", "at", "substep", "world")
_SIZES = (
    "nstate", "napplied", "nwarning", "nq", "nv", "qpos", "qvel", "qacc", "bad_qpos", "bad_qvel", "bad_qacc", "group",
    "spread", "desks", "substeps",
)  # fmt: skip


class _Rollout(ctypes.Structure):
    """Mirror of `struct rollout` in substep.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("drives", "step_lanes", *_FUNCTIONS, *_ARRAYS, "sites")),
        ("most", ctypes.c_double),
        *((name, ctypes.c_size_t) for name in _SIZES),
        ("parts", ctypes.c_int32),
        ("moved_parts", ctypes.c_int32),
        ("applied_parts", ctypes.c_int32),
    )


class Rollout:
    """The worlds of a batch under the drives of a compiled cohort."""

    def __init__(self, batch: OpenBatch | CompactBatch, cohort: Cohort, drive: substep.Drive) -> None:
        """Bind them; `drive` is the compiled substep of these drives on the batch's rows.

        The addresses are taken once, here: no array may be replaced afterwards.
        """
        lanes, handle = lanes_of(cohort.step), substep.loaded().handle
        assert lanes is not None, "a compiled substep has a compiled core"
        assert handle is not None
        assert handle.palaestra_rollout_bytes() == ctypes.sizeof(_Rollout)
        self._batch, self._turn = batch, lanes.turn
        self._desk = batch.desk if isinstance(batch, CompactBatch) else batch
        worlds = batch.nsim
        self._group = min(GROUP, -(-worlds // batch.nthread))
        self._moving, self._pushed = np.ones(worlds, np.uint8), np.zeros(worlds, np.uint8)
        self._strained = np.ones(self._desk.nsim, np.uint8)
        self._at, self._substep, self._world = (np.zeros(self._desk.nsim, np.uint32) for _ in range(3))
        self._numbers = np.arange(self._desk.nsim, dtype=np.int32)
        engine = self._desk.engine
        self._r = r = _Rollout(drives=ctypes.addressof(drive.mirror), step_lanes=lanes.step)
        for name in _FUNCTIONS:
            setattr(r, name, engine.function(name))
        rows, applied, component = batch_rows(batch)
        arrays: tuple[npt.NDArray[Any] | None, ...]
        arrays = (rows, applied, batch.warning, self._moving, self._pushed, self._strained)
        arrays += (self._at, self._substep, self._world)
        for name, array in zip(_ARRAYS, arrays, strict=True):
            if array is not None:
                assert array.flags.c_contiguous, name
                setattr(r, name, array.ctypes.data)
        state, warning = mujoco.mjtState, mujoco.mjtWarning
        r.qpos, r.nq = component(int(state.mjSTATE_QPOS))
        r.qvel, r.nv = component(int(state.mjSTATE_QVEL))
        r.qacc, _ = component(int(state.mjSTATE_WARMSTART))
        r.bad_qpos, r.bad_qvel = int(warning.mjWARN_BADQPOS), int(warning.mjWARN_BADQVEL)
        r.bad_qacc = int(warning.mjWARN_BADQACC)
        r.nstate, r.nwarning, r.most = rows.shape[1], batch.warning.shape[1], mujoco.mjMAXVAL
        r.napplied = 0 if applied is None else applied.shape[1]
        r.parts, r.moved_parts = parts_of(batch.model, int(state.mjSTATE_INTEGRATION) if applied is None else KEPT)
        r.applied_parts = APPLIED
        self._function = address(handle.palaestra_rollout)
        self._keep: Any = (cohort, drive)

    def run(self, ids: Ids | None, substeps: int, sites: Sites | None = None) -> dict[int, str]:
        """Advance the worlds `ids` (None: all) by some substeps, and all drives; return why for those that raised.

        `sites`: those of the worlds that advance are found where they are after the last substep.
        """
        engine, r = self._desk.engine, self._r
        self._moving[:] = ids is None
        if ids is not None:
            self._moving[ids] = 1
        # A thread's model is that of one world at a time: worlds that differ in it go one by one.
        compact = isinstance(self._batch, CompactBatch)
        r.group = 1 if self._desk.differs else self._group
        groups = -(-self._batch.nsim // r.group)
        r.spread, r.desks = (1, min(groups, self._desk.nsim)) if compact else (r.group, groups)
        r.substeps, r.sites = substeps, None if sites is None else sites.address
        desks = self._numbers[: r.desks]
        self._at[: r.desks] = desks
        self._substep[:] = self._world[:] = 0
        # Others use the desks, too.
        self._strained[:] = 1
        failures: dict[int, str] = {}
        while engine.apply(self._function, r, desks * np.int32(r.spread)):
            # MuJoCo left these desks in the middle, at the world that raised: they go on after it.
            desks = desks[self._desk.status[desks * r.spread] != 0]
            for desk in desks:
                at, why = int(self._world[desk]), engine.error(int(desk * r.spread))
                assert at > 0, why  # Before any world was stepped nothing raises.
                world = int(self._at[desk]) * r.group + at - 1
                failures[world] = why
                self._moving[world] = 0
        self._turn(substeps)
        return failures


def parts_of(model: mujoco.MjModel, parts: int) -> tuple[int, int]:
    """Return which of these parts of a state the model has, and which of them `mj_step` may change.

    The latter lie at the begin of a row of the former. To ask MuJoCo for a part costs the same whether there is any.
    """
    present = sum(part for bit in range(int(mujoco.mjtState.mjNSTATE)) if _size(model, part := parts & 1 << bit))
    given, moved = present & _GIVEN, present & ~_GIVEN
    # What lies behind anything that is given would have to be written elsewhere.
    return present, moved if not given or moved < given & -given else present


def _size(model: mujoco.MjModel, part: int) -> int:
    return int(mujoco.mj_stateSize(model, part))


def batch_rows(batch: OpenBatch | CompactBatch) -> tuple[Array, Array | None, Callable[[int], tuple[int, int]]]:
    """Return rows of states, (N, any), what is applied besides, (N, any), and where a part of a state is in a row."""
    if isinstance(batch, CompactBatch):
        return batch.rows, batch.applied, batch.component
    return batch.state, None, batch.engine.state_component
