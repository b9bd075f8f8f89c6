"""Whether one more advance booking can be kept beside those that are there: pure functions that name no vendor.

A booking is kept by units and a cell that are its own from its start to its end; sim slots, seats and chargers are
counted. Whether units can be shared out so is a colouring of intervals in which not every colour fits, which is hard in
general (Arkin and Silverberg 1987). So bookings are given units one after the other, each by a matching, in a few
orders; what no order can keep is refused. What is accepted can surely be kept; now and then something is refused that a
longer search could have kept.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from scheduler.matching import Part, allocate, cell_matches, choose, matches
from scheduler.state import (
    Booking,
    Cell,
    CellRequest,
    Claim,
    Closure,
    Lease,
    Placement,
    State,
    Unit,
    UnitRequest,
    Vendor,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a booking is planned with, and so what it denies to those at the same time."""

    start_ns: int
    end_ns: int
    units: frozenset[str]
    # The cell, or its zone if only one cell of the zone may be in use.
    place: str = ""


def fits(booking: Booking, others: Sequence[Booking], closures: Sequence[Closure], state: State) -> str | None:
    """Return None if the booking can be kept beside `others`, all of which stay kept; otherwise why not.

    Counts what the venue has, in order or not: what is out of order now may be mended by then. `others` in the order of
    their acceptance; those that cannot be kept even without this one do not stand in its way.
    """
    for closure in closures:
        if closure.venue and _overlap(booking, closure):
            return f"the venue is closed {_period(max(booking.start_ns, closure.start_ns), closure.end_ns)}"
    others = [other for other in others if other.booking != booking.booking]
    beside = next(group for group in _groups([*others, booking]) if booking in group)
    beside.remove(booking)
    for what, wanted, total in (
        ("sim slots", _slots, len(state.slots) + state.unnamed.count),
        ("operators' seats", _seats, state.seats.count),
        ("chargers", _chargers, state.chargers.count),
    ):
        own = wanted(booking.claim)
        most, _ = _peak(booking, beside, wanted)
        if own and own + most > total:
            return f"{own} {what} wanted: not enough of the venue's {total} is left at some time of it"
    desk = _Desk(closures, state)
    if not desk.alone(booking):
        return "what it asks for is closed at that time, or is not there in that number"
    if len(_kept([*beside, booking], desk)) == len(beside) + 1:
        return None
    # What cannot be kept even without this one is lost already; nothing else may be lost for its sake.
    kept = _kept(beside, desk)
    beside = [other for other in beside if other.booking in kept]
    if len(_kept([*beside, booking], desk)) > len(beside):
        return None
    return _shortage(booking, beside, desk)


def of_lease(lease: Lease) -> Booking:
    """Return what a lease holds, until its planned end, as a booking of just that."""
    units = tuple(UnitRequest(unit=unit) for unit in lease.units)
    cell = None if lease.cell is None else CellRequest(lease.cell)
    claim = Claim(units, lease.slots, cell, seats=lease.seats, chargers=lease.chargers)
    return Booking(f"lease {lease.lease}", lease.vendor, claim, lease.start_ns, lease.end_ns)


def plans(bookings: Sequence[Booking], closures: Sequence[Closure], state: State) -> dict[str, Plan]:
    """Return what each booking is planned with; those that cannot be kept are left out."""
    return _kept(bookings, _Desk(closures, state))


def over_limit(booking: Booking, own: Sequence[Booking], vendor: Vendor) -> str | None:
    """Return a sentence if the vendor's bookings at any one time would be more than it may hold at a time."""
    limit = vendor.limit
    for what, wanted, most in (
        ("units", _units, limit.units),
        ("sim slots", _slots, limit.slots),
        ("cells", _cells, limit.cells),
    ):
        booked, at_ns = _peak(booking, own, wanted)
        if wanted(booking.claim) and booked + wanted(booking.claim) > most:
            return (
                f"{wanted(booking.claim)} {what} wanted, {booked} are booked already at {_clock(at_ns)}, and at most "
                f"{most:g} may be held at a time"
            )
    return None


