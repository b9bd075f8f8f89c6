"""Joint updates per second of the control kernel on one core, against its NumPy form, peers and memory.

All contestants take turns on the same numbers, so that a busy machine hits all of them; figures are medians.
The peers compute the law and its limits alone, without commands, sensor checks, life cycle and faults: less
than the kernel does.
"""

import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from controller import (
    ActuatorPhysics,
    Cohort,
    Friction,
    JointPhysics,
    JointSpec,
    RobotSpec,
    Thermal,
    backend,
)
from controller.block import PARAMETERS

PERIOD_S = 0.002
JOINTS = 29
SIZES = (256, 1024, 4096)
IN_CACHE_UNITS = 1024
OUT_OF_CACHE_UNITS = 40_000
BYTES_PER_UPDATE = 5 * 4 + 2 * 4 + 2 * 4
"""f32, by STREAM's convention (no read for ownership): held commands, sensors twice named but once fetched
where a tile stays in cache, and the torque read and written."""

Call = Callable[[], object]


def robot(joints: int = JOINTS) -> RobotSpec:
    """Return a robot of `joints` humanoid-like joints; invented numbers: speed does not depend on them."""
    return RobotSpec(
        robot_model="bench",
        watchdog_s=1e6,
        joints=tuple(
            JointSpec(
                name=f"joint_{index}", q_min_rad=-2.5, q_max_rad=2.5, dq_max_rad_s=20.0,
                tau_max_nm=90.0 - index, tau_rate_nm_s=2e4, kp_nm_rad=60.0, kd_nms_rad=2.0,
                v_knee_rad_s=12.0, v_noload_rad_s=30.0,
            )
            for index in range(joints)
        ),
    )  # fmt: skip


def running(units: int, *, seed: int = 0, joints: int = JOINTS, **options: Any) -> Cohort:
    """Return a cohort in which every unit runs, with random states and commands."""
    cohort = Cohort(robot(joints), units, PERIOD_S, **options)
    for unit in range(units):
        cohort.arm(unit)
    random = np.random.default_rng(seed)
    cohort.q[:] = random.normal(0.0, 0.5, cohort.q.shape)
    cohort.dq[:] = random.normal(0.0, 4.0, cohort.q.shape)
    cohort.q_ref[:] = random.normal(0.0, 0.5, cohort.q.shape)
    cohort.tau_ff[:] = random.normal(0.0, 5.0, cohort.q.shape)
    cohort.submit()
    cohort.step()
    return cohort


def take_turns(calls: Mapping[str, Call], *, rounds: int, batch_s: float = 2e-3) -> dict[str, float]:
    """Return the median time of each call [s]. A turn repeats a fast call to last about `batch_s`."""
    repeats = {}
    for name, call in calls.items():
        call()
        start_s = time.perf_counter()
        call()
        repeats[name] = max(1, int(batch_s / max(1e-7, time.perf_counter() - start_s)))
    times_s: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start_s = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            times_s[name].append((time.perf_counter() - start_s) / repeats[name])
    return {name: float(np.median(times)) for name, times in times_s.items()}


def run() -> dict[str, object]:
    """Measure, and return the figures."""
    sizes: dict[str, dict[str, float]] = {}
    for units in SIZES:
        calls = {"compiled": running(units).step, "numpy": running(units, backend="numpy").step}
        if backend() != "compiled":
            del calls["compiled"]
        times_s = take_turns(calls, rounds=41)
        fast_s = times_s.get("compiled", times_s["numpy"])
        sizes[str(units)] = {
            "joint_updates_per_s": round(units * JOINTS / fast_s),
            "ratio_to_numpy": round(times_s["numpy"] / fast_s, 2),
        }
    result: dict[str, object] = {
        "backend": backend(),
        "joint_updates_per_s": min(size["joint_updates_per_s"] for size in sizes.values()),
        "ratio_to_numpy": min(size["ratio_to_numpy"] for size in sizes.values()),
        "by_units": sizes,
        "peers": _peers(),
    }
    if backend() == "compiled":
        result |= {
            "full_physics_per_s": _full_physics_per_s(),
            "stream_fraction": _stream_fraction(),
            "differing_bits": _differing_bits(),
        }
    return result


def _full_physics_per_s() -> int:
    """Return joint updates per second with every term of friction, play and heat, in cache."""
    friction = Friction(
        viscous_nms_rad=0.05, coulomb_nm=0.1, stribeck_nm=0.1, stribeck_speed_rad_s=1.7, stribeck_exponent=1.14,
        load_motor=0.2, load_external=0.02, load_motor_stribeck=0.2, load_external_stribeck=0.1,
        quad_motor_per_nm=0.01, quad_external_per_nm=1e-4,
    )  # fmt: skip
    thermal = Thermal(tau_rated_nm=20.0, winding_share=0.3, winding_s=13.0, case_s=500.0)
    joint = JointPhysics(inertia_kg_m2=0.03, backlash_rad=0.01, friction=friction, thermal=thermal)
    cohort = running(IN_CACHE_UNITS, physics=ActuatorPhysics(default=joint))
    return round(cohort.q.size / take_turns({"step": cohort.step}, rounds=41)["step"])


