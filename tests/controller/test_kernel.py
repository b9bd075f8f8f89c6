"""The compiled kernel equals the NumPy reference bit for bit, and its absence is survived."""

import ctypes
import itertools
import logging
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import controller
from controller import ActuatorPhysics, Cohort, Friction, JointPhysics, KernelUnavailableError, Plausibility, kernel
from controller.block import Block
from tests.controller.builds import ISA_FEATURES, SCALAR_FLAGS, build, isa_flags
from tests.controller.robots import PERIOD_S, joint, robot, running, same_bits
from tests.controller.test_network import learned

compiled_only = pytest.mark.skipif(controller.backend() != "compiled", reason=controller.backend_reason())

REALS = ("staged_q_ref", "staged_dq_ref", "staged_tau_ff", "staged_kp", "staged_kd", "q", "dq")
STATE = (
    *REALS, "held_q_ref", "held_dq_ref", "held_tau_ff", "held_kp", "held_kd", "tau", "fault", "fresh", "age",
    "state", "stop_request", "stop_ticks", "slow_ticks", "unit_fault",
)  # fmt: skip
STRANGE = [
    0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e-45, -1e-40, 5e-324, 1e38, -3.4e38, 1.7e308, -1e308,
    2.0, -2.0, 20.0, 25.0, 30.0, 50.0, 0.05,
]  # fmt: skip


def twins(joints: int, units: int, dtype: type) -> tuple[Cohort, Cohort]:
    """The same cohort in both forms, with short time limits so that every state is visited."""
    spec = robot(joints, watchdog_s=4 * PERIOD_S, stop_dwell_s=2 * PERIOD_S, stop_timeout_s=6 * PERIOD_S)
    compiled, plain = (running(spec, units, dtype=dtype, backend=b) for b in ("compiled", "numpy"))
    return compiled, plain


def differing(a: Block, b: Block) -> list[str]:
    return [name for name in STATE if not same_bits(getattr(a, name), getattr(b, name))]


@compiled_only
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("joints", "units"), [(1, 1), (29, 1), (5, 33), (12, 300), (2, 1100)])
def test_both_forms_agree_in_every_bit_of_every_array(joints: int, units: int, dtype: type) -> None:
    """Random ticks with strange values sprinkled in; units are reset and armed again on the way."""
    assert_agreement(*twins(joints, units, dtype))


@pytest.mark.timeout(600)
@compiled_only
@pytest.mark.parametrize("isa", sorted(ISA_FEATURES))
def test_every_instruction_set_agrees_with_the_reference(isa: str) -> None:
    """The clones of the shipped library, each built alone. Those this processor lacks are skipped."""
    handle = build(*isa_flags(isa))
    for dtype in (np.float32, np.float64):
        compiled, plain = twins(7, 50, dtype)
        compiled.step = kernel.bind([compiled.block], handle)
        assert_agreement(compiled, plain)


def assert_agreement(compiled: Cohort, plain: Cohort) -> None:
    """Step both with the same numbers and compare all their memory after each tick."""
    joints, units = len(compiled.spec.joints), compiled.units
    random = np.random.default_rng(joints * 1000 + units)
    visited: set[int] = set()
    for tick in range(120):
        for name in REALS:
            values = random.normal(0.0, 10.0 ** float(random.integers(-3, 3)), compiled.block.q.shape)
            if name in ("staged_kp", "staged_kd"):
                values = np.abs(values)
            if tick % 5 == 0:
                strange = random.random(values.shape) < 0.01
                values = np.where(strange, random.choice(STRANGE, values.shape), values)
            if name == "dq" and tick % 3:
                values *= 0.01
            with np.errstate(over="ignore"):
                for cohort in (compiled, plain):
                    getattr(cohort.block, name)[:] = values
        fresh = random.random(compiled.block.lanes) < 0.5
        stops = np.where(random.random(compiled.block.lanes) < 0.02, random.integers(1, 4, fresh.shape), 0)
        revived = random.random(compiled.block.lanes) < 0.2
        for cohort in (compiled, plain):
            block = cohort.block
            block.fresh[:] |= fresh
            block.stop_request[:] = stops
            again = revived & (block.state == controller.State.STOPPED)
            block.state[again] = controller.State.ARMED
            block.unit_fault[again] = 0
            cohort.step()
        visited |= set(compiled.block.state.tolist())

        assert differing(compiled.block, plain.block) == []

    assert units < 33 or visited >= {1, 2, 3, 4}


