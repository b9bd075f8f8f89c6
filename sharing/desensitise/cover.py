"""What is painted over in a frame: boxes of faces, enlarged, held over neighbouring frames, on a coarse grid.

A cover is one colour, so that nothing of what was beneath can be had back; its place on a grid of `GRID_PX` says little
more of a face than that there was one. Research on the weakness of blurring and mosaics: McPherson et al. 2016,
arXiv:1609.00408.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from sharing.desensitise.detector import Detector

HOLD_FRAMES = 5
"""A face is covered in so many frames before and after one in which it was found: detectors flicker, people turn."""
MARGIN, GROWTH = 0.3, 0.08
"""On each side a box grows by so much of its size, and by so much more for each frame of distance: faces move."""
GRID_PX = 8
MAX_BOXES = 2_000
"""Where more are found than this, the frame is covered whole: somebody made a picture for that."""
COLOUR = 0
Box = tuple[int, int, int, int]


@dataclass
class Seen:
    """What was found and covered in the frames of a camera.

    Attributes:
        frames: How many went by.
        frames_with_faces: In how many of them something was found.
        frames_covered: In how many something was painted over, held covers counted.
        detections: Boxes found, also where several are of one face.
        covered_px, all_px: Pixels painted over, and of all frames.
    """

    frames: int = 0
    frames_with_faces: int = 0
    frames_covered: int = 0
    detections: int = 0
    covered_px: int = 0
    all_px: int = 0


def covers_of(boxes: np.ndarray, distance: int, height_px: int, width_px: int) -> frozenset[Box]:
    """Return what to paint for the faces of a frame so many frames away: left, top, right, bottom [px], on the grid.

    Args:
        boxes: left, top, right, bottom [px]; shape (faces, 4).
    """
    if len(boxes) > MAX_BOXES or not np.isfinite(boxes).all():
        return frozenset({(0, 0, width_px, height_px)})
    grown = MARGIN + GROWTH * distance
    left, top, right, bottom = boxes.astype(np.float64).T
    wide, tall = right - left, bottom - top
    low = np.stack([left - grown * wide, top - grown * tall], axis=1)
    high = np.stack([right + grown * wide, bottom + grown * tall], axis=1)
    low = np.clip(np.floor(low / GRID_PX) * GRID_PX, 0, (width_px, height_px)).astype(int)
    high = np.clip(np.ceil(high / GRID_PX) * GRID_PX, 0, (width_px, height_px)).astype(int)
    return frozenset((x, y, x2, y2) for (x, y), (x2, y2) in zip(low.tolist(), high.tolist(), strict=True))


def covered(frames: Iterable[np.ndarray], detector: Detector, seen: Seen) -> Iterator[np.ndarray]:
    """Yield frames, uint8 of shape (height, width, 3), with what the detector finds painted over; adds to `seen`.

    At most `2 * HOLD_FRAMES + 1` frames are in memory. The frames are changed in place.
    """
    found: deque[np.ndarray] = deque(maxlen=2 * HOLD_FRAMES + 1)
    waiting: deque[np.ndarray] = deque()
    for frame in frames:
        boxes = detector.find(frame)
        seen.detections += len(boxes)
        seen.frames_with_faces += bool(len(boxes))
        found.append(boxes)
        waiting.append(frame)
        if len(waiting) > HOLD_FRAMES:
            yield _painted(waiting.popleft(), found, len(found) - 1 - HOLD_FRAMES, seen)
    while waiting:
        yield _painted(waiting.popleft(), found, len(found) - 1 - len(waiting), seen)


def _painted(frame: np.ndarray, found: deque[np.ndarray], here: int, seen: Seen) -> np.ndarray:
    height, width = frame.shape[:2]
    first = max(0, here - HOLD_FRAMES)
    boxes: set[Box] = set()
    for index in range(first, min(len(found), here + HOLD_FRAMES + 1)):
        boxes |= covers_of(found[index], abs(index - here), height, width)
    hidden = np.zeros((height, width), bool)
    for left, top, right, bottom in boxes:
        hidden[top:bottom, left:right] = True
    frame[hidden] = COLOUR
    count = int(hidden.sum())
    seen.frames += 1
    seen.frames_covered += bool(count)
    seen.covered_px += count
    seen.all_px += hidden.size
    return frame
