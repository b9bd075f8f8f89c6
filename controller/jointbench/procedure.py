"""The procedures of the bench: what is commanded, for how long, and what is kept.

Each takes a `Joint` and returns a `Trace`; `figure.py` reads the same traces as it reads those of a real joint.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from controller.actuator import JointPhysics, Thermal
from controller.cohort import Backend
from controller.errors import TraceError
from controller.jointbench.rig import Rig
from controller.jointbench.trace import Trace, join
from controller.spec import JointSpec

PERIOD_S = 0.001
FRICTION_WINDOW_TICKS = 12
"""Long enough to see an acceleration through a sensor's noise, short enough for a speed to stay what it was."""

REST_SAMPLES = 10
"""Without load, from which the temperature at the start is known."""


@dataclass(frozen=True, kw_only=True)
class Joint:
    """What is mounted.

    Attributes:
        spec: Limits and gains.
        actuator: Inertia (with what hangs on the joint), friction, play, heat.
        command_delay_s: As in `ActuatorPhysics`.
        backend: Of the core; None takes the compiled one where there is one.
    """

    spec: JointSpec
    actuator: JointPhysics = field(default_factory=JointPhysics)
    command_delay_s: float = 0.0
    backend: Backend | None = None

    def rig(self, *, rigs: int = 1, period_s: float = PERIOD_S, flywheel_kg_m2: float = 0.0) -> Rig:
        """Mount it as it is, with all its limits."""
        return Rig(
            self.spec, self.actuator, rigs=rigs, period_s=period_s, flywheel_kg_m2=flywheel_kg_m2,
            command_delay_s=self.command_delay_s, backend=self.backend,
        )  # fmt: skip

    def unlimited(self) -> "Joint":
        """Return it without end stops, speed limit and torque rate: what hides the motor on a bench."""
        free = replace(self.spec, q_min_rad=-1e9, q_max_rad=1e9, dq_max_rad_s=1e9, tau_rate_nm_s=1e12)
        return replace(self, spec=free)

    def fastest_rad_s(self) -> float:
        """Return the fastest speed at which it still has its full torque."""
        return min(self.spec.dq_max_rad_s, self.spec.v_knee_rad_s or self.spec.dq_max_rad_s)

    def flywheel_kg_m2(self) -> float:
        """Return a flywheel with which twice 0.8 of its torque changes its speed by a tenth of the fastest in a run."""
        return 1.6 * self.spec.tau_max_nm * FRICTION_WINDOW_TICKS * PERIOD_S / (0.1 * self.fastest_rad_s())

    def amplitude_rad(self) -> float:
        """Return a position step that takes half of the torque, within a quarter of the range."""
        range_rad = 0.25 * (self.spec.q_max_rad - self.spec.q_min_rad)
        if self.spec.kp_nm_rad == 0.0:
            raise TraceError(f"joint {self.spec.name!r}: its position gain is 0, it does not follow positions")
        return min(range_rad, 0.5 * self.spec.tau_max_nm / self.spec.kp_nm_rad)


def torque_speed(joint: Joint) -> Trace:
    """All torque it has, each way, at speeds that a dyno imposes: one run per speed and direction, its last sample."""
    spec = joint.spec
    fastest = 1.25 * spec.v_noload_rad_s if spec.v_noload_rad_s else 1.5 * spec.dq_max_rad_s
    speeds = np.tile(np.linspace(-fastest, fastest, 101), 2)
    push_nm = 2.0 * spec.tau_max_nm * np.repeat([1.0, -1.0], 101)
    rig = joint.unlimited().rig(rigs=len(speeds))
    for _ in range(2 + round(joint.command_delay_s / PERIOD_S)):
        rig.step(tau_ff_nm=push_nm, dq_imposed_rad_s=speeds)
    return rig.seen()


def step(joint: Joint) -> Trace:
    """A step of the position, with the joint's own gains and limits."""
    spec, rig = joint.spec, joint.rig()
    start_rad, amplitude_rad = float(rig.q_rad[0]), joint.amplitude_rad()
    length_s = min(max(12.0 / _natural_rad_s(joint), 0.1, 24.0 * joint.actuator.inertia_kg_m2 / _damping(joint)), 5.0)
    gains = {"kp_nm_rad": spec.kp_nm_rad, "kd_nms_rad": spec.kd_nms_rad}
    seen = []
    for tick in range(10 + round(length_s / PERIOD_S)):
        rig.step(q_ref_rad=start_rad if tick < 10 else start_rad + amplitude_rad, **gains)
        seen.append(rig.seen())
    return join(seen)


