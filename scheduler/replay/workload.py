"""What is replayed: jobs with when they came, what they asked for and how long they took, and the machine for them."""

from dataclasses import dataclass, replace

from scheduler.state import Claim, Job, State, Unnamed

SECOND_NS = 1_000_000_000
# Whose jobs those of a log are, where its users are not taken for vendors.
OWNER = "log"


class BadTrace(Exception):
    """A log that cannot be replayed; the message names file, line and value."""


@dataclass(frozen=True, slots=True)
class TraceJob:
    """A job of a log. `run_s` is what it took, at most `requested_s`, what was asked for.

    `procs` is its size: sim slots, unless `claim` says more. `vendor` is whose turn it takes.
    """

    job_id: int
    submit_s: float
    run_s: float
    procs: int
    requested_s: float
    user: str = ""
    claim: Claim | None = None
    vendor: str = OWNER
    priority: int = 0
    # What it really waited, if that is to be compared.
    recorded_wait_s: float | None = None

    def waiting(self, index: int) -> Job:
        """Return it as a job that waits, by its place in the workload."""
        claim = self.claim or Claim(sim_slots=self.procs, duration_s=float(self.requested_s))
        return Job(index, self.vendor, claim, self.priority, round(self.submit_s * SECOND_NS))


@dataclass(frozen=True, slots=True)
class Workload:
    """Jobs by time of submission, then id; what could not be used is only counted.

    `procs` is the size of the machine in whatever a job's size is counted in. `venue` is the machine itself, with
    nothing running; without it, it is that many like sim slots.
    """

    procs: int
    jobs: tuple[TraceJob, ...]
    dropped: int = 0
    venue: State | None = None

    @property
    def ground(self) -> State:
        """The empty machine as deciding sees it."""
        return self.venue or State(0, unnamed=Unnamed(self.procs))

    def of_users(self) -> "Workload":
        """Return the same jobs, each user of the log a vendor of equal weight."""
        return replace(self, jobs=tuple(replace(job, vendor=job.user or "unknown") for job in self.jobs))
