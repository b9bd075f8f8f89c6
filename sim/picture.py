"""Pictures of robots and venues, drawn offscreen.

The OpenGL context is made here, EGL first and OSMesa second, and not chosen through an environment variable.
"""

import importlib
import struct
import zlib
from pathlib import Path
from typing import Any, Self

import mujoco
import numpy as np
import numpy.typing as npt

from sim.catalog import Entry, find, robots
from sim.errors import NoDisplay
from sim.mjcf import compile_model
from sim.model import FLOOR_LIGHT
from sim.venue import VenueTwin, load_venue, venue_spec

Image = npt.NDArray[np.uint8]
WIDTH_PX, HEIGHT_PX = 960, 640
SHADOW_PX = 4096
_BACKENDS = ("mujoco.egl", "mujoco.osmesa")


def robot_picture(robot_id: str, *, menagerie_root: Path | None = None) -> Image:
    """Draw a robot at home on its floor, (HEIGHT_PX, WIDTH_PX, 3).

    Raises UnknownRobot, MissingModel, BrokenModel, NoDisplay.
    """
    model = robot_scene(find(robot_id, menagerie_root))
    data = _home(model)
    low, high = _bounds(model, data)
    camera = mujoco.MjvCamera()
    camera.lookat = (low + high) / 2
    # The diagonal of the robot fills the picture's height: half of it at half of MuJoCo's 45 degree view.
    camera.distance = 0.5 * float(np.linalg.norm(high - low)) / np.tan(np.radians(45 / 2))
    camera.azimuth, camera.elevation = 145.0, -14.0
    return draw(model, data, camera)


def robots_picture(*, menagerie_root: Path | None = None, columns: int = 6, shrink: int = 3) -> Image:
    """Draw all robots of the catalogue that are on this machine side by side, in the order of `robots`.

    Raises BrokenModel, NoDisplay.
    """
    drawn = [
        robot_picture(entry.id, menagerie_root=menagerie_root)[::shrink, ::shrink]
        for entry in robots(menagerie_root)
        if entry.available()
    ]
    drawn += [np.full_like(drawn[0], 255)] * (-len(drawn) % columns)
    rows = [np.concatenate(drawn[i : i + columns], axis=1) for i in range(0, len(drawn), columns)]
    return np.concatenate(rows, axis=0)


def robot_scene(entry: Entry) -> mujoco.MjModel:
    """Return a robot on its floor in the light of all our pictures. Raises MissingModel, BrokenModel."""
    spec = entry.mjspec(visuals=True)
    use_our_light(spec)
    return compile_model(spec, label=entry.id)


def use_our_light(spec: mujoco.MjSpec) -> None:
    """One light for all, and a light sky: makers' models bring several lights, none, or very bright ones."""
    for light in list(spec.lights):
        if light.name != FLOOR_LIGHT:
            spec.delete(light)
    open_background(spec)


def venue_picture(venue: VenueTwin) -> Image:
    """Draw a whole venue from above its lower left corner, robots that are missing left out."""
    spec = venue_spec(venue, visuals=True, skip_missing=True)
    open_background(spec)
    model = compile_model(spec, label=venue.id)
    data = _home(model)
    camera = mujoco.MjvCamera()
    camera.lookat = (venue.width_m / 2, venue.depth_m / 2 - 0.5, 0.0)
    camera.distance = 1.03 * max(venue.width_m, 1.5 * venue.depth_m)
    camera.azimuth, camera.elevation = 90.0, -42.0
    return draw(model, data, camera)


