"""Many clients that want leases, and the runner that carries their jobs out, in one process: what a worker sees.

Each client submits a job, waits until it is granted, drives the units that it got for a moment, ends the attempt, and
begins again. Some hold on: they drive until somebody stops them, or everything is to end. The runner's protocol is the
real one: assignments by a stream, StartAttempt, heartbeats, a drive stream to each unit's host with the lease's token
and epoch, FinishAttempt. Some are not honest: they go on with an epoch that they have given back, on the old stream and
on new ones. Everything is written down as it happens.
"""

import asyncio
import contextlib
import json
import os
import random
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

import grpc

from palaestra import ids, jobs
from palaestra.channel import authorization, is_loopback, resuming_options
from palaestra.errors import PalaestraError, Unreachable, from_rpc
from palaestra.tls_files import TlsFiles
from palaestra.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc, runner_service_pb2, runner_service_pb2_grpc
from palaestra.v1 import unit_host_service_pb2 as drive_pb
from palaestra.v1 import unit_host_service_pb2_grpc as drive_services
from runner.wanted import Wanted
from tests.leases.host import EPOCH_RAD
from tests.leases.records import Records

RUNNER = "crew"
MOTION = "proof"
CALL_S = 3.0
PAUSE_S = 0.05
COMMAND_PERIOD_S = 0.02
OPEN_S = 3.0
# One lease in so many is not let go of when it is given back.
LATE_EVERY = 10
LATE_S = 1.0
# One job in so many wants a certain unit, the same few for all.
NAMED_SHARE = 0.25
OPTIONS = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]
# How often a client asks what has become of a job that it does not hear of.
ASK_S = 3.0
ENDED = (job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED)
OVER = ("ATTEMPT_NOT_ACTIVE", "NOT_FOUND")
# What a call ends with whose connection is gone. We ourselves are never cancelled: a channel that is closed below its
# calls ends them so.
BROKEN = (TimeoutError, grpc.aio.AioRpcError, asyncio.InvalidStateError, asyncio.CancelledError)


