"""A scheduler's RunnerService and a pool of workers, both in the test's own process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio

from palaestra import errors
from palaestra.errors import PalaestraError
from palaestra.v1 import job_pb2, store_service_pb2, store_service_pb2_grpc
from palaestra.v1 import runner_service_pb2 as pb
from palaestra.v1 import runner_service_pb2_grpc as services
from runner.errors import NoWorker, RayLost, WorkerLost

PATIENCE_S = 20.0


async def eventually(what: str, holds: Callable[[], bool]) -> None:
    """Wait until `holds()`; fail with `what` if it never does."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


class Room(store_service_pb2_grpc.StoreServiceServicer):
    """Has room for everybody."""

    async def CheckRoom(self, request: store_service_pb2.CheckRoomRequest, context: Any) -> Any:
        return store_service_pb2.CheckRoomResponse()


class Office(services.RunnerServiceServicer):
    """Hands out `assignments`, and notes what the runner says.

    Attributes:
        lost_answers: By method, how many calls are carried out without an answer.
        refusals: By method, errors that calls are answered with, the first one first.
    """

    def __init__(self) -> None:
        self.assignments: dict[str, pb.Assignment] = {}
        self.started: list[str] = []
        self.finished: list[pb.FinishAttemptRequest] = []
        self.beats: list[list[str]] = []
        self.lost_answers: dict[str, int] = {}
        self.refusals: dict[str, list[PalaestraError]] = {}
        # Streams opened so far; whether those that are open now say nothing any more.
        self.streams = 0
        self.silent = False
        self._changed = asyncio.Event()

    async def start(self, port: int = 0) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        services.add_RunnerServiceServicer_to_server(self, self._server)
        store_service_pb2_grpc.add_StoreServiceServicer_to_server(Room(), self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(grace=None)

    def assign(self, attempt: str, *, cancel: bool = False, stop_grace_s: int = 0) -> None:
        self.assignments[attempt] = pb.Assignment(attempt=attempt, cancel_requested=cancel)
        if stop_grace_s:
            self.assignments[attempt].stop_grace.seconds = stop_grace_s
        self._changed.set()

    def withdraw(self, attempt: str) -> None:
        del self.assignments[attempt]
        self._changed.set()

    def end(self, attempt: str) -> pb.FinishAttemptRequest:
        """Return the only end of an attempt."""
        (end,) = [end for end in self.finished if end.attempt == attempt]
        return end

    async def WatchAssignments(
        self, request: pb.WatchAssignmentsRequest, context: Any
    ) -> AsyncIterator[pb.WatchAssignmentsResponse]:
        self.streams += 1
        told: dict[str, pb.Assignment] = {}
        while True:
            if self.silent:
                await asyncio.Event().wait()
            self._changed.clear()
            ended = [name for name in told if name not in self.assignments]
            # All that there is, each time: that a runner has heard it before changes nothing.
            told = dict(self.assignments)
            yield pb.WatchAssignmentsResponse(assignments=told.values(), ended=ended, complete=True)
            try:
                async with asyncio.timeout(0.2):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def StartAttempt(self, request: pb.StartAttemptRequest, context: Any) -> pb.StartAttemptResponse:
        if any(end.attempt == request.attempt for end in self.finished):
            # As the real one does: an assignment may have been read before its end was reported.
            error = PalaestraError("ATTEMPT_NOT_ACTIVE", f"{request.attempt} has ended")
            await context.abort(error.code, error.message, errors.trailing(error))
        self.started.append(request.attempt)
        await self._answer("StartAttempt", context)
        return pb.StartAttemptResponse()

    async def FinishAttempt(self, request: pb.FinishAttemptRequest, context: Any) -> pb.FinishAttemptResponse:
        if not self.refusals.get("FinishAttempt"):
            self.finished.append(request)
            self.assignments.pop(request.attempt, None)
        await self._answer("FinishAttempt", context)
        return pb.FinishAttemptResponse()

    async def HeartbeatAttempts(self, request: pb.HeartbeatAttemptsRequest, context: Any) -> Any:
        self.beats.append([beat.attempt for beat in request.attempts])
        return pb.HeartbeatAttemptsResponse()

    async def _answer(self, method: str, context: Any) -> None:
        if self.refusals.get(method):
            error = self.refusals[method].pop(0)
            await context.abort(error.code, error.message, errors.trailing(error))
        if self.lost_answers.get(method, 0):
            self.lost_answers[method] -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost")


class Crew:
    """Workers that do as the test says; stands in for `runner.pool.Pool`.

    Attributes:
        slow_start: Workers are ready only when this is set.
        stubborn: Workers do not listen to a cancel.
        broken: No worker starts.
        working: Attempts under way, with what ends them.
        killed, idle: Workers that were killed, and given back.
    """

    def __init__(self) -> None:
        self.slow_start: asyncio.Event | None = None
        self.stubborn = False
        self.broken = False
        self.working: dict[str, asyncio.Future[bytes]] = {}
        self.killed: list[int] = []
        self.idle: list[int] = []
        self.cancelled: list[str] = []
        self.lost: asyncio.Event = asyncio.Event()
        self.abandoned = False
        self._by_worker: dict[int, asyncio.Future[bytes]] = {}
        self._count = 0

    async def take(self) -> int:
        if self.broken:
            raise NoWorker("no process can be started")
        if self.slow_start is not None:
            await self.slow_start.wait()
        self._count += 1
        return self._count

    async def run(self, worker: int, assignment: bytes, instance: str) -> bytes:
        attempt = pb.Assignment.FromString(assignment).attempt
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.working[attempt] = self._by_worker[worker] = future
        try:
            return await future
        finally:
            del self.working[attempt], self._by_worker[worker]

    def cancel(self, worker: int, attempt: str) -> None:
        self.cancelled.append(attempt)
        if not self.stubborn:
            self.finish(attempt, job_pb2.ATTEMPT_STATE_CANCELLED)

    async def watch(self) -> None:
        await self.lost.wait()
        raise RayLost("Ray's gcs_server ended")

    def abandon(self) -> None:
        self.abandoned = True
        for attempt in list(self.working):
            self.die(attempt)

    def give_back(self, worker: int) -> None:
        self.idle.append(worker)

    def kill(self, worker: int) -> None:
        self.killed.append(worker)
        if worker in self._by_worker:
            self._by_worker[worker].set_exception(WorkerLost("killed"))

    def finish(self, attempt: str, outcome: "job_pb2.AttemptState" = job_pb2.ATTEMPT_STATE_SUCCEEDED) -> None:
        request = pb.FinishAttemptRequest(attempt=attempt, instance="as in the assignment", outcome=outcome)
        self.working[attempt].set_result(request.SerializeToString())

    def die(self, attempt: str) -> None:
        self.working[attempt].set_exception(WorkerLost("killed by somebody"))
