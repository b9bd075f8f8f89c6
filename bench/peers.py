"""The control law in other libraries, on the kernel's own data: NumPy, Numba, PyTorch and JAX on the processor.

Those that are importable take part; none is needed. One thread each, where the library lets one say so. `law` is the
law with its limits alone; `tick` does also what the kernel does besides for units that run: judge the sensors, set
fault bits, tell which units move. The kernel's tick has the life cycle and waiting commands on top.
"""

import os
from importlib import import_module
from typing import Any

import numpy as np

from bench.turns import Call, take_turns
from controller import Cohort, Fault, backend
from controller.block import PARAMETERS

ARRAYS = ("held_q_ref", "held_dq_ref", "held_tau_ff", "held_kp", "held_kd", "q", "dq", "tau")
RELATIVE_MAX = 1e-5
"""Largest difference from NumPy's result, of the largest torque: f32 rounding, fused operations included."""


def measure(cohort: Cohort) -> dict[str, dict[str, float]]:
    """Return joint updates per second of each, and its largest difference from NumPy's torque.

    Args:
        cohort: All of whose units run; its arrays are what everybody computes on.

    Raises:
        AssertionError: one of them computes another law.
    """
    block = cohort.block
    arrays = [getattr(block, name).copy() for name in ARRAYS]
    columns = {name: block.parameters[:, [i]].copy() for i, name in enumerate(PARAMETERS)}
    expected = law(np, columns, *arrays)
    calls: dict[str, Call] = {"numpy_law": lambda: law(np, columns, *arrays)}
    for make in (_numba, _torch, _jax):
        try:
            calls |= make(columns, [array.copy() for array in arrays])
        except ImportError:
            continue
    differences = {}
    for name, call in calls.items():
        torque = np.asarray(call())
        differences[name] = float(np.abs(torque - expected).max())
        assert differences[name] <= RELATIVE_MAX * np.abs(expected).max(), f"{name} computes another law"
    # The kernel last: its step changes its torques, everybody else has copies.
    cohort.step()
    differences[backend()] = float(np.abs(block.tau - expected)[:, : cohort.units].max())
    assert differences[backend()] <= RELATIVE_MAX * np.abs(expected).max(), "the kernel computes another law"
    times_s = take_turns({backend(): cohort.step, **calls}, rounds=21)
    return {
        name: {
            "joint_updates_per_s": round(cohort.q.size / seconds),
            "largest_difference_nm": differences[name],
        }
        for name, seconds in times_s.items()
    }


def law(xp: Any, p: Any, q_ref: Any, dq_ref: Any, tau_ff: Any, kp: Any, kd: Any, q: Any, dq: Any, last: Any) -> Any:
    """The law of `controller/reference.py` for units that run, for any array library with `where`."""

    def clamp(x: Any, lower: Any, upper: Any) -> Any:
        x = xp.where(x > upper, upper, x)
        return xp.where(x < lower, lower, x)

    tau_max, slope, v_noload = p["tau_max"], p["tau_slope"], p["v_noload"]
    tau = kp * (clamp(q_ref, p["q_min"], p["q_max"]) - q)
    tau = tau + kd * (clamp(dq_ref, -p["dq_max"], p["dq_max"]) - dq) + tau_ff
    tau = clamp(tau, last - p["tau_step"], last + p["tau_step"])
    upper = clamp(slope * (v_noload - dq), -tau_max, tau_max)
    lower = clamp(slope * (-v_noload - dq), -tau_max, tau_max)
    tau = clamp(tau, lower, upper)
    tau = xp.where((q > p["q_max"]) & (tau > 0), 0 * tau, tau)
    return xp.where((q < p["q_min"]) & (tau < 0), 0 * tau, tau)


def _torch(columns: dict[str, Any], arrays: list[Any]) -> dict[str, Call]:
    torch = import_module("torch")
    torch.set_num_threads(1)
    p = {name: torch.from_numpy(value) for name, value in columns.items()}
    tensors = [torch.from_numpy(array) for array in arrays]
    return {"torch_law": lambda: law(torch, p, *tensors)}


