"""What one decision has given and planned so far."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from scheduler.floor import Floor
from scheduler.matching import Entry, Part
from scheduler.option import CHARGERS, SEATS, SLOTS, Option
from scheduler.outlook import Outlook
from scheduler.profile import Profile
from scheduler.queue import Queue
from scheduler.standing import Standing
from scheduler.state import Booking, Decisions, Grant, Job, Preemption, Reservation

Amounts = tuple[int, int, int]


@dataclass(slots=True)
class _Held:
    """A booking with what it still holds."""

    booking: Booking
    entries: tuple[Entry, ...]


class Plan:
    """Grants and reservations in the making, over a profile of their own: the standing is not changed."""

    def __init__(self, standing: Standing, now_ns: int) -> None:
        self.now_ns = now_ns
        self.standing = standing
        self.floor = standing.floor
        self._outlook = standing.outlook
        # Not a method: a plan that knows itself would lie about until garbage is collected.
        cost = partial(_cost, self._outlook, standing.queue, self.floor)
        self.profile = Profile(self.floor, now_ns, standing.closed, cost)
        self.granted: set[int] = set()
        self.reservations: list[Reservation] = []
        self.preemptions: tuple[Preemption, ...] = ()
        # Bookings whose time has come and that do not find what they need.
        self.unserved: list[Booking] = []
        self._grants: list[Grant] = []
        self._feasible: dict[int, list[Option]] = {}
        self._possible: dict[int, bool] = {}
        self._names: dict[int, list[str]] = {}
        # Free slots with names that are given out already, from the first on.
        self._slots_given = 0
        self._held: dict[str, _Held] = {}
        # What is planned for a job: entries, start and end.
        self._reserved: dict[int, tuple[tuple[Entry, ...], int, int]] = {}

    def decisions(self) -> Decisions:
        return Decisions(tuple(self._grants), tuple(self.reservations), self.preemptions, self._charges())

    def book(self) -> None:
        """Cut bookings out of the time to come."""
        standing, now_ns = self.standing, self.now_ns
        for booking in sorted(standing.bookings, key=lambda b: (b.start_ns, b.booking)):
            if booking.end_ns <= now_ns:
                continue
            start_ns = max(booking.start_ns, now_ns)
            entries = self._entries_of(booking, start_ns)
            if entries is not None:
                self.profile.take(entries, start_ns, booking.end_ns)
                self._held[booking.booking] = _Held(booking, entries)
            else:
                self.profile.take(self._what_there_is(booking, start_ns), start_ns, booking.end_ns)
                if booking.start_ns <= now_ns:
                    self.unserved.append(booking)

    def outlook(self) -> Mapping[int, list[Option]]:
        """Return the shapes, with their options, that could start as far as counts alone tell."""
        self._feasible = self._outlook.feasible(self.now_ns, self.profile.levels())
        return self._feasible

    def options(self, shape: int) -> tuple[Option, ...]:
        """Return all options of a shape."""
        return self._outlook.options[shape]

    def possible(self, shape: int) -> bool:
        """Whether the shape could start if only the running leases ended."""
        known = self._possible.get(shape)
        if known is None:
            known = self._possible[shape] = any(self.profile.possible(option) for option in self.options(shape))
        return known

    def start(
        self, job: Job, shape: int, allowed: Callable[[Amounts], bool] | None = None
    ) -> tuple[Amounts | None, bool]:
        """Start the job if that delays nothing planned.

        Returns what it then holds, or None, and whether the same is true of everybody's jobs of the shape.
        """
        everybody = True
        for option in self._feasible.get(shape, ()):
            if allowed is not None and not allowed(option.amounts):
                everybody = False
                continue
            entries = self.profile.start(option)
            if entries is not None:
                if option.growth:
                    option, entries = self._grown(option, entries, allowed)
                self._grant(job, option, entries)
                return option.amounts, True
        return None, everybody

    def reserve(self, job: Job, shape: int) -> None:
        """Plan the job's start, if it can ever start with what is in order; an earlier alternative is preferred."""
        best: tuple[int, tuple[Entry, ...], Option] | None = None
        for option in self.options(shape):
            planned = self.profile.earliest(option)
            if planned is not None and (best is None or planned[0] < best[0]):
                best = (*planned, option)
        if best is not None:
            start_ns, entries, option = best
            self.profile.take(entries, start_ns, start_ns + option.duration_ns)
            self._reserved[job.job] = (entries, start_ns, start_ns + option.duration_ns)
            self.reservations.append(Reservation(job.job, start_ns))

    def could_start(self, job: int, option: Option, freed: Sequence[tuple[Entry, int]]) -> bool:
        """Whether the option could start now if these entries, planned to end then (ns), were free at once."""
        own = self._reserved.get(job)
        if own is not None:
            self.profile.give_back(*own)
        for entry, end_ns in freed:
            self.profile.give_back((entry,), self.now_ns, max(end_ns, self.now_ns + 1))
        found = self.profile.start(option) is not None
        for entry, end_ns in freed:
            self.profile.take((entry,), self.now_ns, max(end_ns, self.now_ns + 1))
        if own is not None:
            self.profile.take(*own)
        return found

    def open_bookings(self) -> list[Booking]:
        """Return the bookings whose time it is, the earliest first."""
        return [held.booking for held in self._held.values() if held.booking.start_ns <= self.now_ns]

    def start_booked(self, booking: Booking, job: Job, allowed: Callable[[Amounts], bool]) -> Amounts | None:
        """Start a job with what its booking holds, if that suffices until the job's end; return what it holds then."""
        held = self._held[booking.booking]
        amount_of: dict[int, int] = {}
        for entry in held.entries:
            amount_of[entry.kind] = amount_of.get(entry.kind, 0) + entry.amount
        for option in self.floor.options(job.claim):
            if self.now_ns + option.duration_ns > booking.end_ns or not allowed(option.amounts):
                continue
            entries = option.within(lambda kind: amount_of.get(kind, 0), lambda part: part.kinds)
            if entries is None or not all(self._fit_for(entry.kind, entry.amount, option) for entry in entries):
                continue
            self.profile.give_back(held.entries, self.now_ns, booking.end_ns)
            held.entries = _without(held.entries, entries)
            self._grant(job, option, entries)
            self.profile.take(held.entries, self.now_ns, booking.end_ns)
            return option.amounts
        return None

    def _entries_of(self, booking: Booking, start_ns: int) -> tuple[Entry, ...] | None:
        """Return what the booking still needs, in kinds; None if that is not to be had."""
        for option in self.standing.booked_options(booking):
            # What is kept is kept whatever it is good for by then: a job of the booking may be short.
            left = replace(option.reduced(booking.held), duration_ns=0)
            entries = self.profile.at(left, start_ns, booking.end_ns)
            if entries is not None:
                return entries
        return None

    def _what_there_is(self, booking: Booking, start_ns: int) -> tuple[Entry, ...]:
        """Return as much of a booking as is to be had, so that the rest is not given away meanwhile."""
        option = replace(self.standing.booked_options(booking)[0].reduced(booking.held), duration_ns=0)
        found: list[Entry] = []
        for place, part in enumerate(option.parts):
            for kind in part.kinds:
                gone = sum(entry.amount for entry in found if entry.kind == kind)
                have = min(part.amount, self.profile.least(kind, start_ns, booking.end_ns) - gone)
                if have > 0:
                    found.append(Entry(place, kind, have))
                    part = Part(part.kinds, part.amount - have)
        return tuple(found)

    def _fit_for(self, kind: int, amount: int, option: Option) -> bool:
        names = self._free_names(kind) if kind > CHARGERS else []
        return kind <= CHARGERS or sum(self.profile.ready(kind, name, option) for name in names) >= amount

    def _grown(
        self, option: Option, entries: tuple[Entry, ...], allowed: Callable[[Amounts], bool] | None
    ) -> tuple[Option, tuple[Entry, ...]]:
        """Return the largest size of a moldable option that can start, by bisection: a larger one needs all of a
        smaller one."""
        low, high = 0, max(option.growth)
        best = (option, entries)
        while low < high:
            step = (low + high + 1) // 2
            larger = option.grown(step)
            found = self.profile.start(larger) if allowed is None or allowed(larger.amounts) else None
            if found is None:
                high = step - 1
            else:
                low, best = step, (larger, found)
        return best

    def _grant(self, job: Job, option: Option, entries: tuple[Entry, ...]) -> None:
        self.profile.take(entries, self.now_ns, self.now_ns + option.duration_ns)
        units: list[str] = []
        slots: list[str] = []
        cell: str | None = None
        unnamed = seats = chargers = 0
        specials, known_names = self.profile.specials, self._names
        # Units are named in the order of the requests.
        for part, kind, amount in entries if option.plain else sorted(entries):
            if part < option.unit_parts:
                if kind in specials or job.setup:
                    units += self._take_fit(kind, amount, option, job.setup)
                else:
                    names = known_names.get(kind) or self._free_names(kind)
                    units += names[:amount]
                    del names[:amount]
            elif kind == SLOTS:
                # There may be thousands of them, and they are given out from the front alone.
                first = self._slots_given
                named = [name for _, name in self.floor.free[SLOTS][first : first + amount]]
                self._slots_given += len(named)
                slots += named
                unnamed += amount - len(named)
            elif kind == SEATS:
                seats += amount
            elif kind == CHARGERS:
                chargers += amount
            elif self.floor.is_cell(kind):
                cell = self._free_names(kind).pop(0)
        self.granted.add(job.job)
        self._grants.append(
            Grant(job.job, job.vendor, tuple(units), tuple(slots), cell, unnamed, seats, chargers, option.alternative)
        )

    def _take_fit(self, kind: int, count: int, option: Option, setup: str) -> list[str]:
        """Give out units of a kind that can do it: those already set up for the job, then the least worn."""
        names = self._free_names(kind)
        units = self.floor.units
        fit = [name for name in names if self.profile.ready(kind, name, option)]
        if setup:
            fit.sort(key=lambda name: units[name].setup != setup)
        taken = fit[:count]
        for name in taken:
            names.remove(name)
            self.profile.forget_unit(kind, name)
        return taken

    def _free_names(self, kind: int) -> list[str]:
        names = self._names.get(kind)
        if names is None:
            names = self._names[kind] = [name for _, name in self.floor.free[kind]]
        return names

    def _charges(self) -> tuple[str, ...]:
        """Return the idle units that need a charge, the emptiest first, as far as chargers are free now."""
        hungry = [
            (unit.good_for_s, unit.unit)
            for kind, units in self.profile.specials.items()
            for unit in units.values()
            if unit.wants_charge and unit.ready_ns <= self.now_ns
        ]
        return tuple(name for _, name in sorted(hungry)[: max(0, self.profile.free[CHARGERS])])


def _cost(outlook: Outlook, queue: Queue, floor: Floor) -> Sequence[int]:
    """Return, by kind, how much waiting jobs long for one of it: what many wait for is taken last."""
    longing = outlook.longing(queue.shapes)
    return [wanted // max(1, have) for wanted, have in zip(longing, floor.capacity, strict=True)]


def _without(entries: Sequence[Entry], taken: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return the entries less what is taken, kind by kind."""
    gone: dict[int, int] = {}
    for entry in taken:
        gone[entry.kind] = gone.get(entry.kind, 0) + entry.amount
    left = []
    for entry in entries:
        less = min(entry.amount, gone.get(entry.kind, 0))
        gone[entry.kind] = gone.get(entry.kind, 0) - less
        if entry.amount > less:
            left.append(entry._replace(amount=entry.amount - less))
    return tuple(left)
