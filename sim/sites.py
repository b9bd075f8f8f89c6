"""Where the sites of all worlds are, without more of MuJoCo's position stage than that takes.

`mjSTAGE_POS`, the least that the batch computes anew, also looks for contacts and factorises the inertia matrix: for an
arm as much as half a step. A hand's position takes the kinematics.
"""

import ctypes
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from sim import substep
from sim.body import Array
from sim.compact import KEPT, CompactBatch
from sim.engine import OpenBatch, address

FIELD = "site_xpos"
_FUNCTIONS = ("mj_kinematics", "mj_local2Global")
_ARRAYS = ("local", "turn", "body", "same_frame", "positions")


class _Sites(ctypes.Structure):
    """Mirror of `struct sites` in substep.c."""

    _fields_ = (*((name, ctypes.c_void_p) for name in (*_FUNCTIONS, *_ARRAYS)), ("sites", ctypes.c_size_t))


class _Visits(ctypes.Structure):
    """Mirror of `struct visits` in substep.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("sites", "mj_set_state", "state", "world")),
        *((name, ctypes.c_size_t) for name in ("nstate", "count", "desks")),
        ("parts", ctypes.c_int32),
    )


class Sites:
    """The sites of all worlds of a batch.

    Attributes:
        positions: Where they were found last [m], (N, sites, 3), equal to MuJoCo's `site_xpos` to the bit.
        address: Of what `palaestra_sites` takes, for other compiled code.
    """

    def __init__(self, batch: OpenBatch | CompactBatch) -> None:
        """Nothing is found yet: all are at the origin."""
        model: mujoco.MjModel = batch.model
        self._engine = (batch.desk if isinstance(batch, CompactBatch) else batch).engine
        self.positions: Array = np.zeros((batch.nsim, model.nsite, 3))
        fixed: tuple[npt.NDArray[Any], ...] = (
            np.ascontiguousarray(model.site_pos, np.float64),
            np.ascontiguousarray(model.site_quat, np.float64),
            np.ascontiguousarray(model.site_bodyid, np.int32),
            np.ascontiguousarray(model.site_sameframe, np.uint8),
        )
        self._keep = fixed
        self._s = _Sites(sites=model.nsite)
        for name in _FUNCTIONS:
            setattr(self._s, name, self._engine.function(name))
        for name, array in zip(_ARRAYS, (*fixed, self.positions), strict=True):
            setattr(self._s, name, array.ctypes.data)
        self.address = ctypes.addressof(self._s)
        handle = substep.loaded().handle
        assert handle is not None
        assert handle.palaestra_sites_bytes() == ctypes.sizeof(_Sites)
        assert handle.palaestra_visits_bytes() == ctypes.sizeof(_Visits)
        self._find, self._visit = address(handle.palaestra_sites), address(handle.palaestra_visit)
        self._visits: _Visits | None = None
        if isinstance(batch, CompactBatch):
            self._visits = _Visits(
                sites=self.address,
                mj_set_state=self._engine.function("mj_setState"),
                state=batch.rows.ctypes.data,
                nstate=batch.rows.shape[1],
                parts=KEPT,
            )
        self._desks = np.arange(self._engine.nsim, dtype=np.int32)

    def find(self, ids: npt.NDArray[np.intp] | None) -> None:
        """Find those of the worlds `ids` (None: all), as their states are."""
        if self._visits is None:
            self._engine.apply(self._find, self._s, None if ids is None else ids.astype(np.int32))
            return
        worlds = np.arange(len(self.positions), dtype=np.int32) if ids is None else ids.astype(np.int32)
        visits, desks = self._visits, self._desks[: len(worlds)]
        visits.world, visits.count, visits.desks = worlds.ctypes.data, len(worlds), len(desks)
        self._engine.apply(self._visit, visits, desks)