class Canvas:
    """An offscreen picture of one model that can be drawn again and again; use in a `with`."""

    def __init__(
        self, model: mujoco.MjModel, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX, *, shadow_px: int = SHADOW_PX
    ) -> None:
        """Open a GL context; `shadow_px` of 0 draws no shadows. Raises NoDisplay where there is no offscreen OpenGL."""
        model.vis.global_.offwidth, model.vis.global_.offheight = width_px, height_px
        model.vis.quality.shadowsize = shadow_px
        self._model = model
        self._viewport = mujoco.MjrRect(0, 0, width_px, height_px)
        self._gl, _ = offscreen(width_px, height_px)
        self._gl.make_current()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=10_000)
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = (1, 1, 1, 0, 0, 0)

    def draw(self, data: mujoco.MjData, camera: Any) -> Image:
        """Draw one frame, (height_px, width_px, 3)."""
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self._model, data, self._option, None, camera, everything, self._scene)
        mujoco.mjr_render(self._viewport, self._scene, self._context)
        pixels = np.zeros((self._viewport.height, self._viewport.width, 3), dtype=np.uint8)
        mujoco.mjr_readPixels(pixels, None, self._viewport, self._context)
        return np.flipud(pixels)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.free()
        self._gl.free()


def draw(
    model: mujoco.MjModel, data: mujoco.MjData, camera: Any, *, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX
) -> Image:
    """Draw one frame of a scene, (height_px, width_px, 3). Raises NoDisplay where there is no offscreen OpenGL."""
    with Canvas(model, width_px, height_px) as canvas:
        return canvas.draw(data, camera)


def write_png(image: Image, path: Path) -> None:
    """Write an RGB image, (h, w, 3) of uint8, as PNG (RFC 2083)."""
    height, width, _ = image.shape
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 1:] = image.reshape(height, 3 * width)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def picture(subject: str, out: Path, *, menagerie_root: Path | None = None) -> None:
    """Draw a robot of the catalogue, all `robots`, or a venue file into `out`.

    Raises as the functions above, and BrokenVenue.
    """
    if subject == "robots":
        image = robots_picture(menagerie_root=menagerie_root)
    elif subject.endswith(".toml"):
        image = venue_picture(load_venue(Path(subject)))
    else:
        image = robot_picture(subject, menagerie_root=menagerie_root)
    write_png(image, out)


def offscreen(width_px: int, height_px: int) -> tuple[Any, str]:
    """Return a context of offscreen OpenGL and what makes it, "egl" or "osmesa". Raises NoDisplay."""
    reasons = []
    for name in _BACKENDS:
        try:
            return importlib.import_module(name).GLContext(width_px, height_px), name.rpartition(".")[2]
        except Exception as error:
            # Each backend fails in its own way: import errors, attribute errors of a missing library, its own.
            reasons.append(f"{name}: {' '.join(str(error).split())[:120]}")
    raise NoDisplay(f"no offscreen OpenGL, install libegl1 or libosmesa6 ({'; '.join(reasons)})")


def _home(model: mujoco.MjModel) -> mujoco.MjData:
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    mujoco.mj_forward(model, data)
    return data


def open_background(spec: mujoco.MjSpec) -> None:
    """A light sky instead of black."""
    for texture in list(spec.textures):
        if texture.type == mujoco.mjtTexture.mjTEXTURE_SKYBOX:
            spec.delete(texture)
    sky = spec.add_texture(name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX)
    sky.builtin = mujoco.mjtBuiltin.mjBUILTIN_GRADIENT
    sky.rgb1, sky.rgb2 = [0.93, 0.95, 0.97], [0.72, 0.78, 0.84]
    sky.width = sky.height = 256
    spec.visual.headlight.ambient = [0.40, 0.40, 0.40]
    spec.visual.headlight.diffuse = [0.30, 0.30, 0.30]
    spec.visual.headlight.specular = [0.1, 0.1, 0.1]


def _bounds(model: mujoco.MjModel, data: mujoco.MjData) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Corners of the box around all geoms of the robot, i.e. not of the world."""
    own = np.flatnonzero(model.geom_bodyid > 0)
    centre, radius = data.geom_xpos[own], np.minimum(model.geom_rbound[own], 0.4)[:, None]
    return (centre - 0.7 * radius).min(axis=0), (centre + 0.7 * radius).max(axis=0)
