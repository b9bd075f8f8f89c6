"""Asking a lease to end for somebody else's sake: for a guarantee, a booking, or safety.

The attempt is told to stop as by a cancel, with a grace in which to end in good order; what has not ended by then is
ended by `ending.sweep`. It is no failed try: the job waits again with its first time of submission, goes on from its
checkpoint, and its vendor gets back what it used since then (`commands.accounting`).
"""

from scheduler import events
from scheduler.commands import recording
from scheduler.commands.ending import end_attempt, made_room
from scheduler.lifecycle import AttemptState, Step
from scheduler.state import Cause, Preemption
from scheduler.writer import Command, Transaction

GRACE_S = 10.0
# Never names who gets the room.
WHY = {
    Cause.GUARANTEE: "to honour a guarantee",
    Cause.BOOKING: "to honour a reservation",
    Cause.SAFETY: "for safety",
}


def preempt(preemption: Preemption, grace_s: float, token: str = "") -> Command[bool]:
    """Return the command that asks a lease to end within `grace_s` [s]; it answers whether it was asked now.

    What has ended, or is asked to end already, is left alone. token: Of the decision, as far as it is kept.
    """

    def command(tx: Transaction) -> bool:
        attempt = tx.db.execute(
            """
            SELECT a.* FROM attempt a JOIN lease l ON l.job_id = a.job_id AND l.attempt = a.number
            WHERE l.id = ? AND a.state IN (1, 2) AND a.cancel_ns IS NULL AND a.preempt_ns IS NULL
            """,
            (preemption.lease,),
        ).fetchone()
        if attempt is None:
            return False
        key = attempt["job_id"], attempt["number"]
        stop_by_ns = tx.now_ns + int(grace_s * 1e9)
        tx.db.execute(
            "UPDATE attempt SET preempt_ns = ?, stop_by_ns = ? WHERE job_id = ? AND number = ?",
            (tx.now_ns, stop_by_ns, *key),
        )
        message = f"asked to make room {WHY[preemption.cause]}, within {grace_s:g} s{recording.words(token)}"
        events.job_changed(tx, attempt["job_id"], "job.preempted", message)
        if attempt["state"] == AttemptState.GRANTED:
            # Nobody has begun, so there is nothing to end in good order.
            row = tx.db.execute("SELECT * FROM attempt WHERE job_id = ? AND number = ?", key).fetchone()
            end_attempt(tx, row, Step.FAIL, failure=made_room())
        return True

    return command
