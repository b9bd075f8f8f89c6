"""A world's episode, run again from what its file holds, and compared bit for bit."""

import json
import platform
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from runner.replay.errors import NotComparable
from sim.catalog import Actuators
from sim.errors import SimError
from sim.slot import VERSION, SimSlot
from sim.slot_process.program import open_scenario, open_task
from sim.slot_process.scenario_slot import ScenarioSlot
from sim.slot_process.work import ScenarioWork, SlotSpec, TaskWork
from store import STATE, Episode


@dataclass(frozen=True)
class Verdict:
    """What came out of running a world's episode again.

    Attributes:
        rows: Steps compared.
        first_difference: Index of the first row whose state was another; None if none was.
        residual_rad: Largest difference of a joint angle from the recorded one, which is kept in 32 bits [rad].
    """

    rows: int
    first_difference: int | None
    residual_rad: float

    @property
    def same(self) -> bool:
        """Whether every state was the same to the last bit."""
        return self.first_difference is None


def reasons_against(episode: Episode) -> list[str]:
    """Return what makes a replay to the last bit impossible here; empty where nothing does."""
    header = episode.header
    if header.replay is None or episode.replay is None:
        return ["the episode holds no actions and hashes of states"]
    here = {
        "engine version": (f"MuJoCo {header.engine_version}", f"MuJoCo {mujoco.__version__}"),
        "architecture": (header.architecture, platform.machine()),
        "version of this software": (header.replay.get("version"), VERSION),
    }
    return [f"another {name}: {was} recorded it, {now} is here" for name, (was, now) in here.items() if was != now]


def verify(episode: Episode, *, menagerie_root: Path | None = None) -> Verdict:
    """Run a world's episode again and compare each state with the recorded hash.

    Raises:
        NotComparable: the episode is a unit's, lacks what is needed, or something it depends on differs here; each
            reason is named.
    """
    against = reasons_against(episode)
    if against:
        raise NotComparable("; ".join(against))
    slot = _slot(episode, menagerie_root)
    header, replay = episode.header, episode.replay
    assert header.replay is not None and replay is not None
    hashes: dict[str, tuple[str | None, str]] = {"model": (header.model_sha256, slot.model_sha256)}
    if isinstance(slot, SimSlot):
        hashes["drives"] = (header.drives_sha256, slot.core.drives.sha256)
    against = [
        f"the hash of its {name} was {was} and is {now} here" for name, (was, now) in hashes.items() if was != now
    ]
    if against:
        raise NotComparable("; ".join(against))
    if replay.actions.shape[1] != slot.action_size:
        raise NotComparable(f"{replay.actions.shape[1]} actions were recorded, {slot.action_size} are taken here")
    try:
        numbers = {"worlds": [int(header.world or 0)], "episodes": [int(header.replay["episode"])]}
        if isinstance(slot, SimSlot):
            # As it was drawn then, whatever would be drawn now.
            drawn = {str(name): [row] for name, row in json.loads(header.replay.get("drawn", "{}")).items()}
            slot.reset(**numbers, drawn=drawn)
        else:
            slot.reset(**numbers)
    except (ValueError, AttributeError, TypeError, SimError) as error:
        raise NotComparable(f"what it drew cannot be had here: {error}") from error
    first, residual_rad = None, 0.0
    for row, (action, digest) in enumerate(zip(replay.actions, replay.digests, strict=True)):
        try:
            slot.step(action[None])
        except SimError as error:
            raise NotComparable(f"step {row} cannot be taken here: {error}") from error
        if first is None and slot.digests()[0] != digest:
            first = row
        q = slot.joint_state()[0][0]
        # Not Python's max, which passes over a number that is none.
        residual_rad = float(np.maximum(residual_rad, np.abs(q - episode.signals[STATE][row]).max()))
    return Verdict(len(replay.actions), first, residual_rad)


def _slot(episode: Episode, menagerie_root: Path | None) -> SimSlot | ScenarioSlot:
    header = episode.header
    table = header.replay or {}
    root = str(menagerie_root) if menagerie_root else ""
    actuators: Actuators = "ideal" if header.actuators == "ideal" else "physical"
    try:
        if "scenario" in table:
            trial = ScenarioWork(header.robot_model, table["scenario"], int(table["level"]), table["script"], root)
            return open_scenario(SlotSpec(trial, worlds=1, seed=int(table["seed"])), trial)
        work = TaskWork(
            header.robot_model,
            task=table["task"],
            motion=table["motion"],
            horizon_s=float(table["horizon_s"]),
            actuators=actuators,
            sensors=tuple(json.loads(table["sensors"])),
            randomisation=tuple(json.loads(table.get("randomisation", "[]"))),
            menagerie_root=root,
        )
        return open_task(SlotSpec(work, worlds=1, seed=int(table["seed"])), work)
    except (KeyError, ValueError, TypeError, SimError) as error:
        raise NotComparable(f"its worlds cannot be built here: {error}") from error
