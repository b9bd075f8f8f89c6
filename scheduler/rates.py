"""How much of the service each vendor may take: a token bucket by class of methods, and a bound on what is under way.

A bucket holds `burst_s` seconds of the rate and fills by the rate; a call takes out what it costs, and is refused if
that is not there (Turner 1986, "New directions in communications"). The bound keeps the queues short that all vendors
wait in: what one has there, the others wait for once at most.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from palaestra.errors import PalaestraError

# Jobs of one call that cost as much as a call: what a hundred jobs together take of the service, about five calls do.
JOBS_PER_COST = 25
JOBS_MAX = 10_000
# When to come again if too much is under way.
BUSY_RETRY_S = 0.05
# For so long after a refusal others are likely to follow.
FLOOD_S = 1.0


class MethodClass(StrEnum):
    """What calls are counted together; a flood of one class takes nothing from another."""

    SUBMIT = "submit"
    # Taking back and changing, which must be possible also in a flood of one's own.
    CHANGE = "change"
    READ = "read"


@dataclass(frozen=True)
class Rate:
    """What one vendor may take of each class, in costs: a call, or `JOBS_PER_COST` jobs of one.

    Attributes:
        per_s: Costs per second in the long run.
        burst_s: So much of it at once, after a rest [s].
        under_way_max: Costs under way at a time: of changes, and of all other classes together. Streams are not
            counted.
    """

    per_s: float = 5_000.0
    burst_s: float = 2.0
    under_way_max: int = 512


def class_of(method: str) -> MethodClass:
    """Return the class of "Service/Method"."""
    verb = method.partition("/")[2]
    if verb.startswith(("Submit", "BatchSubmit", "Create", "WhatIf")):
        return MethodClass.SUBMIT
    if verb.startswith(("Get", "List", "Watch", "Explain", "Read", "Check")):
        return MethodClass.READ
    return MethodClass.CHANGE


def cost_of(request: Any) -> int:
    """Return what a call with this request costs."""
    kind: Any = type(request)
    counted = _counted(kind)
    # Every other call is one of nothing but itself.
    if counted is None:
        return 1
    jobs = getattr(request, counted)
    jobs = jobs if counted == "size" else len(jobs)
    # The request is not checked yet, and a size that no array may have must not cost more than one that it may.
    return 1 + min(max(0, int(jobs)), JOBS_MAX) // JOBS_PER_COST


@cache
def _counted(kind: Any) -> str | None:
    """Return the field that tells how many jobs a request of this type is for."""
    known = getattr(getattr(kind, "DESCRIPTOR", None), "fields_by_name", {})
    return next((name for name in ("size", "requests") if name in known), None)


class Rates:
    """What vendors have taken. For one thread.

    Args:
        rate: What every vendor may take.
    """

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        # What is left in each bucket, and as of when [s].
        self._left: dict[tuple[str, MethodClass], tuple[float, float]] = {}
        # By vendor, and whether they are changes: those are not to wait for the vendor's own flood of others.
        self._under_way: dict[tuple[str, bool], int] = {}
        # When somebody called and was refused last [s].
        self._latest_s = self._refused_s = -math.inf

    def flooded(self, now_s: float) -> bool:
        """Whether somebody has been refused a moment ago, so that it is worth while to ask for `refusal` early."""
        return now_s - self._refused_s < FLOOD_S

    def refusal(self, vendor: str, method_class: MethodClass, cost: int, now_s: float) -> PalaestraError | None:
        """Return what `take` or `begin` would refuse such a call with now, None if they would let it in."""
        found = self._over_rate(vendor, method_class, cost, now_s) or self._over_way(vendor, method_class, cost)
        if found is not None:
            self._refused_s = now_s
        return found

    def take(self, vendor: str, method_class: MethodClass, cost: int, now_s: float) -> None:
        """Take a call's cost out of the vendor's bucket. Raises RATE_LIMITED with the time after which it is there.

        A call that costs more than the bucket holds takes all of it, and leaves a debt.
        """
        self._latest_s = now_s
        refusal = self._over_rate(vendor, method_class, cost, now_s)
        if refusal is not None:
            self._refused_s = now_s
            raise refusal
        self._left[vendor, method_class] = self._level(vendor, method_class, now_s) - cost, now_s

    def begin(self, vendor: str, method_class: MethodClass, cost: int) -> None:
        """Count a call as under way, until `end`. Raises RATE_LIMITED if too much is; one call alone always may."""
        refusal = self._over_way(vendor, method_class, cost)
        if refusal is not None:
            self._refused_s = self._latest_s
            raise refusal
        key = vendor, method_class is MethodClass.CHANGE
        self._under_way[key] = self._under_way.get(key, 0) + cost

    @property
    def _full(self) -> float:
        return max(1.0, self._rate.per_s * self._rate.burst_s)

    def _level(self, vendor: str, method_class: MethodClass, now_s: float) -> float:
        full = self._full
        left, as_of_s = self._left.get((vendor, method_class), (full, now_s))
        return min(full, left + max(0.0, now_s - as_of_s) * self._rate.per_s)

    def _over_rate(self, vendor: str, method_class: MethodClass, cost: int, now_s: float) -> PalaestraError | None:
        rate, left = self._rate, self._level(vendor, method_class, now_s)
        needed = min(float(cost), self._full)
        if left >= needed:
            return None
        return PalaestraError(
            "RATE_LIMITED",
            f"vendor {vendor} has used up its rate of {rate.per_s:g} calls a second to {method_class.value}",
            metadata={"class": method_class.value},
            retry_after_s=(needed - left) / rate.per_s,
        )

    def _over_way(self, vendor: str, method_class: MethodClass, cost: int) -> PalaestraError | None:
        most = self._rate.under_way_max
        before = self._under_way.get((vendor, method_class is MethodClass.CHANGE), 0)
        if not before or before + cost <= most:
            return None
        return PalaestraError(
            "RATE_LIMITED",
            f"vendor {vendor} has {before} calls under way, at most {most}",
            metadata={"class": "under_way"},
            retry_after_s=BUSY_RETRY_S,
        )

    def end(self, vendor: str, method_class: MethodClass, cost: int) -> None:
        """Say that a call is over."""
        key = vendor, method_class is MethodClass.CHANGE
        left = self._under_way[key] - cost
        if left:
            self._under_way[key] = left
        else:
            del self._under_way[key]
