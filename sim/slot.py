"""A sim slot: many worlds of one robot at one task, with the control core in the loop.

Per policy step (20 ms) the slot takes actions, turns them into joint targets and then, every physics
substep (2 ms), does what happens on the real robot: the control core reads angles and speeds, applies its
law and limits, and hands torques to the joints through drives with friction, play and heat (`sim.drives`).
Physics runs in `mujoco.batch.Batch`, threads across worlds.

What a world does depends on the seed, its world number and its episode number, and on nothing else: not on
how many worlds share the slot, nor on the number of threads. It is the same to the last bit.
"""

import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import mujoco
import numpy as np
import numpy.typing as npt

from controller.cohort import Backend
from controller.spec import RobotSpec
from palaestra_env.slot import Transition as Transition
from sim.body import Array, base_name, body_of
from sim.catalog import ACTUATORS, Actuators, Entry
from sim.chance import job_seed, philox_uniform
from sim.errors import BadAction, BadSnapshot
from sim.mjcf import compile_model
from sim.model import fingerprint
from sim.randomisation import NO_RANDOMISATION, Drawn, Level, Randomisation
from sim.randomiser import Randomiser
from sim.sensors import Sensor, Suite
from sim.sites import FIELD
from sim.task import Mask, Task, View
from sim.worlds import Worlds

VERSION = "0.1.0"
"""Of this room, in what must be equal for a bit-exact restore: it grows when the same numbers mean something else."""
POLICY_PERIOD_S = 0.02
TARGET_SPEED_SHARE = 0.8
"""Targets move at most at this share of a joint's speed limit, so that following them trips nothing."""
PART = 256
"""So many worlds at a time where more would take much memory for a moment."""
UNSTABLE = [
    int(mujoco.mjtWarning.mjWARN_BADQPOS),
    int(mujoco.mjtWarning.mjWARN_BADQVEL),
    int(mujoco.mjtWarning.mjWARN_BADQACC),
]


@dataclass(frozen=True)
class Snapshot:
    """The whole state of a slot. `restore` continues from it to the last bit.

    Attributes:
        header: What must be equal for a bit-exact restore: engine, version, architecture, model, task, size.
        state: MuJoCo's integration states, (N, nstate).
        arrays: Everything else, by name.
    """

    header: dict[str, str]
    state: Array
    arrays: dict[str, npt.NDArray[np.generic]]


def digests_of(state: Array) -> npt.NDArray[np.uint64]:
    """Return the first 64 bits of the BLAKE2b hash of each row's bytes, (N,), for states (N, nstate)."""
    rows = np.ascontiguousarray(state)
    return np.array([int.from_bytes(blake2b(row, digest_size=8).digest(), "little") for row in rows], dtype=np.uint64)


