"""Arrays of like jobs."""

import hashlib

from palaestra import ids
from palaestra.errors import PalaestraError
from palaestra.v1 import job_array_pb2, job_array_service_pb2, job_pb2, job_service_pb2
from scheduler import resources
from scheduler.commands.draft import draft_of, serialized
from scheduler.commands.ending import cancel_job, cancel_waiting
from scheduler.commands.intake import Intake
from scheduler.commands.submitting import Catalogue, Limits, admit, checks_of, invalid
from scheduler.lifecycle import JobState
from scheduler.sql import Connection, Row
from scheduler.writer import Command, Transaction

# Each job keeps its own copy, and its event another: an array must not fill the disk in one call.
ARRAY_BYTES_MAX = 16 * 1024 * 1024
# Rows that say which job waits for which.
ARRAY_AFTER_MAX = 100_000
SEED_MAX = 2**63 - 1


def submit(
    vendor: str, request: job_array_service_pb2.SubmitJobArrayRequest, catalogue: Catalogue, limits: Limits
) -> Command[job_array_pb2.JobArray]:
    """Return the command that accepts like jobs of `vendor`, or returns the array that its request id made before.

    Raises what submitting one of them raises, MESSAGE_TOO_LARGE, and QUEUE_FULL unless there is room for all.
    """

    def command(tx: Transaction) -> job_array_pb2.JobArray:
        spec, body = draft.spec, draft.body
        if draft.problem is not None:
            raise draft.problem
        digest = hashlib.sha256(body + f"*{request.size}".encode()).digest()
        if request.request_id:
            earlier = tx.db.execute(
                "SELECT * FROM job_array WHERE vendor = ? AND request_id = ?", (vendor, request.request_id)
            ).fetchone()
            if earlier is not None:
                tx.repeated = True
                return _repeat(tx.db, earlier, digest, request.request_id)
        _bound(spec, len(body), request.size)
        checks = checks_of(tx, vendor, catalogue, limits)
        checks.depth(request.size)
        held = admit(tx, vendor, draft, checks)
        if request.validate_only:
            return job_array_pb2.JobArray(size=request.size)
        uid = ids.new_id()
        cursor = tx.db.execute(
            """
            INSERT INTO job_array (uid, vendor, request_id, request_sha256, size, create_ns) VALUES (?, ?, ?, ?, ?, ?)
            """,
            (uid, vendor, request.request_id or None, digest, request.size, tx.now_ns),
        )
        work = spec.WhichOneof("work")
        assert work is not None
        intake, one = Intake(tx), job_pb2.Job()
        intake.expect(request.size)
        one.CopyFrom(spec)
        for index in range(request.size):
            getattr(one, work).seed = getattr(spec, work).seed + index
            intake.add(
                vendor,
                checks.leaf(spec.project),
                serialized(one),
                priority=spec.priority,
                deadline_ns=draft.deadline_ns,
                held=held,
                array_uid=uid,
                array_index=index,
            )
        intake.enter()
        checks.accepted(request.size)
        row = tx.db.execute("SELECT * FROM job_array WHERE id = ?", (cursor.lastrowid,)).fetchone()
        return resources.job_array(tx.db, row)

    draft = draft_of(job_service_pb2.SubmitJobRequest(job=request.job))
    return command


def cancel(vendor: str, uid: str) -> Command[None]:
    """Return the command that cancels every job of an array that has not ended. Repeats change nothing.

    Raises NOT_FOUND.
    """

    def command(tx: Transaction) -> None:
        array = tx.db.execute("SELECT 1 FROM job_array WHERE uid = ? AND vendor = ?", (uid, vendor)).fetchone()
        if array is None:
            raise PalaestraError("NOT_FOUND", f"vendors/{vendor}/jobArrays/{uid} not found")
        rows = tx.db.execute("SELECT * FROM job WHERE array_uid = ? ORDER BY id", (uid,)).fetchall()
        open_rows = [row for row in rows if not JobState(row["state"]).ended]
        tx.repeated = all(row["state"] == JobState.CANCELLING for row in open_rows)
        cancel_waiting(tx, [row["id"] for row in open_rows if row["state"] == JobState.QUEUED])
        for row in open_rows:
            if row["state"] != JobState.QUEUED:
                cancel_job(tx, row)

    return command


def _bound(spec: job_pb2.Job, bytes_each: int, size: int) -> None:
    if bytes_each * size > ARRAY_BYTES_MAX:
        raise PalaestraError(
            "MESSAGE_TOO_LARGE", f"{size} jobs of {bytes_each} bytes are too many, at most {ARRAY_BYTES_MAX} bytes"
        )
    if len(spec.after) * size > ARRAY_AFTER_MAX:
        raise invalid("job.after", f"{len(spec.after)} jobs before each of {size}, at most {ARRAY_AFTER_MAX} in all")
    work = spec.WhichOneof("work")
    # Work without a seed is the venue's own, and refused where jobs are admitted.
    if work is not None and getattr(getattr(spec, work), "seed", 0) + size - 1 > SEED_MAX:
        raise invalid(f"job.{work}.seed", f"leaves no room for {size} seeds")


def _repeat(db: Connection, row: Row, digest: bytes, request_id: str) -> job_array_pb2.JobArray:
    if row["request_sha256"] != digest:
        raise PalaestraError(
            "REQUEST_ID_REUSED",
            f"request id {request_id} was used for another array",
            metadata={"request_id": request_id},
        )
    return resources.job_array(db, row)
