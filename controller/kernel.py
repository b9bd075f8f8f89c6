"""Loads and binds the compiled kernel; says why where it cannot."""

import ctypes
import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from controller.block import PARAMETERS, Block
from controller.delay import split_seed
from controller.learned import ACTIVATIONS, LAYERS_MOST
from controller.library import Library, open_library
from controller.physics import Physics
from controller.safety import NEXT_STATE, Event, State

log = logging.getLogger(__name__)

SOURCES = ("kernel.c", "kernel_real.h", "kernel_command.h", "kernel_physics.h", "kernel_step.h")

_REAL_ARRAYS = (
    "staged_q_ref", "staged_dq_ref", "staged_tau_ff", "staged_kp", "staged_kd",
    "held_q_ref", "held_dq_ref", "held_tau_ff", "held_kp", "held_kd", "q", "dq", "tau", "parameters",
)  # fmt: skip
_BIT_ARRAYS = (
    "fault", "fresh", "age", "state", "stop_request", "stop_ticks", "slow_ticks", "unit_fault",
)  # fmt: skip
_NEXT_PACKED = [sum(int(NEXT_STATE[state, event]) << 4 * state for state in State) for event in Event]
_COUNTS = ("is_double", "joints", "lanes", "watchdog_ticks", "dwell_ticks", "timeout_ticks")


_PHYSICS_ARRAYS = (
    "tau_external", "supply", "tau_joint", "q_motor", "winding", "case", "bristle", "ring", "told", "history",
    "cursor", "tick", "lag", "key", "parameters",
)  # fmt: skip
_INSPECTION_ARRAYS = ("anchor", "tau_low", "tau_high", "still", "tick", "parameters")


class _Network(ctypes.Structure):
    """Mirror of `struct network` in kernel.c."""

    _fields_ = (
        ("weights", ctypes.c_void_p),
        *((name, ctypes.c_double) for name in ("position_scale", "velocity_scale", "torque_scale")),
        *((name, ctypes.c_uint32) for name in ("layers", "activation", "stride")),
        ("widths", ctypes.c_uint32 * (LAYERS_MOST + 1)),
    )


class _Physics(ctypes.Structure):
    """Mirror of `struct physics` in kernel.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in _PHYSICS_ARRAYS),
        ("networks", ctypes.c_void_p),
        ("network_of", ctypes.c_void_p),
        *((name, ctypes.c_uint32) for name in ("slots", "delay_ticks", "jitter_ticks")),
        ("seed", ctypes.c_uint32 * 2),
        ("history_slots", ctypes.c_uint32),
    )


class _Inspection(ctypes.Structure):
    """Mirror of `struct inspection` in kernel.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in _INSPECTION_ARRAYS),
        *((name, ctypes.c_uint32) for name in ("every_ticks", "frozen_looks", "stuck_looks")),
    )


