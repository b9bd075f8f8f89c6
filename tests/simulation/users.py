"""Who uses the simulated venue: vendors who submit, watch and cancel; operators who see to robots; a watcher of events.

They use the real SDK. Its errors are part of life as long as faults happen.
"""

import asyncio
import contextlib
from typing import Any

from palaestra.aio import AsyncClient
from palaestra.errors import PalaestraError
from palaestra.ids import new_request_id
from palaestra.v1 import job_pb2, venue_pb2

ADDRESS = "127.0.0.1:7400"
JOBS = 3
SHAPES: list[dict[str, Any]] = [
    {"units": 1}, {"units": 1}, {"units": 2}, {"units": 3}, {"units": 1, "cell": "assembly"},
    {"units": 2, "cell": "assembly"}, {"slots": 1}, {"slots": 2}, {"units": 1, "slots": 1},
]  # fmt: skip
ENDED = frozenset({job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED})
# Where a later try may have more luck.
PASSING = frozenset(
    {"SHUTTING_DOWN", "QUEUE_FULL", "DISK_FULL", "DISK_FAILED", "DISK_READ_ONLY", "INTERNAL", "FORECAST_BUSY"}
)


def job(units: int = 0, slots: int = 0, cell: str = "", **fields: Any) -> job_pb2.Job:
    """Return a job that records short episodes."""
    claim: dict[str, Any] = {"sim_slots": slots, "duration": {"seconds": 60}}
    if units:
        claim["units"] = [{"selector": {"robot_model": "dry_robot"}, "count": units}]
    if cell:
        claim["cell"] = {"scenario": cell}
    work = {"motion": "sway", "robot_model": "dry_robot", "episodes": 2}
    return job_pb2.Job(**{"claim": claim, "collect": work} | fields)


async def vendor(venue: Any, name: str) -> None:
    """Submit jobs, some of them twice, watch some, cancel some."""
    chance = venue.chance
    client = AsyncClient(ADDRESS, venue.token(f"vendor-{name}"), timeout_s=3.0, outage_s=1000.0)
    watching = []
    earlier = ""
    for _ in range(JOBS):
        if venue.rough:
            await asyncio.sleep(chance.uniform(0.0, 2.5))
        after = [earlier] if earlier and chance.random() < 0.2 else []
        wanted = job(**chance.choice(SHAPES), after=after, priority=chance.choice((0, 0, 3)))
        request_id = new_request_id()
        venue.invariants.asked.add((f"vendors/{name}", request_id))
        for _ in range(chance.choice((1, 1, 2))):
            while True:
                try:
                    earlier = (await client.submit(wanted, request_id=request_id)).name
                    break
                except PalaestraError as error:
                    if error.reason not in PASSING:
                        raise
                    await asyncio.sleep(chance.uniform(0.1, 1.0))
        if chance.random() < 0.3:
            watching.append(asyncio.create_task(_watch(client, earlier)))
        if chance.random() < 0.2:
            await asyncio.sleep(chance.uniform(0.0, 2.0))
            with contextlib.suppress(PalaestraError):
                await client.cancel(earlier)
    venue.calm_users += 1
    await asyncio.gather(*watching, return_exceptions=True)
    await asyncio.get_running_loop().create_future()


async def _watch(client: AsyncClient, name: str) -> None:
    async for seen in client.watch_job(name):
        if seen.state in ENDED:
            return


async def operator(venue: Any) -> None:
    """Stop a unit now and then; reset what has a fault, and bring back what is out of service."""
    client = AsyncClient(ADDRESS, venue.token("operator"), timeout_s=3.0)
    while True:
        await asyncio.sleep(venue.chance.uniform(0.5, 3.0))
        try:
            async for unit in client.units():
                if unit.fault:
                    await client.reset_unit(unit.name)
                if unit.health in (venue_pb2.UNIT_HEALTH_BAD,):
                    await client.set_unit_health(unit.name, venue_pb2.UNIT_HEALTH_SUSPECT, cause="repaired")
            if venue.rough and venue.chance.random() < 0.1:
                await client.stop_unit(f"arm-{venue.chance.randint(1, 3)}")
        except PalaestraError:
            continue


async def watcher(venue: Any) -> None:
    """See every event once, in order, through every cut."""
    client = AsyncClient(ADDRESS, venue.token("operator"), timeout_s=3.0, outage_s=1000.0)
    last = 0
    async for event in client.events(0):
        if event.sequence != last + 1:
            venue.invariants.broken.append(f"the watcher saw event {event.sequence} after {last}")
        last = event.sequence
