"""Accepting jobs."""

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from palaestra import ids
from palaestra.errors import PalaestraError
from palaestra.v1 import job_pb2, job_service_pb2
from scheduler import events, names, resources, snapshot
from scheduler.explain import impossible, unknown_selector
from scheduler.lifecycle import JobState
from scheduler.state import Claim, State
from scheduler.tree import beyond_limit
from scheduler.writer import Command, Transaction

OUTPUT_FIELDS = (
    "name", "state", "create_time", "grant_time", "start_time", "end_time", "attempts", "progress", "result",
    "failure", "episode_count", "etag", "sequence",
)  # fmt: skip


# A job is kept for ever and goes with each of its events.
SPEC_BYTES_MAX = 64 * 1024


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
        return _submit(tx, vendor, request, _checks(tx, vendor, catalogue, limits))

    return command


def submit_batch(
    vendor: str, request: job_service_pb2.BatchSubmitJobsRequest, catalogue: Catalogue, limits: Limits
) -> Command[job_service_pb2.BatchSubmitJobsResponse]:
    """Return the command that accepts many jobs in one transaction."""

    def command(tx: Transaction) -> job_service_pb2.BatchSubmitJobsResponse:
        checks = _checks(tx, vendor, catalogue, limits)
        response = job_service_pb2.BatchSubmitJobsResponse()
        for index, item in enumerate(request.requests):
            try:
                response.results.add(job=_submit(tx, vendor, item, checks))
            except PalaestraError as error:
                if request.atomic:
                    raise PalaestraError(
                        error.reason, f"requests[{index}]: {error.message}", metadata={"index": str(index)}
                    ) from error
                response.results.add(failure=job_pb2.Failure(reason=error.reason, message=error.message))
        return response

    return command


class _Checks:
    """What holds for all jobs that a vendor submits within one transaction, read from the database once."""

    def __init__(self, tx: Transaction, vendor: str, catalogue: Catalogue, limits: Limits) -> None:
        self.catalogue = catalogue
        self._limits = limits
        self._inventory = State(tx.now_ns, snapshot.units(tx.db), snapshot.slots(tx.db), snapshot.cells(tx.db))
        self._problems: dict[Claim, tuple[str, str] | None] = {}
        self._parties = {party.vendor: party for party in snapshot.tree(tx.db)}
        self._leaves = snapshot.leaves(tx.db, vendor)
        self._queued = tx.db.execute("SELECT count(*) FROM job WHERE vendor = ? AND state = 1", (vendor,)).fetchone()[0]

    def depth(self) -> None:
        """Raise QUEUE_FULL if the vendor has as many waiting jobs as it may."""
        if self._queued >= self._limits.queued_jobs_max:
            raise PalaestraError(
                "QUEUE_FULL", f"{self._queued} jobs of this vendor are waiting, the most allowed", retry_after_s=5.0
            )

    def leaf(self, project: str) -> str:
        """Return whose share a job counts against. Raises INVALID_FIELD for what is no project of the vendor."""
        found = self._leaves.get(project)
        if found is None:
            known = ", ".join(sorted(name for name in self._leaves if name)) or "it has none"
            raise _invalid("job.project", f"{project!r} is no project of this vendor; projects: {known}")
        return found

    def quota(self, claim: Claim, project: str) -> None:
        """Raise QUOTA_EXCEEDED for a claim that would be over a limit even if it were the only one."""
        problem = beyond_limit(claim, self.leaf(project), self._parties)
        if problem is not None:
            raise PalaestraError("QUOTA_EXCEEDED", problem)

    def accepted(self) -> None:
        """Count a job more."""
        self._queued += 1

    def claim(self, claim: Claim) -> None:
        """Raise UNKNOWN_SELECTOR or IMPOSSIBLE_CLAIM for what this venue could never serve."""
        if claim not in self._problems:
            unknown = unknown_selector(claim, self._inventory)
            never = None if unknown else impossible(claim, self._inventory)
            self._problems[claim] = (
                ("UNKNOWN_SELECTOR", unknown) if unknown else ("IMPOSSIBLE_CLAIM", never) if never else None
            )
        problem = self._problems[claim]
        if problem is not None:
            raise PalaestraError(*problem)


def _checks(tx: Transaction, vendor: str, catalogue: Catalogue, limits: Limits) -> _Checks:
    """Return the checks that the commands of this transaction share."""
    found: _Checks | None = tx.memo.get(f"checks {vendor}")
    if found is None or found.catalogue != catalogue:
        found = tx.memo[f"checks {vendor}"] = _Checks(tx, vendor, catalogue, limits)
    return found


