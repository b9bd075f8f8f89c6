"""Reads who wants robots of which classes, and how fast its work runs on each."""

from collections import Counter, defaultdict

from palaestra.v1 import job_pb2
from scheduler import snapshot, throughput
from scheduler.health import VENUE_VENDOR
from scheduler.matching import matches
from scheduler.sql import Connection
from scheduler.state import Claim, Unit
from scheduler.targets.model import Problem, Tenant

# What was measured longer ago says little of the robots and the code of today.
MEMORY_S = 30 * 86_400.0


def problem(db: Connection, now_ns: int) -> Problem:
    """Return the problem of this moment: tenants are leaves with unfinished jobs that need units of one class.

    A tenant's speed on a class is the mean over its jobs of how fast work of their type runs there, relative to the
    class on which it runs fastest. Where that was never measured it counts as of middling speed, for what nobody
    tries is never known; where a job cannot run it is 0.
    """
    units = snapshot.units(db)
    by_class: defaultdict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        by_class[unit.robot_class].append(unit)
    speeds = throughput.measured(db, now_ns - int(MEMORY_S * 1e9))
    # Many jobs are alike: what counts of them is their type and what they ask for.
    wanted: defaultdict[str, Counter[bytes]] = defaultdict(Counter)
    rows = db.execute(
        "SELECT leaf, spec, count(*) FROM job WHERE state IN (1, 2, 3) AND vendor != ? GROUP BY leaf, spec",
        (VENUE_VENDOR,),
    )
    for row in rows:
        wanted[row[0]][row[1]] += row[2]
    weights = {party["id"]: party["weight"] for party in db.execute("SELECT id, weight FROM party")}
    tenants = {}
    for leaf, specs in wanted.items():
        total: defaultdict[str, float] = defaultdict(float)
        for body, count in specs.items():
            spec = job_pb2.Job.FromString(body)
            for robot_class, speed in _relative(spec, by_class, speeds).items():
                total[robot_class] += count * speed
        if total:
            tenants[leaf] = Tenant(weights[leaf], dict(total))
    return Problem({name: len(found) for name, found in by_class.items()}, tenants)


def _relative(
    spec: job_pb2.Job, by_class: dict[str, list[Unit]], speeds: dict[throughput.Key, float]
) -> dict[str, float]:
    claim = snapshot.claim_of(spec.claim)
    fit = [name for name, units in by_class.items() if _fits(claim, units)]
    kind = throughput.type_of(spec)
    known = {name: speeds[kind, name] for name in fit if (kind, name) in speeds}
    if not known:
        return dict.fromkeys(fit, 1.0)
    fastest, mean = max(known.values()), sum(known.values()) / len(known)
    return {name: known.get(name, mean) / fastest for name in fit}


def _fits(claim: Claim, units: list[Unit]) -> bool:
    """Whether the claim's units may all be of this class."""
    return bool(claim.units) and all(any(matches(request, unit) for unit in units) for request in claim.units)
