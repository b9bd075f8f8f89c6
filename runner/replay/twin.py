"""A unit's episode, run again in its twin: the same targets through the same core, drives and physics.

The residual is what the twin does not explain: noise, delay, another robot than described. The twin is put where the
unit was every `resync_s`, because two robots that were pushed apart once stay apart; what is compared is what each did
from there.
"""

from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from runner.replay.errors import NotComparable
from sim import catalog
from sim.body import Array, Body, body_of
from sim.catalog import Actuators
from sim.errors import SimError
from sim.slot import UNSTABLE
from sim.worlds import Worlds
from store import ACTION, BASE_POSE, STATE, VELOCITY, Episode

RESYNC_S = 0.5


@dataclass(frozen=True)
class Residual:
    """How far a unit and its twin were apart.

    Attributes:
        joint_names: Names of the joints.
        rms_rad, max_rad: Of each joint, (n,).
        base_rms_m: Of the base's position; None where none was recorded.
        windows_rad: Of each stretch from one resynchronisation to the next, and of each joint, the root mean square,
            (stretches, n).
        rows: Rows compared.
        same_drives: Whether the twin's drives have the hash that the unit told.
    """

    joint_names: tuple[str, ...]
    rms_rad: Array
    max_rad: Array
    base_rms_m: float | None
    windows_rad: Array
    rows: int
    same_drives: bool

    @property
    def overall_rad(self) -> float:
        """Root mean square over all joints."""
        return float(np.sqrt(np.mean(self.rms_rad**2)))


def residual(episode: Episode, *, resync_s: float = RESYNC_S, menagerie_root: Path | None = None) -> Residual:
    """Run a unit's episode again in its twin. Raises NotComparable."""
    header = episode.header
    actuators: Actuators = "ideal" if header.actuators == "ideal" else "physical"
    try:
        entry = catalog.find(header.robot_model, menagerie_root)
        model, robot = entry.model(actuators=actuators), entry.robot_spec()
        body = body_of(model, robot)
        # A twin that blows up must be seen; MuJoCo would quietly put it back to its start.
        model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
        physics = entry.actuator_physics() if actuators == "physical" else None
        worlds = Worlds(model, body, 1, 1, physics=physics)
    except SimError as error:
        raise NotComparable(f"there is no twin of it here: {error}") from error
    if tuple(robot.joint_names) != header.joint_names:
        raise NotComparable(f"its joints are {header.joint_names}, the twin's {tuple(robot.joint_names)}")
    q, dq, target, pose = (episode.signals.get(s) for s in (STATE, VELOCITY, ACTION, BASE_POSE))
    assert q is not None and dq is not None and target is not None
    if body.floating and pose is None:
        raise NotComparable("it moves freely, and where its base was is not recorded")
    errors: list[Array] = []
    moved, since_s, starts = [], np.inf, []
    for row in range(len(q) - 1):
        step_s = float(episode.time_s[row + 1] - episode.time_s[row])
        if since_s >= resync_s:
            _place(worlds, body, model, episode, row)
            starts.append(len(errors))
            since_s = 0.0
        worlds.drives.cohort.q_ref[:, 0] = target[row + 1]
        worlds.drives.cohort.submit()
        lost = worlds.advance(None, max(1, round(step_s / model.opt.timestep)))
        since_s += step_s
        if lost or worlds.batch.warning[:, UNSTABLE, 1].any() or not np.isfinite(worlds.qpos).all():
            raise NotComparable(f"the twin blew up at {episode.time_s[row]:.3f} s")
        errors.append(worlds.qpos[0, body.q] - q[row + 1])
        if pose is not None and body.floating:
            moved.append(np.linalg.norm(worlds.qpos[0, :3] - pose[row + 1, :3]))
    if not errors:
        raise NotComparable("one row alone says nothing of a motion")
    distance = np.array(errors)
    return Residual(
        header.joint_names,
        np.sqrt(np.mean(distance**2, axis=0)),
        np.abs(distance).max(axis=0),
        float(np.sqrt(np.mean(np.square(moved)))) if moved else None,
        np.sqrt(np.stack([np.mean(part**2, axis=0) for part in np.split(distance, starts[1:])])),
        len(errors),
        header.drives_sha256 == worlds.drives.sha256,
    )


def _place(worlds: Worlds, body: Body, model: mujoco.MjModel, episode: Episode, row: int) -> None:
    """Put the twin where the unit was, at its speeds."""
    qpos, qvel = worlds.qpos[0], worlds.qvel[0]
    qvel[:] = 0.0
    qpos[body.q] = episode.signals[STATE][row]
    qvel[body.dq] = episode.signals[VELOCITY][row]
    if body.floating:
        pose = episode.signals[BASE_POSE].astype(np.float64)
        qpos[:7] = pose[row]
        if row:
            before, after, velocity = qpos.copy(), qpos.copy(), np.zeros(model.nv)
            before[:7] = pose[row - 1]
            step_s = float(episode.time_s[row] - episode.time_s[row - 1])
            mujoco.mj_differentiatePos(model, velocity, step_s, before, after)
            qvel[:6] = velocity[:6]
    worlds.renew(np.array([0]))
    worlds.drives.cohort.q_ref[:, 0] = episode.signals[ACTION][row]
