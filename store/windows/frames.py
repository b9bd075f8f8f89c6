"""Frames of one camera, decoded when a window asks for them, each from the last one that needs none before it."""

import numpy as np

from store.camera import H264, IMAGE_PREFIX, CameraStream, decode
from store.errors import BrokenCache
from store.windows.cache import Cache
from store.windows.view import KEY, OFFSET, PACKETS

MAX_RUN = 10_000
"""Most frames that are decoded for one: a second's worth at any rate that a camera may have, with room."""


class Frames:
    """Reads the frames of one camera from a cache."""

    def __init__(self, cache: Cache, camera: str) -> None:
        said = cache.body.cameras[camera]
        height_px, width_px = said["shape"][:2]
        self.name = IMAGE_PREFIX + camera
        self._stream = CameraStream(width_px, height_px, said["rate_hz"], said["codec"])
        self._cache = cache

    def read(self, rows: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """Return frames by number. Each run of packets is decoded once, whoever asks for how many of it.

        Args:
            rows: Numbers of frames, (batch, length).
            missing: (batch,): True for windows of which there is no frame at all; they stay black.

        Raises:
            BrokenCache: A packet cannot be where the cache says, or is none.
            VideoUnavailable: PyAV is not installed.
        """
        shape = self._stream.frame_shape
        frames = np.zeros((*rows.shape, *shape), np.uint8 if self._stream.codec == H264 else np.float32)
        wanted = np.where(missing[:, None], -1, rows)
        key = self._cache.column(self.name + KEY)
        needed = np.unique(wanted[wanted >= 0])
        if needed.size and needed[-1] >= len(key):
            raise BrokenCache(f"{self._cache.path}: {self.name}: there is no frame {needed[-1]}")
        starts = key[needed]
        for start in np.unique(starts):
            run = needed[starts == start]
            if not 0 <= start <= run[0] or run[-1] - start > MAX_RUN:
                raise BrokenCache(f"{self._cache.path}: {self.name}: frame {run[-1]} begins at frame {start}")
            packets = [self._packet(number) for number in range(int(start), int(run[-1]) + 1)]
            for number, frame in enumerate(decode(self._stream, packets), int(start)):
                if number in run:
                    frames[wanted == number] = frame
        return frames

    def _packet(self, number: int) -> bytes:
        offsets, packets = self._cache.column(self.name + OFFSET), self._cache.column(self.name + PACKETS)
        begin = int(offsets[number])
        end = int(offsets[number + 1]) if number + 1 < len(offsets) else len(packets)
        if not 0 <= begin < end <= len(packets):
            raise BrokenCache(f"{self._cache.path}: {self.name}: frame {number} has no bytes: {begin} to {end}")
        return packets[begin:end].tobytes()
