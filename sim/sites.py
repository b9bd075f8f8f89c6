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
from sim.compact import CompactBatch
from sim.engine import OpenBatch, address

FIELD = "site_xpos"
_FUNCTIONS = ("mj_kinematics", "mj_local2Global")
_ARRAYS = ("local", "turn", "body", "same_frame", "positions")


class _Sites(ctypes.Structure):
    """Mirror of `struct sites` in substep.c."""

    _fields_ = (*((name, ctypes.c_void_p) for name in (*_FUNCTIONS, *_ARRAYS)), ("sites", ctypes.c_size_t))


class Sites:
    """The sites of all worlds of a batch.

    Attributes:
        positions: Where they were found last [m], (N, sites, 3), equal to MuJoCo's `site_xpos` to the bit.
        address: Of what `palaestra_sites` takes, for other compiled code.
    """

    def __init__(self, batch: OpenBatch | CompactBatch) -> None:
        """Nothing is found yet: all are at the origin."""
        model: mujoco.MjModel = batch.model
        self._compact = batch if isinstance(batch, CompactBatch) else None
        desk = batch.desk if isinstance(batch, CompactBatch) else batch
        self._engine = desk.engine
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
        # At desks they are found beside the worlds', for the time of a turn.
        self._at_desks = np.zeros((desk.nsim, model.nsite, 3))
        self._beside = _Sites.from_buffer_copy(self._s)
        self._beside.positions = self._at_desks.ctypes.data
        handle = substep.loaded().handle
        assert handle is not None
        assert handle.palaestra_sites_bytes() == ctypes.sizeof(_Sites)
        self._function = address(handle.palaestra_sites)

    def find(self, ids: npt.NDArray[np.intp] | None) -> None:
        """Find those of the worlds `ids` (None: all), as their states are."""
        if self._compact is None:
            self._engine.apply(self._function, self._s, None if ids is None else ids.astype(np.int32))
            return
        for some in self._compact.at_desks(np.arange(len(self.positions)) if ids is None else ids):
            self.look(some)

    def look(self, some: npt.NDArray[np.intp]) -> None:
        """Find those of worlds of a `CompactBatch`, each at the desk of its place among them."""
        self._engine.apply(self._function, self._beside, np.arange(len(some), dtype=np.int32))
        self.positions[some] = self._at_desks[: len(some)]
