"""Jobs from builders and from TOML are the jobs of the contract."""

from pathlib import Path

import pytest

from palaestra import PalaestraError, jobs
from palaestra.rules import violations
from palaestra.v1 import claim_pb2, job_pb2


def from_text(tmp_path: Path, text: str) -> job_pb2.Job:
    """Return the job in TOML text."""
    path = tmp_path / "job.toml"
    path.write_text(text)
    return jobs.job_from_toml(path)


def test_a_collect_job_asks_for_units_and_a_cell() -> None:
    job = jobs.collect(
        motion="sway",
        episodes=3,
        episode_s=2.5,
        units=[jobs.unit(robot_class="arm", maker="Own", count=2), jobs.unit(robot_model="own_humanoid")],
        cell=jobs.cell(scenario="bin_picking", level="structured"),
        duration_s=90.5,
        seed=7,
        labels={"run": "a"},
    )

    assert not list(violations(job))
    assert [request.count for request in job.claim.units] == [2, 1]
    assert job.claim.cell.level == claim_pb2.ENVIRONMENT_LEVEL_STRUCTURED
    assert (job.claim.duration.seconds, job.claim.duration.nanos) == (90, 500_000_000)
    assert job.collect.episode_duration.ToMilliseconds() == 2500
    assert job.claim.sim_slots == 0


def test_without_units_a_collect_job_asks_for_a_slot() -> None:
    assert jobs.collect(motion="sway", robot_model="own_arm", worlds=2).claim.sim_slots == 1


@pytest.mark.parametrize("sources", [{}, {"motion": "sway", "policy_job": "vendors/a/jobs/b"}])
def test_a_collect_job_has_exactly_one_source(sources: dict[str, str]) -> None:
    with pytest.raises(PalaestraError, match="motion or a policy_job"):
        jobs.collect(**sources)  # type: ignore[arg-type]


def test_training_and_evaluation_jobs_keep_the_rules() -> None:
    train = jobs.train("reach", "own_arm", sim_slots=2, iterations=5, directions=8)
    evaluate = jobs.evaluate("reach", "own_arm", policy_job="vendors/acme/jobs/x", episodes=16)

    assert not [*violations(train), *violations(evaluate)]
    assert (train.train.iterations, train.train.directions, train.claim.sim_slots) == (5, 8, 2)
    assert evaluate.evaluate.policy_job == "vendors/acme/jobs/x"


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(PalaestraError, match="'L9' is none of"):
        jobs.cell(level="L9")


def test_a_toml_file_says_the_same_as_the_builder(tmp_path: Path) -> None:
    text = """
    display_name = "pair"
    priority = -5
    max_attempts = 2
    [labels]
    run = "a"
    [claim]
    duration_s = 90.5
    units = [{ selector = { robot_class = "arm", labels = { grip = "soft" } }, count = 2 }]
    cell = { scenario = "bin_picking", level = "Structured" }
    [collect]
    motion = "sway"
    episodes = 3
    episode_duration_s = 2.5
    seed = 7
    """

    assert from_text(tmp_path, text) == jobs.collect(
        motion="sway",
        episodes=3,
        episode_s=2.5,
        units=[jobs.unit(robot_class="arm", labels={"grip": "soft"}, count=2)],
        cell=jobs.cell(scenario="bin_picking", level="structured"),
        duration_s=90.5,
        seed=7,
        display_name="pair",
        priority=-5,
        max_attempts=2,
        labels={"run": "a"},
    )


def test_an_empty_table_chooses_the_work(tmp_path: Path) -> None:
    assert from_text(tmp_path, "[train]").WhichOneof("work") == "train"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[claim]\ndurations_s = 3", "claim.durations_s: no such field; did you mean duration_s?"),
        ("[claim]\nduration = 3", "claim.duration: no such field; did you mean duration_s?"),
        ("[claim]\nduration_s = '3'", "claim.duration_s: must be a number"),
        ("[claim]\nduration_s = inf", "claim.duration_s: is inf"),
        ("[claim]\nsim_slots = 1.5", "claim.sim_slots: must be a whole number"),
        ("[claim]\nsim_slots = 99999999999", "claim.sim_slots: must be a whole number of 32 bits"),
        ("[claim]\nunits = [{ selector = { color = 1 } }]", "claim.units[0].selector.color: no such field"),
        ("claim = 3", "claim: must be a table"),
        ("[claim]\nunits = { count = 2 }", "claim.units: must be a list"),
        (
            "[claim]\ncell = { level = 'L9' }",
            "claim.cell.level: 'L9' is none of fixed, structured, open, dynamic",
        ),
        ("priority = true", "priority: must be a whole number"),
        ("display_name = 3", "display_name: must be text"),
        ("[labels]\na = 1", "labels.a: must be text"),
        ("[train]\n[evaluate]", "evaluate: cannot stand beside train"),
        ("state = 'JOB_STATE_SUCCEEDED'", "state: no such field"),
        ("name = 'vendors/rival/jobs/x'", "name: no such field"),
        ("[claim", "job.toml: "),
    ],
)
def test_a_broken_file_says_where_it_breaks(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(PalaestraError) as caught:
        from_text(tmp_path, text)
    assert problem in caught.value.message
    assert caught.value.reason == "INVALID_FIELD"


def test_a_missing_file_says_which(tmp_path: Path) -> None:
    with pytest.raises(PalaestraError, match=r"nowhere\.toml"):
        jobs.job_from_toml(tmp_path / "nowhere.toml")
