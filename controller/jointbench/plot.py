"""Pictures of what the bench recorded, and of measured against fitted."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from controller.identify.friction import FrictionFit, FrictionSamples, friction_nm
from controller.identify.thermal import ThermalFit, ThermalSamples
from controller.jointbench.figure import Figure, frequency_response, friction_samples
from controller.jointbench.procedure import Joint
from controller.jointbench.trace import Trace

BLUE, RUST, GREEN = "#1f6f8b", "#c0562f", "#5b7f3a"


def draw(test: str, trace: Trace, figures: Sequence[Figure], joint: Joint | None, path: Path) -> None:
    """Write a PNG of one test."""
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    name = f"{joint.spec.name}: " if joint else ""
    DRAWINGS[test](axes, trace, {each.name: each.value for each in figures}, joint)
    axes.set_title(f"{name}{test}")
    axes.grid(alpha=0.3, which="both")
    figure.savefig(path, dpi=90)
    plt.close(figure)


def draw_friction(samples: FrictionSamples, fits: Sequence[FrictionFit], path: Path) -> None:
    """Write a PNG: measured against fitted for the best model, and what each model leaves unexplained."""
    plt = _pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", width_ratios=(3, 2))
    best = fits[0]
    fitted = friction_nm(best.friction, samples.tau_motor_nm, samples.tau_external_nm, samples.dq_rad_s)
    dots = left.scatter(fitted, samples.friction_nm, c=np.abs(samples.dq_rad_s), s=6, cmap="viridis")
    ends = [min(fitted.min(), samples.friction_nm.min()), max(fitted.max(), samples.friction_nm.max())]
    left.plot(ends, ends, color=RUST, linewidth=1)
    left.set(title=f"friction, {best.model}", xlabel="fitted [N m]", ylabel="measured [N m]")
    figure.colorbar(dots, ax=left, label="speed [rad/s]")
    ordered = sorted(fits, key=lambda each: each.model)
    colours = [BLUE if not each.open else "#b9b9b9" for each in ordered]
    right.bar([each.model for each in ordered], [each.rms_nm for each in ordered], color=colours)
    right.set(title="left unexplained (grey: left open)", ylabel="root mean square [N m]")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def draw_thermal(samples: ThermalSamples, fits: Sequence[ThermalFit], path: Path) -> None:
    """Write a PNG: winding temperature as measured and by each fit, and the torque that heated it."""
    plt = _pyplot()
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(8, 5), sharex=True, layout="constrained", height_ratios=(3, 1))
    t_s = samples.period_s * np.arange(len(samples.tau_nm))
    upper.plot(t_s, samples.winding_c, ".", color="#b9b9b9", markersize=3, label="measured")
    for each, colour in zip(fits, (BLUE, RUST), strict=False):
        nodes = "one node" if each.nodes == 1 else "two nodes"
        upper.plot(t_s, each.predicted_c, color=colour, label=f"{nodes}, {each.rms_k:.2g} K left")
    upper.set(ylabel="winding [°C]", title="heat, measured and fitted")
    upper.legend()
    lower.step(t_s, samples.tau_nm, where="post", color=GREEN)
    lower.set(xlabel="time [s]", ylabel="torque [N m]")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _torque_speed(axes: Any, trace: Trace, figures: Mapping[str, float], joint: Joint | None) -> None:
    for sign, colour in ((1.0, BLUE), (-1.0, RUST)):
        mine = np.sign(trace.tau_nm) == sign
        order = np.argsort(trace.dq_rad_s[mine])
        axes.plot(trace.dq_rad_s[mine][order], trace.tau_nm[mine][order], ".", color=colour, markersize=4)
    if joint and joint.spec.v_knee_rad_s is not None and joint.spec.v_noload_rad_s is not None:
        knee, noload, top = joint.spec.v_knee_rad_s, joint.spec.v_noload_rad_s, joint.spec.tau_max_nm
        corners = np.array([[-noload, top], [knee, top], [noload, 0.0]])
        for sign in (1.0, -1.0):
            axes.plot(sign * corners[:, 0], sign * corners[:, 1], color="black", linewidth=0.8)
    axes.set(xlabel="speed [rad/s]", ylabel="motor torque [N m]")


def _step(axes: Any, trace: Trace, figures: Mapping[str, float], joint: Joint | None) -> None:
    axes.plot(trace.t_s, trace.q_ref_rad, color="black", linewidth=0.8, label="command")
    axes.plot(trace.t_s, trace.q_rad, color=BLUE, label=f"position, overshoot {figures['overshoot']:.0%}")
    axes.set(xlabel="time [s]", ylabel="position [rad]")
    axes.legend()


def _frequency(axes: Any, trace: Trace, figures: Mapping[str, float], joint: Joint | None) -> None:
    hz, gain, phase_rad = frequency_response(trace)
    axes.semilogx(hz, 20.0 * np.log10(gain), ".-", color=BLUE)
    axes.axhline(-3.0, color="black", linewidth=0.8)
    if not math.isnan(figures["bandwidth_hz"]):
        axes.axvline(figures["bandwidth_hz"], color=RUST, label=f"bandwidth {figures['bandwidth_hz']:.3g} Hz")
        axes.legend(loc="lower left")
    axes.set(xlabel="frequency [Hz]", ylabel="gain [dB]")
    other = axes.twinx()
    other.semilogx(hz, np.degrees(np.unwrap(phase_rad)), "--", color=GREEN)
    other.set_ylabel("phase [deg], dashed")


def _backlash(axes: Any, trace: Trace, figures: Mapping[str, float], joint: Joint | None) -> None:
    for way, colour in ((1.0, BLUE), (-1.0, RUST)):
        mine = np.sign(trace.dq_rad_s) == way
        axes.plot(trace.q_rad[mine], trace.tau_nm[mine], ".", color=colour, markersize=2)
    axes.axhline(0.0, color="black", linewidth=0.8)
    if figures["backlash_rad"] > 1e-9:
        # The gap is small against the way the joint is turned: show where the branches cross zero.
        middle = 0.5 * (trace.q_rad.max() + trace.q_rad.min())
        near = np.abs(trace.q_rad - middle) < 4.0 * figures["backlash_rad"]
        axes.set_xlim(middle - 4.0 * figures["backlash_rad"], middle + 4.0 * figures["backlash_rad"])
        axes.set_ylim(float(trace.tau_nm[near].min()), float(trace.tau_nm[near].max()))
    axes.set(xlabel=f"position [rad], play {figures['backlash_rad']:.3g} rad", ylabel="motor torque [N m]")


def _friction(axes: Any, trace: Trace, figures: Mapping[str, float], joint: Joint | None) -> None:
    samples = friction_samples(trace)
    load = np.maximum(np.abs(samples.tau_motor_nm), np.abs(samples.tau_external_nm))
    dots = axes.scatter(samples.dq_rad_s, samples.friction_nm, c=load, s=6, cmap="viridis")
    axes.figure.colorbar(dots, ax=axes, label="larger of motor and load [N m]")
    axes.set(xlabel="speed [rad/s]", ylabel="friction [N m]")


def _overload(axes: Any, trace: Trace, figures: Mapping[str, float], joint: Joint | None) -> None:
    times = {name: value for name, value in figures.items() if name.startswith("time_to_limit_at_")}
    torques = [float(name.split("_at_")[1].split("_nm")[0]) for name in times]
    axes.semilogx(list(times.values()), torques, "o-", color=BLUE)
    for name, colour in (("rated_torque_at_least_nm", GREEN), ("rated_torque_at_most_nm", RUST)):
        if not math.isnan(figures[name]):
            axes.axhline(figures[name], color=colour, linewidth=0.8, label=name.replace("_", " "))
    axes.legend()
    axes.set(xlabel="time until the winding is at its limit [s]", ylabel="torque [N m]")


def _stall(axes: Any, trace: Trace, figures: Mapping[str, float], joint: Joint | None) -> None:
    axes.plot(trace.t_s, np.abs(trace.tau_nm), color=BLUE)
    axes.set(xlabel="time [s]", ylabel="motor torque [N m]", ylim=(0.0, 1.1 * float(np.abs(trace.tau_nm).max())))
    if np.isfinite(trace.winding_c).all():
        other = axes.twinx()
        other.plot(trace.t_s, trace.winding_c, "--", color=RUST)
        other.set_ylabel("winding [°C], dashed")


DRAWINGS: Mapping[str, Callable[[Any, Trace, Mapping[str, float], Joint | None], None]] = {
    "torque-speed": _torque_speed,
    "step": _step,
    "frequency": _frequency,
    "backlash": _backlash,
    "friction": _friction,
    "overload": _overload,
    "stall": _stall,
    "heating": _stall,
}


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
