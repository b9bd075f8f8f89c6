"""What deciding looks at and what it answers: plain values, no database, no clock."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True, slots=True)
class UnitRequest:
    """`count` units that match every set field; up to `count_max` of them if that is more, as many as can be had."""

    count: int = 1
    robot_class: str = ""
    maker: str = ""
    robot_model: str = ""
    unit: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    count_max: int = 0
    joints_min: int = 0
    payload_min_kg: float = 0.0
    end_effector: str = ""
    sensors: tuple[str, ...] = ()
    firmware: str = ""

    def describe(self) -> str:
        """Return the request in words, such as "2 x humanoid by Unitree"."""
        words = [self.robot_class or "unit"]
        if self.maker:
            words.append(f"by {self.maker}")
        if self.robot_model:
            words.append(f"of model {self.robot_model}")
        if self.unit:
            words.append(f"named {self.unit}")
        if self.joints_min:
            words.append(f"with at least {self.joints_min} joints")
        if self.payload_min_kg:
            words.append(f"for a payload of {self.payload_min_kg:g} kg")
        if self.end_effector:
            words.append(f"with end effector {self.end_effector}")
        words += [f"with sensor {sensor}" for sensor in self.sensors]
        if self.firmware:
            words.append(f"with firmware {self.firmware}")
        words += [f"with {key}={value}" for key, value in self.labels]
        count = f"{self.count} to {self.count_max}" if self.count_max > self.count else str(self.count)
        return f"{count} x {' '.join(words)}"


@dataclass(frozen=True, slots=True)
class CellRequest:
    """One cell that matches every set field."""

    cell: str = ""
    scenario: str = ""
    level: int = 0

    def describe(self) -> str:
        words = ["a cell"]
        if self.cell:
            words.append(f"named {self.cell}")
        if self.scenario:
            words.append(f"for {self.scenario}")
        if self.level:
            words.append(f"at level {self.level}")
        return " ".join(words)


class Placement(Enum):
    """Where the units of a claim may stand: anywhere, all in one zone, or each in a zone of its own.

    Grouped: those of each request in one zone, no two requests in the same. It stands for chunks of cores on nodes in
    replayed logs; vendors cannot ask for it.
    """

    ANYWHERE = "anywhere"
    TOGETHER = "together"
    APART = "apart"
    GROUPED = "grouped"


@dataclass(frozen=True, slots=True)
class Claim:
    """All that a job needs at one time, or, as a whole, one of the `alternatives`, in order of preference.

    Alternatives have no alternatives of their own. `seats` are operators who watch or teleoperate.
    """

    units: tuple[UnitRequest, ...] = ()
    sim_slots: int = 0
    cell: CellRequest | None = None
    duration_s: float = 60.0
    seats: int = 0
    chargers: int = 0
    placement: Placement = Placement.ANYWHERE
    alternatives: tuple["Claim", ...] = ()

    @property
    def charged(self) -> bool:
        """Whether each of its units hangs on a charger of the claim, however many it may grow to."""
        return 0 < sum(max(request.count, request.count_max) for request in self.units) <= self.chargers


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as deciding sees it. `free`: idle, healthy, connected, and its last lease is surely over.

    `end_ns`, here and below: the planned end of the lease that holds it, None where nobody knows.
    """

    unit: str
    robot_model: str
    robot_class: str = ""
    maker: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    free: bool = True
    # Fit for work when idle; a unit with a latched fault or without host is not.
    usable: bool = True
    end_ns: int | None = None
    joint_count: int = 0
    payload_kg: float = 0.0
    end_effector: str = ""
    sensors: tuple[str, ...] = ()
    firmware: str = ""
    zone: str = ""
    # It cools down until then, or is on the charger.
    ready_ns: int = 0
    # How long it could work if it began now: its charge, the time until its calibration expires.
    good_for_s: float = math.inf
    # The same right after it has been charged, and while it hangs on a charger.
    good_at_best_s: float = math.inf
    on_charger_s: float = math.inf
    # Its charge is so low that it goes on a charger when nobody needs it.
    wants_charge: bool = False
    # When `good_for_s` will no longer bind, None if somebody must see to it first.
    renewed_ns: int | None = None
    # Hours it has worked: among like units the least worn goes first.
    wear_h: float = 0.0
    # What its last job fitted, flashed and calibrated it for.
    setup: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    cell: str
    scenario: str = ""
    level: int = 0
    free: bool = True
    end_ns: int | None = None
    zone: str = ""


