"""What a slot process runs: the worlds of its work behind one interface."""

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sim import catalog
from sim.body import Array
from sim.motion import find_motion
from sim.randomisation import Randomisation
from sim.scenarios.scenario import find_shipped
from sim.sensors import from_tables
from sim.slot import POLICY_PERIOD_S, SimSlot, Snapshot, Transition
from sim.slot_process.model_slot import ModelSlot
from sim.slot_process.scenario_slot import ScenarioSlot
from sim.slot_process.work import ModelWork, ScenarioWork, SlotFacts, SlotSpec, TaskWork
from sim.tasks import find_task
from sim.tasks.follow import Follow


class Program(Protocol):
    """What `SimSlot` and `ModelSlot` have in common; see the former."""

    worlds: int
    obs_size: int
    action_size: int
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    success: npt.NDArray[np.bool_]
    taken: Array
    world_numbers: npt.NDArray[np.int64]
    episodes: npt.NDArray[np.int64]
    failures: dict[int, str]

    def reset(
        self,
        mask: npt.ArrayLike | None = None,
        *,
        worlds: npt.ArrayLike | None = None,
        episodes: npt.ArrayLike | None = None,
    ) -> Array: ...
    def step(self, actions: npt.ArrayLike, *, contain: bool = False) -> Transition: ...
    def snapshot(self) -> Snapshot: ...
    def restore(self, snapshot: Snapshot) -> Array: ...
    def digests(self) -> npt.NDArray[np.uint64]: ...
    def positions(self) -> Array: ...


def program_of(spec: SlotSpec) -> tuple[Program, SlotFacts]:
    """Build the worlds. Raises SimError."""
    if isinstance(spec.work, ModelWork):
        return _model(spec, spec.work)
    if isinstance(spec.work, ScenarioWork):
        return _scenario(spec, spec.work)
    return _task(spec, spec.work)


def open_scenario(spec: SlotSpec, work: ScenarioWork) -> ScenarioSlot:
    """Return the worlds of a scenario in this process. Raises SimError."""
    return ScenarioSlot(
        find_shipped(work.scenario),
        catalog.find(work.robot, Path(work.menagerie_root) if work.menagerie_root else None),
        level=work.level,
        script=work.script,
        worlds=spec.worlds,
        seed=spec.seed,
        first_world=spec.first_world,
    )


def open_task(spec: SlotSpec, work: TaskWork) -> SimSlot:
    """Return the worlds of a task in this process. Raises SimError."""
    entry = catalog.find(work.robot, Path(work.menagerie_root) if work.menagerie_root else None)
    return SimSlot(
        entry,
        Follow(find_motion(work.motion), work.horizon_s) if work.motion else find_task(work.task),
        worlds=spec.worlds,
        threads=min(spec.threads, spec.worlds),
        seed=spec.seed,
        first_world=spec.first_world,
        actuators=work.actuators,
        randomisation=Randomisation.from_table(work.randomisation),
        sensors=from_tables(work.sensors),
    )


def _task(spec: SlotSpec, work: TaskWork) -> tuple[Program, SlotFacts]:
    slot = open_task(spec, work)
    return slot, facts_of(slot)


def facts_of(slot: SimSlot) -> SlotFacts:
    """Return what a slot of a task says of itself."""
    header = slot.snapshot_header()
    return SlotFacts(
        robot_model=slot.entry.id,
        maker=slot.entry.maker,
        title=slot.task.title,
        scenario=slot.task.scenario,
        obs_names=slot.observation_names,
        action_size=slot.action_size,
        joint_names=tuple(slot.joint_names),
        horizon_steps=slot.horizon_steps,
        period_s=POLICY_PERIOD_S,
        substep_s=float(slot.model.opt.timestep),
        model_sha256=slot.model_sha256,
        provenance={**header, "controller_backend": slot.backend},
        readings={reading.name: reading.width for reading in slot.sensors.readings},
        reading_units={reading.name: reading.unit for reading in slot.sensors.readings},
        positions=int(slot.model.nq),
    )


def _scenario(spec: SlotSpec, work: ScenarioWork) -> tuple[Program, SlotFacts]:
    slot = open_scenario(spec, work)
    facts = SlotFacts(
        robot_model=slot.entry.id,
        maker=slot.entry.maker,
        title=slot.scenario.title,
        scenario=slot.scenario.path,
        obs_names=slot.observation_names,
        action_size=slot.action_size,
        joint_names=tuple(slot.joint_names),
        horizon_steps=slot.horizon_steps,
        period_s=POLICY_PERIOD_S,
        substep_s=slot.substep_s,
        model_sha256=slot.model_sha256,
        provenance={**slot.header(), "controller_backend": "sim.scenarios.drive"},
    )
    return slot, facts


def _model(spec: SlotSpec, work: ModelWork) -> tuple[Program, SlotFacts]:
    threads = min(spec.threads, spec.worlds)
    slot = ModelSlot(work, worlds=spec.worlds, threads=threads, seed=spec.seed, first_world=spec.first_world)
    facts = SlotFacts(
        robot_model=work.file,
        maker="",
        title=work.file,
        scenario="",
        obs_names=slot.observation_names,
        action_size=slot.action_size,
        joint_names=(),
        horizon_steps=0,
        period_s=slot.substeps * float(slot.model.opt.timestep),
        substep_s=float(slot.model.opt.timestep),
        model_sha256=slot.model_sha256,
        provenance=slot.header(),
        positions=int(slot.model.nq),
    )
    return slot, facts
