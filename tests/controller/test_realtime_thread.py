"""The realtime loop in its own thread: on time whatever Python does, never torn, and gone when it should be."""

import ctypes
import gc
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controller import Cohort, State, kernel
from controller.errors import LoopError, QueueFullError
from controller.plants import JointPlant
from controller.realtime import RealtimeLoop
from tests.controller.realtime_pairs import both, compiled_only
from tests.controller.robots import PERIOD_S, robot


@both
def test_a_stop_from_another_thread_takes_the_torque_off_in_the_next_tick_that_begins(backend: Any) -> None:
    """At many moments of the period: no tick that began after the call returned has torque."""
    cohort = Cohort(robot(), 1, PERIOD_S)
    plant = JointPlant(cohort, inertia_kg_m2=50.0)
    with RealtimeLoop(cohort, plant, backend=backend, samples=10_000) as loop:
        for turn in range(20):
            loop.arm(0).wait(30.0)
            loop.set_target(0, tau_ff=[5.0, 5.0, 5.0], kp=0.0, kd=0.0)
            while not loop.snapshot().cohorts[0].tau.any():
                time.sleep(PERIOD_S / 10)
            time.sleep(turn * PERIOD_S / 20)
            loop.request_stop(0, 0)
            asked_s = time.monotonic()
            while loop.snapshot().cohorts[0].state[0] != State.STOPPED:
                time.sleep(PERIOD_S / 10)
            parts = [loop.take_samples()]
            # The tick that stopped it may have begun before this thread came to look at the time.
            while not (parts[-1].time_s > asked_s).any():
                time.sleep(PERIOD_S / 10)
                parts.append(loop.take_samples())
            with_torque = np.concatenate([part.cohorts[0].tau.any(axis=(1, 2)) for part in parts])
            began_s = np.concatenate([part.time_s for part in parts])
            assert with_torque.any()
            assert not with_torque[began_s > asked_s].any()
            loop.reset(0).wait(30.0)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="measured by GCC")
def test_the_stack_that_is_touched_before_the_first_tick_has_room_for_a_tile(tmp_path: Path) -> None:
    folder = Path(kernel.__file__).parent
    flags = ("-std=c11", "-O1", "-DONE_ISA", "-fstack-usage", '-DKERNEL_DIGEST=""', "-c", "-o", tmp_path / "kernel.o")
    subprocess.run(["gcc", *flags, folder / "kernel.c"], check=True, capture_output=True)
    frames_b = [int(line.split("\t")[1]) for line in (tmp_path / "kernel.su").read_text().splitlines()]
    touched = re.search(r"STACK_TOUCHED_B \((\d+) \* 1024\)", (folder / "realtime_thread.c").read_text())

    assert touched is not None
    assert 1024 * int(touched[1]) > 1.25 * max(frames_b)


@both
def test_a_loop_that_one_thread_runs_is_run_by_no_other_and_ended_by_any(backend: Any) -> None:
    cohort = Cohort(robot(), 1, PERIOD_S)
    loop = RealtimeLoop(cohort, JointPlant(cohort), backend=backend)
    reports: list[Any] = []
    runner = threading.Thread(target=lambda: reports.append(loop.run(100_000)))
    runner.start()
    while loop.snapshot().tick < 1:
        time.sleep(PERIOD_S)
    for call in (lambda: loop.run(1), loop.start):
        with pytest.raises(LoopError, match="another thread"):
            call()
    ended = loop.stop()
    runner.join(10.0)

    assert not runner.is_alive()
    assert ended.due == reports[0].due < 100_000


@both
def test_on_the_wall_clock_a_unit_is_driven_and_every_tick_accounted_for(backend: Any) -> None:
    cohort = Cohort(robot(), 1, PERIOD_S)
    with RealtimeLoop(cohort, JointPlant(cohort, damping_nms_rad=1.0), backend=backend) as loop:
        loop.arm(0).wait(30.0)
        begun_ns = time.monotonic_ns()
        while loop.snapshot().cohorts[0].q[0, 0] < 0.4:
            loop.set_target(0, q_ref=0.5)
            assert time.monotonic_ns() - begun_ns < 20e9
            time.sleep(0.002)
        shot = loop.snapshot()
        assert shot.report.ticks + shot.report.missed == shot.tick + 1
        with pytest.raises(LoopError, match="without a thread"):
            loop.run(1)
        with pytest.raises(LoopError, match="once"):
            loop.start()
    report = loop.stop()

    assert not loop.running
    assert report.ticks == report.lateness_count.sum() == report.cost_count.sum() >= shot.report.ticks
    assert not cohort.tau.any()