@dataclass(frozen=True, slots=True)
class SimSlot:
    slot: str
    free: bool = True
    end_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Unnamed:
    """Like things told by number alone (seats, chargers, a log's processors): (end_ns, count) of those in use."""

    count: int = 0
    busy: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Amounts:
    """So many units, sim slots and cells; infinite where nothing is said."""

    units: float = math.inf
    slots: float = math.inf
    cells: float = math.inf

    def holds(self, units: int, slots: int, cells: int) -> bool:
        """Whether that many are within these amounts."""
        return units <= self.units and slots <= self.slots and cells <= self.cells


NOTHING = Amounts(0, 0, 0)
EVERYTHING = Amounts()


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor, one of its projects ("vendor/project", with the vendor as `parent`), or a group of vendors.

    What it holds now counts without its children. Only those that have no children own jobs.
    """

    vendor: str
    weight: float = 1.0
    held_units: int = 0
    held_slots: int = 0
    held_cells: int = 0
    # Its dominant share in the past, averaged with a half-life: the same unit as its share now. With its children's.
    used_share: float = 0.0
    parent: str = ""
    # What it gets back by preemption if others have borrowed it ...
    guarantee: Amounts = NOTHING
    # ... and what it may hold at most, borrowed things included.
    limit: Amounts = Amounts()
    # Starts that it has left just now (a rate limit), and leases that it may hold at a time.
    starts_left: float = math.inf
    leases_max: float = math.inf
    leases: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """A waiting job. `job` grows with the time of submission."""

    job: int
    vendor: str
    claim: Claim
    priority: int = 0
    create_ns: int = 0
    # Orders the jobs of a vendor within a priority; those without one come last.
    deadline_ns: int | None = None
    # The booking that it starts in, and nowhere else.
    booking: str = ""
    # What it fits, flashes and calibrates its units for.
    setup: str = ""


@dataclass(frozen=True, slots=True)
class Closure:
    """A time in which nothing may run there: the units and cells of these names, or of these zones, or the venue."""

    start_ns: int
    end_ns: int
    units: frozenset[str] = frozenset()
    cells: frozenset[str] = frozenset()
    zones: frozenset[str] = frozenset()
    venue: bool = False
    # What runs there is ended too, for safety; otherwise it may run out.
    stop_running: bool = False

    def covers_unit(self, unit: Unit) -> bool:
        """Whether the unit may not run meanwhile."""
        return self.venue or unit.unit in self.units or (unit.zone != "" and unit.zone in self.zones)

    def covers_cell(self, cell: Cell) -> bool:
        """Whether nothing may run in the cell meanwhile."""
        return self.venue or cell.cell in self.cells or (cell.zone != "" and cell.zone in self.zones)


@dataclass(frozen=True, slots=True)
class Booking:
    """A claim that a vendor holds in advance, from `start_ns` to `end_ns`; its jobs start in it.

    What running jobs of the booking hold already is counted in `held`, by the place of the part in the claim: unit
    requests in order, then slots, cell, seats, chargers.
    """

    booking: str
    vendor: str
    claim: Claim
    start_ns: int
    end_ns: int
    held: tuple[int, ...] = ()


# Not frozen, as `Grant` below.
@dataclass(slots=True)
class Lease:
    """What runs, as far as preemption must know. `safe_ns`: since when nothing would be lost (start or checkpoint)."""

    lease: int
    job: int
    vendor: str
    start_ns: int
    end_ns: int
    units: tuple[str, ...] = ()
    slots: int = 0
    cell: str | None = None
    seats: int = 0
    chargers: int = 0
    priority: int = 0
    safe_ns: int = 0
    booking: str = ""
    # It is asked to end already.
    ending: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """One moment of a venue. Sequences may come in any order; deciding sorts them."""

    now_ns: int
    units: tuple[Unit, ...] = ()
    slots: tuple[SimSlot, ...] = ()
    cells: tuple[Cell, ...] = ()
    vendors: tuple[Vendor, ...] = ()
    jobs: tuple[Job, ...] = ()
    unnamed: Unnamed = Unnamed()
    # Somebody who can carry out an attempt is connected.
    runner_ready: bool = True
    seats: Unnamed = Unnamed()
    chargers: Unnamed = Unnamed()
    # Zones whose cells must not run at once.
    exclusive_zones: frozenset[str] = frozenset()
    closures: tuple[Closure, ...] = ()
    bookings: tuple[Booking, ...] = ()
    leases: tuple[Lease, ...] = ()
    # When a lease was last preempted.
    preempted_ns: int = 0


# Nothing changes a grant or a lease once it is made. They are not frozen because a frozen object takes five times as
# long to make, and a decision makes thousands of them.
@dataclass(slots=True)
class Grant:
    """Everything that a job asked for, by name; slots without names by number."""

    job: int
    vendor: str
    units: tuple[str, ...]
    slots: tuple[str, ...]
    cell: str | None
    unnamed: int = 0
    seats: int = 0
    chargers: int = 0
    # Which of the claim's alternatives it is: 0 is the claim itself.
    alternative: int = 0

    def chosen(self, claim: Claim) -> Claim:
        """Return the claim itself, or the alternative of it that is granted."""
        return claim.alternatives[self.alternative - 1] if self.alternative else claim


@dataclass(frozen=True, slots=True)
class Reservation:
    """A blocked job and its planned start: later only if a lease overruns, a unit fails or a job comes first."""

    job: int
    start_ns: int


class Cause(Enum):
    """What a preemption is for."""

    GUARANTEE = "guarantee"
    BOOKING = "booking"
    SAFETY = "safety"


@dataclass(frozen=True, slots=True)
class Preemption:
    """A lease to end after its grace, for the sake of `beneficiary`: a job, or 0 for a closure."""

    lease: int
    cause: Cause
    beneficiary: int = 0


@dataclass(frozen=True, slots=True)
class Decisions:
    grants: tuple[Grant, ...] = ()
    # In the order in which they were planned: nothing that starts now delays any of them.
    reservations: tuple[Reservation, ...] = ()
    preemptions: tuple[Preemption, ...] = ()
    # Idle units to put on a charger now.
    charges: tuple[str, ...] = ()


class Order(Enum):
    """Whose job is considered first: the vendor's with the smallest share, or simply the one submitted first."""

    FAIR = "fair"
    SUBMIT = "submit"


