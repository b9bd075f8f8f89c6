"""A claim in counts by kind: one way to meet it, whole."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from scheduler.matching import Entry, Part, allocate

# Kinds that every venue has; units, cells and exclusive zones come after them.
SLOTS, SEATS, CHARGERS = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """What to take of which kinds. Parts are the unit requests in order, then slots, cell, seats, chargers."""

    parts: tuple[Part, ...]
    unit_parts: int
    duration_ns: int
    # Place among the claim and its alternatives.
    alternative: int = 0
    # How many more each unit part may take (moldable claims).
    growth: tuple[int, ...] = ()
    # The zone of each kind, if every unit must stand in another one, or, `grouped`, the units of every part.
    zone_of: Mapping[int, str] | None = None
    grouped: bool = False
    # Exclusive zones: the token to take together with a kind of cells.
    token_of: Mapping[int, int] | None = None
    # Units, slots and cells, as quotas count them.
    amounts: tuple[int, int, int] = (0, 0, 0)
    # A charger for every unit is part of it.
    charged: bool = False
    # Where no part has a choice: what it takes, and how much of each kind that is.
    entries: tuple[Entry, ...] | None = field(init=False)
    demand: tuple[tuple[int, int], ...] = field(init=False)
    # Whether two parts could take of the same kind.
    overlaps: bool = field(init=False)
    # Whether the parts can be served one by one, whatever the order.
    plain: bool = field(init=False)

    def __post_init__(self) -> None:
        kinds = [kind for part in self.parts for kind in part.kinds]
        object.__setattr__(self, "overlaps", len(set(kinds)) < len(kinds))
        entries = None
        demand: dict[int, int] = {}
        no_choice = len(kinds) == len(self.parts) and all(len(part.kinds) == 1 for part in self.parts)
        if no_choice and self.zone_of is None and not (self.token_of and any(kind in self.token_of for kind in kinds)):
            entries = tuple(Entry(place, part.kinds[0], part.amount) for place, part in enumerate(self.parts))
            for part in self.parts:
                demand[part.kinds[0]] = demand.get(part.kinds[0], 0) + part.amount
        object.__setattr__(self, "entries", entries)
        object.__setattr__(self, "demand", tuple(demand.items()))
        object.__setattr__(self, "plain", not self.overlaps and self.zone_of is None and not self.token_of)

    @property
    def kinds(self) -> frozenset[int]:
        """Every kind that it could take something of, tokens included."""
        found = {kind for part in self.parts for kind in part.kinds}
        if self.token_of:
            found |= {self.token_of[kind] for kind in found if kind in self.token_of}
        return frozenset(found)

    def within(self, free: Callable[[int], int], order: Callable[[Part], Sequence[int]]) -> tuple[Entry, ...] | None:
        """Return what to take where `free` tells how much of a kind there is, or None if that does not suffice.

        Of the kinds of a part, those that `order` names first are taken first.
        """
        if self.zone_of is not None:
            return self._apart(free, order)
        if self.entries is not None:
            for kind, amount in self.demand:
                if free(kind) < amount:
                    return None
            return self.entries
        return self._greedy(free, order) or (self._flow(free, order) if self.overlaps else None)

    def grown(self, step: int) -> "Option":
        """Return a moldable option with up to `step` units more for each request."""
        parts = tuple(
            Part(part.kinds, part.amount + min(step, more))
            for part, more in zip(self.parts, (*self.growth, *[0] * len(self.parts)), strict=False)
        )
        more = sum(min(step, growth) for growth in self.growth)
        units, slots, cells = self.amounts
        return replace(self, parts=parts, growth=(), amounts=(units + more, slots, cells))

    def reduced(self, held: Sequence[int]) -> "Option":
        """Return the option without what is held already, told by part."""
        if not any(held):
            return self
        left = (*held, *[0] * len(self.parts))
        parts = tuple(Part(p.kinds, max(0, p.amount - had)) for p, had in zip(self.parts, left, strict=False))
        return replace(self, parts=parts)

    def _greedy(self, free: Callable[[int], int], order: Callable[[Part], Sequence[int]]) -> tuple[Entry, ...] | None:
        """Serve the parts one by one, those with the fewest choices first."""
        entries: list[Entry] = []
        gone: dict[int, int] = {}
        places = range(len(self.parts))
        if self.overlaps:
            places = sorted(places, key=lambda place: (len(self.parts[place].kinds), place))  # type: ignore[assignment]
        for place in places:
            part = self.parts[place]
            wanted = part.amount
            for kind in order(part) if wanted else ():
                have = free(kind)
                if have <= 0:
                    continue
                if self.token_of and kind in self.token_of:
                    if free(self.token_of[kind]) <= 0:
                        continue
                    entries.append(Entry(len(self.parts), self.token_of[kind], 1))
                if self.overlaps:
                    have -= gone.get(kind, 0)
                    if have <= 0:
                        continue
                    gone[kind] = gone.get(kind, 0) + min(have, wanted)
                entries.append(Entry(place, kind, min(have, wanted)))
                wanted -= have
                if wanted <= 0:
                    break
            if wanted > 0:
                return None
        return tuple(sorted(entries)) if self.overlaps else tuple(entries)

    def _flow(self, free: Callable[[int], int], order: Callable[[Part], Sequence[int]]) -> tuple[Entry, ...] | None:
        """Serve parts that compete for the same kinds: exact where the greedy way is not."""
        token_of = self.token_of or {}
        counts = {
            kind: min(free(kind), free(token_of[kind])) if kind in token_of else free(kind)
            for part in self.parts
            for kind in part.kinds
        }
        entries = allocate([Part(tuple(order(part)), part.amount) for part in self.parts], counts)
        if entries is None:
            return None
        tokens = [Entry(len(self.parts), token_of[e.kind], 1) for e in entries if e.kind in token_of]
        return (*entries, *tokens)

    def _apart(self, free: Callable[[int], int], order: Callable[[Part], Sequence[int]]) -> tuple[Entry, ...] | None:
        """Give every unit or group a zone of its own: a matching to zones (Kuhn 1955), then the rest as usual."""
        zone_of = self.zone_of
        assert zone_of is not None
        size = [part.amount if self.grouped else 1 for part in self.parts]
        wanted = [p for p in range(self.unit_parts) for _ in range(self.parts[p].amount // size[p] if size[p] else 0)]
        kinds_in: dict[tuple[int, str], list[int]] = {}
        zones: list[list[str]] = []
        for place in range(self.unit_parts):
            there: dict[str, int] = {}
            for kind in order(self.parts[place]):
                if free(kind) > 0:
                    zone = zone_of[kind]
                    kinds_in.setdefault((place, zone), []).append(kind)
                    there[zone] = there.get(zone, 0) + free(kind)
            zones.append(sorted(zone for zone, count in there.items() if count >= size[place]))
        holder: dict[str, int] = {}
        for unit in range(len(wanted)):
            if not _settle(unit, wanted, zones, holder):
                return None
        entries = []
        for zone, unit in holder.items():
            place = wanted[unit]
            left = size[place]
            for kind in kinds_in[place, zone]:
                taken = min(left, free(kind))
                left -= taken
                entries.append(Entry(place, kind, taken))
                if not left:
                    break
        rest = replace(self, parts=self.parts[self.unit_parts :], unit_parts=0, zone_of=None, grouped=False)
        others = rest.within(free, order)
        if others is None:
            return None
        moved = [Entry(entry.part + self.unit_parts, entry.kind, entry.amount) for entry in others]
        return tuple(sorted([*entries, *moved]))


def _settle(unit: int, wanted: Sequence[int], zones: Sequence[Sequence[str]], holder: dict[str, int]) -> bool:
    """Give `unit` a zone, moving others where needed; return whether that was possible."""
    came_from: dict[str, int] = {}
    open_units = [unit]
    zone_of: dict[int, str] = {taker: zone for zone, taker in holder.items()}
    for present in open_units:
        for zone in zones[wanted[present]]:
            if zone in came_from:
                continue
            came_from[zone] = present
            if zone in holder:
                open_units.append(holder[zone])
                continue
            while True:
                taker = came_from[zone]
                before = zone_of.get(taker)
                holder[zone] = taker
                if before is None:
                    return True
                zone = before
    return False
