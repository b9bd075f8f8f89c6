"""Opens the leased sim slots for a task."""

from runner.attempt import Attempt
from runner.errors import AttemptError
from sim import catalog
from sim.errors import SimError, UnknownRobot, UnknownTask
from sim.slot import SimSlot
from sim.tasks import find_task


def find_robot(attempt: Attempt, robot_model: str) -> catalog.Entry:
    """Return the catalogue's entry. Raises AttemptError UNKNOWN_WORK."""
    try:
        return catalog.find(robot_model, attempt.settings.menagerie_root)
    except UnknownRobot as error:
        raise AttemptError("UNKNOWN_WORK", str(error), retryable=False) from error


def open_slot(
    attempt: Attempt, task: str, robot_model: str, *, worlds: int, seed: int, first_world: int = 0
) -> SimSlot:
    """Return worlds on as many threads as slots were leased. Raises AttemptError."""
    threads = max(1, len(attempt.assignment.lease.sim_slots))
    entry = find_robot(attempt, robot_model)
    try:
        return SimSlot(
            entry, find_task(task), worlds=worlds, threads=min(threads, worlds), seed=seed, first_world=first_world
        )
    except UnknownTask as error:
        raise AttemptError("UNKNOWN_WORK", str(error), retryable=False) from error
    except SimError as error:
        raise AttemptError("BROKEN_MODEL", str(error), retryable=False) from error