class _Context(ctypes.Structure):
    """Mirror of `struct context` in kernel.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in _REAL_ARRAYS + _BIT_ARRAYS),
        ("physics", ctypes.c_void_p),
        ("inspection", ctypes.c_void_p),
        ("next_state", ctypes.c_uint32 * len(Event)),
        *((name, ctypes.c_uint32) for name in _COUNTS),
    ]


class _Floor(ctypes.Structure):
    """Mirror of `struct floor` in kernel.c; `keep` holds what the addresses point into."""

    _fields_ = (("contexts", ctypes.c_void_p), ("count", ctypes.c_size_t))
    keep: object


def backend() -> Literal["compiled", "numpy"]:
    """Return which form of the step a new cohort gets unless it asks for another."""
    return "numpy" if loaded().handle is None else "compiled"


def backend_reason() -> str:
    """Return why `backend` is what it is, in one sentence."""
    return loaded().reason


def bind(blocks: Sequence[Block], handle: ctypes.CDLL | None = None) -> Callable[[], None]:
    """Return a call without arguments that advances `blocks` by one tick in the compiled kernel.

    The addresses are taken once, here: the blocks' arrays must not be replaced afterwards, and nothing is
    checked any more per tick. The blocks live as long as the call does. `handle` is another build's library.
    """
    handle = handle or loaded().handle
    assert handle is not None, "bind() without a library: ask backend() first"
    contexts = (_Context * len(blocks))()
    keep: list[object] = [contexts, tuple(blocks)]
    for context, block in zip(contexts, blocks, strict=True):
        if block.physics is not None:
            bound = _bind_physics(block.physics, keep)
            context.physics = ctypes.addressof(bound)
            keep.append(bound)
        if block.inspection is not None:
            looked = block.inspection
            mirror = _Inspection(
                every_ticks=looked.every_ticks, frozen_looks=looked.frozen_looks, stuck_looks=looked.stuck_looks
            )
            for name in _INSPECTION_ARRAYS:
                setattr(mirror, name, getattr(looked, name).ctypes.data)
            context.inspection = ctypes.addressof(mirror)
            keep.append(mirror)
        for name in _REAL_ARRAYS + _BIT_ARRAYS:
            array = getattr(block, name)
            assert array.flags.c_contiguous, name
            setattr(context, name, array.ctypes.data)
        assert block.parameters.shape[1] == len(PARAMETERS)
        context.next_state[:] = _NEXT_PACKED
        context.is_double = int(block.dtype == np.float64)
        context.joints, context.lanes = block.joints, block.lanes
        context.watchdog_ticks = block.watchdog_ticks
        context.dwell_ticks = block.dwell_ticks
        context.timeout_ticks = block.timeout_ticks
    floor = _Floor(ctypes.addressof(contexts), len(blocks))
    floor.keep = keep
    # A partial is called without a Python frame: that matters for one robot's tick of under a microsecond.
    return partial(handle.palaestra_step, ctypes.byref(floor))


def _bind_physics(physics: Physics, keep: list[object]) -> _Physics:
    """Return the mirror of `physics`; what it points into besides is added to `keep`."""
    bound = _Physics(
        slots=physics.slots,
        delay_ticks=physics.delay_ticks,
        jitter_ticks=physics.jitter_ticks,
        seed=split_seed(physics.seed),
        history_slots=physics.history_slots,
    )
    for name in _PHYSICS_ARRAYS:
        setattr(bound, name, getattr(physics, name).ctypes.data)
    networks = (_Network * len(physics.networks))()
    for mirror, network in zip(networks, physics.networks, strict=True):
        made = network.made
        mirror.weights = network.weights.ctypes.data
        mirror.position_scale, mirror.velocity_scale = made.position_scale, made.velocity_scale
        mirror.torque_scale = made.torque_scale
        mirror.layers, mirror.stride = len(made.widths) - 1, network.stride
        mirror.activation = ACTIVATIONS.index(made.activation)
        mirror.widths[: len(made.widths)] = made.widths
    bound.networks, bound.network_of = ctypes.addressof(networks), physics.network_of.ctypes.data
    keep.append(networks)
    return bound


def address_of(step: Callable[[], None]) -> tuple[int, int] | None:
    """Return the addresses of the compiled function behind a `step` and of its one argument, for other compiled code.

    None where the step is not compiled. The caller keeps `step` alive.
    """
    if not isinstance(step, partial):
        return None
    function: Any = step.func
    return ctypes.cast(function, ctypes.c_void_p).value or 0, ctypes.addressof(step.args[0]._obj)


class Lanes(NamedTuple):
    """How other compiled code steps a few units at a time of the only cohort behind a `step`.

    Attributes:
        step: Address of `palaestra_step_lanes` in kernel.c.
        floor: Address of its first argument.
        turn: Call that tells, with the number of ticks, that every unit has been stepped so often.
    """

    step: int
    floor: int
    turn: Callable[[int], None]


def lanes_of(step: Callable[[], None]) -> Lanes | None:
    """Return how to step a few units behind a `step`; None where it is not compiled or of several cohorts.

    The caller keeps `step` alive.
    """
    addresses, handle = address_of(step), loaded().handle
    if addresses is None or handle is None:
        return None
    floor = addresses[1]
    if _Floor.from_address(floor).count != 1:
        return None
    address = ctypes.cast(handle.palaestra_step_lanes, ctypes.c_void_p).value or 0
    return Lanes(address, floor, partial(handle.palaestra_turn, floor))


@cache
def loaded() -> Library:
    """Return the library beside this file, looked for once; where there is none, a warning says so once."""
    library = load(Path(__file__).parent)
    if library.handle is None:
        log.warning("control kernel: running on NumPy, several times slower: %s", library.reason)
    return library


def load(folder: Path) -> Library:
    """Open the library in `folder`, as `open_library` does."""
    return open_library(folder, "_kernel", SOURCES, "palaestra_digest", _declare)


def _declare(handle: ctypes.CDLL) -> bool:
    handle.palaestra_context_bytes.restype = ctypes.c_size_t
    handle.palaestra_step.restype = None
    handle.palaestra_step_lanes.restype = None
    handle.palaestra_turn.restype = None
    handle.palaestra_turn.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    return bool(handle.palaestra_context_bytes() == ctypes.sizeof(_Context))
