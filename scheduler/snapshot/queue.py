"""Waiting jobs and their claims."""

import sqlite3
from functools import lru_cache

from palaestra.v1 import claim_pb2, job_pb2
from scheduler import names
from scheduler.lifecycle import JobState
from scheduler.state import CellRequest, Claim, Job, UnitRequest

# Jobs per vendor or project that one decision looks at; the others wait for their turn unseen.
LOOK_AHEAD = 256


def claim_of(message: claim_pb2.Claim) -> Claim:
    """Return the claim of a message, with short names and counts of zero read as one."""
    units = tuple(
        UnitRequest(
            count=request.count or 1,
            robot_class=request.selector.robot_class,
            maker=request.selector.maker,
            robot_model=request.selector.robot_model,
            unit=names.parts(request.selector.unit)[1] if request.selector.unit else "",
            labels=tuple(sorted(request.selector.labels.items())),
        )
        for request in message.units
    )
    cell = None
    if message.HasField("cell"):
        short = names.parts(message.cell.cell)[1] if message.cell.cell else ""
        cell = CellRequest(short, message.cell.scenario, message.cell.level)
    duration_s = message.duration.seconds + message.duration.nanos / 1e9
    return Claim(units, message.sim_slots, cell, duration_s)


def jobs(db: sqlite3.Connection, now_ns: int) -> tuple[Job, ...]:
    """Return the waiting jobs of every vendor and project, as far as deciding looks."""
    jobs = []
    for leaf, vendor in db.execute("SELECT id, vendor FROM party WHERE leaf = 1").fetchall():
        rows = db.execute(
            """
            SELECT id, leaf, priority, create_ns, spec FROM job
            WHERE vendor = ? AND leaf = ? AND state = 1 AND not_before_ns <= ? ORDER BY priority DESC, id LIMIT ?
            """,
            (vendor, leaf, now_ns, LOOK_AHEAD),
        )
        jobs += [job_of(row) for row in rows]
    return tuple(jobs)


def job_of(row: sqlite3.Row) -> Job:
    """Return the waiting job of a row with id, leaf, priority, create_ns and spec."""
    return Job(row["id"], row["leaf"], _claim_in(row["spec"]), row["priority"], row["create_ns"])


@lru_cache(maxsize=4096)
def _claim_in(spec: bytes) -> Claim:
    """Claims never change, and many jobs ask for the same: parse each once."""
    return claim_of(job_pb2.Job.FromString(spec).claim)


assert JobState.QUEUED.value == 1, "the SQL above and the partial index of the schema say state = 1"
