"""Arrays: like jobs, accepted together or not at all, each a job of its own, cancelled together."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from palaestra import AsyncClient, Client, PalaestraError, cli, jobs
from palaestra.v1 import job_array_service_pb2, job_pb2
from scheduler.commands import arrays, running
from scheduler.commands.submitting import Catalogue, Limits
from tests.scheduler.site import LiveServer, Site, job, play, refusal

REQUEST_ID = "0192f7a0-0000-7000-8000-00000000abcd"
SUCCEEDED = job_pb2.ATTEMPT_STATE_SUCCEEDED
QUEUED, CANCELLED = job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_CANCELLED


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("live")) as server:
        server.run(running.register_runner("r", "r/one", 2))
        yield server


@pytest.fixture
def acme(live: LiveServer) -> Iterator[Client]:
    with Client(live.address, live.token("vendor-acme"), timeout_s=30.0) as client:
        yield client


def like(size: int, body: job_pb2.Job | None = None, **fields: Any) -> job_array_service_pb2.SubmitJobArrayRequest:
    return job_array_service_pb2.SubmitJobArrayRequest(parent="vendors/acme", job=body or job(), size=size, **fields)


async def send(site: Site, request: job_array_service_pb2.SubmitJobArrayRequest) -> Any:
    return await site.run(arrays.submit("acme", request, Catalogue(), site.core.limits))


def counts(array: Any) -> dict[int, int]:
    return {found.state: found.count for found in array.counts}


def test_an_array_is_so_many_jobs_that_differ_in_place_and_seed(acme: Client) -> None:
    body = jobs.collect(motion="sway", robot_model="own_arm", seed=40, display_name="like")
    array = acme.submit_array(body, 5)
    assert (array.size, counts(array)) == (5, {QUEUED: 5})
    found = sorted(acme.jobs(array=array.name), key=lambda each: each.array_index)
    assert [each.array_index for each in found] == [0, 1, 2, 3, 4]
    assert [each.collect.seed for each in found] == [40, 41, 42, 43, 44]
    assert {(each.array, each.display_name) for each in found} == {(array.name, "like")}
    assert acme.job(found[3].name) == found[3]
    assert list(acme.jobs([CANCELLED], array=array.name)) == []
    alone = acme.submit(body)
    assert (alone.array, alone.array_index) == ("", 0)
    assert alone.name not in {each.name for each in acme.jobs(array=array.name)}


def test_a_cancelled_array_ends_all_that_has_not_ended_and_only_that(acme: Client) -> None:
    array, other = acme.submit_array(job(), 3), acme.submit_array(job(), 2)
    first = min(acme.jobs(array=array.name), key=lambda each: each.array_index)
    acme.cancel(first.name)
    before = acme.job(first.name)
    assert counts(acme.cancel_array(array.name)) == {CANCELLED: 3}
    assert counts(acme.cancel_array(array.name.rpartition("/")[2])) == {CANCELLED: 3}
    assert acme.job(first.name) == before
    assert counts(acme.array(other.name)) == {QUEUED: 2}
    events = [event.kind for batch in [next(acme.watch_events(0)).events] for event in batch]
    assert events.count("job.cancelled") >= 3


def test_an_array_is_whole_or_not_at_all(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        site.core.limits = Limits(queued_jobs_max=9)
        await send(site, like(5))
        assert (await refusal(send(site, like(5)))).reason == "QUEUE_FULL"
        assert (await refusal(send(site, like(2, job(99))))).reason == "IMPOSSIBLE_CLAIM"
        await send(site, like(4))
        assert site.row("SELECT count(*) FROM job")[0] == 9
        assert site.row("SELECT count(*) FROM event WHERE kind = 'job.submitted'")[0] == 9
        assert site.row("SELECT count(*) FROM job_array")[0] == 2

    play(tmp_path, scene)


def test_validate_only_checks_an_array_and_changes_nothing(acme: Client) -> None:
    before = sum(1 for _ in acme.jobs())
    assert acme.submit_array(job(), 7, validate_only=True).name == ""
    with pytest.raises(PalaestraError) as caught:
        acme.submit_array(job(99), 7, validate_only=True)
    assert caught.value.reason == "IMPOSSIBLE_CLAIM"
    assert sum(1 for _ in acme.jobs()) == before


def test_a_request_id_makes_one_array_of_one_size(acme: Client) -> None:
    first = acme.submit_array(job(), 2, request_id=REQUEST_ID)
    assert acme.submit_array(job(), 2, request_id=REQUEST_ID) == first
    with pytest.raises(PalaestraError) as caught:
        acme.submit_array(job(), 3, request_id=REQUEST_ID)
    assert caught.value.reason == "REQUEST_ID_REUSED"


TOO_MUCH = {
    "bytes": (like(1000, job(labels={"x": "y" * 60, "z" * 30_000: "y"})), "MESSAGE_TOO_LARGE", "are too many"),
    "dependencies": (
        like(10_000, job(after=[f"vendors/acme/jobs/{n}" for n in range(11)])), "INVALID_FIELD", "at most 100000"),
    "seeds": (
        like(2, job(collect={"motion": "sway", "seed": 2**63 - 1})), "INVALID_FIELD", "leaves no room for 2 seeds"),
    "work": (like(2, job_pb2.Job(claim=job().claim)), "INVALID_FIELD", "job.work"),
}  # fmt: skip


@pytest.mark.parametrize("case", TOO_MUCH)
def test_an_array_that_asks_too_much_is_refused(tmp_path: Path, case: str) -> None:
    request, reason, words = TOO_MUCH[case]

    async def scene(site: Site) -> None:
        error = await refusal(send(site, request))
        assert error.reason == reason
        assert words in error.message
        assert site.row("SELECT count(*) FROM job_array")[0] == 0

    play(tmp_path, scene)


@pytest.mark.parametrize("size", [0, -1, 10_001])
def test_an_array_has_one_to_ten_thousand_jobs(acme: Client, size: int) -> None:
    with pytest.raises(PalaestraError) as caught:
        acme.submit_array(job(), size)
    assert (caught.value.reason, caught.value.metadata["field"]) == ("INVALID_FIELD", "size")


def test_ten_thousand_jobs_are_taken_and_cancelled_in_one_transaction_each(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        site.core.limits = Limits(queued_jobs_max=10_000)
        array = await send(site, like(10_000))
        assert counts(array) == {QUEUED: 10_000}
        times = site.row("SELECT min(create_ns), max(create_ns), count(*) FROM job")
        assert tuple(times) == (site.clock.now_ns(), site.clock.now_ns(), 10_000)
        await site.run(arrays.cancel("acme", array.name.rpartition("/")[2]))
        assert site.row("SELECT count(*) FROM job WHERE state = 7")[0] == 10_000

    play(tmp_path, scene)


def test_what_comes_first_comes_before_every_job_of_the_array(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        first = await site.submit(job(0, 1))
        array = await send(site, like(3, job(after=[first.name])))
        await site.settle()
        assert counts(array) == {QUEUED: 3}
        await site.finish(await site.start(first), SUCCEEDED)
        await site.settle()
        states = {row["state"] for row in site.rows("SELECT state FROM job WHERE array_uid IS NOT NULL")}
        assert states == {job_pb2.JOB_STATE_GRANTED}

    play(tmp_path, scene)


def test_operators_read_and_cancel_arrays_by_their_full_names(live: LiveServer, acme: Client) -> None:
    array = acme.submit_array(job(), 2)
    with Client(live.address, live.token("operator")) as operator:
        assert operator.array(array.name) == array
        assert len(list(operator.jobs(array=array.name))) == 2
        assert counts(operator.cancel_array(array.name)) == {CANCELLED: 2}
    with Client(live.address, live.token("vendor-rival")) as rival:
        for call in (rival.array, rival.cancel_array, lambda name: list(rival.jobs(array=name))):
            with pytest.raises(PalaestraError) as caught:
                call(array.name)
            assert caught.value.reason == "NOT_FOUND"


def test_the_client_for_asyncio_does_the_same(live: LiveServer) -> None:
    async def scene() -> None:
        async with AsyncClient(live.address, live.token("vendor-acme")) as client:
            array = await client.submit_array(job(), 2)
            assert len([each async for each in client.jobs(array=array.name)]) == 2
            assert (await client.array(array.name)).size == 2
            assert counts(await client.cancel_array(array.name)) == {CANCELLED: 2}
            results = await client.submit_many([job(), job()], after_indices={1: [0]})
            assert list(results[1].job.after) == [results[0].job.name]

    asyncio.run(scene())


def test_the_command_line_submits_shows_and_cancels_arrays(
    live: LiveServer, acme: Client, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("PALAESTRA_ADDRESS", live.address)
    monkeypatch.setenv("PALAESTRA_TOKEN", live.token("vendor-acme"))

    def run(*words: str) -> tuple[int, str, str]:
        code = cli.run(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    sway = ("submit", "collect", "--motion", "sway", "--model", "own_arm")
    code, out, _ = run(*sway, "--array", "4")
    assert code == 0
    short = out.strip().rpartition("/jobArrays/")[2]
    assert run("array", short)[1].split() == ["array", out.strip(), "size", "4", "queued", "4"]
    listed = json.loads(run("jobs", "--array", short, "--json")[1])["jobs"]
    assert len(listed) == 4
    shown = run("job", listed[0]["name"])[1]
    assert f"{out.strip()}, index 3" in shown
    assert "cancelled  4" in run("cancel", short)[1]
    assert json.loads(run("cancel", out.strip(), "--json")[1])["counts"] == [
        {"state": "JOB_STATE_CANCELLED", "count": 4}
    ]
    assert run("cancel", "nothing")[0] == 1
    assert "would accept these 4 jobs" in run(*sway, "--array", "4", "--dry-run")[1]
    assert run(*sway, "--array", "4", "--wait")[0] == 2
    assert run(*sway, "--array", "0")[0] == 2
