"""From what the processes of a proof wrote down to what it shows."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.leases.linearizability import Kind, Operation, Outcome, check
from tests.leases.records import read


@dataclass
class Attempt:
    """What a worker saw of one lease; None for what it did not see."""

    name: str
    job: str
    start_s: float
    epochs: dict[str, int]
    acquired_s: float | None = None
    release_s: float | None = None
    released_s: float | None = None
    # The hosts have said that no command is still to come.
    closed: bool = False
    well: bool = False
    # Since when it drives on until somebody stops it.
    held_s: float | None = None


@dataclass
class Evidence:
    """All that was written down.

    Attributes:
        attempts: By name.
        submitted_s: When each job was asked for, by its name.
        commands: What reached a joint: (time, unit, epoch), by time.
        torque: When a unit's torque came on or went off: (time, unit, on), by time.
        over: When a host's loop knew that a unit's epochs up to one are over: (time, unit, epoch), by time.
        late: (sent, refused) of those who went on with an epoch that they had given back.
        stalls: When a host's loop went on after it had not had a processor, and for how long it had not.
    """

    attempts: dict[str, Attempt] = field(default_factory=dict)
    submitted_s: dict[str, float] = field(default_factory=dict)
    commands: list[tuple[float, str, int]] = field(default_factory=list)
    torque: list[tuple[float, str, bool]] = field(default_factory=list)
    over: list[tuple[float, str, int]] = field(default_factory=list)
    late: list[tuple[int, int]] = field(default_factory=list)
    stalls: list[tuple[float, float]] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path, pattern: str = "*.records") -> "Evidence":
        """Read the records of a folder, or some of them."""
        made, asked_s = cls(), dict[str, float]()
        for record in read(folder, pattern):
            made._take(record, asked_s)
        return made

    @property
    def acquired(self) -> list[Attempt]:
        """The leases that a worker knew to have."""
        return [attempt for attempt in self.attempts.values() if attempt.acquired_s is not None]

    def held(self, at_s: float) -> list[Attempt]:
        """Return the attempts whose units were driven at a moment by somebody who would not have stopped by himself."""
        return [
            attempt
            for attempt in self.attempts.values()
            if attempt.held_s is not None and attempt.held_s <= at_s and at_s <= (attempt.release_s or at_s)
        ]

    def history(self) -> list[Operation]:
        """Return all that parties saw of leases on units: acquired, used, given back."""
        holder_of: dict[tuple[str, int], str] = {}
        operations = []
        for attempt in self.attempts.values():
            for unit, epoch in attempt.epochs.items():
                holder_of[unit, epoch] = attempt.name
                operations += self._seen(attempt, unit, epoch)
        # Of the commands under one epoch the first and the last say all: those between are between.
        used: dict[tuple[str, int], list[float]] = defaultdict(list)
        for at_s, unit, epoch in self.commands:
            used[unit, epoch].append(at_s)
        for (unit, epoch), times in used.items():
            holder = holder_of.get((unit, epoch), "nobody who was granted it")
            for at_s in {times[0], times[-1]}:
                operations.append(Operation(unit, holder, Kind.USE, at_s, at_s, epoch=epoch))
        return operations

    def _seen(self, attempt: Attempt, unit: str, epoch: int) -> Iterator[Operation]:
        call_s = self._wanted_s(attempt)
        got_s = attempt.acquired_s
        known = Outcome.DONE if got_s is not None else Outcome.UNKNOWN
        yield Operation(unit, attempt.name, Kind.ACQUIRE, call_s, got_s or call_s, known, epoch)
        release_s, done_s = attempt.release_s, attempt.released_s
        if attempt.closed and release_s is not None and done_s is not None:
            yield Operation(unit, attempt.name, Kind.RELEASE, release_s, done_s, epoch=epoch)
        else:
            # Nobody was told: the scheduler may have ended it at any time.
            yield Operation(unit, attempt.name, Kind.RELEASE, call_s, call_s, Outcome.UNKNOWN, epoch)

    def _wanted_s(self, attempt: Attempt) -> float:
        """Return since when the job was without a lease, as far as anybody outside the scheduler knows."""
        number = int(attempt.name.rpartition("/")[2])
        before = (self.attempts.get(f"{attempt.job}/attempts/{earlier}") for earlier in range(number - 1, 0, -1))
        return next((found.start_s for found in before if found is not None), self.submitted_s.get(attempt.job, 0.0))

    def contradictions(self) -> list[str]:
        """Return whatever shows that a unit had two masters, or obeyed one that was over; empty if nothing does."""
        found = [str(violation) for violation in check(self.history())]
        owners: dict[tuple[str, int], str] = {}
        for attempt in self.attempts.values():
            for key in attempt.epochs.items():
                owner = owners.setdefault(key, attempt.name)
                found += [f"{key[0]}: epoch {key[1]} is that of {owner} and of {attempt.name}"] * (
                    owner != attempt.name
                )
        by_unit: dict[str, list[tuple[float, int]]] = defaultdict(list)
        over: dict[str, int] = {}
        for at_s, unit, epoch, ends in sorted(
            [(*command, False) for command in self.commands] + [(*ended, True) for ended in self.over]
        ):
            if ends:
                over[unit] = epoch
                continue
            if epoch <= over.get(unit, 0):
                found.append(f"{unit}: a command of epoch {epoch} at {at_s:.4f} s, though the host knew it to be over")
            by_unit[unit].append((at_s, epoch))
            if (unit, epoch) not in owners:
                found.append(f"{unit}: a command of epoch {epoch} at {at_s:.4f} s, which nobody was granted")
        for unit, commands in by_unit.items():
            for (_, before), (at_s, after) in pairwise(commands):
                if after < before:
                    found.append(f"{unit}: a command of epoch {after} at {at_s:.4f} s, after one of epoch {before}")
        return found

    def driven(self, since_s: float, until_s: float) -> list[tuple[float, str, int]]:
        """Return the commands that reached a joint in a time."""
        return [command for command in self.commands if since_s <= command[0] < until_s]

    def torque_off_s(self, since_s: float) -> dict[str, float]:
        """Return of each unit that had torque at a moment when it went off [s], infinite if it never did."""
        powered: dict[str, float] = {}
        off: dict[str, float] = {}
        for at_s, unit, on in self.torque:
            if at_s <= since_s:
                powered |= {unit: float("inf")} if on else {}
                if not on:
                    powered.pop(unit, None)
            elif not on and unit in powered:
                off.setdefault(unit, at_s)
        return powered | off

    def _take(self, record: dict[str, Any], asked_s: dict[str, float]) -> None:
        what, at_s = record["what"], record["at_s"]
        attempt = self.attempts.get(record.get("attempt", ""))
        if what == "submit":
            asked_s[record["request"]] = at_s
        elif what == "submitted":
            self.submitted_s[record["job"]] = asked_s[record["request"]]
        elif what == "start" and attempt is None:
            self.attempts[record["attempt"]] = Attempt(record["attempt"], record["job"], at_s, record["epochs"])
        elif what == "acquired" and attempt is not None and attempt.acquired_s is None:
            attempt.acquired_s = at_s
        elif what == "holding" and attempt is not None:
            attempt.held_s = at_s
        elif what == "release" and attempt is not None:
            attempt.release_s, attempt.closed = at_s, record["closed"]
        elif what == "released" and attempt is not None:
            attempt.released_s, attempt.well = at_s, record["well"]
        elif what == "command":
            self.commands.append((at_s, record["unit"], record["epoch"]))
        elif what == "torque":
            self.torque.append((at_s, record["unit"], record["on"]))
        elif what == "over":
            self.over.append((at_s, record["unit"], record["epoch"]))
        elif what == "stall":
            self.stalls.append((at_s, record["duration_s"]))
        elif what == "insisted":
            self.late.append((record["sent"], record["refused"]))
