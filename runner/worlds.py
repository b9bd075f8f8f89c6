"""Records worlds of a sim slot as episodes, one file each, with what it takes to run them again to the last bit."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import numpy as np
import numpy.typing as npt

from runner.attempt import Attempt
from runner.film import Film
from sim.slot_process import LeasedSlot, ScenarioWork, TaskWork
from store import EpisodeRecorder, Outcome, Status
from store.episode import SENSOR_PREFIX


class WorldRecorder:
    """Takes one row of every recorded world per policy step."""

    def __init__(
        self,
        attempt: Attempt,
        slot: LeasedSlot,
        recorders: list[tuple[int, EpisodeRecorder]],
        film: Film | None,
    ) -> None:
        self._film = film
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
        slot = self._slot
        q, dq, tau, q_ref = slot.joint_state()
        pose, readings, taken, digests = slot.base_pose(), slot.readings(), slot.taken, slot.digests()
        time_s = self._steps * slot.facts.period_s
        packets = self._film.shoot(slot, self._steps - 1, ~self._ended) if self._film else {}
        for world, recorder in self._recorders:
            if not self._ended[world]:
                recorder.append(
                    time_s,
                    q[world],
                    dq[world],
                    tau[world],
                    q_ref[world],
                    pose[world],
                    sensors={f"{SENSOR_PREFIX}{name}": rows[world] for name, rows in readings.items()},
                    replay=(taken[world], int(digests[world])),
                    packets=packets.get(world),
                )
        self._ended = slot.terminated | slot.truncated

    def seal(self, success: npt.NDArray[np.bool_], returns: npt.NDArray[np.float64]) -> None:
        """Seal and catalogue all recorded worlds."""
        for world, recorder in self._recorders:
            cause = "" if success[world] else self._slot.failures.get(world, "the task's criterion was not met")
            status = Status.SUCCESS if success[world] else Status.FAILURE
            outcome = Outcome(status, cause, float(returns[world]))
            self._attempt.catalogue(recorder.header, outcome, recorder.seal(outcome, hold=True))


@contextmanager
def record_worlds(
    attempt: Attempt, slot: LeasedSlot, worlds: Iterable[int], *, task: str, seed: int, film: Film | None = None
) -> Iterator[WorldRecorder]:
    """Record some worlds of a slot, by their place in it; what is not sealed inside is forgotten.

    Args:
        attempt: Whose episodes they are.
        slot: It stands at the start of its worlds' episodes.
        worlds: Their places.
        task: What is done, in words.
        seed: The job's.
        film: Cameras on all worlds of the slot.
    """
    facts = slot.facts
    places = list(worlds)
    drawn = slot.drawn(places) if places else {}
    with ExitStack() as stack:
        recorders = []
        for row, world in enumerate(places):
            index = attempt.next_index()
            recorder = attempt.recorder(
                index,
                robot_model=facts.robot_model,
                maker=facts.maker,
                joint_names=slot.joint_names,
                task=task,
                seed=seed,
                control_rate_hz=1.0 / facts.substep_s,
                sample_rate_hz=1.0 / facts.period_s,
                clock_source="simulation",
                provenance={**facts.provenance, "model_sha256": facts.model_sha256},
                base_pose=True,
                world=int(slot.world_numbers[world]),
                scenario=facts.scenario,
                level=slot.spec.work.level if isinstance(slot.spec.work, ScenarioWork) else None,
                sensor_widths={f"{SENSOR_PREFIX}{name}": width for name, width in facts.readings.items()},
                sensor_units={f"{SENSOR_PREFIX}{name}": unit for name, unit in facts.reading_units.items()},
                replay=replay_of(slot, world, {name: rows[row].tolist() for name, rows in drawn.items()}),
                cameras=film.streams if film else None,
            )
            recorders.append((world, stack.enter_context(recorder)))
        slot.record(signals=bool(recorders), digests=bool(recorders), positions=film is not None)
        if film:
            film.begin()
        yield WorldRecorder(attempt, slot, recorders, film)


def replay_of(slot: LeasedSlot, world: int, drawn: Mapping[str, list[float]]) -> dict[str, str]:
    """Return what `runner.replay` needs beside an episode's header to run it again.

    drawn: What the episode has drawn, by term of the randomisation.
    """
    work = slot.spec.work
    always = {
        "episode": str(int(slot.episodes[world])),
        "seed": str(slot.seed),
        "version": slot.facts.provenance["version"],
    }
    if isinstance(work, ScenarioWork):
        return {
            **always,
            "scenario": work.scenario,
            "level": str(work.level),
            "script": work.script,
            "drawn": json.dumps(drawn),
        }
    assert isinstance(work, TaskWork)
    return {
        **always,
        "task": work.task,
        "motion": work.motion,
        "horizon_s": repr(work.horizon_s),
        "sensors": json.dumps(list(work.sensors)),
        "randomisation": json.dumps(list(work.randomisation)),
        "drawn": json.dumps(drawn),
    }