class Backfill(Enum):
    """Which jobs may start before a blocked one that came first."""

    NONE = "none"
    # Those that delay no reservation, in the order of the queue ...
    QUEUE = "queue"
    # ... or the shortest first (within a vendor).
    SHORTEST = "shortest"


ALL = sys.maxsize


@dataclass(frozen=True, slots=True)
class Config:
    """How to decide; the defaults are a venue's.

    A blocked job holds a reservation once it has waited `hold_after_s`, up to `reservations` of them: 1 is EASY
    backfilling (Lifka 1995), ALL is conservative backfilling (Mu'alem and Feitelson 2001). Whatever their number, a
    blocked job holds one if it would end more than `flow_max_s` after its submission even if it started now:
    from then on nobody passes it at its cost.
    """

    hold_after_s: float = 30.0
    reservations: int = 1
    backfill: Backfill = Backfill.SHORTEST
    flow_max_s: float = 80 * 3600.0
    order: Order = Order.FAIR
    # A claim for at least `large_part` of the venue's units, slots or cells, once it has waited so long, holds the
    # first reservation whatever its vendor holds: in turns, small jobs would take away what comes free for it.
    large_after_s: float = 2 * 3600.0
    large_part: float = 0.125
    # Preemption: whether at all, after which wait of a guaranteed job, which leases are too young for it, and the least
    # time between two rounds of it.
    preempt: bool = True
    preempt_after_s: float = 60.0
    runtime_min_s: float = 120.0
    preempt_period_s: float = 30.0
    # Jobs beyond `flow_max_s` that hold a reservation in one decision: the bound of its cost in an overloaded venue.
    due_max: int = 256