def _jax(columns: dict[str, Any], arrays: list[Any]) -> dict[str, Call]:
    # Read by XLA when it starts its threads, at the first import.
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    jax = import_module("jax")
    compiled = jax.jit(lambda p, *given: law(jax.numpy, p, *given))
    p = {name: jax.numpy.asarray(value) for name, value in columns.items()}
    tensors = [jax.numpy.asarray(array) for array in arrays]
    return {"jax_law": lambda: compiled(p, *tensors).block_until_ready()}


def _numba(columns: dict[str, Any], arrays: list[Any]) -> dict[str, Call]:
    """Loops over lanes inside one over joints, the layout of the kernel, parameters in local variables."""
    numba = import_module("numba")
    names = ("q_min", "q_max", "dq_max", "tau_max", "tau_slope", "v_noload", "tau_step")
    table = np.concatenate([columns[name] for name in names], axis=1)
    trips = np.concatenate([columns[name] for name in ("q_min", "q_max", "dq_trip", "dq_slow")], axis=1)
    largest = np.float32(np.finfo(np.float32).max)
    not_finite, over_speed = np.uint32(Fault.SENSOR_NOT_FINITE), np.uint32(Fault.OVER_SPEED)
    position_limit, none, one = np.uint32(Fault.POSITION_LIMIT), np.uint32(0), np.uint32(1)

    def law_loop(
        p: Any, q_refs: Any, dq_refs: Any, tau_ffs: Any, kps: Any, kds: Any, qs: Any, dqs: Any, lasts: Any, out: Any
    ) -> None:
        zero = np.float32(0)
        for j in range(qs.shape[0]):
            lo, hi, dq_hi, most, slope, noload, rate = p[j, 0], p[j, 1], p[j, 2], p[j, 3], p[j, 4], p[j, 5], p[j, 6]
            for n in range(qs.shape[1]):
                q, dq, last = qs[j, n], dqs[j, n], lasts[j, n]
                q_ref = min(max(q_refs[j, n], lo), hi)
                dq_ref = min(max(dq_refs[j, n], -dq_hi), dq_hi)
                tau = kps[j, n] * (q_ref - q) + kds[j, n] * (dq_ref - dq) + tau_ffs[j, n]
                tau = min(max(tau, last - rate), last + rate)
                upper = min(max(slope * (noload - dq), -most), most)
                lower = min(max(slope * (-noload - dq), -most), most)
                tau = min(max(tau, lower), upper)
                tau = zero if q > hi and tau > zero else tau
                out[j, n] = zero if q < lo and tau < zero else tau

    def sensor_loop(p: Any, qs: Any, dqs: Any, fault: Any, moving: Any) -> None:
        for j in range(qs.shape[0]):
            lo, hi, trip, slow = p[j, 0], p[j, 1], p[j, 2], p[j, 3]
            for n in range(qs.shape[1]):
                q, speed = qs[j, n], abs(dqs[j, n])
                seen = none if abs(q) <= largest and speed <= largest else not_finite
                seen |= over_speed if speed > trip else none
                seen |= position_limit if (q > hi) | (q < lo) else none
                fault[j, n] |= seen
                moving[n] |= one if speed > slow else none

    law_alone, sensors = numba.njit(law_loop), numba.njit(sensor_loop)
    out = np.empty_like(arrays[0])
    fault, moving = np.zeros(out.shape, np.uint32), np.zeros(out.shape[1], np.uint32)
    q, dq = arrays[5], arrays[6]

    def call_law() -> object:
        law_alone(table, *arrays, out)
        return out

    def call_tick() -> object:
        moving[:] = 0
        sensors(trips, q, dq, fault, moving)
        law_alone(table, *arrays, out)
        return out

    return {"numba_law": call_law, "numba_tick": call_tick}
