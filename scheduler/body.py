"""Robots as bodies: what a battery, a cool-down and a calibration mean for when a unit can work, and for how long.

Energies are predicted with one mean power for each robot model, as its host declares it: the figures and their sources
stand in `configs/robots`. Times are in seconds, or in ns since the epoch where their names say so; states of charge go
from 0 to 1.
"""

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache

from palaestra.v1 import job_pb2
from scheduler.state import Unit

S_PER_H = 3600.0
# Two clocks' worth of rounding: a unit that could work for exactly the claim's time is good for it.
ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class Battery:
    """A unit's battery: capacity, mean power of work, mean power of charging (0: not charged here)."""

    capacity_wh: float
    work_power_w: float
    charge_power_w: float = 0.0


def energy_wh(battery: Battery, duration_s: float) -> float:
    """Return the predicted energy of a job: mean power times duration."""
    return battery.work_power_w * duration_s / S_PER_H


def charge_after(battery: Battery, charge: float, duration_s: float) -> float:
    """Return the predicted state of charge after working that long, not below 0."""
    return max(0.0, charge - energy_wh(battery, duration_s) / battery.capacity_wh)


def work_s(battery: Battery, charge: float, reserve: float) -> float:
    """Return how long work may take until the reserve is reached: (charge - reserve) capacity / power, not below 0."""
    return max(0.0, charge - reserve) * battery.capacity_wh / battery.work_power_w * S_PER_H


def charging_s(battery: Battery, charge: float) -> float:
    """Return how long charging to full takes: (1 - charge) capacity / power; infinite where it cannot be charged.

    The mean power is that of the makers' "full in so many hours", which includes the slow end of a lithium battery's
    charging; from a half-full battery on, the prediction is therefore a little short.
    """
    missing = max(0.0, 1.0 - charge)
    if missing == 0.0:
        return 0.0
    if battery.charge_power_w <= 0.0:
        return math.inf
    return missing * battery.capacity_wh / battery.charge_power_w * S_PER_H


def rest_s(worked_s: float, rest_fraction: float, rest_min_s: float) -> float:
    """Return how long a unit cools down after work: the larger of a share of the work's time and a fixed time."""
    return max(rest_min_s, rest_fraction * max(0.0, worked_s))


@dataclass(frozen=True, slots=True)
class Condition:
    """What is known of a unit's body at one moment.

    `charge` is None where the unit tells no state of charge; `cool_ns`: it cools down until then; `calibrated_ns`: its
    calibration is good until then, None if it needs none; `lease_end_ns`: planned end of the lease that holds it.
    """

    battery: Battery | None = None
    charge: float | None = None
    charging: bool = False
    cool_ns: int = 0
    calibrated_ns: int | None = None
    lease_end_ns: int | None = None


def ready_ns(condition: Condition, now_ns: int) -> int:
    """Return when it has cooled down and left the charger; a time that has passed means that it is ready.

    A unit on a charger that is not known to fill it is taken to be there no longer than nobody looks: it is ready.
    """
    ready = condition.cool_ns
    if condition.charging and condition.battery is not None and condition.charge is not None:
        left_s = charging_s(condition.battery, condition.charge)
        if math.isfinite(left_s):
            ready = max(ready, now_ns + int(left_s * 1e9))
    return ready


def good_for_s(condition: Condition, reserve: float, now_ns: int) -> float:
    """Return how long it could work if it began now: the least of its charge and the time to its recalibration.

    A unit on a charger begins when it is full, so it is its full battery that counts.
    """
    return min(_charge_s(condition, reserve), on_charger_s(condition, now_ns))


def good_at_best_s(condition: Condition, reserve: float) -> float:
    """Return how long it could work with a full battery."""
    battery, charge = condition.battery, condition.charge
    return math.inf if battery is None or charge is None else work_s(battery, 1.0, reserve)


def on_charger_s(condition: Condition, now_ns: int) -> float:
    """Return how long it could work if it hung on a charger meanwhile: until its recalibration."""
    if condition.calibrated_ns is None:
        return math.inf
    return max(0.0, (condition.calibrated_ns - max(now_ns, ready_ns(condition, now_ns))) / 1e9)


def _charge_s(condition: Condition, reserve: float) -> float:
    if condition.battery is None or condition.charge is None:
        return math.inf
    full = condition.charging and condition.battery.charge_power_w > 0.0
    return work_s(condition.battery, 1.0 if full else condition.charge, reserve)


def renewed_ns(condition: Condition, reserve: float, now_ns: int, *, chargers: bool) -> int | None:
    """Return when what bounds `good_for_s` will have been renewed by itself, None if somebody must see to it.

    A battery is full again when it has been charged after the present lease; with no charger at the venue people do
    that, as they do calibrations. A unit that nothing bounds, or that fills its battery already, returns its ready
    time.
    """
    ready = max(now_ns, ready_ns(condition, now_ns))
    if condition.battery is None and condition.calibrated_ns is None:
        return ready
    charge_bound_s = _charge_s(condition, reserve)
    if condition.calibrated_ns is not None and (condition.calibrated_ns - ready) / 1e9 <= charge_bound_s:
        return None
    if math.isinf(charge_bound_s) or condition.charging:
        return ready
    battery, charge = condition.battery, condition.charge
    assert battery is not None and charge is not None, "a finite bound by charge needs both"
    if not chargers or battery.charge_power_w <= 0.0:
        return None
    end_ns = max(now_ns, condition.lease_end_ns or 0)
    left = charge_after(battery, charge, (end_ns - now_ns) / 1e9)
    return max(ready, end_ns) + int(charging_s(battery, left) * 1e9)


def wants_charge(condition: Condition, charge_below: float) -> bool:
    """Return whether it should be charged when nobody needs it: its charge is low, and it can be charged here."""
    battery, charge = condition.battery, condition.charge
    if battery is None or charge is None or condition.charging:
        return False
    return battery.charge_power_w > 0.0 and charge < charge_below


def why_not(unit: Unit, claim_duration_s: float, now_ns: int) -> str | None:
    """Return why the unit's body keeps it from a claim of that duration now, in words; None if it does not."""
    if unit.ready_ns > now_ns:
        return f"{unit.unit} cools down or is charged for another {_span(unit.ready_ns - now_ns)}"
    if unit.good_for_s + ROUNDING_S >= claim_duration_s:
        return None
    able = _span(int(unit.good_for_s * 1e9))
    asked = _span(int(claim_duration_s * 1e9))
    what = f"{unit.unit} could work {able} now, by its charge and calibration; the claim asks for {asked}"
    if unit.renewed_ns is None:
        return f"{what}, and somebody must charge or calibrate it first"
    return f"{what}; it can be charged in {_span(unit.renewed_ns - now_ns)}"


def _span(duration_ns: int) -> str:
    """Return a duration in words, rounded up."""
    seconds = math.ceil(max(0, duration_ns) / 1e9)
    if seconds < 120:
        return f"{seconds} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def setup_of(job: job_pb2.Job, vendor: str) -> str:
    """Return what a job fits, flashes and calibrates its units for; equal for jobs that need nothing changed between.

    A short hash, because it stands beside the unit, and whose work it was is nobody's business. Empty without work on
    units.
    """
    if not job.claim.units or not job.HasField("collect"):
        return ""
    spec = job.collect
    # A motion is the venue's; what a robot is fitted with for a task in words is its vendor's.
    task = spec.task
    return _setup(spec.motion, spec.policy_job, task, vendor if task else "")


@lru_cache(maxsize=1024)
def _setup(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
