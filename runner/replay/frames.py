"""Pictures of a recorded episode, from the recorded poses: drawn with OpenGL where there is any, else as lines.

What a camera saw when the episode was recorded is shown as it is.
"""

import itertools
from collections.abc import Iterator
from fractions import Fraction
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
from store.camera import pyav
from store.mp4 import Mp4Writer
from store.reader import read_camera

Image = npt.NDArray[np.uint8]
WIDTH_PX, HEIGHT_PX = 256, 256
SHADOW_PX = 1024
STRIP_FRAMES = 6
VIDEO_HZ = 12.5
MP4_HZ = 25.0
KINDS = {".mp4": "MP4", ".gif": "GIF", ".webp": "WEBP", ".png": "PNG"}


def picture(episode: Episode, out: Path, *, menagerie_root: Path | None = None) -> str:
    """Write a strip of frames as PNG; return how it was drawn. Raises NotComparable, OSError."""
    rows = np.linspace(0, len(episode.time_s) - 1, min(STRIP_FRAMES, len(episode.time_s))).astype(int)
    frames, how = _frames(episode, rows, menagerie_root)
    write_png(np.concatenate(list(frames), axis=1), out)
    return how


def video(episode: Episode, out: Path, *, menagerie_root: Path | None = None) -> str:
    """Write a video, or an animated GIF, WebP or PNG, by the name's ending; return how it was drawn.

    Raises NotComparable for another ending too, OSError, and VideoUnavailable where an MP4 is asked for and PyAV is
    not installed.
    """
    rate_hz = MP4_HZ if _kind(out) == "MP4" else VIDEO_HZ
    if rate_hz == MP4_HZ:
        pyav()
    length_s = float(episode.time_s[-1] - episode.time_s[0])
    at_s = episode.time_s[0] + np.arange(0.0, length_s + 1e-9, 1.0 / rate_hz)
    rows = np.minimum(np.searchsorted(episode.time_s, at_s), len(episode.time_s) - 1)
    frames, how = _frames(episode, rows, menagerie_root)
    _write(frames, out, rate_hz)
    return how


def recorded(file: Path, camera: str, *, picture: Path | None = None, video: Path | None = None) -> str:
    """Write what a camera saw when the episode was recorded; return its size and rate.

    Args:
        file: The sealed episode.
        camera: Name of one of its cameras.
        picture: Where a strip of its frames goes, PNG.
        video: Where all of them go, as for `video`, at the camera's rate.

    Raises:
        NotComparable: an ending that is no video's.
        CameraNotFound, BrokenEpisode, VideoUnavailable, OSError.
    """
    found = read_camera(file, camera)
    stream = found.stream
    if picture:
        chosen = set(np.linspace(0, len(found.packets) - 1, min(STRIP_FRAMES, len(found.packets))).astype(int).tolist())
        strip = [visible(frame) for number, frame in enumerate(found.frames()) if number in chosen]
        write_png(np.concatenate(strip, axis=1), picture)
    if video:
        _write(map(visible, found.frames()), video, stream.rate_hz)
    return f"{stream.width_px} x {stream.height_px} px, {stream.rate_hz:g} Hz, {len(found.packets)} frames"


def _kind(out: Path) -> str:
    kind = KINDS.get(out.suffix.lower())
    if kind is None:
        raise NotComparable(f"{out.name}: a video ends in {', '.join(KINDS)}")
    return kind


def _write(frames: Iterator[Image], out: Path, rate_hz: float) -> None:
    kind = _kind(out)
    first = next(frames)
    if kind == "MP4":
        height_px, width_px, _ = first.shape
        rate = Fraction(rate_hz).limit_denominator(1000)
        with Mp4Writer(out, width_px, height_px, rate, keyframe_every=max(1, round(rate_hz))) as writer:
            for frame in itertools.chain([first], frames):
                writer.add(frame)
        return
    from PIL import Image as Picture

    pictures = (Picture.fromarray(np.ascontiguousarray(frame)) for frame in frames)
    Picture.fromarray(np.ascontiguousarray(first)).save(
        out, format=kind, save_all=True, append_images=pictures, duration=1000 / rate_hz, loop=0
    )


def visible(frame: Any) -> Image:
    """Return colours as they are, and depths as greys: near is light, unseen is black."""
    if frame.ndim == 3:
        colours: Image = frame
        return colours
    near = np.where(frame > 0.0, 1.0 / (1.0 + frame), 0.0)
    return np.repeat((255 * near).astype(np.uint8)[..., None], 3, axis=2)


def _frames(episode: Episode, rows: Any, menagerie_root: Path | None) -> tuple[Iterator[Image], str]:
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
        canvas = Canvas(model, WIDTH_PX, HEIGHT_PX, shadow_px=SHADOW_PX)
    except NoDisplay as error:
        return _lines(episode, rows, model, data, body), f"lines, for want of OpenGL ({error})"
    return _drawn(canvas, episode, rows, model, data, body), "OpenGL"


def _drawn(
    canvas: Canvas, episode: Episode, rows: Any, model: mujoco.MjModel, data: mujoco.MjData, body: Body
) -> Iterator[Image]:
    camera = mujoco.MjvCamera()
    camera.distance = 2.6 * max(0.5, float(body.home_qpos[2]) if body.floating else 0.6)
    camera.azimuth, camera.elevation = 145.0, -14.0
    with canvas:
        for _ in _poses(episode, rows, model, data, body):
            camera.lookat = data.subtree_com[body.base]
            yield canvas.draw(data, camera)


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


def _lines(episode: Episode, rows: Any, model: mujoco.MjModel, data: mujoco.MjData, body: Body) -> Iterator[Image]:
    """Draw each link as a line from its parent, seen from the side."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

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
        image = np.asarray(pixels.buffer_rgba())[..., :3].copy()
        plt.close(figure)
        yield image
