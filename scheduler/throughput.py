"""How fast which work runs on which robots, measured on finished attempts.

Work of one type (collecting with one motion or policy, training or evaluating one task) is counted in its own pieces:
sealed episodes, training iterations, evaluated trials. The speed is pieces per thing-hour, over units of one robot
class or, for work without units, over sim slots (class ""). Gangs of several classes tell nothing about one and are
left out.
"""

from collections import defaultdict

from palaestra.v1 import job_pb2
from scheduler.lifecycle import AttemptState
from scheduler.sql import Connection, Row

Key = tuple[str, str]
HOUR_NS = 3_600_000_000_000


def type_of(spec: job_pb2.Job) -> str:
    """Return the type of a job's work, such as "train reach"; every other job of it runs alike."""
    kind = spec.WhichOneof("work") or ""
    work = getattr(spec, kind) if kind else None
    if isinstance(work, (job_pb2.CollectSpec, job_pb2.EvaluateSpec)) and work.scenario:
        return f"{kind} {work.scenario}"
    if kind == "collect":
        assert isinstance(work, job_pb2.CollectSpec)
        return f"collect {work.motion or 'policy'}"
    return f"{kind} {getattr(work, 'task', '')}".strip()


def measured(db: Connection, since_ns: int = 0) -> dict[Key, float]:
    """Return pieces per thing-hour by (type of work, robot class), from attempts that ended well since a moment."""
    pieces: defaultdict[Key, float] = defaultdict(float)
    things_ns: defaultdict[Key, int] = defaultdict(int)
    rows = db.execute(
        """
        SELECT a.number, a.start_ns, a.end_ns, j.spec, j.result, count(x.unit) AS units,
          min(u.robot_class) AS one, max(u.robot_class) AS other,
          (SELECT count(*) FROM episode e WHERE e.job_id = a.job_id AND e.attempt = a.number) AS episodes,
          (SELECT count(*) FROM lease_slot s WHERE s.lease_id = a.lease_id) AS slots
        FROM attempt a JOIN job j ON j.id = a.job_id
        LEFT JOIN lease_unit x ON x.lease_id = a.lease_id LEFT JOIN unit u ON u.id = x.unit
        WHERE a.state = ? AND a.start_ns IS NOT NULL AND a.end_ns > a.start_ns AND a.end_ns >= ?
        GROUP BY a.job_id, a.number, j.id
        """,
        (AttemptState.SUCCEEDED, since_ns),
    )
    for row in rows:
        spec = job_pb2.Job.FromString(row["spec"])
        count = _pieces(spec, row)
        if row["one"] != row["other"] or not count:
            continue
        key = type_of(spec), row["one"] or ""
        pieces[key] += count
        things_ns[key] += (row["end_ns"] - row["start_ns"]) * (row["units"] or row["slots"])
    return {key: pieces[key] * HOUR_NS / things_ns[key] for key in pieces if things_ns[key]}


def _pieces(spec: job_pb2.Job, row: Row) -> int:
    """Return the pieces that an attempt made. A job that went on from a checkpoint made some of them before."""
    if spec.WhichOneof("work") == "collect":
        return int(row["episodes"])
    if row["number"] != 1 or row["result"] is None:
        return 0
    result = job_pb2.JobResult.FromString(row["result"])
    return len(result.return_curve) if spec.WhichOneof("work") == "train" else result.trials
