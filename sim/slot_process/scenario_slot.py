"""Worlds of a scenario: each is a trial of its own, in a scene that its seed draws, with or without a script.

What is common with `sim.slot.SimSlot` has the same names and meaning there. Scenes differ in their fixtures, so each
world has a model of its own; the robot is driven as in all trials of scenarios (`sim.scenarios.drive`).
"""

import math
import platform
from collections.abc import Sequence

import mujoco
import numpy as np
import numpy.typing as npt

from sim.body import Array
from sim.catalog import Entry
from sim.chance import job_seed, philox_uniform, stream
from sim.errors import BadAction, BadSlot, BadSnapshot
from sim.model import fingerprint
from sim.scenarios.base import Base
from sim.scenarios.draws import ranges_at
from sim.scenarios.drive import CONTROL_PERIOD_S
from sim.scenarios.hand import Hand
from sim.scenarios.names import LEVELS
from sim.scenarios.scenario import Scenario
from sim.scenarios.trial import FREE, POLICIES, Trial
from sim.slot import POLICY_PERIOD_S, UNSTABLE, VERSION, Snapshot, Transition, digests_of

_PERIODS = round(POLICY_PERIOD_S / CONTROL_PERIOD_S)
_STREAM = stream("scenario/trial")


def trial_seed(seed: int, world: int, episode: int) -> int:
    """Return the trial's seed, 52 bits: it belongs to the job's seed, the world and the episode alone."""
    (share,) = philox_uniform(seed, world, episode, 1, stream=_STREAM)
    return int(share * 2**52)


