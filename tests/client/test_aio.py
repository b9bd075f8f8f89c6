"""The asyncio client keeps the same promises with the same methods."""

import asyncio
import inspect
from collections import deque
from collections.abc import Coroutine
from typing import Any

import pytest

from palaestra import AsyncClient, Client, PalaestraError, jobs
from palaestra.v1 import job_pb2
from tests.client.fake_venue import VENDOR_TOKEN, FakeVenue

SWAY = jobs.collect(motion="sway", units=[jobs.unit(robot_class="arm")])
DOWN = PalaestraError("SHUTTING_DOWN", "starting")


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine, at most 20 s."""
    asyncio.run(asyncio.wait_for(work, 20.0))


def public(kind: type) -> dict[str, list[str]]:
    """Return the public methods of a class with their parameters."""
    return {
        name: list(inspect.signature(getattr(kind, name)).parameters) for name in vars(kind) if not name.startswith("_")
    }


def test_both_clients_have_the_same_methods() -> None:
    assert public(AsyncClient) == public(Client)


def test_a_repeated_submit_carries_the_same_request_id(venue: FakeVenue) -> None:
    async def work() -> None:
        async with AsyncClient(venue.address, VENDOR_TOKEN) as client:
            venue.fail("SubmitJob", DOWN, PalaestraError("QUEUE_FULL", "full", retry_after_s=0.1))
            await client.submit(SWAY)

    run(work())

    ids = [call.request.request_id for call in venue.calls("SubmitJob")]
    assert (len(ids), len(set(ids)), len(venue.jobs)) == (3, 1, 1)
    assert all(call.left_s is not None for call in venue.received)


def test_pages_are_walked_to_the_end(venue: FakeVenue) -> None:
    names = [venue.add_job().name for _ in range(5)]

    async def work() -> None:
        async with AsyncClient(venue.address, VENDOR_TOKEN) as client:
            assert [job.name async for job in client.jobs()] == names[::-1]
            assert len([unit async for unit in client.units()]) == 5

    run(work())


def test_a_cut_watch_goes_on_and_shows_nothing_twice(venue: FakeVenue) -> None:
    job = venue.add_job()
    venue.cut_after["WatchJob"].extend([1, 1])
    seen = []

    async def work() -> None:
        coming = deque([job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_SUCCEEDED])
        async with AsyncClient(venue.address, VENDOR_TOKEN) as client:
            async for state in client.watch_job(job.name.rpartition("/")[2]):
                seen.append(state.state)
                if coming:
                    venue.set_state(job.name, coming.popleft())
            assert (await client.wait(job.name)).state == job_pb2.JOB_STATE_SUCCEEDED

    run(work())

    assert seen == [job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_SUCCEEDED]


def test_events_come_without_gap_or_repeat_across_cuts(venue: FakeVenue) -> None:
    for _ in range(9):
        venue.add_job()
    venue.cut_after["WatchEvents"].extend([1, 0, 2])
    seen = []

    async def work() -> None:
        async with AsyncClient(venue.address, VENDOR_TOKEN) as client:
            async for event in client.events():
                seen.append(event.sequence)
                if len(seen) == 9:
                    break

    run(work())

    assert seen == list(range(1, 10))


def test_a_cut_log_goes_on_at_the_next_line(venue: FakeVenue) -> None:
    job = venue.add_job(job_pb2.JOB_STATE_SUCCEEDED)
    venue.logs[job.name] = ["a", "b", "c"]
    venue.cut_after["ReadLog"].append(2)

    async def work() -> None:
        async with AsyncClient(venue.address, VENDOR_TOKEN) as client:
            assert [line.text async for line in client.log(job.name)] == ["a", "b", "c"]

    run(work())


def test_waiting_ends_after_its_time(venue: FakeVenue) -> None:
    job = venue.add_job()

    async def work() -> None:
        async with AsyncClient(venue.address, VENDOR_TOKEN) as client:
            with pytest.raises(TimeoutError, match=job.name):
                await client.wait(job.name, timeout_s=0.2)

    run(work())


def test_closing_ends_streams_and_cancelling_cancels_them(venue: FakeVenue) -> None:
    venue.add_job()

    async def tail(client: AsyncClient, first: asyncio.Event) -> str:
        async for _ in client.events():
            first.set()
        return "ended"

    async def work() -> None:
        client = AsyncClient(venue.address, VENDOR_TOKEN)
        begun = [asyncio.Event(), asyncio.Event()]
        tasks = [asyncio.create_task(tail(client, first)) for first in begun]
        await asyncio.gather(*(first.wait() for first in begun))
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        await client.close()
        assert await tasks[1] == "ended"

    run(work())


def test_an_error_keeps_its_reason(venue: FakeVenue) -> None:
    async def work() -> None:
        async with AsyncClient(venue.address, VENDOR_TOKEN) as client:
            with pytest.raises(PalaestraError) as caught:
                await client.job("nothing")
            assert caught.value.reason == "NOT_FOUND"

    run(work())