def frequency(joint: Joint) -> Trace:
    """Sines of the position command, one run per frequency; the last two periods of six are kept."""
    spec = joint.spec
    natural_hz = _natural_rad_s(joint) / (2.0 * math.pi)
    frequencies_hz = np.geomspace(max(0.2 * natural_hz, 0.2), min(10.0 * natural_hz, 0.1 / PERIOD_S), 30)
    rig = joint.rig(rigs=len(frequencies_hz))
    start_rad, amplitude_rad = float(rig.q_rad[0]), 0.5 * joint.amplitude_rad()
    every = np.maximum(1, np.round(1.0 / (frequencies_hz * PERIOD_S * 64.0))).astype(int)
    first, last = np.ceil(4.0 / frequencies_hz / PERIOD_S), np.ceil(6.0 / frequencies_hz / PERIOD_S)
    kept = []
    for tick in range(int(last.max()) + 1):
        q_ref_rad = start_rad + amplitude_rad * np.sin(2.0 * np.pi * frequencies_hz * tick * PERIOD_S)
        rig.step(q_ref_rad=q_ref_rad, kp_nm_rad=spec.kp_nm_rad, kd_nms_rad=spec.kd_nms_rad)
        due = (tick >= first) & (tick <= last) & (tick % every == 0)
        if due.any():
            kept.append(_keep(rig.seen(), due))
    return _by_run(join(kept))


def backlash(joint: Joint) -> Trace:
    """The dyno turns the joint slowly to and fro, three times, against a motor that holds its position."""
    # The position gain alone: damping would add its own lag to what is read as play.
    rig, amplitude_rad, cycle_s = joint.unlimited().rig(), joint.amplitude_rad(), 2.0
    start_rad, speed = float(rig.q_rad[0]), 4.0 * amplitude_rad / cycle_s
    seen = []
    for tick in range(round(3.0 * cycle_s / PERIOD_S)):
        phase = (tick * PERIOD_S / cycle_s + 0.25) % 1.0
        turning = speed if phase < 0.5 else -speed
        rig.step(q_ref_rad=start_rad, kp_nm_rad=joint.spec.kp_nm_rad, dq_imposed_rad_s=turning)
        seen.append(rig.seen())
    return join(seen)


def friction(joint: Joint) -> Trace:
    """Released at a speed under constant torques of motor and load, for a dozen ticks; one run per combination.

    The flywheel keeps the speed change of a run small against the fastest speed.
    """
    spec = joint.spec
    fastest = joint.fastest_rad_s()
    speeds = np.geomspace(0.02 * fastest, 0.9 * fastest, 16)
    motors = spec.tau_max_nm * np.array([-0.8, -0.4, -0.13, 0.13, 0.4, 0.8])
    # Never the motor's own torques: of two equal ones noise would decide which of them drives.
    loads = spec.tau_max_nm * np.array([-0.65, -0.27, -0.06, 0.06, 0.27, 0.65])
    dq, motor, load = (grid.ravel() for grid in np.meshgrid(np.concatenate([-speeds, speeds]), motors, loads))
    rig = joint.unlimited().rig(rigs=len(dq), flywheel_kg_m2=joint.flywheel_kg_m2())
    for _ in range(1 + round(joint.command_delay_s / PERIOD_S)):
        rig.step(tau_ff_nm=motor, dq_imposed_rad_s=dq)
    # What went before is the dyno's; from here on the joint is free.
    seen = []
    for _ in range(FRICTION_WINDOW_TICKS):
        rig.step(tau_ff_nm=motor, tau_load_nm=load)
        seen.append(rig.seen())
    return _by_run(join(seen))


def overload(joint: Joint) -> Trace:
    """Constant torques above and below the rated one, each from cold, until the winding is at its limit.

    Derating is put off to far beyond the limit, as vendors' overload tables hold the torque. Kept are samples 2 % of
    their time apart.
    """
    thermal = joint.actuator.thermal
    if thermal is None:
        raise TraceError(f"joint {joint.spec.name!r}: its actuator has no thermal model to overload")
    bench = replace(joint.unlimited(), actuator=replace(joint.actuator, thermal=_without_derating(thermal)))
    ratios = [0.9, 0.98, 1.02, 1.1, 1.25, 1.5, 2.0, 2.5, 3.0]
    torques = np.array([r * thermal.tau_rated_nm for r in ratios if r * thermal.tau_rated_nm <= joint.spec.tau_max_nm])
    if len(torques) == 0:
        raise TraceError(f"joint {joint.spec.name!r}: its torque limit is below what it can hold for ever")
    rig = bench.rig(rigs=len(torques), period_s=thermal.winding_s / 100.0)
    return _hold(rig, torques, until_s=5.0 * thermal.case_s)


