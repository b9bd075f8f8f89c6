"""Units that their host drives though no lease holds them. No sound host does: it stops within a tick of hearing."""

from collections.abc import Set

# Messages under way, a host that is short of a processor: a stop for those would latch a sound robot.
PATIENCE_S = 10.0


class Strays:
    """What one host has said of its units, compared with what was granted."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        # Since when each unit is seen to be driven without a lease [s].
        self._since_s: dict[str, float] = {}
        self._told: set[str] = set()

    def seen(self, driven: Set[str], granted: Set[str], now_s: float) -> list[str]:
        """Return the units that have been driven without a lease for too long, each once until it stops.

        Args:
            driven: Units that a beat reports as driven.
            granted: Units that a lease holds now.
            now_s: Time [s] on any clock that only grows.
        """
        stray = driven - granted
        self._since_s = {unit: self._since_s.get(unit, now_s) for unit in stray}
        self._told &= stray
        late = sorted(u for u, since_s in self._since_s.items() if now_s - since_s > self._patience_s)
        found = [unit for unit in late if unit not in self._told]
        self._told.update(found)
        return found
