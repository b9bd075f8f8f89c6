"""What a runner reports of its attempts."""

from collections.abc import Sequence

from palaestra import ids
from palaestra.errors import PalaestraError
from palaestra.v1 import episode_pb2, job_pb2, runner_service_pb2
from scheduler import events, names, resources
from scheduler.commands.ending import PREEMPTED, end_attempt, failure, made_room
from scheduler.lifecycle import AttemptState, JobState, LeaseState, Step, advance_attempt, advance_job, advance_lease
from scheduler.sql import Row, portions
from scheduler.writer import Command, Transaction

LOG_LINES_MAX = 100_000
OUTCOMES: dict[int, Step] = {
    AttemptState.SUCCEEDED: Step.SUCCEED,
    AttemptState.FAILED: Step.FAIL,
    AttemptState.CANCELLED: Step.CANCELLED,
    AttemptState.LOST: Step.LOSE,
}


def find(tx: Transaction, name: str) -> Row:
    """Return the attempt of that name with its job's vendor. Raises NOT_FOUND."""
    vendor, uid, number = names.attempt_parts(name)
    row: Row | None = tx.db.execute(
        """
        SELECT a.*, j.uid AS job_uid, j.vendor, j.state AS job_state FROM attempt a JOIN job j ON j.id = a.job_id
        WHERE j.uid = ? AND j.vendor = ? AND a.number = ?
        """,
        (uid, vendor, number),
    ).fetchone()
    if row is None:
        raise PalaestraError("NOT_FOUND", f"attempt {name} not found")
    return row


def _owned(tx: Transaction, name: str, instance: str) -> Row:
    """Return an attempt that is running under this runner instance. Raises ATTEMPT_NOT_ACTIVE otherwise."""
    row = find(tx, name)
    if row["state"] != AttemptState.RUNNING or row["instance"] != instance:
        state = AttemptState(row["state"]).name.lower()
        raise PalaestraError("ATTEMPT_NOT_ACTIVE", f"{name} is {state} and not in the hands of instance {instance}")
    return row


def start(name: str, instance: str) -> Command[None]:
    """Return the command that takes a granted attempt into a runner's hands. Repeats change nothing."""

    def command(tx: Transaction) -> None:
        row = find(tx, name)
        if row["state"] == AttemptState.RUNNING and row["instance"] == instance:
            return
        state = advance_attempt(AttemptState(row["state"]), Step.START)
        job_state = JobState(row["job_state"])
        tx.db.execute(
            "UPDATE attempt SET state = ?, instance = ?, start_ns = ? WHERE job_id = ? AND number = ?",
            (state, instance, tx.now_ns, row["job_id"], row["number"]),
        )
        lease = tx.db.execute("SELECT state FROM lease WHERE id = ?", (row["lease_id"],)).fetchone()
        tx.db.execute(
            "UPDATE lease SET state = ? WHERE id = ?",
            (advance_lease(LeaseState(lease["state"]), Step.START), row["lease_id"]),
        )
        # A job that is being cancelled already stays so; the runner learns of it with its next assignment.
        if job_state is not JobState.CANCELLING:
            tx.db.execute(
                "UPDATE job SET state = ?, start_ns = coalesce(start_ns, ?) WHERE id = ?",
                (advance_job(job_state, Step.START), tx.now_ns, row["job_id"]),
            )
        events.lease_changed(tx, row["lease_id"], "lease.started")
        events.job_changed(tx, row["job_id"], "job.started", "")

    return command


def heartbeat(request: runner_service_pb2.HeartbeatAttemptsRequest, lease_ttl_s: float) -> Command[list[str]]:
    """Return the command that extends leases; it answers with the attempts that must stop."""

    def command(tx: Transaction) -> list[str]:
        rows = _running(tx, [beat.attempt for beat in request.attempts], request.instance)
        leases = [row["lease_id"] for row in rows.values()]
        expire_ns = tx.now_ns + int(lease_ttl_s * 1e9)
        for some, text in portions(leases):
            tx.db.execute(
                f"UPDATE lease SET expire_ns = min(max(expire_ns, ?), end_by_ns) WHERE id IN {text}", (expire_ns, *some)
            )
        stop = []
        for beat in request.attempts:
            row = rows.get(beat.attempt)
            if row is None or row["cancel_ns"] is not None or row["preempt_ns"] is not None:
                stop.append(beat.attempt)
            if row is not None and beat.HasField("progress"):
                _progress(tx, row["job_id"], beat.progress)
        return stop

    return command


