"""What a venue has, by kind, and what of it is free.

Units, cells and slots that no waiting claim can tell apart are one kind: planning works on counts by kind, so its cost
does not grow with the number of units. Names are given out only when a claim starts.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import replace

from scheduler.line import NEVER_NS
from scheduler.matching import Part, cell_matches, matches
from scheduler.option import CHARGERS, SEATS, SLOTS, Option
from scheduler.state import Cell, Claim, Closure, Placement, SimSlot, Unit, UnitRequest, Unnamed

# Requests for units of which it is remembered which kinds match.
MATCHING_MAX = 4096


class Floor:
    """The kinds of a venue, their free names in the order in which they are given out, and when the others are free."""

    def __init__(
        self, units: Iterable[Unit], cells: Iterable[Cell], slots: Iterable[SimSlot], unnamed: Unnamed, seats: Unnamed,
        chargers: Unnamed, exclusive_zones: frozenset[str], named: frozenset[str],
    ) -> None:  # fmt: skip
        """Units and cells that are `named` by a claim are a kind each, so that it can be told where they are."""
        self.free: list[list[tuple[float, str]]] = [[], [], []]
        self.busy: list[dict[str, int | None]] = [{}, {}, {}]
        # Of slots, seats and chargers, what is told by number alone: free, and in use until when.
        self.pool_free = [unnamed.count, seats.count, chargers.count]
        self.pool_busy: list[list[tuple[int, int]]] = [[], [], []]
        self.capacity = [unnamed.count, seats.count, chargers.count]
        # Free units that rest, are charged or could not work for long, by kind.
        self.special: dict[int, dict[str, Unit]] = {}
        self.units: dict[str, Unit] = {}
        self.cells: dict[str, Cell] = {}
        self.kind_of: dict[str, int] = {}
        self._unit_kinds: dict[int, Unit] = {}
        self._cell_kinds: dict[int, Cell] = {}
        self._token_of: dict[int, int] = {}
        self._matching: dict[UnitRequest, tuple[int, ...]] = {}
        # What the kinds are, in order: floors of equal signatures have equal kinds.
        self.signatures: list[object] = []
        self._kind_of_signature: dict[object, int] = {}
        # A cell and a unit may have the same name.
        self._cell_kind_of: dict[str, int] = {}
        for pool, told in ((SLOTS, unnamed), (SEATS, seats), (CHARGERS, chargers)):
            for end_ns, count in told.busy:
                self.hold_pool(pool, end_ns, count)
        for slot in sorted(slots, key=lambda slot: slot.slot):
            self._add(SLOTS, slot.slot, 0.0, slot.free, slot.end_ns)
        self._add_units(units, named)
        self._add_cells(cells, exclusive_zones, named)

    def contents(
        self,
    ) -> tuple[tuple[Unit, ...], tuple[Cell, ...], tuple[SimSlot, ...], Unnamed, Unnamed, Unnamed]:
        """Return units, cells, slots, and the pools of slots, seats and chargers, as they are now."""
        units = tuple(
            replace(unit, free=unit.unit not in self.busy[self.kind_of[unit.unit]], end_ns=self._end_ns(unit.unit))
            if unit.usable
            else unit
            for unit in self.units.values()
        )
        cells = tuple(
            replace(cell, free=cell.cell not in busy, end_ns=busy.get(cell.cell))
            for cell in self.cells.values()
            for busy in [self.busy[self._cell_kind_of[cell.cell]]]
        )
        slots = [SimSlot(name) for _, name in self.free[SLOTS]]
        slots += [SimSlot(name, False, end_ns) for name, end_ns in self.busy[SLOTS].items()]
        named = len(self.free[SLOTS]) + len(self.busy[SLOTS])
        pools = [
            Unnamed(self.capacity[pool] - (named if pool == SLOTS else 0), tuple(self.pool_busy[pool]))
            for pool in (SLOTS, SEATS, CHARGERS)
        ]
        return units, cells, tuple(slots), pools[0], pools[1], pools[2]

    def counts(self) -> list[int]:
        """Return what is free by kind, whatever it is good for."""
        counts = [len(names) for names in self.free]
        for pool, free in enumerate(self.pool_free):
            counts[pool] += free
        return counts

    def anything_free(self) -> bool:
        """Whether a unit or a slot is free, without which no job can start."""
        return self.pool_free[SLOTS] > 0 or bool(self.free[SLOTS]) or any(self.free[kind] for kind in self._unit_kinds)

    def ends(self, kind: int, now_ns: int) -> list[tuple[int, int]]:
        """Return (end_ns, count) of what is in use.

        What should have ended, or nobody knows when it will, may end at any moment: so it is not lent out until then.
        """
        soon_ns = now_ns + 1
        ends = [(soon_ns if end_ns is None or end_ns < soon_ns else end_ns, 1) for end_ns in self.busy[kind].values()]
        if kind < len(self.pool_busy):
            held = self.pool_busy[kind]
            overdue = bisect_left(held, (soon_ns,))
            ends += [(soon_ns, count) for _, count in held[:overdue]]
            ends += held[overdue:]
        return ends

    def is_cell(self, kind: int) -> bool:
        """Whether the kind is one of cells."""
        return kind in self._cell_kinds

    def kinds_of_cell(self, cell: str) -> list[int]:
        """Return the kind of a cell, and with it the token of its zone if that is exclusive."""
        kind = self._cell_kind_of[cell]
        token = self._token_of.get(kind)
        return [kind] if token is None else [kind, token]

    def zone_of(self, kind: int) -> str:
        """Return the zone of a kind of units."""
        return self._unit_kinds[kind].zone

    def hold(self, kind: int, name: str, end_ns: int | None) -> None:
        """Take a free name away until `end_ns`, a cell together with its exclusive zone."""
        names = self.free[kind]
        del names[bisect_left(names, (self._wear_h(kind, name), name))]
        self.busy[kind][name] = end_ns
        if kind in self.special:
            self.special[kind].pop(name, None)
            if not self.special[kind]:
                del self.special[kind]
        token = self._token_of.get(kind)
        # A zone may have become exclusive while two of its cells were in use.
        if token is not None and self.free[token]:
            self.hold(token, self.free[token][0][1], end_ns)

    def release(self, kind: int, name: str) -> None:
        """Give a name back."""
        del self.busy[kind][name]
        insort(self.free[kind], (self._wear_h(kind, name), name))
        unit = self.units.get(name) if kind in self._unit_kinds else None
        if unit is not None and _is_special(unit):
            self.special.setdefault(kind, {})[name] = unit
        token = self._token_of.get(kind)
        if token is not None and not any(self.busy[other] for other, its in self._token_of.items() if its == token):
            self.release(token, next(iter(self.busy[token])))

    def hold_units(self, names: Iterable[str], end_ns: int | None) -> None:
        """Take units away until `end_ns`."""
        kind_of, free_of, busy_of, special = self.kind_of, self.free, self.busy, self.special
        for name in names:
            kind = kind_of[name]
            free = free_of[kind]
            if free[0][1] == name and kind not in special:
                # Names are given out from the front.
                del free[0]
                busy_of[kind][name] = end_ns
            else:
                self.hold(kind, name, end_ns)

    def release_unit(self, name: str) -> None:
        """Give a unit back; one that is not usable now, though a lease holds it, can be had by nobody."""
        kind = self.kind_of.get(name)
        if kind is not None:
            self.release(kind, name)

    def hold_cell(self, name: str, end_ns: int | None) -> None:
        """Take a cell away until `end_ns`, and with it its exclusive zone."""
        self.hold(self._cell_kind_of[name], name, end_ns)

    def release_cell(self, name: str) -> None:
        """Give a cell back."""
        self.release(self._cell_kind_of[name], name)

    def hold_pool(self, pool: int, end_ns: int, count: int) -> None:
        """Take so many slots, seats or chargers away."""
        self.pool_free[pool] -= count
        insort(self.pool_busy[pool], (end_ns, count))

    def set_pool(self, pool: int, busy: Iterable[tuple[int, int]]) -> None:
        """Let exactly so many be in use until then."""
        self.pool_free[pool] += sum(count for _, count in self.pool_busy[pool])
        self.pool_busy[pool] = sorted(busy)
        self.pool_free[pool] -= sum(count for _, count in self.pool_busy[pool])

    def release_pool(self, pool: int, end_ns: int, count: int) -> None:
        """Give so many of those that were taken until `end_ns` back."""
        self.pool_free[pool] += count
        held = self.pool_busy[pool]
        del held[bisect_left(held, (end_ns, count))]

    def put_unit(self, name: str, unit: Unit | None, named: frozenset[str]) -> bool:
        """Take over how a unit is now, None if it is gone.

        Return False, with nothing changed, if that takes or leaves the only one of a kind: then the kinds are others,
        and a floor must be laid anew.
        """
        before = self.kind_of.get(name)
        kind = None
        if unit is not None and unit.usable:
            kind = self._kind_of_signature.get(_signature(unit, named))
            if kind is None:
                return False
        if before is not None:
            if before != kind and self.capacity[before] == 1:
                return False
            self._remove(before, name)
            del self.kind_of[name]
        if unit is None:
            self.units.pop(name, None)
            return True
        self.units[name] = unit
        if kind is not None:
            self.kind_of[name] = kind
            self._add(kind, name, unit.wear_h, unit.free, unit.end_ns)
            if unit.free and _is_special(unit):
                self.special.setdefault(kind, {})[name] = unit
        return True

    def put_cell(self, name: str, cell: Cell | None, named: frozenset[str]) -> bool:
        """Take over how a cell is now, as `put_unit` does."""
        before = self._cell_kind_of.get(name)
        kind = None
        if cell is not None:
            kind = self._kind_of_signature.get(_cell_signature(cell, named))
            if kind is None:
                return False
        if before is not None:
            if before != kind and self.capacity[before] == 1:
                return False
            self._remove(before, name)
            del self._cell_kind_of[name], self.cells[name]
        if cell is not None and kind is not None:
            self.cells[name] = cell
            self._cell_kind_of[name] = kind
            self._add(kind, name, 0.0, cell.free, cell.end_ns)
        for token in {
            self._token_of[changed] for changed in (before, kind) if changed is not None and changed in self._token_of
        }:
            self._set_token(token)
        return True

    def put_slot(self, name: str, slot: SimSlot | None) -> None:
        """Take over how a slot is now, None if it is gone."""
        if name in self.busy[SLOTS] or _place((0.0, name), self.free[SLOTS]) is not None:
            self._remove(SLOTS, name)
        if slot is not None:
            self._add(SLOTS, name, 0.0, slot.free, slot.end_ns)

    def put_pool(self, pool: int, told: Unnamed) -> None:
        """Take over how many seats or chargers there are, and which are in use."""
        more = told.count - self.capacity[pool]
        self.capacity[pool] += more
        self.pool_free[pool] += more
        self.set_pool(pool, told.busy)

    def options(self, claim: Claim) -> tuple[Option, ...]:
        """Return the ways to meet a claim, the preferred first. None of them need be possible."""
        found: list[Option] = []
        for place, one in enumerate((claim, *claim.alternatives)):
            found += self._options(one, place)
        return tuple(found)

    def closed_kinds(self, closure: Closure) -> frozenset[int]:
        """Return the kinds that a closure takes away."""
        if closure.venue:
            return frozenset(range(len(self.free)))
        kinds = {kind for kind, unit in self._unit_kinds.items() if closure.covers_unit(unit)}
        return frozenset(kinds | {kind for kind, cell in self._cell_kinds.items() if closure.covers_cell(cell)})

    @property
    def size(self) -> tuple[int, int, int]:
        """Units, slots and cells that the venue has, in order or not."""
        return len(self.units), self.capacity[SLOTS], len(self.cells)

    def _options(self, claim: Claim, place: int) -> list[Option]:
        kinds = [self._kinds_of(request) for request in claim.units]
        others: list[Part] = []
        if claim.sim_slots:
            others.append(Part((SLOTS,), claim.sim_slots))
        if claim.cell is not None:
            asked = claim.cell
            others.append(Part(tuple(kind for kind, cell in self._cell_kinds.items() if cell_matches(asked, cell)), 1))
        if claim.seats:
            others.append(Part((SEATS,), claim.seats))
        if claim.chargers:
            others.append(Part((CHARGERS,), claim.chargers))
        growth = tuple(max(0, request.count_max - request.count) for request in claim.units)

        def with_kinds(chosen: Sequence[tuple[int, ...]], zone_of: dict[int, str] | None = None) -> Option:
            units = [Part(fit, request.count) for fit, request in zip(chosen, claim.units, strict=True)]
            return Option(
                (*units, *others),
                len(claim.units),
                int(claim.duration_s * 1e9),
                place,
                growth if any(growth) else (),
                zone_of,
                zone_of is not None and claim.placement is Placement.GROUPED,
                self._token_of if claim.cell is not None and self._token_of else None,
                (sum(request.count for request in claim.units), claim.sim_slots, int(claim.cell is not None)),
                claim.charged,
            )

        if claim.placement is Placement.TOGETHER and claim.units:
            # No zone at all: an option that finds nothing.
            zones = sorted({self.zone_of(kind) for fit in kinds for kind in fit}) or [""]
            return [with_kinds([tuple(k for k in fit if self.zone_of(k) == zone) for fit in kinds]) for zone in zones]
        if claim.placement in (Placement.APART, Placement.GROUPED) and claim.units:
            return [with_kinds(kinds, {kind: self.zone_of(kind) for fit in kinds for kind in fit})]
        return [with_kinds(kinds)]

    def _kinds_of(self, request: UnitRequest) -> tuple[int, ...]:
        """Return the kinds of units that match a request: many claims ask for the same, so each is sought once."""
        asked = replace(request, count=1, count_max=0)
        known = self._matching.get(asked)
        if known is None:
            # A unit that is asked for by name is a kind of its own.
            own = self.kind_of.get(request.unit)
            kinds: Iterable[int] = self._unit_kinds if not request.unit else () if own is None else (own,)
            known = tuple(kind for kind in kinds if matches(request, self._unit_kinds[kind]))
            if len(self._matching) >= MATCHING_MAX:
                # A floor may last for weeks, and who asks otherwise each time must not fill the memory.
                self._matching.clear()
            self._matching[asked] = known
        return known

    def _add_units(self, units: Iterable[Unit], named: frozenset[str]) -> None:
        groups: dict[tuple[object, ...], list[Unit]] = {}
        for unit in units:
            self.units[unit.unit] = unit
            if unit.usable:
                groups.setdefault(_signature(unit, named), []).append(unit)
        # Kinds in an order that depends on what there is alone, for ties are broken by it.
        for signature in sorted(groups, key=repr):
            kind = self._new_kind(signature)
            self._unit_kinds[kind] = groups[signature][0]
            for unit in sorted(groups[signature], key=lambda unit: (unit.wear_h, unit.unit)):
                self.kind_of[unit.unit] = kind
                self._add(kind, unit.unit, unit.wear_h, unit.free, unit.end_ns)
                if unit.free and _is_special(unit):
                    self.special.setdefault(kind, {})[unit.unit] = unit

    def _add_cells(self, cells: Iterable[Cell], exclusive_zones: frozenset[str], named: frozenset[str]) -> None:
        groups: dict[tuple[object, ...], list[Cell]] = {}
        for cell in cells:
            self.cells[cell.cell] = cell
            groups.setdefault(_cell_signature(cell, named), []).append(cell)
        tokens: dict[str, int] = {}
        for zone in sorted(exclusive_zones & {cell.zone for cell in self.cells.values()}):
            tokens[zone] = self._new_kind(("exclusive zone", zone))
            self._add(tokens[zone], zone, 0.0, True, None)
        for signature in sorted(groups):
            kind = self._new_kind(signature)
            self._cell_kinds[kind] = groups[signature][0]
            zone = groups[signature][0].zone
            if zone in tokens:
                self._token_of[kind] = tokens[zone]
            for cell in sorted(groups[signature], key=lambda cell: cell.cell):
                self._cell_kind_of[cell.cell] = kind
                self._add(kind, cell.cell, 0.0, cell.free, cell.end_ns)
        for token in tokens.values():
            self._set_token(token)

    def _set_token(self, token: int) -> None:
        """Let an exclusive zone be in use if a cell of it is: the first, where it became exclusive while more were."""
        zone = next(iter(self.busy[token]), None) or self.free[token][0][1]
        ends_ns = [
            self.busy[kind][min(self.busy[kind])]
            for kind, its in sorted(self._token_of.items())
            if its == token and self.busy[kind]
        ]
        self._remove(token, zone)
        self._add(token, zone, 0.0, not ends_ns, ends_ns[0] if ends_ns else None)

    def _new_kind(self, signature: object) -> int:
        self.signatures.append(signature)
        self._kind_of_signature[signature] = len(self.free)
        self.free.append([])
        self.busy.append({})
        self.capacity.append(0)
        return len(self.free) - 1

    def _add(self, kind: int, name: str, wear_h: float, free: bool, end_ns: int | None) -> None:
        self.capacity[kind] += 1
        if free:
            insort(self.free[kind], (wear_h, name))
        else:
            self.busy[kind][name] = end_ns

    def _remove(self, kind: int, name: str) -> None:
        self.capacity[kind] -= 1
        if name in self.busy[kind]:
            del self.busy[kind][name]
        else:
            place = _place((self._wear_h(kind, name), name), self.free[kind])
            assert place is not None, f"{name} is neither free nor in use"
            del self.free[kind][place]
        special = self.special.get(kind)
        if special is not None and special.pop(name, None) is not None and not special:
            del self.special[kind]

    def _end_ns(self, unit: str) -> int | None:
        return self.busy[self.kind_of[unit]].get(unit)

    def _wear_h(self, kind: int, name: str) -> float:
        return self.units[name].wear_h if kind in self._unit_kinds else 0.0


def available_ns(unit: Unit, duration_ns: int, *, charged: bool = False) -> int:
    """Return from when an idle unit can do a job of that length; 0: it can now; NEVER_NS: somebody must see to it.

    charged: it hangs on a charger of the claim meanwhile.
    """
    if (unit.on_charger_s if charged else unit.good_for_s) * 1e9 >= duration_ns:
        return unit.ready_ns
    if unit.renewed_ns is None or unit.good_at_best_s * 1e9 < duration_ns:
        return NEVER_NS
    return max(unit.ready_ns, unit.renewed_ns)


def _is_special(unit: Unit) -> bool:
    return unit.ready_ns > 0 or unit.good_for_s != float("inf")


def _place(entry: tuple[float, str], entries: list[tuple[float, str]]) -> int | None:
    """Return where an entry stands among sorted ones, None if it does not."""
    place = bisect_left(entries, entry)
    return place if place < len(entries) and entries[place] == entry else None


def _cell_signature(cell: Cell, named: frozenset[str]) -> tuple[object, ...]:
    return cell.scenario, cell.level, cell.zone, cell.cell if cell.cell in named else ""


def _signature(unit: Unit, named: frozenset[str]) -> tuple[object, ...]:
    return (
        unit.robot_model, unit.robot_class, unit.maker, unit.zone, unit.joint_count, unit.payload_kg,
        unit.end_effector, tuple(sorted(unit.sensors)), unit.firmware, tuple(sorted(unit.labels.items())),
        unit.unit if unit.unit in named else "",
    )  # fmt: skip
