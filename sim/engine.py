"""MuJoCo's batch through the C functions of `mujoco/mjbatch.h`, so that compiled code of ours can run in its threads.

`mujoco.batch.Batch` keeps its `mjBatch` to itself. `OpenBatch` is that class over one that is made here: it does the
same with the same functions of the same library, and besides runs a C function on each of some simulations (`apply`),
where MuJoCo catches an error for the simulation that it is of.
"""

import ctypes
import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco import _batch
from mujoco.batch import Batch

from sim import substep

log = logging.getLogger(__name__)

Ids = npt.NDArray[np.int32] | None
Raw = npt.NDArray[Any]

WARNINGS = 7
"""Kinds of warnings that MuJoCo counts: mjNWARNING of `mjtype.h`, in all versions since 3.17."""
KNOWN = {
    "error", "expand", "expanded", "forward", "get_data", "get_model", "jac", "nsim", "nstate", "nthread", "output",
    "persistent", "ray", "reset", "rollout", "set_const", "set_models", "state", "state_component", "status", "step",
    "warning",
}  # fmt: skip
"""What `mujoco.batch.Batch` asks of its C++ half in the versions that this file was written for."""

_p, _i = ctypes.c_void_p, ctypes.c_int
_ip = ctypes.POINTER(ctypes.c_int)
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "mjb_makeBatch": (_p, (_p, _i, _p, ctypes.c_char_p, _i)),
    "mjb_deleteBatch": (None, (_p,)),
    "mjb_nstate": (_i, (_p,)),
    "mjb_state": (_p, (_p,)),
    "mjb_stateComponent": (_p, (_p, _i, _ip)),
    "mjb_warning": (_p, (_p,)),
    "mjb_status": (_p, (_p,)),
    "mjb_error": (ctypes.c_char_p, (_p, _i)),
    "mjb_step": (_i, (_p, _p, _i, _i, _i)),
    "mjb_forward": (_i, (_p, _p, _i, _i)),
    "mjb_reset": (_i, (_p, _p, _i, _p, _i)),
    "mjb_output": (_p, (_p, ctypes.c_char_p, _ip, _ip)),
    "mjb_expand": (_p, (_p, ctypes.c_char_p, _ip, _ip)),
    "mjb_expanded": (_p, (_p, ctypes.c_char_p, _ip, _ip)),
    "mjb_setConst": (_i, (_p, _p, _i)),
    "mjb_apply": (_i, (_p, _p, _i, _p, _p, _i)),
    "mjb_getModel": (None, (_p, _i, _p)),
    "mjb_getData": (None, (_p, _i, _p)),
}


class _Config(ctypes.Structure):
    """Mirror of `mjBatchConfig`."""

    _fields_ = (("nthread", ctypes.c_int), ("persistent", ctypes.c_uint8))


class _Rays(ctypes.Structure):
    """Mirror of `struct rays` in substep.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("mj_kinematics", "mj_flex", "mj_ray", "points", "directions", "groups")),
        *((name, ctypes.c_void_p) for name in ("exclude", "rank", "distances", "normals", "geoms")),
        ("rays", ctypes.c_size_t),
        ("statics", ctypes.c_uint8),
    )


class _Memory:
    """An array in the batch's memory, which keeps the batch."""

    def __init__(self, owner: object, address: int, shape: tuple[int, ...], kind: str, *, writeable: bool) -> None:
        self.owner = owner
        self.__array_interface__ = {
            "version": 3, "data": (address, not writeable), "shape": shape, "typestr": kind,
        }  # fmt: skip


