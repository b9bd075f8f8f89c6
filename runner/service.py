"""The runner's own process: fetches assignments, hands them to workers, keeps leases alive, reports the ends.

What should be running is what the scheduler says; what is running is what the pool does; `Runner` brings the second to
the first each time it hears from the scheduler.
"""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc

from palaestra.channel import authorization, resuming_options, stay_cancelled
from palaestra.errors import OUTAGES, PalaestraError, from_rpc
from palaestra.failpoint import Failpoint
from palaestra.ids import new_id
from palaestra.v1 import job_pb2, runner_service_pb2, runner_service_pb2_grpc
from runner.errors import NoWorker, RayLost, WorkerLost
from runner.settings import Settings
from runner.wanted import Wanted

log = logging.getLogger(__name__)
CALL_TIMEOUT_S = 5.0
HEARTBEAT_S = 1.5
RECONNECT_S = 0.3
# The scheduler speaks every second. A stream that is silent for so long is opened anew: what is sent for that tells
# whether there is still a connection.
SILENCE_S = 4.0
# A worker that was asked to stop and has not by then is killed; with the scheduler's way here and back, a cancelled job
# has let go of everything within two seconds.
STOP_GRACE_S = 1.0
# How long a runner that is stopping tries to tell the scheduler how its attempts ended.
FAREWELL_S = 2.5
# The scheduler's word that an attempt is not ours any more, whatever became of it.
OVER = frozenset({"ATTEMPT_NOT_ACTIVE", "NOT_FOUND"})
HEARD = Failpoint("runner.assignment.heard", "an assignment has come; nobody has been told that it is taken")
STARTED = Failpoint("runner.attempt.started", "the attempt is this runner's; no worker has it")
SUBMITTING = Failpoint("runner.work.before", "a worker is taken; Ray has not been given the work")
DONE = Failpoint("runner.work.after", "the work has ended; the scheduler does not know how")
FINISHED = Failpoint("runner.end.after", "the end is written down; the runner still counts the attempt as running")
BEATING = Failpoint("runner.beat.before", "leases are due to be extended and are not")


class Workers(Protocol):
    """What the runner asks of `runner.pool.Pool`."""

    async def take(self) -> Any: ...
    async def run(self, worker: Any, assignment: bytes, instance: str) -> bytes: ...
    def cancel(self, worker: Any, attempt: str) -> None: ...
    def give_back(self, worker: Any) -> None: ...
    def kill(self, worker: Any) -> None: ...
    def abandon(self) -> None: ...
    async def watch(self) -> None: ...


@dataclass
class _Running:
    assignment: runner_service_pb2.Assignment
    # The worker that is at it now; none before, and none afterwards, when it may be at another attempt already.
    worker: Any = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    # The scheduler asked for the end, so ending is what the vendor wanted; any other stop is our own affair.
    cancelled: bool = False
    # How much longer than STOP_GRACE_S the worker may take to stop by itself.
    patience_s: float = 0.0
    task: "asyncio.Task[None] | None" = field(default=None, repr=False)


