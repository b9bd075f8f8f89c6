"""Environments in worlds: Gymnasium's own checks, equality with Gymnasium's own vectors, seeds, ends, failures."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="the extra `env` is not installed")

from gymnasium.error import ResetNeeded  # noqa: E402
from gymnasium.utils.env_checker import check_env, data_equivalence  # noqa: E402
from gymnasium.vector import AutoresetMode, SyncVectorEnv  # noqa: E402
from gymnasium.wrappers.vector import RecordEpisodeStatistics  # noqa: E402

from palaestra_env.seeds import SEED_MAX, fresh, world_numbers  # noqa: E402
from sim.env.single import SlotEnv, make  # noqa: E402
from sim.env.vector import Buffers, SlotVectorEnv, make_vec  # noqa: E402
from sim.errors import BadAction, BadSeed, NoDisplay  # noqa: E402

QUADRUPED = ("own_quadruped", "walk")
ARM = ("own_arm", "reach")
MODES = list(AutoresetMode)


def plan(env: SlotVectorEnv | SyncVectorEnv, steps: int, *, reach: float = 1.0) -> Iterator[np.ndarray]:
    """Actions that belong to an environment's place in the vector and to the step."""
    for k in range(steps):
        rows = [np.random.default_rng([k, i]).uniform(-reach, reach, env.single_action_space.shape) for i in range(8)]
        yield np.stack(rows[: env.num_envs]).astype(np.float32)


def rows(env: SlotVectorEnv, seed: int, steps: int) -> list[list[bytes]]:
    """What every environment shows, step by step: its first observations, then all that a step returns."""
    seen = [[row.tobytes()] for row in env.reset(seed=seed)[0]]
    # World 5 is at step 140 of 150, world 6 at 130 and so on.
    env.slot.steps[:] = env.slot.horizon_steps - 10 * (env.slot.world_numbers - 4)
    for action in plan(env, steps):
        *results, _ = env.step(action)
        for i, row in enumerate(seen):
            row.append(b"".join(np.asarray(r[i]).tobytes() for r in results))
    return seen


def test_gymnasiums_check_of_an_env_passes() -> None:
    with warnings.catch_warnings():
        # Observations are metres and radians per second: they have no bounds, and we do not invent some.
        warnings.filterwarnings("ignore", message=".*(infinity|No render fps|different spec|spec).*")
        check_env(make(*ARM), skip_render_check=True)


@pytest.mark.parametrize("mode", MODES)
def test_a_vector_equals_gymnasiums_own_vector_of_single_environments_to_the_bit(mode: AutoresetMode) -> None:
    """Observations, rewards, ends and infos over more than one episode, from the same seed."""
    ours = make_vec(*ARM, num_envs=3, autoreset_mode=mode)
    theirs = SyncVectorEnv([lambda: make(*ARM)] * 3, autoreset_mode=mode)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.metadata == theirs.metadata
    assert data_equivalence(ours.reset(seed=11), theirs.reset(seed=11), exact=True)
    begun = 0

    for action in plan(ours, 105):
        a, b = ours.step(action), theirs.step(action)
        assert data_equivalence(a, b, exact=True)
        begun += "_seed" in a[4]
        if mode == AutoresetMode.DISABLED and (a[2] | a[3]).any():
            options = {"reset_mask": a[2] | a[3]}
            assert data_equivalence(ours.reset(options=dict(options)), theirs.reset(options=dict(options)), exact=True)
            begun += 1
    assert begun


def test_an_environment_is_the_same_to_the_bit_in_any_vector_and_on_any_number_of_threads() -> None:
    """Worlds whose episodes end at their own times: seed 5 alone, as one of three, as one of seven on two threads."""
    three, seven = make_vec(*QUADRUPED, 3), make_vec(*QUADRUPED, 7, threads=2)

    a, b = rows(three, 5, 40), rows(seven, 5, 40)
    assert a == b[:3]
    assert rows(make_vec(*QUADRUPED, 1), 5, 40)[0] == a[0]
    assert three.slot.episodes.tolist() == [1, 1, 1]


def test_seeds_are_worlds_an_int_for_the_first_or_one_for_each() -> None:
    env = make_vec(*ARM, 4)
    first, info = env.reset(seed=3)
    assert info["seed"].tolist() == [3, 4, 5, 6]
    assert info["_seed"].all()
    assert env.np_random_seed == (3, 4, 5, 6)

    given, _ = env.reset(seed=[6, 3, 3, 9])
    assert np.array_equal(given[:3], first[[3, 0, 0]])
    assert not (given[3] == first).all(axis=1).any()
    partly, info = env.reset(seed=[3, None, None, 3])
    assert np.array_equal(partly[[0, 3]], first[[0, 0]])
    assert info["seed"].tolist() == [3, 3, 3, 3]
    assert info["episode_number"].tolist() == [0, 1, 1, 0]


