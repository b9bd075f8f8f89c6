"""Collecting and evaluating in worlds: own robots, tiny sizes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palaestra import jobs
from palaestra.v1 import episode_pb2
from runner.attempt import Attempt
from runner.collect import collect
from runner.errors import AttemptError, Stopped
from runner.evaluate import RECORDED, evaluate
from runner.interval import wilson
from runner.policy import LinearPolicy
from runner.train import train
from sim import catalog
from sim.unit import EmulatedUnit
from store import read_episode
from tests.runner.desk import Desk, attempt_at

SWAY = jobs.collect(motion="reach_around", episodes=2, episode_s=0.4, robot_model="own_arm", worlds=3, seed=4)


def contents(desk: Desk) -> list[str]:
    return [episode.content.sha256 for _, episode in sorted(desk.episodes.items())]


def signals(attempt: Attempt, desk: Desk) -> list[bytes]:
    """What was recorded in each episode, without its header, which names the attempt and the hour."""
    read = [read_episode(attempt.objects.path_of(sha256)) for sha256 in contents(desk)]
    return [b"".join(np.ascontiguousarray(values).tobytes() for values in episode.signals.values()) for episode in read]


def test_every_world_of_every_round_is_an_episode(desk: Desk, tmp_path: Path) -> None:
    attempt = attempt_at(desk, tmp_path, SWAY)
    collect(attempt)

    assert len(desk.episodes) == 6
    assert [episode.world for _, episode in sorted(desk.episodes.items())] == [0, 1, 2, 0, 1, 2]
    for entry in desk.episodes.values():
        episode = read_episode(attempt.objects.path_of(entry.content.sha256))
        # 0.4 s at 50 Hz.
        assert len(episode.time_s) == entry.rows == 20
        assert (episode.header.seed, episode.header.robot_model, episode.header.vendor) == (4, "own_arm", "acme")
        assert entry.provenance["model_sha256"] == episode.header.model_sha256


@pytest.mark.parametrize("actuators", ["physical", "ideal"])
def test_an_episode_names_its_actuators_as_a_unit_of_the_same_robot_does(
    desk: Desk, tmp_path: Path, actuators: catalog.Actuators
) -> None:
    job = jobs.collect(motion="reach_around", episode_s=0.1, robot_model="own_arm", worlds=1, actuators=actuators)
    attempt = attempt_at(desk, tmp_path, job)
    collect(attempt)
    unit = EmulatedUnit(catalog.find("own_arm"), "twin", period_s=0.002, actuators=actuators)
    named = unit.identity().provenance

    (entry,) = desk.episodes.values()
    header = read_episode(attempt.objects.path_of(entry.content.sha256)).header
    assert (header.actuators, header.drives_sha256) == (actuators, named["drives_sha256"])
    assert (entry.provenance["actuators"], entry.provenance["drives_sha256"]) == (actuators, named["drives_sha256"])


def test_work_has_physical_actuators_unless_it_asks_for_others(tmp_path: Path) -> None:
    """Whatever its kind: the same job with the default said aloud has the same outcome, with ideal ones another."""

    def outcome(work: str, actuators: str) -> float:
        if work == "train":
            job = jobs.train("reach", "own_arm", iterations=1, directions=1, seed=3, actuators=actuators)
            return train(attempt_at(Desk(), tmp_path, job)).return_before
        job = jobs.evaluate("reach", "own_arm", episodes=2, seed=3, actuators=actuators)
        return evaluate(attempt_at(Desk(), tmp_path, job)).return_after

    for work in ("train", "evaluate"):
        assert outcome(work, "") == outcome(work, "physical") != outcome(work, "ideal")


def test_a_round_that_was_cut_is_run_again_whole_and_the_same(desk: Desk, tmp_path: Path) -> None:
    """The second round loses its attempt after one of three episodes; the next attempt repeats it to the last bit."""

    def cut(method: str) -> None:
        if method == "CatalogueEpisode" and len(desk.episodes) == 4:
            desk.refuse = "ATTEMPT_NOT_ACTIVE"

    desk.on_call = cut
    with pytest.raises(Stopped):
        collect(attempt_at(desk, tmp_path, SWAY))
    assert len(desk.episodes) == 4
    desk.refuse, desk.on_call = "", lambda method: None
    again = attempt_at(desk, tmp_path, SWAY, number=2)
    collect(again)

    whole_desk = Desk()
    collect(attempt_at(whole_desk, tmp_path, SWAY))
    whole = signals(again, whole_desk)
    recorded = signals(again, desk)
    # Round one and the first world of round two by the first attempt, round two by the second.
    assert recorded == [*whole[:4], *whole[3:]]


def test_an_evaluation_counts_successes_and_records_the_first_episodes(desk: Desk, tmp_path: Path) -> None:
    job = jobs.evaluate("reach", "own_arm", episodes=6, seed=3)
    attempt = attempt_at(desk, tmp_path, job)
    result = evaluate(attempt)

    assert result.trials == 6
    assert result.success_rate == result.successes / 6
    assert (result.success_low, result.success_high) == wilson(result.successes, 6)
    assert len(desk.episodes) == RECORDED
    successes = sum(outcome == episode_pb2.EPISODE_OUTCOME_SUCCESS for outcome in desk.outcomes())
    assert successes <= result.successes
    assert all(episode.HasField("return_value") for episode in desk.episodes.values())


def test_an_evaluation_is_the_same_each_time_and_pairs_policies_by_their_worlds(tmp_path: Path) -> None:
    """The same seed meets the same worlds: the policy that does nothing has one return, and another seed another."""
    returns = [
        evaluate(attempt_at(Desk(), tmp_path, jobs.evaluate("reach", "own_arm", episodes=4, seed=seed))).return_after
        for seed in (3, 3, 4)
    ]

    assert returns[0] == returns[1]
    assert returns[0] != returns[2]


def test_an_evaluation_that_was_cut_records_what_is_missing(desk: Desk, tmp_path: Path) -> None:
    job = jobs.evaluate("reach", "own_arm", episodes=4)

    def cut(method: str) -> None:
        if len(desk.episodes) == 3:
            desk.refuse = "ATTEMPT_NOT_ACTIVE"

    desk.on_call = cut
    with pytest.raises(Stopped):
        evaluate(attempt_at(desk, tmp_path, job))
    desk.refuse, desk.on_call = "", lambda method: None
    evaluate(attempt_at(desk, tmp_path, job, number=2))

    assert sorted(episode.world for episode in desk.episodes.values()) == sorted(
        {e.world for e in desk.episodes.values()}
    )
    assert len(desk.episodes) == RECORDED


def test_a_trained_policy_can_be_evaluated_and_drives_worlds(desk: Desk, tmp_path: Path) -> None:
    trained = train(attempt_at(Desk(), tmp_path, jobs.train("reach", "own_arm", iterations=1, directions=2)))
    idle = evaluate(attempt_at(Desk(), tmp_path, jobs.evaluate("reach", "own_arm", episodes=4)))

    moved = evaluate(attempt_at(Desk(), tmp_path, jobs.evaluate("reach", "own_arm", episodes=4), policy=trained.policy))
    collect(
        attempt_at(
            desk,
            tmp_path,
            jobs.collect(policy_job="019", episodes=1, robot_model="own_arm", worlds=2),
            policy=trained.policy,
        )
    )

    assert moved.return_after != idle.return_after
    assert len(desk.episodes) == 2


def test_a_policy_for_another_robot_is_refused_for_good(desk: Desk, tmp_path: Path) -> None:
    attempt = attempt_at(desk, tmp_path, jobs.evaluate("reach", "own_arm", episodes=2))
    policy = attempt.keep(LinearPolicy.zero("reach", "franka_panda", 20, 7).to_json(), "application/json")

    with pytest.raises(AttemptError, match="franka_panda") as refused:
        evaluate(attempt_at(desk, tmp_path, jobs.evaluate("reach", "own_arm", episodes=2), policy=policy))
    assert not refused.value.retryable


@pytest.mark.parametrize("changes", [{"motion": "moonwalk"}, {"robot_model": "robby"}, {"motion": "squat"}], ids=str)
def test_what_is_unknown_or_does_not_fit_is_refused_for_good(
    desk: Desk, tmp_path: Path, changes: dict[str, Any]
) -> None:
    fields = {"motion": "reach_around", "robot_model": "own_arm"} | changes

    with pytest.raises(AttemptError) as refused:
        collect(attempt_at(desk, tmp_path, jobs.collect(episodes=1, worlds=1, **fields)))

    assert (refused.value.reason, refused.value.retryable) == ("UNKNOWN_WORK", False)
