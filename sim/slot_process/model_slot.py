"""Worlds of a model that somebody handed in, without task and control core: its controls in, its state out."""

import platform
from pathlib import Path

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch, SimulationError

from sim.body import Array
from sim.errors import BadAction, BadSnapshot, BrokenModel
from sim.mjcf import compile_model, load_mjcf
from sim.model import fingerprint
from sim.slot import UNSTABLE, VERSION, Snapshot, Transition, digests_of
from sim.slot_process.work import ModelWork

SUBSTEPS_MAX = 1_000


class ModelSlot:
    """Worlds of one MJCF model. What is common with `sim.slot.SimSlot` has the same names and meaning there.

    Observations are qpos, qvel and the model's own sensors. A world ends only by failure: where its physics blew up.
    """

    def __init__(self, work: ModelWork, *, worlds: int, threads: int, seed: int, first_world: int) -> None:
        """Load, check, compile, and place every world at the model's start. Raises BrokenModel."""
        spec = load_mjcf(Path(work.folder) / work.file, Path(work.folder))
        # The same dynamics without what only pictures need.
        spec.compiler.discardvisual = True
        spec.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
        model = compile_model(spec, label=work.file)
        if not np.isfinite(model.opt.timestep) or model.opt.timestep <= 0.0:
            raise BrokenModel(f"{work.file}: a timestep of {model.opt.timestep} s")
        self.substeps = max(1, round(work.period_s / model.opt.timestep))
        if self.substeps > SUBSTEPS_MAX:
            raise BrokenModel(
                f"{work.file}: {self.substeps} substeps of {model.opt.timestep} s, at most {SUBSTEPS_MAX}"
            )
        self.model, self.file, self.worlds, self.seed = model, work.file, worlds, seed
        self.model_sha256 = fingerprint(model)
        self._batch = Batch(model, worlds, threads)
        self._ctrl = self._batch.bind("ctrl")
        parts = [("qpos", model.nq), ("qvel", model.nv)] + (
            [("sensordata", model.nsensordata)] * bool(model.nsensordata)
        )
        self._seen = [self._batch.bind(name) for name, _ in parts]
        self.observation_names = tuple(f"{name}[{i}]" for name, count in parts for i in range(count))
        self.obs_size, self.action_size, self.horizon_steps = len(self.observation_names), int(model.nu), 0
        self.world_numbers = np.arange(first_world, first_world + worlds, dtype=np.int64)
        self.episodes = np.full(worlds, -1, dtype=np.int64)
        self.steps = np.zeros(worlds, dtype=np.int64)
        self.terminated, self.truncated, self.success, self.diverged = np.zeros((4, worlds), dtype=np.bool_)
        self.taken = np.zeros((worlds, self.action_size))
        self.failures: dict[int, str] = {}
        self.reset()

    def reset(
        self,
        mask: npt.ArrayLike | None = None,
        *,
        worlds: npt.ArrayLike | None = None,
        episodes: npt.ArrayLike | None = None,
    ) -> Array:
        """Put worlds back to the model's first keyframe, or its defaults; return all observations, (N, obs_size)."""
        chosen = np.ones(self.worlds, np.bool_) if mask is None else np.asarray(mask, dtype=np.bool_)
        ids = np.flatnonzero(chosen)
        if worlds is not None:
            self.world_numbers[ids] = worlds
        self.episodes[ids] = self.episodes[ids] + 1 if episodes is None else np.asarray(episodes)
        for flags in (self.terminated, self.truncated, self.success, self.diverged):
            flags[ids] = False
        for i in ids:
            self.failures.pop(int(i), None)
        self.steps[ids] = 0
        if len(ids):
            self._home(ids)
        return self._observe()

    def step(self, actions: npt.ArrayLike, *, contain: bool = False) -> Transition:
        """Advance the worlds that have not failed by one period under controls (N, nu). Raises BadAction.

        contain: Controls that are no numbers fail their own world and no other, as of `SimSlot.step`.
        """
        action = np.asarray(actions, dtype=np.float64)
        if action.shape != (self.worlds, self.action_size):
            raise BadAction(f"actions have shape {action.shape}, not ({self.worlds}, {self.action_size})")
        # Comparisons with NaN are false. MuJoCo would quietly take zero for all of a world's controls.
        bad = np.flatnonzero(~(np.abs(action) <= mujoco.mjMAXVAL).all(axis=1))
        if len(bad) and contain:
            for i in bad:
                if not self.terminated[i]:
                    self._fail(int(i), f"its controls are not finite, or beyond {mujoco.mjMAXVAL:g}")
            self.terminated |= self.diverged
            action = action.copy()
            action[bad] = 0.0
        elif len(bad):
            raise BadAction(f"actions of worlds {bad[:5].tolist()} are not finite, or beyond {mujoco.mjMAXVAL:g}")
        self.taken = action.copy()
        ids = np.flatnonzero(~self.terminated)
        if len(ids):
            self._ctrl[ids] = action[ids]
            self._advance(ids)
            self.steps[ids] += 1
        self.terminated |= self.diverged
        return Transition(self._observe(), np.zeros(self.worlds), self.terminated.copy(), self.truncated.copy())

    def snapshot(self) -> Snapshot:
        """Return a copy of the whole state."""
        return Snapshot(self.header(), self._batch.state.copy(), {k: a.copy() for k, a in self._arrays().items()})

    def restore(self, snapshot: Snapshot) -> Array:
        """Continue from a snapshot, to the last bit. Raises BadSnapshot."""
        for key, value in self.header().items():
            if snapshot.header.get(key) != value:
                raise BadSnapshot(f"{key} is {value!r} here and {snapshot.header.get(key)!r} in the snapshot")
        arrays = self._arrays()
        for name, wanted in {"state": self._batch.state, **arrays}.items():
            given = snapshot.state if name == "state" else snapshot.arrays.get(name)
            if given is None or (given.dtype, given.shape) != (wanted.dtype, wanted.shape):
                raise BadSnapshot(f"{name} is not {wanted.dtype} of shape {wanted.shape} in the snapshot")
        for name, array in arrays.items():
            array[...] = snapshot.arrays[name]
        self._batch.state[:] = snapshot.state
        # Sensors are functions of the state; the state itself must not change by computing them.
        self._batch.forward()
        self._batch.state[:] = snapshot.state
        self.failures = {int(i): f"world {i}: failed before the snapshot" for i in np.flatnonzero(self.diverged)}
        return self._observe()

    def digests(self) -> npt.NDArray[np.uint64]:
        """Return a hash of each world's whole physical state, (N,)."""
        return digests_of(self._batch.state)

    def positions(self) -> Array:
        """Return a copy of all generalised positions, (N, nq)."""
        return np.array(self._seen[0])

    def header(self) -> dict[str, str]:
        """Return what must be equal for a bit-exact restore."""
        return {
            "engine": "mujoco",
            "engine_version": mujoco.__version__,
            "architecture": platform.machine(),
            "model_sha256": self.model_sha256,
            "robot_model": self.file,
            "worlds": str(self.worlds),
            "version": VERSION,
        }

    def _arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        names = ("steps", "world_numbers", "episodes", "terminated", "truncated", "success", "diverged")
        return {name: getattr(self, name) for name in names}

    def _advance(self, ids: npt.NDArray[np.intp]) -> None:
        batch = self._batch
        try:
            batch.step(ids, nstep=self.substeps)
        except SimulationError as error:
            for i in error.ids:
                self._fail(int(i), batch.error(int(i)))
        rows = batch.state[ids]
        unstable = (batch.warning[ids][:, UNSTABLE, 1] != 0).any(axis=1) | ~np.isfinite(rows).all(axis=1)
        for i in ids[unstable]:
            if not self.diverged[i]:
                self._fail(int(i), f"the simulation became unstable at {batch.state[i, 0]:.3f} s")

    def _fail(self, world: int, why: str) -> None:
        self.diverged[world] = True
        self.failures[world] = f"world {world}: {why}"
        self._home(np.array([world]))

    def _home(self, ids: npt.NDArray[np.intp]) -> None:
        self._batch.reset(ids, keyframe=0 if self.model.nkey else -1)
        self._batch.warning[ids] = 0

    def _observe(self) -> Array:
        return np.concatenate(self._seen, axis=1)
