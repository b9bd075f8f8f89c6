"""Accepting jobs: once per request id, whole or per item, and nothing that could never run."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from palaestra import ids
from palaestra.v1 import job_pb2, job_service_pb2
from scheduler.commands import submitting
from scheduler.commands.draft import draft_of
from scheduler.commands.submitting import Catalogue, Limits
from tests.scheduler.site import Site, batch_command, job, play, refusal

REQUEST_ID = "0192f7a0-0000-7000-8000-00000000abcd"
SUCCEEDED = job_pb2.ATTEMPT_STATE_SUCCEEDED
POLICY = job_pb2.Artifact(sha256="ab" * 32, size_bytes=5)


def batch(*bodies: job_pb2.Job, atomic: bool = False) -> job_service_pb2.BatchSubmitJobsRequest:
    requests = [job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=body) for body in bodies]
    return job_service_pb2.BatchSubmitJobsRequest(parent="vendors/acme", requests=requests, atomic=atomic)


async def send(site: Site, request: job_service_pb2.BatchSubmitJobsRequest) -> job_service_pb2.BatchSubmitJobsResponse:
    answer = await site.run(batch_command("acme", request, site.core.catalogue, site.core.limits))
    return job_service_pb2.BatchSubmitJobsResponse.FromString(answer)


def test_the_answer_is_the_job_as_it_is_read_afterwards(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        given = job(display_name="one", priority=3, name="vendors/rival/jobs/mine", etag="77", state=4)
        answer = await site.submit(given)
        assert answer == site.get(answer.name)
        assert answer.name.startswith("vendors/acme/jobs/")
        assert (answer.state, answer.priority, answer.display_name) == (job_pb2.JOB_STATE_QUEUED, 3, "one")
        event = site.row("SELECT * FROM event WHERE seq = ?", answer.sequence)
        assert (event["kind"], event["resource"], event["vendor"]) == ("job.submitted", answer.name, "acme")

    play(tmp_path, scene)


def test_a_request_id_makes_one_job_however_often_it_is_sent(tmp_path: Path) -> None:
    """At once, one after the other, after reopening the database, and in a batch."""

    async def first(site: Site) -> None:
        answers = await asyncio.gather(*(site.submit(job(), request_id=REQUEST_ID) for _ in range(20)))
        again = await site.submit(job(), request_id=REQUEST_ID)
        assert {answer.name for answer in answers} == {again.name}

    async def later(site: Site) -> None:
        name = site.row("SELECT uid FROM job")["uid"]
        assert (await site.submit(job(), request_id=REQUEST_ID)).name.endswith(name)
        request = batch(job(), job())
        for item in request.requests:
            item.request_id = REQUEST_ID
        assert {result.job.name.split("/")[-1] for result in (await send(site, request)).results} == {name}
        assert site.row("SELECT count(*) FROM job")[0] == 1

    play(tmp_path, first)
    play(tmp_path, later)


def test_a_request_id_with_another_body_is_refused_and_another_vendors_is_free(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.submit(job(), request_id=REQUEST_ID)
        error = await refusal(site.submit(job(priority=1), request_id=REQUEST_ID))
        assert (error.reason, error.metadata) == ("REQUEST_ID_REUSED", {"request_id": REQUEST_ID})
        await site.submit(job(priority=1), "rival", request_id=REQUEST_ID)
        assert site.row("SELECT count(*) FROM job")[0] == 2

    play(tmp_path, scene)


def test_a_batch_takes_the_valid_jobs_or_if_atomic_none(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        wrong = job(99)
        error = await refusal(send(site, batch(job(), wrong, job(), atomic=True)))
        assert (error.reason, error.metadata["index"]) == ("IMPOSSIBLE_CLAIM", "1")
        assert "requests[1]" in error.message
        assert site.row("SELECT count(*) FROM job")[0] == 0
        assert site.row("SELECT count(*) FROM event WHERE kind LIKE 'job%'")[0] == 0
        results = (await send(site, batch(job(), wrong, job()))).results
        assert [bool(result.job.name) for result in results] == [True, False, True]
        assert results[1].failure.reason == "IMPOSSIBLE_CLAIM"
        assert [site.get(result.job.name) == result.job for result in results if result.job.name] == [True, True]
        assert len((await send(site, batch(job(), job(), atomic=True))).results) == 2
        assert site.row("SELECT count(*) FROM job")[0] == 4

    play(tmp_path, scene)


def test_validate_only_checks_and_changes_nothing(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        def check(body: job_pb2.Job) -> Any:
            request = job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=body, validate_only=True)
            return site.run(submitting.submit("acme", draft_of(request), Catalogue(), Limits()))

        assert (await check(job())).name == ""
        assert (await refusal(check(job(99)))).reason == "IMPOSSIBLE_CLAIM"
        assert site.row("SELECT count(*) FROM job")[0] == 0

    play(tmp_path, scene)


REFUSED = {
    "no work": (job_pb2.Job(claim=job().claim), "INVALID_FIELD", "job.work"),
    "nothing claimed": (job(0), "INVALID_FIELD", "job.claim"),
    "no source": (job(collect=job_pb2.CollectSpec(robot_model="own_arm")), "INVALID_FIELD", "job.collect.source"),
    "no model": (job(0, 1, collect=job_pb2.CollectSpec(motion="sway")), "INVALID_FIELD", "job.collect.robot_model"),
    "no slots": (
        job_pb2.Job(claim=job().claim, train=job_pb2.TrainSpec(task="reach", robot_model="own_arm")),
        "INVALID_FIELD", "job.claim.sim_slots",
    ),
    "no such model": (job(model="own_arn"), "UNKNOWN_SELECTOR", "own_arn"),
    "no such cell": (job(cell="surgery"), "UNKNOWN_SELECTOR", "surgery"),
    "too many units": (job(4), "IMPOSSIBLE_CLAIM", "4 x"),
    "too many slots": (job(0, 3), "IMPOSSIBLE_CLAIM", "3 sim slots"),
    "no such motion": (job(collect={"motion": "fly"}), "UNKNOWN_WORK", "'fly'"),
    "no such policy": (
        job(0, 1, collect={"policy_job": "vendors/acme/jobs/none", "robot_model": "own_arm"}),
        "POLICY_NOT_READY", "jobs/none"),
    "no such policy for units": (
        job(collect={"policy_job": "vendors/acme/jobs/none"}), "POLICY_NOT_READY", "jobs/none"),
    "too big": (job(labels={"x" * 70_000: "y"}), "MESSAGE_TOO_LARGE", "65536"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_job_that_could_never_run_is_refused(tmp_path: Path, case: str) -> None:
    body, reason, word = REFUSED[case]

    async def scene(site: Site) -> None:
        await site.connect()
        request = job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=body)
        known = Catalogue(frozenset({"reach"}), frozenset({"sway"}), frozenset({"own_arm"}))
        error = await refusal(site.run(submitting.submit("acme", draft_of(request), known, Limits())))
        assert error.reason == reason
        assert word in error.message
        assert site.row("SELECT count(*) FROM job")[0] == 0

    play(tmp_path, scene)


def test_a_policy_is_a_succeeded_training_of_the_same_vendor(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        training = await site.submit(
            job_pb2.Job(
                claim={"sim_slots": 1, "duration": {"seconds": 60}}, train={"task": "reach", "robot_model": "own_arm"}
            )
        )
        await site.settle()
        use = job(0, 1, collect={"policy_job": training.name, "robot_model": "own_arm"})
        assert (await refusal(site.submit(use))).reason == "POLICY_NOT_READY"
        await site.finish(await site.start(training), SUCCEEDED, result=job_pb2.JobResult(policy=POLICY))
        assert (await site.submit(use)).name
        assert (await refusal(site.submit(use, "rival"))).reason == "POLICY_NOT_READY"

    play(tmp_path, scene)


def test_a_vendors_queue_is_bounded_and_others_are_not_kept_out(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        site.core.limits = Limits(queued_jobs_max=3)
        results = (await send(site, batch(*(job() for _ in range(4))))).results
        assert [result.failure.reason for result in results] == ["", "", "", "QUEUE_FULL"]
        error = await refusal(site.submit(job()))
        assert error.reason == "QUEUE_FULL"
        assert error.retry_after_s
        await site.submit(job(), "rival")

    play(tmp_path, scene)


def test_what_a_newer_client_adds_does_not_change_what_a_request_is(tmp_path: Path) -> None:
    """Fields that this version does not know are not kept, and do not make a repeat another request."""
    unknown = job_pb2.Job.FromString(job().SerializeToString() + b"\xfa\x7f\x03new")

    async def scene(site: Site) -> None:
        request_id = ids.new_request_id()
        answer = await site.submit(unknown, request_id=request_id)
        assert (await site.submit(job(), request_id=request_id)).name == answer.name
        assert b"new" not in site.row("SELECT spec FROM job")["spec"]

    play(tmp_path, scene)
