"""Accepting jobs."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from palaestra import ids
from palaestra.errors import PalaestraError
from palaestra.v1 import job_pb2, job_service_pb2
from scheduler import events, names, resources, snapshot
from scheduler.commands import dependencies, reserving, simfirst
from scheduler.commands.dependencies import Open
from scheduler.contradiction import contradiction, has_units
from scheduler.explain import impossible, unknown_selector
from scheduler.lifecycle import JobState
from scheduler.requestorder import RequestOrder
from scheduler.snapshot.queue import NO_DEADLINE_NS
from scheduler.sql import Connection, Row
from scheduler.tree import beyond_limit
from scheduler.writer import Command, Transaction

OUTPUT_FIELDS = (
    "name", "state", "create_time", "grant_time", "start_time", "end_time", "attempts", "progress", "result",
    "failure", "episode_count", "etag", "sequence", "array", "array_index",
)  # fmt: skip


# A job is kept for ever and goes with each of its events.
SPEC_BYTES_MAX = 64 * 1024
AFTER_MAX = 64


@dataclass(frozen=True)
class Catalogue:
    """What the connected runners know. Empty sets: nobody has said yet, so nothing is refused."""

    tasks: frozenset[str] = frozenset()
    motions: frozenset[str] = frozenset()
    robot_models: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Limits:
    """Bounds per vendor."""

    queued_jobs_max: int = 20_000


def submit(
    vendor: str, request: job_service_pb2.SubmitJobRequest, catalogue: Catalogue, limits: Limits
) -> Command[job_pb2.Job]:
    """Return the command that accepts one job of `vendor`, or returns the one that its request id made before."""

    def command(tx: Transaction) -> job_pb2.Job:
        if request.after_indices:
            raise invalid("after_indices", "says something in a batch only")
        return _submit(tx, vendor, request, checks_of(tx, vendor, catalogue, limits))

    return command


def check(
    vendor: str, job: job_pb2.Job, catalogue: Catalogue, limits: Limits
) -> Command[tuple[job_pb2.Job, str, "Held"]]:
    """Return the command that refuses what `submit` would refuse, and changes nothing.

    It returns the job without what only we may set, whose share it would count against, and what it would wait for
    besides its claim.
    """

    def command(tx: Transaction) -> tuple[job_pb2.Job, str, Held]:
        checks, spec = checks_of(tx, vendor, catalogue, limits), spec_of(job)
        serialized(spec)
        checks.depth()
        held = admit(tx, vendor, spec, checks)
        return spec, checks.leaf(spec.project), held

    return command


def submit_batch(
    vendor: str, request: job_service_pb2.BatchSubmitJobsRequest, catalogue: Catalogue, limits: Limits
) -> Command[job_service_pb2.BatchSubmitJobsResponse]:
    """Return the command that accepts many jobs in one transaction."""

    def command(tx: Transaction) -> job_service_pb2.BatchSubmitJobsResponse:
        checks = checks_of(tx, vendor, catalogue, limits)
        results = [job_service_pb2.BatchSubmitResult() for _ in request.requests]
        order = RequestOrder.of([item.after_indices for item in request.requests])
        for index in order.indices:
            item = request.requests[index]
            try:
                if index in order.problems:
                    raise order.problems[index]
                before = [_accepted(results[earlier], earlier, item) for earlier in item.after_indices]
                results[index].job.CopyFrom(_submit(tx, vendor, item, checks, before))
            except PalaestraError as error:
                if request.atomic:
                    raise PalaestraError(
                        error.reason, f"requests[{index}]: {error.message}", metadata={"index": str(index)}
                    ) from error
                results[index].failure.CopyFrom(job_pb2.Failure(reason=error.reason, message=error.message))
        return job_service_pb2.BatchSubmitJobsResponse(results=results)

    return command


class Checks:
    """What holds for all jobs that a vendor submits within one transaction, read from the database once."""

    def __init__(self, tx: Transaction, vendor: str, catalogue: Catalogue, limits: Limits) -> None:
        self.catalogue = catalogue
        self._limits = limits
        self._inventory = snapshot.inventory(tx.db, tx.now_ns)
        self._parties = {party.vendor: party for party in snapshot.tree(tx.db)}
        self._leaves = snapshot.leaves(tx.db, vendor)
        self._problems: dict[tuple[str | None, bool, str, bytes], PalaestraError | None] = {}
        self.sim_first = simfirst.holds_for_every_job(tx.db)
        self._queued = tx.db.execute("SELECT count(*) FROM job WHERE vendor = ? AND state = 1", (vendor,)).fetchone()[0]

    def depth(self, more: int = 1) -> None:
        """Raise QUEUE_FULL unless so many more jobs of the vendor may wait."""
        most = self._limits.queued_jobs_max
        if self._queued + more > most:
            raise PalaestraError(
                "QUEUE_FULL",
                f"{self._queued} jobs of this vendor are waiting, at most {most} are allowed",
                retry_after_s=5.0,
            )

    def leaf(self, project: str) -> str:
        """Return whose share a job counts against. Raises INVALID_FIELD for what is no project of the vendor."""
        found = self._leaves.get(project)
        if found is None:
            known = ", ".join(sorted(name for name in self._leaves if name)) or "it has none"
            raise invalid("job.project", f"{project!r} is no project of this vendor; projects: {known}")
        return found

    def accepted(self) -> None:
        """Count a job more."""
        self._queued += 1

    def claim(self, spec: job_pb2.Job) -> None:
        """Raise INVALID_FIELD for a claim that contradicts itself or the work.

        Raise UNKNOWN_SELECTOR or IMPOSSIBLE_CLAIM for one that this venue could never serve, and QUOTA_EXCEEDED for one
        that would be over a limit even if it were the only one.
        """
        # Many jobs ask for the same: by its bytes, a claim is known again faster than it is read.
        key = (
            spec.WhichOneof("work"),
            bool(spec.collect.robot_model),
            spec.project,
            spec.claim.SerializeToString(deterministic=True),
        )
        if key not in self._problems:
            self._problems[key] = self._problem(spec)
        problem = self._problems[key]
        if problem is not None:
            raise PalaestraError(problem.reason, problem.message, metadata=problem.metadata)

    def _problem(self, spec: job_pb2.Job) -> PalaestraError | None:
        wrong = contradiction(spec)
        if wrong is not None:
            return invalid(*wrong)
        claim = snapshot.claim_of(spec.claim)
        unknown = unknown_selector(claim, self._inventory)
        if unknown is not None:
            return PalaestraError("UNKNOWN_SELECTOR", unknown)
        never = impossible(claim, self._inventory)
        if never is not None:
            return PalaestraError("IMPOSSIBLE_CLAIM", never)
        beyond = beyond_limit(claim, self.leaf(spec.project), self._parties)
        return None if beyond is None else PalaestraError("QUOTA_EXCEEDED", beyond)


def checks_of(tx: Transaction, vendor: str, catalogue: Catalogue, limits: Limits) -> Checks:
    """Return the checks that the commands of this transaction share."""
    found: Checks | None = tx.memo.get(f"checks {vendor}")
    if found is None or found.catalogue != catalogue:
        found = tx.memo[f"checks {vendor}"] = Checks(tx, vendor, catalogue, limits)
    return found


def _submit(
    tx: Transaction,
    vendor: str,
    request: job_service_pb2.SubmitJobRequest,
    checks: Checks,
    before: Sequence[str] = (),
) -> job_pb2.Job:
    """Accept one job. before: Jobs of the same batch that it comes after, besides those that it names itself."""
    spec = spec_of(request.job)
    body = serialized(spec)
    # The names of the batch's jobs are new each time, their places are not.
    places = ",".join(map(str, request.after_indices)).encode()
    digest = hashlib.sha256(body + places).digest()
    if request.request_id:
        earlier = tx.db.execute(
            "SELECT * FROM job WHERE vendor = ? AND request_id = ?", (vendor, request.request_id)
        ).fetchone()
        if earlier is not None:
            return _repeat(tx.db, earlier, digest, request.request_id)
    if before:
        own = set(spec.after)
        spec.after.extend(name for name in dict.fromkeys(before) if name and name not in own)
        if len(spec.after) > AFTER_MAX:
            raise invalid(
                "after_indices", f"with the job's own, {len(spec.after)} jobs come first, at most {AFTER_MAX}"
            )
        body = serialized(spec)
    checks.depth()
    held = admit(tx, vendor, spec, checks)
    if request.validate_only:
        return spec
    return insert(tx, vendor, spec, body, held, checks, request_id=request.request_id or None, digest=digest)


def _accepted(result: job_service_pb2.BatchSubmitResult, index: int, item: job_service_pb2.SubmitJobRequest) -> str:
    """Return the name of the batch's job that another one comes after. Raises DEPENDENCY_FAILED if it was refused."""
    if result.HasField("failure"):
        raise PalaestraError("DEPENDENCY_FAILED", f"requests[{index}], which comes first, was refused")
    if not result.job.name and not item.validate_only:
        raise PalaestraError("DEPENDENCY_FAILED", f"requests[{index}], which comes first, is checked and not submitted")
    return result.job.name


