"""Opens the leased sim slots for a task: worlds in a process of their own, which ends with the attempt."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from palaestra.v1 import job_pb2
from runner.attempt import Attempt
from runner.errors import AttemptError
from runner.scene import Scene, Trials
from sim import catalog
from sim.errors import (
    BadRandomisation,
    BadSensor,
    Misfit,
    SimError,
    SlotDied,
    UnknownMotion,
    UnknownRobot,
    UnknownScenario,
    UnknownTask,
)
from sim.slot_process import Bounds, LeasedSlot, ScenarioWork, SlotSpec, TaskWork

ACTUATORS: dict[job_pb2.Actuators, catalog.Actuators] = {
    job_pb2.ACTUATORS_UNSPECIFIED: catalog.ACTUATORS[0],
    job_pb2.ACTUATORS_PHYSICAL: "physical",
    job_pb2.ACTUATORS_IDEAL: "ideal",
}
TTL_S = 10.0
"""A slot that nobody extends ends by itself so long after the last time: whatever keeps its worker from ending it."""
EXTEND_S = 1.0
STOP_GRACE_S = 0.5
"""An attempt that was told to stop and still waits for its slot loses it after this."""
NICENESS = 10
"""Worlds yield the processor to what drives robots, as the rest of their attempt does."""


def find_robot(attempt: Attempt, robot_model: str) -> catalog.Entry:
    """Return the catalogue's entry. Raises AttemptError UNKNOWN_WORK."""
    try:
        return catalog.find(robot_model, attempt.settings.menagerie_root)
    except UnknownRobot as error:
        raise AttemptError("UNKNOWN_WORK", str(error), retryable=False) from error


@contextmanager
def open_slot(
    attempt: Attempt,
    robot_model: str,
    *,
    worlds: int,
    seed: int,
    scene: Scene,
    task: str = "",
    motion: str = "",
    trials: Trials | None = None,
    horizon_s: float = 0.0,
    first_world: int = 0,
) -> Iterator[LeasedSlot]:
    """Have worlds at a task, along a motion, or of a scenario, on as many threads as slots were leased.

    Raises:
        AttemptError: there is no such work, what is asked of the worlds cannot be had, the model is broken, or the
            slot's process died.
        Stopped: it died because the attempt was told to stop.
    """
    threads = min(max(1, len(attempt.assignment.lease.sim_slots)), worlds)
    root = attempt.settings.menagerie_root
    work: TaskWork | ScenarioWork
    if trials is not None:
        work = ScenarioWork(
            robot_model, trials.scenario, trials.level, trials.script, menagerie_root=str(root) if root else ""
        )
    else:
        work = TaskWork(
            robot_model,
            task=task,
            motion=motion,
            horizon_s=horizon_s,
            actuators=ACTUATORS[scene.actuators],
            sensors=scene.sensors,
            randomisation=scene.randomisation,
            menagerie_root=str(root) if root else "",
        )
    spec = SlotSpec(work, worlds=worlds, threads=threads, seed=seed, first_world=first_world, pace=scene.pace)
    over = threading.Event()
    try:
        with LeasedSlot(spec, bounds=Bounds(niceness=NICENESS), ttl_s=TTL_S) as slot:
            keeper = threading.Thread(target=_keep, args=(attempt, slot, over), name="slot-keeper", daemon=True)
            keeper.start()
            try:
                yield slot
            finally:
                over.set()
                keeper.join()
    except (BadRandomisation, BadSensor) as error:
        raise AttemptError("INVALID_FIELD", str(error), retryable=False) from error
    except (UnknownTask, UnknownRobot, UnknownMotion, UnknownScenario, Misfit) as error:
        raise AttemptError("UNKNOWN_WORK", str(error), retryable=False) from error
    except SlotDied as error:
        attempt.check()
        raise AttemptError("WORK_FAILED", str(error), retryable=True) from error
    except SimError as error:
        raise AttemptError("BROKEN_MODEL", str(error), retryable=False) from error


def _keep(attempt: Attempt, slot: LeasedSlot, over: threading.Event) -> None:
    """Extend the slot's life while the attempt goes on; end it where the attempt was told to stop and does not."""
    while not over.wait(EXTEND_S if not attempt.stopped else STOP_GRACE_S):
        if attempt.stopped:
            if not over.wait(STOP_GRACE_S):
                slot.kill()
            return
        slot.extend(TTL_S)
