"""A small venue in memory behind a real gRPC server: it fails on demand and remembers what it was asked."""

import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc

from palaestra.errors import PalaestraError, trailing
from palaestra.ids import new_id
from palaestra.rules import check
from palaestra.v1 import (
    calendar_pb2,
    calendar_service_pb2,
    calendar_service_pb2_grpc,
    episode_pb2,
    episode_service_pb2,
    episode_service_pb2_grpc,
    estimate_pb2,
    estimate_service_pb2_grpc,
    event_pb2,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    reservation_pb2,
    reservation_service_pb2,
    reservation_service_pb2_grpc,
    usage_pb2,
    venue_pb2,
    venue_service_pb2,
    venue_service_pb2_grpc,
)

VENDOR_TOKEN = "token-of-acme"
OPERATOR_TOKEN = "token-of-the-operator"
VENUE = "venues/test"
ENDED = {job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED}
START = estimate_pb2.StartEstimate(
    planned_time={"seconds": 7200},
    p50_time={"seconds": 3600},
    p90_time={"seconds": 5400},
    calibration={"jobs": 400, "p50_held": 0.51, "p90_held": 0.89, "p50_pinball_s": 90, "p90_pinball_s": 60},
    counterfactuals=[{"change": "with 1 x arm instead of 2", "start_time": {"seconds": 60}}],
)
IDENTITIES = {
    VENDOR_TOKEN: venue_service_pb2.GetIdentityResponse(role="vendor", vendor="vendors/acme", venue=VENUE),
    OPERATOR_TOKEN: venue_service_pb2.GetIdentityResponse(role="operator", venue=VENUE),
}


@dataclass(frozen=True)
class Received:
    """One call as the server saw it. Without a deadline `left_s` is None."""

    method: str
    request: Any
    left_s: float | None
    token: str