def serialized(spec: job_pb2.Job) -> bytes:
    """Return the bytes that are kept of a job. Raises MESSAGE_TOO_LARGE."""
    body = spec.SerializeToString(deterministic=True)
    if len(body) > SPEC_BYTES_MAX:
        raise PalaestraError("MESSAGE_TOO_LARGE", f"the job has {len(body)} bytes, at most {SPEC_BYTES_MAX}")
    return body


def spec_of(job: job_pb2.Job) -> job_pb2.Job:
    """Return a copy of the job without what only we may set."""
    spec = job_pb2.Job()
    spec.CopyFrom(job)
    for field in OUTPUT_FIELDS:
        spec.ClearField(field)
    spec.DiscardUnknownFields()
    return spec


def _repeat(db: Connection, row: Row, digest: bytes, request_id: str) -> job_pb2.Job:
    if row["request_sha256"] != digest:
        raise PalaestraError(
            "REQUEST_ID_REUSED",
            f"request id {request_id} was used for another job",
            metadata={"request_id": request_id},
        )
    return resources.job(db, row)


@dataclass(frozen=True)
class Held:
    """What an accepted job waits for besides its claim."""

    before: tuple[Open, ...] = ()
    works: tuple[str, ...] = ()
    # The row of the reservation that it starts in.
    reservation_id: int | None = None


