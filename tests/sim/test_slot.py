"""Sim slots: what is exact is tested to the last bit, what fails stays in its world."""

from typing import Any

import numpy as np
import pytest

from sim.catalog import ACTUATORS, Actuators, find
from sim.chance import philox_uniform
from sim.errors import BadAction, BadSeed, BadSnapshot, Misfit
from sim.slot import POLICY_PERIOD_S, SimSlot
from sim.tasks import find_task

PAIRS = [("own_arm", "reach"), ("own_humanoid", "stand"), ("own_quadruped", "walk")]


def slot(
    robot: str = "own_quadruped", task: str = "walk", *, worlds: int = 4, threads: int = 1, seed: int = 7, **kw: Any
) -> SimSlot:
    return SimSlot(find(robot), find_task(task), worlds=worlds, threads=threads, seed=seed, **kw)


def actions(s: SimSlot, steps: int) -> np.ndarray:
    """Actions that belong to world numbers, not to positions in the slot: (steps, worlds, nu)."""
    per_world = [np.random.default_rng([5, int(w)]).uniform(-0.5, 0.5, (steps, s.action_size)) for w in s.world_numbers]
    return np.stack(per_world, axis=1)


def run(s: SimSlot, steps: int) -> list[np.ndarray]:
    """Everything a policy sees, per step, as one array per world: (worlds, columns)."""
    out = []
    for action in actions(s, steps):
        t = s.step(action)
        out.append(np.column_stack([t.obs, t.reward, t.terminated, t.truncated, *s.joint_state()]))
    return out


@pytest.mark.parametrize(("robot", "task"), PAIRS)
@pytest.mark.parametrize("actuators", ACTUATORS)
def test_a_world_is_the_same_to_the_bit_in_any_batch_and_on_any_number_of_threads(
    robot: str, task: str, actuators: Actuators
) -> None:
    """World 2 alone, among three on one thread, among seven on two: the same bytes."""
    alone = run(slot(robot, task, worlds=1, first_world=2, actuators=actuators), 20)
    three = run(slot(robot, task, worlds=3, actuators=actuators), 20)
    seven = run(slot(robot, task, worlds=7, threads=2, actuators=actuators), 20)

    for a, b, c in zip(alone, three, seven, strict=True):
        assert a[0].tobytes() == b[2].tobytes() == c[2].tobytes()


@pytest.mark.parametrize(("robot", "task"), PAIRS)
def test_a_snapshot_continues_to_the_bit_also_in_a_new_slot(robot: str, task: str) -> None:
    """Run 10, snapshot, run 15; restored in the same slot and in a fresh one, the 15 repeat."""
    first = slot(robot, task)
    plan = actions(first, 25)
    for action in plan[:10]:
        first.step(action)
    kept = first.snapshot()
    seen = first.step(plan[10]).obs
    first.restore(kept)

    def rest(s: SimSlot) -> bytes:
        rows = []
        for action in plan[10:]:
            t = s.step(action)
            rows.append(np.column_stack([t.obs, t.reward, t.terminated, *s.joint_state()]))
        return np.stack(rows).tobytes()

    expected = rest(first)
    first.restore(kept)
    assert rest(first) == expected
    fresh = slot(robot, task)
    fresh.restore(kept)
    assert rest(fresh) == expected
    fresh.restore(kept)
    again = fresh.snapshot()
    assert again.state.tobytes() == kept.state.tobytes()
    assert np.array_equal(fresh.step(plan[10]).obs, seen)


def test_a_snapshot_of_something_else_is_refused_by_name() -> None:
    kept = slot(worlds=2).snapshot()

    with pytest.raises(BadSnapshot, match="worlds"):
        slot(worlds=3).restore(kept)
    with pytest.raises(BadSnapshot, match=r"robot_model|model_sha256"):
        slot("own_arm", "reach", worlds=2).restore(kept)


