"""The videos of a LeRobot data set: one frame for each step, many episodes in a file.

    videos/observation.images.front/chunk-000/file-000.mp4

LeRobot asks a video for the frame at `from_timestamp + timestamp` and wants it within 0.1 ms, so frames are put at the
steps' own times: each step shows the latest frame that there was.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from store.camera import H264, IMAGE_PREFIX, CameraStream
from store.episode import EpisodeHeader
from store.errors import ExportRefused
from store.featurestats import FeatureStats
from store.mp4 import CODEC, PIXELS, Mp4Writer
from store.reader import CameraFrames
from store.steps import SNAP_S

VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
CHUNK_FILES = 1000
KEYFRAME_EVERY = 2
"""As LeRobot's own encoder: whoever trains jumps to any frame."""
SAMPLED_FRAMES, SAMPLED_SIDE_PX = 100, 150
"""Statistics are of so many frames of an episode, thinned to about so many pixels a side, as LeRobot's are."""


def common_cameras(headers: Sequence[EpisodeHeader]) -> dict[str, CameraStream]:
    """Return the colour cameras, by feature, that all episodes have in the same size."""
    first, *others = headers
    return {
        f"{IMAGE_PREFIX}{name}": stream
        for name, stream in first.cameras.items()
        if stream.codec == H264 and all(_same(stream, other.cameras.get(name)) for other in others)
    }


def video_feature(stream: CameraStream, fps: int) -> dict[str, Any]:
    """Return what `info.json` says of a camera."""
    return {
        "dtype": "video",
        "shape": [stream.height_px, stream.width_px, 3],
        "names": ["height", "width", "channels"],
        "info": {
            "video.height": stream.height_px,
            "video.width": stream.width_px,
            "video.codec": CODEC,
            "video.pix_fmt": PIXELS,
            "video.is_depth_map": False,
            "video.fps": fps,
            "video.channels": 3,
            "has_audio": False,
        },
    }


class VideoFiles:
    """The video files of one camera; a full one is closed after the episode that filled it."""

    def __init__(self, root: Path, feature: str, stream: CameraStream, fps: int, *, file_mb: float) -> None:
        self._root, self._feature, self._stream, self._fps = root, feature, stream, fps
        self._file_bytes = file_mb * 1e6
        self._number = -1
        self._writer: Mp4Writer | None = None
        self._path = root

    def add(self, recorded: CameraFrames, at_s: np.ndarray) -> tuple[dict[str, Any], FeatureStats]:
        """Write one episode's frames, one for each step at `at_s` (steps,).

        Returns:
            What the episode's row says of its place, and the statistics of its colours, from 0 to 1.

        Raises:
            ExportRefused: the camera has no frame in this episode.
            BrokenEpisode: the episode's packets are damaged.
            VideoUnavailable: PyAV is not installed.
        """
        if not recorded.packets:
            raise ExportRefused(f"{self._feature}: the camera has no frame in one of the episodes")
        writer = self._open()
        first = writer.frames
        shown = np.searchsorted(recorded.time_s, at_s + SNAP_S, side="right") - 1
        # Before a camera's first frame there is nothing to show but that.
        repeats = np.bincount(np.maximum(shown, 0), minlength=len(recorded.packets))
        wanted = set(np.linspace(0, len(at_s) - 1, min(len(at_s), SAMPLED_FRAMES)).astype(int).tolist())
        sampled = []
        for frame, times in zip(recorded.frames(), repeats, strict=True):
            for _ in range(int(times)):
                if writer.frames - first in wanted:
                    sampled.append(_thinned(frame))
                writer.add(frame)
        chunk, file = divmod(self._number, CHUNK_FILES)
        place = {
            "chunk_index": chunk,
            "file_index": file,
            "from_timestamp": first / self._fps,
            "to_timestamp": writer.frames / self._fps,
        }
        if self._path.stat().st_size >= self._file_bytes:
            self.close()
        return {f"videos/{self._feature}/{key}": value for key, value in place.items()}, _statistics(sampled)

    def close(self) -> None:
        """Close the open file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _open(self) -> Mp4Writer:
        if self._writer is None:
            self._number += 1
            chunk, file = divmod(self._number, CHUNK_FILES)
            self._path = self._root / VIDEO_PATH.format(video_key=self._feature, chunk_index=chunk, file_index=file)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            stream = self._stream
            self._writer = Mp4Writer(
                self._path, stream.width_px, stream.height_px, self._fps, keyframe_every=KEYFRAME_EVERY
            )
        return self._writer


class Videos:
    """The video files of all cameras of a data set. Use `closing`."""

    def __init__(self, root: Path, cameras: Mapping[str, CameraStream], fps: int, *, file_mb: float) -> None:
        self._files = {
            feature: VideoFiles(root, feature, stream, fps, file_mb=file_mb) for feature, stream in cameras.items()
        }

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Close what is open at the end, also after an error."""
        try:
            yield
        finally:
            for files in self._files.values():
                files.close()

    def add(
        self, read: Callable[[str], CameraFrames], at_s: np.ndarray
    ) -> tuple[dict[str, Any], dict[str, FeatureStats]]:
        """Write one episode; `read(name)` gives a camera's frames. Returns places and statistics by feature."""
        places: dict[str, Any] = {}
        stats: dict[str, FeatureStats] = {}
        for feature, files in self._files.items():
            place, stats[feature] = files.add(read(feature.removeprefix(IMAGE_PREFIX)), at_s)
            places |= place
        return places, stats


def image_lists(stats: FeatureStats) -> dict[str, Any]:
    """Return the statistics of a camera in LeRobot's shape: (3, 1, 1), one number for each channel."""
    return {
        name: value if name == "count" else [[[channel]] for channel in value]
        for name, value in stats.as_lists().items()
    }


def _same(stream: CameraStream, other: CameraStream | None) -> bool:
    return other is not None and (stream.frame_shape, stream.codec) == (other.frame_shape, other.codec)


def _thinned(frame: np.ndarray) -> np.ndarray:
    every = max(1, max(frame.shape[:2]) // SAMPLED_SIDE_PX)
    return frame[::every, ::every].reshape(-1, 3)


def _statistics(frames: list[np.ndarray]) -> FeatureStats:
    pixels = FeatureStats.of(np.concatenate(frames) / 255.0)
    # A frame counts as one, whatever its size.
    return FeatureStats(len(frames), pixels.low, pixels.high, pixels.mean, pixels.std, pixels.quantiles)
