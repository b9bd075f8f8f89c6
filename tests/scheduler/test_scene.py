"""What a job asks of its worlds is looked at when it is submitted: each slip of the pen by its field and its name."""

from pathlib import Path
from typing import Any

import pytest

from palaestra import jobs
from palaestra.v1 import job_pb2, runner_service_pb2
from scheduler.commands.submitting import Catalogue
from scheduler.core import RunnerConnection
from scheduler.scene import Vocabulary, problem, refused_server, together, vocabulary_of
from tests.scheduler.site import Site, job, play, refusal

KNOWN = vocabulary_of(
    runner_service_pb2.WatchAssignmentsRequest(
        quantities=[
            {"quantity": "mass_scale", "on": "body", "least": 0.001},
            {"quantity": "kp_scale", "on": "joint", "least": 0.0},
            {"quantity": "gravity_m_s2", "on": "world"},
            {"quantity": "supply", "on": "robot", "least": 0.0, "actuators": "physical"},
            {"quantity": "armature_scale", "on": "joint", "least": 0.001, "actuators": "ideal"},
        ],
        robots=[
            {
                "robot_model": "own_arm",
                "bodies": ["base", "upper_arm", "forearm"],
                "shapes": ["tool"],
                "joints": ["shoulder", "elbow"],
            }
        ],
        policy_servers=["127.0.0.1:*", "gpu:8000"],
    )
)
HALF = {"low": 0.5, "high": 1.5}


def asked(**fields: Any) -> job_pb2.Job:
    return jobs.evaluate("reach", "own_arm", **fields)


def term(quantity: str = "mass_scale", **fields: Any) -> job_pb2.Job:
    given = fields if fields.keys() & {"log_uniform", "normal", "nothing"} else {"uniform": HALF} | fields
    given.pop("nothing", None)
    return asked(randomisation=[{"quantity": quantity, **given}])


def test_what_can_be_had_is_no_problem() -> None:
    fine = [
        term(of=["fore*", "base"], each=True),
        term("gravity_m_s2", uniform={"low": -1.0, "high": 1.0}),
        term("supply"),
        term("kp_scale", normal={"mean": 1.0, "deviation": 0.1, "low": 0.5, "high": 2.0}, of=["elbow"]),
        asked(randomisation=[{"quantity": "armature_scale", "log_uniform": HALF}], actuators="ideal"),
        asked(sensors=[{"name": "imu", "imu": {}}, {"name": "touch", "contact": {"body": "forearm"}}]),
        asked(policy={"openpi": "ws://gpu:8000"}),
        jobs.serve("own_arm", task="reach", randomisation=[{"quantity": "mass_scale", "uniform": HALF}]),
        jobs.train("reach", "own_arm", randomisation=[{"quantity": "mass_scale", "uniform": HALF}]),
    ]
    assert [problem(each, KNOWN) for each in fine] == [None] * len(fine)


@pytest.mark.parametrize(
    ("wrong", "field", "words"),
    [
        (term("mass_scal"), "randomisation[0].quantity", "did you mean mass_scale"),
        (term("colour"), "randomisation[0].quantity", "there are mass_scale"),
        (term(of=["base", "forarm"]), "randomisation[0].of[1]", "no body is called 'forarm'; did you mean forearm?"),
        (term("kp_scale", of=["elbows"]), "randomisation[0].of[0]", "did you mean elbow?"),
        (term(nothing=1), "randomisation[0]", "one of uniform, log_uniform, normal"),
        (term(uniform={"low": 1.0}), "randomisation[0].uniform.high", "must be set"),
        (term(uniform={"low": 2.0, "high": 1.0}), "randomisation[0].uniform.low", "above high"),
        (term(uniform={"low": 0.0, "high": 1.0}), "randomisation[0].uniform.low", "least that is possible"),
        (
            term("gravity_m_s2", log_uniform={"low": -1.0, "high": 1.0}),
            "randomisation[0].log_uniform.low",
            "above 0",
        ),
        (term("armature_scale"), "randomisation[0].quantity", "needs ideal actuators"),
        (
            asked(randomisation=[{"quantity": "supply", "uniform": HALF}], actuators="ideal"),
            "randomisation[0].quantity",
            "needs physical actuators",
        ),
        (asked(randomisation=[{"quantity": "kp_scale", "uniform": HALF}] * 2), "randomisation[1]", "kp_scale(*)"),
        (asked(sensors=[{"name": "imu"}]), "sensors[0]", "one of imu, encoders"),
        (asked(sensors=[{"name": "imu", "imu": {"body": "bas"}}]), "sensors[0].imu.body", "did you mean base?"),
        (asked(sensors=[{"name": "imu", "imu": {"at_m": [1.0]}}]), "sensors[0].imu.at_m", "x y z"),
        (
            asked(sensors=[{"name": "eye", "depth": {"width_px": 1000, "height_px": 1000}}]),
            "sensors[0].depth.width_px",
            "1000000 rays",
        ),
        (asked(sensors=[{"name": "a", "imu": {}}, {"name": "a", "encoders": {}}]), "sensors[1]", "same name: a"),
        (asked(policy={"prompt": "x"}), "policy", "openpi must be set"),
        (asked(policy={"openpi": "ws://gpu"}), "policy.openpi", "ws://host:port"),
        (
            asked(policy={"openpi": "ws://gpu:8000"}, policy_job="vendors/acme/jobs/1"),
            "policy",
            "cannot stand beside policy_job",
        ),
    ],
)
def test_what_cannot_is_named_with_what_was_meant(wrong: job_pb2.Job, field: str, words: str) -> None:
    found = problem(wrong, KNOWN)

    assert found is not None
    assert found[0] == f"job.evaluate.{field}"
    assert words in found[1]


