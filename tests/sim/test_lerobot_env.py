"""What LeRobot's evaluation asks of a vector: names, calls, successes."""

import numpy as np
import pytest

pytest.importorskip("gymnasium", reason="the extra `env` is not installed")

from sim.env.lerobot import NEW_ROLLOUT, make_env
from sim.env.vector import make_vec


def rollout(env, seeds):  # type: ignore[no-untyped-def]
    """A rollout as LeRobot's evaluation does it: until every environment has ended once."""
    steps = env.call("_max_episode_steps")[0]
    obs, _ = env.reset(seed=seeds, options={NEW_ROLLOUT: True})
    assert env.observation_space.contains(obs)
    done, success = np.zeros(env.num_envs, bool), np.zeros(env.num_envs, bool)
    for _ in range(steps):
        obs, _, terminated, truncated, info = env.step(np.zeros(env.action_space.shape, np.float32))
        if "final_info" in info:
            success |= np.asarray(info["final_info"]["is_success"]) & ~done
        done |= terminated | truncated
    return obs, done, success


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_make_env_gives_a_suite_that_lerobots_rollout_goes_through(mode: str) -> None:
    ((suite, envs),) = make_env(n_envs=3, use_async_envs=True, robot="own_humanoid", task="stand").items()
    assert suite == "palaestra/own_humanoid"
    env = envs[0] if mode == "NextStep" else type(envs[0])(envs[0].slot, autoreset_mode=mode)
    obs, done, success = rollout(env, [4, 5, 6])

    assert done.all()
    assert success.tolist() == _plain_successes([4, 5, 6])
    assert obs["agent_pos"].shape == (3, 29)
    assert obs["agent_pos"].dtype == obs["environment_state"].dtype == np.float32
    assert env.get_attr("task_description") == ("stay upright under pushes",) * 3
    assert env.call("task") == ("stand",) * 3
    with pytest.raises(AttributeError):
        env.call("task_of_nobody")


def _plain_successes(seeds: list[int]) -> list[bool]:
    env = make_vec("own_humanoid", "stand", len(seeds))
    env.reset(seed=seeds)
    success = np.zeros(len(seeds), bool)
    done = np.zeros(len(seeds), bool)
    for _ in range(env.slot.horizon_steps):
        *_, terminated, truncated, info = env.step(np.zeros((len(seeds), 29)))
        if "success" in info:
            success |= info["success"] & ~done
        done |= terminated | truncated
    return success.tolist()


def test_the_configuration_can_name_robot_and_task() -> None:
    class Config:
        task = "own_quadruped/walk"

    ((suite, envs),) = make_env(cfg=Config()).items()

    assert suite == "palaestra/own_quadruped"
    assert envs[0].call("task") == ("walk",)
