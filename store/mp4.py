"""Frames into an MP4 file that browsers, players and LeRobot's readers play: H.264 in yuv420p."""

from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import numpy as np

from store.camera import pyav
from store.errors import VideoUnavailable

CODEC, PIXELS = "h264", "yuv420p"


class Mp4Writer:
    """Writes one video, frame k at k / fps exactly. The same frames give the same bytes. Use in a `with`."""

    def __init__(self, path: Path, width_px: int, height_px: int, fps: Fraction | int, *, keyframe_every: int) -> None:
        """Open the file.

        Args:
            path: Where it goes; overwritten.
            width_px, height_px: Even numbers.
            fps: Frames per second.
            keyframe_every: Frames from one that stands alone to the next: fewer for those who jump, more for size.

        Raises:
            VideoUnavailable: PyAV is not installed, or was built without an H.264 encoder.
        """
        av = pyav()
        self._av = av
        rate = Fraction(fps)
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "faststart"})
        try:
            stream: Any = self._container.add_stream("libx264", rate=rate)
        except (ValueError, av.FFmpegError) as error:
            self._container.close()
            raise VideoUnavailable(f"this PyAV has no H.264 encoder: {error}") from error
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, PIXELS
        stream.codec_context.time_base = 1 / rate
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = keyframe_every
        stream.codec_context.options = {"preset": "veryfast", "crf": "20", "bf": "0"}
        self._stream, self._frames = stream, 0

    @property
    def frames(self) -> int:
        """How many frames were added."""
        return self._frames

    def add(self, frame: np.ndarray) -> None:
        """Add one frame, (height, width, 3) of uint8."""
        picture = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture = picture.reformat(format=PIXELS)
        picture.pts, picture.time_base = self._frames, self._stream.codec_context.time_base
        self._frames += 1
        for packet in self._stream.encode(picture):
            self._container.mux(packet)

    def close(self) -> None:
        """Write what is left, and the file's index."""
        for packet in self._stream.encode(None):
            self._container.mux(packet)
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
