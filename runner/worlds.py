"""Records worlds of a sim slot as episodes, one file each."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import mujoco
import numpy as np
import numpy.typing as npt

from runner.attempt import Attempt
from sim.slot import POLICY_PERIOD_S, SimSlot
from store import EpisodeRecorder, Outcome, Status


class WorldRecorder:
    """Takes one row of every recorded world per policy step."""

    def __init__(self, attempt: Attempt, slot: SimSlot, recorders: list[tuple[int, int, EpisodeRecorder]]) -> None:
        self._attempt = attempt
        self._slot = slot
        self._recorders = recorders
        self._steps = 0
        self._ended = np.zeros(slot.worlds, dtype=np.bool_)

    def append(self) -> None:
        """Take the present state of the worlds that are still running."""
        self._steps += 1
        if not self._recorders:
            return
        q, dq, tau, q_ref = self._slot.joint_state()
        pose = self._slot.base_pose()
        time_s = self._steps * POLICY_PERIOD_S
        for world, _, recorder in self._recorders:
            if not self._ended[world]:
                recorder.append(time_s, q[world], dq[world], tau[world], q_ref[world], pose[world])
        self._ended = self._slot.terminated | self._slot.truncated

    def seal(self, success: npt.NDArray[np.bool_], returns: npt.NDArray[np.float64]) -> None:
        """Seal and catalogue all recorded worlds."""
        for world, index, recorder in self._recorders:
            cause = "" if success[world] else self._slot.failures.get(world, "the task's criterion was not met")
            status = Status.SUCCESS if success[world] else Status.FAILURE
            outcome = Outcome(status, cause, float(returns[world]))
            self._attempt.catalogue(index, recorder.header, outcome, recorder.seal(outcome))


@contextmanager
def record_worlds(
    attempt: Attempt, slot: SimSlot, worlds: Iterable[int], *, task: str, seed: int
) -> Iterator[WorldRecorder]:
    """Record some worlds of a slot, by their place in it; what is not sealed inside is forgotten."""
    with ExitStack() as stack:
        recorders = []
        for world in worlds:
            index = attempt.next_index()
            recorder = attempt.recorder(
                index,
                robot_model=slot.entry.id,
                maker=slot.entry.maker,
                joint_names=slot.joint_names,
                task=task,
                seed=seed,
                control_rate_hz=1.0 / slot.model.opt.timestep,
                sample_rate_hz=1.0 / POLICY_PERIOD_S,
                clock_source="simulation",
                provenance={
                    "engine": "mujoco",
                    "engine_version": mujoco.__version__,
                    "model_sha256": slot.model_sha256,
                    "actuators": slot.actuators,
                    "drives_sha256": slot.core.drives.sha256,
                    "controller_backend": slot.backend,
                },
                base_pose=True,
                world=int(slot.world_numbers[world]),
                scenario=slot.task.scenario,
            )
            recorders.append((world, index, stack.enter_context(recorder)))
        yield WorldRecorder(attempt, slot, recorders)