def within(claim: Claim, booking: Booking, now_ns: int) -> str | None:
    """Return None if a job of this claim can run in the booking; otherwise why not."""
    left_s = (booking.end_ns - max(now_ns, booking.start_ns)) / 1e9
    for choice in (claim, *claim.alternatives):
        if choice.duration_s > left_s:
            return f"the job may take {choice.duration_s:g} s, {max(left_s, 0.0):.0f} s are left of the reservation"
        held = booking.claim
        for what, wanted in (("sim slots", _slots), ("operators' seats", _seats), ("chargers", _chargers)):
            if wanted(choice) > wanted(held):
                return f"the job claims {wanted(choice)} {what}, the reservation holds {wanted(held)}"
        if choice.cell is not None and (held.cell is None or not _same_cell(choice, held)):
            return f"the job claims {choice.cell.describe()}, the reservation does not hold one"
        parts = [
            Part(tuple(i for i, own in enumerate(held.units) if compatible(request, own)), request.count)
            for request in choice.units
        ]
        if allocate(parts, [own.count for own in held.units]) is None:
            words = ", ".join(request.describe() for request in choice.units)
            return f"the job claims {words}; the reservation does not hold these"
    return None


def compatible(one: UnitRequest, other: UnitRequest) -> bool:
    """Whether a unit could satisfy both requests, as far as they say: no field of the two contradicts."""
    fields = ("robot_class", "robot_model", "unit", "end_effector", "firmware")
    pairs = [(getattr(one, field), getattr(other, field)) for field in fields]
    pairs.append((one.maker.casefold(), other.maker.casefold()))
    labels = dict(other.labels)
    pairs += [(value, labels.get(key, "")) for key, value in one.labels]
    return all(not a or not b or a == b for a, b in pairs)


def held_by_part(
    claim: Claim, units: Sequence[Unit], *, slots: int = 0, cells: int = 0, seats: int = 0, chargers: int = 0
) -> tuple[int, ...]:
    """Return how much of each part of a claim is held: unit requests in order, then slots, cell, seats, chargers.

    A part that the claim has not has no place. A unit counts for one request that it matches; one that matches none
    counts nowhere.
    """
    counts = [0] * len(claim.units)
    asked = [request.count for request in claim.units]
    options = [tuple(i for i, request in enumerate(claim.units) if matches(request, unit)) for unit in units]
    parts: list[Part] = []
    for option in options:
        # One that finds no more room, because a job overruns, counts nowhere.
        if option and allocate([*parts, Part(option, 1)], asked) is not None:
            parts.append(Part(option, 1))
    for entry in allocate(parts, asked) or ():
        counts[entry.kind] += entry.amount
    rest = ((slots, claim.sim_slots), (cells, _cells(claim)), (seats, claim.seats), (chargers, claim.chargers))
    return (*counts, *(min(held, wanted) for held, wanted in rest if wanted))


