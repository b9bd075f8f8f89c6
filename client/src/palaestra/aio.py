"""The client for asyncio: the methods of `palaestra.client`, awaited."""

import asyncio
import os
import random
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from palaestra import bookings, calls, channel, login, names, rules, streams
from palaestra.api_keys import AsyncApiKeys
from palaestra.audit import AsyncAudit
from palaestra.calls import Call, Listing
from palaestra.data import AsyncData
from palaestra.errors import PalaestraError, Unreachable, from_rpc
from palaestra.ids import new_request_id
from palaestra.operations import AsyncOperations
from palaestra.patience import Outage, refusal_pause_s
from palaestra.review import AsyncReviews
from palaestra.tls import Tls
from palaestra.v1.calendar_pb2 import Closure
from palaestra.v1.calendar_service_pb2 import ListClosedTimesResponse
from palaestra.v1.claim_pb2 import Claim
from palaestra.v1.episode_pb2 import Episode
from palaestra.v1.estimate_pb2 import EstimateCalibration
from palaestra.v1.event_pb2 import Event
from palaestra.v1.job_array_pb2 import JobArray
from palaestra.v1.job_pb2 import Job, JobState
from palaestra.v1.job_service_pb2 import BatchSubmitResult, ExplainJobResponse, LogLine, SlotTicket, WhatIfResponse
from palaestra.v1.reservation_pb2 import Reservation
from palaestra.v1.venue_pb2 import Cell, Lease, SimSlot, Unit, UnitHealth, Venue
from palaestra.v1.venue_service_pb2 import (
    FaultKind,
    GetIdentityResponse,
    ListUsageResponse,
    WatchEventsResponse,
)

R = TypeVar("R", bound=Message)
T = TypeVar("T")


