"""Loads and binds the compiled substep of drives; says why where it cannot. NumPy does the same, slower."""

import ctypes
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from controller import Cohort
from controller.block import Real
from controller.kernel import address_of
from controller.library import Library, open_library

log = logging.getLogger(__name__)

SOURCES = ("substep.c",)

Index = npt.NDArray[np.intp]

_DOUBLES = ("qpos", "qvel", "out")
_INDICES = ("q_index", "dq_index")
_LANES = ("q", "dq", "load", "torque", "inertia_rate")
_COUNTS = ("qpos_stride", "qvel_stride", "out_stride", "robots", "joints", "lanes")


class _Substep(ctypes.Structure):
    """Mirror of `struct substep` in substep.c; `keep` holds what the addresses point into."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in (*_DOUBLES, *_INDICES, *_LANES, "step", "floor")),
        *((name, ctypes.c_size_t) for name in _COUNTS),
    )
    keep: object


@dataclass(frozen=True)
class Drive:
    """A compiled substep; called, it does one.

    Attributes:
        mirror: What `palaestra_substep` takes.
        call: The call without arguments.
    """

    mirror: _Substep
    call: Callable[[], None]

    def __call__(self) -> None:
        self.call()


@cache
def loaded() -> Library:
    """Return the library beside this file, looked for once; where there is none, a warning says so once."""
    library = load(Path(__file__).parent)
    if library.handle is None:
        log.warning("simulated drives: running on NumPy, slower: %s", library.reason)
    return library


def load(folder: Path) -> Library:
    """Open the library in `folder`, as `open_library` does."""
    return open_library(folder, "_substep", SOURCES, "palaestra_substep_digest", _declare)


def _declare(handle: ctypes.CDLL) -> bool:
    handle.palaestra_substep_bytes.restype = ctypes.c_size_t
    handle.palaestra_substep.restype = None
    return bool(handle.palaestra_substep_bytes() == ctypes.sizeof(_Substep))


def compiled(cohort: Cohort) -> bool:
    """Return whether `bind` will find all that it needs compiled."""
    return loaded().handle is not None and address_of(cohort.step) is not None


def bind(
    cohort: Cohort,
    *,
    qpos: Real,
    qvel: Real,
    out: Real,
    q_index: Index,
    dq_index: Index,
    inertia_rate: Real | None,
) -> Drive | None:
    """Return a call without arguments that does a substep; None where something is not compiled.

    The addresses are taken once, here: no array may be replaced afterwards, and nothing is checked any more.

    Args:
        cohort: Of N robots with J joints, in f64.
        qpos, qvel, out: Rows of the simulator, (N, any) and (N, J); a row's numbers lie side by side.
        q_index, dq_index: Where the joints are in a row of `qpos` and of `qvel`, (J,).
        inertia_rate: Reflected inertia over period, (J,); None for ideal actuators.
    """
    handle, core = loaded().handle, address_of(cohort.step)
    if handle is None or core is None:
        return None
    block = cohort.block
    s = _Substep()
    indices = [np.ascontiguousarray(index, dtype=np.int32) for index in (q_index, dq_index)]
    for name, index in zip(_INDICES, indices, strict=True):
        setattr(s, name, index.ctypes.data)
    for name, rows in zip(_DOUBLES, (qpos, qvel, out), strict=True):
        assert rows.dtype == np.float64, name
        assert rows.strides[1] == rows.itemsize, name
        setattr(s, name, rows.ctypes.data)
        setattr(s, f"{name}_stride", rows.strides[0] // rows.itemsize)
    lanes: dict[str, Any] = {"q": block.q, "dq": block.dq, "torque": block.tau}
    if block.physics is not None and inertia_rate is not None:
        lanes |= {"load": block.physics.tau_external, "torque": block.physics.tau_joint}
        lanes["inertia_rate"] = np.ascontiguousarray(inertia_rate)
    for name, array in lanes.items():
        assert array.dtype == np.float64, name
        assert array.flags.c_contiguous, name
        setattr(s, name, array.ctypes.data)
    s.step, s.floor = core
    s.robots, s.joints, s.lanes = cohort.units, block.joints, block.lanes
    s.keep = (cohort, qpos, qvel, out, indices, lanes)
    return Drive(s, partial(handle.palaestra_substep, ctypes.byref(s)))