def test_without_a_seed_the_episodes_of_a_world_go_on_and_a_world_that_never_had_one_tells_what_it_got() -> None:
    env, other = make_vec(*ARM, 2), make_vec(*ARM, 2)
    _, info = env.reset()
    assert env.np_random_seed == tuple(info["seed"].tolist())
    first, _ = env.reset(seed=info["seed"].tolist())
    next_, info = env.reset()
    assert not np.array_equal(first, next_)
    assert info["episode_number"].tolist() == [1, 1]

    other.reset(seed=env.np_random_seed[0])
    assert np.array_equal(other.reset()[0], next_)
    assert np.array_equal(other.reset(options={"episode": 1})[0], next_)
    assert fresh(2) != fresh(2)


@pytest.mark.parametrize("seed", [-1, SEED_MAX, 1.5, "7", True, [1], [1, 2, 3], [1, -2], [1, "x"]])
def test_a_seed_that_cannot_be_honoured_is_refused(seed: Any) -> None:
    env = make_vec(*ARM, 2)
    with pytest.raises(BadSeed, match="seed"):
        env.reset(seed=seed)


def test_a_seed_may_be_any_whole_number_numpys_included() -> None:
    assert world_numbers(np.int64(4), 2) == [4, 5]
    assert world_numbers(np.array([1, 2]), 2) == [1, 2]
    assert world_numbers((None, np.uint8(2)), 2) == [None, 2]


def test_a_partial_reset_leaves_the_others_exactly_as_they_were() -> None:
    env, untouched = (make_vec(*QUADRUPED, 3, autoreset_mode="Disabled") for _ in range(2))
    for each in (env, untouched):
        each.reset(seed=1)
    actions = list(plan(env, 20, reach=0.2))
    for action in actions[:10]:
        env.step(action)
        untouched.step(action)
    _, info = env.reset(seed=[None, 40, None], options={"reset_mask": np.array([False, True, False])})
    assert info["_seed"].tolist() == [False, True, False]
    assert info["seed"][1] == 40
    for action in actions[10:]:
        a, b = env.step(action), untouched.step(action)

    assert np.array_equal(a[0][[0, 2]], b[0][[0, 2]])
    assert not np.array_equal(a[0][1], b[0][1])


def test_a_seed_for_an_environment_that_is_not_reset_is_refused_and_not_dropped() -> None:
    env = make_vec(*ARM, 2)
    env.reset(seed=1)
    with pytest.raises(ValueError, match="environment 1"):
        env.reset(seed=[None, 4], options={"reset_mask": np.array([True, False])})
    with pytest.raises(ValueError, match="environment 1"):
        env.reset(seed=np.array([3, 4]), options={"reset_mask": np.array([True, False])})


@pytest.mark.parametrize(
    ("options", "error", "reason"),
    [
        ({"mask": 1}, ValueError, "mask"),
        ({"reset_mask": [True, False]}, TypeError, "numpy array of bool"),
        ({"reset_mask": np.zeros(2, np.bool_)}, ValueError, "at least 1"),
        ({"reset_mask": np.ones(3, np.bool_)}, ValueError, "shape"),
        ({"episode": -1}, ValueError, "episode"),
        ({"episode": [1, 2, 3]}, ValueError, "episode"),
        ({"episode": 0.5}, ValueError, "episode"),
    ],
)
def test_options_that_mean_nothing_are_refused_by_name(options: Any, error: Any, reason: str) -> None:
    env = make_vec(*ARM, 2)
    env.reset(seed=1)
    with pytest.raises(error, match=reason):
        env.reset(options=options)


def test_steps_that_need_a_reset_say_so() -> None:
    env = make_vec(*ARM, 2, autoreset_mode=AutoresetMode.DISABLED)
    with pytest.raises(ResetNeeded, match="before the first reset"):
        env.step(np.zeros((2, 7)))
    with pytest.raises(ResetNeeded, match="first reset"):
        env.reset(options={"reset_mask": np.array([True, False])})
    env.reset(seed=1)
    for _ in range(env.slot.horizon_steps):
        env.step(np.zeros((2, 7)))
    with pytest.raises(ResetNeeded, match=r"\[0, 1\]"):
        env.step(np.zeros((2, 7)))
    single = make(*ARM)
    with pytest.raises(ResetNeeded):
        single.step(np.zeros(7))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("mode", MODES)