def _submit(tx: Transaction, vendor: str, request: job_service_pb2.SubmitJobRequest, checks: _Checks) -> job_pb2.Job:
    spec = _spec(request.job)
    body = spec.SerializeToString(deterministic=True)
    if len(body) > SPEC_BYTES_MAX:
        raise PalaestraError("MESSAGE_TOO_LARGE", f"the job has {len(body)} bytes, at most {SPEC_BYTES_MAX}")
    digest = hashlib.sha256(body).digest()
    if request.request_id:
        earlier = tx.db.execute(
            "SELECT * FROM job WHERE vendor = ? AND request_id = ?", (vendor, request.request_id)
        ).fetchone()
        if earlier is not None:
            return _repeat(tx.db, earlier, digest, request.request_id)
    checks.depth()
    _admit(tx.db, vendor, spec, checks)
    if request.validate_only:
        return spec
    return _insert(tx, vendor, request.request_id or None, spec, body, digest, checks)


def _spec(job: job_pb2.Job) -> job_pb2.Job:
    """Return the job without what only we may set."""
    spec = job_pb2.Job()
    spec.CopyFrom(job)
    for field in OUTPUT_FIELDS:
        spec.ClearField(field)
    spec.DiscardUnknownFields()
    return spec


def _repeat(db: sqlite3.Connection, row: sqlite3.Row, digest: bytes, request_id: str) -> job_pb2.Job:
    if row["request_sha256"] != digest:
        raise PalaestraError(
            "REQUEST_ID_REUSED",
            f"request id {request_id} was used for another job",
            metadata={"request_id": request_id},
        )
    return resources.job(db, row)


def _insert(
    tx: Transaction, vendor: str, request_id: str | None, spec: job_pb2.Job, body: bytes, digest: bytes, checks: _Checks
) -> job_pb2.Job:
    uid = ids.new_id()
    # What `resources.job` would make of the new row, without reading it back: this is the busiest path of all.
    spec.name = names.job(vendor, uid)
    spec.state = job_pb2.JOB_STATE_QUEUED
    spec.etag = "1"
    spec.create_time.FromNanoseconds(tx.now_ns)
    spec.sequence = events.job_submitted(tx, spec, vendor)
    tx.db.execute(
        """
        INSERT INTO job (uid, vendor, leaf, request_id, request_sha256, state, priority, spec, create_ns, event_seq)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            uid,
            vendor,
            checks.leaf(spec.project),
            request_id,
            digest,
            JobState.QUEUED,
            spec.priority,
            body,
            tx.now_ns,
            spec.sequence,
        ),
    )
    checks.accepted()
    tx.wants_cycle = True
    return spec


def _admit(db: sqlite3.Connection, vendor: str, spec: job_pb2.Job, checks: _Checks) -> None:
    """Refuse a job that could never run here."""
    kind = spec.WhichOneof("work")
    if kind is None:
        raise _invalid("job.work", "one of collect, train, evaluate must be set")
    claim = snapshot.claim_of(spec.claim)
    if not claim.units and not claim.sim_slots:
        raise _invalid("job.claim", "needs units or sim slots")
    if kind in ("train", "evaluate") and not claim.sim_slots:
        raise _invalid("job.claim.sim_slots", f"a job to {kind} needs at least one sim slot")
    if kind == "collect" and spec.collect.WhichOneof("source") is None:
        raise _invalid("job.collect.source", "one of motion, policy_job must be set")
    if kind == "collect" and not claim.units and not spec.collect.robot_model:
        raise _invalid("job.collect.robot_model", "is required when the claim has no units")
    checks.claim(claim)
    checks.quota(claim, spec.project)
    _known_work(spec, checks.catalogue)
    _policy_ready(db, vendor, spec)


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


def _policy_ready(db: sqlite3.Connection, vendor: str, spec: job_pb2.Job) -> None:
    name = getattr(getattr(spec, spec.WhichOneof("work")), "policy_job", "")
    if not name:
        return
    if policy_of(db, vendor, name) is None:
        raise PalaestraError(
            "POLICY_NOT_READY", f"{name} is no succeeded training job of this vendor", metadata={"job": name}
        )


def policy_of(db: sqlite3.Connection, vendor: str, name: str) -> job_pb2.Artifact | None:
    """Return the policy that a vendor's training job left, or None."""
    owner, uid = name.split("/")[1], name.split("/")[3]
    row = db.execute(
        "SELECT result FROM job WHERE uid = ? AND vendor = ? AND state = ?", (uid, vendor, JobState.SUCCEEDED)
    ).fetchone()
    if row is None or owner != vendor or row["result"] is None:
        return None
    result = job_pb2.JobResult.FromString(row["result"])
    return result.policy if result.HasField("policy") else None


def _invalid(field: str, problem: str) -> PalaestraError:
    return PalaestraError("INVALID_FIELD", f"{field}: {problem}", metadata={"field": field, "rule": problem})