class _Desk:
    """Gives units and cells out for whole periods."""

    def __init__(self, closures: Sequence[Closure], state: State) -> None:
        self._closures = closures
        self._alike: dict[object, list[Unit]] = {}
        for unit in sorted(state.units, key=lambda unit: unit.unit):
            self._alike.setdefault(_kind(unit), []).append(unit)
        self._zones = sorted({unit.zone for unit in state.units if unit.zone})
        self._cells = sorted(state.cells, key=lambda cell: cell.cell)
        self._exclusive = state.exclusive_zones
        self._matching: dict[UnitRequest, list[list[Unit]]] = {}

    def alone(self, booking: Booking) -> bool:
        """Whether the booking could be kept if it were the only one."""
        return self._one(booking, ()) is not None

    def choices(self, booking: Booking) -> tuple[int, int, str]:
        """Order bookings by how many units and cells they can choose from, the pickiest first."""
        units = min((sum(map(len, self._kinds(r))) - r.count for r in booking.claim.units), default=1 << 30)
        asked = booking.claim.cell
        cells = sum(cell_matches(asked, cell) for cell in self._cells) if asked is not None else 1 << 30
        return min(units, cells), booking.start_ns, booking.booking

    def plan(self, bookings: Iterable[Booking]) -> dict[str, Plan]:
        """Return what each booking gets, in this order, without those for which nothing is left."""
        found: dict[str, Plan] = {}
        for booking in bookings:
            beside = [plan for plan in found.values() if _overlap(booking, plan)]
            plan = self._one(booking, beside)
            if plan is not None:
                found[booking.booking] = plan
        return found

    def _one(self, booking: Booking, beside: Sequence[Plan]) -> Plan | None:
        closed = [closure for closure in self._closures if _overlap(booking, closure)]
        units_shut = frozenset().union(*(c.units for c in closed), *(p.units for p in beside))
        zones_shut = frozenset().union(*(c.zones for c in closed))
        if any(c.venue for c in closed):
            return None
        units = self._given(booking.claim, units_shut, zones_shut)
        if units is None:
            return None
        asked, place = booking.claim.cell, ""
        if asked is not None:
            cells_shut = frozenset().union(*(c.cells for c in closed))
            taken = {plan.place for plan in beside}
            places = [
                self._place(cell)
                for cell in self._cells
                if cell_matches(asked, cell) and cell.cell not in cells_shut and cell.zone not in zones_shut
            ]
            place = next((place for place in places if place not in taken), "")
            if not place:
                return None
        return Plan(booking.start_ns, booking.end_ns, frozenset(units), place)

    def _place(self, cell: Cell) -> str:
        return f"zone {cell.zone}" if cell.zone in self._exclusive else f"cell {cell.cell}"

    def _given(self, claim: Claim, shut: frozenset[str], zones_shut: frozenset[str]) -> tuple[str, ...] | None:
        def free(unit: Unit) -> bool:
            return unit.unit not in shut and (not unit.zone or unit.zone not in zones_shut)

        if not claim.units:
            return ()
        if claim.placement is Placement.APART:
            return self._apart(claim, free)
        if claim.placement is Placement.TOGETHER:
            for zone in self._zones:
                found = choose(claim.units, self._pool(claim, free, zone))
                if found is not None:
                    return found
            return None
        return choose(claim.units, self._pool(claim, free))

    def _pool(self, claim: Claim, free: Callable[[Unit], bool], zone: str = "") -> list[Unit]:
        """Return enough free units to choose from: of each request no more than all of the claim could take away."""
        enough = sum(request.count for request in claim.units)
        pool: dict[str, Unit] = {}
        for request in claim.units:
            left = enough
            for unit in self._fitting(request):
                if not left:
                    break
                if zone in ("", unit.zone) and free(unit):
                    pool[unit.unit] = unit
                    left -= 1
        return list(pool.values())

    def _apart(self, claim: Claim, free: Callable[[Unit], bool]) -> tuple[str, ...] | None:
        """Match every wanted unit with a zone of its own (Kuhn 1955), then take a unit there."""
        wanted = [request for request in claim.units for _ in range(request.count)]
        zones = self._zones
        if len(wanted) > len(zones):
            return None
        there = {
            (request, zone): unit.unit
            for request in claim.units
            for unit in self._fitting(request)
            if (zone := unit.zone) and free(unit)
        }
        parts = [Part(tuple(i for i, zone in enumerate(zones) if (request, zone) in there), 1) for request in wanted]
        entries = allocate(parts, [1] * len(zones))
        if entries is None:
            return None
        return tuple(there[wanted[entry.part], zones[entry.kind]] for entry in entries)

    def _fitting(self, request: UnitRequest) -> Iterator[Unit]:
        """Yield the units that match; the caller rarely wants them all."""
        for alike in self._kinds(request):
            yield from alike

    def _kinds(self, request: UnitRequest) -> list[list[Unit]]:
        known = self._matching.get(request)
        if known is None:
            # One of a kind stands for all, but for its name: there are far fewer kinds than units.
            nameless = replace(request, unit="")
            known = [alike for alike in self._alike.values() if matches(nameless, alike[0])]
            if request.unit:
                known = [[unit for unit in alike if unit.unit == request.unit] for alike in known]
            self._matching[request] = known
        return known


