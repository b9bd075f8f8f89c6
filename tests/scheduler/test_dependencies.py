"""Jobs that come after others: they wait for all of them, fail with any of them, and nothing waits for ever."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.v1 import job_pb2, job_service_pb2
from scheduler import snapshot
from scheduler.commands import ending, submitting
from scheduler.commands.draft import draft_of
from scheduler.commands.ending import failure
from scheduler.requestorder import RequestOrder
from tests.scheduler.site import LiveServer, Site, batch_command, job, play, refusal

SUCCEEDED, FAILED = job_pb2.ATTEMPT_STATE_SUCCEEDED, job_pb2.ATTEMPT_STATE_FAILED
REQUEST_ID = "0192f7a0-0000-7000-8000-00000000abcd"
TRAIN = {"task": "reach", "robot_model": "own_arm"}
SLOT = {"sim_slots": 1, "duration": {"seconds": 60}}
POLICY = job_pb2.JobResult(policy={"sha256": "ab" * 32})


def batch(*items: tuple[job_pb2.Job, list[int]], atomic: bool = False) -> job_service_pb2.BatchSubmitJobsRequest:
    requests = [
        job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=body, after_indices=indices)
        for body, indices in items
    ]
    return job_service_pb2.BatchSubmitJobsRequest(parent="vendors/acme", requests=requests, atomic=atomic)


async def send(site: Site, request: job_service_pb2.BatchSubmitJobsRequest) -> Any:
    answer = await site.run(batch_command("acme", request, site.core.catalogue, site.core.limits))
    return job_service_pb2.BatchSubmitJobsResponse.FromString(answer).results


def state(site: Site, body: job_pb2.Job) -> str:
    return job_pb2.JobState.Name(site.get(body.name).state).removeprefix("JOB_STATE_").lower()


async def carry_out(site: Site, body: job_pb2.Job, outcome: int = SUCCEEDED, **fields: Any) -> None:
    await site.finish(await site.start(body), outcome, **fields)
    await site.settle()


def nothing_is_left(site: Site) -> None:
    """Rows of what waits go with what waited."""
    assert site.row("SELECT count(*) FROM job_after")[0] == 0


def test_a_job_starts_when_all_that_come_first_have_succeeded(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        first, second = await site.submit(job()), await site.submit(job())
        last = await site.submit(job(after=[first.name, second.name]))
        assert list(site.get(last.name).after) == [first.name, second.name]
        await site.settle()
        assert [state(site, each) for each in (first, second, last)] == ["granted", "granted", "queued"]
        await carry_out(site, second)
        assert state(site, last) == "queued"
        await carry_out(site, first)
        assert state(site, last) == "granted"
        nothing_is_left(site)

    play(tmp_path, scene)


def test_what_waits_for_others_is_not_looked_at(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        first = await site.submit(job())
        await site.submit(job(after=[first.name], priority=100))
        assert len(snapshot.jobs(site.core.read, site.clock.now_ns())) == 1
        plan = " ".join(
            row["detail"]
            for row in site.rows(
                """
                EXPLAIN QUERY PLAN SELECT id FROM job WHERE vendor = 'acme' AND leaf = 'acme' AND state = 1
                  AND open_after = 0 AND open_gates = 0 AND not_before_ns <= 5
                  ORDER BY priority DESC, deadline_ns, id LIMIT 256
                """
            )
        )
        assert "job_queue" in plan
        assert "B-TREE" not in plan, "the order comes from the index, whatever the length of the queue"

    play(tmp_path, scene)


@pytest.mark.parametrize("end", ["fail", "cancel"])
def test_when_one_ends_otherwise_all_behind_it_fail_at_once_and_say_why(tmp_path: Path, end: str) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        first = await site.submit(job())
        other = await site.submit(job())
        second = await site.submit(job(after=[first.name, other.name]))
        third = await site.submit(job(after=[second.name]))
        fourth = await site.submit(job(after=[third.name, first.name]))
        await site.settle()
        if end == "fail":
            await carry_out(site, first, FAILED, failure=failure("WORK_FAILED", "broke", retryable=False))
        else:
            await site.run(ending.cancel("acme", first.name.split("/")[3], ""))
            await carry_out(site, first, job_pb2.ATTEMPT_STATE_CANCELLED)
        ended = "failed" if end == "fail" else "cancelled"
        assert [state(site, each) for each in (first, other)] == [ended, "granted"]
        for body, before, how in ((second, first, ended), (third, second, "failed")):
            found = site.get(body.name)
            assert state(site, body) == "failed"
            assert found.failure.reason == "DEPENDENCY_FAILED"
            assert found.failure.message == f"{before.name}, which comes first, ended as {how}"
            assert found.HasField("end_time")
            kinds = [row["kind"] for row in site.rows("SELECT kind FROM event WHERE resource = ?", body.name)]
            assert kinds == ["job.submitted", "job.failed"]
        assert state(site, fourth) == "failed"
        times = {row["time_ns"] for row in site.rows("SELECT time_ns FROM event WHERE kind = 'job.failed'")}
        assert len(times) == 1
        nothing_is_left(site)

    play(tmp_path, scene)


def test_a_job_that_is_tried_again_keeps_others_waiting(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        first = await site.submit(job())
        last = await site.submit(job(after=[first.name]))
        await site.settle()
        await carry_out(site, first, FAILED, failure=failure("WORK_FAILED", "broke", retryable=True))
        assert [state(site, each) for each in (first, last)] == ["queued", "queued"]
        await site.run(ending.cancel("acme", first.name.split("/")[3], ""))
        assert [state(site, each) for each in (first, last)] == ["cancelled", "failed"]

    play(tmp_path, scene)


def test_a_waiting_job_that_is_cancelled_no_longer_waits(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        first = await site.submit(job())
        second = await site.submit(job(after=[first.name]))
        third = await site.submit(job(after=[second.name]))
        await site.run(ending.cancel("acme", second.name.split("/")[3], ""))
        assert [state(site, each) for each in (first, second, third)] == ["queued", "cancelled", "failed"]
        nothing_is_left(site)

    play(tmp_path, scene)


def test_what_cannot_come_first_is_refused(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        done, broken = await site.submit(job()), await site.submit(job())
        theirs = await site.submit(job(), "rival")
        await site.settle()
        await carry_out(site, done)
        await carry_out(site, broken, FAILED, failure=failure("WORK_FAILED", "broke", retryable=False))
        error = await refusal(site.submit(job(after=[broken.name])))
        assert (error.reason, error.metadata) == ("DEPENDENCY_FAILED", {"job": broken.name})
        missing = "vendors/acme/jobs/none"
        forged = theirs.name.replace("rival", "acme")
        messages = set()
        for name in (missing, theirs.name, forged, done.name.replace("acme", "rival")):
            error = await refusal(site.submit(job(after=[name])))
            assert error.reason == "NOT_FOUND"
            messages.add(error.message.replace(name, "ASKED"))
        assert messages == {"ASKED not found"}
        error = await refusal(site.submit(job(after=[done.name, done.name])))
        assert (error.reason, error.metadata["field"]) == ("INVALID_FIELD", "job.after")
        after_done = await site.submit(job(0, 1, after=[done.name]))
        await site.settle()
        assert state(site, after_done) == "granted"

    play(tmp_path, scene)


def test_the_policy_of_a_training_that_comes_first_may_be_named_before_it_is_there(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect(slots=1)
        training = await site.submit(job_pb2.Job(claim=SLOT, train=TRAIN))
        use = {"policy_job": training.name, "robot_model": "own_arm"}
        assert (await refusal(site.submit(job(0, 1, collect=use)))).reason == "POLICY_NOT_READY"
        uses = await site.submit(job(0, 1, collect=use, after=[training.name]))
        collecting = await site.submit(job())
        use = {"policy_job": collecting.name, "robot_model": "own_arm"}
        never = job(0, 1, collect=use, after=[collecting.name])
        assert (await refusal(site.submit(never))).reason == "POLICY_NOT_READY"
        await site.settle()
        await carry_out(site, training, result=POLICY)
        assert state(site, uses) == "granted"

    play(tmp_path, scene)


def test_a_training_that_left_no_policy_ends_those_who_need_it(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect(slots=1)
        training = await site.submit(job_pb2.Job(claim=SLOT, train=TRAIN))
        use = {"policy_job": training.name, "robot_model": "own_arm"}
        uses = await site.submit(job(0, 1, collect=use, after=[training.name]))
        behind = await site.submit(job(after=[uses.name]))
        beside = await site.submit(job(after=[training.name]))
        await site.settle()
        await carry_out(site, training)
        assert [state(site, each) for each in (uses, behind, beside)] == ["failed", "failed", "granted"]
        assert site.get(uses.name).failure.reason == "POLICY_NOT_READY"

    play(tmp_path, scene)


def test_requests_of_a_batch_come_after_each_other_by_index(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        results = await send(site, batch((job(), [2, 1]), (job(), []), (job(), [1])))
        bodies = [result.job for result in results]
        assert list(bodies[0].after) == [bodies[2].name, bodies[1].name]
        assert [site.get(body.name) == body for body in bodies] == [True] * 3
        order = []
        for _ in bodies:
            await site.settle()
            granted = [index for index, body in enumerate(bodies) if state(site, body) == "granted"]
            order += granted
            await carry_out(site, bodies[granted[0]])
        assert order == [1, 2, 0]

    play(tmp_path, scene)


def test_a_cycle_is_named_and_refuses_those_who_wait_for_it_alone(tmp_path: Path) -> None:
    circle = batch((job(), []), (job(), [3]), (job(), [1]), (job(), [2]), (job(), [1]), (job(), [4, 0]))

    async def scene(site: Site) -> None:
        results = await send(site, circle)
        assert [result.failure.reason for result in results] == ["", *["DEPENDENCY_CYCLE"] * 5]
        assert "1 after 3 after 2 after 1" in results[1].failure.message
        assert "4 after 1 after 3 after 2 after 1" in results[4].failure.message
        circle.atomic = True
        error = await refusal(send(site, circle))
        assert error.reason == "DEPENDENCY_CYCLE"
        alone = (await send(site, batch((job(), [0]))))[0]
        assert "0 after 0" in alone.failure.message
        assert site.row("SELECT count(*) FROM job")[0] == 1

    play(tmp_path, scene)


def test_a_refused_request_refuses_those_behind_it(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        results = await send(site, batch((job(99), []), (job(), [0]), (job(), [1]), (job(), [7]), (job(), [])))
        reasons = [result.failure.reason for result in results]
        assert reasons == ["IMPOSSIBLE_CLAIM", "DEPENDENCY_FAILED", "DEPENDENCY_FAILED", "INVALID_FIELD", ""]
        assert "the batch has no request 7" in results[3].failure.message
        single = job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=job(), after_indices=[0])
        error = await refusal(
            site.run(submitting.submit("acme", draft_of(single), site.core.catalogue, site.core.limits))
        )
        assert (error.reason, error.metadata["field"]) == ("INVALID_FIELD", "after_indices")

    play(tmp_path, scene)


def test_a_repeated_batch_makes_the_same_jobs_and_other_places_are_another_body(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        request = batch((job(), []), (job(), [0]))
        for place, item in enumerate(request.requests):
            item.request_id = REQUEST_ID[:-1] + str(place)
        first, again = await send(site, request), await send(site, request)
        assert [result.job.name for result in first] == [result.job.name for result in again]
        del request.requests[1].after_indices[:]
        assert (await send(site, request))[1].failure.reason == "REQUEST_ID_REUSED"

    play(tmp_path, scene)


def test_explain_counts_what_comes_first_and_names_the_vendors_own_jobs(tmp_path: Path) -> None:
    with LiveServer(tmp_path) as live:
        from palaestra import Client

        with Client(live.address, live.token("vendor-acme")) as client:
            ids = [client.submit(job()).name for _ in range(7)]
            short = ids[0].rpartition("/")[2]
            last = client.submit(job(after=[short, *ids[1:]]))
            answer = client.explain(last.name)
            reason = answer.reasons[0]
            assert (reason.constraint, reason.requested, reason.free) == ("DEPENDENCY", 7, 0)
            assert answer.summary == reason.message
            assert f"7 of 7 jobs that come first have not succeeded yet: {ids[0]} (queued)" in reason.message
            assert "and 2 more" in reason.message
            client.cancel(ids[3])
            assert client.job(last.name).failure.reason == "DEPENDENCY_FAILED"


def test_the_sdk_sends_a_batch_with_its_order(tmp_path: Path) -> None:
    with LiveServer(tmp_path) as live:
        from palaestra import Client

        with Client(live.address, live.token("vendor-acme")) as client:
            results = client.submit_many([job(), job()], after_indices={0: [1]})
            assert list(results[0].job.after) == [results[1].job.name]


GRAPHS = st.integers(1, 8).flatmap(
    lambda size: st.lists(st.lists(st.integers(-1, size), max_size=3), min_size=size, max_size=size)
)


@given(GRAPHS)
def test_an_order_puts_everything_behind_what_comes_first_and_finds_every_cycle(after: list[list[int]]) -> None:
    order = RequestOrder.of(after)
    place = {index: rank for rank, index in enumerate(order.indices)}
    assert sorted(order.indices) == list(range(len(after)))
    for index, earlier in enumerate(after):
        missing = any(not 0 <= number < len(after) for number in earlier)
        reason = order.problems[index].reason if index in order.problems else ""
        assert missing == (reason == "INVALID_FIELD")
        if not reason:
            assert all(place[number] < place[index] for number in earlier)
        assert (reason == "DEPENDENCY_CYCLE") == (not missing and meets_a_cycle(after, index))
    ready = [index for index, earlier in enumerate(after) if not earlier]
    assert sorted(ready, key=place.__getitem__) == ready, "those that wait for nothing keep their order"


def meets_a_cycle(after: list[list[int]], start: int) -> bool:
    """Whether a walk from a request can go on for ever. One with a wrong index is refused and waits for nothing."""

    def waits(index: int) -> list[int]:
        return after[index] if all(0 <= number < len(after) for number in after[index]) else []

    reached = {start}
    for _ in after:
        reached = {number for index in reached for number in waits(index)}
    return bool(reached)


PLANS = st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 5), max_size=3)), min_size=2, max_size=6)


@given(PLANS)
@settings(max_examples=12)
def test_every_job_ends_as_its_own_work_and_all_before_it_say(plan: list[tuple[bool, set[int]]]) -> None:
    """For each job: whether its work succeeds, and which of those before it come first."""
    earlier = [[number for number in sorted(before) if number < index] for index, (_, before) in enumerate(plan)]
    expected: list[bool] = []
    for (works, _), before in zip(plan, earlier, strict=True):
        expected.append(works and all(expected[number] for number in before))

    async def scene(site: Site) -> None:
        await site.connect()
        bodies: list[job_pb2.Job] = []
        for before in earlier:
            bodies.append(await site.submit(job(0, 1, after=[bodies[number].name for number in before])))
        started: list[int] = []
        await site.settle()
        while granted := [index for index, body in enumerate(bodies) if state(site, body) == "granted"]:
            index = granted[-1]
            assert all(expected[number] and number in started for number in earlier[index])
            started.append(index)
            if plan[index][0]:
                await carry_out(site, bodies[index])
            else:
                broke = failure("WORK_FAILED", "broke", retryable=False)
                await carry_out(site, bodies[index], FAILED, failure=broke)
        assert [state(site, body) for body in bodies] == ["succeeded" if ends else "failed" for ends in expected]
        nothing_is_left(site)

    with tempfile.TemporaryDirectory() as folder:
        play(Path(folder), scene)
