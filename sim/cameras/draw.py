"""Draws one world after the other from given positions: with OpenGL, or by rays where only distances are asked for."""

from collections.abc import Sequence
from typing import Any, Self

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from sim.body import Array
from sim.cameras.coarse import coarse
from sim.cameras.spec import Camera
from sim.errors import BadCamera
from sim.picture import offscreen
from sim.pinhole import rays

SEEN = (1, 1, 1, 0, 0, 0)
"""Groups of geoms that are drawn; from 3 on they are there for collisions, by MuJoCo's and its models' convention."""
MAX_GEOMS = 10_000

Frame = npt.NDArray[Any]


class Painter:
    """Cameras in one model. A frame depends on the positions it is drawn from, and on nothing drawn before."""

    def __init__(self, model: mujoco.MjModel, cameras: Sequence[Camera]) -> None:
        """Open OpenGL if a camera needs it.

        Raises:
            NoDisplay: there is none.
            BadCamera: a picture is larger than what it can draw at a time.
        """
        self._model, self._data = model, mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, self._data, 0 if model.nkey else -1)
        self.cameras = tuple(cameras)
        drawn = [camera for camera in cameras if camera.draws]
        self._gl = _Canvas(model, drawn) if drawn else None
        cast = [camera for camera in cameras if not camera.draws]
        # MuJoCo's mj_multiRay is a quarter faster, and misses geoms in part that mj_ray and OpenGL see (4.0.0); the
        # batch casts by mj_ray.
        self._batch = Batch(model, 1, 1) if cast else None
        self._qpos = self._batch.bind("qpos") if self._batch else np.empty((1, model.nq))
        self._rays = {camera.name: _Rays(model, camera) for camera in cast}

    @property
    def backend(self) -> str:
        """What draws: "egl", "osmesa", or "rays" where no camera needs OpenGL."""
        return self._gl.backend if self._gl else "rays"

    def pose(self, qpos: Array) -> None:
        """Take the positions of a world, (nq,): all that follows is drawn from there."""
        self._data.qpos[:] = self._qpos[0] = qpos
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        mujoco.mj_tendon(self._model, self._data)

    def draw(self, camera: Camera, out: Frame) -> None:
        """Draw a frame into `out`, of the camera's shape and type."""
        if camera.name in self._rays:
            self._rays[camera.name].cast(self._data, self._batch, out)
        else:
            assert self._gl is not None
            self._gl.draw(self._data, camera, out)

    def close(self) -> None:
        """Let go of OpenGL."""
        if self._gl:
            self._gl.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Canvas:
    """Offscreen OpenGL of one model, large enough for the largest camera."""

    def __init__(self, model: mujoco.MjModel, cameras: Sequence[Camera]) -> None:
        width_px, height_px = max(c.width_px for c in cameras), max(c.height_px for c in cameras)
        # Shadows and smooth edges take nine tenths of the time without a graphics processor.
        model.vis.quality.shadowsize = 0
        model.vis.quality.offsamples = 0
        model.vis.global_.offwidth, model.vis.global_.offheight = width_px, height_px
        self._gl, self.backend = offscreen(width_px, height_px)
        self._gl.make_current()
        try:
            self._context = mujoco.MjrContext(coarse(model), mujoco.mjtFontScale.mjFONTSCALE_100)
        except (mujoco.FatalError, ValueError) as error:
            raise BadCamera(f"{width_px} x {height_px} px: {' '.join(str(error).split())[:200]}") from error
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        most = self._context.offWidth, self._context.offHeight
        if self._context.currentBuffer != mujoco.mjtFramebuffer.mjFB_OFFSCREEN or most < (width_px, height_px):
            raise BadCamera(f"{width_px} x {height_px} px: the offscreen buffer has at most {most[0]} x {most[1]}")
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self._model = model
        self._scene = mujoco.MjvScene(model, maxgeom=MAX_GEOMS)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._scene.flags[flag] = False
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = SEEN
        self._option.sitegroup[:] = 0
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        # As glFrustum gets them, so that its arithmetic can be undone.
        self._near_m = float(np.float32(model.vis.map.znear * model.stat.extent))
        self._far_m = float(np.float32(model.vis.map.zfar * model.stat.extent))

    def draw(self, data: mujoco.MjData, camera: Camera, out: Frame) -> None:
        self._view.fixedcamid = self._model.camera(camera.in_model).id
        # The camera first: floors without end are put under it.
        mujoco.mjv_updateCamera(self._model, data, self._view, self._scene)
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self._model, data, self._option, None, self._view, everything, self._scene)
        is_depth = camera.picture == "depth"
        # Without lights and textures, which depths do not need; far ones are more exact so, too.
        for flag in (mujoco.mjtRndFlag.mjRND_SEGMENT, mujoco.mjtRndFlag.mjRND_IDCOLOR):
            self._scene.flags[flag] = is_depth
        viewport = mujoco.MjrRect(0, 0, camera.width_px, camera.height_px)
        mujoco.mjr_render(viewport, self._scene, self._context)
        if not is_depth:
            pixels = np.empty(camera.frame_shape, np.uint8)
            mujoco.mjr_readPixels(pixels, None, viewport, self._context)
            out[:] = pixels[::-1]
            return
        depth = np.empty(camera.frame_shape, np.float32)
        mujoco.mjr_readPixels(None, depth, viewport, self._context)
        out[:] = _seen(self._metres(depth[::-1]), camera.range_m)

    def close(self) -> None:
        self._context.free()
        self._gl.free()

    def _metres(self, buffer: Frame) -> Array:
        """Undo the perspective of the depth buffer, 1 at the near plane and 0 at the far one (glFrustum's matrix)."""
        near, far = self._near_m, self._far_m
        return near * far / (near + buffer.astype(np.float64) * (far - near))


class _Rays:
    """The rays of one camera."""

    def __init__(self, model: mujoco.MjModel, camera: Camera) -> None:
        self._camera = camera
        self._number = int(model.camera(camera.in_model).id)
        ahead = rays(camera.width_px, camera.height_px, float(np.radians(model.cam_fovy[self._number])))
        # From ahead, left, up to MuJoCo's camera frame: right, up, backwards.
        local = np.stack([-ahead[:, 1], ahead[:, 2], -ahead[:, 0]], axis=1)
        self._length = np.linalg.norm(local, axis=1)
        self._unit = local / self._length[:, None]
        self._groups = np.array(SEEN, np.uint8)
        # What carries the camera is around it.
        self._carrier = int(model.cam_bodyid[self._number])
        if self._carrier == 0 or not (camera.body or camera.model_camera):
            self._carrier = -1

    def cast(self, data: mujoco.MjData, batch: Batch, out: Frame) -> None:
        vec = self._unit @ data.cam_xmat[self._number].reshape(3, 3).T
        at = np.broadcast_to(data.cam_xpos[self._number], vec.shape)
        found, _ = batch.ray(at[None], vec[None], geomgroup=self._groups, bodyexclude=self._carrier)
        distances = found[0]
        depth = np.where(distances < 0.0, np.inf, distances / self._length)
        out[:] = _seen(depth, self._camera.range_m).reshape(out.shape)


def _seen(depth_m: Array, range_m: float) -> Array:
    return np.where(depth_m <= range_m, depth_m, 0.0)
