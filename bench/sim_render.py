"""Frames per second of the process that draws, 320 x 240, against MuJoCo's own Renderer in this process.

Both draw the same poses of the same scene through the same camera: `raw` with MuJoCo's defaults (shadows, smooth
edges), `raw_fast` with both off, as ours. They take turns. Frames per second are those of the best turn by the clock;
`*_cpu` divides by the processor time of all threads that take part, which a busy machine disturbs least. The primitive
venue is a venue's twin without robots: boxes, cylinders and planes. Depth by rays is 64 x 48.
"""

import contextlib
import dataclasses
import importlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from sim.cameras import Camera, Cameras
from sim.cameras.scene import scene_of
from sim.catalog import find
from sim.errors import NoDisplay
from sim.picture import offscreen
from sim.slot_process import ModelWork, SlotSpec, TaskWork
from sim.venue import load_venue, venue_spec

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "sim-render.png"
VENUE = ROOT / "configs" / "venues" / "demo.toml"
ROBOT, FALLBACK, MOTION = "unitree_g1", "own_humanoid", "sway"
SIDE = Camera("side", width_px=320, height_px=240)
RAYS = Camera("rays", picture="ray_depth", width_px=64, height_px=48)
TURNS = 5
TURN_S = 0.5
POSES = 8


def run() -> dict[str, object]:
    """Measure, and return the figures."""
    robot = ROBOT if find(ROBOT).available() else FALLBACK
    try:
        context, backend = offscreen(16, 16)
    except NoDisplay as error:
        return {"robot": robot, "backend": None, "why": str(error), "g1_fps": None, "venue_fps": None}
    context.free()
    # What MUJOCO_GL would choose, had it been set before MuJoCo was loaded.
    made_by: Any = sys.modules[mujoco.Renderer.__module__]
    made_by.gl_context.GLContext = importlib.import_module(f"mujoco.{backend}").GLContext
    threads = os.cpu_count() or 1
    rows = [_compare(robot, TaskWork(robot, motion=MOTION, horizon_s=4.0), threads)]
    with _primitive_venue() as work:
        rows.append(_compare("primitive venue", work, threads))
    rays = _rays(robot)
    _draw(rows)
    by_scene = {row["scene"]: row for row in rows}
    return {
        "robot": robot,
        "backend": backend,
        "threads": threads,
        "g1_fps": by_scene[robot]["ours_fps"],
        "g1_fps_cpu": by_scene[robot]["ours_cpu_fps"],
        "venue_fps": by_scene["primitive venue"]["ours_fps"],
        "venue_fps_cpu": by_scene["primitive venue"]["ours_cpu_fps"],
        "g1_ratio_to_renderer": by_scene[robot]["ratio_to_raw"],
        "g1_ratio_to_fast_renderer": by_scene[robot]["ratio_to_raw_fast"],
        **rays,
        "rows": rows,
        "picture": str(PICTURE.relative_to(ROOT)),
    }


@contextlib.contextmanager
def _primitive_venue() -> Any:
    """A venue's twin without its robots, as a model in a folder of its own."""
    import tempfile

    spec = venue_spec(dataclasses.replace(load_venue(VENUE), units=()), visuals=True)
    spec.compile()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "venue.xml").write_text(spec.to_xml())
        yield ModelWork(folder, "venue.xml")


class _Turns:
    """One contestant: draws poses for a while, again and again."""

    def __init__(self, draw: Callable[[int], None], pid: int) -> None:
        self._draw, self._pid = draw, pid
        self.fps: list[float] = []
        self.cpu_fps: list[float] = []

    def turn(self, *, counts: bool) -> None:
        frames, start_s, start_cpu_s = 0, time.perf_counter(), self._cpu_s()
        while time.perf_counter() - start_s < TURN_S or frames < 2:
            self._draw(frames % POSES)
            frames += 1
        if counts:
            self.fps.append(frames / (time.perf_counter() - start_s))
            self.cpu_fps.append(frames / (self._cpu_s() - start_cpu_s))

    def _cpu_s(self) -> float:
        """Processor time of this process, and of the one that draws where it is another."""
        # How Linux numbers the clock of a process's processor time: include/linux/posix-timers.h.
        other_s = time.clock_gettime(((~self._pid) << 3) | 2) if self._pid else 0.0
        return time.process_time() + other_s


