"""Writing down what was told of a start, and what came."""

from collections.abc import Sequence

from scheduler.forecast import Expectation
from scheduler.lifecycle import JobState
from scheduler.writer import Command, Transaction

# Told starts that are kept: more than any figure looks at.
KEPT = 5_000


def tell(job_id: int, expected: Expectation) -> Command[bool]:
    """Return the command that notes what a job was told, once; it says whether that was done.

    Not of a job that has started meanwhile, nor where a quantile is unknown or the job starts at once: what starts
    anyway would flatter the figures.
    """

    def command(tx: Transaction) -> bool:
        if expected.starts_now or None in (expected.p50_s, expected.p90_s):
            return False
        row = tx.db.execute("SELECT state, attempt_count FROM job WHERE id = ?", (job_id,)).fetchone()
        if row is None or row["state"] != JobState.QUEUED or row["attempt_count"]:
            return False
        cursor = tx.db.execute(
            "INSERT INTO told_start (job_id, told_ns, p50_s, p90_s, raw_p50_s, raw_p90_s) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (job_id) DO NOTHING",
            (job_id, expected.now_ns, expected.p50_s, expected.p90_s, expected.raw_p50_s, expected.raw_p90_s),
        )
        tx.db.execute(
            "DELETE FROM told_start WHERE id <= (SELECT id FROM told_start ORDER BY id DESC LIMIT 1 OFFSET ?)", (KEPT,)
        )
        return cursor.rowcount == 1

    return command


def started(tx: Transaction, job_ids: Sequence[int]) -> None:
    """Note how long jobs have waited since they were told their start, if they were; later attempts change nothing."""
    tx.db.executemany(
        "UPDATE told_start SET wait_s = (? - told_ns) / 1e9 WHERE job_id = ? AND wait_s IS NULL",
        [(tx.now_ns, job_id) for job_id in job_ids],
    )
