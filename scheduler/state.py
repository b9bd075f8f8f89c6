"""What deciding looks at and what it answers: plain values, no database, no clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field


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
    """A unit as deciding sees it. `free`: idle, healthy, connected, and its last lease is surely over."""

    unit: str
    robot_model: str
    robot_class: str = ""
    maker: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    free: bool = True
    # Fit for work when idle; a unit with a latched fault or without host is not.
    usable: bool = True


@dataclass(frozen=True, slots=True)
class Cell:
    cell: str
    scenario: str = ""
    level: int = 0
    free: bool = True


@dataclass(frozen=True, slots=True)
class SimSlot:
    slot: str
    free: bool = True


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
    # Somebody who can carry out an attempt is connected.
    runner_ready: bool = True


@dataclass(frozen=True, slots=True)
class Grant:
    """Everything that a job asked for, by name."""

    job: int
    vendor: str
    units: tuple[str, ...]
    slots: tuple[str, ...]
    cell: str | None


@dataclass(frozen=True, slots=True)
class Decisions:
    grants: tuple[Grant, ...] = ()
    # The job that free resources are being held back for, if one has waited too long.
    held_for: int | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """How to decide. After `hold_after_s` of waiting, what fits the longest waiting job is kept for it."""

    hold_after_s: float = 30.0
