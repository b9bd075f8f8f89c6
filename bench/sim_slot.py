"""Physics substeps per second of a sim slot's core, its drives in the loop, against a plain C loop of mj_step.

The core goes first and its torques are kept; the C loop then takes the same worlds through the same torques, and must
end in the same states to the last bit. The two take turns; `ratio` is the median over the pairs of turns, of processor
time of all threads: a busy machine slows both turns of a pair. `ratio_best_*` are of the best turns, by processor time
and by the clock. `open` is the core without drives: torques held for a policy step.
"""

import ctypes
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from sim.catalog import ACTUATORS, Actuators, Entry, find
from sim.engine import open_batch
from sim.motion import find_motion
from sim.slot import SimSlot
from sim.tasks.follow import Follow

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "sim-slot.png"
CONTESTANTS = {"open": "without control core", "ideal": "ideal actuators", "physical": "physical actuators"}
ROBOTS = {
    "unitree_g1": "sway", "unitree_go1": "trot_in_place", "booster_t1": "sway", "franka_panda": "reach_around",
    "own_humanoid": "sway", "own_quadruped": "trot_in_place", "own_arm": "reach_around",
}  # fmt: skip
WORLDS = 64
ROUNDS = 7
POSTURES = {"lifted": (1.0, 0.0), "standing": (0.0, 0.0), "on its side": (0.0, 90.0), "on its back": (0.0, 180.0)}
"""How far the base is lifted [m] and turned about the way ahead [degrees], before what is compared falls."""
FALL_STEPS = 60
CONTACT_ROBOTS = ("own_humanoid", "unitree_g1")
PAIR_S = 0.6
"""Turns go on for at least so long: those of fast models are short, and a busy machine spoils many of them."""
THREADS = (1, 2)

Array = npt.NDArray[np.float64]
Call = Callable[[], None]
Row = dict[str, Any]


@dataclass(frozen=True)
class Figures:
    """What a pair of contestants took [s], turn by turn, (2, turns): the core, the plain loop."""

    cpu_s: Array
    wall_s: Array


def compiled(name: str) -> ctypes.CDLL:
    """Compile a C file beside this one against the installed engine and return it, loaded."""
    package = Path(mujoco.__file__).parent
    engine = next(package.glob("libmujoco.so*"))
    ctypes.CDLL(str(engine), mode=ctypes.RTLD_GLOBAL)
    with tempfile.TemporaryDirectory() as folder:
        library, source = Path(folder) / f"{name}.so", Path(__file__).parent / f"{name}.c"
        command = ["cc", "-O2", "-shared", "-fPIC", f"-I{package / 'include'}", str(source), "-o", str(library)]
        subprocess.run(command, check=True)
        return ctypes.CDLL(str(library))


class RawLoop:
    """The C loop of `raw_loop.c`, on as many threads as the slot."""

    def __init__(self) -> None:
        self._call = compiled("raw_loop").raw_loop

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
    gains = [_speedup(raw, find(robot)) for robot in ROBOTS if find(robot).available()]
    touching = [row for robot in CONTACT_ROBOTS if find(robot).available() for row in _by_contacts(raw, find(robot))]
    _draw(rows, touching)
    smallest = {name: min(row["ratio"] for row in rows if row["contestant"] == name) for name in CONTESTANTS}
    return {
        "worlds": WORLDS,
        "ratio_to_raw_min": smallest["open"],
        "ratio_to_raw_with_actuators_min": smallest["physical"],
        "ratio_to_raw_with_ideal_actuators_min": smallest["ideal"],
        "speedup_2_threads_min": min(gain["speedup_2_threads"] for gain in gains),
        "raw_speedup_2_threads_min": min(gain["raw_speedup_2_threads"] for gain in gains),
        "picture": str(PICTURE.relative_to(PICTURE.parents[2])),
        "rows": rows,
        "gains": gains,
        "by_contacts": touching,
    }


def _rows(raw: RawLoop, entry: Entry) -> list[Row]:
    rows = []
    for threads in THREADS:
        for name in CONTESTANTS:
            actuators: Actuators = "physical" if name == "physical" else "ideal"
            slot = _slot(entry, threads, actuators)
            took = _compare(raw, slot, threads, drives=name != "open")
            steps = WORLDS * slot.substeps
            best_cpu_s, best_wall_s = took.cpu_s.min(axis=1), took.wall_s.min(axis=1)
            rows.append(
                {
                    "robot": entry.id,
                    "threads": threads,
                    "contestant": name,
                    "ratio": round(float(np.median(took.cpu_s[1] / took.cpu_s[0])), 3),
                    "ratio_best_cpu": round(float(best_cpu_s[1] / best_cpu_s[0]), 3),
                    "ratio_best_wall": round(float(best_wall_s[1] / best_wall_s[0]), 3),
                    "turns": took.cpu_s.shape[1],
                    "substeps_per_s": round(steps / float(best_wall_s[0])),
                    "raw_substeps_per_s": round(steps / float(best_wall_s[1])),
                }
            )
    return rows


