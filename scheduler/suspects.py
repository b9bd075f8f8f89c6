"""On which waiting job deciding fails, or indexing before it: found by doing it again on less, so that the others need
not wait for a mend.

Deciding is pure, so that a state on which it fails can be cut down until one job is left that makes the difference: of
the jobs in order the shortest beginning that fails ends with it (bisection; for the idea see A. Zeller, R. Hildebrandt,
"Simplifying and Isolating Failure-Inducing Input", IEEE TSE 28(2), 2002). A second job with the same claim condemns the
claim, which is then what the fault is about.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from scheduler.standing import Standing
from scheduler.state import Claim, Job, State

# Jobs that are sought in one go: each costs as many decisions as the number of jobs has binary digits.
SOUGHT_MAX = 4
# After so long jobs that were set aside are tried again: much that they fail on passes.
ASIDE_NS = 600_000_000_000


@dataclass(frozen=True)
class Suspects:
    """What to leave out.

    Attributes:
        jobs: On which deciding fails, alone or with others before them.
        claims: Those of which every job is among them.
        suffice: Whether deciding succeeds without them.
    """

    jobs: tuple[Job, ...]
    claims: frozenset[Claim]
    suffice: bool


@dataclass(frozen=True)
class Barred:
    """Jobs that are not even indexed, by number and by claim."""

    jobs: frozenset[int] = frozenset()
    claims: frozenset[Claim] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.jobs or self.claims)

    def __contains__(self, job: Job) -> bool:
        # Equal claims have equal hashes, which a claim keeps; usually there is nothing to look for.
        return bool(self) and (job.job in self.jobs or job.claim in self.claims)


def suspects(state: State, decide: Callable[[Standing], object]) -> Suspects:
    """Return the jobs of a state on which deciding fails; none where it fails without any, or does not fail."""
    left: Sequence[Job] = sorted(state.jobs, key=lambda job: (job.create_ns, job.job))
    found: list[Job] = []
    claims: set[Claim] = set()
    if _fails(state, (), decide):
        return Suspects((), frozenset(), False)
    for _ in range(SOUGHT_MAX):
        if not _fails(state, left, decide):
            return Suspects(tuple(found), frozenset(claims), True)
        one = _last_straw(state, left, decide)
        if any(other.claim == one.claim for other in found):
            claims.add(one.claim)
        condemned = {job.job for job in left if job is one or job.claim in claims}
        found += [job for job in left if job.job in condemned]
        left = [job for job in left if job.job not in condemned]
    return Suspects(tuple(found), frozenset(claims), not _fails(state, left, decide))


class Aside:
    """Jobs that are left out of decisions for a while. Kept in memory: a scheduler that is started anew tries them."""

    def __init__(self) -> None:
        self._jobs: dict[int, int] = {}
        self._claims: dict[Claim, int] = {}

    def put(self, found: Suspects, now_ns: int) -> None:
        """Leave out what was found from now on."""
        self._jobs |= dict.fromkeys((job.job for job in found.jobs), now_ns + ASIDE_NS)
        self._claims |= dict.fromkeys(found.claims, now_ns + ASIDE_NS)

    def barred(self, now_ns: int) -> "Barred":
        """Return what is left out now, for those who have no standing yet."""
        self._jobs = {job: until_ns for job, until_ns in self._jobs.items() if now_ns < until_ns}
        self._claims = {claim: until_ns for claim, until_ns in self._claims.items() if now_ns < until_ns}
        return Barred(frozenset(self._jobs), frozenset(self._claims))

    def of(self, standing: Standing, now_ns: int) -> list[Job]:
        """Return the waiting jobs that are left out now."""
        if not self._jobs and not self._claims:
            return []
        jobs = standing.queue.jobs
        self._jobs = {job: until_ns for job, until_ns in self._jobs.items() if now_ns < until_ns and job in jobs}
        self._claims = {claim: until_ns for claim, until_ns in self._claims.items() if now_ns < until_ns}
        if not self._claims:
            return [jobs[job] for job in self._jobs]
        return [job for job in jobs.values() if job.job in self._jobs or job.claim in self._claims]


def _fails(state: State, jobs: Sequence[Job], decide: Callable[[Standing], object]) -> bool:
    try:
        decide(Standing.of(replace(state, jobs=tuple(jobs))))
    except Exception:
        return True
    return False


def _last_straw(state: State, jobs: Sequence[Job], decide: Callable[[Standing], object]) -> Job:
    """Return the last job of a beginning on which deciding fails, and does not without that one."""
    good, bad = 0, len(jobs)
    while bad - good > 1:
        middle = (good + bad) // 2
        if _fails(state, jobs[:middle], decide):
            bad = middle
        else:
            good = middle
    return jobs[good]
