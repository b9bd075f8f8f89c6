"""What will be free when: counts of each kind over the time to come, as far as the planned ends tell.

A step function. It only rises by itself (running leases end); a planned or started claim cuts a piece out of it. A
claim whose every part has one kind to choose from (as in a replayed log: processors) is planned by comparing numbers
alone; one with a choice is planned by a flow (`matching.allocate`) over the minimum of the steps that it spans.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scheduler.matching import Entry, Part, allocate


@dataclass(frozen=True, slots=True)
class Need:
    """A claim in counts: its parts, and, where none of them has a choice, the entries and the demand by kind."""

    parts: tuple[Part, ...]
    entries: tuple[Entry, ...] | None
    demand: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, parts: Sequence[Part]) -> "Need":
        """Return the need of the parts of a claim."""
        if any(len(part.kinds) != 1 for part in parts):
            return cls(tuple(parts), None)
        demand: dict[int, int] = {}
        for part in parts:
            demand[part.kinds[0]] = demand.get(part.kinds[0], 0) + part.amount
        entries = tuple(Entry(index, part.kinds[0], part.amount) for index, part in enumerate(parts))
        return cls(tuple(parts), entries, tuple(demand.items()))

    def within(self, free: Sequence[int]) -> tuple[Entry, ...] | None:
        """Return which kinds to take out of the `free` counts by kind, or None if they do not suffice."""
        if self.entries is None:
            return allocate(self.parts, free)
        for kind, count in self.demand:
            if free[kind] < count:
                return None
        return self.entries


class Profile:
    """Free counts by kind from `now_ns` on."""

    def __init__(self, now_ns: int, free: Sequence[int], ends: Iterable[tuple[int, int, int]]) -> None:
        """Start with the counts that are `free` now; each (end_ns, kind, count) of `ends` adds to them later."""
        present = list(free)
        self._times_ns = [now_ns]
        self._free = [present]
        # As long as nothing is planned for later, free counts never fall again.
        self._rises = True
        for end_ns, kind, count in sorted(ends):
            if end_ns > self._times_ns[-1]:
                present = present.copy()
                self._times_ns.append(end_ns)
                self._free.append(present)
            present[kind] += count

    def ever(self, need: Need) -> bool:
        """Whether the need can be met once everything that is planned has ended."""
        return need.within(self._free[-1]) is not None

    def now(self, need: Need, duration_ns: int) -> tuple[Entry, ...] | None:
        """Return what to take now and keep for the duration without delaying anything planned, or None."""
        if self._rises:
            return need.within(self._free[0])
        entries, _ = self._from(need, 0, self._times_ns[0] + duration_ns)
        return entries

    def earliest(self, need: Need, duration_ns: int) -> tuple[int, tuple[Entry, ...]] | None:
        """Return the earliest start (ns) for the whole duration, and what to take then; None if there never is one."""
        step = 0
        while step < len(self._times_ns):
            start_ns = self._times_ns[step]
            entries, resume = self._from(need, step, start_ns + duration_ns)
            if entries is not None:
                return start_ns, entries
            step = resume
        return None

    def take(self, entries: Iterable[Entry], start_ns: int, end_ns: int) -> None:
        """Cut entries out of the time from start to end."""
        self._rises = self._rises and start_ns == self._times_ns[0]
        first, last = self._cut(start_ns), self._cut(end_ns)
        for free in self._free[first:last]:
            for entry in entries:
                free[entry.kind] -= entry.amount

    def _from(self, need: Need, first: int, end_ns: int) -> tuple[tuple[Entry, ...] | None, int]:
        """Return what to take from step `first` to `end_ns`, or None and the next step worth a look as a start."""
        if need.entries is not None:
            return self._without_choice(need, first, end_ns)
        least: list[int] = []
        entries: tuple[Entry, ...] | None = None
        for step in range(first, len(self._times_ns)):
            if step > first and self._times_ns[step] >= end_ns:
                break
            free = self._free[step]
            lower = free if step == first else [min(pair) for pair in zip(least, free, strict=True)]
            if lower != least:
                least = lower
                entries = need.within(least)
                if entries is None:
                    # What this step alone cannot give, no start before its end will get.
                    return None, (step if need.within(free) is None else first) + 1
        return entries, first

    def _without_choice(self, need: Need, first: int, end_ns: int) -> tuple[tuple[Entry, ...] | None, int]:
        """Do as `_from` by plain comparison: all that a replayed log needs."""
        times_ns, frees, demand = self._times_ns, self._free, need.demand
        step = first
        while True:
            free = frees[step]
            for kind, count in demand:
                if free[kind] < count:
                    return None, step + 1
            step += 1
            if step == len(times_ns) or times_ns[step] >= end_ns:
                return need.entries, first

    def _cut(self, time_ns: int) -> int:
        """Return the step that begins at the time, made if there is none."""
        step = bisect_left(self._times_ns, time_ns)
        if step == len(self._times_ns) or self._times_ns[step] != time_ns:
            self._times_ns.insert(step, time_ns)
            self._free.insert(step, self._free[step - 1].copy())
        return step