class Engine:
    """An `mjBatch`, with the methods that `mujoco.batch.Batch` asks for, save `jac`, `rollout` and `set_models`."""

    persistent = False

    def __init__(self, functions: ctypes.CDLL, model: mujoco.MjModel, simulations: int, threads: int) -> None:
        """Make it. Raises RuntimeError with MuJoCo's reason."""
        self._f, self.nsim, self.nthread = functions, simulations, threads
        reason = ctypes.create_string_buffer(1000)
        made = functions.mjb_makeBatch(
            model._address, simulations, ctypes.byref(_Config(threads, 0)), reason, len(reason)
        )
        if not made:
            raise RuntimeError(reason.value.decode(errors="replace"))
        self._b = ctypes.c_void_p(made)
        self.nstate = int(functions.mjb_nstate(self._b))
        self._keep: list[object] = []

    def __del__(self) -> None:
        if hasattr(self, "_b"):
            self._f.mjb_deleteBatch(self._b)

    def function(self, name: str) -> int:
        """Return the address of a function of MuJoCo's library."""
        return address(getattr(self._f, name))

    def apply(self, function: int, argument: Any, ids: Ids = None) -> int:
        """Run a C function, an `mjfBatchFunc`, on simulations; return how many raised. States are not saved."""
        return int(self._f.mjb_apply(self._b, *_given(ids), function, ctypes.byref(argument), 0))

    def state(self) -> Raw:
        return self._array(self._f.mjb_state(self._b), (self.nsim, self.nstate), "<f8")

    def warning(self) -> Raw:
        return self._array(self._f.mjb_warning(self._b), (self.nsim, WARNINGS, 2), "<i4")

    def status(self) -> Raw:
        return self._array(self._f.mjb_status(self._b), (self.nsim,), "<i4")

    def error(self, simulation: int) -> str:
        text: bytes = self._f.mjb_error(self._b, simulation)
        return text.decode(errors="replace")

    def state_component(self, component: int) -> tuple[int, int]:
        """Return where a part of the state is in a row, and its size."""
        size = ctypes.c_int()
        first = self._f.mjb_stateComponent(self._b, component, ctypes.byref(size))
        return (int(first) - int(self._f.mjb_state(self._b))) // 8 if first else 0, size.value

    def step(self, ids: Ids, substeps: int, stage: int) -> int:
        return int(self._f.mjb_step(self._b, *_given(ids), substeps, stage))

    def forward(self, ids: Ids, stage: int) -> int:
        return int(self._f.mjb_forward(self._b, *_given(ids), stage))

    def reset(self, ids: Ids, keyframes: npt.NDArray[np.int32] | None, stage: int) -> int:
        keys = None if keyframes is None else keyframes.ctypes.data
        return int(self._f.mjb_reset(self._b, *_given(ids), keys, stage))

    def set_const(self, ids: Ids) -> int:
        return int(self._f.mjb_setConst(self._b, *_given(ids)))

    def output(self, name: str) -> Raw | None:
        return self._field(self._f.mjb_output, name)

    def expand(self, name: str) -> Raw | None:
        return self._field(self._f.mjb_expand, name)

    def expanded(self, name: str) -> Raw | None:
        return self._field(self._f.mjb_expanded, name, writeable=False)

    def get_model(self, simulation: int, model: mujoco.MjModel) -> None:
        self._f.mjb_getModel(self._b, simulation, model._address)

    def get_data(self, simulation: int, data: mujoco.MjData) -> None:
        self._f.mjb_getData(self._b, simulation, data._address)

    def ray(
        self,
        ids: Ids,
        points: Raw,
        directions: Raw,
        groups: Raw | None,
        statics: bool,
        exclude: Raw,
        distances: Raw,
        geoms: Raw,
        normals: Raw | None,
    ) -> int:
        rank = np.zeros(self.nsim, np.int32)
        rank[np.arange(self.nsim) if ids is None else ids] = np.arange(len(distances))
        given = {"points": points, "directions": directions, "exclude": exclude, "rank": rank}
        found = {"groups": groups, "distances": distances, "normals": normals, "geoms": geoms}
        rays = _Rays(rays=distances.shape[1], statics=statics)
        for name in ("mj_kinematics", "mj_flex", "mj_ray"):
            setattr(rays, name, self.function(name))
        for name, array in (given | found).items():
            setattr(rays, name, None if array is None else array.ctypes.data)
        handle = substep.loaded().handle
        assert handle is not None
        assert handle.palaestra_rays_bytes() == ctypes.sizeof(_Rays)
        return self.apply(address(handle.palaestra_rays), rays, ids)

    def _array(self, memory: int, shape: tuple[int, ...], kind: str, *, writeable: bool = True) -> Raw:
        return np.asarray(_Memory(self, memory, shape, kind, writeable=writeable))

    def _field(self, function: Callable[..., int | None], name: str, *, writeable: bool = True) -> Raw | None:
        size, width = ctypes.c_int(), ctypes.c_int()
        found = function(self._b, name.encode(), ctypes.byref(size), ctypes.byref(width))
        if not found:
            return None
        return self._array(found, (self.nsim, size.value * width.value), "|u1", writeable=writeable)


