"""How fast faces are covered, and a picture of it: frames through decoder, detector, covers, encoder and sample.

    python -m bench.share_faces [--picture docs/images/faces.png]

In this process, by its processor time: one core. Faces are drawn, since no photograph of anybody is needed for it.
"""

import argparse
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from sharing.desensitise.cover import Seen, covered
from sharing.desensitise.detector import CenterFace
from sharing.desensitise.video import Faces
from store.camera import CameraStream, FrameEncoder
from store.reader import CameraFrames

SIZES = ((320, 240), (640, 480))
FRAMES, REPEATS = 12, 3


def speed() -> dict[str, float]:
    """Return `fill_faces_{width}x{height}_frames_per_s`, the median of three, for one core."""
    found = {}
    detector = CenterFace()
    for width, height in SIZES:
        stream = CameraStream(width, height, 30.0)
        encoder = FrameEncoder(stream)
        packets = [encoder.encode(room(width, height, number)) for number in range(FRAMES)]
        recorded = CameraFrames(stream, np.arange(FRAMES), np.arange(FRAMES) / 30.0, packets)
        # The network of this size is made once for all recordings of a camera.
        detector.find(room(width, height, 0))
        spent_s = []
        for _ in range(REPEATS):
            # Without the sample, which is as large however long the recordings are.
            faces = Faces(detector, random.Random(0))
            begin_s = time.process_time()
            list(covered(recorded.frames(), faces.detector, Seen()))
            for frame in recorded.frames():
                encoder.encode(frame)
            spent_s.append(time.process_time() - begin_s)
        found[f"fill_faces_{width}x{height}_frames_per_s"] = FRAMES / float(np.median(spent_s))
    return found


def room(width: int, height: int, number: int, people: int = 2) -> np.ndarray:
    """Return a drawing of a hall, an arm, and people who walk by: uint8 (height, width, 3)."""
    scale = height / 240
    image = Image.new("RGB", (width, height), (176, 182, 186))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0.72 * height, width, height), fill=(120, 112, 104))
    for step in range(12):
        draw.line((step * width / 11, 0.72 * height, step * width / 5 - 0.6 * width, height), fill=(108, 100, 92))
    arm = [(0.82 * width, 0.95 * height), (0.84 * width, 0.55 * height), (0.66 * width, 0.42 * height)]
    draw.line([*arm, (0.6 * width, 0.6 * height)], fill=(230, 120, 20), width=round(12 * scale), joint="curve")
    for person in range(people):
        _person(draw, (60 + 95 * person + 4 * number) * scale, (62 + 18 * person) * scale, (30 - 7 * person) * scale)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(0.6 * scale)))


def _person(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float) -> None:
    """Draw head and shoulders, the head's middle at (x, y) [px]."""
    skin, dark, light = (214, 168, 138), (70, 46, 36), (228, 188, 160)

    def oval(left: float, top: float, right: float, bottom: float, fill: tuple[int, int, int]) -> None:
        draw.ellipse((x + left * radius, y + top * radius, x + right * radius, y + bottom * radius), fill=fill)

    oval(-1.9, 1.3, 1.9, 6.0, (60, 74, 110))
    draw.rectangle((x - 0.35 * radius, y + 0.8 * radius, x + 0.35 * radius, y + 1.6 * radius), fill=(196, 150, 122))
    oval(-0.95, -1.35, 0.95, 0.9, dark)
    oval(-0.8, -1.0, 0.8, 1.15, skin)
    oval(-0.55, -0.95, 0.55, -0.2, light)
    for side in (-1, 1):
        oval(0.35 * side - 0.2, -0.22, 0.35 * side + 0.2, 0.0, (244, 240, 236))
        oval(0.35 * side - 0.1, -0.22, 0.35 * side + 0.1, 0.0, (40, 30, 26))
        draw.line(
            [(x + (0.35 * side + end) * radius, y - 0.36 * radius) for end in (-0.22, 0.22)],
            fill=dark,
            width=max(1, round(0.09 * radius)),
        )
    draw.polygon(
        [(x, y - 0.1 * radius), (x - 0.16 * radius, y + 0.32 * radius), (x + 0.16 * radius, y + 0.32 * radius)],
        fill=(190, 140, 112),
    )
    oval(-0.3, 0.5, 0.3, 0.68, (160, 70, 70))


def picture(path: Path) -> int:
    """Draw a frame as it was recorded, and as it leaves, side by side; return how many faces were found."""
    width, height = 640, 480
    frames = [room(width, height, number) for number in range(6)]
    seen = Seen()
    filled = list(covered((frame.copy() for frame in frames), CenterFace(), seen))
    gap = np.full((height, 8, 3), 255, np.uint8)
    Image.fromarray(np.concatenate([frames[3], gap, filled[3]], axis=1)).save(path, optimize=True)
    return seen.detections


def run() -> dict[str, Any]:
    """Measure it alone."""
    found = speed()
    for key, value in found.items():
        print(f"{key:40} {value:8.2f}")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", type=Path, help="draw this, too")
    asked = parser.parse_args()
    run()
    if asked.picture is not None:
        print(picture(asked.picture), "boxes found")
