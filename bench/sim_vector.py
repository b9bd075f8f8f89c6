"""Environment steps in process against a plain C loop of mj_step: observations, rewards, ends and resets included.

The environment goes first and its physics is recorded: torques substep by substep, and the states that new episodes
and pushes bring. The C loop then takes the same worlds through the same and must end in the same states to the last
bit. The two take turns, at least seven each; `ratio` is the median over pairs of turns of processor time, as in
`sim-slot`, `ratio_best_*` are of the best turns. Episodes are at different points of their time, so that some end in
every turn.

Each robot is measured twice: with the control core's torques moving the joints, which is more than any peer has
(`ratio_to_raw_min` is the least of these), and with our model of actuators in each substep besides
(`ratio_with_actuators_min`).
"""

import time
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from bench.raw_episodes import RawEpisodes, Recording, record
from bench.sim_slot import take_turns

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "sim-vector.png"
TASKS = {
    "unitree_g1": "stand", "unitree_go1": "walk", "franka_panda": "reach",
    "own_humanoid": "stand", "own_quadruped": "walk", "own_arm": "reach",
}  # fmt: skip
ENVS = 64
STEPS = 6
THREADS = (1, 2)
REACH = 0.3
SCALING_ROBOT = "own_humanoid"
SCALING_ENVS = (1, 4, 16, 64, 256)
Row = dict[str, Any]


def run() -> dict[str, object]:
    """Measure, and return the figures."""
    try:
        from bench import gymnasium_peers
        from sim.env import vector
    except ImportError as error:
        return {"skipped": f"{error}: the extra `env` is not installed"}
    from sim.catalog import ACTUATORS, find

    raw = RawEpisodes()
    rows = [
        _row(vector.make_vec, raw, robot, threads, actuators)
        for robot in TASKS
        if find(robot).available()
        for threads in THREADS
        for actuators in ACTUATORS
    ]
    ideal, physical = ([row for row in rows if row["actuators"] == kind] for kind in ("ideal", "physical"))
    peers = gymnasium_peers.run(raw)
    scaling = [_scaling(vector.make_vec, envs, threads) for threads in THREADS for envs in SCALING_ENVS]
    _draw(rows, peers, scaling)
    return {
        "envs": ENVS,
        "steps": STEPS,
        "ratio_to_raw_min": min(row["ratio"] for row in ideal),
        "ratio_to_raw_best_cpu_min": min(row["ratio_best_cpu"] for row in ideal),
        "ratio_to_raw_best_wall_min": min(row["ratio_best_wall"] for row in ideal),
        "ratio_with_actuators_min": min(row["ratio"] for row in physical),
        "picture": str(PICTURE.relative_to(PICTURE.parents[2])),
        "rows": rows,
        "peers": peers,
        "scaling": scaling,
    }


def _row(make_vec: Any, raw: RawEpisodes, robot: str, threads: int, actuators: str) -> Row:
    env = make_vec(robot, TASKS[robot], ENVS, threads=threads, actuators=actuators, autoreset_mode="SameStep")
    rng = np.random.default_rng(1)
    actions = rng.uniform(-REACH, REACH, (STEPS, ENVS, env.slot.action_size)).astype(np.float32)
    # Some way into its episode each, and none at the same point: ends are spread over the steps.
    done = rng.integers(0, env.slot.horizon_steps, ENVS)
    ends = []

    def begin() -> None:
        env.reset(seed=1)
        env.slot.steps[:] = done

    def act(k: int) -> None:
        _, _, terminated, truncated, _ = env.step(actions[k])
        ends.append(int((terminated | truncated).sum()))

    begin()
    of = record(env.slot, STEPS, act)
    episodes = sum(ends)
    data = [mujoco.MjData(env.slot.model) for _ in range(threads)]
    states = np.empty_like(of.end)

    def steps() -> None:
        for action in actions:
            env.step(action)

    def plain() -> None:
        raw.run(env.slot.model, data, states, of)

    plain()
    assert states.tobytes() == of.end.tobytes(), f"{robot}: not the same trajectory"
    took = take_turns(((begin, steps), (lambda: None, plain)))
    return _figures(robot, threads, took, of) | {"actuators": actuators, "episodes_ended": episodes}


