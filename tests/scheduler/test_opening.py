"""Who gets into the worlds of a job to serve, and when: tickets are of the attempt that runs, and of its vendor."""

from pathlib import Path

from palaestra import jobs, tickets
from palaestra.v1 import job_pb2, job_service_pb2, runner_service_pb2
from scheduler import names
from scheduler.commands import ending, opening, running
from tests.scheduler.site import Site, job, play, refusal

SERVE = jobs.serve("own_arm", task="reach")


async def ticket(site: Site, name: str) -> job_service_pb2.SlotTicket:
    return await site.run(opening.ticket(*names.parts(name), site.core.lease_token))


async def stand(site: Site, attempt: str, number: int, address: str = "127.0.0.1:7") -> None:
    """Tell, as a runner does, where the worlds of an attempt are."""
    slot = job_pb2.SlotEndpoint(address=address, tls_address="hall:8", attempt=number)
    beat = runner_service_pb2.AttemptBeat(attempt=attempt, progress=job_pb2.JobProgress(slot=slot))
    await site.run(
        running.heartbeat(runner_service_pb2.HeartbeatAttemptsRequest(instance="r/one", attempts=[beat]), 6.0)
    )


def test_a_ticket_opens_the_lease_of_the_attempt_that_runs(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        made = await site.submit(SERVE)
        await site.settle()
        attempt = await site.start(made)
        await stand(site, attempt, 1)
        found = await ticket(site, made.name)
        lease = site.get(made.name).attempts[0].lease
        now_ns = site.clock.now_ns()
        assert (found.address, found.tls_address, found.lease, found.epoch) == ("127.0.0.1:7", "hall:8", lease, 1)
        key = site.core.lease_token(lease.split("/")[-1])
        tickets.check(found.token, key, lease, 1, now_ns)
        assert key not in found.token
        assert found.expire_time.ToNanoseconds() <= now_ns + tickets.LIFE_S * 1e9
        assert found.end_by_time.ToNanoseconds() > found.expire_time.ToNanoseconds()

    play(tmp_path, scene)


def test_there_is_none_before_the_worlds_stand_and_none_after(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        made = await site.submit(SERVE)
        assert (await refusal(ticket(site, made.name))).reason == "SLOT_NOT_READY"
        await site.settle()
        assert (await refusal(ticket(site, made.name))).reason == "SLOT_NOT_READY"
        attempt = await site.start(made)
        assert (await refusal(ticket(site, made.name))).reason == "SLOT_NOT_READY"
        await stand(site, attempt, 1)
        await ticket(site, made.name)
        await site.run(ending.cancel(*names.parts(made.name), ""))
        assert (await refusal(ticket(site, made.name))).reason == "SLOT_NOT_READY"
        await site.finish(attempt, job_pb2.ATTEMPT_STATE_CANCELLED)
        assert (await refusal(ticket(site, made.name))).reason == "JOB_ENDED"

    play(tmp_path, scene)


def test_what_an_earlier_attempt_told_opens_nothing(tmp_path: Path) -> None:
    """Its worlds are gone, and at its address may be somebody else's."""

    async def scene(site: Site) -> None:
        await site.connect()
        made = await site.submit(SERVE)
        await site.settle()
        attempt = await site.start(made)
        await stand(site, attempt, 1)
        lost = job_pb2.Failure(reason="WORK_FAILED", message="x", retryable=True)
        await site.finish(attempt, job_pb2.ATTEMPT_STATE_FAILED, failure=lost)
        await site.sweep(30.0)
        again = await site.start(made)
        assert again.endswith("/2")
        assert (await refusal(ticket(site, made.name))).reason == "SLOT_NOT_READY"
        await stand(site, again, 2, "127.0.0.1:9")
        found = await ticket(site, made.name)
        assert (found.address, found.epoch) == ("127.0.0.1:9", 2)

    play(tmp_path, scene)


def test_other_work_has_no_worlds_to_open(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        made = await site.submit(job(0, 1))
        error = await refusal(ticket(site, made.name))
        assert (error.reason, "no job to serve" in error.message) == ("SLOT_NOT_READY", True)

    play(tmp_path, scene)


def test_a_job_to_serve_leaves_worlds_and_no_units(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        wrong = job_pb2.Job()
        wrong.CopyFrom(SERVE)
        wrong.claim.units.add().selector.robot_model = "own_arm"
        assert "no units" in (await refusal(site.submit(wrong))).message
        wrong.CopyFrom(SERVE)
        wrong.claim.sim_slots = 0
        assert (await refusal(site.submit(wrong))).reason == "INVALID_FIELD"
        wrong.CopyFrom(SERVE)
        wrong.serve.ClearField("source")
        assert "one of task, motion" in (await refusal(site.submit(wrong))).message
        wrong.serve.task = ""
        assert "one of task, motion" in (await refusal(site.submit(wrong))).message

    play(tmp_path, scene)