class FakeVenue:
    """Jobs, events and log lines in memory.

    Attributes:
        address: Where it listens.
        received: Every call, in order.
        page_size: Items in a page, whatever was asked for.
        cut_after: For each streaming method, after how many responses each coming stream breaks with
            UNAVAILABLE; used up from the left.
    """

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.page_size = 2
        self.jobs: dict[str, job_pb2.Job] = {}
        self.requests: dict[str, job_pb2.Job] = {}
        self.units = [venue_pb2.Unit(name=f"{VENUE}/units/arm-{i}", robot_class="arm") for i in range(5)]
        self.events: list[event_pb2.Event] = []
        self.logs: dict[str, list[str]] = defaultdict(list)
        self.episodes: list[episode_pb2.Episode] = []
        self.cut_after: dict[str, deque[int]] = defaultdict(deque)
        self._failures: dict[str, deque[PalaestraError]] = defaultdict(deque)
        self._changed = threading.Condition()
        self._closing = False
        self._server: grpc.Server | None = None
        self._port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self, tls: tuple[bytes, bytes] | None = None) -> None:
        """Listen; at the port of before, if it was started before. With key and certificate, by TLS."""
        self._closing = False
        server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
        job_service_pb2_grpc.add_JobServiceServicer_to_server(_Jobs(self), server)  # type: ignore[no-untyped-call]
        venue_service_pb2_grpc.add_VenueServiceServicer_to_server(_Venues(self), server)  # type: ignore[no-untyped-call]
        episode_service_pb2_grpc.add_EpisodeServiceServicer_to_server(_Episodes(self), server)  # type: ignore[no-untyped-call]
        reservation_service_pb2_grpc.add_ReservationServiceServicer_to_server(_Reservations(self), server)  # type: ignore[no-untyped-call]
        calendar_service_pb2_grpc.add_CalendarServiceServicer_to_server(_Calendar(self), server)  # type: ignore[no-untyped-call]
        estimate_service_pb2_grpc.add_EstimateServiceServicer_to_server(_Estimates(self), server)  # type: ignore[no-untyped-call]
        listen = f"127.0.0.1:{self._port}"
        if tls is None:
            self._port = server.add_insecure_port(listen)
        else:
            self._port = server.add_secure_port(listen, grpc.ssl_server_credentials([tls]))
        server.start()
        self._server = server

    def stop(self) -> None:
        """Stop at once, as if killed; what is in memory stays."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._server is not None:
            self._server.stop(None).wait()
            self._server = None

    def fail(self, method: str, *errors: PalaestraError) -> None:
        """Answer the next calls of the method with these errors."""
        self._failures[method].extend(errors)

    def calls(self, method: str) -> list[Received]:
        """Return the calls of one method."""
        return [call for call in self.received if call.method == method]

    def put(self, job: job_pb2.Job) -> None:
        """Set a job and tell its watchers and those of the events."""
        with self._changed:
            self.events.append(
                event_pb2.Event(sequence=len(self.events) + 1, kind="job.changed", resource=job.name, job=job)
            )
            stored = job_pb2.Job()
            stored.CopyFrom(job)
            stored.sequence = len(self.events)
            self.jobs[job.name] = stored
            self._changed.notify_all()

    def add_job(self, state: job_pb2.JobState = job_pb2.JOB_STATE_QUEUED, vendor: str = "acme") -> job_pb2.Job:
        """Put a new job and return it."""
        job = job_pb2.Job(name=f"vendors/{vendor}/jobs/{new_id()}", state=state)
        self.put(job)
        return self.jobs[job.name]

    def set_state(self, name: str, state: job_pb2.JobState) -> None:
        """Put a job in another state."""
        job = job_pb2.Job()
        job.CopyFrom(self.jobs[name])
        job.state = state
        self.put(job)

    def enter(self, method: str, request: Any, context: grpc.ServicerContext) -> venue_service_pb2.GetIdentityResponse:
        """Do for each call what the interceptors of a scheduler do, and fail if a failure was ordered."""
        authorization = dict(context.invocation_metadata()).get("authorization", "")
        token = str(authorization).removeprefix("Bearer ")
        left_s = context.time_remaining()
        self.received.append(Received(method, request, None if left_s is None or left_s > 1e8 else left_s, token))
        if self._failures[method]:
            self.abort(context, self._failures[method].popleft())
        if token not in IDENTITIES:
            self.abort(context, PalaestraError("BAD_TOKEN", "this venue does not know the token"))
        try:
            check(request)
        except PalaestraError as error:
            self.abort(context, error)
        return IDENTITIES[token]

    def abort(self, context: grpc.ServicerContext, error: PalaestraError) -> None:
        """End the call with the error."""
        context.set_trailing_metadata(trailing(error))
        context.abort(error.code, error.message)

    def find(self, name: str, context: grpc.ServicerContext) -> job_pb2.Job:
        """Return a job or end the call with NOT_FOUND."""
        if name not in self.jobs:
            self.abort(context, PalaestraError("NOT_FOUND", f"{name} not found"))
        return self.jobs[name]

    def page(self, items: list[Any], token: str) -> tuple[list[Any], str]:
        """Return one page and the token of the next."""
        start = int(token or 0)
        end = start + self.page_size
        return items[start:end], str(end) if end < len(items) else ""

    def cutting(self, method: str, responses: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        """Pass responses on and break where a cut was ordered."""
        left = self.cut_after[method].popleft() if self.cut_after[method] else -1
        for response in responses:
            if left == 0:
                break
            yield response
            left -= 1
        if left == 0:
            context.abort(grpc.StatusCode.UNAVAILABLE, "cut")

    def wait_until(self, ready: Any, context: grpc.ServicerContext) -> bool:
        """Wait for a change; False if the caller or the server has gone."""
        with self._changed:
            while not ready():
                if self._closing or not context.is_active():
                    return False
                self._changed.wait(0.05)
        return True


class _Jobs(job_service_pb2_grpc.JobServiceServicer):
    def __init__(self, venue: FakeVenue) -> None:
        self._venue = venue

    def SubmitJob(self, request: Any, context: Any) -> job_pb2.Job:
        self._venue.enter("SubmitJob", request, context)
        return self._submit(request, request.parent)

    def BatchSubmitJobs(self, request: Any, context: Any) -> Any:
        self._venue.enter("BatchSubmitJobs", request, context)
        jobs = [self._submit(item, request.parent) for item in request.requests]
        return job_service_pb2.BatchSubmitJobsResponse(
            results=[job_service_pb2.BatchSubmitResult(job=job) for job in jobs]
        )

    def _submit(self, request: Any, parent: str) -> job_pb2.Job:
        job = job_pb2.Job()
        job.CopyFrom(request.job)
        job.state = job_pb2.JOB_STATE_QUEUED
        if request.validate_only:
            return job
        if request.request_id not in self._venue.requests:
            job.name = f"{parent}/jobs/{new_id()}"
            self._venue.put(job)
            self._venue.requests[request.request_id] = self._venue.jobs[job.name]
        return self._venue.requests[request.request_id]

    def GetJob(self, request: Any, context: Any) -> job_pb2.Job:
        self._venue.enter("GetJob", request, context)
        return self._venue.find(request.name, context)

    def ListJobs(self, request: Any, context: Any) -> Any:
        self._venue.enter("ListJobs", request, context)
        prefix = request.parent.removesuffix("-")
        jobs = [job for name, job in self._venue.jobs.items() if name.startswith(prefix)]
        wanted = [job for job in reversed(jobs) if not request.states or job.state in request.states]
        items, token = self._venue.page(wanted, request.page_token)
        return job_service_pb2.ListJobsResponse(jobs=items, next_page_token=token)

    def CancelJob(self, request: Any, context: Any) -> job_pb2.Job:
        self._venue.enter("CancelJob", request, context)
        job = self._venue.find(request.name, context)
        if job.state in ENDED:
            self._venue.abort(context, PalaestraError("JOB_ENDED", f"{request.name} has ended"))
        self._venue.set_state(request.name, job_pb2.JOB_STATE_CANCELLED)
        return self._venue.jobs[request.name]

    def ExplainJob(self, request: Any, context: Any) -> Any:
        self._venue.enter("ExplainJob", request, context)
        job = self._venue.find(request.name, context)
        reason = job_service_pb2.WaitReason(
            constraint="UNITS",
            message="2 arms asked for, 1 free",
            requested=2,
            matching=5,
            free=1,
            fix="ask for 1",
        )
        return job_service_pb2.ExplainJobResponse(
            state=job.state, summary="It waits for arms.", jobs_ahead=1, reasons=[reason], start=START
        )

    def OpenSlot(self, request: Any, context: Any) -> Any:
        self._venue.enter("OpenSlot", request, context)
        self._venue.find(request.name, context)
        return job_service_pb2.SlotTicket(address="127.0.0.1:7", lease="vendors/acme/leases/x", epoch=1, token="t")

    def ReorderJob(self, request: Any, context: Any) -> Any:
        self._venue.enter("ReorderJob", request, context)
        job = self._venue.jobs[request.name]
        job.priority = request.priority
        return job

    def WhatIf(self, request: Any, context: Any) -> Any:
        self._venue.enter("WhatIf", request, context)
        return job_service_pb2.WhatIfResponse(summary="It would wait for arms.", jobs_ahead=2, start=START)

    def WatchJob(self, request: Any, context: Any) -> Iterator[job_pb2.Job]:
        self._venue.enter("WatchJob", request, context)
        self._venue.find(request.name, context)
        yield from self._venue.cutting("WatchJob", self._changes(request.name, context), context)

    def _changes(self, name: str, context: Any) -> Iterator[job_pb2.Job]:
        seen = -1
        while self._venue.wait_until(lambda seen=seen: self._venue.jobs[name].sequence != seen, context):
            job = self._venue.jobs[name]
            seen = job.sequence
            yield job
            if job.state in ENDED:
                return
        context.abort(grpc.StatusCode.UNAVAILABLE, "going down")

    def ReadLog(self, request: Any, context: Any) -> Iterator[Any]:
        self._venue.enter("ReadLog", request, context)
        yield from self._venue.cutting("ReadLog", self._lines(request, context), context)

    def _lines(self, request: Any, context: Any) -> Iterator[Any]:
        job = self._venue.find(request.name, context)
        number = max(request.from_line, 1)
        lines = self._venue.logs[job.name]
        while True:
            while number <= len(lines):
                line = job_service_pb2.LogLine(line=number, attempt=1, text=lines[number - 1])
                yield job_service_pb2.ReadLogResponse(lines=[line])
                number += 1
            if not request.follow or self._venue.jobs[job.name].state in ENDED:
                return
            if not self._venue.wait_until(
                lambda number=number: len(lines) >= number or self._venue.jobs[job.name].state in ENDED,
                context,
            ):
                context.abort(grpc.StatusCode.UNAVAILABLE, "going down")


class _Venues(venue_service_pb2_grpc.VenueServiceServicer):
    def __init__(self, venue: FakeVenue) -> None:
        self._venue = venue

    def GetVenue(self, request: Any, context: Any) -> venue_pb2.Venue:
        self._venue.enter("GetVenue", request, context)
        return venue_pb2.Venue(
            name=VENUE,
            display_name="Test ground",
            unit_count=5,
            motions=["sway"],
            sequence=len(self._venue.events),
        )

    def GetIdentity(self, request: Any, context: Any) -> Any:
        return self._venue.enter("GetIdentity", request, context)

    def ListUnits(self, request: Any, context: Any) -> Any:
        self._venue.enter("ListUnits", request, context)
        items, token = self._venue.page(self._venue.units, request.page_token)
        return venue_service_pb2.ListUnitsResponse(units=items, next_page_token=token)

    def GetUnit(self, request: Any, context: Any) -> venue_pb2.Unit:
        self._venue.enter("GetUnit", request, context)
        return self._unit(request.name, context)

    def ListCells(self, request: Any, context: Any) -> Any:
        self._venue.enter("ListCells", request, context)
        return venue_service_pb2.ListCellsResponse(
            cells=[venue_pb2.Cell(name=f"{VENUE}/cells/bench", level="ENVIRONMENT_LEVEL_FIXED")]
        )

    def ListSimSlots(self, request: Any, context: Any) -> Any:
        self._venue.enter("ListSimSlots", request, context)
        return venue_service_pb2.ListSimSlotsResponse(sim_slots=[venue_pb2.SimSlot(name=f"{VENUE}/simSlots/0")])

    def ListLeases(self, request: Any, context: Any) -> Any:
        self._venue.enter("ListLeases", request, context)
        return venue_service_pb2.ListLeasesResponse(leases=[venue_pb2.Lease(name=f"vendors/acme/leases/{new_id()}")])

    def GetLease(self, request: Any, context: Any) -> venue_pb2.Lease:
        self._venue.enter("GetLease", request, context)
        return venue_pb2.Lease(name=request.name)

    def ListUsage(self, request: Any, context: Any) -> Any:
        self._venue.enter("ListUsage", request, context)
        usage = venue_service_pb2.VendorUsage(vendor="vendors/acme", unit_s=90.0, jobs=2, dominant_share=0.25)
        line = usage_pb2.UsageLine(robot_class="arm", used_s=7200.0, refund_s=600.0, net_s=6600.0)
        month = usage_pb2.MonthlyUsage(vendor="vendors/acme", month=request.month or "2026-11", units=[line])
        return venue_service_pb2.ListUsageResponse(usage=[usage], total=usage, months=[month])

    def WatchEvents(self, request: Any, context: Any) -> Iterator[Any]:
        self._venue.enter("WatchEvents", request, context)
        yield from self._venue.cutting("WatchEvents", self._batches(request.after_sequence, context), context)

    def _batches(self, sequence: int, context: Any) -> Iterator[Any]:
        while self._venue.wait_until(lambda sequence=sequence: len(self._venue.events) > sequence, context):
            batch = self._venue.events[sequence : sequence + 2]
            sequence = batch[-1].sequence
            yield venue_service_pb2.WatchEventsResponse(events=batch, sequence=sequence)
        context.abort(grpc.StatusCode.UNAVAILABLE, "going down")

    def InjectUnitFault(self, request: Any, context: Any) -> venue_pb2.Unit:
        return self._operate("InjectUnitFault", request, context, venue_pb2.UNIT_STATE_STOPPED, "encoder_dropout")

    def ResetUnit(self, request: Any, context: Any) -> venue_pb2.Unit:
        return self._operate("ResetUnit", request, context, venue_pb2.UNIT_STATE_IDLE, "")

    def StopUnit(self, request: Any, context: Any) -> venue_pb2.Unit:
        return self._operate("StopUnit", request, context, venue_pb2.UNIT_STATE_STOPPED, "stop")

    def _operate(self, method: str, request: Any, context: Any, state: Any, fault: str) -> venue_pb2.Unit:
        identity = self._venue.enter(method, request, context)
        if identity.role != "operator":
            self._venue.abort(context, PalaestraError("ROLE_DENIED", f"a {identity.role} may not call {method}"))
        unit = self._unit(request.name, context)
        unit.state, unit.fault = state, fault
        return unit

    def _unit(self, name: str, context: Any) -> venue_pb2.Unit:
        for unit in self._venue.units:
            if unit.name == name:
                return unit
        self._venue.abort(context, PalaestraError("NOT_FOUND", f"{name} not found"))
        raise AssertionError


class _Episodes(episode_service_pb2_grpc.EpisodeServiceServicer):
    def __init__(self, venue: FakeVenue) -> None:
        self._venue = venue

    def GetEpisode(self, request: Any, context: Any) -> episode_pb2.Episode:
        self._venue.enter("GetEpisode", request, context)
        for episode in self._venue.episodes:
            if episode.name == request.name:
                return episode
        self._venue.abort(context, PalaestraError("NOT_FOUND", f"{request.name} not found"))
        raise AssertionError

    def ListEpisodes(self, request: Any, context: Any) -> Any:
        self._venue.enter("ListEpisodes", request, context)
        rows = [row for row in self._venue.episodes if not request.job or row.job == request.job]
        items, token = self._venue.page(rows, request.page_token)
        return episode_service_pb2.ListEpisodesResponse(episodes=items, next_page_token=token)


class _Reservations(reservation_service_pb2_grpc.ReservationServiceServicer):
    """Remembers nothing: answers what a venue would."""

    def __init__(self, venue: FakeVenue) -> None:
        self._venue = venue

    def CreateReservation(self, request: Any, context: Any) -> reservation_pb2.Reservation:
        self._venue.enter("CreateReservation", request, context)
        found = reservation_pb2.Reservation()
        found.CopyFrom(request.reservation)
        if not request.validate_only:
            found.name = f"{request.parent}/reservations/{new_id()}"
        return found

    def GetReservation(self, request: Any, context: Any) -> reservation_pb2.Reservation:
        self._venue.enter("GetReservation", request, context)
        return self._one(request.name, reservation_pb2.RESERVATION_STATE_ACTIVE)

    def ListReservations(self, request: Any, context: Any) -> Any:
        self._venue.enter("ListReservations", request, context)
        found = [
            self._one(f"vendors/acme/reservations/r{n}", reservation_pb2.RESERVATION_STATE_PLANNED) for n in (3, 2, 1)
        ]
        items, token = self._venue.page(found, request.page_token)
        return reservation_service_pb2.ListReservationsResponse(reservations=items, next_page_token=token)

    def CancelReservation(self, request: Any, context: Any) -> reservation_pb2.Reservation:
        self._venue.enter("CancelReservation", request, context)
        return self._one(request.name, reservation_pb2.RESERVATION_STATE_CANCELLED)

    def _one(self, name: str, state: reservation_pb2.ReservationState) -> reservation_pb2.Reservation:
        claim = {"units": [{"selector": {"robot_class": "arm"}, "count": 2}], "duration": {"seconds": 60}}
        return reservation_pb2.Reservation(
            name=name, claim=claim, state=state, degraded=True, start_time={"seconds": 60}, end_time={"seconds": 120}
        )


class _Estimates(estimate_service_pb2_grpc.EstimateServiceServicer):
    """As good as they may be."""

    def __init__(self, venue: FakeVenue) -> None:
        self._venue = venue

    def GetEstimateCalibration(self, request: Any, context: Any) -> estimate_pb2.EstimateCalibration:
        self._venue.enter("GetEstimateCalibration", request, context)
        return START.calibration


class _Calendar(calendar_service_pb2_grpc.CalendarServiceServicer):
    """One closure, and one time in which the venue is closed."""

    def __init__(self, venue: FakeVenue) -> None:
        self._venue = venue

    def CreateClosure(self, request: Any, context: Any) -> calendar_pb2.Closure:
        self._venue.enter("CreateClosure", request, context)
        found = calendar_pb2.Closure()
        found.CopyFrom(request.closure)
        found.name = f"{VENUE}/closures/{new_id()}"
        return found

    def ListClosures(self, request: Any, context: Any) -> Any:
        self._venue.enter("ListClosures", request, context)
        closure = calendar_pb2.Closure(
            name=f"{VENUE}/closures/c1", units=[f"{VENUE}/units/arm-1"], zones=["north"],
            start_time={"seconds": 60}, end_time={"seconds": 120},
        )  # fmt: skip
        return calendar_service_pb2.ListClosuresResponse(closures=[closure])

    def DeleteClosure(self, request: Any, context: Any) -> Any:
        self._venue.enter("DeleteClosure", request, context)
        return calendar_service_pb2.DeleteClosureResponse()

    def ListClosedTimes(self, request: Any, context: Any) -> Any:
        self._venue.enter("ListClosedTimes", request, context)
        closed = calendar_pb2.ClosedTime(start_time={"seconds": 60}, end_time={"seconds": 120})
        return calendar_service_pb2.ListClosedTimesResponse(closed_times=[closed], time_zone="Asia/Shanghai")
