"""The health of a unit, as one table: what happened leads from one state to the next.

A unit that broke down is on probation (SUSPECT) until it has passed a check, which is a short run by the venue itself.
The idea of health states that gate scheduling, with checks every so many jobs or hours, is LAVA's
(https://docs.lavasoftware.org/lava/healthchecks.html); states and table are ours.
"""

from collections.abc import Sequence
from enum import Enum, IntEnum

from palaestra.errors import PalaestraError
from scheduler.care import Care

# The vendor that owns the venue's own jobs. No real vendor may be called so.
VENUE_VENDOR = "venue"
NS_PER_H = 3_600_000_000_000


class Health(IntEnum):
    """As in the contract, by number."""

    GOOD = 1
    UNKNOWN = 2
    BAD = 3
    SUSPECT = 4
    MAINTENANCE = 5
    RETIRED = 6


class Happening(Enum):
    """What may change a unit's health."""

    CAME_ONLINE = "come online in a new process"
    FAULT = "latch a fault"
    FAULTS_MANY = "latch too many faults"
    RESET = "be reset"
    JOB_ENDED_WELL = "end a job well"
    JOB_LOST = "lose a job"
    CHECK_PASSED = "pass its check"
    CHECK_FAILED = "fail its check"
    SET_MAINTENANCE = "be taken into maintenance"
    SET_RETIRED = "be retired"
    SET_BAD = "be declared bad"
    RETURNED = "be brought back on probation"
    VOUCHED = "be vouched for"


_ANY_TIME = {
    Happening.SET_MAINTENANCE: Health.MAINTENANCE,
    Happening.SET_RETIRED: Health.RETIRED,
    Happening.RETURNED: Health.SUSPECT,
}
# What the unit itself does makes no difference to a unit that people have taken aside or must look at first.
_ASIDE = (
    Happening.CAME_ONLINE,
    Happening.FAULT,
    Happening.FAULTS_MANY,
    Happening.RESET,
    Happening.JOB_ENDED_WELL,
    Happening.JOB_LOST,
    Happening.CHECK_PASSED,
    Happening.CHECK_FAILED,
)
_IN_SERVICE = {
    Happening.CAME_ONLINE: Health.UNKNOWN,
    Happening.FAULT: Health.SUSPECT,
    Happening.FAULTS_MANY: Health.BAD,
    Happening.JOB_LOST: Health.SUSPECT,
    Happening.JOB_ENDED_WELL: Health.GOOD,
    Happening.CHECK_PASSED: Health.GOOD,
    # A second look before it is called bad.
    Happening.CHECK_FAILED: Health.SUSPECT,
    Happening.SET_BAD: Health.BAD,
    Happening.VOUCHED: Health.GOOD,
    **_ANY_TIME,
}

HEALTH: dict[Health, dict[Happening, Health]] = {
    Health.GOOD: {**_IN_SERVICE, Happening.RESET: Health.GOOD},
    Health.UNKNOWN: {**_IN_SERVICE, Happening.RESET: Health.UNKNOWN},
    Health.SUSPECT: {
        **_IN_SERVICE,
        # Neither a reset nor a restart of its host nor the end of a job that ran on ends probation: a check does.
        Happening.CAME_ONLINE: Health.SUSPECT,
        Happening.RESET: Health.SUSPECT,
        Happening.JOB_ENDED_WELL: Health.SUSPECT,
        Happening.CHECK_FAILED: Health.BAD,
    },
    Health.BAD: {
        **dict.fromkeys(_ASIDE, Health.BAD),
        Happening.SET_BAD: Health.BAD,
        Happening.VOUCHED: Health.GOOD,
        **_ANY_TIME,
    },
    Health.MAINTENANCE: {
        **dict.fromkeys(_ASIDE, Health.MAINTENANCE),
        Happening.SET_BAD: Health.BAD,
        Happening.VOUCHED: Health.GOOD,
        **_ANY_TIME,
    },
    # Nobody vouches for what was given up: it comes back on probation or not at all.
    Health.RETIRED: {**dict.fromkeys(_ASIDE, Health.RETIRED), **_ANY_TIME},
}

# What an operator asks for by naming the state that it should lead to.
ORDERED = {
    Health.GOOD: Happening.VOUCHED,
    Health.BAD: Happening.SET_BAD,
    Health.SUSPECT: Happening.RETURNED,
    Health.MAINTENANCE: Happening.SET_MAINTENANCE,
    Health.RETIRED: Happening.SET_RETIRED,
}


def after(health: Health, happening: Happening) -> Health:
    """Return the health after something happened. Raises HEALTH_STEP_REFUSED where the table has no such step."""
    found = HEALTH[health].get(happening)
    if found is None:
        raise PalaestraError(
            "HEALTH_STEP_REFUSED", f"a unit that is {health.name.lower()} cannot {happening.value}; bring it back first"
        )
    return found


def serves(health: Health, care: Care) -> bool:
    """Whether vendors' jobs may get a unit of that health."""
    return health is Health.GOOD or (health is Health.UNKNOWN and not care.check_unknown)


def faults_are_many(fault_ns: Sequence[int], now_ns: int, care: Care) -> bool:
    """Whether so many of these faults lie within the window that ends now that the unit is BAD."""
    since_ns = now_ns - int(care.faults_window_h * NS_PER_H)
    return sum(since_ns < at_ns <= now_ns for at_ns in fault_ns) >= care.faults_max


def check_due(health: Health, jobs: int, worked_s: float, care: Care) -> bool:
    """Whether a unit should be checked, given the jobs and the hours of work since its last check."""
    if health is Health.SUSPECT or (health is Health.UNKNOWN and care.check_unknown):
        return True
    if health not in (Health.GOOD, Health.UNKNOWN):
        return False
    by_jobs = care.check_after_jobs > 0 and jobs >= care.check_after_jobs
    by_time = care.check_after_h > 0.0 and worked_s >= care.check_after_h * 3600.0
    return by_jobs or by_time
