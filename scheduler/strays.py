"""Units that their host drives though no lease holds them. No sound host does: it stops within a tick of hearing."""

from collections.abc import Set

# Messages under way, a host that is short of a processor: a stop for those would latch a sound robot.
PATIENCE_S = 10.0
# Beats come at least every second. After a longer silence what is heard first may be as old as the silence was long.
STEP_MAX_S = 1.0


class Strays:
    """What one host has said of its units, compared with what was granted."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        # For how long each unit has been heard to be driven without a lease [s], and when the last beat came.
        self._heard_s: dict[str, float] = {}
        self._last_s: float | None = None
        self._told: set[str] = set()

    def seen(self, driven: Set[str], granted: Set[str], now_s: float) -> list[str]:
        """Return the units that have been driven without a lease for too long, each once until it stops.

        Args:
            driven: Units that a beat reports as driven.
            granted: Units that a lease holds now.
            now_s: Time [s] on any clock that only grows.
        """
        step_s = 0.0 if self._last_s is None else min(now_s - self._last_s, STEP_MAX_S)
        self._last_s = now_s
        stray = driven - granted
        self._heard_s = {unit: self._heard_s[unit] + step_s if unit in self._heard_s else 0.0 for unit in stray}
        self._told &= stray
        found = sorted(u for u, heard_s in self._heard_s.items() if heard_s > self._patience_s and u not in self._told)
        self._told.update(found)
        return found

    def again(self, unit: str) -> None:
        """Say that nothing could be done about a unit: the next beat finds it again."""
        self._told.discard(unit)
