"""Cameras in an episode: what the header says of them, and the packets into which their frames go, one for each frame.

A packet stands in the row of the step that its frame belongs to, so no clock has to be told apart. Colours are H.264
without frames that look ahead, by PyAV (the extra `video`); depths are whole millimetres, exact, compressed by zstd.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]

from store.errors import BrokenEpisode, InvalidEpisode, VideoUnavailable

IMAGE_PREFIX = "observation.images."
"""A column of this prefix holds the packets of one camera, under the camera's name."""
MAX_CAMERAS = 8
MAX_SIDE_PX = 4096
MAX_VIDEO_BYTES = 1 << 30
"""Most bytes of packets in an episode, all cameras together."""
H264, DEPTH_MM = "h264", "depth_mm"
CODECS = (H264, DEPTH_MM)
DEPTH_MAX_M = 65.535
KEYFRAME_S = 1.0
"""A reader that wants one frame decodes at most the second before it."""
_QUALITY = "20"
"""x264's crf. 23 is its default, 18 is called visually lossless (FFmpeg's H.264 guide)."""


@dataclass(frozen=True)
class CameraStream:
    """What an episode's header says of one camera. A field that breaks its rule: InvalidEpisode.

    Attributes:
        width_px, height_px: Of each frame.
        rate_hz: Nominal frames per second; the rows tell when each was.
        codec: "h264": colours; "depth_mm": distances along the viewing axis.
        field_of_view_rad: From top to bottom.
    """

    width_px: int
    height_px: int
    rate_hz: float
    codec: str = H264
    field_of_view_rad: float = math.radians(45.0)

    def __post_init__(self) -> None:
        for side in ("width_px", "height_px"):
            value = getattr(self, side)
            if type(value) is not int or not 2 <= value <= MAX_SIDE_PX or value % 2:
                raise InvalidEpisode(f"cameras: {side} = {value!r}: an even number from 2 to {MAX_SIDE_PX}")
        if self.codec not in CODECS:
            raise InvalidEpisode(f"cameras: codec = {self.codec!r}: one of {', '.join(CODECS)}")
        for name, most in (("rate_hz", 1e3), ("field_of_view_rad", math.pi)):
            value = getattr(self, name)
            if type(value) not in (int, float) or not (math.isfinite(value) and 0.0 < value <= most):
                raise InvalidEpisode(f"cameras: {name} = {value!r}: above 0 and up to {most:g}")
            object.__setattr__(self, name, float(value))

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """(height, width, 3) of uint8 for colours, (height, width) of float32 [m] for depths."""
        return (self.height_px, self.width_px, 3) if self.codec == H264 else (self.height_px, self.width_px)


def checked_cameras(cameras: object) -> dict[str, CameraStream]:
    """Return an episode's cameras by name, also where they come as plain tables. Raises InvalidEpisode."""
    if not isinstance(cameras, Mapping) or len(cameras) > MAX_CAMERAS:
        raise InvalidEpisode(f"cameras: {str(cameras)[:200]}: a mapping from name to camera, of up to {MAX_CAMERAS}")
    found = {}
    for name, stream in cameras.items():
        if not isinstance(name, str) or not re.fullmatch("[a-z][a-z0-9_]{0,31}", name):
            raise InvalidEpisode(f"cameras: name {str(name)[:100]!r}: small letters, digits and _, at most 32")
        try:
            found[name] = stream if isinstance(stream, CameraStream) else CameraStream(**stream)
        except TypeError as error:
            raise InvalidEpisode(f"cameras: {name}: {error}") from error
    return dict(sorted(found.items()))


