"""Scenarios as the work of jobs: collected and evaluated in worlds, by a script, by nobody, or by a served policy."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palaestra import jobs
from palaestra.v1 import episode_pb2, job_pb2
from runner.collect import collect
from runner.errors import AttemptError
from runner.evaluate import evaluate
from runner.repertoire import repertoire
from runner.replay.world import verify
from sim.catalog import find
from sim.env.openpi import STATE
from sim.env.wire import pack
from sim.scenarios.scenario import find_scenario
from sim.slot_process.scenario_slot import ScenarioSlot
from store import LocalObjects, read_episode
from tests.runner.desk import Desk, attempt_at
from tests.sim.policy_server import answering, server
from tests.sim.test_scenario_slot import seek

WORK = {"scenario": "manufacturing/machine-start", "robot_model": "own_arm"}


def test_a_script_that_passes_leaves_successes_that_say_scenario_and_level(desk: Desk, tmp_path: Path) -> None:
    attempt = attempt_at(desk, tmp_path, jobs.collect(script="pass", level=2, worlds=2, seed=5, **WORK))
    collect(attempt)

    entries = [entry for _, entry in sorted(desk.episodes.items())]
    assert [entry.outcome for entry in entries] == [episode_pb2.EPISODE_OUTCOME_SUCCESS] * 2
    assert {(entry.scenario, entry.level) for entry in entries} == {("manufacturing/machine-start", 2)}
    read = [read_episode(attempt.objects.path_of(entry.content.sha256)) for entry in entries]
    # Two worlds, two scenes: their buttons are elsewhere, and so the arms end elsewhere.
    assert read[0].signals["observation.state"][-1].tolist() != read[1].signals["observation.state"][-1].tolist()
    drawn = [json.loads((episode.header.replay or {})["drawn"]) for episode in read]
    assert drawn[0]["y_m"] != drawn[1]["y_m"] and "light_scale" not in drawn[0]
    assert all(header.header.actuators == "ideal" for header in read)


def test_a_trial_that_was_recorded_can_be_run_again_to_the_last_bit(desk: Desk, tmp_path: Path) -> None:
    attempt = attempt_at(desk, tmp_path, jobs.collect(script="fail", level=4, worlds=1, seed=1, **WORK))
    collect(attempt)
    (entry,) = desk.episodes.values()
    episode = read_episode(attempt.objects.path_of(entry.content.sha256))

    assert entry.outcome == episode_pb2.EPISODE_OUTCOME_FAILURE
    # Why, in the scenario's own words.
    assert entry.outcome_cause.startswith("world 0: ")
    assert verify(episode).same
    assert episode.header.replay is not None
    episode.header.replay["episode"] = str(int(json.loads(episode.header.replay["episode"])) + 1)
    assert not verify(episode).same


@pytest.mark.parametrize(("script", "successes"), [("pass", 2), ("fail", 0), ("", 0)])
def test_an_evaluation_counts_the_trials_that_succeed(script: str, successes: int, desk: Desk, tmp_path: Path) -> None:
    """Nobody at all is the baseline: the robot stands ready for as long as the task may take."""
    result = evaluate(attempt_at(desk, tmp_path, jobs.evaluate("", episodes=2, script=script, **WORK)))

    assert (result.trials, result.successes, result.return_after) == (2, successes, successes / 2)
    assert len(desk.episodes) == 2


def test_a_served_policy_is_judged_in_a_scenario_by_what_it_sees(desk: Desk, tmp_path: Path) -> None:
    """It is told the scenario's title, and goes where it sees the place to be; its episodes run again."""
    delivery = find_scenario("ward-delivery")
    names = ScenarioSlot(delivery, find("own_mobile_base"), level=1, script="", worlds=1, seed=0).observation_names
    prompts = set()

    def go(observation: dict[str, Any]) -> bytes:
        prompts.add(observation["prompt"])
        return pack({"actions": np.tile(seek(observation[STATE][None], names), (10, 1))})

    with server(answering(go)) as address:
        policy = {"openpi": address, "chunk_steps": 10, "timeout_s": 60.0}
        job = jobs.evaluate("", "own_mobile_base", scenario="medical/ward-delivery", episodes=1, policy=policy)
        result = evaluate(attempt_at(desk, tmp_path, job))

    assert (result.trials, result.successes) == (1, 1)
    assert prompts == {delivery.title}
    (entry,) = desk.episodes.values()
    assert verify(read_episode(LocalObjects(tmp_path / "objects").path_of(entry.content.sha256))).same


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scenario": "rescue/machine-start"}, "did you mean"),
        ({"robot_model": "own_quadruped"}, "is for arm, dual_arm; 'own_quadruped' is a quadruped"),
    ],
)
def test_what_cannot_be_run_is_said_with_names(change: dict[str, str], said: str, desk: Desk, tmp_path: Path) -> None:
    attempt = attempt_at(desk, tmp_path, jobs.collect(script="pass", worlds=1, **(WORK | change)))
    with pytest.raises(AttemptError, match=said) as caught:
        collect(attempt)
    assert (caught.value.reason, caught.value.retryable) == ("UNKNOWN_WORK", False)


def test_a_runner_says_which_scenarios_it_knows() -> None:
    known = repertoire(None, ()).scenarios
    assert len(known) >= 40 and "rescue/rescue-stairs" in known
    assert isinstance(jobs.evaluate("", "own_arm", scenario=known[0]).evaluate, job_pb2.EvaluateSpec)