def _figures(robot: str, threads: int, took: Any, of: Recording) -> Row:
    best_cpu_s, best_wall_s = took.cpu_s.min(axis=1), took.wall_s.min(axis=1)
    steps, envs = of.touched.shape
    substeps = len(of.torques) // steps
    return {
        "robot": robot,
        "threads": threads,
        "ratio": round(float(np.median(took.cpu_s[1] / took.cpu_s[0])), 3),
        "ratio_wall": round(float(np.median(took.wall_s[1] / took.wall_s[0])), 3),
        "ratio_best_cpu": round(float(best_cpu_s[1] / best_cpu_s[0]), 3),
        "ratio_best_wall": round(float(best_wall_s[1] / best_wall_s[0]), 3),
        "turns": took.cpu_s.shape[1],
        "env_steps_per_s": round(steps * envs / float(best_wall_s[0])),
        "substeps_per_s": round(steps * envs * substeps / float(best_wall_s[0])),
        "raw_substeps_per_s": round(steps * envs * substeps / float(best_wall_s[1])),
    }


def _scaling(make_vec: Any, envs: int, threads: int) -> Row:
    """Return environment steps per second for so many environments, the best of a few short turns."""
    env = make_vec(SCALING_ROBOT, TASKS[SCALING_ROBOT], envs, threads=threads)
    env.reset(seed=1)
    action = np.zeros((envs, env.slot.action_size))
    steps = max(2, 64 // envs)
    best_s = np.inf
    for _ in range(5):
        start_s = time.perf_counter()
        for _ in range(steps):
            env.step(action)
        best_s = min(best_s, time.perf_counter() - start_s)
    return {"envs": envs, "threads": threads, "env_steps_per_s": round(envs * steps / best_s)}


def _draw(rows: list[Row], peers: list[Row], scaling: list[Row]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (bars, lines) = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained", width_ratios=(1.5, 1))
    robots = list(dict.fromkeys(str(row["robot"]) for row in rows))
    kinds = [(threads, actuators) for threads in THREADS for actuators in ("ideal", "physical")]
    for number, kind in enumerate(kinds):
        ratios = [row["ratio"] for row in rows if (row["threads"], row["actuators"]) == kind]
        threads, actuators = kind
        label = f"ours, {threads} thread{'s' * (threads > 1)}{', actuators' * (actuators == 'physical')}"
        colour = ("#1f6f8b", "#7fb3c4", "#c0562f", "#e0a48c")[number]
        bars.bar(np.arange(len(robots)) + 0.2 * (number - 1.5), ratios, width=0.18, label=label, color=colour)
    names = [str(peer["name"]) for peer in peers]
    bars.bar(len(robots) + np.arange(len(peers)), [peer["ratio_wall"] for peer in peers], width=0.6, color="#9aa5ad")
    bars.axhline(1.0, color="black", linewidth=0.8)
    bars.axhline(0.9, color="black", linewidth=0.8, linestyle=":")
    bars.set_xticks(np.arange(len(robots) + len(peers)), robots + names, rotation=30, ha="right", fontsize=8)
    bars.set(ylim=(0.0, 1.4), ylabel="speed over a C loop of mj_step, median of turns", title=f"{ENVS} environments")
    bars.legend(loc="upper left", ncols=2, fontsize=8)
    bars.grid(axis="y", alpha=0.3)
    for threads, colour in zip(THREADS, ("#1f6f8b", "#c0562f"), strict=True):
        part = [row for row in scaling if row["threads"] == threads]
        label = f"{threads} thread{'s' * (threads > 1)}"
        lines.plot([p["envs"] for p in part], [p["env_steps_per_s"] for p in part], "o-", color=colour, label=label)
    lines.set_xscale("log", base=2)
    lines.set_xticks(SCALING_ENVS, [str(n) for n in SCALING_ENVS])
    lines.set(ylim=(0, None), xlabel="environments", ylabel="environment steps/s", title=SCALING_ROBOT)
    lines.legend(fontsize=8)
    lines.grid(alpha=0.3)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)