class FrameEncoder:
    """Turns the frames of one camera into packets, in their order."""

    def __init__(self, stream: CameraStream) -> None:
        """Open the encoder. Raises VideoUnavailable where colours are to be encoded and PyAV is not installed."""
        self._stream = stream
        self._codec = _h264_encoder(stream) if stream.codec == H264 else None
        self._count = 0

    def encode(self, frame: np.ndarray) -> bytes:
        """Return a frame's packet. Raises InvalidEpisode for another shape or type."""
        stream = self._stream
        dtype = np.uint8 if self._codec else np.float32
        if frame.shape != stream.frame_shape or frame.dtype != dtype:
            raise InvalidEpisode(
                f"frame: {frame.dtype} of shape {frame.shape} instead of {np.dtype(dtype)} of {stream.frame_shape}"
            )
        if self._codec is None:
            return _pack_depth(frame)
        av = pyav()
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts = self._count
        self._count += 1
        packets = list(self._codec.encode(picture.reformat(format="yuv420p")))
        # The encoder is set not to look ahead; two packets or none would put a frame into another row.
        if len(packets) != 1:
            raise InvalidEpisode(f"frame: {len(packets)} packets came of one frame")
        return bytes(packets[0])


def decode(stream: CameraStream, packets: Iterable[bytes]) -> Iterator[np.ndarray]:
    """Yield the frames of packets, one for each.

    Raises:
        BrokenEpisode: a packet that is none, or gives a frame of another size.
        VideoUnavailable: PyAV is not installed.
    """
    if stream.codec == DEPTH_MM:
        for number, packet in enumerate(packets):
            yield _unpack_depth(stream, packet, number)
        return
    av = pyav()
    codec = av.CodecContext.create("h264", "r")
    codec.thread_count = 1
    asked = given = 0
    try:
        for packet in packets:
            asked += 1
            for picture in codec.decode(av.Packet(packet)):
                given += 1
                yield _colours(stream, picture, given - 1)
        for picture in codec.decode(None):
            given += 1
            yield _colours(stream, picture, given - 1)
    except av.FFmpegError as error:
        raise BrokenEpisode(f"frame {given}: {error}") from error
    if given != asked:
        raise BrokenEpisode(f"{asked} packets give {given} frames")


def pyav() -> Any:
    """Return the module `av`. Raises VideoUnavailable."""
    try:
        import av
    except ImportError as error:
        raise VideoUnavailable(f"video needs PyAV, the extra `video` of palaestra-server ({error})") from error
    return av


def _h264_encoder(stream: CameraStream) -> Any:
    av = pyav()
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = stream.width_px, stream.height_px, "yuv420p"
    rate = max(1, round(stream.rate_hz))
    codec.framerate, codec.time_base = rate, Fraction(1, rate)
    codec.thread_count = 1
    codec.gop_size = max(1, round(KEYFRAME_S * stream.rate_hz))
    codec.options = {"preset": "veryfast", "tune": "zerolatency", "crf": _QUALITY, "bf": "0"}
    codec.open()
    return codec


def _colours(stream: CameraStream, picture: Any, number: int) -> np.ndarray:
    if (picture.width, picture.height) != (stream.width_px, stream.height_px):
        raise BrokenEpisode(
            f"frame {number}: {picture.width} x {picture.height} px instead of {stream.width_px} x {stream.height_px}"
        )
    frame: np.ndarray = picture.to_ndarray(format="rgb24")
    return frame


def _pack_depth(frame: np.ndarray) -> bytes:
    # What cannot be seen, or is further than 16 bits of millimetres, is 0.
    known = np.where(np.isfinite(frame) & (frame > 0.0) & (frame <= DEPTH_MAX_M), frame, 0.0)
    packed: bytes = pa.compress(np.rint(1e3 * known).astype("<u2").tobytes(), "zstd", asbytes=True)
    return packed


def _unpack_depth(stream: CameraStream, packet: bytes, number: int) -> np.ndarray:
    size = 2 * stream.width_px * stream.height_px
    try:
        data = pa.decompress(packet, decompressed_size=size, codec="zstd", asbytes=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BrokenEpisode(f"frame {number}: {str(error)[:200]}") from error
    if len(data) != size:
        raise BrokenEpisode(f"frame {number}: {len(data)} bytes instead of {size}")
    values = np.frombuffer(data, "<u2").reshape(stream.frame_shape)
    return (values / np.float32(1e3)).astype(np.float32)