@compiled_only
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("networks", [False, True])
def test_units_stepped_in_groups_some_ticks_each_are_where_all_of_them_stepped_together_are(
    dtype: type, extended: bool, networks: bool
) -> None:
    """Groups of all sizes, in any order, each its three ticks at once; with play, friction, heat, random delays and an
    inspection, with networks, or none of them. Beyond the units nothing is touched."""
    spec = robot(5, stop_dwell_s=2 * PERIOD_S, stop_timeout_s=6 * PERIOD_S)
    learning = {name: JointPhysics(learned=learned()) for name in spec.joint_names[1::3]} if networks else {}
    friction = Friction(viscous_nms_rad=0.1, coulomb_nm=0.2, stribeck_nm=0.1)
    physics = ActuatorPhysics(
        default=JointPhysics(inertia_kg_m2=0.01, friction=friction, backlash_rad=0.02), joints=learning,
        command_delay_s=PERIOD_S, command_jitter_s=2 * PERIOD_S, seed=3,
    )  # fmt: skip
    more: dict[str, Any] = {"physics": ActuatorPhysics(joints=learning)} if networks else {}
    if extended:
        more = {"physics": physics, "plausibility": Plausibility()}
    together, grouped = (running(spec, 37, dtype=dtype, backend="compiled", **more) for _ in range(2))
    lanes, handle = kernel.lanes_of(grouped.step), kernel.loaded().handle
    assert lanes is not None
    assert handle is not None
    random = np.random.default_rng(5)
    edges = [0, 1, 9, 17, 20, 36, 37]
    groups = list(itertools.pairwise(edges))
    untouched = {name: array[..., 37:].copy() for name, array in grouped.block.memory().items()}
    for _ in range(20):
        values = random.normal(0.0, 0.1, (len(REALS), 5, 37))
        faults = random.random(37) < 0.02
        for cohort in (together, grouped):
            for name, rows in zip(REALS, values, strict=True):
                getattr(cohort.block, name)[:, :37] = np.abs(rows) if name in ("staged_kp", "staged_kd") else rows
            cohort.block.dq[:, :37][:, faults] = 1e3
            cohort.submit()
        for _ in range(3):
            together.step()
        for number in random.permutation(len(groups)):
            begin, end = groups[number]
            for ahead in range(3):
                handle.palaestra_step_lanes(
                    ctypes.c_void_p(lanes.floor), ctypes.c_size_t(begin), ctypes.c_size_t(end - begin), ahead
                )
        lanes.turn(3)

        ours, theirs = grouped.block.memory(), together.block.memory()
        for name, array in ours.items():
            of_units = array.shape[-1:] == (grouped.block.lanes,)
            assert same_bits(array[..., :37], theirs[name][..., :37]), name
            assert not of_units or same_bits(array[..., 37:], untouched[name]), name


@compiled_only
def test_a_restored_cursor_leads_nowhere_beyond_the_ring() -> None:
    """Checkpoints come from anybody, and C looks at no bounds."""
    cohort = running(robot(2), backend="compiled", physics=ActuatorPhysics(command_delay_s=2 * PERIOD_S))
    physics = cohort.block.physics
    assert physics is not None
    for beyond in (1, 2**20):
        physics.cursor[:] = physics.slots * beyond + 1
        cohort.set_target(0, q_ref=0.25 * beyond)
        cohort.step()
        assert physics.cursor[0] == 2
        assert (physics.ring[1, 0, :, 0] == cohort.block.held_q_ref[:, 0]).all()
        assert physics.ring[1, 0, :, 0].any()


@compiled_only
@settings(max_examples=60, deadline=None)
@given(data=st.data(), wide=st.booleans())
def test_both_forms_agree_on_any_numbers(data: st.DataObject, wide: bool) -> None:
    """Whatever a sensor or a caller writes: NaN, infinities, denormals, signed zeros, huge values."""
    dtype = np.float64 if wide else np.float32
    compiled, plain = twins(2, 1, dtype)
    number = st.one_of(st.sampled_from(STRANGE), st.floats(width=32, allow_nan=True), st.floats(-40.0, 40.0))
    for _ in range(3):
        rows = data.draw(st.lists(st.lists(number, min_size=2, max_size=2), min_size=7, max_size=7))
        stop = data.draw(st.sampled_from([0, 0, 0, 1, 2, 3]))
        with np.errstate(over="ignore"):
            for cohort in (compiled, plain):
                for name, values in zip(REALS, rows, strict=True):
                    getattr(cohort.block, name)[:, 0] = np.array(values)
                cohort.block.stop_request[0] = stop
                cohort.submit()
                cohort.step()

        assert differing(compiled.block, plain.block) == []
        assert np.isfinite(compiled.tau).all()
        assert (np.abs(compiled.tau) <= 100.0).all()