def _running(tx: Transaction, attempts: Sequence[str], instance: str) -> dict[str, Row]:
    """Return those of the attempts, by name, that run under a runner's instance: by few statements for all."""
    uids = list({names.attempt_parts(name)[1] for name in attempts})
    found = {}
    for some, text in portions(uids):
        query = f"""
        SELECT a.*, j.uid AS job_uid, j.vendor FROM job j JOIN attempt a ON a.job_id = j.id
        WHERE j.uid IN {text} AND a.state = ? AND a.instance = ?
        """
        for row in tx.db.execute(query, (*some, int(AttemptState.RUNNING), instance)):
            found[names.attempt(row["vendor"], row["job_uid"], row["number"])] = row
    return {name: found[name] for name in attempts if name in found}


def _progress(tx: Transaction, job_id: int, progress: job_pb2.JobProgress) -> None:
    body = progress.SerializeToString(deterministic=True)
    before = tx.db.execute("SELECT progress FROM job WHERE id = ?", (job_id,)).fetchone()["progress"]
    if body == before:
        return
    tx.db.execute("UPDATE job SET progress = ? WHERE id = ?", (body, job_id))
    events.job_changed(tx, job_id, "job.progress", progress.message)


def append_log(name: str, lines: list[str]) -> Command[None]:
    """Return the command that appends lines to a job's log, up to a bound."""

    def command(tx: Transaction) -> None:
        row = find(tx, name)
        count = tx.db.execute("SELECT log_lines FROM job WHERE id = ?", (row["job_id"],)).fetchone()["log_lines"]
        kept = lines[: LOG_LINES_MAX - count]
        tx.db.executemany(
            "INSERT INTO log (job_id, line, attempt, time_ns, text) VALUES (?, ?, ?, ?, ?)",
            [(row["job_id"], count + 1 + index, row["number"], tx.now_ns, text) for index, text in enumerate(kept)],
        )
        tx.db.execute("UPDATE job SET log_lines = ? WHERE id = ?", (count + len(kept), row["job_id"]))

    return command


def catalogue(
    request: runner_service_pb2.CatalogueEpisodeRequest, refusal: PalaestraError | None = None
) -> Command[episode_pb2.Episode]:
    """Return the command that enters a sealed episode, with the job's event, once for each (attempt, index).

    One that was recovered comes in whatever has become of its attempt, and is not counted with the job's. `refusal`:
    why there is no room for it, if it is not there already.
    """

    def command(tx: Transaction) -> episode_pb2.Episode:
        row = find(tx, request.attempt)
        key = (row["job_id"], row["number"], request.episode.index)
        earlier = tx.db.execute("SELECT * FROM episode WHERE job_id = ? AND attempt = ? AND number = ?", key).fetchone()
        if earlier is not None:
            return resources.episode(earlier)
        if refusal is not None:
            raise refusal
        if not (request.recovered and row["instance"]):
            # Nothing can be left of what nobody has begun.
            row = _owned(tx, request.attempt, request.instance)
        uid = ids.new_id()
        body = episode_pb2.Episode()
        body.CopyFrom(request.episode)
        body.name = names.episode(row["vendor"], uid)
        body.job = names.job(row["vendor"], row["job_uid"])
        body.attempt = request.attempt
        sealed = resources.timestamp(tx.now_ns)
        assert sealed is not None
        body.seal_time.CopyFrom(sealed)
        tx.db.execute(
            """
            INSERT INTO episode (uid, vendor, job_id, attempt, number, robot_model, seal_ns, body)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            """,
            (uid, row["vendor"], *key, body.robot_model, tx.now_ns, body.SerializeToString(deterministic=True)),
        )
        events.episode_sealed(tx, body, row["vendor"])
        if request.recovered:
            # The job has gone on without it: what it still has to record does not change behind its back.
            return body
        tx.db.execute(
            """
            UPDATE job SET episode_count = episode_count + 1, episode_success_count = episode_success_count + ?,
              episode_failure_count = episode_failure_count + ? WHERE id = ?
            """,
            (
                body.outcome == episode_pb2.EPISODE_OUTCOME_SUCCESS,
                body.outcome == episode_pb2.EPISODE_OUTCOME_FAILURE,
                row["job_id"],
            ),
        )
        _safe(tx, row)
        events.job_changed(tx, row["job_id"], "job.episode", "")
        return body

    return command


