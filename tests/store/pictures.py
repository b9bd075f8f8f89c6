"""Episodes with cameras: pictures that move, so that one is told from the next."""

from typing import Any

import numpy as np

from store import EpisodeHeader, Outcome, SealedEpisode, Status
from store.camera import H264, CameraStream, FrameEncoder
from tests.store.conftest import House

ROWS = 41


def colours(row: int, stream: CameraStream) -> np.ndarray:
    """A bright bar that wanders over a slope, at the row of an episode."""
    y, x = np.mgrid[: stream.height_px, : stream.width_px]
    frame = np.stack([x * 255 // stream.width_px, y * 255 // stream.height_px, 0 * x + 80], axis=-1).astype(np.uint8)
    frame[:, row % stream.width_px : row % stream.width_px + 6] = 250
    return frame


def picture(row: int, stream: CameraStream) -> np.ndarray:
    """What a camera sees at a row."""
    if stream.codec == H264:
        return colours(row, stream)
    return np.full(stream.frame_shape, 1.0 + row / 10, np.float32)


def seal_with_cameras(house: House, header: EpisodeHeader, rows: int = ROWS, **options: Any) -> SealedEpisode:
    """Record rows at 100 Hz with a frame wherever one is due."""
    encoders = {name: FrameEncoder(stream) for name, stream in header.cameras.items()}
    zeros = np.zeros(len(header.joint_names))
    with house.recorder(header, **options) as recorder:
        for row in range(rows):
            packets = {
                name: encoder.encode(picture(row, header.cameras[name]))
                for name, encoder in encoders.items()
                if row % round(100 / header.cameras[name].rate_hz) == 0
            }
            recorder.append(row / 100, zeros, zeros, zeros, zeros + row, packets=packets)
        return recorder.seal(Outcome(Status.SUCCESS))
