"""Evaluation of policies in worlds, and the same from the command line with a real policy server."""

import numpy as np
import pytest

from sim.__main__ import main
from sim.catalog import find
from sim.evaluate import evaluate
from sim.slot import SimSlot
from sim.tasks import find_task


class Towards:
    """An arm's way to the target, roughly: a gain for each error; counts its resets."""

    def __init__(self, gain: float) -> None:
        self.gain, self.resets = gain, 0

    def reset(self) -> None:
        self.resets += 1

    def act(self, obs: np.ndarray) -> np.ndarray:
        actions = np.zeros((len(obs), 7))
        actions[:, 0] = self.gain * obs[:, 4]
        actions[:, 1] = -self.gain * obs[:, 5]
        return actions


def slot(worlds: int) -> SimSlot:
    return SimSlot(find("own_arm"), find_task("reach"), worlds=worlds, threads=1, seed=3)


def test_episodes_are_the_same_ones_whatever_the_policy_and_each_counts_once() -> None:
    """Five episodes of two worlds: three rounds, the last one counts half."""
    told: list[int] = []
    policy = Towards(1.0)
    found = evaluate(slot(2), policy, 5, progress=lambda done, _: told.append(done))
    again = evaluate(slot(2), Towards(1.0), 5)
    other = evaluate(slot(2), Towards(0.0), 5)

    assert told == [2, 4, 5]
    assert policy.resets == 3
    assert found.trials == 5
    assert np.array_equal(found.returns, again.returns)
    assert len(set(found.returns)) == 5
    assert not np.array_equal(found.returns, other.returns)
    with pytest.raises(ValueError, match="episodes"):
        evaluate(slot(2), policy, 0)


def test_an_episode_that_breaks_off_is_told_with_its_reason_and_is_no_success() -> None:
    class Broken(Towards):
        def act(self, obs: np.ndarray) -> np.ndarray:
            actions = super().act(obs)
            actions[1] = np.nan
            return actions

    found = evaluate(slot(2), Broken(1.0), 2)

    assert len(found.failures) == 1
    assert "world 1" in found.failures[0]
    assert found.returns[1] == 0.0


def test_the_command_line_evaluates_a_policy_server(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("websockets", reason="the extra `env` is not installed")
    pytest.importorskip("msgpack", reason="the extra `env` is not installed")
    from sim.env.wire import pack
    from tests.sim.policy_server import answering, server

    asked = []

    def policy(observation):  # type: ignore[no-untyped-def]
        asked.append(observation["prompt"])
        return pack({"actions": Towards(1.0).act(observation["observation/state"][None].astype(float))})

    with server(answering(policy)) as address:
        arguments = ["--policy-server", address, "--episodes", "2", "--worlds", "2", "--seed", "3"]
        assert main(["evaluate", "own_arm", "reach", *arguments]) == 0
        told = capsys.readouterr().out
        assert main(["evaluate", "own_arm", "reach", *arguments, "--chunk-steps", "0"]) == 2
    assert main(["evaluate", "own_arm", "reach", *arguments]) == 2

    expected = evaluate(slot(2), Towards(1.0), 2)
    assert f"success {expected.successes}/2, mean return {expected.returns.mean():.4g}" in told
    assert set(asked) == {"bring the hand to a point"}
    assert "no policy server" in capsys.readouterr().err
