"""The runner's own process: fetches assignments, hands them to workers, keeps leases alive, reports the ends.

What should be running is what the scheduler says; what is running is what the pool does; `Runner` brings the second to
the first each time it hears from the scheduler.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

import grpc
from palaestra.errors import PalaestraError, from_rpc
from palaestra.ids import new_id
from palaestra.v1 import job_pb2, runner_service_pb2, runner_service_pb2_grpc
from ray.exceptions import RayActorError, RayError

from runner.pool import Pool
from runner.settings import Settings

log = logging.getLogger(__name__)
CALL_TIMEOUT_S = 5.0
HEARTBEAT_S = 1.5
RECONNECT_S = 0.3
# A worker that was asked to stop and has not by then is killed; with the scheduler's way here and back, a cancelled job
# has let go of everything within two seconds.
STOP_GRACE_S = 1.0


@dataclass
class _Running:
    assignment: runner_service_pb2.Assignment
    worker: Any = None
    stopping: bool = False
    # The scheduler asked for the end, so ending is what the vendor wanted; any other stop is our own affair.
    cancelled: bool = False
    task: "asyncio.Task[None] | None" = field(default=None, repr=False)


class Runner:
    """One runner instance."""

    def __init__(self, settings: Settings, pool: Pool, catalogue: runner_service_pb2.WatchAssignmentsRequest) -> None:
        self.instance = f"{settings.runner}/{new_id()}"
        self._pool = pool
        self._catalogue = catalogue
        self._catalogue.runner = settings.runner
        self._catalogue.instance = self.instance
        self._catalogue.sim_slots = settings.sim_slots
        self._running: dict[str, _Running] = {}
        self._channel = grpc.aio.insecure_channel(
            settings.scheduler,
            options=[("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)],
        )
        self._stub = runner_service_pb2_grpc.RunnerServiceStub(self._channel)
        self._metadata = (("authorization", f"Bearer {settings.token}"),)
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop` is called."""
        tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._beat())]
        await self._stopped.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*(self._stop(running) for running in list(self._running.values())))
        ends = [running.task for running in self._running.values() if running.task]
        if ends:
            await asyncio.wait(ends, timeout=3.0)
        await self._channel.close()

    def stop(self) -> None:
        """Let go of everything and return from `run`. Attempts under way are tried again by the next runner."""
        self._stopped.set()

    async def _watch(self) -> None:
        """Follow the assignments through every restart of the scheduler."""
        while True:
            try:
                async for response in self._stub.WatchAssignments(self._catalogue, metadata=self._metadata):
                    self._follow(list(response.assignments))
            except grpc.RpcError as error:
                log.warning("no assignments: %s", from_rpc(error))
            await asyncio.sleep(RECONNECT_S)

    def _follow(self, assignments: list[runner_service_pb2.Assignment]) -> None:
        """Start what is new, stop what is cancelled or no longer ours."""
        wanted = {assignment.attempt: assignment for assignment in assignments}
        for name, assignment in wanted.items():
            if name not in self._running and not assignment.cancel_requested:
                running = self._running[name] = _Running(assignment)
                running.task = asyncio.create_task(self._carry_out(running))
        for name, running in list(self._running.items()):
            running.cancelled = running.cancelled or (name in wanted and wanted[name].cancel_requested)
            if name not in wanted or running.cancelled:
                asyncio.ensure_future(self._stop(running))

    async def _carry_out(self, running: _Running) -> None:
        name = running.assignment.attempt
        try:
            if await self._start(name):
                await self._finish(await self._work(running))
        except PalaestraError as error:
            log.warning("%s: %s", name, error)
        except Exception:
            log.exception("%s failed in the runner", name)
        finally:
            del self._running[name]

    async def _start(self, name: str) -> bool:
        request = runner_service_pb2.StartAttemptRequest(attempt=name, instance=self.instance)
        try:
            await self._call(self._stub.StartAttempt, request)
        except PalaestraError as error:
            log.warning("cannot start %s: %s", name, error)
            return False
        return True

    async def _work(self, running: _Running) -> runner_service_pb2.FinishAttemptRequest:
        """Have a worker do it; turn a worker's death into an end that is tried again."""
        name = running.assignment.attempt
        lost = runner_service_pb2.FinishAttemptRequest(attempt=name, instance=self.instance)
        try:
            running.worker = await self._pool.take()
            if running.stopping:
                raise RayActorError
            data = await running.worker.run.remote(running.assignment.SerializeToString(), self.instance)
            self._pool.give_back(running.worker)
            end = runner_service_pb2.FinishAttemptRequest.FromString(data)
            if end.outcome == job_pb2.ATTEMPT_STATE_CANCELLED and not running.cancelled:
                return _failed(end, "SHUTTING_DOWN", "the runner was stopped")
            return end
        except RayError as error:
            if running.cancelled:
                lost.outcome = job_pb2.ATTEMPT_STATE_CANCELLED
                return lost
            log.warning("%s: its worker died: %s", name, str(error).splitlines()[0] if str(error) else error)
            return _failed(lost, "RUNNER_LOST", "the worker process died")
        finally:
            asyncio.ensure_future(self._pool.warm())

    async def _finish(self, request: runner_service_pb2.FinishAttemptRequest) -> None:
        """Report the end until somebody has written it down."""
        while True:
            try:
                await self._call(self._stub.FinishAttempt, request)
                return
            except PalaestraError as error:
                if error.reason != "SHUTTING_DOWN":
                    # Ended there already, for example because the lease was taken away.
                    log.info("%s: %s", request.attempt, error)
                    return
            await asyncio.sleep(RECONNECT_S)

    async def _stop(self, running: _Running) -> None:
        """Ask a worker to stop; kill it if it does not."""
        if running.stopping:
            return
        running.stopping = True
        worker = running.worker
        if worker is None:
            return
        worker.cancel.remote()
        if running.task is not None:
            await asyncio.wait([running.task], timeout=STOP_GRACE_S)
            if not running.task.done():
                log.warning("%s does not stop; its worker is killed", running.assignment.attempt)
                self._pool.kill(worker)

    async def _beat(self) -> None:
        """Keep the leases of what is running alive."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            if not self._running:
                continue
            request = runner_service_pb2.HeartbeatAttemptsRequest(
                instance=self.instance,
                attempts=[runner_service_pb2.AttemptBeat(attempt=name) for name in self._running],
            )
            try:
                response = await self._call(self._stub.HeartbeatAttempts, request)
            except PalaestraError as error:
                log.warning("heartbeat failed: %s", error)
                continue
            for name in response.stop:
                # Why it is to stop, the assignments tell; they come at least every second.
                if name in self._running and self._running[name].cancelled:
                    asyncio.ensure_future(self._stop(self._running[name]))

    async def _call(self, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=CALL_TIMEOUT_S, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_rpc(error) from None


def _failed(
    request: runner_service_pb2.FinishAttemptRequest, reason: str, message: str
) -> runner_service_pb2.FinishAttemptRequest:
    request.outcome = job_pb2.ATTEMPT_STATE_FAILED
    request.failure.CopyFrom(job_pb2.Failure(reason=reason, message=message, retryable=True))
    return request
