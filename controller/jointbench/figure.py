r"""Key figures from recordings, and how they compare with what the specification says.

Pure: a `Trace` goes in, `Figure`s come out, whether it was simulated or recorded on a real joint.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from controller.errors import TraceError
from controller.identify.friction import FrictionSamples
from controller.identify.thermal import ThermalSamples, fit_thermal
from controller.jointbench.procedure import Joint
from controller.jointbench.trace import Trace
from controller.spec import JointSpec

Real = npt.NDArray[np.floating[Any]]

TOLERANCE = 0.05
"""A figure agrees with what was expected within this share of it. Ours: what a data sheet is usually good for."""


@dataclass(frozen=True)
class Figure:
    """One number of a joint.

    Attributes:
        name: With its unit.
        value: As measured; NaN where the recording does not show it.
        expected: What the specification says; NaN where it says nothing.
        source: Where `expected` comes from.
        bound: What `value` is of the number that was expected: "at least" and "at most" where a test only encloses it.
    """

    name: str
    value: float
    expected: float = math.nan
    source: str = ""
    bound: Literal["equal", "at least", "at most"] = "equal"

    @property
    def agrees(self) -> bool | None:
        """Whether value and expectation agree within `TOLERANCE`; None where one of them is not known."""
        if math.isnan(self.value) or math.isnan(self.expected):
            return None
        room = TOLERANCE * abs(self.expected) + 1e-9
        too_low = self.value < self.expected - room and self.bound != "at least"
        too_high = self.value > self.expected + room and self.bound != "at most"
        return not (too_low or too_high)


def evaluate(test: str, trace: Trace, joint: Joint | None = None) -> list[Figure]:
    """Return the key figures of a recording of one test of `EVALUATIONS`.

    Args:
        test: Which test was run.
        trace: What it recorded.
        joint: What was tested, to compare with; None where nothing is known of it.

    Raises:
        TraceError: no such test, or the recording lacks what its figures need.
    """
    if test not in EVALUATIONS:
        raise TraceError(f"no test {test!r}: there are {', '.join(EVALUATIONS)}")
    return EVALUATIONS[test](trace, joint)


def torque_speed(trace: Trace, joint: Joint | None) -> list[Figure]:
    """Peak torque, knee, no-load speed and peak power, from the samples in which the motor drives or stands."""
    trace.require("dq_rad_s", "tau_nm")
    sign = np.sign(trace.tau_nm)
    # A reversed motor is the same motor.
    speed, torque = trace.dq_rad_s * np.where(sign == 0.0, 1.0, sign), np.abs(trace.tau_nm)
    peak_nm = float(torque.max())
    if peak_nm == 0.0:
        raise TraceError("tau_nm: the motor never had a torque")
    knee, noload = _corners(speed, torque, peak_nm)
    spec = joint.spec if joint else None
    return [
        Figure("peak_torque_nm", peak_nm, *_said(joint, "tau_max_nm")),
        Figure("knee_speed_rad_s", knee, *_said(joint, "v_knee_rad_s")),
        Figure("no_load_speed_rad_s", noload, *_said(joint, "v_noload_rad_s")),
        Figure("peak_power_w", float((speed * torque).max()), *_peak_power_w(spec)),
    ]


def step(trace: Trace, joint: Joint | None) -> list[Figure]:
    """Rise, overshoot, settling and what is left at the end, of the largest step of the command."""
    trace.require("t_s", "q_rad", "q_ref_rad", "tau_nm")
    jumps = np.abs(np.diff(trace.q_ref_rad))
    if len(jumps) == 0 or jumps.max() == 0.0:
        raise TraceError("q_ref_rad: there is no step in the recording")
    at = int(np.argmax(jumps)) + 1
    start = float(trace.q_rad[at])
    size_from_start = float(trace.q_ref_rad[at]) - start
    if size_from_start == 0.0:
        raise TraceError("q_ref_rad: the step ends where the joint already was")
    t, share = trace.t_s[at:] - trace.t_s[at], (trace.q_rad[at:] - start) / size_from_start
    outside = np.flatnonzero(np.abs(share - share[-1]) > 0.02)
    settled_s = float(t[min(outside[-1] + 1, len(t) - 1)]) if len(outside) else 0.0
    overshoot = max(float(share.max()) - 1.0, 0.0)
    rise_s = _first_above(t, share, 0.9) - _first_above(t, share, 0.1)
    expected, why = math.nan, ""
    if joint is not None:
        _, zeta = _second_order(joint)
        expected = math.exp(-math.pi * zeta / math.sqrt(1.0 - zeta * zeta)) if zeta < 1.0 else 0.0
        why = "second order, these gains and this inertia, nothing else"
    return [
        Figure("rise_10_90_s", rise_s),
        Figure("overshoot", overshoot, expected, why),
        Figure("settling_2_percent_s", settled_s),
        Figure("final_error_rad", abs(size_from_start * (1.0 - float(share[-1])))),
        Figure("peak_torque_nm", float(np.abs(trace.tau_nm[at:]).max())),
    ]


def frequency(trace: Trace, joint: Joint | None) -> list[Figure]:
    """Bandwidth (-3 dB), resonance, and phase at the bandwidth, of position after its command."""
    frequencies_hz, gain, phase_rad = frequency_response(trace)
    quiet = gain[:3].mean()
    below = np.flatnonzero(gain < quiet / math.sqrt(2.0))
    bandwidth_hz, phase_deg = math.nan, math.nan
    if len(below) and below[0] > 0:
        i = below[0]
        level = math.log(quiet / math.sqrt(2.0))
        part = (math.log(gain[i - 1]) - level) / (math.log(gain[i - 1]) - math.log(gain[i]))
        bandwidth_hz = float(frequencies_hz[i - 1] * (frequencies_hz[i] / frequencies_hz[i - 1]) ** part)
        phase_deg = math.degrees(float(np.interp(bandwidth_hz, frequencies_hz, np.unwrap(phase_rad))))
    expected, why = math.nan, ""
    if joint is not None:
        natural, zeta = _second_order(joint)
        inner = 1.0 - 2.0 * zeta * zeta
        expected = natural * math.sqrt(inner + math.sqrt(inner * inner + 1.0)) / (2.0 * math.pi)
        why = "second order, these gains and this inertia, nothing else"
    return [
        Figure("bandwidth_hz", bandwidth_hz, expected, why),
        Figure("phase_at_bandwidth_deg", phase_deg),
        Figure("resonance", float(gain.max() / quiet)),
    ]


def frequency_response(trace: Trace) -> tuple[Real, Real, Real]:
    """Return frequencies [Hz], gains and phases [rad] of position after its command, one per run.

    Each run's frequency is that of its command; amplitudes and phases are least-squares fits of a sine and an offset.
    """
    trace.require("t_s", "q_rad", "q_ref_rad")
    found = []
    for each in trace.runs():
        hz = _frequency_hz(each.t_s, each.q_ref_rad)
        angle = 2.0 * np.pi * hz * each.t_s
        waves = np.stack([np.sin(angle), np.cos(angle), np.ones_like(angle)], axis=1)
        (a, b, _), (c, d, _) = (np.linalg.lstsq(waves, y, rcond=None)[0] for y in (each.q_ref_rad, each.q_rad))
        response = complex(c, d) / complex(a, b)
        found.append((hz, abs(response), math.atan2(response.imag, response.real)))
    columns = np.array(sorted(found)).T
    if columns.shape[1] < 5:
        raise TraceError(f"{columns.shape[1]} runs: a frequency response needs at least five frequencies")
    return columns[0], columns[1], columns[2]


def backlash(trace: Trace, joint: Joint | None) -> list[Figure]:
    """Width of the hysteresis at zero torque: between the branches of a joint that is turned to and fro."""
    trace.require("q_rad", "dq_rad_s", "tau_nm")
    ends = []
    for way in (1.0, -1.0):
        branch = np.flatnonzero(np.sign(trace.dq_rad_s) == way)
        torque, position = trace.tau_nm[branch], trace.q_rad[branch]
        crossed = np.flatnonzero(
            (torque[:-1] * torque[1:] <= 0.0) & (np.diff(branch) == 1) & (torque[:-1] != torque[1:])
        )
        # The first pass begins inside the gap, wherever the joint was mounted.
        places = [
            position[i] - torque[i] * (position[i + 1] - position[i]) / (torque[i + 1] - torque[i]) for i in crossed
        ]
        if len(places) < 2:
            raise TraceError("tau_nm: passes zero less than twice each way; turn the joint further or more often")
        ends.append(places[1:])
    width_rad = float(np.mean(ends[0]) - np.mean(ends[1]))
    expected = joint.actuator.backlash_rad if joint else math.nan
    source = (joint.actuator.sources.get("backlash_rad", "actuator") if joint else "") or "actuator"
    spread = float(max(np.ptp(ends[0]), np.ptp(ends[1])))
    return [Figure("backlash_rad", width_rad, expected, source), Figure("backlash_spread_rad", spread)]


def friction(trace: Trace, joint: Joint | None) -> list[Figure]:
    """Friction without load, slow and fast, straight from the samples; models are `identify`'s."""
    samples = friction_samples(trace)
    speed = np.abs(samples.dq_rad_s)
    load = np.maximum(np.abs(samples.tau_motor_nm), np.abs(samples.tau_external_nm))
    light = load <= np.quantile(load, 0.15)
    slow, fast = (light & (speed <= np.quantile(speed, 0.2))), (light & (speed >= np.quantile(speed, 0.8)))
    heavy = load >= np.quantile(load, 0.85)
    return [
        Figure("friction_light_slow_nm", _mean(samples.friction_nm[slow])),
        Figure("friction_light_fast_nm", _mean(samples.friction_nm[fast])),
        Figure("friction_loaded_nm", _mean(samples.friction_nm[heavy])),
    ]


