"""dm_env's own checks of an environment, and what it does not ask."""

import numpy as np
import pytest

dm_env = pytest.importorskip("dm_env", reason="the extra `env` is not installed")

from absl.testing import absltest  # noqa: E402
from dm_env import test_utils  # noqa: E402

from sim.env.dm import OBSERVATION, DmEnv  # noqa: E402
from sim.errors import BadAction, BadSeed  # noqa: E402


class TestReach(test_utils.EnvironmentTestMixin, absltest.TestCase):
    """dm_env's conformance tests, over more than one episode."""

    def make_object_under_test(self) -> DmEnv:
        return DmEnv("own_arm", "reach", seed=3)

    def make_action_sequence(self):  # type: ignore[no-untyped-def]
        rng = np.random.default_rng(1)
        for _ in range(self.object_under_test.slot.horizon_steps + 5):
            yield rng.uniform(-0.5, 0.5, self.object_under_test.action_spec().shape)


def test_a_horizon_keeps_the_discount_and_a_failure_takes_it() -> None:
    env = DmEnv("own_quadruped", "walk", seed=1)
    step = env.reset()
    while not step.last():
        step = env.step(np.zeros(12))
    assert step.discount == 1.0
    assert env.failure() == ""

    env.reset()
    step = env.step(np.full(12, np.nan))
    assert step.last()
    assert step.discount == 0.0
    assert "nan" in env.failure()
    assert env.step(np.zeros(12)).first()


def test_a_seed_gives_the_episodes_of_that_world_and_gymnasium_the_same_ones() -> None:
    gymnasium_env = pytest.importorskip("sim.env.single").make("own_arm", "reach")
    ours, again = DmEnv("own_arm", "reach", seed=5), DmEnv("own_arm", "reach", seed=5)
    first, second = ours.reset().observation[OBSERVATION], ours.reset().observation[OBSERVATION]

    assert np.array_equal(again.reset().observation[OBSERVATION], first)
    assert not np.array_equal(first, second)
    assert np.array_equal(gymnasium_env.reset(seed=5)[0], first)
    assert np.array_equal(gymnasium_env.reset()[0], second)


def test_what_cannot_be_honoured_is_refused() -> None:
    with pytest.raises(BadSeed):
        DmEnv("own_arm", "reach", seed=-1)
    with pytest.raises(BadSeed):
        DmEnv("own_arm", "reach", seed=None)  # type: ignore[arg-type]
    env = DmEnv("own_arm", "reach", seed=1)
    env.reset()
    with pytest.raises(BadAction, match="shape"):
        env.step(np.zeros(3))
