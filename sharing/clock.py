"""The one clock by which terms, embargoes and signatures are judged: this room's, and nobody else's."""

import threading
import time
from collections.abc import Callable


class Clock:
    """Seconds since 1970, which never go back while the process runs, whatever is done to the machine's clock.

    Otherwise a term that has ended would begin again. A clock that was set forward by mistake stays there until the
    next start, which is safe for terms; what it does to embargoes is the operator's to prevent.
    """

    def __init__(self, *, at_least_s: float = 0.0, source: Callable[[], float] = time.time) -> None:
        """at_least_s: The last time that is known to have passed, as the room's file tells it."""
        self._source = source
        self._latest_s = at_least_s
        self._lock = threading.Lock()

    def now_s(self) -> float:
        """Return the time [s]."""
        with self._lock:
            self._latest_s = max(self._latest_s, self._source())
            return self._latest_s
