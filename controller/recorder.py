"""Samples of one unit on their way from the loop to one reader."""

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Row:
    """One sample: measured position, speed, the torque that followed, the target in force; J values each."""

    time_s: float
    q_rad: npt.NDArray[np.float32]
    dq_rad_s: npt.NDArray[np.float32]
    tau_nm: npt.NDArray[np.float32]
    q_ref_rad: npt.NDArray[np.float32]
    base_pose: npt.NDArray[np.float32] | None


class Recorder:
    """Keeps every nth tick of a unit for one reader; bounded, the oldest rows give way."""

    def __init__(self, *, every_ticks: int, rows: int, start_tick: int, start_missed: int) -> None:
        self.start_tick = start_tick
        self.start_missed = start_missed
        self._every_ticks = every_ticks
        self._due_tick = start_tick
        self._rows: deque[Row] = deque(maxlen=rows)

    def is_due(self, tick: int) -> bool:
        """Return whether the tick is to be recorded. Where the loop missed the due one, the next stands in."""
        if tick < self._due_tick:
            return False
        self._due_tick += self._every_ticks * (1 + (tick - self._due_tick) // self._every_ticks)
        return True

    def put(self, row: Row) -> None:
        """Add a row. Only the loop does."""
        self._rows.append(row)

    def take(self) -> list[Row]:
        """Remove and return what has come in. Only the reader does."""
        rows = []
        while self._rows:
            rows.append(self._rows.popleft())
        return rows
