"""A scheduler that a test can steer: a handful of resources in memory behind the real contract over real gRPC.

It decides nothing; tests put jobs and events in as they need them.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.json_format import ParseDict

from palaestra.errors import PalaestraError, trailing
from palaestra.rules import check
from palaestra.v1 import (
    episode_pb2,
    episode_service_pb2,
    episode_service_pb2_grpc,
    event_pb2,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    venue_pb2,
    venue_service_pb2,
    venue_service_pb2_grpc,
)

TOKENS = {
    "acme-token": ("vendor", "vendors/acme"),
    "rival-token": ("vendor", "vendors/rival"),
    "operator-token": ("operator", ""),
}
CLASSES = ("humanoid", "quadruped", "arm")


class State:
    """What the scheduler knows. Touched only in the loop that serves it."""

    def __init__(self) -> None:
        self.sequence = 0
        self.events: list[event_pb2.Event] = []
        self.owners: dict[int, str] = {}
        self.oldest_kept = 0
        self.changed = asyncio.Event()
        self.jobs: dict[str, job_pb2.Job] = {}
        self.episodes: dict[str, episode_pb2.Episode] = {}
        self.logs: dict[str, list[str]] = {}
        self.requests: dict[str, str] = {}
        self.watches = 0
        self.venue = ParseDict(
            {
                "name": "venues/hall",
                "displayName": "Hall North",
                "widthM": 18,
                "depthM": 10,
                "unitCount": 6,
                "cellCount": 3,
                "simSlotCount": 4,
                "runnerCount": 1,
            },
            venue_pb2.Venue(),
        )
        self.units = {unit.name: unit for unit in (_unit(number) for number in range(6))}
        self.cells = [_cell(number) for number in range(3)]
        self.slots = [venue_pb2.SimSlot(name=f"venues/hall/simSlots/slot-{n}", occupied=n == 0) for n in range(4)]

    def publish(self, kind: str, message: Any, owner: str = "", text: str = "") -> None:
        """Commit an event; `owner` empty makes it visible to everybody."""
        self.sequence += 1
        event = event_pb2.Event(sequence=self.sequence, kind=kind, resource=message.name, message=text)
        self.owners[self.sequence] = owner
        event.time.GetCurrentTime()
        field = {"Job": "job", "Unit": "unit", "Episode": "episode", "Cell": "cell"}[type(message).__name__]
        getattr(event, field).CopyFrom(message)
        self.events.append(event)
        self.wake()

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def put_job(self, job: job_pb2.Job) -> None:
        """Set a job and tell its vendor."""
        self.jobs[job.name] = job
        state = job_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_").lower()
        text = f"{job.display_name or job.name} is {state}"
        self.publish("job.changed", job, "/".join(job.name.split("/")[:2]), text)


def _unit(number: int) -> venue_pb2.Unit:
    kind = CLASSES[number % 3]
    return ParseDict(
        {
            "name": f"venues/hall/units/{kind}-{number}",
            "robotModel": f"own_{kind}",
            "robotClass": kind,
            "maker": "Palaestra",
            "jointCount": 12,
            "pose": {"xM": 3 + 6 * (number % 3), "yM": 3 + 3 * (number // 3)},
            "state": "UNIT_STATE_IDLE",
            "health": "UNIT_HEALTH_GOOD",
            "epoch": "1",
            "battery": 0.5 + number / 20,
            "etag": f"e{number}",
            "emulated": True,
        },
        venue_pb2.Unit(),
    )


def _cell(number: int) -> venue_pb2.Cell:
    return ParseDict(
        {
            "name": f"venues/hall/cells/cell-{number}",
            "displayName": ("Bin picking", "Patrol", "Shelf")[number],
            "scenario": ("bin_picking", "patrol", "shelf")[number],
            "sector": "warehousing",
            "level": number + 1,
            "pose": {"xM": 3 + 6 * number, "yM": 4.5},
            "widthM": 5,
            "depthM": 7,
            "occupied": number == 1,
        },
        venue_pb2.Cell(),
    )


def guarded(method: Any) -> Any:
    """Turn our errors into statuses, and check the rules, as the scheduler's interceptor does."""

    async def unary(self: Any, request: Any, context: Any) -> Any:
        try:
            check(request)
            return await method(self, request, self.who(context))
        except PalaestraError as error:
            context.set_trailing_metadata(trailing(error))
            await context.abort(error.code, error.message)

    return unary