def _stream_fraction() -> float:
    """Return the kernel's memory traffic over a large copy's, both far beyond the last-level cache."""
    cohort = running(OUT_OF_CACHE_UNITS)
    source = np.ones(64 * 2**20, dtype=np.float32)
    target = np.zeros_like(source)
    times_s = take_turns({"step": cohort.step, "copy": lambda: np.copyto(target, source)}, rounds=15)
    kernel_b_s = cohort.q.size * BYTES_PER_UPDATE / times_s["step"]
    return round(kernel_b_s / (2 * source.nbytes / times_s["copy"]), 3)


def _differing_bits(ticks: int = 1000) -> int:
    """Return how many bits of torque and faults differ between both forms over random ticks, f32 and f64."""
    random = np.random.default_rng(1)
    differing = 0
    for dtype, bits in ((np.float32, np.uint32), (np.float64, np.uint64)):
        twins = [running(33, backend=name, dtype=dtype) for name in ("compiled", "numpy")]
        for _ in range(ticks):
            values = {name: random.normal(0.0, 2.0, twins[0].q.shape) for name in ("q", "dq", "q_ref", "tau_ff")}
            for cohort in twins:
                for name, value in values.items():
                    getattr(cohort, name)[:] = value
                cohort.submit()
                cohort.step()
            torques: list[Any] = [np.ascontiguousarray(cohort.tau).view(bits) for cohort in twins]
            differing += int(np.bitwise_count(torques[0] ^ torques[1]).sum())
            differing += int((twins[0].fault != twins[1].fault).sum())
    return differing


def _law(xp: Any, p: Any, q_ref: Any, dq_ref: Any, tau_ff: Any, kp: Any, kd: Any, q: Any, dq: Any, last: Any) -> Any:
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


def _peers() -> dict[str, float]:
    """Return joint updates per second of the law alone in other libraries, and of the kernel beside them."""
    cohort = running(IN_CACHE_UNITS)
    block = cohort.block
    names = ("held_q_ref", "held_dq_ref", "held_tau_ff", "held_kp", "held_kd", "q", "dq", "tau")
    arrays = [getattr(block, name) for name in names]
    columns = {name: block.parameters[:, [i]] for i, name in enumerate(PARAMETERS)}
    calls: dict[str, Call] = {backend(): cohort.step, "numpy_law_alone": lambda: _law(np, columns, *arrays)}
    expected = _law(np, columns, *arrays)
    for name in ("numba", "torch", "jax"):
        try:
            call = globals()[f"_{name}_call"](import_module(name), columns, [a.copy() for a in arrays])
        except ImportError:
            continue
        assert np.allclose(np.asarray(call()), expected, atol=1e-3), f"{name} computes another law"
        calls[name] = call
    times_s = take_turns(calls, rounds=21)
    return {name: round(IN_CACHE_UNITS * JOINTS / seconds) for name, seconds in times_s.items()}


def _torch_call(torch: Any, columns: dict[str, Any], arrays: list[Any]) -> Call:
    torch.set_num_threads(1)
    p = {name: torch.from_numpy(value.copy()) for name, value in columns.items()}
    tensors = [torch.from_numpy(array) for array in arrays]
    return lambda: _law(torch, p, *tensors)


def _jax_call(jax: Any, columns: dict[str, Any], arrays: list[Any]) -> Call:
    law = jax.jit(lambda p, *given: _law(jax.numpy, p, *given))
    p = {name: jax.numpy.asarray(value) for name, value in columns.items()}
    tensors = [jax.numpy.asarray(array) for array in arrays]
    return lambda: law(p, *tensors).block_until_ready()


def _numba_call(numba: Any, columns: dict[str, Any], arrays: list[Any]) -> Call:
    """One loop over lanes inside one over joints, the layout of the kernel."""
    table = np.concatenate([columns[name] for name in PARAMETERS], axis=1)
    q_min, q_max, dq_max, tau_max, tau_slope, v_noload, tau_step = (
        PARAMETERS.index(name) for name in ("q_min", "q_max", "dq_max", "tau_max", "tau_slope", "v_noload", "tau_step")
    )

    def loop(
        p: Any, q_refs: Any, dq_refs: Any, tau_ffs: Any, kps: Any, kds: Any, qs: Any, dqs: Any, lasts: Any, out: Any
    ) -> None:
        zero = np.float32(0)
        for j in range(qs.shape[0]):
            lo, hi, dq_hi, most = p[j, q_min], p[j, q_max], p[j, dq_max], p[j, tau_max]
            for n in range(qs.shape[1]):
                q, dq, last = qs[j, n], dqs[j, n], lasts[j, n]
                q_ref = min(max(q_refs[j, n], lo), hi)
                dq_ref = min(max(dq_refs[j, n], -dq_hi), dq_hi)
                tau = kps[j, n] * (q_ref - q) + kds[j, n] * (dq_ref - dq) + tau_ffs[j, n]
                tau = min(max(tau, last - p[j, tau_step]), last + p[j, tau_step])
                upper = min(max(p[j, tau_slope] * (p[j, v_noload] - dq), -most), most)
                lower = min(max(p[j, tau_slope] * (-p[j, v_noload] - dq), -most), most)
                tau = min(max(tau, lower), upper)
                tau = zero if q > hi and tau > zero else tau
                out[j, n] = zero if q < lo and tau < zero else tau

    law = numba.njit(loop)
    out = np.empty_like(arrays[0])

    def call() -> object:
        law(table, *arrays, out)
        return out

    return call
