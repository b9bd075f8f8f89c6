"""When to try again, and when to give up. Time and chance are arguments."""

from palaestra.errors import OUTAGES, PalaestraError

# What is refused before anything is begun, by a server that will have time soon.
_BUSY = frozenset({"QUEUE_FULL", "RATE_LIMITED", "FORECAST_BUSY"})
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


def refusal_pause_s(failure: PalaestraError, *, left_s: float, repeatable: bool) -> float | None:
    """Return how long to wait before a refused call is sent again, or None if it is not to be.

    Only what was not begun is waited for: for a full queue, a rate that is used up or others' forecasts, if they name a
    time within the deadline. And for whoever serves after a server that is stopping, which takes longer than gRPC
    repeats by itself; but not with a call that means what it finds now, such as a reset.

    Args:
        failure: Why it was refused.
        left_s: Time to the deadline [s].
        repeatable: Whether to send it twice would do no more than to send it once, see `channel.is_repeatable`.
    """
    delay_s = failure.retry_after_s
    waited_for = failure.reason in _BUSY or (repeatable and failure.reason == "SHUTTING_DOWN")
    if not waited_for or delay_s is None or delay_s >= left_s:
        return None
    return max(delay_s, FIRST_PAUSE_S)


class Outage:
    """How long a stream has been cut, and what to do about it.

    Args:
        first_s: How long to look for a server that has not answered yet [s].
        again_s: How long to look for one that has [s].
        now_s: Monotonic time [s].
    """

    def __init__(self, *, first_s: float, again_s: float, now_s: float) -> None:
        self._again_s = again_s
        self._give_up_at_s: float | None = now_s + first_s
        self._cuts = 0

    def over(self) -> None:
        """Note that the server has answered."""
        self._give_up_at_s = None
        self._cuts = 0

    def pause_s(self, failure: PalaestraError, *, now_s: float, chance: float) -> float:
        """Return how long to wait before the stream is opened again [s].

        `chance` in [0, 1) spreads the clients of a restarted server over half to all of the pause.

        Raises:
            PalaestraError: `failure` itself, if it is not an outage or has lasted too long.
        """
        if failure.reason not in OUTAGES:
            raise failure
        if self._give_up_at_s is None:
            self._give_up_at_s = now_s + self._again_s
        if now_s >= self._give_up_at_s:
            raise failure
        pause_s = min(FIRST_PAUSE_S * 2.0 ** min(self._cuts, 16), LONGEST_PAUSE_S)
        self._cuts += 1
        return pause_s * (0.5 + 0.5 * chance)
