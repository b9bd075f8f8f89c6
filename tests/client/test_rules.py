"""Messages are held to the rules that stand in the contract."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from palaestra import PalaestraError, jobs
from palaestra.rules import check, violations
from palaestra.v1.claim_pb2 import Claim, UnitRequest, UnitSelector
from palaestra.v1.episode_pb2 import Episode
from palaestra.v1.job_pb2 import Job, JobProgress
from palaestra.v1.job_service_pb2 import BatchSubmitJobsRequest, GetJobRequest, SubmitJobRequest

HOUR = Duration(seconds=3600)


def test_a_good_request_breaks_no_rule() -> None:
    request = SubmitJobRequest(parent="vendors/acme", job=jobs.train("reach", "own_arm"))

    check(request)
    assert not list(violations(request))


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (GetJobRequest(), "name"),
        (GetJobRequest(name="vendors/acme/jobs/X"), "name"),
        (GetJobRequest(name="vendors/acme/jobs/x\n"), "name"),
        (GetJobRequest(name="vendors/acme/jobs/" + "x" * 200), "name"),
        (SubmitJobRequest(parent="vendors/acme"), "job"),
        (SubmitJobRequest(parent="vendors/acme", job=Job()), "job.claim"),
        (SubmitJobRequest(parent="vendors/acme", job=Job(claim=Claim())), "job.claim.duration"),
        (Claim(duration=Duration(nanos=1)), "duration"),
        (Claim(duration=Duration(seconds=604_801)), "duration"),
        (Claim(duration=Duration(seconds=3600, nanos=2_000_000_000)), "duration"),
        (Claim(duration=Duration(seconds=3600, nanos=-1)), "duration"),
        (Job(claim=Claim(duration=HOUR), deadline=Timestamp(nanos=-1)), "deadline"),
        (Job(claim=Claim(duration=HOUR), deadline=Timestamp(seconds=-1)), "deadline"),
        (Job(claim=Claim(duration=HOUR), deadline=Timestamp(seconds=253_402_300_799)), "deadline"),
        (Job(claim=Claim(duration=HOUR), deadline=Timestamp(seconds=1, nanos=1_000_000_000)), "deadline"),
        (Claim(duration=HOUR, sim_slots=-1), "sim_slots"),
        (Claim(duration=HOUR, units=[UnitRequest()]), "units[0].selector"),
        (UnitSelector(labels={"a": "x" * 121}), "labels['a']"),
        (Job(claim=Claim(duration=HOUR), priority=101), "priority"),
        (JobProgress(fraction=float("nan")), "fraction"),
        (JobProgress(fraction=1.5), "fraction"),
        (BatchSubmitJobsRequest(parent="vendors/acme"), "requests"),
    ],
)
def test_a_broken_rule_is_named_by_the_path_of_its_field(message: Message, path: str) -> None:
    assert path in [where for where, _ in violations(message)]

    with pytest.raises(PalaestraError) as caught:
        check(message)
    assert caught.value.reason == "INVALID_FIELD"
    assert caught.value.message.startswith(caught.value.metadata["field"])


@pytest.mark.parametrize("seconds", [1, 604_800])
def test_both_ends_of_a_range_are_allowed(seconds: int) -> None:
    assert not list(violations(Claim(duration=Duration(seconds=seconds))))


def test_what_only_the_server_sets_is_not_checked() -> None:
    job = jobs.train("reach", "own_arm")
    job.progress.fraction = 7.0

    assert not list(violations(job))


def test_an_optional_number_that_is_not_there_breaks_no_rule() -> None:
    episode = Episode(robot_model="own_arm")
    episode.content.sha256 = "0" * 64

    assert not list(violations(episode))


def test_a_job_that_was_fine_does_not_speak_for_one_that_is_not() -> None:
    good = SubmitJobRequest(
        parent="vendors/acme", job=jobs.collect(motion="sway", units=[jobs.unit(robot_class="arm")])
    )
    check(good)
    for name, value in (("priority", 101), ("max_attempts", 21), ("display_name", "x" * 121)):
        bad = SubmitJobRequest()
        bad.CopyFrom(good)
        setattr(bad.job, name, value)
        with pytest.raises(PalaestraError, match=rf"job\.{name}"):
            check(bad)
    bad = SubmitJobRequest()
    bad.CopyFrom(good)
    bad.job.collect.motion = "No such"
    bad.job.collect.seed = 7
    with pytest.raises(PalaestraError, match=r"job\.collect\.motion"):
        check(bad)


def test_a_jobs_seed_has_no_rule_so_that_jobs_can_be_judged_without_it() -> None:
    for work in Job.DESCRIPTOR.oneofs_by_name["work"].fields:
        kind = work.message_type
        assert kind.name == "CheckSpec" or "seed" in kind.fields_by_name
        if "seed" in kind.fields_by_name:
            assert not kind.fields_by_name["seed"].GetOptions().ListFields()


def test_to_be_checked_changes_nothing_in_a_message() -> None:
    request = SubmitJobRequest(parent="vendors/acme", job=jobs.train("reach", "own_arm"))
    request.job.train.seed = 41
    before = request.SerializeToString(deterministic=True)

    check(request)

    assert request.SerializeToString(deterministic=True) == before
