"""What a vendor is told of a job that waits, or would: why, since when it is planned, and by when it starts.

Everything comes from one state by the code that decides. P50 and P90 are told only where enough futures were finished;
what is not known is None.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from scheduler.estimate import Effort, Estimate, Ratios, always, estimate, factor, stretch
from scheduler.explain import Explanation, explain
from scheduler.state import Claim, Config, Job, State
from scheduler.whatif import Counterfactual, counterfactuals

P50, P90 = 0.5, 0.9
# Fewest futures from which a P90 is told.
FUTURES_MIN = 10
# In a live venue an answer in a second is worth more than the last future.
LIVE = Effort(futures=40, cycles_max=1_000)
ESTIMATE_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Past:
    """What estimates are stretched by: (told, real) waits [s] at either level, the oldest first."""

    p50: Sequence[tuple[float, float]] = ()
    p90: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, slots=True)
class Expectation:
    """When a job starts. Waits in seconds from `now_ns`; `raw_` ones before they are stretched.

    `starts_now`: the next decision grants it; then the waits are zero. `planned_ns`: its start if everything, the jobs
    before it too, takes as long as it asked for.
    """

    now_ns: int
    starts_now: bool = False
    planned_ns: int | None = None
    p50_s: float | None = None
    p90_s: float | None = None
    raw_p50_s: float | None = None
    raw_p90_s: float | None = None

    @property
    def p50_ns(self) -> int | None:
        return None if self.p50_s is None else self.now_ns + round(self.p50_s * 1e9)

    @property
    def p90_ns(self) -> int | None:
        return None if self.p90_s is None else self.now_ns + round(self.p90_s * 1e9)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Why a job waits, by when it will start, and what would let it start earlier, soonest first.

    `expectation`: None if nobody looked ahead, or nobody can, because so many of its own come first.
    """

    explanation: Explanation
    expectation: Expectation | None = None
    counterfactuals: tuple[Counterfactual, ...] = ()


def with_job(state: State, job: Job) -> State:
    """Return the state with the job among those that wait; one that does already stays as it is."""
    if any(waiting.job == job.job for waiting in state.jobs):
        return state
    return replace(state, jobs=(*state.jobs, job))


def expect(
    job: Job,
    state: State,
    config: Config,
    ratios: Ratios,
    past: Past,
    *,
    effort: Effort = LIVE,
    in_time: Callable[[], bool] = always,
) -> Expectation:
    """Return when a job of the state will start. in_time: see `estimate`."""
    if not in_time():
        return Expectation(state.now_ns)
    found = estimate(state, job.job, config, ratios, effort=effort, whose=vendor_of, in_time=in_time)
    if found.planned_ns == state.now_ns:
        return Expectation(state.now_ns, True, state.now_ns, 0.0, 0.0, 0.0, 0.0)
    raw_p50_s, raw_p90_s = _waits_s(found)
    p50_s = None if raw_p50_s is None else stretch(raw_p50_s, factor(past.p50, P50))
    p90_s = None if raw_p90_s is None else max(stretch(raw_p90_s, factor(past.p90, P90)), p50_s or 0.0)
    return Expectation(state.now_ns, False, found.planned_ns, p50_s, p90_s, raw_p50_s, raw_p90_s)


def nothing() -> float:
    """Say that no time is spent."""
    return 0.0


def forecast(
    job: Job,
    state: State,
    config: Config,
    ratios: Ratios,
    past: Past,
    *,
    effort: Effort = LIVE,
    spent: Callable[[], float] = nothing,
) -> Forecast:
    """Return everything that is told of a job of the state.

    spent: What share of the time is spent. Quantiles may take ESTIMATE_SHARE of it, changes the rest; where none is
    left, less is told.
    """
    explanation = explain(job, state, config)
    enough = partial(_within, spent, ESTIMATE_SHARE)
    expectation = expect(job, state, config, ratios, past, effort=effort, in_time=enough)
    if expectation.planned_ns is None:
        # By one look instead of by what comes of all: nearer, if others come first.
        planned_ns = explanation.planned_start_ns
        expectation = replace(expectation, planned_ns=planned_ns, starts_now=planned_ns == state.now_ns)
    in_time = partial(_within, spent, 1.0)
    if expectation.starts_now or not in_time():
        return Forecast(explanation, expectation)
    return Forecast(explanation, expectation, _sooner(job, state, config, expectation, effort, in_time))


def _within(spent: Callable[[], float], share: float) -> bool:
    return spent() < share


def _sooner(
    job: Job, state: State, config: Config, present: Expectation, effort: Effort, in_time: Callable[[], bool]
) -> tuple[Counterfactual, ...]:
    """Return changes that help, each with its start as that of the job itself is found: with the jobs before it run."""
    found = []
    for one in counterfactuals(job, state, config):
        start_ns: int | None = state.now_ns
        # A start at this moment is certain without that.
        if one.start_ns > state.now_ns:
            if not in_time():
                continue
            changed = replace(state, jobs=tuple(_with_claim(other, job.job, one.claim) for other in state.jobs))
            planned = estimate(changed, job.job, config, Ratios(), effort=replace(effort, futures=0), in_time=in_time)
            start_ns = planned.planned_ns
        if start_ns is not None and (present.planned_ns is None or start_ns < present.planned_ns):
            found.append(replace(one, start_ns=start_ns))
    return tuple(sorted(found, key=lambda one: one.start_ns))


def _with_claim(other: Job, job: int, claim: Claim) -> Job:
    return replace(other, claim=claim) if other.job == job else other


def vendor_of(job: int, leaf: str) -> str:
    """Return whose past stands for a job: that of the vendor of its project."""
    return leaf.split("/")[0]


def _waits_s(found: Estimate) -> tuple[float | None, float | None]:
    if len(found.starts_ns) < FUTURES_MIN:
        return None, None
    return found.wait_s(P50), found.wait_s(P90)