class Crew:
    """One process's clients and its runner."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given
        self._records = Records(Path(given["folder"]) / f"crew-{os.getpid()}.records")
        self._chance = random.Random(given["seed"])
        self._instance = f"{RUNNER}/{ids.new_id()}"
        self._tls = TlsFiles(*(Path(path) for path in given["tls"]))
        self._metadata = authorization(given["token"])
        self._vendor = authorization(given["vendor_token"])
        # Attempts in hand, and the tasks that carry them out.
        self._running: dict[str, asyncio.Task[None]] = {}
        self._lost: set[str] = set()
        self._count = 0
        self._ended: dict[str, asyncio.Event] = {}
        # Jobs whose units are driven for as long as that may be.
        self._held: set[str] = set()
        self._drives: dict[str, grpc.aio.Channel] = {}
        channel = self._tls.aio_channel(given["scheduler"], resuming_options())
        self._runner = runner_service_pb2_grpc.RunnerServiceStub(channel)
        self._jobs = job_service_pb2_grpc.JobServiceStub(channel)

    async def run(self) -> None:
        endless = [asyncio.create_task(self._watch()), asyncio.create_task(self._beat())]
        holds = self._given["holds"]
        clients = asyncio.gather(*(self._client(holds=n == 0 and holds) for n in range(self._given["clients"])))
        await asyncio.wait([clients, *endless], return_when=asyncio.FIRST_COMPLETED)
        for task in endless:
            assert not task.done(), task
        await clients
        self._records.write("done")
        # What an earlier process of the crew has begun is tried again, and may wait for that still.
        await asyncio.gather(*endless)

    @property
    def _is_over(self) -> bool:
        return (Path(self._given["folder"]) / "stop").exists()

    async def _client(self, *, holds: bool) -> None:
        """Have one job after the other carried out, until nobody needs more."""
        while not self._is_over:
            request = job_service_pb2.SubmitJobRequest(
                parent="vendors/acme", job=self._job(holds=holds), request_id=ids.new_request_id()
            )
            self._records.write("submit", request=request.request_id)
            job = await self._call("SubmitJob", request, vendor=True)
            if job is None:
                continue
            self._records.write("submitted", request=request.request_id, job=job.name)
            if holds:
                self._held.add(job.name)
            await self._end(job.name)

    async def _end(self, job: str) -> None:
        """Wait until the job has ended; ask now and then, for somebody else may have ended it."""
        ended = self._ended[job] = asyncio.Event()
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ASK_S):
                    await ended.wait()
            if not ended.is_set():
                found = await self._call("GetJob", job_service_pb2.GetJobRequest(name=job), vendor=True)
                if found is None or found.state in ENDED:
                    break
        del self._ended[job]

    def _job(self, *, holds: bool) -> job_pb2.Job:
        chance, units = self._chance, self._given["units"]
        if holds:
            # None of those that others wait for by name.
            wanted = jobs.unit(name=units[-1])
        elif chance.random() < NAMED_SHARE:
            wanted = jobs.unit(name=chance.choice(units[: max(len(units) // 8, 1)]))
        else:
            wanted = jobs.unit(robot_class="arm", count=min(chance.choice((1, 1, 2, 3)), len(units)))
        return jobs.collect(motion=MOTION, episodes=1, episode_s=1.0, units=[wanted])

    async def _watch(self) -> None:
        """Follow the assignments; a stream that is silent is opened anew, as the real runner does."""
        request = runner_service_pb2.WatchAssignmentsRequest(
            runner=RUNNER, instance=self._instance, motions=[MOTION], robot_models=["dry_robot"]
        )
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError, TimeoutError):
                stream, wanted = self._runner.WatchAssignments(request, metadata=self._metadata), Wanted()
                try:
                    while True:
                        async with asyncio.timeout(self._given["silence_s"]):
                            response = await stream.read()
                        if response is grpc.aio.EOF:
                            break
                        wanted.take(response)
                        self._follow(wanted)
                finally:
                    stream.cancel()
            await asyncio.sleep(PAUSE_S)

    def _follow(self, wanted: Wanted) -> None:
        self._lost |= set(wanted.unwanted(self._running))
        for name, assignment in wanted.assignments.items():
            if name not in self._running:
                task = self._running[name] = asyncio.create_task(self._attempt(assignment))
                task.add_done_callback(lambda _, name=name: self._running.pop(name, None))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._given["beat_s"])
            beats = [runner_service_pb2.AttemptBeat(attempt=name) for name in self._running]
            if beats:
                request = runner_service_pb2.HeartbeatAttemptsRequest(instance=self._instance, attempts=beats)
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await self._runner.HeartbeatAttempts(request, timeout=CALL_S, metadata=self._metadata)

    async def _attempt(self, assignment: runner_service_pb2.Assignment) -> None:
        name, records = assignment.attempt, self._records
        job = name.rpartition("/attempts/")[0]
        epochs = {endpoint.unit: endpoint.epoch for endpoint in assignment.endpoints}
        records.write("start", attempt=name, job=job, epochs=epochs)
        request = runner_service_pb2.StartAttemptRequest(attempt=name, instance=self._instance)
        if await self._call("StartAttempt", request, attempt=name) is None:
            records.write("not started", attempt=name)
            return
        records.write("acquired", attempt=name)
        self._count += 1
        late = self._count % LATE_EVERY == 1
        drives = [_Drive(self, assignment, endpoint) for endpoint in assignment.endpoints]
        problem = await self._drive(drives, name, job)
        if problem:
            # Stopped once: its next try ends by itself, for a job is not tried for ever.
            self._held.discard(job)
        # Whether each host has said that no command of ours is still to come.
        closed = not late and all(await asyncio.gather(*(drive.close() for drive in drives)))
        records.write("release", attempt=name, closed=closed)
        outcome = job_pb2.ATTEMPT_STATE_FAILED if problem else job_pb2.ATTEMPT_STATE_SUCCEEDED
        end = runner_service_pb2.FinishAttemptRequest(attempt=name, instance=self._instance, outcome=outcome)
        if problem:
            reason = problem.reason if problem.reason in ("LEASE_NOT_ACTIVE", "STALE_EPOCH") else "UNIT_FAULT"
            end.failure.CopyFrom(job_pb2.Failure(reason=reason, message=problem.message[:500], retryable=True))
        sending = [asyncio.create_task(drive.insist(records)) for drive in drives if late]
        if await self._call("FinishAttempt", end, attempt=name, answer_over=True) is not None:
            records.write("released", attempt=name, well=not problem)
            if not problem and job in self._ended:
                self._ended[job].set()
        await asyncio.gather(*sending)

    async def _drive(self, drives: list["_Drive"], name: str, job: str) -> PalaestraError | None:
        """Drive all units for a moment; return what went wrong, or nothing."""
        try:
            await asyncio.gather(*(drive.open() for drive in drives))
            commands = self._chance.randint(2, 6)
            for sent in count():
                if sent >= commands and (job not in self._held or self._is_over):
                    break
                if sent == commands:
                    self._records.write("holding", attempt=name)
                if name in self._lost:
                    return PalaestraError("LEASE_NOT_ACTIVE", "the attempt is over")
                await asyncio.gather(*(drive.send() for drive in drives))
                await asyncio.sleep(COMMAND_PERIOD_S)
        except PalaestraError as error:
            return error
        except BROKEN as error:
            return PalaestraError("UNIT_FAULT", str(error) or type(error).__name__)
        return None

    async def _call(
        self, method: str, request: Any, *, attempt: str = "", vendor: bool = False, answer_over: bool = False
    ) -> Any | None:
        """Call until there is an answer; None if the answer is no, or the attempt is over."""
        metadata = self._vendor if vendor else self._metadata
        while True:
            try:
                call = getattr(self._jobs if vendor else self._runner, method)
                return await call(request, timeout=CALL_S, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                problem = from_rpc(error)
                if problem.reason in OVER or error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                    return None
            except asyncio.CancelledError:
                # The channel was closed below the call; we ourselves are never cancelled.
                pass
            if attempt in self._lost and not answer_over:
                return None
            await asyncio.sleep(PAUSE_S)

    def drives(self, address: str) -> grpc.aio.Channel:
        """Return the channel to a host."""
        if address not in self._drives:
            tls = TlsFiles() if is_loopback(address) else self._tls
            self._drives[address] = tls.aio_channel(address, OPTIONS)
        return self._drives[address]

    async def forget(self, address: str) -> None:
        """Open the next stream to a host on a connection of its own: this one may hang."""
        if (channel := self._drives.pop(address, None)) is not None:
            await channel.close()


class _Drive:
    """One unit under one lease."""

    def __init__(self, crew: Crew, assignment: runner_service_pb2.Assignment, endpoint: Any) -> None:
        self._crew, self._endpoint = crew, endpoint
        self._opening = drive_pb.DriveRequest(
            open=drive_pb.DriveOpen(
                unit=endpoint.unit, lease=assignment.lease.name, epoch=endpoint.epoch, token=assignment.lease_token,
                sample_rate_hz=1.0,
            )
        )  # fmt: skip
        self._sequence = 0
        self._stream: Any = None

    async def open(self) -> None:
        """Raises PalaestraError if the host does not let us, TimeoutError."""
        give_up_s = time.monotonic() + OPEN_S
        while True:
            try:
                await self._open()
                return
            except (PalaestraError, TimeoutError, asyncio.CancelledError) as error:
                if time.monotonic() > give_up_s:
                    raise
                if isinstance(error, TimeoutError | Unreachable | asyncio.CancelledError):
                    await self._crew.forget(self._endpoint.address)
                # The grant may be on its way to the host.
                await asyncio.sleep(0.02)

    async def _open(self) -> None:
        stub = drive_services.UnitHostServiceStub(self._crew.drives(self._endpoint.address))
        self._stream = stub.Drive()
        try:
            async with asyncio.timeout(OPEN_S / 3):
                await self._stream.write(self._opening)
                first = await self._stream.read()
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from None
        except asyncio.InvalidStateError:
            raise PalaestraError("LEASE_NOT_ACTIVE", "the stream has ended") from None
        if first is grpc.aio.EOF:
            code, details = await self._stream.code(), await self._stream.details()
            metadata = await self._stream.trailing_metadata()
            raise from_rpc(grpc.aio.AioRpcError(code, None, metadata, details))
        if first.HasField("ended"):
            raise PalaestraError(first.ended.reason or "LEASE_NOT_ACTIVE", first.ended.message)

    async def send(self) -> None:
        """Send one command, which carries our epoch. Raises what a stream raises that has ended."""
        self._sequence += 1
        target = drive_pb.DriveTarget(sequence=self._sequence, position_rad=[self._endpoint.epoch * EPOCH_RAD])
        async with asyncio.timeout(OPEN_S):
            await self._stream.write(drive_pb.DriveRequest(target=target))

    async def close(self) -> bool:
        """End the stream; return whether the host has ended it too, or no command was ever sent."""
        ended = self._sequence == 0
        if self._stream is not None:
            with contextlib.suppress(*BROKEN):
                async with asyncio.timeout(OPEN_S / 3):
                    if not self._stream.done():
                        await self._stream.write(drive_pb.DriveRequest(close=drive_pb.DriveClose()))
                        await self._stream.done_writing()
                    while not ended and (message := await self._stream.read()) is not grpc.aio.EOF:
                        ended = message.HasField("ended")
            self._stream.cancel()
        return ended

    async def insist(self, records: Records) -> None:
        """Go on commanding, on this stream and on new ones, although the lease is being given back."""
        give_up_s = time.monotonic() + LATE_S
        sent = refused = 0
        while time.monotonic() < give_up_s:
            try:
                await self.send()
                sent += 1
                if self._stream.done():
                    await self._open()
            except (PalaestraError, *BROKEN):
                refused += 1
                with contextlib.suppress(PalaestraError, *BROKEN):
                    await self._open()
            await asyncio.sleep(COMMAND_PERIOD_S)
        records.write("insisted", unit=self._endpoint.unit, epoch=self._endpoint.epoch, sent=sent, refused=refused)
        self._stream.cancel()


def main() -> int:
    """Work until killed; clients begin nothing more once the file "stop" is in the folder.

    The settings come as JSON in the first argument.
    """

    async def work() -> None:
        await Crew(json.loads(sys.argv[1])).run()

    asyncio.run(work())
    return 0


if __name__ == "__main__":
    sys.exit(main())
