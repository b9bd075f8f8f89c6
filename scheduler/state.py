"""What deciding looks at and what it answers: plain values, no database, no clock."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True, slots=True)
class UnitRequest:
    """`count` units that match every set field."""

    count: int = 1
    robot_class: str = ""
    maker: str = ""
    robot_model: str = ""
    unit: str = ""
    labels: tuple[tuple[str, str], ...] = ()

    def describe(self) -> str:
        """Return the request in words, such as "2 x humanoid by Unitree"."""
        words = [self.robot_class or "unit"]
        if self.maker:
            words.append(f"by {self.maker}")
        if self.robot_model:
            words.append(f"of model {self.robot_model}")
        if self.unit:
            words.append(f"named {self.unit}")
        words += [f"with {key}={value}" for key, value in self.labels]
        return f"{self.count} x {' '.join(words)}"


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


@dataclass(frozen=True, slots=True)
class Claim:
    """All that a job needs at one time."""

    units: tuple[UnitRequest, ...] = ()
    sim_slots: int = 0
    cell: CellRequest | None = None
    duration_s: float = 60.0


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


@dataclass(frozen=True, slots=True)
class Cell:
    cell: str
    scenario: str = ""
    level: int = 0
    free: bool = True
    end_ns: int | None = None


@dataclass(frozen=True, slots=True)
class SimSlot:
    slot: str
    free: bool = True
    end_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Unnamed:
    """Sim slots told by number alone, such as the processors of a replayed log: (end_ns, count) of those in use."""

    count: int = 0
    busy: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor's weight and what it holds now and has used before, each as a dominant share of the venue."""

    vendor: str
    weight: float = 1.0
    held_units: int = 0
    held_slots: int = 0
    held_cells: int = 0
    used_share_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Job:
    """A waiting job. `job` grows with the time of submission."""

    job: int
    vendor: str
    claim: Claim
    priority: int = 0
    create_ns: int = 0


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


@dataclass(frozen=True, slots=True)
class Grant:
    """Everything that a job asked for, by name; slots without names by number."""

    job: int
    vendor: str
    units: tuple[str, ...]
    slots: tuple[str, ...]
    cell: str | None
    unnamed: int = 0


@dataclass(frozen=True, slots=True)
class Reservation:
    """A blocked job and its planned start: later only if a lease overruns, a unit fails or a job comes first."""

    job: int
    start_ns: int


@dataclass(frozen=True, slots=True)
class Decisions:
    grants: tuple[Grant, ...] = ()
    # In the order in which they were planned: nothing that starts now delays any of them.
    reservations: tuple[Reservation, ...] = ()


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
