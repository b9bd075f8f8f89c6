"""Physics substeps per second of a sim slot's core, its drives in the loop, against a plain C loop of mj_step.

The core goes first and its torques are kept; the C loop then takes the same worlds through the same torques, and must
end in the same states to the last bit. All contestants take turns; figures are the best of their turns, by processor
time of all threads and by the clock. `open` is the core without drives: torques held for a policy step.
"""

import ctypes
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from sim.catalog import ACTUATORS, Actuators, Entry, find
from sim.motion import find_motion
from sim.slot import SimSlot
from sim.tasks.follow import Follow

ROBOTS = {
    "unitree_g1": "sway", "unitree_go1": "trot_in_place", "booster_t1": "sway", "franka_panda": "reach_around",
    "own_humanoid": "sway", "own_quadruped": "trot_in_place", "own_arm": "reach_around",
}  # fmt: skip
WORLDS = 64
POLICY_STEPS = 2
ROUNDS = 7
THREADS = (1, 2)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """Best time of a contestant [s]."""

    cpu_s: float
    wall_s: float


class RawLoop:
    """The C loop of `raw_loop.c`, on as many threads as the slot."""

    def __init__(self) -> None:
        package = Path(mujoco.__file__).parent
        engine = next(package.glob("libmujoco.so*"))
        ctypes.CDLL(str(engine), mode=ctypes.RTLD_GLOBAL)
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "raw_loop.so"
            source = Path(__file__).parent / "raw_loop.c"
            command = ["cc", "-O2", "-shared", "-fPIC", f"-I{package / 'include'}", str(source), "-o", str(library)]
            subprocess.run(command, check=True)
            self._call = ctypes.CDLL(str(library)).raw_loop

    def run(self, model: mujoco.MjModel, data: list[mujoco.MjData], states: Array, torques: Array) -> None:
        """Take all worlds through their torques; one thread for each of `data`."""
        worlds, shares = len(states), np.linspace(0, len(states), len(data) + 1).astype(int)

        def share(number: int) -> None:
            self._call(
                ctypes.c_void_p(model._address), ctypes.c_void_p(data[number]._address),
                ctypes.c_void_p(states.ctypes.data), ctypes.c_void_p(torques.ctypes.data),
                int(shares[number]), int(shares[number + 1]), worlds, len(torques),
            )  # fmt: skip

        others = [threading.Thread(target=share, args=(n,)) for n in range(1, len(data))]
        for thread in others:
            thread.start()
        share(0)
        for thread in others:
            thread.join()


def run() -> dict[str, object]:
    """Measure, and return the figures."""
    raw = RawLoop()
    rows = [row for robot in ROBOTS if find(robot).available() for row in _rows(raw, find(robot))]
    smallest = {
        name: min(float(str(row["ratio_cpu"])) for row in rows if row["contestant"] == name)
        for name in ("open", *ACTUATORS)
    }
    return {
        "worlds": WORLDS,
        "ratio_to_raw_min": smallest["open"],
        "ratio_to_raw_with_actuators_min": smallest["physical"],
        "ratio_to_raw_with_ideal_actuators_min": smallest["ideal"],
        "speedup_2_threads_min": _speedup_min(rows),
        "rows": rows,
    }


def _rows(raw: RawLoop, entry: Entry) -> list[dict[str, object]]:
    rows = []
    for threads in THREADS:
        for name in ("open", *ACTUATORS):
            actuators: Actuators = "ideal" if name == "open" else name
            slot = SimSlot(
                entry, Follow(find_motion(ROBOTS[entry.id]), 5.0), worlds=WORLDS, threads=threads, seed=1,
                actuators=actuators,
            )  # fmt: skip
            core, plain = _compare(raw, slot, threads, drives=name != "open")
            steps = WORLDS * POLICY_STEPS * slot.substeps
            rows.append(
                {
                    "robot": entry.id,
                    "threads": threads,
                    "contestant": name,
                    "ratio_cpu": round(plain.cpu_s / core.cpu_s, 3),
                    "ratio_wall": round(plain.wall_s / core.wall_s, 3),
                    "substeps_per_s": round(steps / core.wall_s),
                    "substeps_per_cpu_s": round(steps / core.cpu_s),
                    "raw_substeps_per_s": round(steps / plain.wall_s),
                }
            )
    return rows


def _compare(raw: RawLoop, slot: SimSlot, threads: int, *, drives: bool) -> tuple[Figure, Figure]:
    """Return the figures of the core and of the plain loop on identical trajectories."""
    # Some way into the motion: feet have met the floor, nothing is at its start any more.
    for _ in range(10):
        slot.step(np.zeros((WORLDS, slot.action_size)))
    worlds, substeps = slot.core, slot.substeps * POLICY_STEPS
    batch = worlds.batch
    ctrl = batch.bind("ctrl")
    memory = {name: array.copy() for name, array in worlds.drives.memory().items()}
    start = batch.state.copy()
    data = [mujoco.MjData(slot.model) for _ in range(threads)]

    def restore() -> None:
        batch.state[:] = start
        for name, array in worlds.drives.memory().items():
            array[...] = memory[name]

    torques = np.zeros((substeps, WORLDS, ctrl.shape[1]))
    restore()
    for k in range(substeps):
        if drives:
            worlds.advance(None, 1)
        else:
            batch.step()
        torques[k] = ctrl
    end = batch.state.copy()

    def core() -> None:
        restore()
        for _ in range(POLICY_STEPS):
            if drives:
                worlds.advance(None, slot.substeps)
            else:
                batch.step(nstep=slot.substeps)

    states = np.empty_like(start)

    def plain() -> None:
        states[:] = start
        raw.run(slot.model, data, states, torques)

    figures = _take_turns({"core": core, "plain": plain})
    assert batch.state.tobytes() == end.tobytes() == states.tobytes(), f"{slot.entry.id}: not the same trajectory"
    return figures["core"], figures["plain"]


def _take_turns(calls: dict[str, Callable[[], None]]) -> dict[str, Figure]:
    cpu_s: dict[str, list[float]] = {name: [] for name in calls}
    wall_s: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(ROUNDS):
        for name, call in calls.items():
            cpu, wall = time.process_time(), time.perf_counter()
            call()
            cpu_s[name].append(time.process_time() - cpu)
            wall_s[name].append(time.perf_counter() - wall)
    return {name: Figure(min(cpu_s[name]), min(wall_s[name])) for name in calls}


def _speedup_min(rows: list[dict[str, object]]) -> float:
    """Return the smallest gain of the second thread, by the clock, of the core with physical actuators."""
    by_threads = {
        threads: {
            str(row["robot"]): float(str(row["substeps_per_s"]))
            for row in rows
            if row["threads"] == threads and row["contestant"] == ACTUATORS[0]
        }
        for threads in THREADS
    }
    one, two = (by_threads[threads] for threads in THREADS)
    return round(min(two[robot] / one[robot] for robot in one), 2)