# It builds the kernel anew, which takes minutes where the processor is shared with many.
@pytest.mark.timeout(600)
@compiled_only
def test_the_compiled_form_is_much_faster_than_numpy_and_than_a_scalar_build() -> None:
    """At 256 units of 29 joints, taking turns. The same sources without vectors guard against a loop that
    silently stopped to vectorise: the shipped build is 5 to 8 times faster with AVX2."""
    scalar = build(*SCALAR_FLAGS)
    cohorts = {name: running(robot(29), 256, backend=name) for name in ("compiled", "numpy")}
    cohorts["scalar"] = running(robot(29), 256)
    cohorts["scalar"].step = kernel.bind([cohorts["scalar"].block], scalar)
    times_s: dict[str, list[float]] = {name: [] for name in cohorts}
    for _ in range(12):
        for name, cohort in cohorts.items():
            cohort.submit()
            cohort.step()
            start_s = time.perf_counter()
            cohort.step()
            times_s[name].append(time.perf_counter() - start_s)
    best_s = {name: min(times) for name, times in times_s.items()}

    assert best_s["numpy"] > 4.0 * best_s["compiled"]
    assert best_s["scalar"] > 2.0 * best_s["compiled"]


def test_without_a_library_numpy_takes_over_and_says_so_once(no_library: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        cohorts = [running(robot()) for _ in range(3)]
        for cohort in cohorts:
            cohort.set_target(0, q_ref=0.5)
            cohort.step()

    assert controller.backend() == "numpy"
    assert controller.backend_reason() == no_library
    assert [cohort.backend for cohort in cohorts] == ["numpy"] * 3
    assert (cohorts[0].tau != 0.0).all()
    assert [record.getMessage().count(no_library) for record in caplog.records] == [1]
    with pytest.raises(KernelUnavailableError, match=no_library):
        Cohort(robot(), 1, PERIOD_S, backend="compiled")


def copy_of_the_room(folder: Path) -> Path:
    """Copy what `kernel.load` looks at; one copy per damage, for a library once opened stays open."""
    folder.mkdir()
    room = Path(kernel.__file__).parent
    for name in [*kernel.SOURCES, *(p.name for p in room.glob("_kernel*.so"))]:
        shutil.copy(room / name, folder / name)
    return folder


@compiled_only
def test_a_stale_broken_or_missing_library_is_not_used(tmp_path: Path) -> None:
    stale, broken, missing = (copy_of_the_room(tmp_path / name) for name in ("stale", "broken", "missing"))
    with (stale / "kernel_step.h").open("a") as source:
        source.write("/* another law */\n")
    next(broken.glob("_kernel*.so")).write_bytes(b"this is no library")
    next(missing.glob("_kernel*.so")).unlink()
    expected = {stale: "other sources", broken: "does not load", missing: "not built"}

    for folder, reason in expected.items():
        found = kernel.load(folder)
        assert found.handle is None
        assert reason in found.reason
    assert kernel.load(copy_of_the_room(tmp_path / "whole")).handle is not None


def test_a_missing_compiler_is_a_warning_and_no_error(tmp_path: Path) -> None:
    """The build that pip runs, with a compiler that does not exist."""
    root = Path(kernel.__file__).parents[1]
    finished = subprocess.run(
        [sys.executable, "setup.py", "build_ext", f"--build-lib={tmp_path}", f"--build-temp={tmp_path}"],
        cwd=root,
        env={"CC": "no-such-compiler", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 0, finished.stderr
    assert "no-such-compiler" in finished.stdout + finished.stderr
    assert list(tmp_path.rglob("_kernel*.so")) == []


def test_the_info_command_says_which_form_runs() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "controller", "info"],
        cwd=Path(kernel.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )

    assert finished.stdout.startswith(f"{controller.backend()}: ")


@compiled_only
def test_huge_but_finite_gains_overflow_into_a_stop_and_never_into_a_torque() -> None:
    """kp (q_ref - q) = inf and kd (dq_ref - dq) = -inf make NaN: no torque now, a latched stop next."""
    spec = controller.RobotSpec(robot_model="arm", joints=(joint(),))
    for backend in ("compiled", "numpy"):
        cohort = running(spec, backend=backend)
        cohort.dq[:] = 10.0
        cohort.set_target(0, q_ref=1.9, kp=3e38, kd=3e38)
        cohort.step()
        assert cohort.tau[0, 0] == 0.0
        assert cohort.joint_faults(0) == {"knee": controller.Fault.TORQUE_NOT_FINITE}
        cohort.step()

        assert cohort.unit_state(0) == controller.State.STOPPED
