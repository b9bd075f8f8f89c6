"""Stable-Baselines3 on our worlds, unmodified; an optional check, for it brings PyTorch with it."""

import numpy as np
import pytest

pytest.importorskip("gymnasium", reason="the extra `env` is not installed")
pytest.importorskip("stable_baselines3", reason="Stable-Baselines3 is not installed")

from stable_baselines3 import PPO

from sim.env.stable import StableVecEnv
from sim.env.vector import make_vec
from sim.errors import BadSeed


def stable(envs: int) -> StableVecEnv:
    return StableVecEnv(make_vec("own_arm", "reach", envs, autoreset_mode="SameStep"))


def test_ends_tell_the_last_observation_and_that_time_ran_out() -> None:
    env, plain = stable(2), make_vec("own_arm", "reach", 2)
    env.seed(3)
    assert np.array_equal(env.reset(), plain.reset(seed=3)[0])
    assert env.reset_infos == [{"seed": 3}, {"seed": 4}]
    for _ in range(plain.slot.horizon_steps):
        obs, _, done, infos = env.step(np.zeros((2, 7)))
        last, *_ = plain.step(np.zeros((2, 7)))

    assert done.all()
    assert all(info["TimeLimit.truncated"] for info in infos)
    assert np.array_equal(np.stack([info["terminal_observation"] for info in infos]), last)
    assert np.array_equal(obs, plain.step(np.zeros((2, 7)))[0])


def test_a_broken_episode_tells_its_reason_and_is_no_time_limit() -> None:
    env = stable(2)
    env.seed(3)
    env.reset()
    action = np.zeros((2, 7))
    action[1, 0] = np.nan
    _, _, done, infos = env.step(action)

    assert done.tolist() == [False, True]
    assert "nan" in infos[1]["failure"]
    assert not infos[1]["TimeLimit.truncated"]


def test_ppo_trains_on_it_and_the_same_seed_gives_the_same_policy() -> None:
    """Two short trainings from the same seed end in the same weights, and these are not those at the start."""
    weights = []
    for steps in (0, 128, 128):
        model = PPO("MlpPolicy", stable(4), n_steps=16, batch_size=32, n_epochs=2, seed=5, device="cpu")
        if steps:
            model.learn(steps)
        weights.append(model.policy.action_net.weight.detach().numpy().copy())

    assert not np.array_equal(weights[0], weights[1])
    assert np.array_equal(weights[1], weights[2])


def test_what_it_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match="SAME_STEP"):
        StableVecEnv(make_vec("own_arm", "reach", 1))
    env = stable(2)
    with pytest.raises(BadSeed):
        env.seed(-1)
    with pytest.raises(NotImplementedError, match="horizon"):
        env.set_attr("horizon", 3)
    with pytest.raises(NotImplementedError, match="jump"):
        env.env_method("jump")
    assert env.env_is_wrapped(object) == [False, False]
    assert env.get_attr("num_envs") == [2, 2]
