"""Tasks: their arithmetic, their chance, and that doing better earns more."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sim.catalog import find, robots
from sim.chance import philox_uniform
from sim.errors import UnknownTask
from sim.motion import find_motion
from sim.slot import SimSlot
from sim.task import gravity_across, heading, rotated_back, upright
from sim.tasks import find_task, tasks, tasks_for
from sim.tasks.follow import Follow
from tests.sim.wheels import needs

SUITED = [pytest.param(e.id, t.name, marks=() if e.is_own else needs(e.id)) for e in robots() for t in tasks_for(e)]


def total_reward(robot: str, task: str, gains: np.ndarray, *, worlds: int = 8) -> tuple[float, SimSlot]:
    """Mean return over one episode of a linear policy without any normalisation."""
    slot = SimSlot(find(robot), find_task(task), worlds=worlds, threads=1, seed=3)
    obs, total = slot.reset(episodes=np.zeros(worlds, dtype=int)), np.zeros(worlds)
    for _ in range(slot.horizon_steps):
        transition = slot.step(obs @ gains.T)
        obs = transition.obs
        total += transition.reward
    return float(total.mean()), slot


def test_vectors_are_turned_back_into_the_body_frame() -> None:
    """A body pitched forward by 90 degrees feels gravity along its own x axis."""
    half = np.sqrt(0.5)
    quaternion = np.array([[half, 0, half, 0], [1, 0, 0, 0], [half, 0, 0, half]])

    assert rotated_back(quaternion, np.array([0.0, 0.0, -1.0]))[0] == pytest.approx([1, 0, 0], abs=1e-12)
    assert rotated_back(quaternion, np.array([1.0, 2.0, 3.0]))[1] == pytest.approx([1, 2, 3])
    assert rotated_back(quaternion, np.array([0.0, 1.0, 0.0]))[2] == pytest.approx([1, 0, 0], abs=1e-12)
    assert upright(quaternion) == pytest.approx([0, 1, 1], abs=1e-12)
    cos, sin = heading(quaternion)
    assert (cos[2], sin[2]) == (pytest.approx(0, abs=1e-12), pytest.approx(1))


def test_gravity_across_is_to_the_bits_what_rotating_it_back_gives() -> None:
    """Also upright and on its head, where zeros have signs."""
    quaternion = np.random.default_rng(0).normal(size=(10_000, 4))
    quaternion[:4] = [[1, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0], [-1, 0, -0.0, 0]]
    whole = rotated_back(quaternion, np.array([0.0, 0.0, -1.0]))
    forward, left = gravity_across(quaternion)
    assert (forward.tobytes(), left.tobytes()) == (whole[:, 0].tobytes(), whole[:, 1].tobytes())


@pytest.mark.parametrize(("robot", "task"), SUITED)
def test_every_suited_robot_runs_the_task_with_finite_numbers(robot: str, task: str) -> None:
    slot = SimSlot(find(robot), find_task(task), worlds=2, threads=1, seed=1)
    chance = np.random.default_rng(0)
    for _ in range(15):
        t = slot.step(chance.uniform(-0.2, 0.2, (2, slot.action_size)))

    assert t.obs.shape == (2, slot.obs_size)
    assert len(slot.observation_names) == slot.obs_size
    assert np.isfinite(t.obs).all()
    assert np.isfinite(t.reward).all()
    assert not slot.diverged.any()
    assert not slot.stopped.any()


def test_targets_of_reach_lie_in_their_box_and_fill_it() -> None:
    slot = SimSlot(find("own_arm"), find_task("reach"), worlds=200, threads=1, seed=1)
    from_home = slot.reset()[:, :3]
    box = np.array([0.14, 0.18, 0.14])

    assert (np.abs(from_home) <= box).all()
    assert (np.ptp(from_home, axis=0) > 1.7 * box).all()


def test_an_arm_that_follows_its_error_earns_more_and_gets_nearer() -> None:
    """A transposed-Jacobian policy, computed here from finite differences, against doing nothing."""
    slot = SimSlot(find("own_arm"), find_task("reach"), worlds=8, threads=1, seed=3)
    base = slot.reset(worlds=np.zeros(8), episodes=np.zeros(8))
    probe = np.zeros((8, 7))
    probe[:7] = 0.2 * np.eye(7)
    for _ in range(30):
        t = slot.step(probe)
    moved = -(t.obs[:7, 3:6] - t.obs[7, 3:6]) / 0.2  # metres per unit of action, (7, 3)
    assert base.shape == (8, 6)
    gains = np.zeros((7, 6))
    gains[:, :3] = np.linalg.pinv(moved.T)
    idle, lazy = total_reward("own_arm", "reach", np.zeros((7, 6)))
    busy, clever = total_reward("own_arm", "reach", gains)

    assert busy > idle + 0.5
    assert clever.success.sum() > lazy.success.sum()


def test_a_quadruped_whose_thighs_swing_with_the_trot_goes_forward() -> None:
    """The two gains that matter: thighs forward while their leg is in the air, backward on the ground.

    Joints follow their targets about 0.1 s late, so the swing leads the lift by a little more than a quarter cycle.
    """
    gains, lead_rad = np.zeros((12, 10)), 0.6
    for i, name in enumerate(find("own_quadruped").joint_names()):
        if name.endswith("thigh"):
            diagonal = 1.0 if name.startswith(("left_front", "right_rear")) else -1.0
            gains[i, :2] = 0.9 * diagonal * np.array([-np.sin(lead_rad), np.cos(lead_rad)])
    idle, standing = total_reward("own_quadruped", "walk", np.zeros((12, 10)))
    there, walking = total_reward("own_quadruped", "walk", gains)
    back, _ = total_reward("own_quadruped", "walk", -gains)

    assert not standing.terminated.any()
    assert there > idle + 1.0 > back + 2.0
    assert walking.success.all()
    assert not standing.success.any()
    assert not walking.terminated.any()


def test_pushes_are_part_of_standing_and_differ_between_worlds() -> None:
    slot = SimSlot(find("own_humanoid"), find_task("stand"), worlds=6, threads=1, seed=2)
    speed = [np.abs(slot.step(np.zeros((6, 29))).obs[:, 5:7]).max(axis=1) for _ in range(round(0.9 / 0.02))]

    assert all(np.ptp(row) == 0.0 for row in speed[:9])
    assert len({row.tobytes() for row in np.transpose(speed)}) == 6
    assert (np.max(speed, axis=0) > 0.05).all()


def test_a_world_that_follows_a_motion_goes_where_the_motion_says() -> None:
    motion = find_motion("reach_around")
    slot = SimSlot(find("own_arm"), Follow(motion, 3.0), worlds=2, threads=1, seed=1)
    for _ in range(slot.horizon_steps):
        slot.step(np.zeros((2, 7)))
    q, _, _, q_ref = slot.joint_state()
    target = motion.fit(find("own_arm")).targets(2.98)

    assert slot.success.all()
    assert q_ref[0] == pytest.approx(target, abs=0.01)
    assert q[0] == pytest.approx(target, abs=0.1)
    assert np.abs(target - motion.fit(find("own_arm")).targets(0.0)).max() > 0.2


def test_an_unknown_task_is_answered_with_the_closest_name() -> None:
    assert set(tasks()) == {"reach", "stand", "walk"}
    with pytest.raises(UnknownTask, match="walk"):
        find_task("wlak")


def test_what_a_thread_drew_before_changes_no_number_of_an_episode() -> None:
    wanted = np.random.Generator(
        np.random.Philox(key=np.array([5, 7], np.uint64), counter=np.array([0, 0, 3, 0], np.uint64))
    ).random(9)
    for count in (1, 4, 7):
        philox_uniform(1, 2, 3, count)
        assert philox_uniform(5, 7, 3, 9).tobytes() == wanted.tobytes()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: philox_uniform(5, 7, 3, 9).tobytes(), range(400)))
    assert set(found) == {wanted.tobytes()}
