"""What stands in for Ray: worker processes that carry out attempts as the real ones do, without physics.

The runner that hands them work is the real one, and so are the attempt's messages, the recorder and the object store.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
import numpy as np

from palaestra.channel import authorization
from palaestra.errors import PalaestraError, Unreachable, from_rpc
from palaestra.v1 import (
    job_pb2,
    runner_service_pb2,
    runner_service_pb2_grpc,
    store_service_pb2_grpc,
    unit_host_service_pb2,
)
from palaestra.v1 import unit_host_service_pb2_grpc as unit_host_grpc
from runner.attempt import Attempt
from runner.errors import AttemptError, Stopped, WorkerLost
from runner.link import CALL_TIMEOUT_S, PATIENCE_S, PAUSE_FIRST_S, PAUSE_MAX_S
from runner.settings import Settings
from store import Outcome, Status
from store.errors import StoreFull
from tests.simulation.loop import Process, VirtualLoop, present

TARGET_PERIOD_S = 0.3
PROVENANCE = {
    "engine": "dry",
    "engine_version": "1",
    "model_sha256": "00" * 32,
    "controller_backend": "dry",
    "calibration": "none",
}


class _Wanted(BaseException):
    """A call that blocks in a real worker, to be awaited here before its caller is asked once more."""

    def __init__(self, method: Any, request: Any) -> None:
        self.method, self.request = method, request


class AsyncLink:
    """Stands for `runner.link.Link`, with its patience."""

    def __init__(self, settings: Settings, chance: Any) -> None:
        channel: Any = grpc.aio.insecure_channel(settings.scheduler)
        self.runner = runner_service_pb2_grpc.RunnerServiceStub(channel)
        self.store = store_service_pb2_grpc.StoreServiceStub(channel)
        self._metadata = authorization(settings.token)
        self._chance = chance
        self._answer: list[Any] = []

    def call(self, method: Any, request: Any, *, patience_s: float = PATIENCE_S) -> Any:
        """Give the answer that is there, or ask for one."""
        if not self._answer:
            raise _Wanted(method, request)
        answer = self._answer.pop()
        if isinstance(answer, PalaestraError):
            raise answer
        return answer

    async def through(self, act: Callable[[], Any]) -> Any:
        """Do what makes one blocking call."""
        try:
            return act()
        except _Wanted as wanted:
            method, request = wanted.method, wanted.request
        self._answer = [await self._send(method, request)]
        return act()

    async def _send(self, method: Any, request: Any) -> Any:
        loop = asyncio.get_running_loop()
        give_up_s, pause_s = loop.time() + PATIENCE_S, PAUSE_FIRST_S
        while True:
            try:
                return await method(request, timeout=CALL_TIMEOUT_S, metadata=self._metadata)
            except grpc.RpcError as error:
                problem = from_rpc(error)
                if not isinstance(problem, Unreachable) or loop.time() > give_up_s:
                    return problem
            await asyncio.sleep(pause_s * self._chance.uniform(0.7, 1.3))
            pause_s = min(2 * pause_s, PAUSE_MAX_S)


class SimWorker:
    """One worker process."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.attempt = ""
        self.cancelled = ""
        self.stop: Any = threading.Event()
        self.lost: asyncio.Future[Any] | None = None


