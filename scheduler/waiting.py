"""Why a job waits for more than its claim: for other jobs of its vendor, or for a pass in simulation."""

from collections.abc import Sequence

from palaestra.v1 import job_pb2
from scheduler import names
from scheduler.explain import Reason
from scheduler.lifecycle import JobState
from scheduler.sql import Connection, Row

NAMED_MAX = 5


def reasons(db: Connection, row: Row) -> tuple[Reason, ...]:
    """Return what keeps the waiting job of a row of table job from being looked at."""
    before = db.execute("SELECT before_id FROM job_after WHERE job_id = ?", (row["id"],)).fetchall()
    works = db.execute("SELECT work FROM sim_gate WHERE job_id = ? ORDER BY work", (row["id"],)).fetchall()
    total = len(job_pb2.Job.FromString(row["spec"]).after) if before else 0
    return reasons_of(db, [each["before_id"] for each in before], total, [each["work"] for each in works])


def reasons_of(db: Connection, before: Sequence[int], total: int, works: Sequence[str]) -> tuple[Reason, ...]:
    """Return what keeps a job from being looked at.

    before: Jobs that must succeed first and have not yet, of `total`. works: What has yet to pass in simulation.
    """
    return (*_dependency(db, before, total), *_sim_first(db, works))


def _dependency(db: Connection, before: Sequence[int], total: int) -> list[Reason]:
    if not before:
        return []
    named = sorted(before)[:NAMED_MAX]
    waited = db.execute(
        f"SELECT vendor, uid, state FROM job WHERE id IN ({','.join('?' * len(named))}) ORDER BY id", named
    ).fetchall()
    listed = [f"{names.job(each['vendor'], each['uid'])} ({JobState(each['state']).name.lower()})" for each in waited]
    if len(before) > len(listed):
        listed.append(f"and {len(before) - len(listed)} more")
    message = f"{len(before)} of {total} jobs that come first have not succeeded yet: {', '.join(listed)}"
    return [Reason("DEPENDENCY", message, total, total, total - len(before), "wait until they have succeeded")]


def _sim_first(db: Connection, works: Sequence[str]) -> list[Reason]:
    if not works:
        return []
    success_min = db.execute("SELECT sim_first_success_min FROM venue").fetchone()[0]
    message = f"has not passed in simulation yet: {'; '.join(works)}"
    fix = (
        "submit the same work with sim slots instead of units; it passes when the lower end of the 95 % interval of "
        f"its success rate is {success_min:.0%} or more"
    )
    return [Reason("SIM_FIRST", message, requested=len(works), fix=fix)]