def save_checkpoint(name: str, instance: str, checkpoint: job_pb2.Artifact) -> Command[None]:
    """Return the command that remembers where a later attempt may go on."""

    def command(tx: Transaction) -> None:
        row = _owned(tx, name, instance)
        tx.db.execute("UPDATE job SET checkpoint = ? WHERE id = ?", (checkpoint.SerializeToString(), row["job_id"]))
        _safe(tx, row)

    return command


def _safe(tx: Transaction, attempt: Row) -> None:
    """Note that nothing done so far would be lost if the attempt ended now."""
    tx.db.execute(
        "UPDATE attempt SET safe_ns = ? WHERE job_id = ? AND number = ?",
        (tx.now_ns, attempt["job_id"], attempt["number"]),
    )


def finish(request: runner_service_pb2.FinishAttemptRequest) -> Command[None]:
    """Return the command that ends an attempt. A repeat changes nothing; another end than the first is refused."""

    def command(tx: Transaction) -> None:
        step = OUTCOMES.get(request.outcome)
        if step is None:
            raise _outcome(f"{request.outcome} is no end of an attempt")
        row = find(tx, request.attempt)
        # A repeat; one that made room says CANCELLED and was written down as FAILED.
        ends = {row["state"], AttemptState.CANCELLED if row["refund"] == PREEMPTED else row["state"]}
        if AttemptState(row["state"]).ended and request.outcome in ends and row["instance"] == request.instance:
            return
        row = _owned(tx, request.attempt, request.instance)
        told = request.failure if request.HasField("failure") else None
        if step is Step.CANCELLED and row["cancel_ns"] is None:
            if row["preempt_ns"] is None:
                raise _outcome("nobody asked for the end of this attempt")
            # The runner stops alike for both; whose wish it was is for us to know.
            step, told = Step.FAIL, made_room()
        elif told is not None and told.reason == PREEMPTED and row["preempt_ns"] is None:
            raise _outcome("nobody asked this attempt to make room")
        end_attempt(
            tx,
            row,
            step,
            failure=told,
            result=request.result if request.HasField("result") else None,
        )

    return command


def _outcome(problem: str) -> PalaestraError:
    return PalaestraError("INVALID_FIELD", f"outcome: {problem}", metadata={"field": "outcome", "rule": problem})


def register_runner(runner: str, instance: str, sim_slots: int) -> Command[None]:
    """Return the command that makes the inventory follow a runner and gives up attempts of its earlier instances."""

    def command(tx: Transaction) -> None:
        wanted = [f"{runner}-{index}" for index in range(sim_slots)]
        present = {row["id"] for row in tx.db.execute("SELECT id FROM sim_slot WHERE runner = ?", (runner,))}
        for slot in sorted(present - set(wanted)):
            tx.db.execute("DELETE FROM sim_slot WHERE id = ?", (slot,))
        new = [slot for slot in wanted if slot not in present]
        tx.db.executemany("INSERT INTO sim_slot (id, runner) VALUES (?, ?)", [(slot, runner) for slot in new])
        events.slots_changed(tx, new, "sim_slot.registered")
        orphans = tx.db.execute(
            # Not LIKE, for which an underscore in a name is any letter; "0" is what comes after "/".
            "SELECT * FROM attempt WHERE state = ? AND instance > ? AND instance < ? AND instance != ?",
            (AttemptState.RUNNING, f"{runner}/", f"{runner}0", instance),
        ).fetchall()
        for orphan in orphans:
            message = "the runner was restarted while the attempt ran"
            end_attempt(tx, orphan, Step.LOSE, failure=failure("RUNNER_LOST", message, retryable=True))
        tx.wants_cycle = True

    return command