class AsyncClient:
    """A connection to one venue, as one vendor or operator. Create and use it inside one running event loop.

    Its `api_keys` makes keys for programs, see `palaestra.api_keys.AsyncApiKeys`.

    Every method raises PalaestraError with a reason of the registry if the venue refuses or fails, and
    Unreachable if it does not answer in time. Where the name of a job or unit is asked for, its last part is
    enough.

    Args:
        address: Host and port of the scheduler; with a standby both, with a comma between.
        token: Bearer token, or the secret of an API key; "" where the certificate says who calls.
        timeout_s: Longest time for one call, with all its repeats [s].
        tls_root: PEM certificates to trust; None for a connection that is not encrypted, on one machine only.
        tls_certificate, tls_key: Client certificate with its chain, and its private key, as PEM.
        outage_s: How long streams look for a server that was there before [s].
    """

    def __init__(
        self,
        address: str,
        token: str = "",
        *,
        timeout_s: float = 10.0,
        tls_root: bytes | None = None,
        tls_certificate: bytes | None = None,
        tls_key: bytes | None = None,
        outage_s: float = 120.0,
    ) -> None:
        credentials = Tls(tls_root, tls_certificate, tls_key).credentials()
        channel.check_private(address, token, encrypted=credentials is not None)
        target, options = channel.target(address), channel.options(address)
        self._channel = (
            grpc.aio.secure_channel(target, credentials, options)
            if credentials is not None
            else grpc.aio.insecure_channel(target, options)
        )
        self._address = address
        self._metadata = channel.authorization(token)
        self._timeout_s = timeout_s
        self._outage_s = outage_s
        self._methods: dict[str, Callable[..., Any]] = {}
        self._known: GetIdentityResponse | None = None
        self._closed = False
        self.api_keys = AsyncApiKeys(self._send, self._pages, self._identity)
        self.data = AsyncData(self._send, self._pages, self._identity)
        self.reviews = AsyncReviews(self._send, self._pages, self._identity)
        self.audit = AsyncAudit(self._send, self._pages, self._identity)
        self.operations = AsyncOperations(self._send, self._pages, self._identity)

    @classmethod
    def connect(cls, profile: str | None = None, *, timeout_s: float = 10.0) -> Self:
        """Return a client for a stored login, or the one that the environment describes; see `palaestra.login.find`."""
        found = login.find(os.environ, profile)
        tls = found.tls()
        return cls(
            found.address,
            found.token,
            timeout_s=timeout_s,
            tls_root=tls.root,
            tls_certificate=tls.certificate,
            tls_key=tls.key,
        )

    async def close(self) -> None:
        """Close the connection; streams that are open end."""
        self._closed = True
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def identity(self) -> GetIdentityResponse:
        """Return who the token is: role, vendor, venue."""
        self._known = await self._send(calls.identity())
        return self._known

    async def venue(self) -> Venue:
        """Return the venue."""
        return await self._send(calls.venue())

    def units(self) -> AsyncGenerator[Unit]:
        """Yield every unit of the venue."""
        return self._pages(calls.units())

    async def unit(self, name: str) -> Unit:
        """Return one unit."""
        return await self._send(calls.unit(await self._unit_name(name)))

    def cells(self) -> AsyncGenerator[Cell]:
        """Yield every cell of the venue."""
        return self._pages(calls.cells())

    def sim_slots(self) -> AsyncGenerator[SimSlot]:
        """Yield every sim slot of the venue."""
        return self._pages(calls.sim_slots())

    async def leases(self, *, show_ended: bool = False) -> AsyncGenerator[Lease]:
        """Yield the vendor's leases; an operator's are everybody's."""
        async for lease in self._pages(calls.leases(await self._parent(), show_ended=show_ended)):
            yield lease

    async def lease(self, name: str) -> Lease:
        """Return one lease, by its full name."""
        return await self._send(calls.lease(name))

    async def usage(self, *, month: str = "") -> ListUsageResponse:
        """Return what the vendor used, by robot class in a month such as "2026-11"; operators see every vendor.

        month: In UTC; the present one if empty.
        """
        return await self._send(calls.usage(await self._parent(), month))

    async def submit(self, job: Job, *, request_id: str | None = None, validate_only: bool = False) -> Job:
        """Submit a job and return it with its name; it is durable then.

        Args:
            job: See `palaestra.jobs` for builders.
            request_id: A UUID. The same id again returns the first job instead of a second one.
            validate_only: Check everything, change nothing; the answer has no name.
        """
        identity = await self._identity()
        call = calls.submit(
            names.parent(identity),
            names.complete(job, identity),
            request_id or new_request_id(),
            validate_only=validate_only,
        )
        return await self._send(call)

    async def submit_many(
        self, jobs: Sequence[Job], *, atomic: bool = True, after_indices: Mapping[int, Sequence[int]] | None = None
    ) -> list[BatchSubmitResult]:
        """Submit jobs together and return one result for each, in order: its `job`, or its `failure`.

        Args:
            jobs: At most 1,000 if atomic; otherwise any number, sent 1,000 at a time.
            atomic: All or none; one that is refused raises. Otherwise the valid ones are accepted.
            after_indices: For a job, by its index, the indices of those of these jobs that must have succeeded first.
                Then at most 1,000 jobs.
        """
        identity = await self._identity()
        parent = names.parent(identity)
        specs = [names.complete(job, identity) for job in jobs]
        step = max(len(specs), 1) if atomic or after_indices else calls.BATCH_MAX
        results: list[BatchSubmitResult] = []
        for start in range(0, max(len(specs), 1), step):
            batch = specs[start : start + step]
            request_ids = [new_request_id() for _ in batch]
            call = calls.submit_many(parent, batch, request_ids, atomic=atomic, after_indices=after_indices or {})
            results += (await self._send(call)).results
        return results

    async def submit_array(
        self, job: Job, size: int, *, request_id: str | None = None, validate_only: bool = False
    ) -> JobArray:
        """Submit like jobs together and return their array with its name; all are durable then, or none.

        Args:
            job: What each is like. The seed of its work grows by 1 with the place in the array.
            size: Number of jobs, at most 10,000.
            request_id, validate_only: As for `submit`.
        """
        identity = await self._identity()
        call = calls.submit_array(
            names.parent(identity),
            names.complete(job, identity),
            size,
            request_id or new_request_id(),
            validate_only=validate_only,
        )
        return await self._send(call)

    async def array(self, name: str) -> JobArray:
        """Return an array of jobs, with how many of them are in which state."""
        return await self._send(calls.array(await self._array_name(name)))

    async def cancel_array(self, name: str) -> JobArray:
        """Ask for the end of every job of an array that has not ended."""
        return await self._send(calls.cancel_array(await self._array_name(name), new_request_id()))

    async def job(self, name: str) -> Job:
        """Return a job."""
        return await self._send(calls.job(await self._job_name(name)))

    async def jobs(self, states: Iterable[JobState] = (), *, array: str | None = None) -> AsyncGenerator[Job]:
        """Yield the vendor's jobs, newest first; an operator's are everybody's. `states`, `array` keep only some."""
        name = "" if array is None else await self._array_name(array)
        async for job in self._pages(calls.jobs(await self._parent(), states, name)):
            yield job

    async def watch_job(self, name: str, *, timeout_s: float | None = None) -> AsyncGenerator[Job]:
        """Yield the job now and each time it changes, until it has ended. Cuts are mended.

        Raises:
            TimeoutError: It has not ended after `timeout_s`.
        """
        stream = streams.JobWatch(await self._job_name(name))
        async with aclosing(self._follow(stream, timeout_s=timeout_s)) as jobs:
            async for job in jobs:
                yield job

    async def wait(self, name: str, timeout_s: float | None = None) -> Job:
        """Return the job when it has ended, however that was. Raises TimeoutError after `timeout_s`."""
        latest = Job()
        async for job in self.watch_job(name, timeout_s=timeout_s):
            latest = job
        if latest.state not in streams.ENDED:
            raise Unreachable(f"{self._address}: the client was closed before {latest.name or name} had ended")
        return latest

    async def cancel(self, name: str, *, etag: str = "") -> Job:
        """Ask for the end of a job and return it. With `etag`, only if it has not changed since."""
        return await self._send(calls.cancel(await self._job_name(name), new_request_id(), etag))

    async def open_slot(self, name: str) -> SlotTicket:
        """Return where the worlds of a job to serve are, and a ticket that opens them for a minute."""
        return await self._send(calls.open_slot(await self._job_name(name)))

    async def explain(self, name: str) -> ExplainJobResponse:
        """Return why a job waits and what would help."""
        return await self._send(calls.explain(await self._job_name(name)))

    async def what_if(self, job: Job) -> WhatIfResponse:
        """Return when a job would start if it were submitted now, and with which small changes sooner.

        Nothing is submitted; the job is checked, and refused, as by `submit`.
        """
        identity = await self._identity()
        return await self._send(calls.what_if(names.parent(identity), names.complete(job, identity)))

    async def estimates(self) -> EstimateCalibration:
        """Return how well the starts that this venue told have held."""
        return await self._send(calls.estimates())

    async def log(self, name: str, *, from_line: int = 1, follow: bool = False) -> AsyncGenerator[LogLine]:
        """Yield the lines of a job's log; with `follow`, until the job has ended. Cuts are mended."""
        stream = streams.LogTail(await self._job_name(name), from_line, follow=follow)
        async with aclosing(self._follow(stream)) as lines:
            async for line in lines:
                yield line

    async def episodes(self, job: str | None = None, *, robot_model: str = "") -> AsyncGenerator[Episode]:
        """Yield the vendor's episodes, newest first; of one job, if it is named."""
        name = "" if job is None else await self._job_name(job)
        async for episode in self._pages(calls.episodes(await self._parent(), name, robot_model)):
            yield episode

    async def episode(self, name: str) -> Episode:
        """Return one episode's row of the catalogue, by its full name."""
        return await self._send(calls.episode(name))

    async def events(self, after_sequence: int = 0) -> AsyncGenerator[Event]:
        """Yield every change after a sequence number, in order, once each, for ever. Cuts are mended."""
        async with aclosing(self.watch_events(after_sequence)) as batches:
            async for batch in batches:
                for event in batch.events:
                    yield event

    def watch_events(self, after_sequence: int = 0) -> AsyncGenerator[WatchEventsResponse]:
        """Yield events in batches. Each `sequence` is a place to go on from, even with no event in it."""
        return self._follow(streams.EventTail(after_sequence))

    async def reserve(
        self,
        claim: Claim,
        start: datetime,
        end: datetime,
        *,
        display_name: str = "",
        request_id: str | None = None,
        validate_only: bool = False,
    ) -> Reservation:
        """Hold a claim in advance and return the reservation with its name; it is durable then.

        Args:
            claim: From `palaestra.jobs.claim`; its duration is that from start to end, whatever it says.
            start, end: With time zone.
            display_name: For people.
            request_id: A UUID. The same id again returns the first reservation instead of a second one.
            validate_only: Check everything, change nothing; the answer has no name.

        Raises:
            PalaestraError: BAD_PERIOD, NO_CAPACITY, OVER_QUOTA, and what a job is refused with.
        """
        identity = await self._identity()
        spec = bookings.reservation(claim, start, end, display_name=display_name)
        names.complete_claim(spec.claim, identity)
        parent = names.parent(identity)
        return await self._send(
            calls.reserve(parent, spec, request_id or new_request_id(), validate_only=validate_only)
        )

    async def reservation(self, name: str) -> Reservation:
        """Return a reservation."""
        return await self._send(calls.reservation(await self._reservation_name(name)))

    async def reservations(self, *, show_ended: bool = False) -> AsyncGenerator[Reservation]:
        """Yield the vendor's reservations, newest first; an operator's are everybody's."""
        parent = await self._parent()
        async for reservation in self._pages(calls.reservations(parent, show_ended=show_ended)):
            yield reservation

    async def cancel_reservation(self, name: str, *, etag: str = "") -> Reservation:
        """Give a reservation back and return it. With `etag`, only if it has not changed since."""
        return await self._send(calls.cancel_reservation(await self._reservation_name(name), etag))

    def closures(self) -> AsyncGenerator[Closure]:
        """Yield the closures that are not over: the operators', then those of the venue file."""
        return self._pages(calls.closures())

    async def closed_times(self, days: int = 14) -> ListClosedTimesResponse:
        """Return when what is closed, for so many days from now: opening hours and closures together."""
        return await self._send(calls.closed_times(days))

    async def create_closure(
        self, closure: Closure, *, request_id: str | None = None, validate_only: bool = False
    ) -> Closure:
        """Close something for a time and return the closure with its name. Operators only."""
        spec = names.complete_closure(closure, await self._identity())
        return await self._send(calls.create_closure(spec, request_id or new_request_id(), validate_only=validate_only))

    async def delete_closure(self, name: str) -> None:
        """Take a closure back. Operators only."""
        await self._send(calls.delete_closure(await self._closure_name(name)))

    async def inject_fault(self, unit: str, kind: FaultKind, joint: str = "") -> Unit:
        """Put a fault into an emulated unit. Operators only."""
        return await self._send(calls.inject_fault(await self._unit_name(unit), kind, joint))

    async def reset_unit(self, unit: str, *, etag: str = "") -> Unit:
        """Clear a unit's latched fault. Operators only. It never starts motion."""
        return await self._send(calls.reset_unit(await self._unit_name(unit), etag))

    async def stop_unit(self, unit: str, *, reason: str = "") -> Unit:
        """Ask a unit for a protective stop, which is not a safety-rated emergency stop. Operators only."""
        return await self._send(calls.stop_unit(await self._unit_name(unit), reason))

    async def set_unit_health(
        self, unit: str, health: UnitHealth, *, cause: str = "", etag: str = "", request_id: str | None = None
    ) -> Unit:
        """Take a unit out of service (MAINTENANCE, RETIRED, BAD), or bring it back (SUSPECT: a check follows; GOOD).

        Operators only. `request_id` makes a repeat harmless; without one, each call has its own.
        """
        name = await self._unit_name(unit)
        return await self._send(calls.set_unit_health(name, health, cause, etag, request_id or new_request_id()))

    async def calibrate_unit(
        self, unit: str, expire_s: float | None, *, etag: str = "", request_id: str | None = None
    ) -> Unit:
        """Write down until when a unit's calibration is good [s since the epoch]; None if it needs none.

        Operators only. `request_id` as in `set_unit_health`.
        """
        name = await self._unit_name(unit)
        return await self._send(calls.calibrate_unit(name, expire_s, etag, request_id or new_request_id()))

    async def _send(self, call: Call[R]) -> R:
        """Carry out a unary call within the deadline; what was refused before it was begun is sent again in time."""
        rules.check(call.request)
        end_s = time.monotonic() + self._timeout_s
        method = self._method(self._channel.unary_unary, call)
        while True:
            left_s = max(end_s - time.monotonic(), 0.0)
            try:
                answer: R = await method(call.request, timeout=left_s, metadata=self._metadata, wait_for_ready=True)
                return answer
            except grpc.RpcError as error:
                failure = from_rpc(error)
            pause_s = refusal_pause_s(
                failure, left_s=end_s - time.monotonic(), repeatable=call.method in channel.repeatable_paths()
            )
            if pause_s is None:
                raise self._placed(failure)
            await asyncio.sleep(pause_s)

    async def _pages(self, listing: Listing[R, T]) -> AsyncGenerator[T]:
        page: Listing[R, T] | None = listing
        while page is not None:
            response = await self._send(page.call)
            for item in page.items(response):
                yield item
            page = page.after(response)

    async def _follow(self, stream: streams.Stream[R, T], *, timeout_s: float | None = None) -> AsyncGenerator[T]:
        """Yield what a stream brings, opening it again where it was cut."""
        start_s = time.monotonic()
        outage = Outage(first_s=self._timeout_s, again_s=self._outage_s, now_s=start_s)
        left_s = timeout_s
        while not self._closed:
            call = stream.call()
            rules.check(call.request)
            responses = self._method(self._channel.unary_stream, call)(
                call.request, timeout=left_s, metadata=self._metadata
            )
            failure: PalaestraError = Unreachable("the server closed the stream")
            try:
                async for response in responses:
                    outage.over()
                    for item in stream.take(response):
                        yield item
                if stream.finished():
                    return
            except asyncio.CancelledError:
                # Closing the channel looks like this too; a task that is cancelled must stay so.
                task = asyncio.current_task()
                if self._closed and not (task and task.cancelling()):
                    return
                raise
            except grpc.RpcError as error:
                if self._closed:
                    return
                failure = self._placed(from_rpc(error))
            finally:
                responses.cancel()
            now_s = time.monotonic()
            if timeout_s is not None:
                left_s = start_s + timeout_s - now_s
                if left_s <= 0.0:
                    raise TimeoutError(f"not ended after {timeout_s:g} s: {call.request!s}".strip())
            pause_s = outage.pause_s(failure, now_s=now_s, chance=random.random())
            await asyncio.sleep(pause_s if left_s is None else min(pause_s, left_s))

    def _placed(self, failure: PalaestraError) -> PalaestraError:
        """Return the failure; if nobody answered, with the address in it."""
        return Unreachable(f"{self._address}: {failure.message}") if isinstance(failure, Unreachable) else failure

    def _method(self, kind: Callable[..., Any], call: Call[R]) -> Callable[..., Any]:
        if call.method not in self._methods:
            self._methods[call.method] = kind(
                call.method,
                request_serializer=type(call.request).SerializeToString,
                response_deserializer=call.response.FromString,
            )
        return self._methods[call.method]

    async def _identity(self) -> GetIdentityResponse:
        return self._known or await self.identity()

    async def _parent(self) -> str:
        return names.parent(await self._identity())

    async def _job_name(self, name: str) -> str:
        return names.job(name, await self._identity()) if names.is_short(name) else name

    async def _array_name(self, name: str) -> str:
        return names.job_array(name, await self._identity()) if names.is_short(name) else name

    async def _unit_name(self, name: str) -> str:
        return names.unit(name, await self._identity()) if names.is_short(name) else name

    async def _reservation_name(self, name: str) -> str:
        return names.reservation(name, await self._identity()) if names.is_short(name) else name

    async def _closure_name(self, name: str) -> str:
        return names.closure(name, await self._identity()) if names.is_short(name) else name
