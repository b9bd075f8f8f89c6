"""Virtual time: every submission and every end asks `decide`, as in a venue, and nothing else happens.

Rules of ties, as in the published replays of EASY backfilling that this one is compared with (docs/replay.md): events
one at a time; at one instant submissions before ends, submissions in the order of ids, ends in the order of ids; a job
whose planned end has come counts as ended even while its end waits its turn; a submission asks for decisions only if
the new job itself would fit now, for nothing else has changed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush

from scheduler.decide import decide
from scheduler.option import SLOTS
from scheduler.replay.workload import TraceJob, Workload
from scheduler.standing import Standing
from scheduler.state import Claim, Config, Job, State, Unnamed, Vendor

SECOND_NS = 1_000_000_000
# All jobs of a log stand in one vendor's queue: logs tell users, but no shares among them.
OWNER = Vendor("log")
PROGRESS_EVENTS = 2_000


@dataclass(slots=True)
class _Running:
    job: TraceJob
    planned_end_ns: int


def simulate(
    workload: Workload, config: Config, progress: Callable[[float], None] = lambda done: None
) -> tuple[int, ...]:
    """Return the wait of each job of the workload [s], in its order. `progress` hears the share of ended jobs."""
    jobs = workload.jobs
    standing = Standing(State(0, vendors=(OWNER,), unnamed=Unnamed(workload.procs)))
    running: dict[int, _Running] = {}
    ends: list[tuple[int, int, int]] = []
    waits_s = [0] * len(jobs)
    submitted = ended = 0

    def cycle(now_s: int) -> None:
        now_ns = now_s * SECOND_NS
        busy = [(run.planned_end_ns, run.job.procs) for run in running.values() if run.planned_end_ns > now_ns]
        standing.floor.set_pool(SLOTS, busy)
        for grant in decide(standing, now_ns, config).grants:
            job = jobs[grant.job]
            standing.withdraw(grant.job)
            waits_s[grant.job] = now_s - job.submit_s
            running[grant.job] = _Running(job, (now_s + job.requested_s) * SECOND_NS)
            heappush(ends, (now_s + job.run_s, job.job_id, grant.job))

    def free_procs(now_s: int) -> int:
        now_ns = now_s * SECOND_NS
        return workload.procs - sum(run.job.procs for run in running.values() if run.planned_end_ns > now_ns)

    while submitted < len(jobs) or ends:
        if submitted < len(jobs) and (not ends or jobs[submitted].submit_s <= ends[0][0]):
            job = jobs[submitted]
            claim = Claim(sim_slots=job.procs, duration_s=float(job.requested_s))
            standing.submit(Job(submitted, OWNER.vendor, claim, create_ns=job.submit_s * SECOND_NS))
            submitted += 1
            if job.procs <= free_procs(job.submit_s):
                cycle(job.submit_s)
        else:
            now_s, _, index = heappop(ends)
            del running[index]
            ended += 1
            if standing.queue:
                cycle(now_s)
        if (submitted + ended) % PROGRESS_EVENTS == 0:
            progress(ended / len(jobs))
    assert not standing.queue, "every job fits the machine, so every job has run"
    return tuple(waits_s)