class SimSlot:
    """Worlds of one robot at one task.

    Attributes:
        worlds: Number of worlds N.
        obs_size, action_size: Widths of observations and actions.
        observation_names, joint_names: What their columns are.
        horizon_steps: Policy steps of an episode that does not end early.
        actuators: "physical" or "ideal".
        core: The worlds themselves, without a task.
        sensors: What was read after the last step, and how.
        action_scale_rad: Joint offset that an action of 1 asks for, (nu,).
        model, model_sha256: The compiled model and its SHA-256.
        taken: The actions of the last step as the worlds took them, clipped, (N, action_size), live.
        terminated, truncated, success: Of each world's current episode; `success` is set when it ends.
        diverged: Worlds whose physics blew up; they rest until they are reset.
        stopped: Worlds that ended because the control core stopped the robot (over-speed, for example).
        refused: Worlds that ended because their action was no number.
        failures: Why, by world, for those that diverged, were stopped or refused.
        randomiser: What the worlds' episodes differ in, beside what the task draws.
    """

    def __init__(
        self,
        entry: Entry,
        task: Task,
        *,
        worlds: int,
        threads: int,
        seed: int,
        first_world: int = 0,
        actuators: Actuators = ACTUATORS[0],
        randomisation: Randomisation = NO_RANDOMISATION,
        backend: Backend | None = None,
        sensors: Sequence[Sensor] = (),
    ) -> None:
        """Compile the scene and place every world at the start of its first episode.

        Args:
            entry: The robot.
            task: What it is asked to do.
            worlds: Number of worlds, at least 1.
            threads: Threads that step them: the leased cores, at least 1.
            seed: The job's seed, from -2^63 to 2^63 - 1; every world and episode draws from it.
            first_world: Number of the first world, so that slots can share one job's worlds.
            actuators: "physical": motors with friction, play and heat, as `Entry.actuator_physics` describes
                them; "ideal": what the control core asks for is what moves the joint.
            randomisation: What differs from episode to episode in the robots and the scene; nothing by default.
            backend: Of the control core; None takes the compiled kernel where there is one.
            sensors: What is read after each step into `sensors`; the worlds go the same way with and without.

        Raises:
            BadSensor: a sensor's body is not there.
            Misfit: the task does not suit the robot.
            BadRandomisation: a term names what the robot does not have, or what its actuators do not allow.
            MissingModel, BrokenModel, BrokenCatalogue: as `Entry.mjspec`.
            BadJobSeed: a seed that is no such number; it would be another's in the generator.
            ValueError: `worlds` or `threads` is less than 1.
        """
        if worlds < 1 or threads < 1:
            raise ValueError(f"worlds = {worlds}, threads = {threads}: both must be at least 1")
        seed = job_seed(seed)
        task.check(entry)
        spec = entry.mjspec(visuals=False, actuators=actuators)
        task.furnish(spec, entry)
        robot: RobotSpec = entry.robot_spec()
        base = base_name(spec, robot.joint_names[0])
        for sensor in sensors:
            sensor.furnish(spec, base)
        # A world that blows up must stay visible as one; MuJoCo would quietly reset it.
        spec.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
        model = compile_model(spec, label=entry.id)
        self.entry, self.task, self.worlds, self.seed, self.actuators = entry, task, worlds, seed, actuators
        self.model = model
        self.model_sha256 = fingerprint(model)
        self.body = body_of(model, robot)
        self.joint_names = robot.joint_names
        self.action_size = len(robot.joints)
        self.action_scale_rad = task.action_scale(self.body)
        self.substeps = max(1, round(POLICY_PERIOD_S / model.opt.timestep))
        self.horizon_steps = round(task.horizon_s / POLICY_PERIOD_S)
        physics = entry.actuator_physics() if actuators == "physical" else None
        self.core = Worlds(
            model,
            self.body,
            worlds,
            threads,
            physics=physics,
            backend=backend,
            own_models=randomisation.level == Level.MODEL,
            compact=not sensors and not randomisation.fields and set(task.derived) <= {FIELD},
        )
        self._batch, self._drives = self.core.batch, self.core.drives
        self.randomiser = Randomiser(randomisation, self.core, self.body, spec, actuators=actuators)
        self._qpos, self._qvel = self.core.qpos, self.core.qvel
        self._warned = self._batch.warning[:, UNSTABLE[0] : UNSTABLE[-1] + 1, 1]
        self.backend = self._drives.cohort.backend
        dq_max = np.array([[joint.dq_max_rad_s] for joint in robot.joints])
        self._target_step_rad = TARGET_SPEED_SHARE * dq_max * POLICY_PERIOD_S
        self.steps = np.zeros(worlds, dtype=np.int64)
        view = View(
            model=model,
            body=self.body,
            qpos=self._qpos,
            qvel=self._qvel,
            push_n=self._batch.bind("xfrc_applied"),
            derived={name: self.core.derive(name) for name in task.derived},
            steps=self.steps,
            policy_period_s=POLICY_PERIOD_S,
        )
        self._run = task.bind(view, entry)
        self.sensors = Suite(
            sensors,
            model=model,
            batch=self._batch,
            body=self.body,
            drives=self._drives,
            seed=seed,
            period_s=POLICY_PERIOD_S,
        )
        self.observation_names = self._run.observation_names
        self.obs_size = len(self.observation_names)
        self._last_stage = mujoco.mjtStage.mjSTAGE_POS if sensors else mujoco.mjtStage.mjSTAGE_NONE
        self.world_numbers = np.arange(first_world, first_world + worlds, dtype=np.int64)
        self.episodes = np.full(worlds, -1, dtype=np.int64)
        self.taken = np.zeros((worlds, self.action_size))
        self._flags = np.zeros((6, worlds), dtype=np.bool_)
        self.terminated, self.truncated, self.success, self.diverged, self.stopped, self.refused = self._flags
        self.failures: dict[int, str] = {}
        self.reset()

    def reset(
        self,
        mask: npt.ArrayLike | None = None,
        *,
        worlds: npt.ArrayLike | None = None,
        episodes: npt.ArrayLike | None = None,
        drawn: Drawn | None = None,
    ) -> Array:
        """Start the next episode, or given ones, and return the observations of all worlds, (N, obs_size).

        Args:
            mask: Which worlds to reset, (N,); all by default.
            worlds: World numbers that worlds take on from now, one for each that is reset. Two worlds with
                the same number and episode meet the same chance: paired trials.
            episodes: Episode numbers, one for each world that is reset; the next ones by default.
            drawn: What `randomiser.drawn` told of earlier episodes, a row for each world that is reset: it is
                imposed again, and nothing is drawn in its place.

        Raises:
            ValueError: a mask of another shape.
            BadRandomisation: `drawn` does not belong to this slot's randomisation. Nothing has changed.
        """
        chosen = np.ones(self.worlds, np.bool_) if mask is None else np.asarray(mask, dtype=np.bool_)
        if chosen.shape != (self.worlds,):
            raise ValueError(f"mask has shape {chosen.shape}, not ({self.worlds},)")
        ids = np.flatnonzero(chosen)
        if len(ids) == 0:
            return self._observe()
        given = None if drawn is None else self.randomiser.checked(len(ids), drawn)
        if worlds is not None:
            self.world_numbers[ids] = worlds
        self.episodes[ids] = self.episodes[ids] + 1 if episodes is None else np.asarray(episodes)
        self._flags[:, ids] = False
        if self.failures:
            for i in ids:
                self.failures.pop(int(i), None)
        self.steps[ids] = 0
        self._batch.reset(ids, keyframe=0, stage=mujoco.mjtStage.mjSTAGE_NONE)
        self._forget_warnings(ids)
        draws = self._run.draws
        uniform = [philox_uniform(self.seed, int(self.world_numbers[i]), int(self.episodes[i]), draws) for i in ids]
        self._run.begin(ids, np.stack(uniform))
        self.core.renew(ids)
        if given is None:
            given = self.randomiser.draw(self.seed, self.world_numbers[ids], self.episodes[ids])
        self.randomiser.impose(ids, given)
        self.core.settle(ids)
        if self.sensors.readings:
            self.sensors.begin(ids, self.world_numbers, self.episodes)
        return self._observe()

    def step(self, actions: npt.ArrayLike, *, contain: bool = False) -> Transition:
        """Advance all running worlds by one policy step. Worlds that have ended stay as they are.

        Args:
            actions: Offsets in [-1, 1], (N, action_size); values beyond are clipped.
            contain: A value that is not finite ends the episode of its world, with the reason, and of no other.

        Raises:
            BadAction: wrong shape, or a value that is not finite and is not contained. No world was stepped.
        """
        action = np.asarray(actions, dtype=np.float64)
        if action.shape != (self.worlds, self.action_size):
            raise BadAction(f"actions have shape {action.shape}, not ({self.worlds}, {self.action_size})")
        running = ~(self.terminated | self.truncated)
        if np.isfinite(action).all():
            moving = running
        else:
            bad = np.asarray(~np.isfinite(action).all(axis=1))
            if not contain:
                raise BadAction(f"actions of worlds {np.flatnonzero(bad)[:5].tolist()} are not finite")
            for i in np.flatnonzero(bad & running):
                self._refuse(int(i), action[i])
            action = np.where(bad[:, None], 0.0, action)
            moving = running & ~bad
        # In place: many worlds' actions are memory.
        action = np.minimum(np.maximum(action, -1.0, out=self.taken), 1.0, out=self.taken)
        if moving.any():
            self._run.before_step()
            self._advance(action, moving)
        ended = self._run.ended() & running
        lost = (self.diverged | self.stopped | self.refused) & running
        sound = running & ~lost
        self.steps += running
        if self.sensors.readings:
            self.sensors.sample(sound, self.world_numbers, self.episodes, self.steps)
        reward = np.where(sound, self._run.reward(action), 0.0)
        self.terminated |= ended | lost
        self.truncated |= running & ~self.terminated & (self.steps >= self.horizon_steps)
        over = running & (self.terminated | self.truncated)
        if over.any():
            self.success[over] = self._run.succeeded()[over] & ~lost[over]
        return Transition(self._observe(), reward, self.terminated.copy(), self.truncated.copy())

    def snapshot(self) -> Snapshot:
        """Return a copy of the whole state: physics, control core, task, counters."""
        return Snapshot(self.snapshot_header(), self.core.states(), {k: a.copy() for k, a in self._arrays().items()})

    def restore(self, snapshot: Snapshot) -> Array:
        """Continue from a snapshot, to the last bit, and return the observations.

        Raises:
            BadSnapshot: it comes from another engine version, architecture, model, task or size.
        """
        header = self.snapshot_header()
        for key, value in header.items():
            if snapshot.header.get(key) != value:
                raise BadSnapshot(f"{key} is {value!r} here and {snapshot.header.get(key)!r} in the snapshot")
        arrays = self._arrays()
        for name, wanted in {"state": self.core.states(), **arrays}.items():
            given = snapshot.state if name == "state" else snapshot.arrays.get(name)
            if given is None or (given.dtype, given.shape) != (wanted.dtype, wanted.shape):
                found = "missing" if given is None else f"{given.dtype} of shape {given.shape}"
                raise BadSnapshot(f"{name} is {found} in the snapshot, and {wanted.dtype} of shape {wanted.shape} here")
        self.core.put(snapshot.state)
        for name, array in arrays.items():
            array[...] = snapshot.arrays[name]
        self.randomiser.renew()
        lost = self.diverged | self.stopped | self.refused
        self.failures = {int(i): f"world {i}: failed before the snapshot" for i in np.flatnonzero(lost)}
        if self.task.derived or self.sensors.readings:
            # Derived fields are functions of the state; the state itself must not change by computing them.
            self.core.settle(np.arange(self.worlds))
            self.core.put(snapshot.state)
            self.core.place()
        return self._observe()

    def digests(self) -> npt.NDArray[np.uint64]:
        """Return a hash of each world's whole physical state, (N,): two that differ in any bit differ in it."""
        some = (np.arange(first, min(first + PART, self.worlds)) for first in range(0, self.worlds, PART))
        return np.concatenate([digests_of(self.core.states(ids)) for ids in some])

    def joint_state(self) -> tuple[Array, Array, Array, Array]:
        """Return copies of q [rad], dq [rad/s], motor torque [N m] and target q_ref [rad], each (N, action_size)."""
        return (
            np.array(self._qpos[:, self.body.q]),
            np.array(self._qvel[:, self.body.dq]),
            np.array(self._drives.cohort.tau.T),
            np.array(self._drives.cohort.q_ref.T),
        )

    def positions(self) -> Array:
        """Return a copy of all generalised positions, (N, nq): what a picture of the worlds needs to know."""
        return np.array(self._qpos)

    def base_pose(self) -> Array:
        """Return position [m] and orientation (w, x, y, z) of each robot's base, (N, 7); fixed bases stand still."""
        if self.body.floating:
            return np.array(self._qpos[:, :7])
        fixed = np.concatenate([self.model.body_pos[self.body.base], self.model.body_quat[self.body.base]])
        return np.tile(fixed, (self.worlds, 1))

    def _advance(self, action: Array, running: Mask) -> None:
        drives = self._drives
        cohort = drives.cohort
        whole = bool(running.all())
        pose, most = self._run.base_pose(), self._target_step_rad
        for first in range(0, self.worlds, PART):
            part = slice(first, first + PART)
            goal = self.action_scale_rad * action[part]
            goal += pose if pose.ndim == 1 else pose[part]
            # A target that jumps would only trip the core's over-speed stop: it moves at an allowed speed.
            target = cohort.q_ref[:, part]
            step = goal.T - target
            np.minimum(np.maximum(step, -most, out=step), most, out=step)
            target += step if whole else np.where(running[part], step, 0.0)
        cohort.submit()
        ids = None if whole else np.flatnonzero(running)
        for world, why in self.core.advance(ids, self.substeps, stage=self._last_stage).items():
            self._fail(world, f"world {world}: {why}")
        # What is rare is asked in one go for all worlds; only then whom it is about. Finite numbers have a finite sum.
        with np.errstate(all="ignore"):
            finite = math.isfinite(self._qpos.sum() + self._qvel.sum())
        if not finite or np.count_nonzero(self._warned):
            self._look_for_unstable(running)
        if drives.any_halted():
            self._look_for_halted(running)

    def _look_for_unstable(self, running: Mask) -> None:
        unstable = (self._batch.warning[:, UNSTABLE, 1] != 0).any(axis=1) | ~np.isfinite(self._qpos).all(axis=1)
        unstable |= ~np.isfinite(self._qvel).all(axis=1)
        for i in np.flatnonzero(unstable & running & ~self.diverged):
            self._fail(
                int(i), f"world {i}: the simulation became unstable at {self.core.states(np.array([i]))[0, 0]:.3f} s"
            )

    def _look_for_halted(self, running: Mask) -> None:
        halted = self._drives.halted() & running & ~self.diverged
        for i in np.flatnonzero(halted):
            faults = self._drives.cohort.joint_faults(int(i))
            why = ", ".join(f"{fault.name} at {joint}" for joint, fault in faults.items())
            self.failures[int(i)] = f"world {i}: the control core stopped the robot: {why}"
        self.stopped |= halted

    def _fail(self, world: int, why: str) -> None:
        self.diverged[world] = True
        self.failures[world] = why
        # A finite state again, so that observations stay finite until the world is reset.
        self._batch.reset([world], keyframe=0, stage=mujoco.mjtStage.mjSTAGE_POS)
        self._forget_warnings(world)
        self.core.place(np.array([world]))

    def _forget_warnings(self, ids: npt.NDArray[np.intp] | int) -> None:
        # Zeros over zeros would take memory for what hardly any world ever has.
        if np.count_nonzero(self._batch.warning[ids]):
            self._batch.warning[ids] = 0

    def _refuse(self, world: int, action: Array) -> None:
        self.refused[world] = True
        joint = int(np.flatnonzero(~np.isfinite(action))[0])
        self.failures[world] = f"world {world}: the action of joint {self.joint_names[joint]!r} is {action[joint]}"

    def _observe(self) -> Array:
        return np.ascontiguousarray(self._run.observe(), dtype=np.float64)

    def snapshot_header(self) -> dict[str, str]:
        return {
            "engine": "mujoco",
            "engine_version": mujoco.__version__,
            "architecture": platform.machine(),
            "model_sha256": self.model_sha256,
            "robot_model": self.entry.id,
            "task": self.task.name,
            "actuators": self.actuators,
            "drives_sha256": self.core.drives.sha256,
            "randomisation_sha256": self.randomiser.randomisation.sha256,
            "worlds": str(self.worlds),
            "seed": str(self.seed),
            "sensors": repr([(r.name, r.width, r.error) for r in self.sensors.readings]),
            "version": VERSION,
        }

    def _arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        own = {
            name: getattr(self, name)
            for name in (
                "steps",
                "world_numbers",
                "episodes",
                "terminated",
                "truncated",
                "success",
                "diverged",
                "stopped",
                "refused",
            )
        }
        drives = {f"drives.{name}": array for name, array in self._drives.memory().items()}
        drawn = {f"randomisation.{name}": array for name, array in self.randomiser.memory().items()}
        drives |= {f"sensors.{name}": array for name, array in self.sensors.memory().items()}
        return own | drives | drawn | {f"task.{name}": array for name, array in self._run.memory.items()}
