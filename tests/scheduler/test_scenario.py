"""Jobs on scenarios: what goes with one, what does not, and names that nobody knows."""

from pathlib import Path
from typing import Any

import pytest

from palaestra import jobs
from palaestra.v1 import job_pb2
from scheduler.commands.submitting import Catalogue
from scheduler.core import RunnerConnection
from scheduler.scenario import problem, unknown
from scheduler.simulation import _source
from scheduler.throughput import type_of
from tests.scheduler.site import Site, play, refusal

STAIRS = "rescue/rescue-stairs"
KNOWN = frozenset({STAIRS, "manufacturing/machine-start"})


def evaluated(task: str = "", **fields: Any) -> job_pb2.Job:
    return jobs.evaluate(task, "own_quadruped", **({"scenario": STAIRS} | fields))


def collected(**fields: Any) -> job_pb2.Job:
    return jobs.collect(**({"scenario": STAIRS, "script": "pass", "robot_model": "own_quadruped"} | fields))


SERVED = {"openpi": "ws://gpu:8000"}
NOISY = [{"quantity": "gravity_m_s2", "uniform": {"low": -1.0, "high": 1.0}}]


@pytest.mark.parametrize(
    "job",
    [
        evaluated(),
        evaluated(script="fail", level=4, actuators="ideal"),
        evaluated(policy=SERVED),
        collected(task="climb the stairs"),
        collected(script="", policy=SERVED, level=2),
        evaluated("reach", scenario=""),
        jobs.train("reach", "own_arm"),
    ],
)
def test_what_goes_together_is_no_problem(job: job_pb2.Job) -> None:
    assert problem(job) is None


@pytest.mark.parametrize(
    ("job", "field", "said"),
    [
        (evaluated(scenario=""), "job.evaluate.task", "is required, or scenario"),
        (evaluated("reach"), "job.evaluate.task", "another task"),
        (evaluated("reach", scenario="", level=2), "job.evaluate.level", "needs a scenario"),
        (collected(scenario=""), "job.collect.script", "needs a scenario"),
        (collected(script="", motion="sway"), "job.collect.motion", "so does the scenario"),
        (evaluated(policy_job="vendors/a/jobs/b"), "job.evaluate.policy_job", "no scenario"),
        (collected(script="", policy=SERVED, policy_task="reach"), "job.collect.policy_task", "another task"),
        (evaluated(script="pass", policy=SERVED), "job.evaluate.script", "only one of them"),
        (collected(randomisation=NOISY), "job.collect.randomisation", "the level's"),
        (collected(cameras=[jobs.camera("c")]), "job.collect.cameras", "another scene"),
        (collected(episode_s=3.0), "job.collect.episode_duration", "the scenario's own"),
        (evaluated(actuators="physical"), "job.evaluate.actuators", "ideal"),
        (collected(units=[jobs.unit(robot_class="quadruped")]), "job.collect.scenario", "the claim has units"),
    ],
)
def test_what_contradicts_a_scenario_is_named_by_its_field(job: job_pb2.Job, field: str, said: str) -> None:
    found = problem(job)

    assert found is not None
    assert found[0] == field and said in found[1]


def test_a_scenario_is_known_with_its_sector_and_without_and_a_wrong_one_is_told_the_nearest() -> None:
    assert unknown(evaluated(), KNOWN) is None
    assert unknown(evaluated(scenario="rescue-stairs"), KNOWN) is None
    assert unknown(evaluated(scenario="rescue/stairs"), frozenset()) is None
    assert unknown(evaluated("reach", scenario=""), KNOWN) is None
    found = unknown(evaluated(scenario="rescue/rescue-stair"), KNOWN)
    assert found is not None and f"did you mean {STAIRS}" in found[1]


def test_a_submission_on_a_scenario_is_looked_at_whatever_like_jobs_were_taken_before(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        site.core.runners["r"] = RunnerConnection("r/one", Catalogue(scenarios=KNOWN))
        await site.submit(collected())
        wrong = await refusal(site.submit(collected(scenario="rescue/rescue-chairs")))
        assert (wrong.reason, wrong.metadata["value"]) == ("UNKNOWN_WORK", "rescue/rescue-chairs")
        assert (await refusal(site.submit(collected(episode_s=1.0)))).metadata["field"] == (
            "job.collect.episode_duration"
        )
        await site.submit(evaluated(script="pass"))
        assert (await refusal(site.submit(evaluated("reach")))).reason == "INVALID_FIELD"

    play(tmp_path, scene)


def test_work_on_scenarios_is_of_a_type_and_a_source_of_its_own() -> None:
    """Speeds are measured by type, and what has passed in simulation is known by its source."""
    levels = [collected(level=level) for level in (1, 2)]
    assert {type_of(job) for job in levels} == {f"collect {STAIRS}"}
    assert len({_source(job) for job in (*levels, evaluated(script="fail"), evaluated(policy=SERVED))}) == 4
