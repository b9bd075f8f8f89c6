"""Steps per second of a slot process over shared memory and gRPC, against the same slot in this process.

The contestants go through the same actions and must come to the same states. They take turns. A ratio is of the best
turns by processor time, of all processes that take part: a busy machine disturbs it least; `*_wall` is the same by the
clock, `*_wall_median` the median over pairs of turns. A policy costs nothing here, so that what is between the worlds
and whoever drives them shows in full.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from palaestra import tickets
from palaestra_env.remote import RemoteSlot
from sim.catalog import find
from sim.slot_process import LeasedSlot, SlotSpec, TaskWork
from sim.slot_process.program import open_task
from sim.slot_process.server import SlotLease, SlotServer

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "sim-transport.png"
ROBOT, MOTION = "unitree_g1", "sway"
FALLBACK = "own_humanoid"
WORLDS = (1, 4, 16, 64)
TURNS = 7
STEPS = {1: 60, 4: 30, 16: 12, 64: 4}
"""Steps of a turn: some tens of milliseconds each."""
KEY = "bench"

Stepper = Callable[[], bytes]


def run() -> dict[str, object]:
    """Measure, and return the figures."""
    robot = ROBOT if find(ROBOT).available() else FALLBACK
    rows = [_compare(robot, worlds) for worlds in WORLDS]
    _draw(robot, rows)
    by_worlds = {row["worlds"]: row for row in rows}
    return {
        "robot": robot,
        "shared_memory_1": by_worlds[1]["shared_memory"],
        "shared_memory_16": by_worlds[16]["shared_memory"],
        "shared_memory_64": by_worlds[64]["shared_memory"],
        "grpc_64": by_worlds[64]["grpc"],
        "rows": rows,
        "picture": str(PICTURE.relative_to(PICTURE.parents[2])),
    }


def _compare(robot: str, worlds: int) -> dict[str, Any]:
    work = TaskWork(robot, motion=MOTION, horizon_s=3600.0)
    spec = SlotSpec(work, worlds=worlds, seed=1)
    here = open_task(spec, work)
    lease = SlotLease("leases/bench", 1, KEY)
    ticket = tickets.issue(KEY, lease.name, lease.epoch, time.time_ns() + 3600 * 10**9)
    with LeasedSlot(spec) as near:
        far_slot = LeasedSlot(spec)
        server = SlotServer(far_slot, lease)
        with RemoteSlot(server.address, lease=lease.name, epoch=1, token=ticket) as far:
            contestants: dict[str, Any] = {"in_process": here, "shared_memory": near, "grpc": far}
            others = {"in_process": 0, "shared_memory": near.pid, "grpc": far_slot.pid}
            took = {name: _Turns(slot, worlds, others[name]) for name, slot in contestants.items()}
            for turn in range(TURNS + 1):
                order = list(took) if turn % 2 else list(reversed(took))
                ends = {name: took[name].turn(STEPS[worlds], counts=turn > 0) for name in order}
                assert len(set(ends.values())) == 1, f"{worlds} worlds: not the same trajectory"
        server.close()
    cpu, wall = ({name: min(times(turns)) for name, turns in took.items()} for times in (_cpu, _wall))
    row: dict[str, Any] = {"worlds": worlds, "in_process_step_us": round(1e6 * cpu["in_process"] / STEPS[worlds])}
    for name in ("shared_memory", "grpc"):
        pairs = np.array(took["in_process"].wall_s) / np.array(took[name].wall_s)
        row[name] = round(cpu["in_process"] / cpu[name], 3)
        row[f"{name}_wall"] = round(wall["in_process"] / wall[name], 3)
        row[f"{name}_wall_median"] = round(float(np.median(pairs)), 3)
        row[f"{name}_overhead_us"] = round(1e6 * (cpu[name] - cpu["in_process"]) / STEPS[worlds], 1)
    return row


def _cpu(turns: "_Turns") -> list[float]:
    return turns.cpu_s


def _wall(turns: "_Turns") -> list[float]:
    return turns.wall_s


class _Turns:
    """One contestant: takes its turns through the same actions, from the same start."""

    def __init__(self, slot: Any, worlds: int, pid: int) -> None:
        self._slot, self._pid = slot, pid
        self.cpu_s: list[float] = []
        self._actions = np.zeros((worlds, slot.action_size))
        self.wall_s: list[float] = []

    def turn(self, steps: int, *, counts: bool) -> bytes:
        """Start over, step, and return the last observations' bytes."""
        slot, actions = self._slot, self._actions
        slot.reset(episodes=np.zeros(len(actions), np.int64))
        # Some way into the motion: feet have met the floor.
        for _ in range(3):
            slot.step(actions)
        start_s, start_cpu_s = time.perf_counter(), self._cpu_s()
        for _ in range(steps):
            transition = slot.step(actions)
        if counts:
            self.wall_s.append(time.perf_counter() - start_s)
            self.cpu_s.append(self._cpu_s() - start_cpu_s)
        end: bytes = transition.obs.tobytes() + transition.terminated.tobytes()
        return end

    def _cpu_s(self) -> float:
        """Processor time of this process, and of the slot's where it is another."""
        # How Linux numbers the clock of a process's processor time: include/linux/posix-timers.h.
        other_s = time.clock_gettime(((~self._pid) << 3) | 2) if self._pid else 0.0
        return time.process_time() + other_s


def _draw(robot: str, rows: list[dict[str, Any]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    worlds = [row["worlds"] for row in rows]
    for name, label, colour in (("shared_memory", "shared memory", "#1f6f8b"), ("grpc", "gRPC stream", "#c0562f")):
        axes.plot(worlds, [row[name] for row in rows], "o-", label=label, color=colour)
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_xticks(worlds, [str(n) for n in worlds])
    axes.set(xlabel=f"worlds of {robot} in the slot", ylabel="speed over the slot in this process", ylim=(0.0, 1.1))
    axes.grid(alpha=0.3)
    axes.legend()
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)