class Runner:
    """One runner instance."""

    def __init__(
        self, settings: Settings, pool: Workers, catalogue: runner_service_pb2.WatchAssignmentsRequest
    ) -> None:
        self.instance = f"{settings.runner}/{new_id()}"
        self._pool = pool
        self._catalogue = catalogue
        self._catalogue.runner = settings.runner
        self._catalogue.instance = self.instance
        self._catalogue.sim_slots = settings.sim_slots
        self._running: dict[str, _Running] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: Exception | None = None
        self._channel = settings.tls.aio_channel(settings.scheduler, resuming_options())
        self._stub = runner_service_pb2_grpc.RunnerServiceStub(self._channel)
        self._metadata = authorization(settings.token)
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop` is called. Raises NoWorker, or what else keeps this instance from working at all."""
        endless = [asyncio.create_task(work) for work in (self._watch(), self._beat(), self._pool.watch())]
        stopped = asyncio.create_task(self._stopped.wait())
        await asyncio.wait([stopped, *endless], return_when=asyncio.FIRST_COMPLETED)
        for task in [stopped, *endless]:
            task.cancel()
        ends = await asyncio.gather(*endless, return_exceptions=True)
        if any(isinstance(end, RayLost) for end in ends):
            # Nobody can be asked to stop: Ray is what would pass it on.
            self._pool.abandon()
        else:
            await asyncio.gather(*(self._stop(running) for running in list(self._running.values())))
        attempts = [running.task for running in self._running.values() if running.task]
        if attempts:
            await asyncio.wait(attempts, timeout=FAREWELL_S)
        for left in list(self._tasks):
            left.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._channel.close()
        broken = [end for end in ends if isinstance(end, Exception)]
        if self._failure or broken:
            raise self._failure or broken[0]

    async def enter(self, request: runner_service_pb2.CatalogueEpisodeRequest) -> None:
        """Enter an episode that was recovered. Raises PalaestraError."""
        await self._call(self._stub.CatalogueEpisode, request)

    def stop(self) -> None:
        """Let go of everything and return from `run`. Attempts under way are tried again by the next runner."""
        self._stopped.set()

    async def _watch(self) -> None:
        """Follow the assignments through every restart of the scheduler."""
        told = ""
        while True:
            try:
                stream, wanted = self._stub.WatchAssignments(self._catalogue, metadata=self._metadata), Wanted()
                try:
                    while (response := await self._word(stream)) is not None:
                        told = ""
                        wanted.take(response)
                        self._follow(wanted)
                finally:
                    stream.cancel()
            except TimeoutError:
                log.warning("no assignments: no word from the scheduler in %.0f s", SILENCE_S)
            except grpc.RpcError as error:
                # Three times a second, but said once.
                if str(from_rpc(error)) != told:
                    told = str(from_rpc(error))
                    log.warning("no assignments: %s", told)
            await asyncio.sleep(RECONNECT_S)

    async def _word(self, stream: Any) -> runner_service_pb2.WatchAssignmentsResponse | None:
        """Return the stream's next message, None at its end. Raises TimeoutError."""
        async with asyncio.timeout(SILENCE_S):
            response = await stream.read()
        return None if response is grpc.aio.EOF else response

    def _follow(self, wanted: Wanted) -> None:
        """Start what is new, stop what is cancelled or no longer ours."""
        for name, assignment in wanted.assignments.items():
            running = self._running.get(name)
            if running is None:
                if not assignment.cancel_requested:
                    running = self._running[name] = _Running(assignment)
                    running.task = self._spawn(self._carry_out(running))
                continue
            running.cancelled = running.cancelled or assignment.cancel_requested
            if assignment.HasField("stop_grace"):
                # By then a killed worker's end must have reached the scheduler.
                running.patience_s = max(0.0, assignment.stop_grace.ToNanoseconds() / 1e9 - 2 * STOP_GRACE_S)
        unwanted = frozenset(wanted.unwanted(self._running))
        for name, running in self._running.items():
            if running.cancelled or name in unwanted:
                self._spawn(self._stop(running))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run `work` behind the caller; what it raises ends this instance instead of going unseen."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the runner gives up", exc_info=error)
            self._give_up(error if isinstance(error, Exception) else RuntimeError(str(error)))

    def _give_up(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._stopped.set()

    async def _carry_out(self, running: _Running) -> None:
        HEARD()
        try:
            if await self._start(running):
                STARTED()
                end = await self._work(running)
                DONE()
                await self._finish(end)
                FINISHED()
        finally:
            del self._running[running.assignment.attempt]

    async def _start(self, running: _Running) -> bool:
        """Take the attempt; ask again if the answer was lost, for a repeat changes nothing."""
        name = running.assignment.attempt
        request = runner_service_pb2.StartAttemptRequest(attempt=name, instance=self.instance)
        while not running.stopping.is_set():
            try:
                await self._call(self._stub.StartAttempt, request)
                return True
            except PalaestraError as error:
                if error.reason not in OUTAGES:
                    log.warning("cannot start %s: %s", name, error)
                    return False
            await asyncio.sleep(RECONNECT_S)
        return False

    async def _work(self, running: _Running) -> runner_service_pb2.FinishAttemptRequest:
        """Have a worker do it; whatever happens to the worker is an end that is tried again."""
        name = running.assignment.attempt
        try:
            worker = await self._worker(running)
            if worker is None:
                return self._let_go(running)
            running.worker = worker
            SUBMITTING()
            try:
                data = await self._pool.run(worker, running.assignment.SerializeToString(), self.instance)
            finally:
                running.worker = None
            self._pool.give_back(worker)
        except WorkerLost as error:
            if running.stopping.is_set():
                return self._let_go(running)
            log.warning("%s: its worker died: %s", name, error)
            return self._failed(name, "RUNNER_LOST", "the worker process died")
        except NoWorker as error:
            self._give_up(error)
            return self._failed(name, "SHUTTING_DOWN", f"the runner cannot start workers: {error}")
        end = runner_service_pb2.FinishAttemptRequest.FromString(data)
        return self._let_go(running) if end.outcome == job_pb2.ATTEMPT_STATE_CANCELLED else end

    async def _worker(self, running: _Running) -> Any | None:
        """Return a worker, or None if the attempt is to stop before there is one. Raises NoWorker."""
        taking = asyncio.create_task(self._pool.take())
        stopping = asyncio.create_task(running.stopping.wait())
        await asyncio.wait([taking, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not running.stopping.is_set():
            return await taking
        self._spawn(self._return(taking))
        return None

    async def _return(self, taking: "asyncio.Task[Any]") -> None:
        try:
            self._pool.give_back(await taking)
        except NoWorker as error:
            self._give_up(error)

    def _let_go(self, running: _Running) -> runner_service_pb2.FinishAttemptRequest:
        """Return the end of an attempt that was stopped: as its vendor wished, or to be tried again."""
        name = running.assignment.attempt
        if not running.cancelled:
            return self._failed(name, "SHUTTING_DOWN", "the runner was stopped")
        return runner_service_pb2.FinishAttemptRequest(
            attempt=name, instance=self.instance, outcome=job_pb2.ATTEMPT_STATE_CANCELLED
        )

    def _failed(
        self, name: str, reason: str, message: str, *, retryable: bool = True
    ) -> runner_service_pb2.FinishAttemptRequest:
        return runner_service_pb2.FinishAttemptRequest(
            attempt=name,
            instance=self.instance,
            outcome=job_pb2.ATTEMPT_STATE_FAILED,
            failure=job_pb2.Failure(reason=reason, message=message[:4000], retryable=retryable),
        )

    async def _finish(self, request: runner_service_pb2.FinishAttemptRequest) -> None:
        """Report the end until somebody has written it down."""
        while True:
            try:
                await self._call(self._stub.FinishAttempt, request)
                return
            except PalaestraError as error:
                if error.reason in OVER:
                    # Ended there already, for example because the lease was taken away.
                    log.info("%s: %s", request.attempt, error)
                    return
                if error.reason not in OUTAGES:
                    log.error("%s: its end was refused: %s", request.attempt, error)
                    if request.failure.reason == "WORK_FAILED":
                        return
                    # An end that nobody takes would have the attempt done again for ever.
                    why = f"its end was refused: {error}"
                    request = self._failed(request.attempt, "WORK_FAILED", why, retryable=False)
                    continue
            await asyncio.sleep(RECONNECT_S)

    async def _stop(self, running: _Running) -> None:
        """Ask the worker to stop; kill it if it does not."""
        if running.stopping.is_set():
            return
        running.stopping.set()
        worker = running.worker
        if worker is None:
            return
        self._pool.cancel(worker, running.assignment.attempt)
        if running.task is not None:
            await asyncio.wait([running.task], timeout=STOP_GRACE_S + running.patience_s)
        if running.worker is not None:
            log.warning("%s does not stop; its worker is killed", running.assignment.attempt)
            self._pool.kill(worker)

    async def _beat(self) -> None:
        """Keep the leases of what is running alive. What is to stop, the assignments tell."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            if not self._running:
                continue
            BEATING()
            request = runner_service_pb2.HeartbeatAttemptsRequest(
                instance=self.instance,
                attempts=[runner_service_pb2.AttemptBeat(attempt=name) for name in self._running],
            )
            try:
                await self._call(self._stub.HeartbeatAttempts, request)
            except PalaestraError as error:
                stay_cancelled()
                log.warning("heartbeat failed: %s", error)

    async def _call(self, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=CALL_TIMEOUT_S, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_rpc(error) from None
