"""Wall time that does not jump: read once, then carried on by the monotonic clock."""

import time


class Clock:
    """Gives ns since the epoch; a clock that is set while we run cannot grant early or expire a lease."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        return time.monotonic_ns() + self._offset_ns
