"""What a slot process and its worlds take: bytes per world, memory per slot, time from asking to the first step.

Memory is the proportional set size that the kernel reports (smaps_rollup), of slots that have stepped once. Bytes per
world are the difference between two sizes of a slot over the difference of their worlds, so that the model's copy
and the threads' scratch, which both have, cancel out; memory shared with the holder counts half in each. MuJoCo's own
batch would keep `state_bytes_per_world` of them for physics, ours keeps less (`sim/compact.py`); the others are the
control core's, the drives' (heat, play, gains of each joint) and the task's.
"""

import statistics
import time
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from sim.catalog import find
from sim.slot_process import LeasedSlot, SlotSpec, TaskWork

ROBOTS = {"unitree_g1": "sway", "unitree_go1": "trot_in_place", "own_humanoid": "sway", "own_arm": "reach_around"}
SMALL, LARGE = 256, 4096
STARTS = 5


def run() -> dict[str, object]:
    """Measure, and return the figures."""
    rows = [_row(robot, motion) for robot, motion in ROBOTS.items() if find(robot).available()]
    return {
        "bytes_per_world_max": max(row["bytes_per_world"] for row in rows),
        "bytes_per_world": rows[0]["bytes_per_world"],
        "start_s": rows[0]["start_s"],
        "robot": rows[0]["robot"],
        "rows": rows,
    }


def _row(robot: str, motion: str) -> dict[str, Any]:
    work = TaskWork(robot, motion=motion, horizon_s=3600.0)
    starts = []
    for _ in range(STARTS):
        begin_s = time.perf_counter()
        with LeasedSlot(SlotSpec(work, worlds=1)) as slot:
            slot.step(np.zeros((1, slot.action_size)))
            starts.append(time.perf_counter() - begin_s)
    size = {worlds: _memory(work, worlds) for worlds in (1, SMALL, LARGE)}
    return {
        "robot": robot,
        "start_s": round(min(starts), 3),
        "start_median_s": round(statistics.median(starts), 3),
        "slot_mb": round(size[1] / 1e6, 1),
        "state_bytes_per_world": _state_bytes(robot),
        "bytes_per_world": round((size[LARGE] - size[SMALL]) / (LARGE - SMALL)),
    }


def _state_bytes(robot: str) -> int:
    """What a world's physics alone is: the state from which MuJoCo goes on to the last bit."""
    return 8 * int(mujoco.mj_stateSize(find(robot).model(), mujoco.mjtState.mjSTATE_INTEGRATION))


def _memory(work: TaskWork, worlds: int) -> int:
    with LeasedSlot(SlotSpec(work, worlds=worlds)) as slot:
        slot.step(np.zeros((worlds, slot.action_size)))
        rollup = Path(f"/proc/{slot.pid}/smaps_rollup").read_text()
        pss_kb = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        return pss_kb * 1024
