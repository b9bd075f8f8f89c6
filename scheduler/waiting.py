"""Why a job waits for more than its claim: for other jobs of its vendor, or for a pass in simulation."""

import sqlite3

from palaestra.v1 import job_pb2
from scheduler import names
from scheduler.explain import Reason
from scheduler.lifecycle import JobState

NAMED_MAX = 5


def reasons(db: sqlite3.Connection, row: sqlite3.Row) -> tuple[Reason, ...]:
    """Return what keeps the waiting job of a row of table job from being looked at."""
    return (*_dependency(db, row), *_sim_first(db, row))


def _dependency(db: sqlite3.Connection, row: sqlite3.Row) -> list[Reason]:
    if not row["open_after"]:
        return []
    total = len(job_pb2.Job.FromString(row["spec"]).after)
    waited = db.execute(
        """
        SELECT j.vendor, j.uid, j.state FROM job_after a JOIN job j ON j.id = a.before_id
        WHERE a.job_id = ? ORDER BY j.id LIMIT ?
        """,
        (row["id"], NAMED_MAX),
    ).fetchall()
    listed = [f"{names.job(each['vendor'], each['uid'])} ({JobState(each['state']).name.lower()})" for each in waited]
    if row["open_after"] > len(listed):
        listed.append(f"and {row['open_after'] - len(listed)} more")
    message = f"{row['open_after']} of {total} jobs that come first have not succeeded yet: {', '.join(listed)}"
    return [Reason("DEPENDENCY", message, total, total, total - row["open_after"], "wait until they have succeeded")]


def _sim_first(db: sqlite3.Connection, row: sqlite3.Row) -> list[Reason]:
    works = [
        each["work"] for each in db.execute("SELECT work FROM sim_gate WHERE job_id = ? ORDER BY work", (row["id"],))
    ]
    if not works:
        return []
    success_min = db.execute("SELECT sim_first_success_min FROM venue").fetchone()[0]
    message = f"has not passed in simulation yet: {'; '.join(works)}"
    fix = (
        "submit the same work with sim slots instead of units; it passes when the lower end of the 95 % interval of "
        f"its success rate is {success_min:.0%} or more"
    )
    return [Reason("SIM_FIRST", message, requested=len(works), fix=fix)]
