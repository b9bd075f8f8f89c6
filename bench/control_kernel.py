"""Joint updates per second of the control kernel on one core, against its NumPy form, peers and memory.

All contestants take turns on the same numbers, so that a busy machine hits all of them; figures are medians.
"""

from typing import Any

import numpy as np

from bench import peers
from bench.turns import take_turns
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

PERIOD_S = 0.002
JOINTS = 29
SIZES = (256, 1024, 4096)
IN_CACHE_UNITS = 1024
OUT_OF_CACHE_UNITS = 40_000
BYTES_PER_UPDATE = 5 * 4 + 2 * 4 + 2 * 4
"""f32, by STREAM's convention (no read for ownership): held commands, sensors twice named but once fetched
where a tile stays in cache, and the torque read and written."""


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
        "peers": peers.measure(running(IN_CACHE_UNITS)),
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