@compiled_only
def test_the_compiled_loop_ticks_on_while_python_holds_the_gil() -> None:
    """A C call that keeps the GIL for 0.15 s: the compiled loop ticks through it, the Python loop cannot."""
    hold = ctypes.PyDLL(None).usleep
    ran: dict[str, list[int]] = {"compiled": [], "python": []}
    for _ in range(3):
        for backend, ticks in ran.items():
            cohort = Cohort(robot(), 1, PERIOD_S)
            with RealtimeLoop(cohort, JointPlant(cohort), backend=backend) as loop:  # type: ignore[arg-type]
                time.sleep(0.01)
                before = loop.snapshot().report.ticks
                hold(150_000)
                ticks.append(loop.snapshot().report.ticks - before)

    assert sorted(ran["compiled"])[1] > 5 * max(1, sorted(ran["python"])[1])


@compiled_only
def test_no_snapshot_is_torn_however_fast_the_loop_is() -> None:
    """All joints of all units move alike, so in each tick all have one position, speed and torque."""
    spec = robot(1, watchdog_s=3600.0)
    alike = type(spec)(
        robot_model="alike", watchdog_s=3600.0,
        joints=tuple(type(joint)(**{**_fields(joint), "name": f"j{i}"}) for i, joint in enumerate(spec.joints * 16)),
    )  # fmt: skip
    cohort = Cohort(alike, 64, 1e-4)
    seen: set[int] = set()
    values: set[float] = set()
    for unit in range(64):
        cohort.arm(unit)
        cohort.set_target(unit, q_ref=1.5, kp=50.0, kd=0.0)
    with RealtimeLoop(cohort, JointPlant(cohort, inertia_kg_m2=50.0, q_start_rad=0.0)) as loop:
        begun_s = time.monotonic()
        while len(seen) < 400 and time.monotonic() - begun_s < 5.0:
            shot = loop.snapshot()
            if shot.tick < 1:
                continue
            only = shot.cohorts[0]
            for name in ("q", "dq", "tau"):
                assert (getattr(only, name) == getattr(only, name)[0, 0]).all(), (name, shot.tick)
            assert (only.age_ticks == only.age_ticks[0]).all()
            assert only.age_ticks[0] == shot.tick
            assert shot.report.ticks + shot.report.missed == shot.tick + 1
            assert shot.report.lateness_count.sum() == shot.report.ticks
            seen.add(shot.tick)
            values.add(float(only.q[0, 0]))

    assert len(seen) > 50
    assert len(values) > 50


def _fields(joint: Any) -> dict[str, Any]:
    return {name: getattr(joint, name) for name in joint.__dataclass_fields__}


@compiled_only
def test_many_threads_may_call_at_once() -> None:
    """Targets, stops and snapshots from four threads: everything queued is taken over, nothing is mixed up."""
    cohort = Cohort(robot(4, watchdog_s=3600.0), 4, 5e-4)
    queued = [0] * 4
    with RealtimeLoop(cohort, JointPlant(cohort), queue=32) as loop:
        for unit in range(4):
            loop.arm(unit).wait(30.0)

        def call(unit: int) -> None:
            for turn in range(150):
                try:
                    loop.set_target(unit, q_ref=0.1 * unit + 0.001 * turn, kp=float(unit + 1), valid_s=60.0)
                    queued[unit] += 1
                except QueueFullError:
                    time.sleep(0.001)
                loop.snapshot()

        threads = [threading.Thread(target=call, args=(unit,)) for unit in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        give_up_s = time.monotonic() + 10.0
        while loop.snapshot().commands < 4 + sum(queued):
            assert time.monotonic() < give_up_s
            time.sleep(0.001)
        assert loop.snapshot().commands == 4 + sum(queued)
        for unit in range(4):
            loop.request_stop(unit, 0)

    assert (cohort.block.held_kp[:, :4] == [1.0, 2.0, 3.0, 4.0]).all()


@both
def test_a_loop_that_nobody_stops_ends_with_its_object(backend: Any) -> None:
    cohort = Cohort(robot(), 1, PERIOD_S)
    plant = JointPlant(cohort)
    loop = RealtimeLoop(cohort, plant, backend=backend)
    loop.start()
    loop.arm(0).wait(30.0)
    loop.set_target(0, tau_ff=5.0)
    while not loop.snapshot().cohorts[0].tau.any():
        time.sleep(0.001)
    del loop
    gc.collect()

    assert not plant.tau_nm.any()
    assert cohort.unit_state(0) is State.STOPPED


RUNNING = """
import os, sys, time
from controller import Cohort
from controller.errors import LoopError
from controller.plants import JointPlant
from controller.realtime import RealtimeLoop
from tests.controller.robots import robot
cohort = Cohort(robot(), 1, 0.001)
loop = RealtimeLoop(cohort, JointPlant(cohort), backend="compiled")
loop.start()
"""


@compiled_only
@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("the interpreter exits", 0),
        ("raise RuntimeError('dead')", 1),
        ("sys.exit(3)", 3),
        ("os._exit(4)", 4),
    ],
)
def test_a_process_ends_cleanly_with_its_loop_running(what: str, code: int) -> None:
    finished = _python(RUNNING + ("" if what.startswith("the") else what))

    assert finished.returncode == code, finished.stderr
    assert ("RuntimeError" in finished.stderr) == (code == 1)


