"""What a camera is: a typed description, how it is put into a model, and how it crosses as a plain table."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import mujoco
import numpy as np

from sim.body import Array
from sim.errors import BadCamera
from sim.pinhole import turn

Picture = Literal["rgb", "depth", "ray_depth"]
SIDE_MIN_PX, SIDE_MAX_PX = 16, 2048
CAMERAS_MAX = 8
FIELD_OF_VIEW_RAD = math.radians(45.0)
"""MuJoCo's own default (`fovy` in its XML reference)."""
RANGE_M = 20.0
CHASE_YAW_RAD, CHASE_PITCH_RAD = math.radians(145.0), math.radians(14.0)
"""The side from which all pictures of robots are drawn here."""


@dataclass(frozen=True)
class Camera:
    """One camera of a world: where it is, what it shows, how large, how often.

    Where: a camera of the model (`model_camera`), or on a body (`body`: its name; "base" for the robot's base; "world"
    for a fixed one), or, where both are empty, beside the robot, whose centre of mass it follows; `at_m`, `yaw_rad` and
    `pitch_rad` then move and turn it from there.

    Attributes:
        name: Small letters, digits and underscores.
        picture: "rgb": colours, uint8. "depth": distances [m] along the viewing axis, from OpenGL's depth buffer.
            "ray_depth": the same by casting rays, which needs no OpenGL.
        width_px, height_px: Even numbers, as video wants them.
        rate_hz: Frames per second of simulated time. A frame belongs to the first step that is due.
        model_camera: Name of a camera in the robot's model; the position below is not used then.
        body: What carries it.
        at_m: Where in the body's frame.
        yaw_rad, pitch_rad: Where it looks: 0, 0 is along the body's x axis; positive pitch looks down.
        field_of_view_rad: From the top to the bottom of the picture; 0 takes the model camera's, or 45 degrees.
        range_m: Depths beyond it are read as 0, as depth cameras do for what they do not see.
    """

    name: str
    picture: Picture = "rgb"
    width_px: int = 320
    height_px: int = 240
    rate_hz: float = 25.0
    model_camera: str = ""
    body: str = ""
    at_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    yaw_rad: float = 0.0
    pitch_rad: float = 0.0
    field_of_view_rad: float = 0.0
    range_m: float = RANGE_M

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch("[a-z][a-z0-9_]{0,31}", self.name):
            raise BadCamera(f"name {self.name!r}: small letters, digits and _, at most 32")
        if self.picture not in get_args(Picture):
            raise self._bad("picture", f"one of {', '.join(get_args(Picture))}")
        for side in ("width_px", "height_px"):
            value = getattr(self, side)
            if type(value) is not int or not SIDE_MIN_PX <= value <= SIDE_MAX_PX or value % 2:
                raise self._bad(side, f"an even number from {SIDE_MIN_PX} to {SIDE_MAX_PX}")
        for name, least, most in (("rate_hz", 0.0, 1e3), ("range_m", 0.0, 65.0)):
            value = getattr(self, name)
            if not (_is_number(value) and least < value <= most):
                raise self._bad(name, f"above {least:g} and up to {most:g}")
        if not (_is_number(self.field_of_view_rad) and 0.0 <= self.field_of_view_rad < math.pi):
            raise self._bad("field_of_view_rad", "from 0 to below pi")
        for name in ("yaw_rad", "pitch_rad"):
            if not (_is_number(getattr(self, name)) and abs(getattr(self, name)) <= 2 * math.pi):
                raise self._bad(name, "a finite angle, at most one turn")
        if len(self.at_m) != 3 or not all(_is_number(x) and abs(x) <= 1e3 for x in self.at_m):
            raise self._bad("at_m", "three finite numbers")
        if self.model_camera and self.body:
            raise self._bad("body", f"not beside model_camera {self.model_camera!r}")

    @property
    def draws(self) -> bool:
        """Whether it needs OpenGL."""
        return self.picture != "ray_depth"

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Shape of one frame: (height, width, 3) of uint8, or (height, width) of float32 [m]."""
        return (self.height_px, self.width_px, 3) if self.picture == "rgb" else (self.height_px, self.width_px)

    @property
    def in_model(self) -> str:
        """What it is called in the model that is drawn."""
        return self.model_camera or f"camera.{self.name}"

    def furnish(self, spec: mujoco.MjSpec, base: str) -> None:
        """Add it to a scene where the robot's base is called `base`.

        Raises:
            BadCamera: its body or its camera is not there; the message lists those that are.
        """
        if self.model_camera:
            names = [each.name for each in spec.cameras if each.name]
            if self.model_camera not in names:
                known = ", ".join(names[:40]) or "none"
                raise BadCamera(f"camera {self.name!r}: the model has no camera {self.model_camera!r}; it has {known}")
            if self.field_of_view_rad:
                spec.camera(self.model_camera).fovy = math.degrees(self.field_of_view_rad)
            return
        names = [each.name for each in spec.bodies if each.name]
        found = spec.body(base if self.body in ("", "base") else self.body)
        if found is None:
            raise BadCamera(f"camera {self.name!r}: no body {self.body!r}; there are {', '.join(names[:40])}")
        camera = found.add_camera(name=self.in_model)
        camera.fovy = math.degrees(self.field_of_view_rad or FIELD_OF_VIEW_RAD)
        camera.pos, camera.quat = list(self.at_m), list(_orientation(turn(self.yaw_rad, self.pitch_rad)))
        if not self.body:
            camera.mode = mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM

    def settle(self, model: mujoco.MjModel, chase_m: float) -> None:
        """Put a camera that follows the robot `chase_m` from its centre of mass, in the world's directions."""
        if self.body or self.model_camera:
            return
        look = turn(CHASE_YAW_RAD + self.yaw_rad, CHASE_PITCH_RAD + self.pitch_rad)
        number = model.camera(self.in_model).id
        model.cam_poscom0[number] = np.array(self.at_m) - chase_m * look[:, 0]
        mujoco.mju_quat2Mat(model.cam_mat0[number], _orientation(look))

    def _bad(self, name: str, rule: str) -> BadCamera:
        return BadCamera(f"camera {self.name!r}: {name} = {getattr(self, name)!r}: {rule}")