def insert(
    tx: Transaction,
    vendor: str,
    spec: job_pb2.Job,
    body: bytes,
    held: Held,
    checks: Checks,
    *,
    request_id: str | None = None,
    digest: bytes | None = None,
    array_uid: str | None = None,
    array_index: int = 0,
) -> job_pb2.Job:
    """Enter an admitted job with its event; return `spec` as the job that it now is.

    array_uid, array_index: The array that it is one of, and its place there.
    """
    uid = ids.new_id()
    # What `resources.job` would make of the new row, without reading it back: this is the busiest path of all.
    spec.name = names.job(vendor, uid)
    spec.state = job_pb2.JOB_STATE_QUEUED
    spec.etag = "1"
    spec.create_time.FromNanoseconds(tx.now_ns)
    if array_uid is not None:
        spec.array, spec.array_index = names.job_array(vendor, array_uid), array_index
    spec.sequence = events.job_submitted(tx, spec, vendor)
    cursor = tx.db.execute(
        """
        INSERT INTO job (uid, vendor, leaf, request_id, request_sha256, state, priority, deadline_ns, spec, create_ns,
          event_seq, open_after, open_gates, array_uid, array_index)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (uid, vendor, checks.leaf(spec.project), request_id, digest, JobState.QUEUED, spec.priority,
         spec.deadline.ToNanoseconds() if spec.HasField("deadline") else NO_DEADLINE_NS, body, tx.now_ns,
         spec.sequence, len(held.before), len(held.works), array_uid, array_index),
    )  # fmt: skip
    assert cursor.lastrowid is not None
    dependencies.link(tx, cursor.lastrowid, held.before)
    simfirst.close(tx, cursor.lastrowid, vendor, held.works)
    if held.reservation_id is not None:
        reserving.attach(tx, held.reservation_id, cursor.lastrowid)
    checks.accepted()
    tx.wants_cycle = True
    return spec


def admit(tx: Transaction, vendor: str, spec: job_pb2.Job, checks: Checks) -> Held:
    """Return what a job waits for besides its claim; refuse one that could never run here."""
    kind = spec.WhichOneof("work")
    if kind is None:
        raise invalid("job.work", "one of collect, train, evaluate must be set")
    if kind == "check":
        raise invalid("job.work", "a check is the venue's own work; units are checked when it is due")
    if kind == "collect" and spec.collect.WhichOneof("source") is None:
        raise invalid("job.collect.source", "one of motion, policy_job must be set")
    checks.claim(spec)
    if spec.HasField("deadline"):
        _deadline_ahead(spec, tx.now_ns)
    booked = reserving.check(tx, vendor, spec.reservation, snapshot.claim_of(spec.claim)) if spec.reservation else None
    _known_work(spec, checks.catalogue)
    before = dependencies.waits_for(tx.db, vendor, spec)
    _policy_ready(tx.db, vendor, spec)
    gated = spec.sim_first or checks.sim_first
    return Held(before, simfirst.closed_gates(tx.db, vendor, spec) if gated and has_units(spec) else (), booked)


def _deadline_ahead(spec: job_pb2.Job, now_ns: int) -> None:
    seconds, nanos = spec.deadline.seconds, spec.deadline.nanos
    if not 0 <= nanos < 1_000_000_000:
        raise invalid("job.deadline", f"has {nanos} nanos, not 0 to 999,999,999")
    if seconds * 1_000_000_000 + nanos <= now_ns:
        raise invalid("job.deadline", "lies in the past")
    if seconds * 1_000_000_000 + nanos >= NO_DEADLINE_NS:
        raise invalid("job.deadline", "lies after the year 2261")


def _known_work(spec: job_pb2.Job, catalogue: Catalogue) -> None:
    work = getattr(spec, spec.WhichOneof("work"))
    wanted: Sequence[tuple[str, frozenset[str]]] = (
        ("task", catalogue.tasks if not isinstance(work, job_pb2.CollectSpec) else frozenset()),
        ("motion", catalogue.motions),
        ("robot_model", catalogue.robot_models),
    )
    for field, known in wanted:
        value = getattr(work, field, "")
        if value and known and value not in known:
            raise PalaestraError(
                "UNKNOWN_WORK",
                f"{field} {value!r} is not known here; known: {', '.join(sorted(known))}",
                metadata={"field": field, "value": value},
            )


def _policy_ready(db: Connection, vendor: str, spec: job_pb2.Job) -> None:
    name = getattr(getattr(spec, spec.WhichOneof("work")), "policy_job", "")
    if not name:
        return
    if policy_of(db, vendor, name) is None and not dependencies.trains_policy(db, vendor, spec):
        raise PalaestraError(
            "POLICY_NOT_READY", f"{name} is no succeeded training job of this vendor", metadata={"job": name}
        )


def policy_of(db: Connection, vendor: str, name: str) -> job_pb2.Artifact | None:
    """Return the policy that a vendor's training job left, or None."""
    owner, uid = name.split("/")[1], name.split("/")[3]
    row = db.execute(
        "SELECT result FROM job WHERE uid = ? AND vendor = ? AND state = ?", (uid, vendor, JobState.SUCCEEDED)
    ).fetchone()
    if row is None or owner != vendor or row["result"] is None:
        return None
    result = job_pb2.JobResult.FromString(row["result"])
    return result.policy if result.HasField("policy") else None


def invalid(field: str, problem: str) -> PalaestraError:
    return PalaestraError("INVALID_FIELD", f"{field}: {problem}", metadata={"field": field, "rule": problem})
