"""Reads the past of a venue for `fairness.metrics`: who held what for how long, and who wanted something when."""

from collections import defaultdict
from dataclasses import dataclass, field

from palaestra.v1 import job_pb2
from scheduler import snapshot, throughput, tree
from scheduler.fairness import metrics
from scheduler.fairness.metrics import Line, Report, Span
from scheduler.health import VENUE_VENDOR
from scheduler.lifecycle import JobState
from scheduler.replay.metrics import jain
from scheduler.snapshot.use import RESOURCES
from scheduler.sql import Connection


@dataclass
class _Work:
    """One job's attempts: how long it held its claim to good effect, its largest share, and on what."""

    run_s: float = 0.0
    share: float = 0.0
    robot_class: str = ""


@dataclass
class _Found:
    """By leaf: thing-seconds within the window, by resource, and the lives of jobs; by vendor: rho of its jobs."""

    used_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0, 0.0]))
    lives: dict[str, list[Span]] = field(default_factory=lambda: defaultdict(list))
    rhos: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def report(db: Connection, window: Span, now_s: float) -> Report:
    """Return the fairness of the venue over a window [s since the epoch], as far as it has passed.

    The venue's own checks count for nobody. Capacity is what the venue has now: what it had then is not kept.
    """
    window = (window[0], min(window[1], now_s))
    capacity = _capacity(db)
    found = _Found()
    work = _leases(db, window, now_s, capacity, found)
    _jobs(db, window, now_s, work, found)
    parties = snapshot.tree(db)
    entitled = metrics.entitlements(found.lives, parties, window)
    duration_s = max(0.0, window[1] - window[0])
    weights = {party.vendor: party.weight for party in parties}
    vendors = sorted({tree.vendor_of(leaf) for leaf in (*found.used_s, *found.lives)})
    lines = []
    for vendor in vendors:
        used_s = [0.0, 0.0, 0.0]
        for leaf, amounts in found.used_s.items():
            if tree.vendor_of(leaf) == vendor:
                used_s = [a + b for a, b in zip(used_s, amounts, strict=True)]
        due = sum(share for leaf, share in entitled.items() if tree.vendor_of(leaf) == vendor)
        served = metrics.service(used_s, capacity, duration_s)
        lines.append(_line(vendor, weights.get(vendor, 1.0), served, due, found.rhos[vendor]))
    wanting = [line for line in lines if line.entitlement]
    everything = [sum(amounts[place] for amounts in found.used_s.values()) for place in range(len(RESOURCES))]
    rhos = [rho for each in found.rhos.values() for rho in each]
    total = _line(
        "", sum(line.weight for line in lines), metrics.service(everything, capacity, duration_s),
        sum(line.entitlement for line in lines), rhos,
    )  # fmt: skip
    return Report(
        tuple(lines),
        total,
        jain([line.service / line.weight for line in wanting]),
        jain([line.ratio for line in wanting]),
    )


def _line(vendor: str, weight: float, served: float, due: float, rhos: list[float]) -> Line:
    if not rhos:
        return Line(vendor, weight, served, due)
    unfair = sum(rho > 1.0 for rho in rhos) / len(rhos)
    return Line(vendor, weight, served, due, len(rhos), sum(rhos) / len(rhos), max(rhos), unfair)


def _capacity(db: Connection) -> tuple[int, int, int]:
    units, slots, cells = db.execute(
        "SELECT (SELECT count(*) FROM unit), (SELECT count(*) FROM sim_slot), (SELECT count(*) FROM cell)"
    ).fetchone()
    if not slots:
        # Slots come and go with the runner; what has been leased was there.
        (slots,) = db.execute("SELECT count(DISTINCT slot) FROM lease_slot").fetchone()
    return units, slots, cells


