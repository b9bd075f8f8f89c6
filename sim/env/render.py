"""Pictures of worlds: the scene with all its visuals, at the state that a world is in."""

from typing import Any

import mujoco

from sim.errors import NoDisplay
from sim.mjcf import compile_model
from sim.picture import Image, draw, open_background
from sim.slot import SimSlot

WIDTH_PX, HEIGHT_PX = 480, 320


class Painter:
    """Draws worlds of a slot in this process. The model with visuals is compiled when it is first needed."""

    def __init__(self, slot: Any, render_mode: str | None) -> None:
        """Remember the slot. Raises ValueError for a mode other than None and "rgb_array"."""
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode = {render_mode!r}: must be None or 'rgb_array'")
        self._slot = slot
        self._model: mujoco.MjModel | None = None

    def draw(self, world: int) -> Image:
        """Return a picture of a world, (HEIGHT_PX, WIDTH_PX, 3).

        Raises NoDisplay where nothing can be drawn: no OpenGL, or worlds of another process.
        """
        slot = self._slot
        if not isinstance(slot, SimSlot):
            raise NoDisplay("only worlds of this process can be drawn")
        if self._model is None:
            spec = slot.entry.mjspec(visuals=True, actuators=slot.actuators)
            slot.task.furnish(spec, slot.entry)
            open_background(spec)
            self._model = compile_model(spec, label=slot.entry.id)
        data = mujoco.MjData(self._model)
        data.qpos[:] = slot.core.qpos[world]
        mujoco.mj_forward(self._model, data)
        camera = mujoco.MjvCamera()
        camera.lookat = data.subtree_com[slot.body.base]
        # A robot that walks is about 1.7 times as high as its base: it fits a view of 45 degrees at twice that.
        height_m = float(slot.body.home_qpos[2]) if slot.body.floating else 0.0
        camera.distance = max(1.3, 3.4 * height_m)
        camera.azimuth, camera.elevation = 145.0, -14.0
        return draw(self._model, data, camera, width_px=WIDTH_PX, height_px=HEIGHT_PX)
