"""RunnerService: runners fetch their work and report on it."""

import asyncio
import itertools
import math
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from palaestra.errors import PalaestraError
from palaestra.failpoint import Failpoint
from palaestra.v1 import episode_pb2, job_pb2, runner_service_pb2, runner_service_pb2_grpc, venue_pb2
from scheduler import names, resources
from scheduler.allowance import Allowance
from scheduler.assignments import Attempt, Changes, Told
from scheduler.commands import running, submitting
from scheduler.core import Core, RunnerConnection
from scheduler.encoding import Serialized, length_delimited
from scheduler.guard import caller
from scheduler.scene import vocabulary_of
from scheduler.sql import Connection, Row, portions

# A runner hears something at least so often.
REFRESH_S = 1.0
# After a look that took t, the next waits at least this many t.
LOOK_REST = 9.0
# So many assignments are made with few statements for all.
MADE_AT_ONCE = 64
# What is sent in one message unless a single assignment is longer. Calls have their turn between messages; and as a
# vendor's job may have 64 KiB, many of them in one would be more than a runner takes.
MESSAGE_BYTES = 64 * 1024
_OF_RESPONSE = {field.name: field.number for field in runner_service_pb2.WatchAssignmentsResponse.DESCRIPTOR.fields}
_COMPLETE = runner_service_pb2.WatchAssignmentsResponse(complete=True).SerializeToString()
REGISTERED = Failpoint("scheduler.runner.registered", "a runner's slots are committed; it has no assignments yet")
ASSIGNING = Failpoint("scheduler.runner.assigning", "a runner's assignments are about to be read and sent")


