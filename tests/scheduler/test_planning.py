"""Planned starts in a venue with a database: the ends of real leases are what is planned with."""

from pathlib import Path

from palaestra.v1 import job_pb2
from scheduler import snapshot
from tests.scheduler.site import Site, job, play


def lasting(duration_s: int, units: int = 1) -> job_pb2.Job:
    body = job(units)
    body.claim.duration.FromSeconds(duration_s)
    return body


def test_leased_things_are_told_with_the_planned_end_of_their_lease(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        now_ns = site.clock.now_ns()
        await site.submit(job(1, 1, cell="assembly"))
        await site.settle()
        state = snapshot.load(site.core.read, now_ns, runner_ready=True)
        end_ns = now_ns + 600 * 1_000_000_000

        assert [thing.end_ns for thing in (*state.units, *state.slots, *state.cells) if not thing.free] == [end_ns] * 3
        assert {thing.end_ns for thing in (*state.units, *state.slots, *state.cells) if thing.free} == {None}

    play(tmp_path, scene)


def test_only_what_ends_before_a_gang_can_start_passes_it(tmp_path: Path) -> None:
    """One arm is leased for 600 s and a gang of three waits for it; of two later jobs, the short one starts."""

    async def scene(site: Site) -> None:
        await site.connect()
        await site.submit(lasting(600))
        await site.settle()
        gang = (await site.submit(lasting(600, units=3))).name
        site.clock.pass_s(31.0)
        long = (await site.submit(lasting(600), vendor="rival")).name
        short = (await site.submit(lasting(500), vendor="rival")).name
        await site.settle()

        assert site.get(short).state == job_pb2.JOB_STATE_GRANTED
        assert site.get(long).state == job_pb2.JOB_STATE_QUEUED
        assert site.get(gang).state == job_pb2.JOB_STATE_QUEUED

    play(tmp_path, scene)
