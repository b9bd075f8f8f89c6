"""A contact sheet: frames of one camera as they leave, drawn at random, in one picture that a person looks through."""

import io
import random
from collections.abc import Callable

import numpy as np
from PIL import Image

FRAMES = 60
"""Of so many frames without a visible face it follows, at 95 %, that less than 1 frame in 20 shows one (the rule of
three: Hanley and Lippman-Hand 1983, JAMA 249(13))."""
COLUMNS, CELL_PX, GAP_PX = 6, 320, 4
_QUALITY = 85


class Sheet:
    """Keeps a fair sample of the frames that are offered: each is as likely in it (Vitter 1985, algorithm R)."""

    def __init__(self, chance: random.Random, frames: int = FRAMES) -> None:
        self._chance, self._most = chance, frames
        self._cells: list[np.ndarray] = []
        self._left: list[int] = []
        self.places: list[int] = []
        self.offered = 0

    @property
    def left(self) -> int:
        """In how many of the frames the detector still finds something."""
        return sum(map(bool, self._left))

    def offer(self, frame: np.ndarray, look: Callable[[np.ndarray], int]) -> None:
        """Take a frame, uint8 (height, width, 3), or leave it. `look` counts faces in one that is taken."""
        number, self.offered = self.offered, self.offered + 1
        place = number if number < self._most else self._chance.randrange(number + 1)
        if place >= self._most:
            return
        cell, left = _small(frame), look(frame)
        if place == len(self._cells):
            self._cells.append(cell)
            self._left.append(left)
            self.places.append(number)
        else:
            self._cells[place], self._left[place], self.places[place] = cell, left, number

    def picture(self) -> bytes:
        """Return the sheet as a JPEG without metadata, frames in the order in which they were; empty: one grey cell."""
        order = sorted(range(len(self.places)), key=self.places.__getitem__)
        cells = [self._cells[index] for index in order] or [np.full((CELL_PX // 4, CELL_PX // 4, 3), 128, np.uint8)]
        tall, wide = (max(cell.shape[side] for cell in cells) + GAP_PX for side in (0, 1))
        columns = min(COLUMNS, len(cells))
        sheet = np.full((-(-len(cells) // columns) * tall, columns * wide, 3), 255, np.uint8)
        for index, cell in enumerate(cells):
            top, left = index // columns * tall, index % columns * wide
            sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
        out = io.BytesIO()
        Image.fromarray(sheet).save(out, "JPEG", quality=_QUALITY)
        return out.getvalue()


def _small(frame: np.ndarray) -> np.ndarray:
    scale = CELL_PX / max(frame.shape[:2])
    if scale >= 1.0:
        return frame.copy()
    size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))
