"""Jobs from builders and from TOML are the jobs of the contract."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from palaestra import PalaestraError, jobs, names, rules
from palaestra.rules import violations
from palaestra.v1 import claim_pb2, job_pb2
from palaestra.v1.job_service_pb2 import SubmitJobRequest
from palaestra.v1.venue_service_pb2 import GetIdentityResponse


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
    with pytest.raises(PalaestraError, match="a motion, a policy_job or a policy"):
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


def test_a_whole_claim_and_all_that_a_job_waits_for_are_the_same_in_both(tmp_path: Path) -> None:
    text = """
    deadline = 2026-12-01T18:00:00+01:00
    after = ["vendors/acme/jobs/a", "b"]
    sim_first = true
    reservation = "monday"
    [claim]
    duration_s = 60
    seats = 1
    chargers = 2
    placement = "together"
    [[claim.units]]
    count = 2
    count_max = 8
    [claim.units.selector]
    robot_model = "own_arm"
    joint_count_min = 6
    payload_min_kg = 2.5
    end_effector = "gripper"
    sensors = ["depth", "touch"]
    firmware = "1.2"
    [[claim.alternatives]]
    duration_s = 90
    units = [{ selector = { robot_model = "own_dog" } }]
    placement = "Apart"
    [[claim.alternatives]]
    duration_s = 30
    sim_slots = 2
    [collect]
    motion = "sway"
    """
    arm = jobs.unit(
        robot_model="own_arm", joint_count_min=6, payload_min_kg=2.5, end_effector="gripper",
        sensors=["depth", "touch"], firmware="1.2", count=2, count_max=8,
    )  # fmt: skip
    expected = jobs.collect(
        motion="sway", units=[arm], duration_s=60, seats=1, chargers=2, placement="together",
        alternatives=[
            jobs.claim(units=[jobs.unit(robot_model="own_dog")], duration_s=90, placement="apart"),
            jobs.claim(sim_slots=2, duration_s=30),
        ],
        deadline=datetime(2026, 12, 1, 17, tzinfo=UTC), after=["vendors/acme/jobs/a", "b"], sim_first=True,
        reservation="monday",
    )  # fmt: skip
    found = from_text(tmp_path, text)
    # The builder says "one unit", the file leaves it to the venue, which takes none for one.
    found.claim.alternatives[0].units[0].count = 1
    assert found == expected
    assert from_text(tmp_path, "deadline = '2026-12-01T17:00:00Z'").deadline == expected.deadline


def test_short_names_become_full_ones_wherever_a_job_has_them() -> None:
    identity = GetIdentityResponse(vendor="vendors/acme", venue="venues/hall")
    job = jobs.collect(
        motion="sway",
        units=[jobs.unit(name="arm-1")],
        alternatives=[jobs.claim(units=[jobs.unit(name="arm-2")], cell=jobs.cell(name="bench"))],
        after=["one", "vendors/acme/jobs/two"],
        reservation="monday",
    )
    full = names.complete(job, identity)
    assert [request.selector.unit for request in full.claim.units] == ["venues/hall/units/arm-1"]
    alternative = full.claim.alternatives[0]
    assert alternative.units[0].selector.unit == "venues/hall/units/arm-2"
    assert alternative.cell.cell == "venues/hall/cells/bench"
    assert list(full.after) == ["vendors/acme/jobs/one", "vendors/acme/jobs/two"]
    assert full.reservation == "vendors/acme/reservations/monday"
    rules.check(SubmitJobRequest(parent="vendors/acme", job=full))


def test_a_deadline_says_where_on_earth_and_a_placement_is_one_of_three() -> None:
    with pytest.raises(PalaestraError, match="no time zone"):
        jobs.train("reach", "own_arm", deadline=datetime(2026, 12, 1))
    with pytest.raises(PalaestraError, match="'near' is none of anywhere, together, apart"):
        jobs.claim(sim_slots=1, placement="near")


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
        ("deadline = 2026-12-01T18:00:00", "deadline: must be a time with its offset from UTC"),
        ("deadline = 2026-12-01", "deadline: must be a time with its offset from UTC"),
        ("deadline = 'tomorrow'", "deadline: must be a time with its offset from UTC"),
        ("deadline = 0001-01-01T00:00:00+14:00", "deadline: must be a time with its offset from UTC"),
        ("deadline = 5", "deadline: must be a time with its offset from UTC"),
        ("[claim]\nplacement = 'near'", "claim.placement: 'near' is none of anywhere, together, apart"),
        ("after = 'a'", "after: must be a list"),
        ("[[claim.alternatives]]\nunit = 3", "claim.alternatives[0].unit: no such field; did you mean units?"),
        ("array = 'vendors/acme/jobArrays/x'", "array: no such field"),
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


@pytest.mark.parametrize("actuators", ["physical", "ideal"])
def test_what_drives_simulated_joints_is_said_alike_in_sdk_and_file(tmp_path: Path, actuators: str) -> None:
    for job, table in (
        (jobs.collect(motion="sway", robot_model="own_arm", actuators=actuators), 'motion = "sway"'),
        (jobs.train("reach", "own_arm", actuators=actuators), 'task = "reach"'),
        (jobs.evaluate("reach", "own_arm", actuators=actuators), 'task = "reach"'),
    ):
        work = str(job.WhichOneof("work"))
        text = f'[{work}]\n{table}\nrobot_model = "own_arm"\nactuators = "{actuators}"\n'
        read = from_text(tmp_path, text)

        assert getattr(read, work) == getattr(job, work)
        assert job_pb2.Actuators.Name(getattr(job, work).actuators) == f"ACTUATORS_{actuators.upper()}"


def test_actuators_that_do_not_exist_are_refused_by_name() -> None:
    with pytest.raises(PalaestraError, match=r"'magic'.*physical, ideal"):
        jobs.train("reach", "own_arm", actuators="magic")