class Scheduler(
    venue_service_pb2_grpc.VenueServiceServicer,
    job_service_pb2_grpc.JobServiceServicer,
    episode_service_pb2_grpc.EpisodeServiceServicer,
):
    """Serves the state to whoever may see it."""

    def __init__(self, state: State) -> None:
        self.state = state

    def who(self, context: Any) -> tuple[str, str]:
        """Return (role, vendor) of the caller. Raises BAD_TOKEN."""
        headers = dict(context.invocation_metadata())
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if token not in TOKENS:
            raise PalaestraError("BAD_TOKEN", "no valid token came with the call")
        return TOKENS[token]

    def owned(self, table: dict[str, Any], name: str, who: tuple[str, str]) -> Any:
        """Return a resource of the caller's. Raises NOT_FOUND for missing and for others' alike."""
        found = table.get(name)
        if found is None or not (who[0] == "operator" or name.startswith(f"{who[1]}/")):
            raise PalaestraError("NOT_FOUND", f"{name} not found")
        return found

    def parent(self, parent: str, who: tuple[str, str]) -> str:
        if who[0] == "operator":
            return "" if parent == "vendors/-" else f"{parent}/"
        if parent != who[1]:
            raise PalaestraError("NOT_FOUND", f"{parent} not found")
        return f"{parent}/"

    @guarded
    async def GetVenue(self, request: Any, who: tuple[str, str]) -> Any:
        self.state.venue.sequence = self.state.sequence
        return self.state.venue

    @guarded
    async def GetIdentity(self, request: Any, who: tuple[str, str]) -> Any:
        return venue_service_pb2.GetIdentityResponse(role=who[0], vendor=who[1], venue="venues/hall")

    @guarded
    async def ListUnits(self, request: Any, who: tuple[str, str]) -> Any:
        units = sorted(self.state.units.values(), key=lambda unit: unit.name)
        start = int(request.page_token or 0)
        size = request.page_size or 50
        more = str(start + size) if start + size < len(units) else ""
        return venue_service_pb2.ListUnitsResponse(units=units[start : start + size], next_page_token=more)

    @guarded
    async def GetUnit(self, request: Any, who: tuple[str, str]) -> Any:
        if request.name not in self.state.units:
            raise PalaestraError("NOT_FOUND", f"{request.name} not found")
        return self.state.units[request.name]

    @guarded
    async def StopUnit(self, request: Any, who: tuple[str, str]) -> Any:
        return self._change(request, who, state=venue_pb2.UNIT_STATE_STOPPED, fault="protective stop")

    @guarded
    async def ResetUnit(self, request: Any, who: tuple[str, str]) -> Any:
        if request.etag and request.etag != self.state.units[request.name].etag:
            raise PalaestraError("ETAG_MISMATCH", f"{request.name} changed: etag is not {request.etag}")
        return self._change(request, who, state=venue_pb2.UNIT_STATE_IDLE, fault="")

    @guarded
    async def InjectUnitFault(self, request: Any, who: tuple[str, str]) -> Any:
        kind = venue_service_pb2.FaultKind.Name(request.kind)
        return self._change(request, who, state=venue_pb2.UNIT_STATE_STOPPED, fault=f"{kind} {request.joint}")

    def _change(self, request: Any, who: tuple[str, str], *, state: Any, fault: str) -> venue_pb2.Unit:
        if who[0] != "operator":
            raise PalaestraError("ROLE_DENIED", f"role {who[0]} may not do this")
        if request.name not in self.state.units:
            raise PalaestraError("NOT_FOUND", f"{request.name} not found")
        unit = self.state.units[request.name]
        unit.state, unit.fault = state, fault
        self.state.publish("unit.changed", unit)
        return unit

    @guarded
    async def ListCells(self, request: Any, who: tuple[str, str]) -> Any:
        return venue_service_pb2.ListCellsResponse(cells=self.state.cells)

    @guarded
    async def ListSimSlots(self, request: Any, who: tuple[str, str]) -> Any:
        return venue_service_pb2.ListSimSlotsResponse(sim_slots=self.state.slots)

    @guarded
    async def ListLeases(self, request: Any, who: tuple[str, str]) -> Any:
        self.parent(request.parent, who)
        return venue_service_pb2.ListLeasesResponse()

    @guarded
    async def ListUsage(self, request: Any, who: tuple[str, str]) -> Any:
        own = who[1] or "vendors/acme"
        row = venue_service_pb2.VendorUsage(vendor=own, unit_s=120, sim_slot_s=600, episodes=4, jobs=2)
        total = venue_service_pb2.VendorUsage(unit_s=400, sim_slot_s=900, episodes=9, jobs=5)
        return venue_service_pb2.ListUsageResponse(usage=[row], total=total)

    async def WatchEvents(self, request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            who = self.who(context)
            if request.after_sequence < self.state.oldest_kept:
                raise PalaestraError("EVENTS_TOO_OLD", f"events after {request.after_sequence} are gone")
        except PalaestraError as error:
            context.set_trailing_metadata(trailing(error))
            await context.abort(error.code, error.message)
            return
        self.state.watches += 1
        try:
            cursor = request.after_sequence
            while True:
                changed = self.state.changed
                fresh = [event for event in self.state.events if event.sequence > cursor]
                seen = [event for event in fresh if self.may_see(event, who)]
                cursor = max([cursor, *(event.sequence for event in fresh)])
                yield venue_service_pb2.WatchEventsResponse(events=seen, sequence=cursor)
                await changed.wait()
        finally:
            self.state.watches -= 1

    def may_see(self, event: event_pb2.Event, who: tuple[str, str]) -> bool:
        owner = self.state.owners[event.sequence]
        return not owner or who[0] == "operator" or owner == who[1]

    @guarded
    async def SubmitJob(self, request: Any, who: tuple[str, str]) -> Any:
        self.parent(request.parent, who)
        done = self.state.requests.get(request.request_id)
        if request.request_id and done:
            return self.state.jobs[done]
        job = job_pb2.Job()
        job.CopyFrom(request.job)
        job.name = f"{request.parent}/jobs/job-{len(self.state.jobs) + 1}"
        job.state = job_pb2.JOB_STATE_QUEUED
        job.create_time.GetCurrentTime()
        job.etag = "1"
        self.state.requests[request.request_id] = job.name
        self.state.put_job(job)
        return job

    @guarded
    async def GetJob(self, request: Any, who: tuple[str, str]) -> Any:
        return self.owned(self.state.jobs, request.name, who)

    @guarded
    async def ListJobs(self, request: Any, who: tuple[str, str]) -> Any:
        prefix = self.parent(request.parent, who)
        jobs = [job for name, job in self.state.jobs.items() if name.startswith(prefix)]
        jobs = [job for job in jobs if not request.states or job.state in request.states]
        return job_service_pb2.ListJobsResponse(jobs=jobs[::-1])

    @guarded
    async def CancelJob(self, request: Any, who: tuple[str, str]) -> Any:
        job = self.owned(self.state.jobs, request.name, who)
        if request.etag and request.etag != job.etag:
            raise PalaestraError("ETAG_MISMATCH", f"{request.name} changed: etag is not {request.etag}")
        job.state = job_pb2.JOB_STATE_CANCELLED
        job.end_time.GetCurrentTime()
        self.state.put_job(job)
        return job

    @guarded
    async def ExplainJob(self, request: Any, who: tuple[str, str]) -> Any:
        job = self.owned(self.state.jobs, request.name, who)
        reason = job_service_pb2.WaitReason(
            constraint="UNITS", message="2 humanoids are wanted, 1 is free", requested=2, matching=2, free=1
        )
        return job_service_pb2.ExplainJobResponse(state=job.state, summary="It waits for units.", reasons=[reason])

    async def ReadLog(self, request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            check(request)
            self.owned(self.state.jobs, request.name, self.who(context))
        except PalaestraError as error:
            context.set_trailing_metadata(trailing(error))
            await context.abort(error.code, error.message)
        for number, text in enumerate(self.state.logs.get(request.name, []), 1):
            if number >= request.from_line:
                line = job_service_pb2.LogLine(line=number, attempt=1, text=text)
                yield job_service_pb2.ReadLogResponse(lines=[line])

    @guarded
    async def GetEpisode(self, request: Any, who: tuple[str, str]) -> Any:
        return self.owned(self.state.episodes, request.name, who)

    @guarded
    async def ListEpisodes(self, request: Any, who: tuple[str, str]) -> Any:
        prefix = self.parent(request.parent, who)
        found = [e for name, e in self.state.episodes.items() if name.startswith(prefix)]
        found = [e for e in found if not request.job or e.job == request.job]
        return episode_service_pb2.ListEpisodesResponse(episodes=found[::-1])