def test_an_action_that_is_no_number_ends_its_environment_with_the_reason_and_no_other(
    mode: AutoresetMode, bad: float
) -> None:
    env, sound = (make_vec(*QUADRUPED, 3, autoreset_mode=mode) for _ in range(2))
    for each in (env, sound):
        each.reset(seed=2)
    actions = list(plan(env, 12, reach=0.2))
    actions[4] = actions[4].copy()
    good = actions[4].copy()
    actions[4][1, 3] = bad
    for k, action in enumerate(actions):
        asked = np.where(np.isfinite(action), action, 0.0) if k != 4 else action
        a = env.step(asked)
        b = sound.step(good if k == 4 else asked)
        assert np.array_equal(a[0][[0, 2]], b[0][[0, 2]])
        assert np.isfinite(a[0]).all()
        if k == 4:
            told = a[4]["final_info"] if mode == AutoresetMode.SAME_STEP else a[4]
            joint = env.slot.joint_names[3]
            assert a[2].tolist() == [False, True, False]
            assert a[1][1] == 0.0
            assert told["_failure"].tolist() == [False, True, False]
            assert joint in told["failure"][1]
            assert not told["success"][1]
            if mode == AutoresetMode.DISABLED:
                env.reset(options={"reset_mask": a[2]})


@pytest.mark.parametrize("poison", [np.nan, 1e12])
def test_a_world_that_explodes_is_terminated_with_its_reason_reset_and_the_others_go_on_to_the_bit(
    poison: float,
) -> None:
    env, sound = make_vec(*QUADRUPED, 3), make_vec(*QUADRUPED, 3)
    for each in (env, sound):
        each.reset(seed=2)
    actions = list(plan(env, 10, reach=0.2))
    ended = []
    for k, action in enumerate(actions):
        if k == 3:
            env.slot.core.qvel[1, 7] = poison
        a, b = env.step(action), sound.step(action)
        assert np.array_equal(a[0][[0, 2]], b[0][[0, 2]])
        assert np.isfinite(a[0]).all()
        if a[2].any():
            ended.append((k, a[2].tolist(), a[4]["failure"][1]))
        if k == 4:
            assert a[4]["_episode_number"].tolist() == [False, True, False]
            assert a[4]["episode_number"][1] == 1

    ((step, flags, reason),) = ended
    assert step == 3
    assert flags == [False, True, False]
    assert "world 1" in reason


def test_an_action_of_another_shape_is_refused_and_nothing_is_stepped() -> None:
    env, same = make_vec(*ARM, 2), make_vec(*ARM, 2)
    env.reset(seed=1)
    same.reset(seed=1)
    with pytest.raises(BadAction, match="shape"):
        env.step(np.zeros((2, 6)))
    single = make(*ARM)
    single.reset(seed=1)
    with pytest.raises(BadAction, match="shape"):
        single.step(np.zeros((1, 7)))

    assert np.array_equal(env.step(np.zeros((2, 7)))[0], same.step(np.zeros((2, 7)))[0])


def test_results_are_written_into_given_buffers_and_without_copies_are_those() -> None:
    slot = make_vec(*ARM, 2).slot
    buffers = Buffers.empty(2, slot.obs_size)
    env = SlotVectorEnv(slot, buffers=buffers, copy=False)
    obs, _ = env.reset(seed=1)
    assert obs is buffers.obs
    results = env.step(np.zeros((2, 7)))
    assert results[:4] == (buffers.obs, buffers.reward, buffers.terminated, buffers.truncated)
    assert (buffers.reward != 0).all()

    with pytest.raises(ValueError, match="reward"):
        SlotVectorEnv(slot, buffers=Buffers(buffers.obs, np.zeros(3), buffers.terminated, buffers.truncated))


def test_results_are_copies_otherwise() -> None:
    env = make_vec(*ARM, 2)
    env.reset(seed=1)
    kept = env.step(np.zeros((2, 7)))[:4]
    copies = [np.array(a) for a in kept]
    for _ in range(3):
        env.step(np.ones((2, 7)))

    assert all(np.array_equal(a, b) for a, b in zip(kept, copies, strict=True))


def test_gymnasiums_wrappers_for_vectors_count_our_episodes() -> None:
    env = RecordEpisodeStatistics(make_vec(*ARM, 2))
    env.reset(seed=1)
    total = np.zeros(2)
    for action in plan(env, env.unwrapped.slot.horizon_steps):
        _, reward, _, truncated, info = env.step(action)
        total += reward

    assert truncated.all()
    assert info["episode"]["l"].tolist() == [100, 100]
    assert info["episode"]["r"] == pytest.approx(total)


def test_a_world_is_drawn_as_it_stands() -> None:
    """Two pictures of the same moment are the same; another world and a robot that has moved look different."""
    env = make_vec(*ARM, 2, render_mode="rgb_array")
    env.reset(seed=1)
    try:
        first, other = env.render()
    except NoDisplay as error:
        pytest.skip(str(error))
    again = env.render()[0]
    for _ in range(15):
        env.step(np.ones((2, 7)))
    moved = env.render()[0]

    assert first.shape == (320, 480, 3)
    assert len(np.unique(first.reshape(-1, 3), axis=0)) > 100
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert (moved != first).any(axis=2).mean() > 0.005


def test_an_env_is_one_world() -> None:
    with pytest.raises(ValueError, match="SlotVectorEnv"):
        SlotEnv(make_vec(*ARM, 2).slot)
    with pytest.raises(ValueError, match="render_mode"):
        make(*ARM, render_mode="human")