def _kept(bookings: Sequence[Booking], desk: _Desk) -> dict[str, Plan]:
    """Return the plans of what can be kept, of each group in the order that keeps most of it.

    Groups and orders depend on nothing but the bookings, so what was accepted is kept by the same order from then on.
    """
    kept: dict[str, Plan] = {}
    for group in _groups(bookings):
        tries = (
            desk.plan(group if key is None else sorted(group, key=key)) for key in (None, desk.choices, _begin, _length)
        )
        best: dict[str, Plan] = {}
        for planned in tries:
            if len(planned) > len(best):
                best = planned
            if len(best) == len(group):
                break
        kept |= best
    return kept


def _groups(bookings: Sequence[Booking]) -> list[list[Booking]]:
    """Return the bookings in groups that do not overlap each other, in their own order within a group."""
    group_of: dict[str, int] = {}
    group, end_ns = -1, 0
    for one in sorted(bookings, key=_begin):
        if group < 0 or one.start_ns >= end_ns:
            group, end_ns = group + 1, one.end_ns
        group_of[one.booking] = group
        end_ns = max(end_ns, one.end_ns)
    found: list[list[Booking]] = [[] for _ in range(group + 1)]
    for one in bookings:
        found[group_of[one.booking]].append(one)
    return found


def _begin(booking: Booking) -> tuple[int, int, str]:
    return booking.start_ns, booking.end_ns, booking.booking


def _length(booking: Booking) -> tuple[int, str]:
    return booking.start_ns - booking.end_ns, booking.booking


def _peak(booking: Booking, others: Sequence[Booking], wanted: Callable[[Claim], int]) -> tuple[int, int]:
    """Return the most that others hold at any one time of the booking, and the first such time."""
    beside = [other for other in others if _overlap(booking, other)]
    # The sum only grows where a booking starts.
    times = sorted({max(other.start_ns, booking.start_ns) for other in beside} | {booking.start_ns})
    held = [(sum(wanted(o.claim) for o in beside if o.start_ns <= at_ns < o.end_ns), -at_ns) for at_ns in times]
    most, at_ns = max(held)
    return most, -at_ns


def _shortage(booking: Booking, beside: Sequence[Booking], desk: _Desk) -> str:
    """Say which part of the claim, taken alone, can no longer be had."""
    claim = booking.claim
    alone = [(Claim(units=(request,)), request.describe()) for request in claim.units]
    if claim.cell is not None:
        alone.append((Claim(cell=claim.cell), claim.cell.describe()))
    for part, words in alone:
        only = Booking(booking.booking, booking.vendor, part, booking.start_ns, booking.end_ns)
        if booking.booking not in desk.plan([*beside, only]):
            return f"{words}: not enough is left between bookings {_period(booking.start_ns, booking.end_ns)}"
    return f"its parts cannot all be had together {_period(booking.start_ns, booking.end_ns)}"


def _same_cell(claim: Claim, held: Claim) -> bool:
    one, other = claim.cell, held.cell
    assert one is not None and other is not None
    pairs = ((one.cell, other.cell), (one.scenario, other.scenario), (one.level, other.level))
    return all(not a or not b or a == b for a, b in pairs)


def _kind(unit: Unit) -> object:
    """Return all that a request can ask of a unit, but its name."""
    labels = tuple(sorted(unit.labels.items()))
    makes = (unit.robot_class, unit.maker, unit.robot_model, unit.firmware, unit.end_effector, unit.sensors)
    return makes, labels, unit.joint_count, unit.payload_kg


def _overlap(one: Booking | Plan, other: Booking | Plan | Closure) -> bool:
    return one.start_ns < other.end_ns and other.start_ns < one.end_ns


def _units(claim: Claim) -> int:
    return sum(request.count for request in claim.units)


def _slots(claim: Claim) -> int:
    return claim.sim_slots


def _cells(claim: Claim) -> int:
    return int(claim.cell is not None)


def _seats(claim: Claim) -> int:
    return claim.seats


def _chargers(claim: Claim) -> int:
    return claim.chargers


def _period(start_ns: int, end_ns: int) -> str:
    return f"from {_clock(start_ns)} to {_clock(end_ns)}"


def _clock(unix_ns: int) -> str:
    return f"{datetime.fromtimestamp(unix_ns / 1e9, UTC):%Y-%m-%d %H:%M} UTC"
