"""Virtual time: every submission and every end asks `decide`, as in a venue, and nothing else happens.

Rules of ties, as in the published replays of EASY backfilling that this one is compared with (docs/replay.md): events
one at a time; at one instant submissions before ends, submissions in the order of ids, ends in the order of ids; sim
slots whose planned end has come count as free even while their job's end waits its turn; the submission of a job that
asks for more slots than are free asks for no decision, for nothing else has changed.
"""

from dataclasses import dataclass
from heapq import heappop, heappush

from scheduler.decay import HALF_LIFE_S
from scheduler.ground import Ground
from scheduler.replay.workload import SECOND_NS, Workload
from scheduler.state import Config, Grant, Job, Order

PROGRESS_EVENTS = 2_000


@dataclass(frozen=True, slots=True)
class Placement:
    """When a job of a log started, and on what."""

    start_s: float
    grant: Grant


class Observer:
    """Hears what happens in a replay; jobs by their place in the workload. What it needs it overrides."""

    def submitted(self, ground: Ground, index: int, job: Job) -> None:
        """Called once the job waits, before anything is decided."""

    def started(self, index: int, now_ns: int) -> None:
        """Called when the job starts."""

    def ended(self, index: int, now_ns: int) -> None:
        """Called when the job has ended, before anything is decided."""

    def progress(self, done: float) -> None:
        """Called now and then with the share of jobs that have ended."""


def simulate(workload: Workload, config: Config, observer: Observer | None = None) -> tuple[float, ...]:
    """Return the wait of each job of the workload [s], in its order."""
    placed = place(workload, config, observer)
    return tuple(at.start_s - job.submit_s for job, at in zip(workload.jobs, placed, strict=True))


def place(workload: Workload, config: Config, observer: Observer | None = None) -> tuple[Placement, ...]:
    """Return when and where each job of the workload runs, in its order."""
    observer = observer or Observer()
    jobs = workload.jobs
    # Past use decides nothing where one vendor is alone, or where age alone counts.
    shared = config.order is Order.FAIR and len({job.vendor for job in jobs}) > 1
    ground = Ground(workload.ground, half_life_s=HALF_LIFE_S if shared else None)
    ends: list[tuple[float, int, int]] = []
    placed: dict[int, Placement] = {}
    submitted = ended = 0

    def cycle(now_s: float) -> None:
        for grant in ground.step(_ns(now_s), config).grants:
            job = jobs[grant.job]
            placed[grant.job] = Placement(now_s, grant)
            heappush(ends, (now_s + job.run_s, job.job_id, grant.job))
            observer.started(grant.job, _ns(now_s))

    while submitted < len(jobs) or ends:
        if submitted < len(jobs) and (not ends or jobs[submitted].submit_s <= ends[0][0]):
            job, now_s = jobs[submitted], jobs[submitted].submit_s
            waiting = job.waiting(submitted)
            ground.submit(waiting, _ns(now_s))
            observer.submitted(ground, submitted, waiting)
            submitted += 1
            if waiting.claim.units or waiting.claim.cell or job.procs <= ground.slots_free(_ns(now_s)):
                cycle(now_s)
        else:
            now_s, _, index = heappop(ends)
            ground.end(index, _ns(now_s))
            observer.ended(index, _ns(now_s))
            ended += 1
            if ground.waiting:
                cycle(now_s)
        if (submitted + ended) % PROGRESS_EVENTS == 0 and ended < len(jobs):
            observer.progress(ended / len(jobs))
    observer.progress(1.0)
    assert not ground.waiting, "every job fits the machine, so every job has run"
    return tuple(placed[index] for index in range(len(jobs)))


def _ns(time_s: float) -> int:
    return round(time_s * SECOND_NS)
