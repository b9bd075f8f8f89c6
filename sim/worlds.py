"""Worlds of one robot: MuJoCo's batch with the control core and the drives in its loop. The core of a sim slot."""

from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import SimulationError

from controller import ActuatorPhysics
from controller.cohort import Backend
from sim.body import Array, Body
from sim.compact import CompactBatch
from sim.drives import Drives
from sim.engine import OpenBatch, library, open_batch
from sim.rollout import Rollout
from sim.sites import FIELD, Sites
from sim.substep import Drive, compiled

Ids = npt.NDArray[np.intp]


class Worlds:
    """N worlds of one compiled model, each with the robot `body`.

    Attributes:
        batch: The worlds' states and all that MuJoCo can do with them.
        drives: What turns commands into torques, substep by substep.
        qpos, qvel: Live views of the states, (N, nq) and (N, nv).
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        body: Body,
        worlds: int,
        threads: int,
        *,
        physics: ActuatorPhysics | None,
        backend: Backend | None = None,
        own_models: bool = False,
        compact: bool = False,
    ) -> None:
        """Allocate the worlds on `threads` threads; `physics` and `backend` as for `Drives`.

        `own_models`: worlds will be given whole models of their own. `compact`: they will differ in nothing of the
        model, and of MuJoCo's data no more will be asked than states and where sites are: where everything is
        compiled, `batch` is then a `CompactBatch`.
        """
        self.drives = Drives(body.spec, worlds, model.opt.timestep, physics=physics, backend=backend)
        functions = library() if compact and not own_models and compiled(self.drives.cohort) else None
        self.batch: Any
        if functions is None:
            self.batch = open_batch(model, worlds, threads, own_models=own_models)
        else:
            self.batch = CompactBatch(functions, model, worlds, threads)
        self.qpos, self.qvel = self.batch.bind("qpos"), self.batch.bind("qvel")
        self._body = body
        self._drive = self.drives.bind(self.qpos, self.qvel, self.batch.bind("ctrl"), body.q, body.dq)
        self._rollout: Rollout | None = None
        if isinstance(self.batch, OpenBatch | CompactBatch) and isinstance(self._drive, Drive):
            self._rollout = Rollout(self.batch, self.drives.cohort, self._drive)
        self._sites: Sites | None = None
        self._stage = mujoco.mjtStage.mjSTAGE_NONE

    def derive(self, name: str) -> Array:
        """Return a field of MuJoCo's data that follows from positions, (N, ...), live: current after `advance`.

        After other calls of the batch, which compute it only to some stage, `place` makes it current.
        """
        if name == FIELD and isinstance(self.batch, OpenBatch | CompactBatch):
            self._sites = self._sites or Sites(self.batch)
            return self._sites.positions
        self._stage = mujoco.mjtStage.mjSTAGE_POS
        return np.asarray(self.batch.bind(name))

    def place(self, ids: Ids | None = None) -> None:
        """Find the sites of the worlds `ids` (None: all) as they stand. Other fields take the batch's forward pass."""
        if self._sites is not None:
            self._sites.find(ids)

    def settle(self, ids: Ids) -> None:
        """Compute the position stage of the worlds `ids` as they stand, and all that is derived.

        It leaves the states as they are. Raises SimulationError.
        """
        # Of a compact batch nobody sees more of it than where sites are.
        if not isinstance(self.batch, CompactBatch):
            self.batch.forward(ids, stage=mujoco.mjtStage.mjSTAGE_POS)
        self.place(ids)

    def states(self, ids: Ids | None = None) -> Array:
        """Return copies of the whole states of the worlds `ids` (None: all), (n, nstate), as `mj_getState` has them."""
        if isinstance(self.batch, CompactBatch):
            return self.batch.states(ids)
        return np.array(self.batch.state if ids is None else self.batch.state[ids])

    def put(self, states: Array) -> None:
        """Give all worlds their whole states, (N, nstate)."""
        if isinstance(self.batch, CompactBatch):
            self.batch.put(states)
        else:
            self.batch.state[:] = states

    def renew(self, ids: Ids) -> None:
        """Put newly built robots into the worlds `ids`, as they stand there."""
        q, dq = self._body.q, self._body.dq
        self.drives.renew(ids, self.qpos[ids][:, q], self.qvel[ids][:, dq])

    def advance(
        self, ids: Ids | None, substeps: int, *, stage: mujoco.mjtStage = mujoco.mjtStage.mjSTAGE_NONE
    ) -> dict[int, str]:
        """Advance the worlds `ids` (None: all) by some substeps under the commands in force.

        All drives advance, also those of worlds that rest: nobody sees them before they are renewed.

        Args:
            ids: Worlds to advance.
            substeps: How many substeps.
            stage: What MuJoCo computes anew after the last one.

        Returns:
            Why, for each world that MuJoCo gave up on; it stopped there, the others have gone on.
        """
        failures, placed = self._run(ids, substeps, self._stage if stage == mujoco.mjtStage.mjSTAGE_NONE else stage)
        if not placed:
            self.place(ids)
        return failures

    def _run(self, ids: Ids | None, substeps: int, stage: mujoco.mjtStage) -> tuple[dict[int, str], bool]:
        """Return also whether the sites were found on the way."""
        none, failures, placed = mujoco.mjtStage.mjSTAGE_NONE, dict[int, str](), False
        if self._rollout is not None:
            # The batch itself takes the last one where it has to hand out more than states.
            compact = isinstance(self.batch, CompactBatch)
            last = 0 if compact else int(stage != none or self.batch.copies_out)
            placed = last == 0
            failures = self._rollout.run(ids, substeps - last, self._sites if placed else None)
            substeps = last
            if failures:
                ids = np.setdiff1d(np.arange(self.batch.nsim) if ids is None else ids, list(failures))
                if len(ids) == 0:
                    return failures, placed
        for left in range(substeps - 1, -1, -1):
            self._drive()
            try:
                self.batch.step(ids, stage=none if left else stage)
            except SimulationError as error:
                failures |= {int(i): self.batch.error(int(i)) for i in error.ids}
                ids = np.setdiff1d(np.arange(self.batch.nsim) if ids is None else ids, error.ids)
                if len(ids) == 0:
                    break
        return failures, placed