def to_tables(cameras: Iterable[Camera]) -> tuple[dict[str, Any], ...]:
    """Return plain tables that `from_tables` reads."""
    return tuple(asdict(camera) for camera in cameras)


def from_tables(tables: Sequence[Mapping[str, Any]]) -> tuple[Camera, ...]:
    """Read cameras from tables as they stand in JSON or TOML. Raises BadCamera with the name of what is wrong."""
    if len(tables) > CAMERAS_MAX:
        raise BadCamera(f"{len(tables)} cameras, at most {CAMERAS_MAX}")
    known = [each.name for each in fields(Camera)]
    cameras = []
    for table in tables:
        for key in table:
            if key not in known:
                raise BadCamera(f"a camera has no field {key!r}; there are {', '.join(known)}")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
        try:
            cameras.append(Camera(**values))
        except TypeError as error:
            raise BadCamera(f"camera {table.get('name')!r}: {error}") from error
    return check_names(tuple(cameras))


def check_names(cameras: tuple[Camera, ...]) -> tuple[Camera, ...]:
    """Return the cameras if each has a name of its own. Raises BadCamera."""
    names = [camera.name for camera in cameras]
    if len(set(names)) != len(names):
        raise BadCamera(f"names {names}: each once")
    return cameras


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _orientation(look: Array) -> Array:
    """Return the quaternion of a camera whose viewing axis is the first column of `look`, its left the second.

    MuJoCo's cameras look along their -z, with x to the right and y upwards (its XML reference, "camera").
    """
    frame = np.stack([-look[:, 1], look[:, 2], -look[:, 0]], axis=1)
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, frame.ravel())
    return quat