def overload(trace: Trace, joint: Joint | None) -> list[Figure]:
    """Time until the winding reached its limit, per torque, and between which torques the rated one lies."""
    trace.require("t_s", "tau_nm", "winding_c")
    limit_c = joint.actuator.thermal.limit_c if joint and joint.actuator.thermal else float(trace.winding_c.max())
    held, lost, figures = 0.0, math.inf, []
    for each in trace.runs():
        torque_nm = float(np.abs(each.tau_nm[: max(1, len(each.tau_nm) // 4)]).max())
        reached_s = _first_above(each.t_s, each.winding_c, limit_c)
        if math.isnan(reached_s):
            held = max(held, torque_nm)
        else:
            lost = min(lost, torque_nm)
        figures.append(Figure(f"time_to_limit_at_{torque_nm:.3g}_nm_s", reached_s))
    rated, source = math.nan, ""
    if joint and joint.actuator.thermal:
        rated = joint.actuator.thermal.tau_rated_nm
        source = joint.actuator.sources.get("thermal.tau_rated_nm", "actuator")
    return [
        *figures,
        Figure("rated_torque_at_least_nm", held or math.nan, rated, source, "at least"),
        Figure("rated_torque_at_most_nm", lost if math.isfinite(lost) else math.nan, rated, source, "at most"),
    ]


def stall(trace: Trace, joint: Joint | None) -> list[Figure]:
    """Torque at standstill, how long it holds, and what derating leaves of it."""
    trace.require("t_s", "tau_nm")
    torque = np.abs(trace.tau_nm)
    peak_nm = float(torque.max())
    full = np.flatnonzero(torque >= 0.99 * peak_nm)
    dropped = full[-1] + 1 < len(torque)
    held_s = float(trace.t_s[full[-1] + 1] - trace.t_s[full[0]]) if dropped else math.nan
    warmed = bool(np.isfinite(trace.winding_c).all())
    return [
        Figure("stall_torque_nm", peak_nm, *_said(joint, "tau_max_nm")),
        Figure("full_torque_for_s", held_s),
        Figure("torque_at_end_nm", float(torque[-1])),
        Figure("winding_max_c", float(trace.winding_c.max()) if warmed else math.nan),
    ]


def heating(trace: Trace, joint: Joint | None) -> list[Figure]:
    """The thermal model's numbers, identified; those that the recording leaves open are NaN."""
    known = joint.actuator.thermal if joint else None
    ambient_c = known.ambient_c if known else float(trace.winding_c[:3].mean())
    samples = thermal_samples(trace, ambient_c=ambient_c)
    if known is None:
        found = fit_thermal(samples, strict=False)
    else:
        found = fit_thermal(samples, limit_c=known.limit_c, derate_from_c=known.derate_from_c, strict=False)
    sources = joint.actuator.sources if joint else {}
    return [
        Figure(
            each.name,
            math.nan if each.name in found.open else each.value,
            getattr(known, each.name) if known else math.nan,
            sources.get(f"thermal.{each.name}", "actuator"),
        )
        for each in found.estimates
    ]


EVALUATIONS: Mapping[str, Callable[[Trace, Joint | None], list[Figure]]] = {
    "torque-speed": torque_speed,
    "step": step,
    "frequency": frequency,
    "backlash": backlash,
    "friction": friction,
    "overload": overload,
    "stall": stall,
    "heating": heating,
}


def friction_samples(trace: Trace) -> FrictionSamples:
    """Return one friction sample per run, from its mean torques and speed and the slope of its speed.

    Left out are runs in which the joint turns back, or its speed changes by more than half.

    Args:
        trace: Runs of constant torques and inertia, at least three samples each.

    Raises:
        TraceError: a column is missing, or no run can be used.
    """
    trace.require("t_s", "dq_rad_s", "tau_nm", "tau_external_nm", "inertia_kg_m2")
    if not (trace.inertia_kg_m2 > 0.0).all():
        raise TraceError(f"inertia_kg_m2 = {trace.inertia_kg_m2.min()!r}: must be above 0")
    rows = []
    for each in trace.runs():
        dq = each.dq_rad_s
        t = each.t_s - each.t_s.mean()
        if len(dq) < 3 or not (t @ t) > 0.0:
            raise TraceError(f"run {int(each.run[0])}: {len(dq)} samples, a slope needs three")
        mean = float(dq.mean())
        slope = float(t @ dq / (t @ t))
        if abs(slope) * float(np.ptp(each.t_s)) > 0.5 * abs(mean):
            continue
        motor, load = float(each.tau_nm.mean()), float(each.tau_external_nm.mean())
        rows.append(
            (motor, load, mean, math.copysign(1.0, mean) * (motor + load - float(each.inertia_kg_m2[0]) * slope))
        )
    if not rows:
        raise TraceError("no run keeps its speed long enough to tell friction from acceleration")
    return FrictionSamples(*np.array(rows).T)


def thermal_samples(trace: Trace, *, ambient_c: float) -> ThermalSamples:
    """Return a recording of one run, at a fixed rate, for `identify`; it starts at what was measured before any load.

    Raises:
        TraceError: several runs, another rate on the way, or a column is missing.
    """
    trace.require("t_s", "tau_nm", "winding_c")
    gaps = np.diff(trace.t_s)
    if len(gaps) == 0 or len(np.unique(trace.run)) != 1 or not np.allclose(gaps, gaps[0], rtol=1e-3):
        raise TraceError("t_s: heat is identified from one run at a fixed rate")
    unloaded = max(1, int(np.argmax(trace.tau_nm != 0.0)))
    start_c = float(trace.winding_c[:unloaded].mean())
    return ThermalSamples(float(gaps[0]), trace.tau_nm, trace.winding_c, ambient_c, start_c)


def _said(joint: Joint | None, name: str) -> tuple[float, str]:
    value = getattr(joint.spec, name) if joint else None
    if joint is None or value is None:
        return math.nan, ""
    return value, joint.spec.source(name) or "specification"


def _second_order(joint: Joint) -> tuple[float, float]:
    """Return natural frequency [rad/s] and damping ratio of the ideal joint: sqrt(kp/J) and kd/(2 sqrt(kp J))."""
    joint.amplitude_rad()  # refuses a joint without a position gain
    kp, inertia = joint.spec.kp_nm_rad, joint.actuator.inertia_kg_m2
    return math.sqrt(kp / inertia), joint.spec.kd_nms_rad / (2.0 * math.sqrt(kp * inertia))


def _peak_power_w(spec: JointSpec | None) -> tuple[float, str]:
    """Of a curve that is flat to its knee, then falls straight to zero: at the knee, or at half of no load if later."""
    if spec is None or spec.v_knee_rad_s is None or spec.v_noload_rad_s is None:
        return math.nan, ""
    speed = max(spec.v_knee_rad_s, 0.5 * spec.v_noload_rad_s)
    torque = spec.tau_max_nm * min(1.0, (spec.v_noload_rad_s - speed) / (spec.v_noload_rad_s - spec.v_knee_rad_s))
    return speed * torque, "from the torque-speed curve"


def _corners(speed: Real, torque: Real, peak_nm: float) -> tuple[float, float]:
    """Return the speeds at which a line through the falling part is at the peak torque and at zero."""
    falling = (speed > 0.0) & (torque > 0.1 * peak_nm) & (torque < 0.9 * peak_nm)
    if falling.sum() < 3:
        return math.nan, math.nan
    slope, offset = np.polyfit(speed[falling], torque[falling], 1)
    if slope >= 0.0:
        return math.nan, math.nan
    return float((peak_nm - offset) / slope), float(-offset / slope)


def _first_above(t: Real, values: Real, level: float) -> float:
    """Return when `values` first reach `level`, between samples by a line; NaN if they never do."""
    above = np.flatnonzero(values >= level)
    if len(above) == 0:
        return math.nan
    i = int(above[0])
    if i == 0:
        return float(t[0])
    part = (level - values[i - 1]) / (values[i] - values[i - 1])
    return float(t[i - 1] + part * (t[i] - t[i - 1]))


def _frequency_hz(t: Real, wave: Real) -> float:
    """Return the frequency of a sine with an offset: from its zero crossings, refined by least squares."""
    centred = wave - 0.5 * (wave.max() + wave.min())
    ups = np.flatnonzero((centred[:-1] < 0.0) & (centred[1:] >= 0.0))
    downs = np.flatnonzero((centred[:-1] > 0.0) & (centred[1:] <= 0.0))
    crossings = [float(t[i] - centred[i] * (t[i + 1] - t[i]) / (centred[i + 1] - centred[i])) for i in (*ups, *downs)]
    crossings.sort()
    if len(crossings) < 3:
        raise TraceError("q_ref_rad: a run holds less than a period of its sine")
    guess = 0.5 * (len(crossings) - 1) / (crossings[-1] - crossings[0])

    def misfit(hz: float) -> float:
        angle = 2.0 * np.pi * hz * t
        waves = np.stack([np.sin(angle), np.cos(angle), np.ones_like(angle)], axis=1)
        left = wave - waves @ np.linalg.lstsq(waves, wave, rcond=None)[0]
        return float(left @ left)

    return float(min(guess * np.linspace(0.97, 1.03, 61), key=misfit))


def _mean(values: Real) -> float:
    return float(values.mean()) if len(values) else math.nan