class SimPool:
    """Stands for `runner.pool.Pool`, in the runner's process."""

    def __init__(self, venue: Any, settings: Settings) -> None:
        self._venue = venue
        self._settings = settings
        self._loop: VirtualLoop = venue.loop
        runner = present()
        assert runner is not None
        self._runner = runner
        self._idle: list[SimWorker] = []
        self.workers: list[SimWorker] = []

    async def watch(self) -> None:
        """Ray is never lost here while its runner lives."""
        await self._loop.create_future()

    def abandon(self) -> None:
        for worker in self.workers:
            self.kill(worker)

    async def take(self) -> SimWorker:
        if self._idle:
            return self._idle.pop()
        await asyncio.sleep(self._venue.chance.uniform(0.01, 0.3))
        worker = SimWorker(self._venue.process("worker"))
        worker.process.at_death.append(lambda: self._died(worker))
        self.workers.append(worker)
        return worker

    async def run(self, worker: SimWorker, assignment: bytes, instance: str) -> bytes:
        worker.lost = self._loop.create_future()
        self._loop.call_soon(self._begin, worker, assignment, instance, worker.lost, context=worker.process.context())
        if not worker.process.alive:
            raise WorkerLost("the worker is dead")
        data: bytes = await worker.lost
        return data

    def cancel(self, worker: SimWorker, attempt: str) -> None:
        def arrive() -> None:
            worker.cancelled = attempt
            if worker.attempt == attempt:
                worker.stop.set()

        self._loop.call_later(self._venue.chance.uniform(0.0, 0.02), arrive, context=worker.process.context())

    def give_back(self, worker: SimWorker) -> None:
        if worker.process.alive:
            self._idle.append(worker)

    def kill(self, worker: SimWorker) -> None:
        self._venue.kill(worker.process)

    def _died(self, worker: SimWorker) -> None:
        if worker in self._idle:
            self._idle.remove(worker)
        lost = worker.lost

        def tell() -> None:
            if lost is not None and not lost.done():
                lost.set_exception(WorkerLost("the worker died"))

        when_s = self._loop.now_s + self._venue.chance.uniform(0.0, 1.0)
        self._loop.at(when_s, tell, context=self._runner.context())

    def _begin(self, worker: SimWorker, assignment: bytes, instance: str, done: "asyncio.Future[bytes]") -> None:
        message = runner_service_pb2.Assignment.FromString(assignment)
        worker.attempt = message.attempt
        worker.stop.clear()
        if worker.cancelled == message.attempt:
            worker.stop.set()

        async def work() -> None:
            data = (await carry_out(self._venue, message, instance, self._settings, worker.stop)).SerializeToString()

            def tell() -> None:
                if not done.done():
                    done.set_result(data)

            when_s = self._loop.now_s + self._venue.chance.uniform(0.0, 0.02)
            self._loop.at(when_s, tell, context=self._runner.context())

        self._venue.keep(self._loop.create_task(work()))


async def carry_out(
    venue: Any, assignment: runner_service_pb2.Assignment, instance: str, settings: Settings, stop: Any
) -> runner_service_pb2.FinishAttemptRequest:
    """Do an attempt's work; return how it ended, as `runner.worker.Worker.run`."""
    link = AsyncLink(settings, venue.chance)
    request = runner_service_pb2.FinishAttemptRequest(attempt=assignment.attempt, instance=instance)
    attempt = Attempt(assignment, instance, settings, link, stop)  # type: ignore[arg-type]
    try:
        if assignment.endpoints:
            await _on_units(venue, attempt, link)
        else:
            await _in_worlds(venue, attempt, link)
        request.result.SetInParent()
        request.outcome = job_pb2.ATTEMPT_STATE_SUCCEEDED
    except Stopped:
        request.outcome = job_pb2.ATTEMPT_STATE_CANCELLED
    except AttemptError as error:
        _fail(request, error.reason, str(error), error.retryable)
    except StoreFull as error:
        _fail(request, "STORE_FULL", str(error), True)
    return request


def _fail(request: runner_service_pb2.FinishAttemptRequest, reason: str, message: str, retryable: bool) -> None:
    request.outcome = job_pb2.ATTEMPT_STATE_FAILED
    request.failure.CopyFrom(job_pb2.Failure(reason=reason, message=message, retryable=retryable))


async def _in_worlds(venue: Any, attempt: Attempt, link: AsyncLink) -> None:
    for _ in range(attempt.job.collect.episodes or 1):
        await _pause(attempt, venue.chance.uniform(0.2, 2.0))
        _may_fail(venue, attempt)
        await _record(attempt, link, attempt.next_index(), unit=None)
        if venue.chance.random() < 0.3:
            await link.through(lambda: attempt.save_checkpoint(b"{}"))


async def _on_units(venue: Any, attempt: Attempt, link: AsyncLink) -> None:
    drives = [asyncio.create_task(_drive(venue, attempt, link, endpoint)) for endpoint in attempt.assignment.endpoints]
    try:
        await asyncio.gather(*drives)
    finally:
        for drive in drives:
            drive.cancel()


