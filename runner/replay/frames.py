"""Pictures of a recorded episode, from the recorded poses: drawn with OpenGL where there is any, else as lines."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from runner.replay.errors import NotComparable
from sim import catalog
from sim.body import Body, body_of
from sim.errors import NoDisplay, SimError
from sim.picture import Canvas, robot_scene, write_png
from store import BASE_POSE, STATE, Episode

Image = npt.NDArray[np.uint8]
WIDTH_PX, HEIGHT_PX = 256, 256
SHADOW_PX = 1024
STRIP_FRAMES = 6
VIDEO_HZ = 12.5


def picture(episode: Episode, out: Path, *, menagerie_root: Path | None = None) -> str:
    """Write a strip of frames as PNG; return how it was drawn. Raises NotComparable, OSError."""
    rows = np.linspace(0, len(episode.time_s) - 1, min(STRIP_FRAMES, len(episode.time_s))).astype(int)
    frames, how = _frames(episode, rows, menagerie_root)
    write_png(np.concatenate(frames, axis=1), out)
    return how


def video(episode: Episode, out: Path, *, menagerie_root: Path | None = None) -> str:
    """Write an animated GIF, WebP or PNG, by the name's ending; return how it was drawn.

    Raises NotComparable for another ending too, OSError.
    """
    kinds = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG"}
    if out.suffix.lower() not in kinds:
        raise NotComparable(f"{out.name}: a video ends in {', '.join(kinds)}")
    from PIL import Image as Picture

    length_s = float(episode.time_s[-1] - episode.time_s[0])
    at_s = episode.time_s[0] + np.arange(0.0, length_s + 1e-9, 1.0 / VIDEO_HZ)
    rows = np.minimum(np.searchsorted(episode.time_s, at_s), len(episode.time_s) - 1)
    frames, how = _frames(episode, rows, menagerie_root)
    first, *others = [Picture.fromarray(np.ascontiguousarray(frame)) for frame in frames]
    first.save(
        out, format=kinds[out.suffix.lower()], save_all=True, append_images=others, duration=1000 / VIDEO_HZ, loop=0
    )
    return how


def _frames(episode: Episode, rows: Any, menagerie_root: Path | None) -> tuple[list[Image], str]:
    header = episode.header
    try:
        entry = catalog.find(header.robot_model, menagerie_root)
        model = robot_scene(entry)
        body = body_of(model, entry.robot_spec())
    except SimError as error:
        raise NotComparable(f"there is no model to draw: {error}") from error
    if tuple(body.spec.joint_names) != header.joint_names:
        raise NotComparable("the model here has other joints than the episode")
    data = mujoco.MjData(model)
    try:
        camera = mujoco.MjvCamera()
        camera.distance = 2.6 * max(0.5, float(body.home_qpos[2]) if body.floating else 0.6)
        camera.azimuth, camera.elevation = 145.0, -14.0
        images = []
        with Canvas(model, WIDTH_PX, HEIGHT_PX, shadow_px=SHADOW_PX) as canvas:
            for _ in _poses(episode, rows, model, data, body):
                camera.lookat = data.subtree_com[body.base]
                images.append(canvas.draw(data, camera))
        return images, "OpenGL"
    except NoDisplay as error:
        return _lines(episode, rows, model, data, body), f"lines, for want of OpenGL ({error})"


def _poses(
    episode: Episode, rows: Any, model: mujoco.MjModel, data: mujoco.MjData, body: Body
) -> Iterator[mujoco.MjData]:
    pose = episode.signals.get(BASE_POSE)
    for row in rows:
        data.qpos[:] = body.home_qpos
        data.qpos[body.q] = episode.signals[STATE][row]
        if body.floating and pose is not None:
            data.qpos[:7] = pose[row]
        mujoco.mj_forward(model, data)
        yield data


def _lines(episode: Episode, rows: Any, model: mujoco.MjModel, data: mujoco.MjData, body: Body) -> list[Image]:
    """Draw each link as a line from its parent, seen from the side."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    images = []
    for _ in _poses(episode, rows, model, data, body):
        figure, axes = plt.subplots(figsize=(WIDTH_PX / 100, HEIGHT_PX / 100), dpi=100)
        middle = data.subtree_com[body.base]
        for link in range(2, model.nbody):
            parent = int(model.body_parentid[link])
            if parent:
                ends = data.xpos[[parent, link]]
                axes.plot(ends[:, 0], ends[:, 2], color="#1f6f8b", linewidth=2)
        axes.axhline(0.0, color="#9aa5ad", linewidth=1)
        axes.set(xlim=(middle[0] - 0.9, middle[0] + 0.9), ylim=(-0.1, 1.7), aspect="equal")
        axes.axis("off")
        figure.canvas.draw()
        pixels: Any = figure.canvas
        images.append(np.asarray(pixels.buffer_rgba())[..., :3].copy())
        plt.close(figure)
    return images
