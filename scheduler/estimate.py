"""When a waiting job will start: P50 and P90, by letting the moment's state run on many times.

Each future gives every lease, running or to come, a length drawn from what its vendor's jobs have taken of the time
they asked for, given that it has run so far; `decide` sees the time asked for alone, as in the venue. The job's starts
in all futures make its distribution. It knows nothing of jobs yet to come, and lengths of jobs hang together more than
draws do: so what was told before is compared with what came, and the told wait w of level q is stretched,

    w' = f (w + c) - c,   f = the q-quantile of (wait + c) / (told + c) over jobs of the past,

which is split conformal prediction with a ratio as its score (Vovk, Gammerman and Shafer, "Algorithmic learning in a
random world", 2005; Lei et al., JASA 2018), over a window of the past because queues are not stationary.
"""

import random
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import ceil, inf

from scheduler.ground import Ground
from scheduler.state import Config, State

# Ratios kept of each vendor and of all together, and the fewest that stand for a vendor.
KEPT, KEPT_OF_ALL, FEWEST = 200, 2_000, 20
# c above [s]: half a minute more or less is no error.
OFFSET_S = 60.0
# Pairs of told and real waits that a factor is taken from, and the fewest.
PAST, PAST_FEWEST = 200, 30
# From the order to end to the end of a preempted lease, where the state does not tell more [s].
GRACE_S = 30.0

Whose = Callable[[int, str], str]


