"""RunnerService: runners fetch their work and report on it."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

from palaestra.errors import PalaestraError
from palaestra.failpoint import Failpoint
from palaestra.v1 import episode_pb2, job_pb2, runner_service_pb2, runner_service_pb2_grpc, venue_pb2
from scheduler import names, resources
from scheduler.allowance import Allowance
from scheduler.commands import running, submitting
from scheduler.core import Core, RunnerConnection
from scheduler.encoding import Serialized, length_delimited
from scheduler.guard import caller
from scheduler.scene import vocabulary_of
from scheduler.sql import Connection, Row, portions

REFRESH_S = 1.0
# An assignment is made anew after this time, whether its attempt has changed or not.
RENEW_S = 5.0
# After a look that took t, the next waits at least this many t.
LOOK_REST = 9.0
# So many assignments are made at a time; calls have their turn in between.
MADE_AT_ONCE = 64
_ASSIGNMENTS = runner_service_pb2.WatchAssignmentsResponse.DESCRIPTOR.fields_by_name["assignments"].number
REGISTERED = Failpoint("scheduler.runner.registered", "a runner's slots are committed; it has no assignments yet")
ASSIGNING = Failpoint("scheduler.runner.assigning", "a runner's assignments are about to be read and sent")


class _Attempt(NamedTuple):
    """Of an attempt, and of its job, what its assignment depends on; the columns of `RunnerService._attempts`."""

    job_id: int
    number: int
    state: int
    cancel_ns: int | None
    preempt_ns: int | None
    stop_by_ns: int | None
    lease_id: int
    vendor: str
    version: int

    @property
    def told(self) -> tuple[object, ...]:
        """What tells a runner that it has something to do; the rest comes along once a second."""
        return self[:6]


# The attempt as it was when its assignment was made, when [s], and that, one of `WatchAssignmentsResponse.assignments`.
_Made = tuple[_Attempt, float, bytes]


class RunnerService(runner_service_pb2_grpc.RunnerServiceServicer):
    def __init__(self, core: Core, allowance: Allowance | None = None) -> None:
        """allowance: None: nobody has a quota."""
        self._core = core
        self._allowance = allowance

    async def WatchAssignments(
        self, request: runner_service_pb2.WatchAssignmentsRequest, context: Any
    ) -> AsyncIterator[Serialized]:
        """Answer in bytes of WatchAssignmentsResponse: most of what is sent has been sent before."""
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
        made: dict[tuple[int, int], _Made] = {}
        said: object = None
        loop, sent_s = asyncio.get_running_loop(), 0.0
        try:
            await core.connections_changed()
            # A runner that comes back after a cut may be here before we notice the cut: the newest stream counts.
            while core.runners.get(request.runner) is connection:
                seen, looked_s = core.hub.sequence, loop.time()
                attempts = self._attempts(instance)
                now = [attempt.told for attempt in attempts]
                # Before what is awaited: how long others take meanwhile is no reason to rest.
                took_s = loop.time() - looked_s
                if now != said or looked_s - sent_s >= REFRESH_S:
                    made, making_s = await self._assignments(attempts, made, looked_s)
                    took_s += making_s
                    said, sent_s = now, looked_s
                rest_s = _rest_s(took_s)
                if sent_s == looked_s:
                    ASSIGNING()
                    yield Serialized(b"".join(one for _, _, one in made.values()))
                # Under a flood of changes, and with many attempts, looking must not take the calls' time.
                await asyncio.sleep(rest_s)
                await core.hub.after(seen, max(0.0, REFRESH_S - (loop.time() - sent_s)))
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

    def _attempts(self, instance: str) -> list[_Attempt]:
        """Return the granted attempts that nobody has started, and those that this instance runs."""
        rows = self._core.read.execute(
            """
            SELECT a.job_id, a.number, a.state, a.cancel_ns, a.preempt_ns, a.stop_by_ns, a.lease_id, j.vendor, j.version
            FROM attempt a JOIN job j ON j.id = a.job_id
            WHERE a.state = 1 OR (a.state = 2 AND a.instance = ?) ORDER BY a.grant_ns
            """,
            (instance,),
        )
        return [_Attempt(*row) for row in rows.fetchall()]

    async def _assignments(
        self, attempts: Sequence[_Attempt], before: Mapping[tuple[int, int], _Made], now_s: float
    ) -> tuple[dict[tuple[int, int], _Made], float]:
        """Return the assignments of attempts, made anew where something has changed or they are old.

        And how long that took [s], without the calls that were let through meanwhile.
        """
        loop = asyncio.get_running_loop()
        begun_s, took_s = loop.time(), 0.0
        found: dict[tuple[int, int], _Made] = {}
        due: list[_Attempt] = []
        for attempt in attempts:
            key = attempt.job_id, attempt.number
            made = before.get(key)
            # What stands elsewhere, such as the address of a host, changes seldom and may come a little later; what is
            # to stop is told how long it still has.
            if made is None or made[0] != attempt or now_s - made[1] >= RENEW_S or attempt.stop_by_ns is not None:
                due.append(attempt)
                # Its place; what stands there is replaced below.
                made = attempt, now_s, b""
            found[key] = made
        for at in range(0, len(due), MADE_AT_ONCE):
            some = due[at : at + MADE_AT_ONCE]
            for attempt, message in zip(some, self._made(some), strict=True):
                data = length_delimited(_ASSIGNMENTS, message.SerializeToString())
                found[attempt.job_id, attempt.number] = attempt, now_s, data
            took_s += loop.time() - begun_s
            await asyncio.sleep(0)
            begun_s = loop.time()
        return found, took_s + loop.time() - begun_s

    def _made(self, attempts: Sequence[_Attempt]) -> list[runner_service_pb2.Assignment]:
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
        of: _Attempt,
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