def test_seed_world_and_episode_each_change_the_chance_and_nothing_else_does() -> None:
    draw = philox_uniform(1, 2, 3, 4)

    assert np.array_equal(draw, philox_uniform(1, 2, 3, 4))
    assert np.array_equal(draw[:2], philox_uniform(1, 2, 3, 2))
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        assert not np.array_equal(draw, philox_uniform(*other, 4))


def test_worlds_differ_and_an_episode_can_be_repeated() -> None:
    s = slot("own_arm", "reach", worlds=3)
    first = s.reset(episodes=[0, 0, 0])
    second = s.reset()
    again = s.reset(episodes=[0, 0, 0])

    assert len({row.tobytes() for row in first}) == 3
    assert not np.array_equal(first, second)
    assert np.array_equal(first, again)


def test_worlds_with_the_same_number_meet_the_same_chance() -> None:
    s = slot("own_arm", "reach", worlds=4)
    obs = s.reset(worlds=[0, 1, 0, 1], episodes=[5, 5, 5, 5])

    assert np.array_equal(obs[:2], obs[2:])


@pytest.mark.parametrize(("robot", "task"), PAIRS)
def test_an_episode_knows_nothing_of_the_ones_before_it(robot: str, task: str) -> None:
    """Episode 0 of a slot that has run before, its motors warm, is episode 0 of a fresh one to the bit."""
    used, fresh = slot(robot, task, worlds=2), slot(robot, task, worlds=2)
    run(used, 15)
    used.reset(episodes=[0, 0])

    for a, b in zip(run(used, 10), run(fresh, 10), strict=True):
        assert a.tobytes() == b.tobytes()


def test_actuators_change_what_a_robot_does_and_a_snapshot_knows_which_they_were() -> None:
    ideal, physical = slot(actuators="ideal"), slot()

    assert physical.actuators == "physical"
    assert run(ideal, 10)[-1].tobytes() != run(physical, 10)[-1].tobytes()
    with pytest.raises(BadSnapshot, match=r"model_sha256|actuators"):
        physical.restore(ideal.snapshot())


def test_resetting_some_worlds_leaves_the_others_exactly_as_they_were() -> None:
    s, untouched = slot(worlds=3), slot(worlds=3)
    plan = actions(s, 20)
    for action in plan[:10]:
        s.step(action)
        untouched.step(action)
    s.reset([False, True, False])
    for action in plan[10:]:
        a, b = s.step(action), untouched.step(action)

    assert np.array_equal(a.obs[[0, 2]], b.obs[[0, 2]])
    assert not np.array_equal(a.obs[1], b.obs[1])
    assert s.steps.tolist() == [20, 10, 20]


def test_an_episode_ends_at_its_horizon_and_then_rests() -> None:
    s = slot("own_arm", "reach", worlds=2)
    for _ in range(s.horizon_steps):
        last = s.step(np.zeros((2, 7)))
    after = s.step(np.ones((2, 7)))

    assert last.truncated.all()
    assert not last.terminated.any()
    assert s.horizon_steps == round(find_task("reach").horizon_s / POLICY_PERIOD_S)
    assert np.array_equal(after.obs, last.obs)
    assert (after.reward == 0).all()


def test_a_robot_that_falls_ends_its_episode_without_success() -> None:
    """All joints asked to their extremes: the humanoid falls before the horizon."""
    s = slot("own_humanoid", "stand", worlds=2)
    for _ in range(s.horizon_steps):
        t = s.step(np.tile(np.where(np.arange(29) % 2, 1.0, -1.0), (2, 1)))

    assert t.terminated.all()
    assert not s.success.any()
    assert (s.steps < s.horizon_steps).all()