class OutOfTime(Exception):
    """There is no more time for this future."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to compute: futures, decisions in one future, how far one looks, and where chance begins."""

    futures: int = 40
    cycles_max: int = 1_000
    horizon_s: float = 30 * 86_400.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of one job: its starts in the futures, in order, None last where it did not start within the effort.

    `planned_ns` is its start if everything takes as long as it asked for, None if it does not start so.
    """

    now_ns: int
    starts_ns: tuple[int | None, ...]
    planned_ns: int | None

    def wait_s(self, level: float) -> float | None:
        """Return the wait [s] that a share `level` of the futures does not exceed; None: nobody knows."""
        if not self.starts_ns:
            return None
        start_ns = self.starts_ns[max(0, ceil(level * len(self.starts_ns)) - 1)]
        return None if start_ns is None else (start_ns - self.now_ns) / 1e9


class Ratios:
    """What part of the time asked for jobs took, of each vendor and of all, the latest only."""

    def __init__(self, past: Iterable[tuple[str, float]] = ()) -> None:
        """Begin with (vendor, ratio) of jobs that have ended, the oldest first."""
        self._of: dict[str, _Sorted] = {}
        self._all = _Sorted(KEPT_OF_ALL)
        for vendor, ratio in past:
            self.add(vendor, ratio)

    def add(self, vendor: str, ratio: float) -> None:
        """Note that a job of the vendor has taken so much of the time it asked for; more than all of it counts as all.

        Raises ValueError for what is no ratio.
        """
        if not ratio >= 0:
            raise ValueError(f"{ratio} is no ratio of lengths of time")
        self._of.setdefault(vendor, _Sorted(KEPT)).add(min(ratio, 1.0))
        self._all.add(min(ratio, 1.0))

    def draw(self, vendor: str, ran: float, chance: random.Random) -> float:
        """Return a ratio for a job of the vendor that has run for the ratio `ran` already; 1 where nothing is known."""
        own = self._of.get(vendor)
        for known in (own, self._all):
            if known is not None and len(known.values) >= FEWEST:
                first = bisect_right(known.values, ran) if ran > 0 else 0
                if first < len(known.values):
                    return known.values[chance.randrange(first, len(known.values))]
        return max(1.0, ran)


class _Sorted:
    """The latest values, in order of size."""

    def __init__(self, kept: int) -> None:
        self.values: list[float] = []
        self._latest: deque[float] = deque()
        self._kept = kept

    def add(self, value: float) -> None:
        if len(self._latest) == self._kept:
            oldest = self._latest.popleft()
            del self.values[bisect_right(self.values, oldest) - 1]
        self._latest.append(value)
        insort(self.values, value)


def of_vendor(job: int, vendor: str) -> str:
    """Return whose ratios stand for a job's: its vendor's."""
    return vendor


def always() -> bool:
    """Say that there is time."""
    return True


def estimate(
    state: State,
    job: int,
    config: Config,
    ratios: Ratios,
    *,
    effort: Effort | None = None,
    whose: Whose = of_vendor,
    in_time: Callable[[], bool] = always,
) -> Estimate:
    """Return when the waiting `job` of the state will start. Raises KeyError if it does not wait there.

    whose: under which name of `ratios` a job of a vendor stands.
    in_time: Asked before each decision; once it says no, the futures that are finished by then are all there are.
    The same arguments give the same answer. Work: at most futures times cycles_max decisions.
    """
    if all(waiting.job != job for waiting in state.jobs):
        raise KeyError(job)
    effort = effort or Effort()
    ground = Ground(state)
    first = ground.step(state.now_ns, config)
    if any(grant.job == job for grant in first.grants):
        return Estimate(state.now_ns, (state.now_ns,) * effort.futures, state.now_ns)
    planned_ns = None
    starts_ns: list[int | None] = []
    try:
        planned_ns = _Future(ground.copy(), config, effort, None, whose, random.Random(0), in_time).start_of(job)
        for n in range(effort.futures):
            chance = random.Random(f"{effort.seed} {n}")
            starts_ns.append(_Future(ground.copy(), config, effort, ratios, whose, chance, in_time).start_of(job))
    except OutOfTime:
        pass
    ordered = sorted(starts_ns, key=lambda start_ns: inf if start_ns is None else start_ns)
    return Estimate(state.now_ns, tuple(ordered), planned_ns)


def factor(past: Sequence[tuple[float, float]], level: float) -> float:
    """Return what to stretch a told wait of this level by, from (told, real) waits [s] of the past; 1 if too few."""
    if len(past) < PAST_FEWEST:
        return 1.0
    scores = sorted((real_s + OFFSET_S) / (told_s + OFFSET_S) for told_s, real_s in past[-PAST:])
    return scores[min(len(scores), ceil((len(scores) + 1) * level)) - 1]


def stretch(told_s: float, by: float) -> float:
    """Return a told wait [s] stretched by a factor, never below zero."""
    return max(0.0, by * (told_s + OFFSET_S) - OFFSET_S)


class _Future:
    """One way in which a ground may go on: lengths drawn from ratios, or without these all as asked for."""

    def __init__(
        self,
        ground: Ground,
        config: Config,
        effort: Effort,
        ratios: Ratios | None,
        whose: Whose,
        chance: random.Random,
        in_time: Callable[[], bool],
    ) -> None:
        self._ground, self._config, self._effort = ground, config, effort
        self._ratios, self._whose, self._chance = ratios, whose, chance
        self._in_time = in_time
        self._begun_ns = ground.now_ns
        # When something happens: the job whose lease ends then, or -1 for what comes by itself.
        self._ends = [(time_ns, -1) for time_ns in ground.changes()]
        self._ends += [(self._end_of(lease.job, lease.vendor, lease.start_ns, lease.end_ns), lease.job)
                       for lease in ground.leases()]  # fmt: skip
        heapify(self._ends)

    def start_of(self, job: int) -> int | None:
        """Return when the job starts (ns); None: not within the effort, or never. Raises OutOfTime."""
        limit_ns = self._begun_ns + self._effort.horizon_s * 1e9
        for _ in range(self._effort.cycles_max):
            if not self._ends or self._ends[0][0] > limit_ns:
                return None
            if not self._in_time():
                raise OutOfTime
            now_ns = self._ends[0][0]
            while self._ends and self._ends[0][0] == now_ns:
                _, ended = heappop(self._ends)
                # A preempted one has ended before.
                if self._ground.runs(ended):
                    self._ground.end(ended, now_ns)
            for preemption in self._ground.step(now_ns, self._config).preemptions:
                heappush(self._ends, (now_ns + round(GRACE_S * 1e9), self._ground.preempt(preemption.lease)))
            for lease in self._ground.begun:
                if lease.job == job:
                    return now_ns
                heappush(self._ends, (self._end_of(lease.job, lease.vendor, now_ns, lease.end_ns), lease.job))
        return None

    def _end_of(self, job: int, vendor: str, start_ns: int, planned_ns: int) -> int:
        now_ns, asked_ns = self._ground.now_ns, planned_ns - start_ns
        if self._ratios is None or asked_ns <= 0:
            return max(planned_ns, now_ns + 1)
        ran = (now_ns - start_ns) / asked_ns
        ratio = self._ratios.draw(self._whose(job, vendor), ran, self._chance)
        return max(start_ns + round(ratio * asked_ns), now_ns + 1)