class OpenBatch(Batch):  # type: ignore[misc]
    """MuJoCo's batch over an `Engine`. Its methods `jac`, `rollout` and `set_models` are not there.

    Attributes:
        engine: What runs C functions on its threads.
    """

    def __init__(self, functions: ctypes.CDLL, model: mujoco.MjModel, simulations: int, threads: int) -> None:
        """As `Batch`, whose own beginning would make another `mjBatch`; `functions` are what `library` returns."""
        self.engine = self._b = Engine(functions, model, simulations, threads)
        self.model = model
        self._models = None
        self._nkey = model.nkey
        self._bound: dict[str, Raw] = {}
        self._expanded: dict[str, Raw] = {}
        self.state = self._b.state()
        self.warning = self._b.warning()
        self.status = self._b.status()
        self.status.flags.writeable = False

    @property
    def copies_out(self) -> bool:
        """Whether something is bound that each call computes anew."""
        return bool(self._bound)

    @property
    def differs(self) -> bool:
        """Whether simulations have model fields of their own."""
        return bool(self._expanded)


def open_batch(model: mujoco.MjModel, simulations: int, threads: int, *, own_models: bool) -> Batch:
    """Return a batch: an `OpenBatch` where it can be one, or MuJoCo's.

    Args:
        model: What all simulations share.
        simulations: How many.
        threads: That step them, with the caller's.
        own_models: Whether simulations will be given whole models of their own, which MuJoCo's alone checks.
    """
    functions = None if own_models or substep.loaded().handle is None else library()
    if functions is None:
        return Batch(model, simulations, threads)
    return OpenBatch(functions, model, simulations, threads)


@cache
def library() -> ctypes.CDLL | None:
    """Return MuJoCo's library with the types of what is used here; None, and a warning once, where it is another."""
    methods = {name for name in dir(_batch.Batch) if not name.startswith("_")}
    if methods != KNOWN:
        log.warning("mujoco %s has another batch: worlds step slower", mujoco.__version__)
        return None
    try:
        path = next(p for p in Path(mujoco.__file__).parent.iterdir() if _is_library(p.name))
        functions = ctypes.CDLL(str(path))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(functions, name)
            function.restype, function.argtypes = result, arguments
        _stop_clock(functions)
    except (StopIteration, OSError, AttributeError) as error:
        log.warning("mujoco %s has no batch in C: worlds step slower: %s", mujoco.__version__, error)
        return None
    return functions


def _stop_clock(functions: ctypes.CDLL) -> None:
    """Have MuJoCo read no clock within a step, as it does not from C, unless somebody has given it one.

    Its module brings one along, for `MjData.timer`: some twenty readings a step, a tenth of one of a small arm.
    """
    if mujoco.get_mjcb_time() is None:
        _p.in_dll(functions, "mjcb_time").value = None


def _is_library(name: str) -> bool:
    return name.startswith("libmujoco.") or name == "mujoco.dll"


def address(function: Any) -> int:
    """Return where a function of a library is."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _given(ids: Ids) -> tuple[int | None, int]:
    return (None, 0) if ids is None else (ids.ctypes.data, len(ids))