@compiled_only
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_is_refused_and_ends_while_the_parent_ticks_on() -> None:
    finished = _python(
        RUNNING
        + """
child = os.fork()
if child == 0:
    assert not loop.running
    for call in (loop.stop, lambda: loop.set_target(0), lambda: loop.run(1), lambda: loop.request_stop(0, 0)):
        try:
            call()
        except LoopError as error:
            assert "forked" in str(error)
        else:
            os._exit(9)
    sys.exit(5)
ended = os.waitpid(child, 0)[1]
assert os.waitstatus_to_exitcode(ended) == 5, ended
before = loop.snapshot().report.ticks
give_up_s = time.monotonic() + 10.0
while loop.snapshot().report.ticks <= before + 5:
    assert time.monotonic() < give_up_s
    time.sleep(0.001)
loop.stop()
"""
    )

    assert finished.returncode == 0, finished.stderr


@compiled_only
def test_signals_reach_python_and_not_the_loop() -> None:
    finished = _python(
        RUNNING
        + """
import signal
# Who started the tests may ignore the signal, and that is inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.raise_signal(signal.SIGINT)
time.sleep(10)
"""
    )

    assert finished.returncode in (1, -2)
    assert "KeyboardInterrupt" in finished.stderr


def _python(source: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    root = Path(__file__).parents[2]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]),
        **variables,
    }
    return subprocess.run(
        [sys.executable, "-c", source],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@compiled_only
def test_what_the_system_grants_is_told_and_what_it_refuses_does_not_stop_the_loop() -> None:
    cohort = Cohort(robot(), 1, PERIOD_S)
    with RealtimeLoop(cohort, JointPlant(cohort), priority=1, cpu=0, lock_memory=True) as loop:
        grants = loop.grants()
    with RealtimeLoop(cohort, JointPlant(cohort)) as plain:
        unasked = plain.grants()

    assert set(grants) == {"SCHED_FIFO", "LOCKED_MEMORY", "AFFINITY", "TIMER_SLACK"}
    assert all(answer == "granted" or answer.startswith("refused: ") for answer in grants.values())
    assert set(unasked) == {"TIMER_SLACK"}


MEMORY = Path(__file__).with_name("memory.c")
TWO_LOOPS = """
import ctypes, threading
from controller import Cohort
from controller.plants import JointPlant
from controller.realtime import RealtimeLoop
from tests.controller.robots import PERIOD_S, robot

memory = ctypes.CDLL(None)
loops = [RealtimeLoop(c, JointPlant(c), lock_memory=True) for c in (Cohort(robot(), 1, PERIOD_S) for _ in range(2))]
loops[0].start()
assert memory.memory_is_locked()
ending = threading.Thread(target=loops[0].stop)
ending.start()
while not memory.memory_unlocks():
    pass
loops[1].start()
while "LOCKED_MEMORY" not in loops[1].grants():
    pass
ending.join()
print(loops[1].grants()["LOCKED_MEMORY"], memory.memory_is_locked())
loops[1].stop()
print(memory.memory_is_locked())
"""


@compiled_only
@pytest.mark.skipif(shutil.which("gcc") is None, reason="what locks memory is stood for by a library that GCC makes")
def test_a_loop_that_begins_while_the_last_one_ends_keeps_its_memory(tmp_path: Path) -> None:
    """The end of the first is held up while it unlocks, which must not undo what the second was granted."""
    library = tmp_path / "memory.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, MEMORY], check=True, capture_output=True)
    found = _python(TWO_LOOPS, LD_PRELOAD=str(library))

    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == ["granted", "1", "0"]
