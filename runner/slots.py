"""Opens the leased sim slots for a task."""

from palaestra.v1 import job_pb2
from runner.attempt import Attempt
from runner.errors import AttemptError
from sim import catalog
from sim.errors import SimError, UnknownRobot, UnknownTask
from sim.slot import SimSlot
from sim.tasks import find_task

ACTUATORS: dict[job_pb2.Actuators, catalog.Actuators] = {
    job_pb2.ACTUATORS_UNSPECIFIED: catalog.ACTUATORS[0],
    job_pb2.ACTUATORS_PHYSICAL: "physical",
    job_pb2.ACTUATORS_IDEAL: "ideal",
}


def find_robot(attempt: Attempt, robot_model: str) -> catalog.Entry:
    """Return the catalogue's entry. Raises AttemptError UNKNOWN_WORK."""
    try:
        return catalog.find(robot_model, attempt.settings.menagerie_root)
    except UnknownRobot as error:
        raise AttemptError("UNKNOWN_WORK", str(error), retryable=False) from error


def open_slot(
    attempt: Attempt,
    task: str,
    robot_model: str,
    *,
    worlds: int,
    seed: int,
    actuators: job_pb2.Actuators,
    first_world: int = 0,
) -> SimSlot:
    """Return worlds on as many threads as slots were leased. Raises AttemptError."""
    threads = max(1, len(attempt.assignment.lease.sim_slots))
    entry = find_robot(attempt, robot_model)
    try:
        return SimSlot(
            entry,
            find_task(task),
            worlds=worlds,
            threads=min(threads, worlds),
            seed=seed,
            first_world=first_world,
            actuators=ACTUATORS[actuators],
        )
    except UnknownTask as error:
        raise AttemptError("UNKNOWN_WORK", str(error), retryable=False) from error
    except SimError as error:
        raise AttemptError("BROKEN_MODEL", str(error), retryable=False) from error
