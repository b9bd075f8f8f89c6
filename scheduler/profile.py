"""What will be free when, while one decision is made: free counts by kind, and lines of those kinds that need one.

Most kinds only become freer with time; for them the count of now is all that a job which starts now must know. A line
is made for a kind when something is planned of it, or when an earliest start is sought.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from scheduler.floor import Floor, available_ns
from scheduler.line import NEVER_NS, Line
from scheduler.matching import Entry, Part
from scheduler.option import Option

# More than a venue has of anything: what a closure takes away.
ALL_OF_IT = 1 << 40
LEVELS = 4


class Profile:
    """Free counts by kind from `now_ns` on. What it is told changes the profile alone, never the floor."""

    def __init__(
        self, floor: Floor, now_ns: int, closed: Mapping[int, Sequence[tuple[int, int]]],
        cost: Callable[[], Sequence[int]],
    ) -> None:  # fmt: skip
        """`closed`: when each kind is closed, (start_ns, end_ns) in order. `cost`, by kind: of the kinds that a part
        may choose from, those of the smallest cost are taken first; asked for once, if at all."""
        self.floor = floor
        self.now_ns = now_ns
        self.free = floor.counts()
        # When less of a kind is free than just before, for the first time.
        self._drop_ns = [NEVER_NS] * len(self.free)
        self._lines: dict[int, Line] = {}
        # What was taken from now on and no line tells yet, as (end_ns, count).
        self._started: list[list[tuple[int, int]]] = [[] for _ in self.free]
        # Free units of limited use, by kind.
        self.specials = {kind: dict(units) for kind, units in floor.special.items()}
        self._closed = closed
        for kind, times in closed.items():
            for start_ns, end_ns in times:
                if start_ns > now_ns:
                    self._drop_ns[kind] = start_ns
                    break
                if end_ns > now_ns:
                    self.free[kind] -= ALL_OF_IT
                    self._started[kind].append((end_ns, ALL_OF_IT))
        self._find_cost = cost
        self._cost: Sequence[int] | None = None
        # By the identity of the kinds of a part, for to hash a long tuple costs more than to walk it: the kinds
        # themselves, kept so that no other tuple can take their place, in order of cost.
        self._ordered: dict[int, tuple[tuple[int, ...], list[int]]] = {}
        # The same without those in front that have run out.
        self._left: dict[int, list[int]] = {}

    def levels(self) -> list[tuple[int, list[int]]]:
        """Return free counts by kind for jobs of growing length: each (until_ns, counts) holds for those that end by
        then, as an upper bound.

        Only the first few times at which something planned begins are told apart.
        """
        drops_ns = sorted({drop_ns for drop_ns in self._drop_ns if drop_ns < NEVER_NS})[:LEVELS]
        levels = [(drops_ns[0] if drops_ns else NEVER_NS, self.free.copy())]
        for place, drop_ns in enumerate(drops_ns):
            counts = levels[-1][1].copy()
            for kind, at_ns in enumerate(self._drop_ns):
                if at_ns == drop_ns and counts[kind] > 0:
                    counts[kind] = min(counts[kind], self._line(kind).at(drop_ns))
            levels.append((drops_ns[place + 1] if place + 1 < len(drops_ns) else NEVER_NS, counts))
        return levels

    def start(self, option: Option) -> tuple[Entry, ...] | None:
        """Return what to take now, and keep for the option's duration, without delaying anything planned; or None."""
        end_ns = self.now_ns + option.duration_ns
        free, drop_ns, specials, left = self.free, self._drop_ns, self.specials, self._left
        if option.entries is not None and not specials:
            for kind, amount in option.demand:
                if free[kind] < amount or (drop_ns[kind] < end_ns and self.least(kind, self.now_ns, end_ns) < amount):
                    return None
            return option.entries

        if not option.plain:
            return self._start_competing(option, end_ns)
        entries: list[Entry] = []
        for place, (kinds, wanted) in enumerate(option.parts):
            order: Sequence[int] = kinds
            if len(kinds) > 1:
                order = known = left[id(kinds)] if id(kinds) in left else self._order_left(kinds)
                while known and free[known[0]] <= 0:
                    del known[0]
            for kind in order:
                have = free[kind]
                if have > 0 and drop_ns[kind] < end_ns:
                    have = min(have, self.least(kind, self.now_ns, end_ns))
                if specials and have > 0 and kind in specials:
                    have = min(have, free[kind] - self._short(kind, option, self.now_ns))
                if have >= wanted:
                    entries.append(Entry(place, kind, wanted))
                    break
                if have > 0:
                    entries.append(Entry(place, kind, have))
                    wanted -= have
            else:
                return None
        return tuple(entries)

    def _start_competing(self, option: Option, end_ns: int) -> tuple[Entry, ...] | None:
        """Do as `start` where parts compete for the same kinds, or for zones."""

        def count(kind: int) -> int:
            have = self.free[kind]
            if have > 0 and self._drop_ns[kind] < end_ns:
                have = min(have, self.least(kind, self.now_ns, end_ns))
            if have > 0 and kind in self.specials:
                have = min(have, self.free[kind] - self._short(kind, option, self.now_ns))
            return have

        return option.within(count, self._order_of)

    def _order_left(self, kinds: tuple[int, ...]) -> list[int]:
        """Return the kinds of a part in the order in which they are taken: a list to shorten as they run out."""
        left = self._left[id(kinds)] = list(self._order(kinds))
        return left

    def at(self, option: Option, start_ns: int, end_ns: int | None = None) -> tuple[Entry, ...] | None:
        """Return what to take from start to end (default: for the option's duration), or None."""
        until_ns = start_ns + option.duration_ns if end_ns is None else end_ns
        return option.within(lambda kind: self._available(kind, option, start_ns, until_ns), self._order_of)

    def earliest(self, option: Option) -> tuple[int, tuple[Entry, ...]] | None:
        """Return the earliest start (ns) for the whole duration, and what to take then; None if there never is one."""
        if option.entries is not None and not any(kind in self.specials for kind, _ in option.demand):
            return self._earliest_without_choice(option)
        sums = [0] * len(option.parts)
        parts_of: dict[int, list[int]] = {}
        for place, part in enumerate(option.parts):
            for kind in part.kinds:
                parts_of.setdefault(kind, []).append(place)
        steps: list[tuple[int, int, int]] = []
        for kind in option.kinds:
            steps += [(time_ns, kind, free) for time_ns, free in self._line(kind).steps()]
            for unit in self.specials.get(kind, {}).values():
                time_ns = available_ns(unit, option.duration_ns, charged=option.charged)
                if self.now_ns < time_ns < NEVER_NS:
                    steps.append((time_ns, kind, self._line(kind).at(time_ns)))
        steps.sort()
        present: dict[int, int] = {}
        for place, (time_ns, kind, free) in enumerate(steps):
            value = max(free, 0)
            for part_place in parts_of.get(kind, ()):
                sums[part_place] += value - present.get(kind, 0)
            present[kind] = value
            if place + 1 < len(steps) and steps[place + 1][0] == time_ns:
                continue
            # Cheap to see that it is too early: some part alone finds too little.
            if any(have < part.amount for have, part in zip(sums, option.parts, strict=True)):
                continue
            entries = self.at(option, time_ns)
            if entries is not None:
                return time_ns, entries
        return None

    def possible(self, option: Option) -> bool:
        """Whether the option could start once everything that is planned has ended."""

        def finally_free(kind: int) -> int:
            return self.floor.capacity[kind] - self._short(kind, option, NEVER_NS - 1)

        return option.within(finally_free, self._order_of) is not None

    def take(self, entries: Iterable[Entry], start_ns: int, end_ns: int) -> None:
        """Cut entries out of the time from start to end."""
        if start_ns > self.now_ns:
            for _, kind, amount in entries:
                self._cut(kind, amount, start_ns, end_ns)
            return
        free, started, lines = self.free, self._started, self._lines
        gone = end_ns <= self.now_ns
        for _, kind, amount in entries:
            # What ends at once is no matter to a line.
            if not gone or kind not in lines:
                free[kind] -= amount
                started[kind].append((end_ns, amount))

    def give_back(self, entries: Iterable[Entry], start_ns: int, end_ns: int) -> None:
        """Undo a `take`."""
        # What comes back may be of what had run out.
        self._left.clear()
        for _, kind, amount in entries:
            self._cut(kind, -amount, start_ns, end_ns)

    def forget_unit(self, kind: int, name: str) -> None:
        """Note that a unit of limited use has been given away."""
        if kind in self.specials:
            self.specials[kind].pop(name, None)

    def ready(self, kind: int, name: str, option: Option) -> bool:
        """Whether a free unit can do it now."""
        unit = self.specials.get(kind, {}).get(name)
        return unit is None or available_ns(unit, option.duration_ns, charged=option.charged) <= self.now_ns

    def _cut(self, kind: int, amount: int, start_ns: int, end_ns: int) -> None:
        if end_ns <= start_ns or end_ns <= self.now_ns:
            return
        if start_ns <= self.now_ns:
            self.free[kind] -= amount
            self._started[kind].append((end_ns, amount))
            # A line that rises everywhere does so still: what starts now only ends later.
            if kind in self._lines and self._drop_ns[kind] != NEVER_NS and amount < 0:
                self._drop_ns[kind] = self._line(kind).next_drop_ns()
            return
        line = self._line(kind)
        line.take(amount, start_ns, end_ns)
        if amount > 0:
            self._drop_ns[kind] = min(self._drop_ns[kind], start_ns)
        else:
            self._drop_ns[kind] = line.next_drop_ns()

    def _line(self, kind: int) -> Line:
        line, started = self._lines.get(kind), self._started[kind]
        if line is None:
            ends = self.floor.ends(kind, self.now_ns) + started
            line = self._lines[kind] = Line(self.now_ns, self.free[kind], ends)
            for start_ns, end_ns in self._closed.get(kind, ()):
                if start_ns > self.now_ns:
                    line.take(ALL_OF_IT, start_ns, end_ns)
        else:
            for end_ns, amount in started:
                line.take(amount, self.now_ns, end_ns)
        started.clear()
        return line

    def least(self, kind: int, start_ns: int, end_ns: int) -> int:
        """Return the least that is free of a kind from start to end."""
        return self._line(kind).least(start_ns, end_ns)

    def _available(self, kind: int, option: Option, start_ns: int, end_ns: int) -> int:
        have = self.least(kind, start_ns, end_ns)
        if have > 0 and kind in self.specials:
            have -= self._short(kind, option, start_ns)
        return have

    def _short(self, kind: int, option: Option, time_ns: int) -> int:
        """Return how many idle units of a kind cannot do it yet at a time."""
        special = self.specials.get(kind)
        if not special:
            return 0
        return sum(
            available_ns(unit, option.duration_ns, charged=option.charged) > time_ns for unit in special.values()
        )

    def _order_of(self, part: Part) -> Sequence[int]:
        return self._order(part.kinds)

    def _order(self, kinds: tuple[int, ...]) -> Sequence[int]:
        """Return kinds in the order in which they are taken."""
        if len(kinds) < 2:
            return kinds
        known = self._ordered.get(id(kinds))
        if known is None:
            if self._cost is None:
                self._cost = self._find_cost()
            known = self._ordered[id(kinds)] = (kinds, sorted(kinds, key=self._cost.__getitem__))
        return known[1]

    def _earliest_without_choice(self, option: Option) -> tuple[int, tuple[Entry, ...]] | None:
        assert option.entries is not None
        start_ns = self.now_ns
        while True:
            before_ns = start_ns
            for kind, amount in option.demand:
                found_ns = self._line(kind).earliest(amount, option.duration_ns, start_ns)
                if found_ns is None:
                    return None
                start_ns = found_ns
            if start_ns == before_ns or len(option.demand) == 1:
                return start_ns, option.entries
