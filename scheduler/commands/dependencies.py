"""Jobs that come after other jobs: what they wait for, and what the end of the others means for them."""

from collections.abc import Sequence
from typing import NamedTuple

from palaestra.errors import PalaestraError
from palaestra.v1 import job_pb2
from scheduler import events, names
from scheduler.lifecycle import JobState, Step, advance_job
from scheduler.sql import Connection
from scheduler.writer import Transaction


class Open(NamedTuple):
    """A job that has not ended yet and must succeed first; whether its policy is used afterwards."""

    job: int
    uses_policy: bool


def waits_for(db: Connection, vendor: str, spec: job_pb2.Job) -> tuple[Open, ...]:
    """Return what a new job still has to wait for.

    Raises NOT_FOUND for what is no job of the vendor, DEPENDENCY_FAILED for one that ended otherwise than by success,
    INVALID_FIELD for one that is named twice.
    """
    policy_job = _policy_job(spec)
    found = []
    for index, name in enumerate(spec.after):
        if name in spec.after[:index]:
            problem = f"{name} is named twice"
            raise PalaestraError(
                "INVALID_FIELD", f"job.after[{index}]: {problem}", metadata={"field": "job.after", "rule": problem}
            )
        owner, uid = names.parts(name)
        row = db.execute("SELECT id, state FROM job WHERE uid = ? AND vendor = ?", (uid, vendor)).fetchone()
        if row is None or owner != vendor:
            raise PalaestraError("NOT_FOUND", f"{name} not found")
        state = JobState(row["state"])
        if state.ended and state is not JobState.SUCCEEDED:
            raise PalaestraError("DEPENDENCY_FAILED", _failed(name, state), metadata={"job": name})
        if not state.ended:
            found.append(Open(row["id"], name == policy_job))
    return tuple(found)


def trains_policy(db: Connection, vendor: str, spec: job_pb2.Job) -> bool:
    """Whether the policy that the job uses is still being trained by a job that it comes after."""
    policy_job = _policy_job(spec)
    if policy_job not in spec.after:
        return False
    row = db.execute(
        "SELECT spec, state FROM job WHERE uid = ? AND vendor = ?", (names.parts(policy_job)[1], vendor)
    ).fetchone()
    return (
        row is not None
        and not JobState(row["state"]).ended
        and job_pb2.Job.FromString(row["spec"]).WhichOneof("work") == "train"
    )


def link(tx: Transaction, job_id: int, before: Sequence[Open]) -> None:
    """Remember what a new job waits for; its row must hold their number as open_after."""
    if not before:
        return
    tx.db.executemany(
        "INSERT INTO job_after (job_id, before_id, uses_policy) VALUES (?, ?, ?)",
        [(job_id, each.job, each.uses_policy) for each in before],
    )


def job_ended(tx: Transaction, job_id: int) -> None:
    """Let the jobs that waited for an ended job start, or fail with it, and those that waited for them, and so on."""
    ended = [job_id]
    while ended:
        ended += _settle(tx, ended.pop())


def _settle(tx: Transaction, job_id: int) -> list[int]:
    """Settle what waited for one ended job; return the jobs that failed by it."""
    db = tx.db
    db.execute("DELETE FROM job_after WHERE job_id = ?", (job_id,))
    db.execute("DELETE FROM sim_gate WHERE job_id = ?", (job_id,))
    waiting = db.execute(
        "SELECT job_id, uses_policy FROM job_after WHERE before_id = ? ORDER BY job_id", (job_id,)
    ).fetchall()
    if not waiting:
        return []
    db.execute("DELETE FROM job_after WHERE before_id = ?", (job_id,))
    row = db.execute("SELECT vendor, uid, state, result FROM job WHERE id = ?", (job_id,)).fetchone()
    name, state = names.job(row["vendor"], row["uid"]), JobState(row["state"])
    if state is not JobState.SUCCEEDED:
        failure = job_pb2.Failure(reason="DEPENDENCY_FAILED", message=_failed(name, state))
        return [_fail(tx, each["job_id"], failure) for each in waiting]
    has_policy = row["result"] is not None and job_pb2.JobResult.FromString(row["result"]).HasField("policy")
    failed = []
    for each in waiting:
        if each["uses_policy"] and not has_policy:
            failure = job_pb2.Failure(reason="POLICY_NOT_READY", message=f"{name} left no policy")
            failed.append(_fail(tx, each["job_id"], failure))
        else:
            db.execute("UPDATE job SET open_after = open_after - 1 WHERE id = ?", (each["job_id"],))
            tx.wants_cycle = True
    return failed


def _fail(tx: Transaction, job_id: int, failure: job_pb2.Failure) -> int:
    state = tx.db.execute("SELECT state FROM job WHERE id = ?", (job_id,)).fetchone()["state"]
    after = advance_job(JobState(state), Step.FAIL)
    tx.db.execute(
        "UPDATE job SET state = ?, end_ns = ?, failure = ? WHERE id = ?",
        (after, tx.now_ns, failure.SerializeToString(), job_id),
    )
    events.job_changed(tx, job_id, "job.failed", failure.message)
    return job_id


def _failed(name: str, state: JobState) -> str:
    return f"{name}, which comes first, ended as {state.name.lower()}"


def _policy_job(spec: job_pb2.Job) -> str:
    kind = spec.WhichOneof("work")
    return getattr(getattr(spec, kind), "policy_job", "") if kind else ""
