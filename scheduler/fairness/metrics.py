"""What fairness is measured by. Pure.

Service of a vendor: the largest of its shares of units, sim slots and cells over a time, each the thing-seconds that
it held and need not give back over what the venue had (dominant share, Ghodsi et al., NSDI 2011).

Entitlement: the share that its weight gives it among those who want something, at each moment, averaged over the same
time. Who has an unfinished job wants something; a group passes on what it is due to its members who do.

How equal these are, the Jain index says (`replay.metrics`).

Finish-time fairness of a job: rho = T_shared / T_isolated (Mahajan et al., Themis, NSDI 2020): how long it took from
its submission, over how long it would have taken alone on a 1/N share, N being the mean number of unfinished jobs in
the venue during its life. Alone, a gang that holds the share d of the venue runs all the time if d <= 1/N, else the
part 1/(N d) of it, so T_isolated = run max(1, N d). Among unlike robot classes g, of which it might have had any with
probability P(g): rho = sum_g P(g) T_shared / T_isolated,g (Jayaram Subramanya et al., Sia, SOSP 2023, equation 3).
Above 1, sharing cost the job more than a share of its own would have.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scheduler.decay import normalised
from scheduler.state import Vendor

Span = tuple[float, float]


def service(used_s: Sequence[float], capacity: Sequence[float], duration_s: float) -> float:
    """Return the dominant share: the largest use [thing-seconds] of what the venue had of each thing for that long."""
    return max((normalised(used, total, duration_s) for used, total in zip(used_s, capacity, strict=True)), default=0.0)


def union(spans: Iterable[Span]) -> list[Span]:
    """Return the times in any of the spans, in order, without overlap."""
    found: list[Span] = []
    for start_s, end_s in sorted(spans):
        if end_s <= start_s:
            continue
        if found and start_s <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end_s))
        else:
            found.append((start_s, end_s))
    return found


def entitlements(wanted: Mapping[str, Iterable[Span]], parties: Sequence[Vendor], window: Span) -> dict[str, float]:
    """Return the mean entitlement of each leaf over the window.

    Args:
        wanted: The times [s] at which each leaf had an unfinished job.
        parties: The tree, of which parents and weights count.
    """
    start_s, end_s = window
    changes: list[tuple[float, bool, str]] = []
    for leaf, spans in wanted.items():
        for begin_s, finish_s in union((max(a, start_s), min(b, end_s)) for a, b in spans):
            changes += [(begin_s, True, leaf), (finish_s, False, leaf)]
    by_name = {party.vendor: party for party in parties}
    total = dict.fromkeys(wanted, 0.0)
    active: set[str] = set()
    shares: dict[str, float] = {}
    last_s = start_s
    for time_s, begins, leaf in sorted(changes):
        if time_s > last_s:
            if not shares:
                shares = _split(active, by_name)
            for name, share in shares.items():
                total[name] += share * (time_s - last_s)
            last_s = time_s
        (active.add if begins else active.discard)(leaf)
        shares = {}
    return {name: amount / (end_s - start_s) if end_s > start_s else 0.0 for name, amount in total.items()}


def _split(active: set[str], parties: Mapping[str, Vendor]) -> dict[str, float]:
    """Return what each active leaf is due now: at each node the active children share by weight."""
    children: dict[str, set[str]] = {}
    for leaf in active:
        name = leaf
        while name:
            parent = parties[name].parent
            children.setdefault(parent, set()).add(name)
            name = parent
    due = {"": 1.0}
    frontier = [""]
    while frontier:
        node = frontier.pop()
        weights = {name: parties[name].weight for name in children.get(node, ())}
        for name, weight in weights.items():
            due[name] = due[node] * weight / sum(weights.values())
            frontier.append(name)
    return {leaf: due[leaf] for leaf in active}


class Contention:
    """The number of unfinished jobs over time."""

    def __init__(self, lives: Iterable[Span]) -> None:
        changes = sorted([(a, 1) for a, b in lives if b > a] + [(b, -1) for a, b in lives if b > a])
        self._times = [time_s for time_s, _ in changes]
        self._counts: list[int] = []
        self._areas: list[float] = []
        count, area, last_s = 0, 0.0, 0.0
        for time_s, change in changes:
            area += count * (time_s - last_s)
            count, last_s = count + change, time_s
            self._counts.append(count)
            self._areas.append(area)

    def mean(self, life: Span) -> float:
        """Return the mean number during a span, at least 1: whoever asks is there himself."""
        start_s, end_s = life
        if end_s <= start_s:
            return 1.0
        return max(1.0, (self._area(end_s) - self._area(start_s)) / (end_s - start_s))

    def _area(self, time_s: float) -> float:
        place = bisect_right(self._times, time_s) - 1
        return self._areas[place] + self._counts[place] * (time_s - self._times[place]) if place >= 0 else 0.0


def isolated_s(run_s: float, share: float, contenders: float) -> float:
    """Return how long a job that holds `share` of the venue while it runs would take on a 1/`contenders` share."""
    return run_s * max(1.0, share * contenders)


def rho(shared_s: float, alone: Mapping[str, tuple[float, float]]) -> float:
    """Return the finish-time fairness of a job that took `shared_s` [s].

    alone: By robot class: (P(g), T_isolated,g [s]); the probabilities add up to 1. One class for work that fits one.
    """
    return sum(probability * shared_s / max(time_s, 1e-9) for probability, time_s in alone.values())


@dataclass(frozen=True, slots=True)
class Line:
    """One vendor's, or with vendor "" everybody's. `rho_mean` and so on: over jobs that succeeded in the time."""

    vendor: str
    weight: float
    service: float
    entitlement: float
    jobs: int = 0
    rho_mean: float = 0.0
    rho_max: float = 0.0
    # Share of those jobs with rho > 1.
    unfair: float = 0.0

    @property
    def ratio(self) -> float:
        """Service over entitlement: below 1, it got (or wanted) less than it was due."""
        return self.service / self.entitlement if self.entitlement else 0.0


@dataclass(frozen=True, slots=True)
class Report:
    lines: tuple[Line, ...]
    total: Line
    # Over those who wanted something: of service over weight, and of service over entitlement.
    jain_weighted: float
    jain_entitled: float
