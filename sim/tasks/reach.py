"""Reach: bring the end of an arm to a point in the air and stay there."""

import mujoco
import numpy as np
import numpy.typing as npt

from sim.body import Array, Body, at_home
from sim.catalog import Entry
from sim.errors import Misfit
from sim.task import Mask, Run, Task, View, share_of_range

TARGET_BOX_M = np.array((0.14, 0.18, 0.14))
"""Half extents of the box around the home hand position in which targets lie."""
NEAR_M = 0.05
"""Success: the end effector is this close to the target at the end."""
START_NOISE_RAD = 0.05


class Reach(Task):
    """See the module."""

    name = "reach"
    title = "bring the hand to a point"
    scenario = "manufacturing/pick"
    robot_classes = ("arm",)
    horizon_s = 2.0
    success = f"end effector within {NEAR_M} m of the target at the end"
    derived = ("site_xpos",)

    def furnish(self, spec: mujoco.MjSpec, entry: Entry) -> None:
        """Mark the hand where the catalogue's end effector is a body rather than a site."""
        if spec.site(entry.end_effector) is None:
            body = spec.body(entry.end_effector) if entry.end_effector else None
            if body is None:
                raise Misfit(f"robot {entry.id!r} names no end effector to reach with")
            body.add_site(name=entry.end_effector)

    def action_scale(self, body: Body) -> Array:
        """A quarter of each joint's range, at most 0.8 rad: enough for the whole target box."""
        return share_of_range(body, 0.25, 0.8)

    def bind(self, view: View, entry: Entry) -> Run:
        """Return the run."""
        return _Run(view, int(view.model.site(entry.end_effector).id))


class _Run(Run):
    def __init__(self, view: View, site: int) -> None:
        super().__init__(view)
        self._site = site
        data = at_home(view.model, view.body)
        self._home_hand_m = np.array(data.site_xpos[site])
        self.draws = 3 + len(view.body.home_q)
        self.memory = {"target_m": np.zeros((len(view.steps), 3))}
        self.observation_names = (
            *(f"target_from_home_{a}_m" for a in "xyz"),
            *(f"target_from_hand_{a}_m" for a in "xyz"),
        )

    def begin(self, ids: npt.NDArray[np.intp], uniform: Array) -> None:
        centred = 2.0 * uniform - 1.0
        self.memory["target_m"][ids] = self._home_hand_m + centred[:, :3] * TARGET_BOX_M
        body = self.view.body
        # The driven joints of an arm are all its joints, so home plus noise is the whole state.
        start = np.minimum(np.maximum(body.home_q + START_NOISE_RAD * centred[:, 3:], body.q_min), body.q_max)
        qpos = np.empty((len(ids), len(body.home_qpos)))
        qpos[:] = body.home_qpos
        qpos[:, body.q] = start
        self.view.qpos[ids] = qpos

    def _error_m(self) -> Array:
        return np.asarray(self.memory["target_m"] - self.view.derived["site_xpos"][:, self._site])

    def _distance_m(self) -> Array:
        e = self._error_m()
        e *= e
        return np.asarray(np.sqrt(e[:, 0] + e[:, 1] + e[:, 2]))

    def observe(self) -> Array:
        return np.concatenate([self.memory["target_m"] - self._home_hand_m, self._error_m()], axis=1)

    def reward(self, actions: Array) -> Array:
        """Minus the distance, plus a bonus that grows near the target; per second."""
        distance = self._distance_m()
        return np.asarray((1.0 - distance / 0.3 + np.exp(-((distance / NEAR_M) ** 2))) * self.view.policy_period_s)

    def ended(self) -> Mask:
        return np.zeros(len(self.view.steps), dtype=np.bool_)

    def succeeded(self) -> Mask:
        return np.asarray(self._distance_m() < NEAR_M)
