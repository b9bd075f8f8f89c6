"""Precision and recall of the store's checks of cameras on planted faults, and what looking at frames costs.

A camera sees a textured wall, with the noise of a sensor, before which discs go where the joints of a generated episode
are, one for each two; colours pass through H.264 and depths through their packing, as in a recording. Each fault is
planted in episodes of its own. `frames_per_s`: 640x480, decoded and looked at on one core; `ratio_to_decoding`: over
decoding alone, in turns.
"""

import statistics
import time
from collections import Counter
from typing import Any

import numpy as np

from bench.store_quality import LIMITS, clean_track
from store.camera import DEPTH_MM, H264, CameraStream, FrameEncoder
from store.episode import STATE
from store.quality import CameraTrack, Track, check_track
from store.quality.cameras import look_at
from store.reader import CameraFrames

KINDS = ("frozen_frames", "lost_frames", "blank_frames")
DURATION_S, RATE_HZ = 10.0, 25.0
CAMERA = "front"


def seen(track: Track, stream: CameraStream, seed: int) -> np.ndarray:
    """Return what the camera sees, (frames, height, width, 3) of uint8 or (frames, height, width) of float32 [m]."""
    rng = np.random.default_rng(seed)
    height, width = stream.height_px, stream.width_px
    y, x = np.mgrid[0:height, 0:width]
    wall = 110 + 50 * np.sin(x / 17 + seed) + 30 * np.cos(y / 11) + rng.normal(0, 8, (height, width))
    rows = np.arange(0, len(track.time_s), track.rate_hz / stream.rate_hz).astype(int)
    pictures = []
    for state in track.signals[STATE][rows]:
        disc = np.zeros(wall.shape, bool)
        for across, down in 0.5 + 0.2 * state.reshape(-1, 2):
            disc |= (x - across * width) ** 2 + (y - down * height) ** 2 < (height / 10) ** 2
        if stream.codec == DEPTH_MM:
            pictures.append(np.where(disc, 0.8, 1.5 + 0.002 * wall + rng.normal(0, 0.002, wall.shape)))
        else:
            picture = np.where(disc, 30, wall) + rng.normal(0, 2, wall.shape)
            pictures.append(np.repeat(np.clip(picture, 0, 255)[..., None], 3, axis=2))
    return np.array(pictures, np.float32 if stream.codec == DEPTH_MM else np.uint8)


def packed(pictures: np.ndarray, time_s: np.ndarray, stream: CameraStream) -> CameraFrames:
    """Return pictures as they are kept in an episode."""
    encoder = FrameEncoder(stream)
    packets = [encoder.encode(picture) for picture in pictures]
    return CameraFrames(stream, np.arange(len(packets)), time_s, packets)


def watched(kind: str, seed: int, codec: str = H264) -> Track:
    """Return a track with a camera that has a fault of a kind at a random place, or none for ""."""
    rng = np.random.default_rng([seed, sum(map(ord, kind))])
    stream = CameraStream(160, 120, RATE_HZ, codec)
    track = clean_track(seed, rng.uniform(-2.0, 2.0, (5, 6)), duration_s=DURATION_S)
    pictures = seen(track, stream, seed)
    time_s = np.arange(len(pictures)) / RATE_HZ
    count = int(rng.integers(20, 80))
    start = int(rng.integers(10, len(pictures) - count - 10))
    if kind == "frozen_frames":
        pictures[start : start + count] = pictures[start]
    elif kind == "lost_frames":
        count //= 6
        end = (len(pictures) - count) if rng.random() < 0.3 else start
        keep = np.r_[0:end, end + count : len(pictures)]
        pictures, time_s = pictures[keep], time_s[keep]
    elif kind == "blank_frames":
        # A cable that is out, or a hand before the lens.
        light = 0.0 if codec == DEPTH_MM else float(rng.choice([0.0, 90.0, 255.0]))
        pictures[start : start + count] = light
    elif kind:
        raise ValueError(f"no fault {kind!r}")
    return Track(track.time_s, track.rate_hz, track.signals, cameras={CAMERA: _look(pictures, time_s, stream)})


def _look(pictures: np.ndarray, time_s: np.ndarray, stream: CameraStream) -> CameraTrack:
    return look_at(packed(pictures, time_s, stream))


def frame_faults(episodes: int, seed: int = 0) -> dict[str, dict[str, float]]:
    """Return precision and recall per kind, over so many episodes of each kind and as many clean ones."""
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for number in range(episodes):
        for kind in ("", *KINDS):
            track = watched(kind, seed + number, DEPTH_MM if number % 4 == 3 else H264)
            kinds = {finding.kind for finding in check_track(track, motion=LIMITS).findings}
            right.update(kinds & {kind})
            wrong.update(kinds & set(KINDS) - {kind})
    return {
        kind: {"recall": right[kind] / episodes, "precision": right[kind] / max(1, right[kind] + wrong[kind])}
        for kind in KINDS
    }


def run() -> dict[str, Any]:
    """Return the figures."""
    found = frame_faults(40, seed=1_000)
    stream = CameraStream(640, 480, RATE_HZ)
    track = clean_track(1, duration_s=4.0)
    pictures = seen(track, stream, 1)
    frames = packed(pictures, np.arange(len(pictures)) / RATE_HZ, stream)
    turns = []
    for _ in range(7):
        begun = time.perf_counter()
        look_at(frames)
        looked = time.perf_counter()
        for _ in frames.frames():
            pass
        turns.append((looked - begun, time.perf_counter() - looked))
    return {
        "faults": found,
        "least_recall": min(figures["recall"] for figures in found.values()),
        "least_precision": min(figures["precision"] for figures in found.values()),
        "frames_per_s": round(len(pictures) / statistics.median(one for one, _ in turns)),
        "ratio_to_decoding": round(statistics.median(other / one for one, other in turns), 2),
    }
