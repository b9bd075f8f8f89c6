"""What goes into a realtime loop and what comes out of it: the values that both of its forms share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from controller.block import Bits, Real
from controller.cohort import Cohort
from controller.loop import BINS, NS_PER_S, Clock, LoopReport
from controller.plants import Plant

FIELDS = ("q_ref", "dq_ref", "tau_ff", "kp", "kd")
"""What a target consists of, in the order of a message."""

COUNTS = (
    "tick", "now_ns", "start_ns", "ticks", "missed", "lateness_max_ns", "cost_max_ns", "commands",
    "stale_commands", "lease_stops", "plant_errors", "plant_error", "plant_error_port",
    "lost_samples",
)  # fmt: skip
"""What a loop counts, in the order of realtime_loop.h; two histograms follow at `HISTOGRAMS_AT`."""

HISTOGRAMS_AT = 16

FOREVER_NS = 2**63 - 1

JOINT_ARRAYS, UNIT_ARRAYS = ("q", "dq", "tau", "fault"), ("state", "unit_fault", "age")
SAMPLE_ARRAYS = ("q", "dq", "tau", "held_q_ref")
ANSWER_ARRAYS = ("answered", "answer", "answer_joint")


class Kind(IntEnum):
    """What a message asks for."""

    TARGET = 0
    ARM = 1
    RESET = 2


class Answer(IntEnum):
    """What became of an ARM or a RESET."""

    NOT_ASKED = 0
    DONE = 1
    WRONG_STATE = 2
    STOP_WAITS = 3
    SENSOR = 4
    TOO_FAST = 5


class Grant(IntEnum):
    """What a loop asks the operating system for."""

    SCHED_FIFO = 0
    LOCKED_MEMORY = 1
    AFFINITY = 2
    TIMER_SLACK = 3


@dataclass(frozen=True)
class Message:
    """A wish for one unit. `values` and `given` have shape (5, J): which fields of which joints, and what."""

    kind: Kind
    member: int
    unit: int
    number: int = 0
    valid_until_ns: int = FOREVER_NS
    values: npt.NDArray[np.float64] | None = None
    given: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Options:
    """What both forms of a loop are made of. `leases` says whether a unit needs one to be driven."""

    cohorts: Sequence[Cohort]
    plants: Sequence[Plant]
    period_s: float
    clock: Clock
    leases: bool
    queue: int
    samples: int
    sample_every: int
    priority: int
    cpu: int
    lock_memory: bool


@dataclass(frozen=True)
class Record:
    """The loop as of one tick, copied whole: `counts` with its histograms, and each cohort's arrays by name."""

    counts: npt.NDArray[np.int64]
    members: Sequence[Mapping[str, npt.NDArray[Any]]] = field(default_factory=tuple)

    def count(self, name: str) -> int:
        """Return one of `COUNTS`."""
        return int(self.counts[COUNTS.index(name)])

    def report(self) -> LoopReport:
        """Return what the loop kept until then."""
        histograms = self.counts[HISTOGRAMS_AT:].reshape(2, BINS)
        return LoopReport(
            ticks=self.count("ticks"),
            missed=self.count("missed"),
            lateness_max_s=self.count("lateness_max_ns") / NS_PER_S,
            cost_max_s=self.count("cost_max_ns") / NS_PER_S,
            lateness_count=histograms[0].copy(),
            cost_count=histograms[1].copy(),
        )


@dataclass(frozen=True)
class CohortSnapshot:
    """One cohort as of one tick; arrays of joints are (J, N), arrays of units (N,).

    Attributes:
        q, dq: Measured positions [rad] and speeds [rad/s].
        tau: Torques [N m].
        fault, unit_fault: Sticky `Fault` bits, per joint and per unit.
        state: `State` of each unit.
        age_ticks: Ticks since the last complete command, missed ones included.
    """

    q: Real
    dq: Real
    tau: Real
    fault: Bits
    unit_fault: Bits
    state: Bits
    age_ticks: Bits


@dataclass(frozen=True)
class Snapshot:
    """A loop as of one tick: everything in it is of that same tick.

    Attributes:
        tick: Number of the tick; -1 before the first.
        time_s: When it began, on the loop's clock.
        start_s: When the schedule began: tick k is due at `start_s` + k periods.
        report: What the loop has kept; the cost of the newest tick is not in it yet.
        commands: Messages taken over.
        stale_commands: Targets that were too old when their tick came, and were left.
        lease_stops: Stops because a lease had run out.
        plant_errors: Reads and writes that failed; `plant_error` says what the newest one was.
        lost_samples: Ticks that were to be sampled while `take_samples` was behind.
        cohorts: One for each cohort, in order.
    """

    tick: int
    time_s: float
    start_s: float
    report: LoopReport
    commands: int
    stale_commands: int
    lease_stops: int
    plant_errors: int
    plant_error: str
    lost_samples: int
    cohorts: tuple[CohortSnapshot, ...]


@dataclass(frozen=True)
class CohortSamples:
    """One cohort in S ticks, all of shape (S, J, N).

    Attributes:
        q, dq: Measured positions [rad] and speeds [rad/s].
        tau: Torques that followed [N m].
        q_ref: Target positions in force [rad].
    """

    q: npt.NDArray[np.floating[Any]]
    dq: npt.NDArray[np.floating[Any]]
    tau: npt.NDArray[np.floating[Any]]
    q_ref: npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Samples:
    """S ticks in order: their numbers, when they began [s] on the loop's clock, shape (S,), and each cohort."""

    tick: npt.NDArray[np.int64]
    time_s: npt.NDArray[np.float64]
    cohorts: tuple[CohortSamples, ...]


class Engine(Protocol):
    """One form of the loop. Except for `wish`, `lease` and `stop`, one thread at a time calls it."""

    @property
    def finished(self) -> bool:
        """Whether a started loop has ended."""
        ...

    @property
    def error(self) -> BaseException | None:
        """What ended the loop, if it was an error."""
        ...

    def run(self, ticks: int) -> None:
        """Run in the caller's thread until `ticks` more scheduled ticks have passed."""
        ...

    def start(self) -> None:
        """Run in a thread of its own until `stop`. Raises LoopError where there can be none."""
        ...

    def stop(self) -> None:
        """Have the loop end: a started one takes the torque off by itself."""
        ...

    def join(self) -> None:
        """Wait for the thread of a finished loop."""
        ...

    def end(self) -> None:
        """Take the torque off everything; for a loop that was not started."""
        ...

    def push(self, message: Message) -> bool:
        """Queue a message; False where the queue is full."""
        ...

    def wish(self, member: int, unit: int, bits: int) -> None:
        """Have the next tick stop the unit, by categories' bits."""
        ...

    def lease(self, member: int, unit: int, deadline_ns: int) -> None:
        """Let the unit be driven until then, on the loop's clock."""
        ...

    def newest(self) -> Record:
        """Return the newest record."""
        ...

    def take_samples(self) -> Samples:
        """Remove and return what was sampled since the last call."""
        ...

    def final(self) -> LoopReport:
        """Return the report, of a loop that does not run now."""
        ...

    def grants(self) -> Mapping[Grant, int]:
        """Return what the system answered: 0 or an errno; nothing for what was not asked."""
        ...
