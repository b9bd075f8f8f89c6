"""Cameras on the worlds that a job records: from the job's description to the packets that go into its episodes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from palaestra.v1 import job_pb2
from runner.attempt import Attempt
from runner.errors import AttemptError
from runner.slots import NICENESS
from sim.cameras import Camera, Cameras, Frames, frame_at
from sim.cameras.spec import Picture, check_names
from sim.errors import BadCamera, CamerasDied, NoDisplay, SimError
from sim.slot_process import Bounds, LeasedSlot
from store.camera import DEPTH_MM, H264, CameraStream, FrameEncoder
from store.errors import VideoUnavailable

WIDTH_PX, HEIGHT_PX, RATE_HZ = 320, 240, 25.0
WORLDS_MAX = 64
"""An encoder for each camera of each world takes some megabytes."""
PICTURES: dict[job_pb2.CameraPicture, Picture] = {
    job_pb2.CAMERA_PICTURE_UNSPECIFIED: "rgb",
    job_pb2.CAMERA_PICTURE_RGB: "rgb",
    job_pb2.CAMERA_PICTURE_DEPTH: "depth",
    job_pb2.CAMERA_PICTURE_RAY_DEPTH: "ray_depth",
}


def camera_of(asked: job_pb2.Camera) -> Camera:
    """Return the camera that a job describes. Raises BadCamera."""
    if len(asked.position_m) not in (0, 3):
        raise BadCamera(f"camera {asked.name!r}: position_m has {len(asked.position_m)} numbers: x, y, z")
    x, y, z = asked.position_m or (0.0, 0.0, 0.0)
    return Camera(
        asked.name,
        picture=PICTURES[asked.picture],
        width_px=asked.width_px or WIDTH_PX,
        height_px=asked.height_px or HEIGHT_PX,
        rate_hz=asked.rate_hz or RATE_HZ,
        model_camera=asked.model_camera,
        body=asked.body,
        at_m=(x, y, z),
        yaw_rad=asked.yaw_rad,
        pitch_rad=asked.pitch_rad,
        field_of_view_rad=asked.field_of_view_rad,
    )


class Film:
    """Cameras on all worlds of a slot; each step is drawn before the next one is made, so no frame is missed.

    Attributes:
        streams: What the episodes' headers say of them.
        restarts: How often the process that draws has died; the frame under way was drawn again each time.
    """

    def __init__(self, attempt: Attempt, slot: LeasedSlot, cameras: Sequence[Camera]) -> None:
        """Start to draw. Raises SimError."""
        self._attempt, self._spec, self._described = attempt, slot.spec, tuple(cameras)
        self._period_s = slot.facts.period_s
        self.restarts = 0
        self._cameras = self._open()
        self.streams = {
            camera.name: CameraStream(
                camera.width_px,
                camera.height_px,
                camera.rate_hz,
                H264 if camera.picture == "rgb" else DEPTH_MM,
                self._cameras.fovy_rad[camera.name],
            )
            for camera in cameras
        }
        self._encoders: dict[tuple[int, str], FrameEncoder] = {}
        self.begin()

    def begin(self) -> None:
        """Start new episodes in all worlds. Raises VideoUnavailable."""
        self._encoders = {
            (world, name): FrameEncoder(stream)
            for world in range(self._spec.worlds)
            for name, stream in self.streams.items()
        }

    def shoot(self, slot: LeasedSlot, tick: int, running: npt.NDArray[np.bool_]) -> Mapping[int, Mapping[str, bytes]]:
        """Return, by world, the packets of the frames that belong to a row of the episodes, counted from 0.

        Raises CamerasDied where drawing has failed twice at the same frame.
        """
        due = [
            camera.name
            for camera in self._described
            if frame_at(tick, period_s=self._period_s, rate_hz=camera.rate_hz) is not None
        ]
        if not due or not running.any():
            return {}
        frames = self._draw(slot.positions(), tick, due, running)
        return {
            int(world): {name: self._encoders[int(world), name].encode(frames.images[name][world]) for name in due}
            for world in np.flatnonzero(running)
        }

    def close(self) -> None:
        """End the process that draws."""
        self._cameras.close()

    def _draw(
        self, qpos: npt.NDArray[np.float64], tick: int, due: Sequence[str], running: npt.NDArray[np.bool_]
    ) -> Frames:
        try:
            return self._cameras.draw(qpos, tick=tick, only=due, running=running)
        except CamerasDied as error:
            # A frame is a function of the positions alone: another process draws the same.
            self._attempt.check()
            self._attempt.log(f"cameras: {error}; they are started again")
            self.restarts += 1
            self._cameras.close()
            self._cameras = self._open()
            return self._cameras.draw(qpos, tick=tick, only=due, running=running)

    def _open(self) -> Cameras:
        return Cameras(self._spec, self._described, bounds=Bounds(niceness=NICENESS))


@contextmanager
def open_film(attempt: Attempt, slot: LeasedSlot, asked: Sequence[job_pb2.Camera]) -> Iterator[Film | None]:
    """Have cameras on a slot's worlds; None where the job asks for none.

    Raises:
        AttemptError: BAD_CAMERA, NO_PICTURES, or WORK_FAILED where the process that draws dies again and again.
    """
    if not asked:
        yield None
        return
    try:
        cameras = check_names(tuple(camera_of(each) for each in asked))
        if slot.worlds > WORLDS_MAX:
            raise BadCamera(f"cameras look at {WORLDS_MAX} worlds at most, and the job has {slot.worlds}")
        film = Film(attempt, slot, cameras)
    except (NoDisplay, VideoUnavailable) as error:
        raise AttemptError("NO_PICTURES", str(error), retryable=False) from error
    except CamerasDied as error:
        raise AttemptError("WORK_FAILED", str(error), retryable=True) from error
    except BadCamera as error:
        raise AttemptError("BAD_CAMERA", str(error), retryable=False) from error
    except SimError as error:
        raise AttemptError("BROKEN_MODEL", str(error), retryable=False) from error
    try:
        yield film
    except CamerasDied as error:
        attempt.check()
        raise AttemptError("WORK_FAILED", str(error), retryable=True) from error
    finally:
        film.close()
