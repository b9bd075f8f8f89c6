"""The venue as deciding finds it: a state with everything indexed, kept up as things change.

A `Standing` holds the same as a `State`, and two that hold the same decide the same, whatever happened before. What a
change costs does not depend on how many jobs wait.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from scheduler.account import Accounts
from scheduler.floor import Floor
from scheduler.option import CHARGERS, SEATS, SLOTS, Option
from scheduler.outlook import Outlook
from scheduler.queue import Queue, names_in
from scheduler.state import Booking, Cell, Closure, Grant, Job, Lease, SimSlot, State, Unit, Unnamed

T = TypeVar("T")


class Standing:
    """Queue, floor, accounts and leases of a venue."""

    def __init__(self, state: State) -> None:
        """Index a state. Raises ValueError if an account stands under an unknown one."""
        self.queue = Queue()
        # The oldest first: then most come last where they are sorted in.
        for job in sorted(state.jobs, key=lambda job: (job.create_ns, job.job)):
            self.queue.add(job)
        self._named: frozenset[str] = frozenset()
        self._floor = Floor((), (), (), Unnamed(), Unnamed(), Unnamed(), frozenset(), self._named)
        self._outlook = Outlook(0)
        # By booking, of which the claim never changes.
        self._booked_options: dict[str, tuple[Option, ...]] = {}
        self._closed: dict[int, list[tuple[int, int]]] | None = None
        self.look(state)

    @classmethod
    def of(cls, state: State) -> "Standing":
        """Return the standing of a state. Raises ValueError if an account stands under an unknown one."""
        return cls(state)

    def look(self, state: State) -> None:
        """Take everything but the waiting jobs over from a state."""
        self.closures = state.closures
        self.bookings = state.bookings
        self.runner_ready = state.runner_ready
        self.preempted_ns = state.preempted_ns
        self.leases = {lease.lease: lease for lease in state.leases}
        self.accounts = Accounts.of(state.vendors)
        self._exclusive_zones = state.exclusive_zones
        # Units and cells that closures and bookings name.
        self._named_for_long = _named_in(state.closures, state.bookings)
        self._named = self._named_now()
        self._lay(state.units, state.cells, state.slots, state.unnamed, state.seats, state.chargers)

    @property
    def floor(self) -> Floor:
        """The kinds as the claims and closures of now need them."""
        self._settle()
        return self._floor

    @property
    def outlook(self) -> Outlook:
        """The shapes of the queue in the kinds of the floor."""
        self._settle()
        return self._outlook

    @property
    def closed(self) -> dict[int, list[tuple[int, int]]]:
        """When each kind is closed: (start_ns, end_ns) in order. Kinds that never are do not occur."""
        self._settle()
        if self._closed is None:
            self._closed = {}
            for closure in sorted(self.closures, key=lambda closure: (closure.start_ns, closure.end_ns)):
                for kind in self._floor.closed_kinds(closure):
                    self._closed.setdefault(kind, []).append((closure.start_ns, closure.end_ns))
        return self._closed

    def booked_options(self, booking: Booking) -> tuple[Option, ...]:
        """Return the ways to meet a booking's claim."""
        known = self._booked_options.get(booking.booking)
        if known is None:
            known = self._booked_options[booking.booking] = self.floor.options(booking.claim)
        return known

    def submit(self, job: Job) -> None:
        """Add a waiting job."""
        shape = self.queue.add(job)
        if shape is not None:
            self._outlook.add(shape.index, self._floor.options(shape.claim))

    def withdraw(self, job: int) -> None:
        """Take a waiting job out."""
        shape = self.queue.remove(job)
        if shape is not None and shape.index in self._outlook.options:
            self._outlook.remove(shape.index)

    def start(self, grant: Grant, lease: Lease) -> None:
        """Let a waiting job hold what it was granted."""
        self.withdraw(grant.job)
        floor, end_ns = self._floor, lease.end_ns
        floor.hold_units(lease.units, end_ns)
        for slot in grant.slots:
            floor.hold(SLOTS, slot, end_ns)
        if lease.cell is not None:
            floor.hold_cell(lease.cell, end_ns)
        if grant.unnamed:
            floor.hold_pool(SLOTS, end_ns, grant.unnamed)
        if lease.seats:
            floor.hold_pool(SEATS, end_ns, lease.seats)
        if lease.chargers:
            floor.hold_pool(CHARGERS, end_ns, lease.chargers)
        self.leases[lease.lease] = lease
        self.accounts.hold(lease.vendor, (len(lease.units), lease.slots, int(lease.cell is not None)))

    def end(self, lease_id: int, slots: Iterable[str] = (), unnamed: int = 0) -> None:
        """Take back all that a lease holds; slots by name or number, as they were granted."""
        lease = self.leases.pop(lease_id)
        floor = self._floor
        for unit in lease.units:
            floor.release_unit(unit)
        for slot in slots:
            floor.release(SLOTS, slot)
        if lease.cell is not None:
            floor.release_cell(lease.cell)
        for pool, count in ((SLOTS, unnamed), (SEATS, lease.seats), (CHARGERS, lease.chargers)):
            if count:
                floor.release_pool(pool, lease.end_ns, count)
        amounts = (len(lease.units), lease.slots, int(lease.cell is not None))
        self.accounts.hold(lease.vendor, tuple(-n for n in amounts), -1)  # type: ignore[arg-type]

    def put(
        self, units: Mapping[str, Unit | None], cells: Mapping[str, Cell | None], slots: Mapping[str, SimSlot | None],
    ) -> None:  # fmt: skip
        """Take over how some units, cells and slots are now, None for what is gone."""
        floor, named, size = self._floor, self._named, self._floor.size
        new_units = {name: unit for name, unit in units.items() if not floor.put_unit(name, unit, named)}
        new_cells = {name: cell for name, cell in cells.items() if not floor.put_cell(name, cell, named)}
        for name, slot in slots.items():
            floor.put_slot(name, slot)
        if new_units or new_cells:
            old_units, old_cells, old_slots, *pools = floor.contents()
            of_units: dict[str, Unit | None] = {unit.unit: unit for unit in old_units}
            of_cells: dict[str, Cell | None] = {cell.cell: cell for cell in old_cells}
            self._lay(_there(of_units | new_units), _there(of_cells | new_cells), old_slots, *pools)
        if self._floor.size != size:
            self.accounts.forget_ranks()

    def put_pools(self, seats: Unnamed, chargers: Unnamed) -> None:
        """Take over how many seats and chargers there are, and which are in use."""
        self._floor.put_pool(SEATS, seats)
        self._floor.put_pool(CHARGERS, chargers)

    def plan_for(self, closures: tuple[Closure, ...], bookings: tuple[Booking, ...]) -> None:
        """Take over what is closed and booked."""
        if closures != self.closures:
            self._closed = None
        if closures != self.closures or bookings != self.bookings:
            self.closures, self.bookings = closures, bookings
            self._named_for_long = _named_in(closures, bookings)
            known = {booking.booking for booking in bookings}
            self._booked_options = {name: found for name, found in self._booked_options.items() if name in known}

    def _lay(
        self, units: Iterable[Unit], cells: Iterable[Cell], slots: Iterable[SimSlot],
        unnamed: Unnamed, seats: Unnamed, chargers: Unnamed,
    ) -> None:  # fmt: skip
        """Sort everything into kinds, and the shapes again only if the kinds have changed."""
        floor = Floor(units, cells, slots, unnamed, seats, chargers, self._exclusive_zones, self._named)
        same = self._outlook.options and floor.signatures == self._floor.signatures
        self._floor = floor
        self._closed = None
        if not same:
            self._booked_options.clear()
            self._outlook = Outlook(len(floor.capacity))
            for index, shape in self.queue.shapes.items():
                self._outlook.add(index, floor.options(shape.claim))

    def _settle(self) -> None:
        """Give what is named now, and was not before, a kind of its own, or take it away again."""
        named = self._named_now()
        if named != self._named:
            self._named = named
            self._lay(*self._floor.contents())

    def _named_now(self) -> frozenset[str]:
        return self._named_for_long | self.queue.named.keys() if self.queue.named else self._named_for_long


def _named_in(closures: Iterable[Closure], bookings: Iterable[Booking]) -> frozenset[str]:
    closed = {name for closure in closures for name in (*closure.units, *closure.cells)}
    return frozenset(closed.union(*(names_in(booking.claim) for booking in bookings)))


def _there(things: Mapping[str, T | None]) -> list[T]:
    return [thing for thing in things.values() if thing is not None]
