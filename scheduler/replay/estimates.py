"""How good estimates of starts are: told at submission in a replay, compared with what came.

Told for a sample of the jobs, each from what was known at its submission: the state, the lengths of the jobs that had
ended, the waits of the estimates before it. Beside it stand three that anybody could tell: the start if everything took
as long as it asked for (what Slurm tells as the expected start), the median and the 90 % quantile of past waits, and
the estimate before it is stretched.

A level's coverage is the share of jobs that waited no longer than told. The pinball loss of a told wait w at level q
for a real one y is max(q (y - w), (q - 1)(y - w)): least in the mean for the true quantile (Koenker and Bassett,
Econometrica 1978).
"""

import csv
import random
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from scheduler.estimate import PAST, Effort, Estimate, Ratios, estimate, factor, stretch
from scheduler.ground import Ground
from scheduler.replay.simulate import Observer
from scheduler.replay.workload import Workload
from scheduler.state import Config, Job

P50, P90 = 0.5, 0.9
LEVELS = (0.1, 0.2, 0.3, 0.4, P50, 0.6, 0.7, 0.8, P90, 0.95)
# Past waits that the constant guess is taken from.
PAST_WAITS = 1_000
# Waits are told to the second.
TOLERANCE_S = 0.5


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of one job at its submission, waits in seconds by level; None where nobody knew."""

    index: int
    starts_at_once: bool
    raw_s: tuple[float | None, ...]
    stretched_s: tuple[float | None, ...]
    requested_s: float | None
    usual_s: tuple[float, ...]


class Estimator(Observer):
    """Estimates the start of a sample of the jobs of a replay."""

    def __init__(
        self, workload: Workload, config: Config, *, sample: int, effort: Effort | None = None, seed: int = 0
    ) -> None:
        count = len(workload.jobs)
        self.told: list[Told] = []
        self._jobs = workload.jobs
        self._config, self._effort = config, effort
        self._chosen = set(random.Random(seed).sample(range(count), min(sample, count)))
        self._ratios = Ratios()
        self._start_ns: dict[int, int] = {}
        # Raw waits of the jobs that did not start at once, with their place, and the latest real waits, in order.
        self._raw: list[tuple[int, tuple[float | None, ...]]] = []
        self._waits_s: list[float] = []
        self._latest_s: list[float] = []

    def submitted(self, ground: Ground, index: int, job: Job) -> None:
        if index not in self._chosen:
            return
        state = ground.state(ground.now_ns)
        found = estimate(state, index, self._config, self._ratios, effort=self._effort, whose=self._user_of)
        raw_s = tuple(found.wait_s(level) for level in LEVELS)
        at_once = found.planned_ns == found.now_ns and raw_s[-1] == 0
        stretched_s = raw_s if at_once else self._stretched(raw_s, found)
        planned_s = None if found.planned_ns is None else (found.planned_ns - found.now_ns) / 1e9
        usual_s = tuple(_quantile(self._waits_s, level) for level in LEVELS)
        self.told.append(Told(index, at_once, raw_s, stretched_s, planned_s, usual_s))
        if not at_once:
            self._raw.append((index, raw_s))

    def started(self, index: int, now_ns: int) -> None:
        self._start_ns[index] = now_ns
        wait_s = now_ns / 1e9 - self._jobs[index].submit_s
        if wait_s == 0:
            return
        insort(self._waits_s, wait_s)
        self._latest_s.append(wait_s)
        if len(self._latest_s) > PAST_WAITS:
            del self._waits_s[bisect_left(self._waits_s, self._latest_s.pop(0))]

    def ended(self, index: int, now_ns: int) -> None:
        job = self._jobs[index]
        self._ratios.add(self._user_of(index, ""), job.run_s / job.requested_s)

    def _user_of(self, index: int, vendor: str) -> str:
        """Return the user: in a log, the one whose requests are alike."""
        return self._jobs[index].user

    def _stretched(self, raw_s: tuple[float | None, ...], found: Estimate) -> tuple[float | None, ...]:
        """Return the raw waits, stretched by what was learnt from the jobs that were submitted before.

        What still waits counts with its wait so far if that is more than it was told already, else as told.
        """
        stretched_s: list[float | None] = []
        least_s = 0.0
        for place, told_s in enumerate(raw_s):
            if told_s is not None:
                told_s = least_s = max(least_s, stretch(told_s, factor(self._past(place, found.now_ns), LEVELS[place])))
            stretched_s.append(told_s)
        return tuple(stretched_s)

    def _past(self, place: int, now_ns: int) -> list[tuple[float, float]]:
        past = []
        for index, raw_s in self._raw[-PAST:]:
            told_s = raw_s[place]
            if told_s is None:
                continue
            start_ns = self._start_ns.get(index)
            real_s = (now_ns if start_ns is None else start_ns) / 1e9 - self._jobs[index].submit_s
            past.append((told_s, real_s if start_ns is not None else max(real_s, told_s)))
        return past


@dataclass(frozen=True, slots=True)
class Score:
    """How one way of telling did at one level, over jobs that did not start at once; `unknown` were told nothing."""

    way: str
    level: float
    jobs: int
    unknown: int
    coverage: float
    pinball_s: float


def score(told: Sequence[Told], waits_s: Sequence[float]) -> list[Score]:
    """Return the scores of every way of telling at every level, given the real waits of the workload's jobs [s].

    Jobs that were told to start at once, and therefore did, are left out: they would flatter every way.
    """
    waiting = [one for one in told if not one.starts_at_once]
    ways: dict[str, Sequence[Sequence[float | None]]] = {
        "estimate": [one.stretched_s for one in waiting],
        "unstretched": [one.raw_s for one in waiting],
        "as requested": [(one.requested_s,) * len(LEVELS) for one in waiting],
        "past waits": [one.usual_s for one in waiting],
    }
    found = []
    for way, values in ways.items():
        for place, level in enumerate(LEVELS):
            pairs = [(value[place], waits_s[one.index]) for one, value in zip(waiting, values, strict=True)]
            known = [(told_s, real_s) for told_s, real_s in pairs if told_s is not None]
            covered = sum(real_s <= told_s + TOLERANCE_S for told_s, real_s in known)
            loss_s = sum(max(level * (y - w), (level - 1) * (y - w)) for w, y in known)
            count = max(1, len(known))
            found.append(Score(way, level, len(known), len(pairs) - len(known), covered / count, loss_s / count))
    return found


def write(path: Path, workload: Workload, told: Sequence[Told], waits_s: Sequence[float]) -> None:
    """Write a table of what each job of the sample was told at its submission; empty where nobody knew."""
    middle, high = LEVELS.index(P50), LEVELS.index(P90)
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for one in told:
            job = workload.jobs[one.index]
            rows.writerow(
                (
                    job.job_id,
                    job.submit_s,
                    waits_s[one.index],
                    one.stretched_s[middle],
                    one.stretched_s[high],
                    one.raw_s[middle],
                    one.raw_s[high],
                    one.requested_s,
                    one.usual_s[middle],
                    one.usual_s[high],
                )
            )


def table(scores: Sequence[Score], told: Sequence[Told]) -> str:
    """Return the scores at P50 and P90 as text."""
    at_once = sum(one.starts_at_once for one in told)
    lines = [
        f"{len(told):,} estimates; {at_once:,} jobs were told to start at once, and did; of the others:",
        f"{'':14}" + "".join(f"{head:>17}" for head in HEADS) + f"{'unknown':>9}",
    ]
    for way in dict.fromkeys(one.way for one in scores):
        at = {one.level: one for one in scores if one.way == way}
        lines.append(
            f"{way:14}{at[P50].coverage:>17.1%}{at[P90].coverage:>17.1%}"
            f"{at[P50].pinball_s:>17,.0f}{at[P90].pinball_s:>17,.0f}{at[P90].unknown:>9}"
        )
    return "\n".join(lines)


HEADS = ("waited <= P50", "waited <= P90", "pinball P50 [s]", "pinball P90 [s]")
COLUMNS = (
    "job_id", "submit_s", "wait_s", "p50_s", "p90_s", "unstretched_p50_s", "unstretched_p90_s", "as_requested_s",
    "past_p50_s", "past_p90_s",
)  # fmt: skip


def _quantile(ordered: Sequence[float], level: float) -> float:
    return ordered[max(0, ceil(level * len(ordered)) - 1)] if ordered else 0.0
