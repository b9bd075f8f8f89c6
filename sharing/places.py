"""How many of a consumer's requests may wait for something to be made: nobody takes all threads of the process."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from palaestra.errors import PalaestraError

MOST, EACH = 12, 6
"""Of all consumers, and of one."""


class Places:
    """Counts who waits. Safe from any thread."""

    def __init__(self, *, most: int = MOST, each: int = EACH) -> None:
        self._most, self._each = most, each
        self._taken: Counter[str] = Counter()
        self._counting = threading.Lock()

    @contextmanager
    def one(self, consumer: str) -> Iterator[None]:
        """Hold a place. Raises OVER_QUOTA if there is none."""
        with self._counting:
            if self._taken.total() >= self._most or self._taken[consumer] >= self._each:
                raise PalaestraError("OVER_QUOTA", "so much is being made already; ask again when it is there")
            self._taken[consumer] += 1
        try:
            yield
        finally:
            with self._counting:
                self._taken -= Counter({consumer: 1})