def test_the_control_core_limits_what_reaches_the_joints() -> None:
    """Torques never leave the joint's limit; actions beyond one count as one."""
    wild, clipped = slot(worlds=1), slot(worlds=1)
    limit = np.array([j.tau_max_nm for j in wild.body.spec.joints])
    for k in range(25):
        sign = np.where((np.arange(12) + k) % 2, 1.0, -1.0)[None, :]
        a, b = wild.step(50.0 * sign), clipped.step(sign)
        assert (np.abs(wild.joint_state()[2]) <= limit + 1e-9).all()

    assert np.array_equal(a.obs, b.obs)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_action_that_is_not_finite_is_refused_and_nothing_moves(bad: float) -> None:
    s, same = slot(worlds=2), slot(worlds=2)
    action = np.zeros((2, 12))
    action[1, 3] = bad
    with pytest.raises(BadAction, match=r"\[1\]"):
        s.step(action)

    assert np.array_equal(s.step(np.zeros((2, 12))).obs, same.step(np.zeros((2, 12))).obs)


def test_actions_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(BadAction, match="shape"):
        slot(worlds=2).step(np.zeros((2, 11)))


@pytest.mark.parametrize("poison", [np.nan, 1e12])
def test_a_world_that_diverges_is_named_and_the_others_go_on_to_the_bit(poison: float) -> None:
    s, sound = slot(worlds=3), slot(worlds=3)
    plan = actions(s, 12)
    for action in plan[:5]:
        s.step(action)
        sound.step(action)
    s._qvel[1, 7] = poison
    for action in plan[5:]:
        t, reference = s.step(action), sound.step(action)

    assert s.diverged.tolist() == [False, True, False]
    assert list(s.failures) == [1]
    assert "world 1" in s.failures[1]
    assert t.terminated[1]
    assert np.isfinite(t.obs).all()
    assert np.array_equal(t.obs[[0, 2]], reference.obs[[0, 2]])
    s.reset([False, True, False])
    assert not s.diverged.any()
    assert not s.failures
    assert not s.step(plan[0]).terminated[1]


def test_a_robot_that_the_control_core_stops_ends_its_episode_with_the_reason() -> None:
    """A knee is given a speed far beyond its trip speed: the core stops that robot, in that world."""
    s = slot(worlds=2)
    s._qvel[1, 8] = 60.0
    t = s.step(np.zeros((2, 12)))

    assert s.stopped.tolist() == [False, True]
    assert t.terminated.tolist() == [False, True]
    assert t.reward[1] == 0.0
    assert "OVER_SPEED" in s.failures[1]


def test_results_are_copies_that_later_steps_do_not_change() -> None:
    s = slot(worlds=2)
    first = s.step(np.zeros((2, 12)))
    kept = [np.array(a) for a in first]
    s.step(np.ones((2, 12)))

    assert all(np.array_equal(a, b) for a, b in zip(first, kept, strict=True))


def test_the_numpy_core_gives_the_same_worlds_as_the_compiled_one() -> None:
    default = slot(worlds=2)
    plain = SimSlot(find("own_quadruped"), find_task("walk"), worlds=2, threads=1, seed=7, backend="numpy")

    assert plain.backend == "numpy"
    for a, b in zip(run(default, 15), run(plain, 15), strict=True):
        assert a.tobytes() == b.tobytes()


def test_a_task_that_does_not_suit_the_robot_is_refused() -> None:
    with pytest.raises(Misfit, match="own_arm"):
        slot("own_arm", "walk")


@pytest.mark.parametrize(("worlds", "threads"), [(0, 1), (1, 0), (1, -1)])
def test_no_worlds_or_no_threads_are_refused(worlds: int, threads: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        slot(worlds=worlds, threads=threads)


@pytest.mark.parametrize("seed", [2**64, 2**63, -(2**63) - 1, 1.5, "1"], ids=str)
def test_a_job_s_seed_that_would_be_another_s_is_refused(seed: Any) -> None:
    """The generator's key has 64 bits: 2^64 would be 0, and 1.5 would be 1."""
    with pytest.raises(BadSeed, match="seed = "):
        slot("own_arm", "reach", worlds=1, seed=seed)
