"""What others make of the same engine: Gymnasium's vectors over our single environments, and over its own humanoid.

Ours and theirs go through the same worlds, so both have the plain C loop of `sim-vector` to be measured against. For
Gymnasium's Humanoid-v5 (its MJCF, its observations and rewards) the loop repeats its actions from the same starts and
must end at the same positions. EnvPool carries an engine of its own in another version: its steps per second are set
beside those of the loop of the installed one, turn by turn. It need not be installed here: `PALAESTRA_ENVPOOL_PYTHON`
names the interpreter of an environment that has it. Speeds are by the clock, since processes have processor time of
their own: ratios are medians over the turns, steps per second those of the best turn. What is not installed is left
out; Gymnasium's Humanoid-v5 asks for `imageio`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from bench.raw_episodes import RawEpisodes, Recording, record

ENVS = 16
STEPS = 6
ROUNDS = 7
ROBOT, TASK = "own_humanoid", "stand"
Row = dict[str, Any]
Turns = npt.NDArray[np.float64]


def run(raw: RawEpisodes) -> list[Row]:
    """Measure what is installed."""
    rows = [_over_ours(raw)]
    try:
        rows += _humanoid(raw)
    except (ImportError, AttributeError) as error:
        rows.append({"name": "Gymnasium Humanoid-v5", "ratio_wall": 0.0, "skipped": str(error)[:200]})
    return rows


def _over_ours(raw: RawEpisodes) -> Row:
    """Gymnasium's SyncVectorEnv over single worlds of ours, on the trajectories of our own vector."""
    from gymnasium.vector import SyncVectorEnv

    from sim.env import single, vector

    ours: Any = vector.make_vec(ROBOT, TASK, ENVS)
    theirs = SyncVectorEnv([lambda: single.make(ROBOT, TASK)] * ENVS)
    actions = np.random.default_rng(1).uniform(-0.2, 0.2, (STEPS, *ours.action_space.shape)).astype(np.float32)
    ours.reset(seed=1)
    of = record(ours.slot, STEPS, lambda k: ours.step(actions[k]))
    plain = _plain(raw, ours.slot.model, of)
    took = _turns_s({"theirs": (lambda: theirs.reset(seed=1), lambda: _steps(theirs, actions)), "plain": plain})
    return _row("Sync over our Env", took, substeps=ours.slot.substeps)


def _humanoid(raw: RawEpisodes) -> list[Row]:
    import gymnasium
    from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

    def make() -> Any:
        return gymnasium.make("Humanoid-v5", terminate_when_unhealthy=False)

    sync, parallel = SyncVectorEnv([make] * ENVS), AsyncVectorEnv([make] * ENVS)
    actions = np.random.default_rng(1).uniform(-0.4, 0.4, (STEPS, *sync.action_space.shape)).astype(np.float32)
    sync.reset(seed=1)
    inner = [env.unwrapped for env in sync.envs]
    model, skip = inner[0].model, inner[0].frame_skip
    size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION)
    rows = np.zeros((ENVS, size))
    for row, env in zip(rows, inner, strict=True):
        mujoco.mj_getState(model, env.data, row, mujoco.mjtState.mjSTATE_INTEGRATION)
    touched = np.full((STEPS, ENVS), -1, np.int32)
    touched[0] = np.arange(ENVS)
    torques = np.repeat(actions.astype(np.float64), skip, axis=0)
    of = Recording(torques, touched, rows, rows)
    plain = _plain(raw, model, of)
    turns = {
        "sync": (lambda: sync.reset(seed=1), lambda: _steps(sync, actions)),
        "async": (lambda: parallel.reset(seed=1), lambda: _steps(parallel, actions)),
        "plain": plain,
    }
    with _envpool(actions) as pool:
        took = _turns_s(turns | ({"envpool": pool.turns} if pool else {}))
    states = np.zeros((ENVS, size))
    raw.run(model, [mujoco.MjData(model)], states, of)
    ends = np.stack([env.data.qpos for env in inner])
    assert np.array_equal(states[:, 1 : 1 + model.nq], ends), "not the trajectory of Humanoid-v5"
    parallel.close()
    found = [
        _row("Gymnasium Sync", {"theirs": took["sync"], "plain": took["plain"]}, substeps=skip),
        _row("Gymnasium Async", {"theirs": took["async"], "plain": took["plain"]}, substeps=skip),
    ]
    if pool:
        row = _row("EnvPool", {"theirs": took["envpool"], "plain": took["plain"]}, substeps=skip)
        found.append(row | {"version": pool.version, "engine": "its own version"})
    return found


class _EnvPool:
    """EnvPool at work in a process of its own.

    Attributes:
        version: Which.
        turns: What prepares a turn, and what is one.
    """

    def __init__(self, process: "subprocess.Popen[str]", actions: Any) -> None:
        self._process = process
        self.version = self._ask(json.dumps(actions.tolist())).removeprefix("ready ")
        self.turns = (lambda: self._ask("prepare"), lambda: self._ask("go"))

    def _ask(self, what: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(what, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise RuntimeError("EnvPool's process has ended: what it said is above")
        return answer


@contextmanager
def _envpool(actions: Any) -> Iterator[_EnvPool | None]:
    """Start EnvPool, in the interpreter that is named or in this one; None where neither has it."""
    named = os.environ.get("PALAESTRA_ENVPOOL_PYTHON")
    if named is None and find_spec("envpool") is None:
        yield None
        return
    script = Path(__file__).parent / "envpool_turns.py"
    # Its packages are its own: ours, of other versions, are not for it.
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with subprocess.Popen(
        [named or sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=outside
    ) as process:
        yield _EnvPool(process, actions)


def _plain(raw: RawEpisodes, model: mujoco.MjModel, of: Recording) -> tuple[Callable[[], object], Callable[[], object]]:
    data, states = [mujoco.MjData(model)], np.empty_like(of.end)
    return lambda: None, lambda: raw.run(model, data, states, of)


def _steps(env: Any, actions: Any) -> None:
    for action in actions:
        env.step(action)


def _turns_s(calls: dict[str, tuple[Callable[[], object], Callable[[], object]]]) -> dict[str, Turns]:
    """Return what each takes by the clock, turn by turn; the first of two calls prepares and is not timed."""
    took: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, (prepare, call) in calls.items():
            prepare()
            start_s = time.perf_counter()
            call()
            took[name].append(time.perf_counter() - start_s)
    return {name: np.array(turns) for name, turns in took.items()}


def _row(name: str, took: dict[str, Turns], *, substeps: int) -> Row:
    done = ENVS * STEPS * substeps
    return {
        "name": name,
        "envs": ENVS,
        "ratio_wall": round(float(np.median(took["plain"] / took["theirs"])), 3),
        "substeps_per_s": round(done / float(took["theirs"].min())),
        "raw_substeps_per_s": round(done / float(took["plain"].min())),
    }
