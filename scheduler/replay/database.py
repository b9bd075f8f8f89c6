"""A venue's own past as a log: its database, read while the venue runs or after it.

Every job that held a lease comes as it came then, with its claim, vendor and priority, and takes as long as its leases
took together, at most what its claim says. The venue is the one of now, with everything idle and in order. A job that
never held a lease, still holds one or could not run in an idle venue, because what it named is gone, is left out.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from database.address import Place
from palaestra.v1 import job_pb2
from scheduler import snapshot
from scheduler.commands import recording
from scheduler.database import REVISION, must_exist, open_reader, refusal, revision
from scheduler.decay import HALF_LIFE_S
from scheduler.ground import Ground, decide_on
from scheduler.replay.workload import SECOND_NS, BadTrace, TraceJob, Workload
from scheduler.sql import ERRORS, Connection
from scheduler.state import Claim, Config, Job, State, Unnamed
from scheduler.token import BadBytes, pack_decisions

MAGIC = b"SQLite format 3\0"


def is_database(place: Place) -> bool:
    """Whether the place is a database, or a file that is one. Raises OSError."""
    if not isinstance(place, Path):
        return True
    with place.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read(place: Place) -> Workload:
    """Return the past of a venue as a workload. Raises BadTrace."""
    db = _open(place)
    try:
        venue = _idle(snapshot.load(db, 0, runner_ready=True))
        rows = db.execute(
            """
            SELECT j.id, j.vendor, j.priority, j.create_ns, j.grant_ns, j.spec, j.state,
              sum(l.end_ns - l.grant_ns) AS run_ns, count(*) FILTER (WHERE l.end_ns IS NULL) AS running
            FROM job j LEFT JOIN lease l ON l.job_id = j.id GROUP BY j.id ORDER BY j.create_ns, j.id
            """
        ).fetchall()
    except ERRORS as error:
        raise BadTrace(f"{place}: {error}") from error
    finally:
        db.close()
    jobs: list[TraceJob] = []
    possible: dict[tuple[str, Claim], bool] = {}
    for row in rows:
        claim = snapshot.claim_of(job_pb2.Job.FromString(row["spec"]).claim)
        key = row["vendor"], claim
        if key not in possible:
            possible[key] = _possible(venue, *key)
        if row["run_ns"] is None or row["running"] or not possible[key]:
            continue
        jobs.append(
            TraceJob(
                job_id=row["id"],
                submit_s=(row["create_ns"] - rows[0]["create_ns"]) / SECOND_NS,
                run_s=min(row["run_ns"] / SECOND_NS, claim.duration_s),
                procs=sum(request.count for request in claim.units) + claim.sim_slots,
                requested_s=claim.duration_s,
                user=row["vendor"],
                claim=claim,
                vendor=row["vendor"],
                priority=row["priority"],
                recorded_wait_s=(row["grant_ns"] - row["create_ns"]) / SECOND_NS,
            )
        )
    if not jobs:
        raise BadTrace(f"{place}: no job that has held a lease")
    size = len(venue.units) + len(venue.slots)
    return Workload(size, tuple(jobs), len(rows) - len(jobs), venue)


@dataclass(frozen=True, slots=True)
class Again:
    """A decision made again: `same` if to the byte what it was."""

    recorded: recording.Recorded
    state: State
    config: Config
    decisions: bytes

    @property
    def same(self) -> bool:
        return self.decisions == self.recorded.decisions


def decide_again(place: Place, token: str) -> Again:
    """Make the decision of a token once more. Raises BadTrace if it is not kept or another version has made it."""
    db = _open(place)
    try:
        recorded = recording.find(db, token)
    except (*ERRORS, BadBytes) as error:
        raise BadTrace(f"{place}: {error}") from error
    finally:
        db.close()
    if recorded is None:
        raise BadTrace(
            f"{place}: no decision {token!r} is kept; the latest {recording.KEPT:,} that granted something are"
        )
    try:
        state, config = recorded.made_on()
    except BadBytes as error:
        raise BadTrace(f"{place}: decision {token}: {error}") from error
    return Again(recorded, state, config, pack_decisions(decide_on(state, config)))


def _open(place: Place) -> Connection:
    try:
        must_exist(place)
        db = open_reader(place)
        found = revision(db)
    except (FileNotFoundError, *ERRORS) as error:
        raise BadTrace(f"{place}: {error}") from error
    if found != REVISION:
        db.close()
        raise BadTrace(refusal(place, found or None))
    return db


def _idle(state: State) -> State:
    """Return the venue with nothing running or waiting, everything in order and nothing used before."""
    return replace(
        state,
        units=tuple(replace(u, free=True, usable=True, end_ns=None, ready_ns=0) for u in state.units),
        slots=tuple(replace(slot, free=True, end_ns=None) for slot in state.slots),
        cells=tuple(replace(cell, free=True, end_ns=None) for cell in state.cells),
        vendors=tuple(
            replace(v, held_units=0, held_slots=0, held_cells=0, used_share=0.0, leases=0) for v in state.vendors
        ),
        unnamed=Unnamed(state.unnamed.count),
        seats=Unnamed(state.seats.count),
        chargers=Unnamed(state.chargers.count),
        jobs=(),
        leases=(),
        closures=(),
        bookings=(),
        preempted_ns=0,
    )


def _possible(venue: State, vendor: str, claim: Claim) -> bool:
    ground = Ground(venue, half_life_s=HALF_LIFE_S)
    ground.submit(Job(0, vendor, claim), 0)
    return bool(ground.step(0, Config()).grants)