def _leases(
    db: Connection, window: Span, now_s: float, capacity: tuple[int, int, int], found: _Found
) -> dict[int, _Work]:
    """Add up what leases held within the window; return the work of each job."""
    work: dict[int, _Work] = defaultdict(_Work)
    # By lease: the part of its attempt that counts; its things are freed one by one.
    runs: dict[int, tuple[int, float]] = {}
    for place, resource in enumerate(RESOURCES):
        rows = db.execute(
            f"""
            SELECT l.id, l.leaf, l.job_id, min(x.grant_ns) / 1e9 AS start_s, count(*) AS count,
              sum(coalesce(x.free_ns, :now) / 1e9) / count(*) AS free_s,
              CASE WHEN a.refund IS NULL THEN NULL ELSE coalesce(a.safe_ns, a.grant_ns) / 1e9 END AS safe_s,
              coalesce(a.end_ns, :now) / 1e9 AS end_s
              {", min(u.robot_class) AS robot_class" if resource == "unit" else ""}
            FROM lease l JOIN lease_{resource} x ON x.lease_id = l.id
            JOIN attempt a ON a.job_id = l.job_id AND a.number = l.attempt
            {"JOIN unit u ON u.id = x.unit" if resource == "unit" else ""}
            WHERE l.vendor != :venue GROUP BY l.id, a.job_id, a.number
            """,
            {"now": int(now_s * 1e9), "venue": VENUE_VENDOR},
        )
        for row in rows:
            # Refunded work is no service.
            until_s = row["free_s"] if row["safe_s"] is None else min(row["free_s"], row["safe_s"])
            held_s = min(until_s, window[1]) - max(row["start_s"], window[0])
            if held_s > 0:
                found.used_s[row["leaf"]][place] += row["count"] * held_s
            job = work[row["job_id"]]
            if resource == "unit":
                job.robot_class = row["robot_class"]
            if capacity[place]:
                job.share = max(job.share, row["count"] / capacity[place])
            ran_s = (row["end_s"] if row["safe_s"] is None else min(row["end_s"], row["safe_s"])) - row["start_s"]
            runs[row["id"]] = row["job_id"], max(0.0, ran_s)
    for job_id, ran_s in runs.values():
        work[job_id].run_s += ran_s
    return work


def _jobs(db: Connection, window: Span, now_s: float, work: dict[int, _Work], found: _Found) -> None:
    """Find out who wanted something when, and the finish-time fairness of jobs that succeeded in the window."""
    rows = db.execute(
        """
        SELECT id, vendor, leaf, state, create_ns / 1e9 AS start_s, coalesce(end_ns / 1e9, ?) AS end_s, spec FROM job
        WHERE create_ns < ? AND coalesce(end_ns, ?) >= ? AND vendor != ?
        """,
        (now_s, int(window[1] * 1e9), int(now_s * 1e9), int(window[0] * 1e9), VENUE_VENDOR),
    ).fetchall()
    for row in rows:
        found.lives[row["leaf"]].append((row["start_s"], row["end_s"]))
    contention = metrics.Contention([(row["start_s"], row["end_s"]) for row in rows])
    of_class = dict(db.execute("SELECT robot_class, count(*) FROM unit GROUP BY 1").fetchall())
    speeds = throughput.measured(db)
    for row in rows:
        job = work.get(row["id"])
        if row["state"] != JobState.SUCCEEDED or row["end_s"] > window[1] or job is None or not job.run_s:
            continue
        contenders = contention.mean((row["start_s"], row["end_s"]))
        alone = _alone(job, job_pb2.Job.FromString(row["spec"]), contenders, of_class, speeds)
        found.rhos[row["vendor"]].append(metrics.rho(row["end_s"] - row["start_s"], alone))


def _alone(
    job: _Work, spec: job_pb2.Job, contenders: float, of_class: dict[str, int], speeds: dict[tuple[str, str], float]
) -> dict[str, tuple[float, float]]:
    """Return (P(g), T_isolated,g) for the classes that its claim leaves open and work of its type has run on."""
    kind = throughput.type_of(spec)
    here = speeds.get((kind, job.robot_class))
    named = any(
        request.selector.robot_class or request.selector.robot_model or request.selector.unit
        for request in spec.claim.units
    )
    others = {} if named or not here else {g: v for (t, g), v in speeds.items() if t == kind and of_class.get(g)}
    if len(others) < 2:
        return {job.robot_class: (1.0, metrics.isolated_s(job.run_s, job.share, contenders))}
    assert here is not None
    units = sum(of_class[g] for g in others)
    return {
        g: (of_class[g] / units, metrics.isolated_s(job.run_s * here / speed, job.share, contenders))
        for g, speed in others.items()
    }
