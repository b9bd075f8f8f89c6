"""A mirror sees and wants what a slot at the same task sees and wants."""

import numpy as np
import pytest

from sim.catalog import find
from sim.mirror import Mirror
from sim.slot import POLICY_PERIOD_S, SimSlot
from sim.tasks import find_task


@pytest.mark.parametrize(("robot", "task", "exact"), [("own_arm", "reach", 6), ("own_quadruped", "walk", 2)])
def test_a_mirror_that_is_told_a_worlds_state_observes_and_wants_the_same(robot: str, task: str, exact: int) -> None:
    """The first columns depend on angles, poses and chance alone; the estimated velocities come close."""
    entry = find(robot)
    # A mean velocity over 20 ms is compared with one instant's: how close they come depends on the very motion.
    slot = SimSlot(entry, find_task(task), worlds=1, threads=1, seed=5, first_world=7, actuators="ideal")
    mirror = Mirror(entry, find_task(task), seed=5, world=7)
    rng = np.random.default_rng(0)
    last = slot.joint_state()[3][0]

    def seen(step: int) -> np.ndarray:
        q, dq, _, _ = slot.joint_state()
        return mirror.observe(step * POLICY_PERIOD_S, q[0], dq[0], slot.base_pose()[0])

    obs = slot.reset(episodes=[0])
    for step in range(10):
        mine = seen(step)
        assert mine[0, :exact] == pytest.approx(obs[0, :exact], abs=1e-6)
        if step:
            assert mine == pytest.approx(obs, abs=0.5)
        action = rng.uniform(-0.5, 0.5, (1, slot.action_size))
        last = mirror.target(action, last)
        obs = slot.step(action).obs
        assert slot.joint_state()[3][0] == pytest.approx(last, abs=1e-9)


def test_each_episode_and_unit_meets_chance_of_its_own() -> None:
    entry, task = find("own_arm"), find_task("reach")
    home = np.zeros(7)

    def first_look(world: int, episode: int) -> np.ndarray:
        mirror = Mirror(entry, task, seed=1, world=world)
        mirror.begin(episode)
        return mirror.observe(0.0, home, home, None)

    assert (first_look(0, 0) == first_look(0, 0)).all()
    assert not np.allclose(first_look(0, 0), first_look(0, 1))
    assert not np.allclose(first_look(0, 0), first_look(1, 0))