async def _drive(venue: Any, attempt: Attempt, link: AsyncLink, endpoint: runner_service_pb2.UnitEndpoint) -> None:
    """Drive one unit through its episodes, as `runner.drive` does."""
    requests: asyncio.Queue[Any] = asyncio.Queue()
    assignment, loop = attempt.assignment, asyncio.get_running_loop()
    opening = unit_host_service_pb2.DriveOpen(
        unit=endpoint.unit, lease=assignment.lease.name, epoch=endpoint.epoch, token=assignment.lease_token
    )
    stub = unit_host_grpc.UnitHostServiceStub(grpc.aio.insecure_channel(endpoint.address))  # type: ignore[no-untyped-call]
    give_up_s = loop.time() + 2.0
    while True:
        # The host may hear of the grant after the runner has.
        requests.put_nowait(unit_host_service_pb2.DriveRequest(open=opening))
        responses = stub.Drive(_all(requests))
        try:
            async with asyncio.timeout(3.0):
                first = await responses.read()
            if first is grpc.aio.EOF or not first.HasField("opened"):
                raise AttemptError("LEASE_NOT_ACTIVE", f"{endpoint.unit}: the drive ended at once", retryable=True)
            break
        except grpc.RpcError as error:
            problem = from_rpc(error)
            if problem.reason not in ("LEASE_NOT_ACTIVE", "UNIT_BUSY") or loop.time() > give_up_s:
                raise AttemptError(problem.reason, problem.message, retryable=True) from None
        except TimeoutError:
            responses.cancel()
            raise AttemptError("UNIT_FAULT", f"{endpoint.unit}: no answer", retryable=True) from None
        attempt.check()
        await asyncio.sleep(0.1)
        requests = asyncio.Queue()
    ended = asyncio.create_task(_ended(responses, endpoint.unit))
    sequence = 0
    try:
        for _ in range(attempt.job.collect.episodes or 1):
            until_s = loop.time() + venue.work_s()
            while loop.time() < until_s:
                attempt.check()
                sequence += 1
                target = unit_host_service_pb2.DriveTarget(sequence=sequence, position_rad=[0.1])
                requests.put_nowait(unit_host_service_pb2.DriveRequest(target=target))
                done, _ = await asyncio.wait([ended], timeout=TARGET_PERIOD_S)
                if done:
                    raise await ended
            _may_fail(venue, attempt)
            await _record(attempt, link, attempt.next_index(), unit=endpoint.unit)
        requests.put_nowait(unit_host_service_pb2.DriveRequest(close=unit_host_service_pb2.DriveClose()))
        await asyncio.wait([ended], timeout=1.0)
    finally:
        ended.cancel()
        responses.cancel()


async def _ended(responses: Any, unit: str) -> AttemptError:
    try:
        async for response in responses:
            if response.WhichOneof("message") == "ended":
                reason = response.ended.reason or "LEASE_NOT_ACTIVE"
                return AttemptError(reason, f"{unit}: {response.ended.message}", retryable=True)
    except grpc.RpcError as error:
        return AttemptError("UNIT_FAULT", f"{unit}: its host is gone ({from_rpc(error).message})", retryable=True)
    return AttemptError("UNIT_FAULT", f"{unit}: the stream ended", retryable=True)


async def _all(requests: "asyncio.Queue[Any]") -> AsyncIterator[Any]:
    while True:
        yield await requests.get()


async def _pause(attempt: Attempt, duration_s: float) -> None:
    loop = asyncio.get_running_loop()
    until_s = loop.time() + duration_s
    while loop.time() < until_s:
        attempt.check()
        await asyncio.sleep(0.2)


def _may_fail(venue: Any, attempt: Attempt) -> None:
    if venue.rough and venue.chance.random() < 0.05:
        raise AttemptError("WORK_FAILED", "the work failed", retryable=venue.chance.random() < 0.7)


async def _record(attempt: Attempt, link: AsyncLink, index: int, *, unit: str | None) -> None:
    """Record one short episode, seal it and enter it into the catalogue."""
    if attempt.job.WhichOneof("work") == "check":
        return
    recorder = await link.through(
        lambda: attempt.recorder(
            index,
            robot_model="dry_robot",
            maker="Own",
            joint_names=["joint_1"],
            task="sway",
            seed=1,
            control_rate_hz=500.0,
            sample_rate_hz=100.0,
            clock_source="monotonic",
            provenance=PROVENANCE,
            base_pose=False,
            unit=unit,
            world=None if unit else 0,
        )
    )
    outcome = Outcome(Status.SUCCESS)
    with recorder:
        column = np.full((3, 1), float(index), np.float32)
        signals = dict.fromkeys(recorder.header.signals, column)
        recorder.extend(np.array([0.0, 0.01, 0.02]), signals)
        sealed = recorder.seal(outcome)
    await link.through(lambda: attempt.catalogue(recorder.header, outcome, sealed))