class ScenarioSlot:
    """Worlds of one scenario at one level.

    Attributes:
        scenario, entry, level, script: What it is of; `script` is one of `POLICIES`, or empty where actions drive.
        worlds, seed, obs_size, action_size, observation_names, joint_names, horizon_steps: As of `SimSlot`.
        model_sha256: Of the scene at level 1, which nothing differs in.
        terminated, truncated, success, taken, world_numbers, episodes: As of `SimSlot`.
        failures: Why, by world, for those that ended without success.
    """

    def __init__(
        self, scenario: Scenario, entry: Entry, *, level: int, script: str, worlds: int, seed: int, first_world: int = 0
    ) -> None:
        """Place every world at the start of its first trial.

        Raises:
            BadSlot: no such level or script.
            Misfit, BrokenScenario, MissingModel, BrokenModel: as `sim.scenarios.trial.Trial`.
            BadJobSeed: as `SimSlot`.
        """
        if level not in LEVELS:
            raise BadSlot(f"level {level}: from {min(LEVELS)} to {max(LEVELS)}")
        if script not in (*POLICIES, FREE):
            raise BadSlot(f"script {script!r}: {', '.join(POLICIES)}, or none")
        self.scenario, self.entry, self.level, self.script = scenario, entry, level, script
        self.worlds, self.seed = worlds, job_seed(seed)
        fixed = Trial(scenario, entry, level=1, seed=0)
        self.model_sha256 = fingerprint(fixed.scene.model)
        self.substep_s = float(fixed.scene.model.opt.timestep)
        self.joint_names = entry.robot_spec().joint_names
        self.action_names = fixed.drive.action_names
        self.observation_names = tuple(_observed(fixed))
        self.obs_size, self.action_size = len(self.observation_names), len(self.action_names)
        # One more than fits: trials count their periods by adding them up.
        self.horizon_steps = math.ceil(scenario.limits.time_max_s / POLICY_PERIOD_S) + 1
        self.world_numbers = np.arange(first_world, first_world + worlds, dtype=np.int64)
        self.episodes = np.full(worlds, -1, dtype=np.int64)
        self.steps = np.zeros(worlds, dtype=np.int64)
        self.terminated, self.truncated, self.success = np.zeros((3, worlds), dtype=np.bool_)
        self.taken = np.zeros((worlds, self.action_size))
        self.failures: dict[int, str] = {}
        self._trials: list[Trial] = [fixed] * worlds
        self.reset()

    def reset(
        self,
        mask: npt.ArrayLike | None = None,
        *,
        worlds: npt.ArrayLike | None = None,
        episodes: npt.ArrayLike | None = None,
    ) -> Array:
        """As `SimSlot.reset`: each world that is reset gets a scene of its own, built for its numbers."""
        chosen = np.ones(self.worlds, np.bool_) if mask is None else np.asarray(mask, dtype=np.bool_)
        if chosen.shape != (self.worlds,):
            raise ValueError(f"mask has shape {chosen.shape}, not ({self.worlds},)")
        ids = np.flatnonzero(chosen)
        before = list(zip(self.world_numbers.tolist(), self.episodes.tolist(), strict=True))
        if worlds is not None:
            self.world_numbers[ids] = worlds
        self.episodes[ids] = self.episodes[ids] + 1 if episodes is None else np.asarray(episodes)
        for i in ids.tolist():
            numbers = (int(self.world_numbers[i]), int(self.episodes[i]))
            # A trial that stands at its start is the one that would be built.
            if before[i] != numbers or self.steps[i]:
                seed = trial_seed(self.seed, *numbers)
                trial = Trial(self.scenario, self.entry, level=self.level, seed=seed)
                trial.scene.model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
                trial.begin(self.script)
                self._trials[i] = trial
            self.failures.pop(i, None)
        self.steps[ids] = 0
        for flags in (self.terminated, self.truncated, self.success):
            flags[ids] = False
        return self.observe()

    def step(self, actions: npt.ArrayLike, *, contain: bool = False) -> Transition:
        """As `SimSlot.step`: actions in [-1, 1] drive, or are added to what the script does. Raises BadAction."""
        action = np.asarray(actions, dtype=np.float64)
        if action.shape != (self.worlds, self.action_size):
            raise BadAction(f"actions have shape {action.shape}, not ({self.worlds}, {self.action_size})")
        bad = np.asarray(~np.isfinite(action).all(axis=1))
        if bad.any() and not contain:
            raise BadAction(f"actions of worlds {np.flatnonzero(bad)[:5].tolist()} are not finite")
        self.taken = np.clip(np.where(bad[:, None], 0.0, action), -1.0, 1.0)
        reward = np.zeros(self.worlds)
        for i in np.flatnonzero(~(self.terminated | self.truncated)).tolist():
            if bad[i]:
                self._end(i, "its action is not finite")
                continue
            self._advance(i)
            self.steps[i] += 1
            reward[i] = float(self.success[i])
        return Transition(self.observe(), reward, self.terminated.copy(), self.truncated.copy())

    def observe(self) -> Array:
        """Return what the worlds show, (N, obs_size)."""
        return np.array([list(_observed(trial).values()) for trial in self._trials], dtype=np.float64)

    def snapshot(self) -> Snapshot:
        """Raise BadSnapshot: where a script is in its course is no number."""
        raise BadSnapshot("worlds of a scenario cannot be saved under way; a trial is had again by its numbers")

    def restore(self, snapshot: Snapshot) -> Array:
        """Raise BadSnapshot."""
        raise BadSnapshot("worlds of a scenario cannot be restored; a trial is had again by its numbers")

    def digests(self) -> npt.NDArray[np.uint64]:
        """Return a hash of each world's whole physical state, (N,)."""
        return np.concatenate([digests_of(_state(trial)[None]) for trial in self._trials])

    def positions(self) -> Array:
        """Return nothing, (N, 0): worlds have models of their own, and no picture shows all of them."""
        return np.zeros((self.worlds, 0))

    def joint_state(self) -> tuple[Array, Array, Array, Array]:
        """Return q [rad or m], dq, torque [N m or N] and target, each (N, joints)."""
        parts = [
            (t.scene.data.qpos[t.scene.body.q], t.scene.data.qvel[t.scene.body.dq], t.drive.tau, t.drive.q)
            for t in self._trials
        ]
        q, dq, tau, q_ref = (np.array(column) for column in zip(*parts, strict=True))
        return q, dq, tau, q_ref

    def base_pose(self) -> Array:
        """Return position [m] and orientation (w, x, y, z) of each robot's base, (N, 7)."""
        poses = []
        for trial in self._trials:
            base, data = trial.scene.body.base, trial.scene.data
            poses.append(np.concatenate([data.xpos[base], data.xquat[base]]))
        return np.array(poses)

    def drawn(self, worlds: Sequence[int]) -> dict[str, list[list[float]]]:
        """Return what the scenes of some worlds have drawn, by quantity that the level draws, a row for each."""
        names = ranges_at(self.scenario.levels, self.level)
        return {name: [[float(self._trials[i].scene.drawn[name])] for i in worlds] for name in names}

    def header(self) -> dict[str, str]:
        """Return what must be equal for the same trial to the last bit."""
        return {
            "engine": "mujoco",
            "engine_version": mujoco.__version__,
            "architecture": platform.machine(),
            "model_sha256": self.model_sha256,
            "robot_model": self.entry.id,
            "actuators": "ideal",
            "scenario": self.scenario.path,
            "level": str(self.level),
            "script": self.script,
            "worlds": str(self.worlds),
            "seed": str(self.seed),
            "version": VERSION,
        }

    def _advance(self, world: int) -> None:
        trial = self._trials[world]
        for _ in range(_PERIODS):
            trial.step(self.taken[world])
            if any(trial.scene.data.warning[kind].number for kind in UNSTABLE):
                self._end(world, f"the simulation became unstable at {trial.time_s:.3f} s")
                return
            if trial.over:
                break
        if not trial.over:
            return
        outcome = trial.outcome()
        late = trial.time_s >= self.scenario.limits.time_max_s
        self.success[world] = outcome.success
        self.truncated[world], self.terminated[world] = late and not trial.falls, not late or bool(trial.falls)
        if not outcome.success:
            self.failures[world] = f"world {world}: {'; '.join(outcome.why)}"

    def _end(self, world: int, why: str) -> None:
        self.terminated[world] = True
        self.failures[world] = f"world {world}: {why}"