def stall(joint: Joint) -> Trace:
    """All torque against a locked output, as the joint is: with derating, for five time constants of the winding."""
    thermal = joint.actuator.thermal
    period_s = PERIOD_S if thermal is None else thermal.winding_s / 500.0
    rig = joint.unlimited().rig(period_s=period_s)
    return _hold(rig, np.array([joint.spec.tau_max_nm]), until_s=1.0 if thermal is None else 5.0 * thermal.winding_s)


def heating(joint: Joint) -> Trace:
    """Loads that step up and down against a locked output, then none: what identifies heat. One run at a fixed rate."""
    thermal = joint.actuator.thermal
    if thermal is None:
        raise TraceError(f"joint {joint.spec.name!r}: its actuator has no thermal model to heat")
    ticks_per_sample = 10
    period_s = thermal.winding_s / 13.0 / ticks_per_sample
    rig = joint.unlimited().rig(period_s=period_s)
    samples = min(max(round(3.0 * thermal.case_s / period_s / ticks_per_sample), 400), 3000)
    # Long enough for the winding to follow each step, and off for the last quarter: then only the case remembers.
    phase = np.arange(samples) % 180
    load_nm = thermal.tau_rated_nm * np.select([phase < 30, phase < 90], [1.25, 0.4], 0.75)
    load_nm[:REST_SAMPLES] = 0.0
    load_nm[3 * samples // 4 :] = 0.0
    seen = []
    for tick in range(samples * ticks_per_sample):
        rig.step(tau_ff_nm=float(load_nm[tick // ticks_per_sample]), dq_imposed_rad_s=0.0)
        if tick % ticks_per_sample == 0:
            seen.append(rig.seen())
    return join(seen)


PROCEDURES: Mapping[str, Callable[[Joint], Trace]] = {
    "torque-speed": torque_speed,
    "step": step,
    "frequency": frequency,
    "backlash": backlash,
    "friction": friction,
    "overload": overload,
    "stall": stall,
    "heating": heating,
}


def run(test: str, joint: Joint) -> Trace:
    """Run one test of `PROCEDURES` on the simulated bench.

    Raises:
        TraceError: no such test, or the joint lacks what it tests, or the core stopped it.
    """
    if test not in PROCEDURES:
        raise TraceError(f"no test {test!r}: there are {', '.join(PROCEDURES)}")
    return PROCEDURES[test](joint)


def _without_derating(thermal: Thermal) -> Thermal:
    """Return the same heat with its limit 1000 K higher: the rated torque is what would lead there."""

    def losses(rise_k: float) -> float:
        return rise_k / (1.0 + thermal.copper_per_k * rise_k)

    rise_k = thermal.limit_c - thermal.ambient_c
    rated_nm = thermal.tau_rated_nm * math.sqrt(losses(rise_k + 1000.0) / losses(rise_k))
    far_c = thermal.limit_c + 1000.0
    return replace(thermal, tau_rated_nm=rated_nm, limit_c=far_c, derate_from_c=far_c - 1.0)


def _hold(rig: Rig, torques_nm: np.ndarray, *, until_s: float) -> Trace:
    kept, next_tick = [], 0
    for tick in range(round(until_s / rig.cohort.period_s)):
        rig.step(tau_ff_nm=torques_nm, dq_imposed_rad_s=0.0)
        if tick >= next_tick:
            kept.append(rig.seen())
            next_tick = max(tick + 1, round(1.02 * tick))
    return _by_run(join([*kept, rig.seen()]))


def _keep(seen: Trace, mask: np.ndarray) -> Trace:
    return replace(seen, **{name: values[mask] for name, values in vars(seen).items()})


def _by_run(seen: Trace) -> Trace:
    order = np.argsort(seen.run, kind="stable")
    return replace(seen, **{name: values[order] for name, values in vars(seen).items()})


def _natural_rad_s(joint: Joint) -> float:
    joint.amplitude_rad()
    return math.sqrt(joint.spec.kp_nm_rad / joint.actuator.inertia_kg_m2)


def _damping(joint: Joint) -> float:
    return max(joint.spec.kd_nms_rad, 1e-3 * joint.actuator.inertia_kg_m2 * _natural_rad_s(joint))
