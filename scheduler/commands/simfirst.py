"""The gate of simulation first: work reaches units only after the same work has passed in sim slots."""

from palaestra.errors import PalaestraError
from palaestra.v1 import job_pb2
from scheduler import names, resources, snapshot
from scheduler.contradiction import has_units
from scheduler.matching import matches
from scheduler.simulation import success_low, work_in_slots, works_on_units
from scheduler.sql import Connection, Row
from scheduler.writer import Command, Transaction


def apply(*, every_job: bool, success_min: float) -> Command[None]:
    """Return the command that makes the venue's gate as configured, also for the jobs that have not ended.

    Args:
        every_job: Whether jobs that do not ask for the gate pass it too.
        success_min: The least lower end of the 95 % interval of the success rate that counts as passed.
    """

    def command(tx: Transaction) -> None:
        changed = tx.db.execute(
            """
            UPDATE venue SET sim_first = ?, sim_first_success_min = ?
            WHERE (sim_first, sim_first_success_min) != (?, ?)
            """,
            (every_job, success_min, every_job, success_min),
        ).rowcount
        if not changed:
            return
        tx.db.execute("DELETE FROM sim_gate")
        tx.db.execute("UPDATE job SET open_gates = 0 WHERE open_gates > 0")
        for row in tx.db.execute("SELECT id, vendor, spec FROM job WHERE state IN (1, 2, 3)").fetchall():
            spec = job_pb2.Job.FromString(row["spec"])
            if has_units(spec) and (spec.sim_first or every_job):
                works = works_on_units(spec, _model_of(tx.db))
                # It was accepted without naming models: all that it might be granted must have passed.
                works = works_on_units(_with_models(tx, spec), _model_of(tx.db)) if works is None else works
                opened = _not_passed(tx.db, row["vendor"], works or frozenset())
                close(tx, row["id"], row["vendor"], opened)
                tx.db.execute("UPDATE job SET open_gates = ? WHERE id = ?", (len(opened), row["id"]))
        tx.wants_cycle = True

    return command


def holds_for_every_job(db: Connection) -> bool:
    """Whether jobs that do not ask for the gate pass it too."""
    return bool(db.execute("SELECT sim_first FROM venue").fetchone()[0])


def closed_gates(db: Connection, vendor: str, spec: job_pb2.Job) -> tuple[str, ...]:
    """Return the works that have yet to pass in simulation before a new job with units may reach them.

    Raises INVALID_FIELD if the job does not say which robot models it asks for.
    """
    works = works_on_units(spec, _model_of(db))
    if works is None:
        who = "sim_first" if spec.sim_first else "this venue's rule that work passes in simulation first"
        problem = f"{who} needs a robot_model, or the name of a unit, in every request for units"
        raise PalaestraError(
            "INVALID_FIELD", f"job.claim.units: {problem}", metadata={"field": "job.claim.units", "rule": problem}
        )
    return _not_passed(db, vendor, works)


def close(tx: Transaction, job_id: int, vendor: str, works: tuple[str, ...]) -> None:
    """Remember what a job waits for; its row must hold their number as open_gates."""
    if not works:
        return
    tx.db.executemany(
        "INSERT INTO sim_gate (job_id, vendor, work) VALUES (?, ?, ?)", [(job_id, vendor, work) for work in works]
    )


def job_succeeded(tx: Transaction, job: Row, lease_id: int, result: job_pb2.JobResult | None) -> None:
    """Remember how the work went if it ran without units, and let the jobs start that waited for it to pass."""
    db = tx.db
    if db.execute("SELECT 1 FROM lease_unit WHERE lease_id = ? LIMIT 1", (lease_id,)).fetchone() is not None:
        return
    spec = job_pb2.Job.FromString(job["spec"])
    work, low = work_in_slots(spec), _success_low(job, spec, result)
    db.execute(
        """
        INSERT INTO sim_result (vendor, work, success_low, job_id) VALUES (?, ?, ?, ?)
        ON CONFLICT (vendor, work) DO UPDATE SET success_low = excluded.success_low, job_id = excluded.job_id
          WHERE excluded.success_low > sim_result.success_low
        """,
        (job["vendor"], work, low, job["id"]),
    )
    if low < _success_min(db):
        return
    db.execute(
        """
        UPDATE job SET open_gates = open_gates - 1
        WHERE id IN (SELECT job_id FROM sim_gate WHERE vendor = ? AND work = ?)
        """,
        (job["vendor"], work),
    )
    db.execute("DELETE FROM sim_gate WHERE vendor = ? AND work = ?", (job["vendor"], work))
    tx.wants_cycle = True


def _success_low(job: Row, spec: job_pb2.Job, result: job_pb2.JobResult | None) -> float:
    kind = spec.WhichOneof("work")
    if kind == "train":
        # Nothing is counted in it, and it drives no unit: that it succeeded is all there is to ask for.
        return 1.0
    if kind == "evaluate":
        return success_low(result.successes, result.trials) if result is not None else 0.0
    successes = job["episode_success_count"]
    return success_low(successes, successes + job["episode_failure_count"])


def _success_min(db: Connection) -> float:
    found: float = db.execute("SELECT sim_first_success_min FROM venue").fetchone()[0]
    return found


def _not_passed(db: Connection, vendor: str, works: frozenset[str]) -> tuple[str, ...]:
    success_min = _success_min(db)
    passed = "SELECT 1 FROM sim_result WHERE vendor = ? AND work = ? AND success_low >= ?"
    return tuple(work for work in sorted(works) if not db.execute(passed, (vendor, work, success_min)).fetchone())


def _model_of(db: Connection) -> dict[str, str]:
    venue = resources.venue_id(db)
    return {names.unit(venue, row["id"]): row["robot_model"] for row in db.execute("SELECT id, robot_model FROM unit")}


def _with_models(tx: Transaction, spec: job_pb2.Job) -> job_pb2.Job:
    """Return the job with a request for each model that its requests match now."""
    units = snapshot.units(tx.db)
    named = job_pb2.Job()
    named.CopyFrom(spec)
    del named.claim.alternatives[:]
    del named.claim.units[:]
    claim = snapshot.claim_of(spec.claim)
    for request in (request for each in (claim, *claim.alternatives) for request in each.units):
        fitting = {unit.robot_model for unit in units if matches(request, unit)}
        # A unit that matches nothing yet may do so once its host tells what it is.
        for model in sorted(fitting or {unit.robot_model for unit in units}):
            named.claim.units.add().selector.robot_model = model
    return named