def _state(trial: Trial) -> Array:
    kind = mujoco.mjtState.mjSTATE_INTEGRATION
    state = np.zeros(mujoco.mj_stateSize(trial.scene.model, kind))
    mujoco.mj_getState(trial.scene.model, trial.scene.data, state, kind)
    return state


def _observed(trial: Trial) -> dict[str, float]:
    """Return what a policy sees of a trial, by name: the robot, and the true places of what the task is about.

    Places are from the tool's tip along the world's axes, or from the middle of a robot on the floor along its own.
    """
    scene, drive = trial.scene, trial.drive
    data, body = scene.data, scene.body
    seen: dict[str, float] = {"time_s": trial.time_s, "force_n": trial.work.force_n}
    for name, q, dq in zip(body.spec.joint_names, data.qpos[body.q], data.qvel[body.dq], strict=True):
        seen[f"{name}_rad"], seen[f"{name}_rad_s"] = float(q), float(dq)
    if isinstance(drive, Hand):
        origin, cos, sin = drive.tip_m(), 1.0, 0.0
        seen |= {f"tool_{axis}": float(v) for axis, v in zip("xyz", drive.pointing(), strict=True)}
    else:
        assert isinstance(drive, Base)
        at, yaw = drive.pose()
        origin, cos, sin = np.array([*at, 0.0]), math.cos(yaw), math.sin(yaw)
        seen |= {"forward_cos": cos, "forward_sin": sin}
        if body.floating:
            seen |= {f"base_{axis}_m_s": float(v) for axis, v in zip("xyz", data.qvel[:3], strict=True)}
            seen["base_height_m"] = float(data.qpos[2])
    for name, part in scene.parts.items():
        x, y, z = data.body(part.body).xpos - origin
        seen |= {f"{name}_x_m": cos * x + sin * y, f"{name}_y_m": cos * y - sin * x, f"{name}_z_m": float(z)}
    seen |= trial.work.measured()
    return seen