class RunnerService(runner_service_pb2_grpc.RunnerServiceServicer):
    def __init__(self, core: Core, allowance: Allowance | None = None) -> None:
        """allowance: None: nobody has a quota."""
        self._core = core
        self._allowance = allowance

    async def WatchAssignments(
        self, request: runner_service_pb2.WatchAssignmentsRequest, context: Any
    ) -> AsyncIterator[Serialized]:
        """Answer in bytes of WatchAssignmentsResponse, which are put together from those of its parts."""
        core, instance = self._core, request.instance
        caller().check_process(request.runner)
        if not instance.startswith(f"{request.runner}/"):
            problem = f"must start with {request.runner}/, is {instance}"
            raise PalaestraError(
                "INVALID_FIELD", f"instance: {problem}", metadata={"field": "instance", "rule": problem}
            )
        catalogue = submitting.Catalogue(
            frozenset(request.tasks),
            frozenset(request.motions),
            frozenset(request.robot_models),
            vocabulary_of(request),
            frozenset(request.scenarios),
        )
        await core.run(running.register_runner(request.runner, instance, request.sim_slots))
        REGISTERED()
        connection = core.runners[request.runner] = RunnerConnection(instance, catalogue)
        told = Told(core.read, core.tail, instance)
        loop, sent_s, over = asyncio.get_running_loop(), -math.inf, False
        try:
            await core.connections_changed()
            # A runner that comes back after a cut may be here before we notice the cut: the newest stream counts.
            while core.runners.get(request.runner) is connection:
                seen, looked_s = core.hub.sequence, loop.time()
                changes = told.look(seen, looked_s)
                # Before what is awaited: how long others take meanwhile is no reason to rest.
                took_s = loop.time() - looked_s
                if changes or over or looked_s - sent_s >= REFRESH_S:
                    ASSIGNING()
                    messages = self._messages(changes)
                    while True:
                        begun_s = loop.time()
                        message = next(messages, None)
                        took_s += loop.time() - begun_s
                        if message is None:
                            break
                        yield message
                    sent_s = looked_s
                # Under a flood of changes, looking must not take the calls' time.
                await asyncio.sleep(_rest_s(took_s))
                # A wait that is over tells so itself: by rounding, its end may seem to lie ahead still.
                over = not await core.hub.after(seen, max(0.0, REFRESH_S - (loop.time() - sent_s)))
            raise PalaestraError("ATTEMPT_NOT_ACTIVE", f"runner {request.runner} is connected by a newer stream")
        finally:
            if core.runners.get(request.runner) is connection:
                del core.runners[request.runner]

    async def StartAttempt(
        self, request: runner_service_pb2.StartAttemptRequest, context: Any
    ) -> runner_service_pb2.StartAttemptResponse:
        _check_instance(request.instance)
        await self._core.run(running.start(request.attempt, request.instance))
        return runner_service_pb2.StartAttemptResponse()

    async def HeartbeatAttempts(
        self, request: runner_service_pb2.HeartbeatAttemptsRequest, context: Any
    ) -> runner_service_pb2.HeartbeatAttemptsResponse:
        _check_instance(request.instance)
        # A flood of vendors' calls must not end leases.
        beat = running.heartbeat(request, self._core.settings.lease_ttl_s)
        stop = await self._core.run(beat, urgent=True)
        return runner_service_pb2.HeartbeatAttemptsResponse(stop=stop)

    async def AppendLog(
        self, request: runner_service_pb2.AppendLogRequest, context: Any
    ) -> runner_service_pb2.AppendLogResponse:
        if caller().process:
            _check_instance(self._instance_of(request.attempt))
        await self._core.run(running.append_log(request.attempt, list(request.lines)))
        return runner_service_pb2.AppendLogResponse()

    async def CatalogueEpisode(
        self, request: runner_service_pb2.CatalogueEpisodeRequest, context: Any
    ) -> episode_pb2.Episode:
        _check_instance(request.instance)
        if request.recovered and caller().process and (owner := self._instance_of(request.attempt)):
            # It comes in whatever has become of its attempt, so that only this says whose it was. What is of no attempt
            # is refused as such, which ends its recovery.
            _check_instance(owner)
        if self._allowance is None:
            return await self._core.run(running.catalogue(request))
        vendor = names.attempt_parts(request.attempt)[0]
        async with self._allowance.entering(vendor, request.episode.content.size_bytes) as refusal:
            return await self._core.run(running.catalogue(request, refusal))

    async def SaveCheckpoint(
        self, request: runner_service_pb2.SaveCheckpointRequest, context: Any
    ) -> runner_service_pb2.SaveCheckpointResponse:
        _check_instance(request.instance)
        await self._core.run(running.save_checkpoint(request.attempt, request.instance, request.checkpoint))
        return runner_service_pb2.SaveCheckpointResponse()

    async def FinishAttempt(
        self, request: runner_service_pb2.FinishAttemptRequest, context: Any
    ) -> runner_service_pb2.FinishAttemptResponse:
        _check_instance(request.instance)
        await self._core.run(running.finish(request))
        return runner_service_pb2.FinishAttemptResponse()

    def _instance_of(self, attempt: str) -> str:
        """Return which runner's an attempt is, "" if nobody's."""
        vendor, uid, number = names.attempt_parts(attempt)
        row = self._core.read.execute(
            """
            SELECT a.instance FROM attempt a JOIN job j ON j.id = a.job_id
            WHERE j.uid = ? AND j.vendor = ? AND a.number = ?
            """,
            (uid, vendor, number),
        ).fetchone()
        return row["instance"] if row is not None else ""

    def _messages(self, changes: Changes) -> Iterator[Serialized]:
        """Yield WatchAssignmentsResponses, one at least, that tell what has changed."""
        parts = itertools.chain(
            (length_delimited(_OF_RESPONSE["ended"], attempt.name.encode()) for attempt in changes.ended),
            self._encoded(changes.due),
        )
        waiting: list[bytes] = []
        size = 0
        for part in parts:
            if waiting and size + len(part) > MESSAGE_BYTES:
                yield Serialized(b"".join(waiting))
                waiting, size = [], 0
            waiting.append(part)
            size += len(part)
        if changes.whole:
            waiting.append(_COMPLETE)
        yield Serialized(b"".join(waiting))

    def _encoded(self, attempts: Sequence[Attempt]) -> Iterator[bytes]:
        for at in range(0, len(attempts), MADE_AT_ONCE):
            for message in self._made(attempts[at : at + MADE_AT_ONCE]):
                yield length_delimited(_OF_RESPONSE["assignments"], message.SerializeToString())

    def _made(self, attempts: Sequence[Attempt]) -> list[runner_service_pb2.Assignment]:
        """Return the assignments of attempts, with few statements for all."""
        db = self._core.read
        job_rows = _by_id(db, "SELECT * FROM job WHERE id IN", [attempt.job_id for attempt in attempts])
        lease_rows = _by_id(db, f"{resources.LEASES} WHERE l.id IN", [attempt.lease_id for attempt in attempts])
        endpoints = self._endpoints(list(lease_rows))
        told = zip(
            attempts,
            resources.jobs(db, [job_rows[attempt.job_id] for attempt in attempts]),
            resources.leases(db, [lease_rows[attempt.lease_id] for attempt in attempts]),
            strict=True,
        )
        return [
            self._assignment(
                attempt,
                job_rows[attempt.job_id],
                job,
                lease_rows[attempt.lease_id],
                lease,
                endpoints.get(attempt.lease_id, ()),
            )
            for attempt, job, lease in told
        ]

    def _assignment(
        self,
        of: Attempt,
        job_row: Row,
        job: job_pb2.Job,
        lease_row: Row,
        lease: venue_pb2.Lease,
        endpoints: Sequence[runner_service_pb2.UnitEndpoint],
    ) -> runner_service_pb2.Assignment:
        db, venue = self._core.read, self._core.venue
        message = runner_service_pb2.Assignment(
            attempt=lease.attempt,
            job=job,
            lease=lease,
            lease_token=self._core.lease_token(lease_row["uid"]),
            endpoints=endpoints,
            episode_count=job_row["episode_count"],
            cancel_requested=of.cancel_ns is not None or of.preempt_ns is not None,
        )
        if of.cancel_ns is None and of.stop_by_ns is not None:
            grace_ns = max(0, of.stop_by_ns - self._core.clock.now_ns())
            message.stop_grace.FromNanoseconds(grace_ns)
        if lease_row["cell"]:
            cell = db.execute(f"{resources.CELLS} WHERE c.id = ?", (lease_row["cell"],)).fetchone()
            if cell is not None:
                message.cell.CopyFrom(resources.cell(venue, cell))
        policy_job = getattr(getattr(job, job.WhichOneof("work") or ""), "policy_job", "")
        policy = submitting.policy_of(db, of.vendor, policy_job) if policy_job else None
        if policy is not None:
            message.policy.CopyFrom(policy)
        if job_row["checkpoint"] is not None:
            message.checkpoint.CopyFrom(job_pb2.Artifact.FromString(job_row["checkpoint"]))
        return message

    def _endpoints(self, leases: Sequence[int]) -> dict[int, list[runner_service_pb2.UnitEndpoint]]:
        """Return where the units of leases are reached, by lease."""
        found: dict[int, list[runner_service_pb2.UnitEndpoint]] = {}
        for some, text in portions(leases):
            query = f"""
            SELECT u.*, lu.lease_id, lu.epoch AS lease_epoch FROM lease_unit lu JOIN unit u ON u.id = lu.unit
            WHERE lu.lease_id IN {text} ORDER BY u.id
            """
            for row in self._core.read.execute(query, some):
                endpoint = runner_service_pb2.UnitEndpoint(
                    unit=names.unit(self._core.venue, row["id"]),
                    address=row["host_address"],
                    epoch=row["lease_epoch"],
                    robot_model=row["robot_model"],
                    serial=row["serial"],
                    maker=row["maker"],
                )
                found.setdefault(row["lease_id"], []).append(endpoint)
        return found


def _by_id(db: Connection, query: str, keys: Sequence[int]) -> dict[int, Row]:
    return {row["id"]: row for some, text in portions(keys) for row in db.execute(f"{query} {text}", some)}


def _rest_s(look_s: float) -> float:
    """Return how long to wait after a look that took so long [s]; a runner hears something every second at least."""
    return min(LOOK_REST * look_s, REFRESH_S)


def _check_instance(instance: str) -> None:
    """Raise CERTIFICATE_REFUSED for an instance of another runner than the caller's certificate is of."""
    caller().check_process(instance.partition("/")[0])
