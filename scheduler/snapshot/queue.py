"""Waiting jobs and their claims."""

from collections.abc import Iterable, Iterator
from functools import lru_cache

from palaestra.v1 import claim_pb2, job_pb2
from scheduler import names
from scheduler.body import setup_of
from scheduler.lifecycle import JobState
from scheduler.queue import turn
from scheduler.sql import Connection, Row, portions
from scheduler.state import CellRequest, Claim, Job, Placement, State, UnitRequest

# Jobs per vendor or project that looking ahead considers; deciding considers all.
LOOK_AHEAD = 256
# What stands in the database for no deadline.
NO_DEADLINE_NS = 2**63 - 1
PLACEMENTS = {
    claim_pb2.PLACEMENT_TOGETHER: Placement.TOGETHER,
    claim_pb2.PLACEMENT_APART: Placement.APART,
}


def claim_of(message: claim_pb2.Claim) -> Claim:
    """Return the claim of a message, with short names and counts of zero read as one."""
    cell = None
    if message.HasField("cell"):
        short = names.parts(message.cell.cell)[1] if message.cell.cell else ""
        cell = CellRequest(short, message.cell.scenario, message.cell.level)
    return Claim(
        units=tuple(_unit_request(request) for request in message.units),
        sim_slots=message.sim_slots,
        cell=cell,
        duration_s=message.duration.seconds + message.duration.nanos / 1e9,
        seats=message.seats,
        chargers=message.chargers,
        placement=PLACEMENTS.get(message.placement, Placement.ANYWHERE),
        alternatives=tuple(claim_of(alternative) for alternative in message.alternatives),
    )


def _unit_request(message: claim_pb2.UnitRequest) -> UnitRequest:
    selector = message.selector
    return UnitRequest(
        count=message.count or 1,
        robot_class=selector.robot_class,
        maker=selector.maker,
        robot_model=selector.robot_model,
        unit=names.parts(selector.unit)[1] if selector.unit else "",
        labels=tuple(sorted(selector.labels.items())),
        count_max=message.count_max,
        joints_min=selector.joint_count_min,
        payload_min_kg=selector.payload_min_kg,
        end_effector=selector.end_effector,
        sensors=tuple(sorted(selector.sensors)),
        firmware=selector.firmware,
    )


# What may start as soon as its back-off is over.
_OPEN = "state = 1 AND open_after = 0 AND open_gates = 0"
_COLUMNS = "j.id, j.vendor, j.leaf, j.priority, j.deadline_ns, j.create_ns, j.spec, j.not_before_ns"


def jobs(db: Connection, now_ns: int) -> tuple[Job, ...]:
    """Return the first jobs of every vendor and project that may start now, as far as looking ahead goes.

    Left out are those that wait for other jobs, for a pass in simulation, or out a back-off.
    """
    jobs = []
    for leaf, vendor in db.execute("SELECT id, vendor FROM party WHERE leaf = 1").fetchall():
        rows = db.execute(
            f"""
            SELECT {_COLUMNS} FROM job j WHERE vendor = ? AND leaf = ? AND {_OPEN} AND not_before_ns <= ?
            ORDER BY priority DESC, deadline_ns, id LIMIT ?
            """,
            (vendor, leaf, now_ns, LOOK_AHEAD),
        )
        jobs += [job_of(row) for row in rows]
    return tuple(jobs)


def waiting(db: Connection, only: Iterable[int] | None = None) -> Iterator[tuple[Job, int]]:
    """Yield every job that waits for nothing but its turn, with the end (ns) of its back-off; or those among `only`."""
    query = f"""
    SELECT {_COLUMNS} FROM job j WHERE {_OPEN}
      AND EXISTS (SELECT 1 FROM party p WHERE p.id = j.leaf AND p.leaf = 1 AND p.vendor = j.vendor)
    """
    if only is None:
        rows: Iterable[Row] = db.execute(query)
    else:
        rows = _only(db, query, list(only))
    for row in rows:
        yield job_of(row), row["not_before_ns"]


def _only(db: Connection, query: str, ids: list[int]) -> Iterator[Row]:
    for some, text in portions(ids):
        yield from db.execute(f"{query} AND j.id IN {text}", some)


def job_of(row: Row) -> Job:
    """Return the waiting job of a row with id, vendor, leaf, priority, deadline_ns, create_ns and spec."""
    claim, booking, setup = _wishes(row["spec"], row["vendor"])
    deadline_ns = None if row["deadline_ns"] == NO_DEADLINE_NS else row["deadline_ns"]
    return Job(row["id"], row["leaf"], claim, row["priority"], row["create_ns"], deadline_ns, booking, setup)


def looked_at(job: Job, state: State) -> bool:
    """Whether looking ahead considers a waiting job: not if too many of its vendor or project come first."""
    return sum(turn(other) < turn(job) for other in state.jobs if other.vendor == job.vendor) < LOOK_AHEAD


def job_as_if(number: int, leaf: str, vendor: str, spec: job_pb2.Job, now_ns: int) -> Job:
    """Return what a job would be that is submitted now as the job `number`."""
    claim, booking, setup = _wishes(spec.SerializeToString(deterministic=True), vendor)
    deadline_ns = spec.deadline.ToNanoseconds() if spec.HasField("deadline") else None
    return Job(number, leaf, claim, spec.priority, now_ns, deadline_ns, booking, setup)


# What a job wants, which never changes: its claim, booking and setup.
Wishes = tuple[Claim, str, str]
# Of jobs that were admitted and have not been read since, by spec and vendor: told by who had read one like them.
_told: dict[tuple[bytes, str], Wishes] = {}
TOLD_MAX = 8192


def wishes_of(spec: bytes, vendor: str) -> Wishes:
    """Return what a job wants. spec: As it is kept."""
    job = job_pb2.Job.FromString(spec)
    booking = names.parts(job.reservation)[1] if job.reservation else ""
    return _claim_of(job.claim.SerializeToString(deterministic=True)), booking, setup_of(job, vendor)


def tell_wishes(spec: bytes, vendor: str, wishes: Wishes) -> None:
    """Spare the next one who needs it the reading of a job. wishes: What `wishes_of` would return."""
    if len(_told) >= TOLD_MAX:
        _told.clear()
    _told[spec, vendor] = wishes


def _wishes(spec: bytes, vendor: str) -> Wishes:
    return _told.pop((spec, vendor), None) or wishes_of(spec, vendor)


@lru_cache(maxsize=8192)
def _claim_of(message: bytes) -> Claim:
    """Many jobs ask for the same: read each claim once, and let them share it."""
    return claim_of(claim_pb2.Claim.FromString(message))


assert JobState.QUEUED.value == 1, "the SQL above and the partial index of the schema say state = 1"