def test_units_have_no_scene() -> None:
    units = [jobs.unit(robot_model="own_arm")]
    given: list[dict[str, Any]] = [
        {"motion": "sway", "randomisation": [{"quantity": "kp_scale", "uniform": HALF}]},
        {"motion": "sway", "sensors": [{"name": "imu", "imu": {}}]},
    ]
    for fields in given:
        found = problem(jobs.collect(units=units, **fields), KNOWN)
        assert found is not None
        assert "the claim has units" in found[1]


def test_units_may_be_driven_by_a_served_policy_as_worlds_are() -> None:
    fields: dict[str, Any] = {"policy": {"openpi": "ws://gpu:8000"}, "policy_task": "reach", "robot_model": "own_arm"}
    for claimed in ({"units": [jobs.unit(robot_model="own_arm")]}, {"sim_slots": 1}):
        assert problem(jobs.collect(**fields, **claimed), KNOWN) is None
    elsewhere = jobs.collect(
        policy={"openpi": "ws://gpu:8001"}, policy_task="reach", units=[jobs.unit(robot_model="own_arm")]
    )
    assert refused_server(elsewhere, KNOWN) is not None


def test_collection_by_a_served_policy_says_at_what() -> None:
    found = problem(jobs.collect(policy={"openpi": "ws://gpu:8000"}, robot_model="own_arm"), KNOWN)

    assert found is not None
    assert found[0] == "job.collect.policy_task"


def test_only_where_a_runner_calls_a_policy_may_be_served() -> None:
    elsewhere = asked(policy={"openpi": "ws://gpu:8001"})
    found = refused_server(elsewhere, KNOWN)

    assert found is not None
    assert "127.0.0.1:*, gpu:8000" in found[1]
    assert refused_server(asked(policy={"openpi": "ws://gpu:8000"}), KNOWN) is None
    more = Vocabulary(policy_servers=frozenset({"gpu:8001"}))
    assert refused_server(elsewhere, together([KNOWN, more])) is None


def test_before_a_runner_has_spoken_only_what_no_venue_could_have_is_refused() -> None:
    assert problem(term("colour", of=["tail"]), Vocabulary()) is None
    assert refused_server(asked(policy={"openpi": "ws://gpu:8001"}), Vocabulary()) is None
    assert problem(term(uniform={"low": 2.0, "high": 1.0}), Vocabulary()) is not None


def test_a_submission_is_refused_with_field_and_name_and_jobs_alike_by_work_are_told_apart(tmp_path: Path) -> None:
    """The checks of like jobs are remembered; one that asks for other worlds is not alike."""

    async def scene(site: Site) -> None:
        await site.connect()
        site.core.runners["r"] = RunnerConnection("r/one", Catalogue(worlds=KNOWN))
        await site.submit(asked())
        error = await refusal(site.submit(term(of=["forarm"])))
        assert (error.reason, error.metadata["field"]) == ("INVALID_FIELD", "job.evaluate.randomisation[0].of[0]")
        await site.submit(term(of=["forearm"]))
        await refusal(site.submit(asked(sensors=[{"name": "imu", "imu": {"body": "bas"}}])))
        refused = await refusal(site.submit(asked(policy={"openpi": "ws://gpu:8001"})))
        assert refused.reason == "POLICY_SERVER_REFUSED"
        await site.submit(asked(policy={"openpi": "ws://gpu:8000"}))
        site.core.runners["r"] = RunnerConnection("r/one", Catalogue(frozenset({"reach"}), worlds=KNOWN))
        wrong = job(0, 1)
        wrong.collect.policy_task = "raech"
        assert (await refusal(site.submit(wrong))).reason == "UNKNOWN_WORK"
        await site.submit(job(0, 1))

    play(tmp_path, scene)