def _compare(scene: str, work: TaskWork | ModelWork, threads: int) -> dict[str, Any]:
    spec = SlotSpec(work, worlds=1, threads=threads)
    raw, fast = scene_of(work, [SIDE]), scene_of(work, [SIDE])
    fast.vis.quality.shadowsize = fast.vis.quality.offsamples = 0
    poses = _poses(raw)
    with Cameras(spec, [SIDE]) as cameras, contextlib.ExitStack() as stack:
        contestants = {"ours": _Turns(lambda i: _ours(cameras, poses[i]), cameras.pid)}
        for name, model in (("raw", raw), ("raw_fast", fast)):
            renderer = stack.enter_context(mujoco.Renderer(model, SIDE.height_px, SIDE.width_px))
            contestants[name] = _Turns(_raw(renderer, model, poses), 0)
        for turn in range(TURNS + 1):
            for name in contestants if turn % 2 else reversed(contestants):
                contestants[name].turn(counts=turn > 0)
    row: dict[str, Any] = {"scene": scene, "geoms": int(raw.ngeom), "mesh_faces": int(raw.mesh_facenum.sum())}
    for name, turns in contestants.items():
        row[f"{name}_fps"], row[f"{name}_cpu_fps"] = round(max(turns.fps), 1), round(max(turns.cpu_fps), 1)
    for name in ("raw", "raw_fast"):
        row[f"ratio_to_{name}"] = round(max(contestants["ours"].cpu_fps) / max(contestants[name].cpu_fps), 3)
    return row


def _ours(cameras: Cameras, qpos: np.ndarray) -> None:
    cameras.draw(qpos[None])


def _raw(renderer: Any, model: mujoco.MjModel, poses: np.ndarray) -> Callable[[int], None]:
    data = mujoco.MjData(model)

    def draw(number: int) -> None:
        data.qpos[:] = poses[number]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_camlight(model, data)
        renderer.update_scene(data, SIDE.in_model)
        renderer.render()

    return draw


def _poses(model: mujoco.MjModel) -> np.ndarray:
    """Poses about home, so that no two frames in a row are the same."""
    home = model.key_qpos[0] if model.nkey else model.qpos0
    rng = np.random.default_rng(0)
    hinges = model.jnt_qposadr[model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE]
    poses = np.tile(home, (POSES, 1))
    poses[:, hinges] += 0.1 * rng.standard_normal((POSES, len(hinges)))
    return poses


def _rays(robot: str) -> dict[str, Any]:
    spec = SlotSpec(TaskWork(robot, motion=MOTION, horizon_s=4.0), worlds=1)
    poses = _poses(scene_of(spec.work, [RAYS]))
    with Cameras(spec, [RAYS]) as cameras:
        turns = _Turns(lambda i: _ours(cameras, poses[i]), cameras.pid)
        for turn in range(3):
            turns.turn(counts=turn > 0)
    return {"ray_depth_64x48_fps": round(max(turns.fps), 1), "ray_depth_64x48_fps_cpu": round(max(turns.cpu_fps), 1)}


def _draw(rows: list[dict[str, Any]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    # By processor time: the height of the bars is then that of the work, however busy the machine is.
    figure, axes = plt.subplots(1, len(rows), figsize=(8, 3.6), layout="constrained")
    contestants = (
        ("raw", "MuJoCo's Renderer\nas it comes", "#9a9a9a"),
        ("raw_fast", "without shadows\nand smoothing", "#e0a050"),
        ("ours", "ours, in its\nown process", "#1f6f8b"),
    )
    for axis, row in zip(axes, rows, strict=True):
        values = [row[f"{name}_cpu_fps"] for name, _, _ in contestants]
        bars = axis.bar([label for _, label, _ in contestants], values, color=[colour for *_, colour in contestants])
        axis.bar_label(bars, fmt="%.0f")
        axis.set_title(
            f"{row['scene']}, {row['mesh_faces']:,} faces" if row["mesh_faces"] else row["scene"], fontsize=10
        )
        axis.set_ylabel("frames per second of processor time")
        axis.tick_params(labelsize=8)
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)