def _by_contacts(raw: RawLoop, entry: Entry) -> list[Row]:
    """Return the same of a robot in the air, on its feet, and fallen: what contacts cost, and the core beside them."""
    rows = []
    for posture, (lift_m, turn_deg) in POSTURES.items():
        slot = _slot(entry, 1, ACTUATORS[0])
        half_rad = np.radians(turn_deg) / 2.0
        states, first = slot.core.states(), slot.core.batch.desk.engine.state_component(mujoco.mjtState.mjSTATE_QPOS)[0]
        states[:, first + 2] += lift_m
        states[:, first + 3 : first + 7] = np.cos(half_rad), np.sin(half_rad), 0.0, 0.0
        slot.core.put(states)
        if not lift_m:
            slot.core.advance(None, FALL_STEPS * slot.substeps)
        contacts = _contacts(slot)
        took = _compared(raw, slot, 1, drives=True)
        substeps = WORLDS * slot.substeps
        rows.append(
            {
                "robot": entry.id,
                "posture": posture,
                "contacts": round(contacts, 1),
                "ratio": round(float(np.median(took.cpu_s[1] / took.cpu_s[0])), 3),
                "substeps_per_s": round(substeps / float(took.wall_s[0].min())),
                "raw_substeps_per_s": round(substeps / float(took.wall_s[1].min())),
            }
        )
    return rows


def _contacts(slot: SimSlot) -> float:
    """Return how many contacts a world has now, on average."""
    data, found = mujoco.MjData(slot.model), []
    for qpos in slot.positions():
        data.qpos[:] = qpos
        mujoco.mj_fwdPosition(slot.model, data)
        found.append(data.ncon)
    return float(np.mean(found))


def _compare(raw: RawLoop, slot: SimSlot, threads: int, *, drives: bool) -> Figures:
    """Return what the core and the plain loop take for one policy step on identical trajectories."""
    # Some way into the motion: feet have met the floor, nothing is at its start any more.
    for _ in range(10):
        slot.step(np.zeros((WORLDS, slot.action_size)))
    return _compared(raw, slot, threads, drives=drives)


def _compared(raw: RawLoop, slot: SimSlot, threads: int, *, drives: bool) -> Figures:
    """Return the same, of worlds as they stand."""
    worlds, substeps = slot.core, slot.substeps
    start = worlds.states()
    bare = open_batch(slot.model, WORLDS, threads, own_models=False)
    ctrl = worlds.batch.bind("ctrl") if drives else bare.bind("ctrl")
    memory = {name: array.copy() for name, array in worlds.drives.memory().items()}
    data = [mujoco.MjData(slot.model) for _ in range(threads)]

    def restore() -> None:
        if not drives:
            bare.state[:] = start
            return
        worlds.put(start)
        for name, array in worlds.drives.memory().items():
            array[...] = memory[name]

    def states_of() -> Array:
        return worlds.states() if drives else np.array(bare.state)

    torques = np.zeros((substeps, WORLDS, ctrl.shape[1]))
    restore()
    for k in range(substeps):
        if drives:
            worlds.advance(None, 1)
        else:
            bare.step()
        torques[k] = ctrl
    end = states_of()

    def core() -> None:
        if drives:
            worlds.advance(None, slot.substeps)
        else:
            bare.step(nstep=slot.substeps)

    states = np.empty_like(start)

    def rewind() -> None:
        states[:] = start

    def plain() -> None:
        raw.run(slot.model, data, states, torques)

    took = take_turns(((restore, core), (rewind, plain)))
    assert states_of().tobytes() == end.tobytes() == states.tobytes(), f"{slot.entry.id}: not the same trajectory"
    return took


