"""Cameras: pictures that stand still while the robot moves, frames that are missing, pictures that show nothing.

Kinds: `frozen_frames`, `lost_frames`, `blank_frames`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from store.camera import DEPTH_MM, IMAGE_PREFIX, CameraStream, pyav
from store.episode import STATE
from store.errors import VideoUnavailable
from store.quality.finding import CameraTrack, Finding, Track, runs
from store.reader import CameraFrames, Source, read_camera

BLOCKS = 16
"""Pictures are compared by the means of so many blocks along each side: sensor noise and coding errors cancel there."""
SAME_LEVELS = 2.0
"""A block whose mean brightness differs by more, of 255 (of a depth: by more centimetres), shows something else.

What x264 makes of one picture, in key frames and between them, differs by 0.3 to 0.7 (320x240 and 640x480, smooth and
textured, at the quality of `store.camera`), and a square of 30 px that moves 3 px by 2.0 to 7.5.
"""
_LEVELS_PER_M = 100.0


@dataclass(frozen=True)
class CameraLimits:
    """Attributes:
    frozen_s: A picture that stays the same for so long [s] is frozen if the robot moved meanwhile.
    moved_rad: By how much [rad] one of its joints must have moved.
    lost_periods: Frames further apart than so many periods of the camera have lost some between them.
    blank_s: A picture without anything in it for so long [s] is a finding.
    blank_level: Brightest mean of a picture that is dark, of 255; of a depth, 255 means that all is known.
    blank_spread: Largest spread of the blocks' brightness in a picture that shows nothing, as under a lens cap.
    """

    frozen_s: float = 0.5
    moved_rad: float = 0.25
    lost_periods: float = 2.5
    blank_s: float = 0.5
    blank_level: float = 4.0
    blank_spread: float = 1.0


def cameras_of(source: Source, cameras: Mapping[str, CameraStream]) -> dict[str, CameraTrack]:
    """Look at all frames of an episode's cameras, one at a time in memory. Without PyAV colours are left out.

    Args:
        source: Where the sealed episode is.
        cameras: Of its header.

    Raises:
        BrokenEpisode: as `read_camera` and `CameraFrames.frames`.
    """
    try:
        pyav()
    except VideoUnavailable:
        cameras = {name: stream for name, stream in cameras.items() if stream.codec == DEPTH_MM}
    return {name: look_at(read_camera(source, name)) for name in cameras}


def look_at(frames: CameraFrames) -> CameraTrack:
    """Return what the frames of one camera show. Raises BrokenEpisode, VideoUnavailable."""
    count = len(frames.packets)
    shows, light, spread = np.zeros(count, np.int64), np.zeros(count, np.float32), np.zeros(count, np.float32)
    kept = np.zeros(0)
    for number, frame in enumerate(frames.frames()):
        blocks = block_means(frame)
        if frames.stream.codec == DEPTH_MM:
            blocks *= _LEVELS_PER_M
            light[number], spread[number] = 255.0 * float((frame > 0.0).mean()), np.inf
        else:
            light[number], spread[number] = blocks.mean(), blocks.std()
        # Against the first of those alike, not the last: slow movement adds up.
        if number and np.abs(blocks - kept).max() <= SAME_LEVELS:
            shows[number] = shows[number - 1]
        else:
            shows[number], kept = number, blocks
    return CameraTrack(frames.time_s, shows, light, spread, frames.stream.rate_hz)


def block_means(picture: np.ndarray) -> np.ndarray:
    """Return the means of `BLOCKS` x `BLOCKS` blocks of a picture, (height, width) or (height, width, channels)."""
    height, width = picture.shape[:2]
    channels = picture[0, 0].size
    rows, columns = (np.linspace(0, size, min(BLOCKS, size), endpoint=False).astype(int) for size in (height, width))
    # Whole rows first: they are added as they lie in memory, whatever a row is made of.
    wide = np.uint32 if picture.dtype == np.uint8 else np.float64
    sums = np.add.reduceat(picture.reshape(height, width * channels), rows, axis=0, dtype=wide)
    sums = np.add.reduceat(sums, channels * columns, axis=1)
    areas = np.outer(np.diff(np.append(rows, height)), np.diff(np.append(columns, width))) * channels
    means: np.ndarray = sums / areas
    return means


def check_cameras(track: Track, limits: CameraLimits) -> list[Finding]:
    """Return where cameras stand still, lose frames or show nothing."""
    found = []
    for name, camera in track.cameras.items():
        signal = f"{IMAGE_PREFIX}{name}"
        if not len(camera.time_s):
            first, last = float(track.time_s.min()), float(track.time_s.max())
            found.append(Finding("lost_frames", signal, None, first, last, 0.0, "not one frame"))
            continue
        found += _lost(track, camera, signal, limits)
        blank, blanks = (camera.light <= limits.blank_level) | (camera.spread <= limits.blank_spread), []
        for start, end in runs(blank):
            lasted_s = _lasted_s(camera, start, end)
            if lasted_s >= limits.blank_s:
                text = f"shows nothing for {lasted_s:.3g} s"
                blanks.append(_at(camera, "blank_frames", signal, start, end, lasted_s, text))
        found += blanks
        for start, end in _alike(camera):
            # A black picture stands still, too: it is told once.
            if not blank[start:end].any():
                found += _frozen(track, camera, signal, start, end, limits)
    return found


def _lost(track: Track, camera: CameraTrack, signal: str, limits: CameraLimits) -> list[Finding]:
    period_s = 1.0 / camera.rate_hz
    times_s = np.concatenate(([track.time_s.min()], camera.time_s, [track.time_s.max()]))
    found = []
    for place in np.flatnonzero(np.diff(times_s) > limits.lost_periods * period_s):
        start_s, end_s = float(times_s[place]), float(times_s[place + 1])
        lost = max(1, round((end_s - start_s) * camera.rate_hz) - 1)
        text = f"{lost} frames missing in {end_s - start_s:.3g} s"
        found.append(Finding("lost_frames", signal, None, start_s, end_s, float(lost), text))
    return found


def _frozen(
    track: Track, camera: CameraTrack, signal: str, start: int, end: int, limits: CameraLimits
) -> list[Finding]:
    lasted_s = _lasted_s(camera, start, end)
    if lasted_s < limits.frozen_s or STATE not in track.signals:
        return []
    during = (track.time_s >= camera.time_s[start]) & (track.time_s <= camera.time_s[end - 1])
    state = track.signals[STATE][during]
    state = state[np.isfinite(state).all(axis=1)]
    moved = float(np.ptp(state, axis=0).max()) if len(state) else 0.0
    if moved <= limits.moved_rad:
        return []
    text = f"the same picture for {lasted_s:.3g} s while a joint moved {moved:.3g} rad"
    return [_at(camera, "frozen_frames", signal, start, end, lasted_s, text)]


def _alike(camera: CameraTrack) -> list[tuple[int, int]]:
    """Return [start, end) of the frames that show what their first one shows."""
    starts = np.flatnonzero(np.diff(camera.shows, prepend=-1))
    return [(int(one), int(end)) for one, end in zip(starts, np.append(starts[1:], len(camera.shows)), strict=True)]


def _lasted_s(camera: CameraTrack, start: int, end: int) -> float:
    return float(camera.time_s[end - 1] - camera.time_s[start]) + 1.0 / camera.rate_hz


def _at(camera: CameraTrack, kind: str, signal: str, start: int, end: int, amount: float, text: str) -> Finding:
    return Finding(kind, signal, None, float(camera.time_s[start]), float(camera.time_s[end - 1]), amount, text)
