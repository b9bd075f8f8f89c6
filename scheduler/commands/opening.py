"""Letting a vendor's own program into the worlds of its job to serve."""

from collections.abc import Callable

from palaestra import tickets
from palaestra.errors import PalaestraError
from palaestra.v1 import job_pb2, job_service_pb2
from scheduler import names, resources
from scheduler.lifecycle import AttemptState, JobState, LeaseState
from scheduler.writer import Command, Transaction


def ticket(vendor: str, uid: str, lease_key: Callable[[str], str]) -> Command[job_service_pb2.SlotTicket]:
    """Return the command that makes a ticket for the worlds of a job: nothing of it is kept, but that it was made is.

    lease_key: What tickets of a lease, by its uid, are made with.
    Raises JOB_ENDED; SLOT_NOT_READY, also for work of another kind, which then never is.
    """

    def command(tx: Transaction) -> job_service_pb2.SlotTicket:
        job = tx.db.execute("SELECT * FROM job WHERE uid = ? AND vendor = ?", (uid, vendor)).fetchone()
        name, state = names.job(vendor, uid), JobState(job["state"])
        if not job_pb2.Job.FromString(job["spec"]).HasField("serve"):
            raise PalaestraError("SLOT_NOT_READY", f"{name} is no job to serve: it leaves its worlds to nobody")
        if state.ended:
            raise PalaestraError("JOB_ENDED", f"{name} is {state.name.lower()}")
        attempt = tx.db.execute(
            """
            SELECT a.number, a.cancel_ns, a.preempt_ns, l.uid, l.state, l.end_by_ns
            FROM attempt a JOIN lease l ON l.id = a.lease_id
            WHERE a.job_id = ? AND a.state = ?
            """,
            (job["id"], AttemptState.RUNNING),
        ).fetchone()
        slot = job_pb2.JobProgress.FromString(job["progress"] or b"").slot
        # What an earlier attempt told is of worlds that are gone.
        if attempt is None or not LeaseState(attempt["state"]).drives or slot.attempt != attempt["number"]:
            raise _not_ready(f"{name} is {state.name.lower()}, and its worlds do not stand yet")
        if attempt["cancel_ns"] is not None or attempt["preempt_ns"] is not None:
            raise _not_ready(f"{name} is being stopped")
        lease = names.lease(vendor, attempt["uid"])
        # To the millisecond, which is what a ticket knows of its time.
        expire_ns = min(tx.now_ns + int(tickets.LIFE_S * 1e9), attempt["end_by_ns"]) // 1_000_000 * 1_000_000
        return job_service_pb2.SlotTicket(
            address=slot.address,
            tls_address=slot.tls_address,
            lease=lease,
            epoch=attempt["number"],
            token=tickets.issue(lease_key(attempt["uid"]), lease, attempt["number"], expire_ns),
            expire_time=resources.timestamp(expire_ns),
            end_by_time=resources.timestamp(attempt["end_by_ns"]),
        )

    return command


def _not_ready(message: str) -> PalaestraError:
    return PalaestraError("SLOT_NOT_READY", message, retry_after_s=0.5)
