"""Carries out a randomisation in the worlds of a slot, and remembers what every world's episode has drawn."""

from collections.abc import Callable, Mapping
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from sim.body import Array, Body
from sim.errors import BadRandomisation
from sim.mjcf import compile_model
from sim.randomisation import Drawn, Level, Randomisation, bind, change, draw, reshape_spec
from sim.worlds import Worlds

Ids = npt.NDArray[np.intp]


class Randomiser:
    """A randomisation at work.

    Attributes:
        randomisation: What is randomised.
        level: What has to be recomputed at the start of an episode: the highest of all terms.
    """

    def __init__(
        self, randomisation: Randomisation, core: Worlds, body: Body, spec: mujoco.MjSpec, *, actuators: str
    ) -> None:
        """Find what is named. Raises BadRandomisation naming what is not there or not possible.

        Args:
            randomisation: What to randomise.
            core: The worlds.
            body: The robot in them.
            spec: What their model was compiled from.
            actuators: "physical" or "ideal".
        """
        self.randomisation = randomisation
        self._core, self._spec, self._model = core, spec, core.batch.model
        self._bound = bind(randomisation, self._model, body.spec.joint_names, actuators)
        self.level = randomisation.level
        self._values = {b.term.name: np.zeros((core.batch.nsim, b.width)) for b in self._bound}
        self._fields = tuple(dict.fromkeys(name for b in self._bound for name in b.kind.fields))
        self._gains = [
            (b, getattr(core.drives.cohort, name), np.array([getattr(j, number) for j in body.spec.joints]))
            for b in self._bound
            for name, number in (("kp", "kp_nm_rad"), ("kd", "kd_nms_rad"))
            if b.term.quantity == f"{name}_scale"
        ]
        self._models: list[mujoco.MjModel] = []
        self._nominal: dict[str, Any] = {}
        if self.level == Level.MODEL:
            self._models = [self._model] * core.batch.nsim
        else:
            self._nominal = {name: np.array(_field(self._model, name)) for name in self._fields}

    def draw(self, seed: int, worlds: npt.NDArray[np.int64], episodes: npt.NDArray[np.int64]) -> dict[str, Array]:
        """Return what episodes of worlds draw, by term, (n, width). Nothing is changed."""
        return draw(self._bound, seed, worlds, episodes)

    def drawn(self, world: int) -> dict[str, list[float]]:
        """Return what the current episode of a world has drawn, by term, as a reset takes it."""
        return {name: [float(v) for v in rows[world]] for name, rows in self._values.items()}

    def checked(self, count: int, drawn: Drawn) -> dict[str, Array]:
        """Return numbers for so many worlds as arrays. Raises BadRandomisation for other terms, shapes or values."""
        if set(drawn) != set(self._values):
            raise BadRandomisation(f"drawn are {sorted(drawn)}, but what is randomised is {sorted(self._values)}")
        rows = {name: np.asarray(values, dtype=np.float64) for name, values in drawn.items()}
        for b in self._bound:
            name = b.term.name
            if rows[name].shape != (count, b.width):
                raise BadRandomisation(f"{name}: {rows[name].shape} numbers, not {(count, b.width)}")
            low, high = b.term.distribution.bounds
            if not ((rows[name] >= low) & (rows[name] <= high)).all():
                raise BadRandomisation(f"{name}: a number is not in [{low}, {high}]")
        return rows

    def impose(self, ids: Ids, rows: Mapping[str, Array]) -> None:
        """Give the worlds `ids` their numbers, drawn or checked, and their robots, just renewed, their gains."""
        for name, values in rows.items():
            self._values[name][ids] = values
        if rows:
            self._carry_out(ids)

    def renew(self) -> None:
        """Carry out again what is remembered, in all worlds."""
        if self._bound:
            self._carry_out(np.arange(self._core.batch.nsim))

    def memory(self) -> dict[str, Array]:
        """Return what every world's episode has drawn, live, by term, (N, width)."""
        return self._values

    def _carry_out(self, ids: Ids) -> None:
        batch, cohort = self._core.batch, self._core.drives.cohort
        if self.level == Level.MODEL:
            for i in ids:
                self._models[i] = self._own_model(int(i))
            batch.set_models(self._models)
        elif self._fields:
            live = {name: batch.expand(name) for name in self._fields}
            for i in ids:
                for name in self._fields:
                    live[name][i] = self._nominal[name]
                self._change(int(i), {name: rows[i] for name, rows in live.items()}.__getitem__)
            if self.level == Level.CONSTANTS:
                batch.set_const(ids)
        for b, gains, nominal in self._gains:
            gains[np.ix_(b.ids, ids)] = nominal[b.ids][:, None]
        for b, gains, _ in self._gains:
            # Several terms may be of one joint.
            for i in ids:
                gains[b.ids, i] *= b.spread(self._values[b.term.name][i])[:, 0]
        for b in self._bound:
            if b.term.quantity == "supply":
                cohort.supply[ids] = self._values[b.term.name][ids, 0]

    def _change(self, world: int, fields: Callable[[str], Any]) -> None:
        for b in self._bound:
            if b.kind.fields:
                change(b, fields, self._values[b.term.name][world])

    def _own_model(self, world: int) -> mujoco.MjModel:
        spec = self._spec.copy()
        for b in self._bound:
            if b.kind.level == Level.MODEL:
                reshape_spec(b, spec, self._model, self._values[b.term.name][world])
        model = compile_model(spec, label=f"world {world}")
        self._change(world, lambda name: _field(model, name))
        if self._fields:
            mujoco.mj_setConst(model, mujoco.MjData(model))
        return model


def _field(model: mujoco.MjModel, name: str) -> Any:
    """Return a field of a model as a live array; those of its options begin with `opt.`."""
    return getattr(model.opt, name[4:]) if name.startswith("opt.") else getattr(model, name)
