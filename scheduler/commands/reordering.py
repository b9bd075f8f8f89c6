"""A job gets another place among those of its vendor."""

from palaestra.errors import PalaestraError
from palaestra.v1 import job_pb2, job_service_pb2
from scheduler import events, names
from scheduler.lifecycle import JobState
from scheduler.writer import Command, Transaction


def reorder(request: job_service_pb2.ReorderJobRequest) -> Command[None]:
    """Return the command that gives a job another priority and says why. The same priority again changes nothing.

    Raises NOT_FOUND, ETAG_MISMATCH, JOB_ENDED.
    """
    vendor, uid = names.parts(request.name)

    def command(tx: Transaction) -> None:
        job = tx.db.execute("SELECT * FROM job WHERE uid = ? AND vendor = ?", (uid, vendor)).fetchone()
        if job is None:
            raise PalaestraError("NOT_FOUND", f"{request.name} not found")
        if request.etag and request.etag != str(job["version"]):
            raise PalaestraError("ETAG_MISMATCH", f"job {uid} has etag {job['version']}, not {request.etag}")
        state = JobState(job["state"])
        if state.ended:
            raise PalaestraError("JOB_ENDED", f"job {uid} has ended: {state.name.lower()}")
        if job["priority"] == request.priority:
            tx.repeated = True
            return
        spec = job_pb2.Job.FromString(job["spec"])
        spec.priority = request.priority
        tx.db.execute(
            "UPDATE job SET priority = ?, spec = ? WHERE id = ?",
            (request.priority, spec.SerializeToString(deterministic=True), job["id"]),
        )
        told = f"priority {job['priority']} to {request.priority}: {request.reason}"
        events.job_changed(tx, job["id"], "job.reordered", told)
        tx.wants_cycle = True

    return command
