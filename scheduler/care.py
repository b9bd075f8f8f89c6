"""How a venue cares for its robots: the [bodies] table of a venue file."""

import json
from dataclasses import asdict, dataclass

from scheduler.sql import Connection


@dataclass(frozen=True, slots=True)
class Care:
    """Rules for batteries, rest and health checks; the defaults are a venue's.

    Attributes:
        reserve: State of charge, 0 to 1, below which no job may bring a battery.
        charge_below: State of charge, 0 to 1, below which an idle unit goes on a free charger.
        rest_fraction, rest_s: After work a unit rests for the larger of this share of the work's time and this time.
        check_unknown: A unit that has not been checked since its host started must pass a check before vendors get it.
        check_after_jobs, check_after_h: A unit is checked again after so many jobs, or hours of work, since its last
            check; 0 for never.
        check_duration_s: Longest time that a check may take.
        check_retry_s: Pause after a check that came to no end.
        faults_max, faults_window_h: So many faults within such a time make a unit BAD.
    """

    reserve: float = 0.2
    charge_below: float = 0.3
    rest_fraction: float = 0.0
    rest_s: float = 0.0
    check_unknown: bool = False
    check_after_jobs: int = 0
    check_after_h: float = 0.0
    check_duration_s: float = 120.0
    check_retry_s: float = 10.0
    faults_max: int = 3
    faults_window_h: float = 24.0

    def to_json(self) -> str:
        """Return the rules as they are kept beside what they were applied to."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Care":
        """Return the rules that `to_json` wrote."""
        return cls(**json.loads(text))


def care_of(db: Connection) -> Care:
    """Return the venue's rules as they were last brought in."""
    row = db.execute("SELECT value FROM meta WHERE key = 'care'").fetchone()
    return Care() if row is None else Care.from_json(bytes(row[0]).decode())
