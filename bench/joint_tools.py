"""How well known actuators are identified from noisy recordings, how fast targets are limited, what buses carry.

Draws the pictures of docs/control.md. Actuators are files of configs/actuators; the sensors' noise stands here.
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from controller import JointSpec, TargetLimiter, load_actuator
from controller.bus import PROTOCOLS, Bus, EtherCatBus, Exchange, admit
from controller.identify import fit_friction, fit_thermal, select_friction
from controller.jointbench import Joint, Noise, evaluate, friction_samples, thermal_samples
from controller.jointbench import run as run_test
from controller.jointbench.plot import DRAWINGS, draw_friction, draw_thermal

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
ACTUATORS = ROOT / "configs" / "actuators"
SEEDS = 3
NOISE = Noise(q_rad=1e-4, dq_rad_s=2e-3, tau_nm=0.01, tau_external_nm=0.01, winding_c=0.5)
PERIOD_S = 0.002


def servo() -> Joint:
    """The Dynamixel MX-106 with play; limits and gains are of its size class, only friction and inertia are its own."""
    spec = JointSpec(
        name="servo", q_min_rad=-2.5, q_max_rad=2.5, dq_max_rad_s=6.0, tau_max_nm=8.0, tau_rate_nm_s=4000.0,
        kp_nm_rad=20.0, kd_nms_rad=0.6, v_knee_rad_s=2.0, v_noload_rad_s=6.0,
    )  # fmt: skip
    return Joint(spec=spec, actuator=replace(load_actuator(ACTUATORS / "dynamixel_mx106.toml"), backlash_rad=0.01))


def hot() -> Joint:
    """The RobStride RS03 and its thermal model; its peak torque is 60 N m (vendor's manual)."""
    return replace(
        servo(),
        spec=replace(servo().spec, name="RS03", tau_max_nm=60.0),
        actuator=load_actuator(ACTUATORS / "robstride_rs03.toml"),
    )


def run() -> dict[str, object]:
    """Measure, draw, and return the figures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    _draw_bench()
    return {
        "friction_m6": _friction(),
        "thermal": _thermal(),
        "limited_joints_per_s": _limiter(),
        "bus_rate_max_hz": _buses(),
    }


def _friction() -> dict[str, object]:
    # The whole torque at every speed: a brake and a dyno test what the curve would hide.
    bare = replace(servo(), spec=replace(servo().spec, v_knee_rad_s=None, v_noload_rad_s=None))
    clean, truth = run_test("friction", bare), bare.actuator.friction
    chosen, errors, inside, count = [], dict[str, list[float]](), 0, 0
    for seed in range(SEEDS):
        samples = friction_samples(NOISE.on(clean, seed=seed))
        fits = select_friction(samples, dq_max_rad_s=6.0, tau_max_nm=8.0)
        chosen.append(fits[0].model)
        if seed == 0:
            draw_friction(samples, fits, IMAGES / "joint-friction.png")
        for each in fit_friction(samples, "M6", dq_max_rad_s=6.0, tau_max_nm=8.0, strict=False).estimates:
            true = getattr(truth, each.name)
            if true > 1e-3:  # the servo has two terms that are next to nothing
                errors.setdefault(each.name, []).append(abs(each.value / true - 1.0))
            inside += abs(each.value - true) <= each.half_width
            count += 1
    return {
        "chosen": chosen,
        "share_inside_intervals": round(inside / count, 3),
        "median_relative_error": {name: round(float(np.median(values)), 4) for name, values in errors.items()},
    }


def _thermal() -> dict[str, object]:
    joint = hot()
    clean, truth = run_test("heating", joint), joint.actuator.thermal
    worst = dict[str, float]()
    for seed in range(SEEDS):
        samples = thermal_samples(NOISE.on(clean, seed=seed), ambient_c=25.0)
        two, one = fit_thermal(samples), fit_thermal(samples, nodes=1, strict=False)
        if seed == 0:
            draw_thermal(samples, (two, one), IMAGES / "joint-heat.png")
        for each in two.estimates:
            error = abs(each.value / getattr(truth, each.name) - 1.0)
            worst[each.name] = round(max(worst.get(each.name, 0.0), error), 4)
    return {
        "worst_relative_error": worst,
        "left_k": {"two_nodes": round(two.rms_k, 3), "one_node": round(one.rms_k, 3)},
    }


def _limiter() -> dict[str, int]:
    """Return joints per second for one robot and for many, by 29 joints each."""
    rates = {}
    for units in (1, 1024):
        limiter = TargetLimiter(-2.0, 2.0, 5.0, 40.0, PERIOD_S)
        limiter.start(np.zeros((29, units)))
        target = np.random.default_rng(0).uniform(-2.0, 2.0, (29, units))
        times_s = []
        for _ in range(200 if units == 1 else 30):
            start_s = time.perf_counter()
            limiter.step(target)
            times_s.append(time.perf_counter() - start_s)
        rates[str(units)] = round(29 * units / float(np.median(times_s)))
    return rates


def _buses() -> dict[str, dict[str, float]]:
    buses: dict[str, tuple[Bus, Exchange]] = {
        **PROTOCOLS,
        "ethercat": (EtherCatBus(), Exchange(command_b=12, reply_b=12)),
    }
    return {
        name: {
            str(joints): admit(bus, exchange, joints=joints, rate_hz=1.0).rate_max_hz for joints in (1, 2, 6, 12, 29)
        }
        for name, (bus, exchange) in buses.items()
    }


def _draw_bench() -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, all_axes = plt.subplots(2, 3, figsize=(14, 7), layout="constrained")
    tests = (
        ("torque-speed", servo()), ("step", servo()), ("frequency", servo()),
        ("backlash", servo()), ("overload", hot()), ("stall", hot()),
    )  # fmt: skip
    for axes, (test, joint) in zip(all_axes.flat, tests, strict=True):
        trace = run_test(test, joint)
        DRAWINGS[test](axes, trace, {each.name: each.value for each in evaluate(test, trace, joint)}, joint)
        axes.set_title(f"{joint.spec.name}: {test}")
        axes.grid(alpha=0.3, which="both")
    figure.savefig(IMAGES / "joint-bench.png", dpi=80)
    plt.close(figure)

    figure, (position, speed) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    limiter = TargetLimiter(-1.0, 1.0, 2.0, 12.0, PERIOD_S)
    limiter.start(0.0)
    times_s = PERIOD_S * np.arange(1200)
    targets = np.select([times_s < 0.7, times_s < 1.0, times_s < 1.6], [0.8, -0.9, 1.4], 0.2)
    path = np.array([limiter.step(target) for target in targets])
    position.plot(times_s, targets, color="black", linewidth=0.8, label="target")
    position.plot(times_s, path[:, 0], color="#1f6f8b", label="what the law sees")
    position.axhspan(1.0, 1.5, color="#dddddd")
    position.set(xlabel="time [s]", ylabel="position [rad]", title="targets that jump (grey: outside the range)")
    position.legend(loc="lower right")
    speed.plot(times_s, path[:, 1], color="#c0562f")
    speed.set(xlabel="time [s]", ylabel="speed [rad/s]", title="2 rad/s and 12 rad/s² at most")
    for axes in (position, speed):
        axes.grid(alpha=0.3)
    figure.savefig(IMAGES / "targets-limited.png", dpi=80)
    plt.close(figure)
