"""What goes wrong in a run, and when: drawn from the seed before it begins, or at the moment itself."""

import errno
import math
import sqlite3
from dataclasses import dataclass
from random import Random
from typing import Any

from palaestra.failpoint import Failpoint

KINDS = ("failpoints", "kills", "freezes", "partitions", "weather", "disk", "breakdowns", "clocks", "drift")
POINT_KILLS = 5
# One life in so many is of long work and long cuts: leases run out while robots still move.
LASTING_SHARE = 0.25


def _sqlite(code: int, words: str) -> sqlite3.Error:
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode = code  # type: ignore[misc]
    return error


# What the disk may say at a place, instead of the process being killed there.
ERRORS: dict[str, tuple[Any, ...]] = {
    "scheduler.commit.before": (
        lambda: _sqlite(sqlite3.SQLITE_FULL, "database or disk is full"),
        lambda: _sqlite(sqlite3.SQLITE_IOERR_FSYNC, "disk I/O error"),
    ),
    "scheduler.cycle.before": (
        lambda: _sqlite(sqlite3.SQLITE_FULL, "database or disk is full"),
        lambda: _sqlite(sqlite3.SQLITE_IOERR_FSYNC, "disk I/O error"),
    ),
    "scheduler.command.applied": (lambda: _sqlite(sqlite3.SQLITE_FULL, "database or disk is full"),),
    "store.episode.written": (lambda: OSError(errno.ENOSPC, "no space"),),
    "controller.epochs.drafted": (lambda: OSError(errno.EIO, "input/output error"),),
}


def _when(chance: Random) -> int:
    """Draw at which passing something happens: some places are passed twice in a life, others two hundred times."""
    return int(math.exp(chance.uniform(0.0, math.log(chance.choice((3, 200))))))


@dataclass
class Plan:
    """The faults of one run.

    Attributes:
        kinds: Which kinds there are: a run with all of them at once would find less than runs with some.
        kills: At which passing of a failpoint, counted from now, its process is killed.
        errors: At which passing the disk fails, how often in a row, and with what; if it is full, so again.
        lasting: Whether work and cuts last long.
    """

    kinds: frozenset[str]
    kills: dict[str, int]
    errors: dict[str, list[Any]]
    lasting: bool
    _chance: Random

    @classmethod
    def of(cls, chance: Random) -> "Plan":
        lasting = chance.random() < LASTING_SHARE
        kinds = frozenset(kind for kind in KINDS if chance.random() < 0.5)
        names = sorted(Failpoint.known)
        chosen = chance.sample(names, POINT_KILLS)
        kills = {name: _when(chance) for name in chosen} if "failpoints" in kinds else {}
        errors: dict[str, list[Any]] = {}
        if "disk" in kinds:
            for name in chance.sample(sorted(ERRORS), 2):
                errors[name] = [_when(chance), chance.randint(1, 6), chance.choice(ERRORS[name])]
        return cls(kinds, kills, errors, lasting, chance)

    def due(self, name: str) -> Exception | bool:
        """Say at a passing of a failpoint whether to die (True), to fail (an error), or to go on (False)."""
        if name in self.kills:
            self.kills[name] -= 1
            if self.kills[name] == 0:
                del self.kills[name]
                return True
        if name in self.errors:
            error = self.errors[name]
            error[0] -= 1
            if error[0] <= 0:
                error[1] -= 1
                found: Exception = error[2]()
                if error[1] == 0:
                    del self.errors[name]
                    if getattr(found, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
                        self.errors[name] = [_when(self._chance), self._chance.randint(1, 6), error[2]]
                return found
        return False
