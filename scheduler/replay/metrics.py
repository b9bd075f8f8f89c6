"""What a replay is judged by.

Bounded slowdown of a job: max(1, (wait + run) / max(10 s, run)) (Feitelson et al., JSSPP 1997). Utilisation: processor
seconds used over processors times the time from the first submission to the last end. Jain index of n values x:
(sum x)^2 / (n sum x^2), 1 where all are equal (Jain, Chiu and Hawe 1984); here of the users' mean bounded slowdowns.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from scheduler.replay.workload import TraceJob, Workload

RUN_FLOOR_S = 10


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures of one replay. Flow time: from submission to end."""

    jobs: int
    utilisation: float
    wait_mean_s: float
    wait_p50_s: float
    wait_p95_s: float
    wait_p99_s: float
    wait_max_s: float
    bounded_slowdown_mean: float
    bounded_slowdown_max: float
    flow_mean_s: float
    flow_max_s: float
    jain_users: float


@dataclass(frozen=True, slots=True)
class UserMetrics:
    """Figures of one user's jobs. `used_proc_s`: their sizes times run times."""

    user: str
    jobs: int
    used_proc_s: float
    wait_mean_s: float
    wait_max_s: float
    bounded_slowdown_mean: float


def measure(workload: Workload, waits_s: Sequence[float]) -> Metrics:
    """Return the figures of the workload's jobs with these waits [s], in the same order."""
    jobs = workload.jobs
    pairs = list(zip(jobs, waits_s, strict=True))
    slowdowns = [bounded_slowdown(job, wait_s) for job, wait_s in pairs]
    flows_s = [wait_s + job.run_s for job, wait_s in pairs]
    first_s = min(job.submit_s for job in jobs)
    makespan_s = max(job.submit_s + flow_s for job, flow_s in zip(jobs, flows_s, strict=True)) - first_s
    ordered = sorted(waits_s)
    of_user: defaultdict[str, list[float]] = defaultdict(list)
    for job, slowdown in zip(jobs, slowdowns, strict=True):
        of_user[job.user].append(slowdown)
    return Metrics(
        jobs=len(jobs),
        utilisation=sum(job.run_s * job.procs for job in jobs) / (workload.procs * max(makespan_s, 1)),
        wait_mean_s=sum(waits_s) / len(jobs),
        wait_p50_s=percentile(ordered, 50),
        wait_p95_s=percentile(ordered, 95),
        wait_p99_s=percentile(ordered, 99),
        wait_max_s=ordered[-1],
        bounded_slowdown_mean=sum(slowdowns) / len(jobs),
        bounded_slowdown_max=max(slowdowns),
        flow_mean_s=sum(flows_s) / len(jobs),
        flow_max_s=max(flows_s),
        jain_users=jain([sum(values) / len(values) for values in of_user.values()]),
    )


def of_users(workload: Workload, waits_s: Sequence[float]) -> list[UserMetrics]:
    """Return the figures of each user of the log, the one who used most first."""
    of_user: defaultdict[str, list[tuple[TraceJob, float]]] = defaultdict(list)
    for job, wait_s in zip(workload.jobs, waits_s, strict=True):
        of_user[job.user].append((job, wait_s))
    found = [
        UserMetrics(
            user=user,
            jobs=len(pairs),
            used_proc_s=sum(job.run_s * job.procs for job, _ in pairs),
            wait_mean_s=sum(wait_s for _, wait_s in pairs) / len(pairs),
            wait_max_s=max(wait_s for _, wait_s in pairs),
            bounded_slowdown_mean=sum(bounded_slowdown(job, wait_s) for job, wait_s in pairs) / len(pairs),
        )
        for user, pairs in of_user.items()
    ]
    return sorted(found, key=lambda one: (-one.used_proc_s, one.user))


def bounded_slowdown(job: TraceJob, wait_s: float) -> float:
    """Return how many times longer than its run a job took, runs under 10 s taken as 10 s; at least 1."""
    return max(1.0, (wait_s + job.run_s) / max(RUN_FLOOR_S, job.run_s))


def jain(values: Sequence[float]) -> float:
    """Return the Jain index of values that are not negative; 1 if all are zero or there are none."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Return the smallest of the ordered values that at least so many percent do not exceed (nearest rank)."""
    return ordered[max(0, ceil(percent / 100 * len(ordered)) - 1)]
