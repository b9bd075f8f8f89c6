"""How many things of one kind are free when, as far as planned ends and plans tell: a step function of time.

By itself it only rises, as running leases end; what is planned cuts a piece out of it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

NEVER_NS = 1 << 62


class Line:
    """Free counts of one kind from `now_ns` on; negative where more is spoken for than there is."""

    __slots__ = ("_times_ns", "_values")

    def __init__(self, now_ns: int, free: int, ends: Iterable[tuple[int, int]]) -> None:
        """Start with what is `free` now; each (end_ns, count) of `ends` adds to it later."""
        self._times_ns = [now_ns]
        self._values = [free]
        for end_ns, count in sorted(ends):
            free += count
            if end_ns > self._times_ns[-1]:
                self._times_ns.append(end_ns)
                self._values.append(free)
            else:
                self._values[-1] = free

    def at(self, time_ns: int) -> int:
        """Return what is free at a time, which must not be before the line begins."""
        return self._values[bisect_right(self._times_ns, time_ns) - 1]

    def least(self, start_ns: int, end_ns: int) -> int:
        """Return the least that is free from start to end."""
        first = bisect_right(self._times_ns, start_ns) - 1
        last = bisect_left(self._times_ns, end_ns, first + 1)
        return min(self._values[first:last])

    def earliest(self, amount: int, duration_ns: int, from_ns: int) -> int | None:
        """Return the earliest time, not before `from_ns`, from which so many are free for so long; None for never."""
        times_ns, values = self._times_ns, self._values
        step = bisect_right(times_ns, from_ns) - 1
        start_ns = from_ns
        last = len(times_ns)
        while True:
            end_ns = start_ns + duration_ns
            look = step
            while True:
                if values[look] < amount:
                    break
                look += 1
                if look == last or times_ns[look] >= end_ns:
                    return start_ns
            # No start before the end of the step that has too little will do.
            step = look + 1
            if step == last:
                return None
            start_ns = times_ns[step]

    def take(self, amount: int, start_ns: int, end_ns: int) -> None:
        """Cut so many out of the time from start to end."""
        first, last = self._cut(start_ns), self._cut(end_ns)
        values = self._values
        for step in range(first, last):
            values[step] -= amount

    def next_drop_ns(self) -> int:
        """Return the first time at which less is free than just before; NEVER_NS if it only rises."""
        values = self._values
        for step in range(1, len(values)):
            if values[step] < values[step - 1]:
                return self._times_ns[step]
        return NEVER_NS

    def steps(self) -> list[tuple[int, int]]:
        """Return (time_ns, free from then on), in order of time."""
        return list(zip(self._times_ns, self._values, strict=True))

    def _cut(self, time_ns: int) -> int:
        """Return the step that begins at the time, made if there is none."""
        step = bisect_left(self._times_ns, time_ns)
        if step == len(self._times_ns) or self._times_ns[step] != time_ns:
            if step == 0:
                return 0
            self._times_ns.insert(step, time_ns)
            self._values.insert(step, self._values[step - 1])
        return step