def take_turns(calls: tuple[tuple[Call, Call], tuple[Call, Call]]) -> Figures:
    """Time both, turn by turn, each first in every other pair. The first of two calls prepares and is not timed."""
    cpu_s: list[list[float]] = [[], []]
    wall_s: list[list[float]] = [[], []]
    start_s = time.perf_counter()
    while len(cpu_s[0]) < ROUNDS or time.perf_counter() - start_s < PAIR_S:
        for number in (0, 1) if len(cpu_s[0]) % 2 else (1, 0):
            prepare, call = calls[number]
            prepare()
            cpu, wall = time.process_time(), time.perf_counter()
            call()
            cpu_s[number].append(time.process_time() - cpu)
            wall_s[number].append(time.perf_counter() - wall)
    return Figures(np.array(cpu_s), np.array(wall_s))


def _speedup(raw: RawLoop, entry: Entry) -> Row:
    """Return what a second thread gains by the clock, of the core with physical actuators and of the plain loop.

    One thread and two take turns; the median over the pairs. How much of a second processor there was to have while it
    was measured is what the plain loop, whose threads never wait for each other, gains.
    """
    slots = [_slot(entry, threads, ACTUATORS[0]) for threads in (1, 2)]
    for slot in slots:
        for _ in range(10):
            slot.step(np.zeros((WORLDS, slot.action_size)))
    start = slots[0].core.states()
    memories = [{name: a.copy() for name, a in slot.core.drives.memory().items()} for slot in slots]

    def core(number: int) -> tuple[Call, Call]:
        slot = slots[number]

        def restore() -> None:
            slot.core.put(start)
            for name, array in slot.core.drives.memory().items():
                array[...] = memories[number][name]

        def advance() -> None:
            slot.core.advance(None, slot.substeps)

        return restore, advance

    torques = np.repeat(slots[0].core.batch.bind("ctrl")[None], slots[0].substeps, axis=0)
    states = start.copy()

    def plain(threads: int) -> tuple[Call, Call]:
        data = [mujoco.MjData(slots[0].model) for _ in range(threads)]

        def rewind() -> None:
            states[:] = start

        return rewind, lambda: raw.run(slots[0].model, data, states, torques)

    gains = [take_turns((two, one)).wall_s for one, two in ((core(0), core(1)), (plain(1), plain(2)))]
    ours, theirs = (float(np.median(wall_s[1] / wall_s[0])) for wall_s in gains)
    return {"robot": entry.id, "speedup_2_threads": round(ours, 2), "raw_speedup_2_threads": round(theirs, 2)}


def _slot(entry: Entry, threads: int, actuators: Actuators) -> SimSlot:
    task = Follow(find_motion(ROBOTS[entry.id]), 5.0)
    return SimSlot(entry, task, worlds=WORLDS, threads=threads, seed=1, actuators=actuators)


def _draw(rows: list[Row], touching: list[Row]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    robots = list(dict.fromkeys(str(row["robot"]) for row in rows))
    figure, (*axes, lines) = plt.subplots(1, len(THREADS) + 1, figsize=(15, 4), layout="constrained")
    for panel, threads in zip(axes, THREADS, strict=True):
        for number, (name, label) in enumerate(CONTESTANTS.items()):
            ratios = [row["ratio"] for row in rows if row["threads"] == threads and row["contestant"] == name]
            places = np.arange(len(robots)) + 0.27 * (number - 1)
            panel.bar(places, ratios, width=0.25, label=label, color=("#9aa5ad", "#1f6f8b", "#c0562f")[number])
        panel.axhline(1.0, color="black", linewidth=0.8)
        panel.set_xticks(np.arange(len(robots)), robots, rotation=30, ha="right", fontsize=8)
        panel.set(title=f"{WORLDS} worlds, {threads} thread{'s' * (threads > 1)}", ylim=(0.0, 1.4))
        panel.grid(axis="y", alpha=0.3)
    axes[0].set_ylabel("speed over a C loop of mj_step")
    axes[0].legend(loc="upper left", ncols=3, fontsize=8)
    for robot, colour in zip(CONTACT_ROBOTS, ("#1f6f8b", "#c0562f"), strict=True):
        of = sorted((row for row in touching if row["robot"] == robot), key=lambda row: row["contacts"])
        for key, style in (("substeps_per_s", "o-"), ("raw_substeps_per_s", "s--")):
            label = f"{robot}, {'physical actuators' if style == 'o-' else 'mj_step'}"
            lines.plot([row["contacts"] for row in of], [row[key] for row in of], style, color=colour, label=label)
    lines.set(xlabel="contacts of a world", ylabel="substeps/s, one thread", title="in the air, standing, fallen")
    lines.set_ylim(bottom=0.0)
    lines.grid(alpha=0.3)
    lines.legend(fontsize=8)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)
