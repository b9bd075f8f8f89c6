"""Known parameters are recovered from noisy measurements, and measurements that cannot tell are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import controller
from controller import Friction, JointPhysics, NotExcitedError, Thermal, TraceError, load_actuator
from controller.identify import (
    MODELS,
    FrictionSamples,
    ThermalSamples,
    fit_friction,
    fit_thermal,
    select_friction,
)
from controller.identify.fit import fit
from controller.identify.friction import friction_nm
from controller.jointbench import Joint, Noise, friction_samples, run, thermal_samples
from tests.controller.robots import joint
from tests.controller.test_physics import budget_nm

ACTUATORS = Path(controller.__file__).parents[1] / "configs" / "actuators"
MX106 = load_actuator(ACTUATORS / "dynamixel_mx106.toml")
RANGE = {"dq_max_rad_s": 6.0, "tau_max_nm": 8.0}
SERVO = joint(tau_max_nm=8.0, dq_max_rad_s=6.0, v_knee_rad_s=None, v_noload_rad_s=None, kp_nm_rad=20.0)
NOISE_NM = 0.01


def friction_of(model: str) -> Friction:
    """The MX-106's M6 with what the model does not have left out, and numbers with which each term counts."""
    numbers = {name: getattr(MX106.friction, name) for name in MODELS[model]} | {"coulomb_nm": 0.15}
    if "stribeck_nm" in numbers:
        numbers |= {"stribeck_nm": 0.3, "stribeck_speed_rad_s": 0.8}
    for ours, follows in (("load_external", "load_motor"), ("load_external_stribeck", "load_motor_stribeck")):
        if model in ("M3", "M4"):
            numbers[ours] = numbers.get(follows, 0.0)
    return Friction(**numbers)


def samples(friction: Friction, *, seed: int, count: int = 300, noise_nm: float = NOISE_NM) -> FrictionSamples:
    random = np.random.default_rng(seed)
    tau, external = random.uniform(-8.0, 8.0, (2, count))
    dq = random.choice([-1.0, 1.0], count) * np.geomspace(0.05, 6.0, count)
    measured = friction_nm(friction, tau, external, dq) + random.normal(0.0, noise_nm, count)
    return FrictionSamples(tau, external, dq, measured)


def test_the_friction_that_is_fitted_is_the_friction_that_the_core_applies() -> None:
    random = np.random.default_rng(5)
    for model in MODELS:
        friction = friction_of(model)
        for tau, external, dq in random.uniform(-3.0, 3.0, (20, 3)):
            ours = friction_nm(friction, *(np.array([x]) for x in (tau, external, dq)))[0]
            assert ours == pytest.approx(budget_nm(friction, tau, external, dq), rel=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_each_model_is_recovered_within_its_intervals_over_seeds(model: str) -> None:
    """95 % intervals: of all numbers over the seeds at most a seventh may lie outside, and none far out."""
    truth, outside, count = friction_of(model), 0, 0
    for seed in range(2):
        found = fit_friction(samples(truth, seed=seed), model, **RANGE)
        assert found.rms_nm == pytest.approx(NOISE_NM, rel=0.12)
        for each in found.estimates:
            error = abs(each.value - getattr(truth, each.name))
            outside += error > each.half_width
            count += 1
            assert error <= 2.5 * each.half_width, each.name

    assert outside <= max(2, count / 7)


@pytest.mark.parametrize("model", ["M3", "M6"])
def test_the_model_that_made_the_data_is_chosen_and_lesser_ones_score_worse(model: str) -> None:
    fits = select_friction(samples(friction_of(model), seed=1), **RANGE)
    by_name = {each.model: each for each in fits}

    assert fits[0].model == model
    lesser = [name for name in MODELS if set(MODELS[name]) < set(MODELS[model])]
    for name in lesser:
        assert by_name[name].rms_nm > 1.05 * by_name[model].rms_nm
        assert by_name[name].bic > by_name[model].bic


def test_the_bench_recovers_a_real_servos_friction_from_noisy_sensors() -> None:
    """MX-106, M6: released at many speeds under many loads, speeds and torques measured with noise."""
    clean = run("friction", Joint(spec=SERVO, actuator=MX106))
    assert MX106.friction is not None
    trace = Noise(dq_rad_s=2e-3, tau_nm=0.01, tau_external_nm=0.01).on(clean, seed=1)
    found = fit_friction(friction_samples(trace), "M6", **RANGE)
    for each in found.estimates:
        assert abs(each.value - getattr(MX106.friction, each.name)) <= 2.0 * each.half_width, each.name
    numbers = {each.name: each for each in found.estimates}
    for name in ("load_motor", "load_motor_stribeck", "load_external_stribeck", "stribeck_speed_rad_s"):
        assert numbers[name].value == pytest.approx(getattr(MX106.friction, name), rel=0.1)


@pytest.mark.parametrize(
    ("change", "model", "named"),
    [
        ({"dq_rad_s": np.full(300, 2.0)}, "M1", "viscous_nms_rad"),
        ({"tau_motor_nm": np.zeros(300), "tau_external_nm": np.zeros(300)}, "M3", "load_motor"),
        ({"dq_rad_s": np.linspace(20.0, 60.0, 300)}, "M2", "stribeck_nm"),
    ],
)
def test_data_that_do_not_excite_a_parameter_are_refused_by_its_name(
    change: dict[str, np.ndarray], model: str, named: str
) -> None:
    poor = replace(samples(friction_of("M2"), seed=2), **change)
    friction = friction_nm(friction_of("M2"), poor.tau_motor_nm, poor.tau_external_nm, poor.dq_rad_s)
    noise = np.random.default_rng(4).normal(0.0, NOISE_NM, 300)
    poor = replace(poor, friction_nm=friction + noise)

    with pytest.raises(NotExcitedError, match=named):
        fit_friction(poor, model, **RANGE)
    assert named in fit_friction(poor, model, **RANGE, strict=False).open
    best = select_friction(poor, **RANGE, models=("M1", "M2", "M3"))[0]
    assert best.model != model or named in best.open


def test_motor_and_load_that_never_differ_leave_their_shares_open() -> None:
    """At constant speed without friction to speak of the load mirrors the motor: only the sum of the shares shows."""
    base = samples(friction_of("M5"), seed=3)
    mirrored = replace(base, tau_external_nm=-base.tau_motor_nm)
    noise = np.random.default_rng(6).normal(0.0, NOISE_NM, 300)
    measured = friction_nm(friction_of("M5"), mirrored.tau_motor_nm, mirrored.tau_external_nm, mirrored.dq_rad_s)

    with pytest.raises(NotExcitedError, match="load_external"):
        fit_friction(replace(mirrored, friction_nm=measured + noise), "M5", **RANGE)


def test_samples_that_are_none_are_refused_by_name() -> None:
    good = samples(friction_of("M1"), seed=0, count=30)
    with pytest.raises(TraceError, match=r"dq_rad_s\[7\]"):
        replace(good, dq_rad_s=np.where(np.arange(30) == 7, 0.0, good.dq_rad_s))
    with pytest.raises(TraceError, match=r"friction_nm\[3\]"):
        replace(good, friction_nm=np.where(np.arange(30) == 3, np.nan, good.friction_nm))
    with pytest.raises(TraceError, match="tau_motor_nm"):
        replace(good, tau_motor_nm=np.zeros(29))
    with pytest.raises(TraceError, match="M7"):
        fit_friction(good, "M7", **RANGE)
    with pytest.raises(NotExcitedError, match="too few"):
        fit_friction(good, "M6", **RANGE)


THERMAL = Thermal(tau_rated_nm=20.0, winding_share=0.3, winding_s=13.0, case_s=400.0)


@pytest.fixture(scope="module")
def clean_heating() -> ThermalSamples:
    """Twenty minutes under a load that steps, by the core itself."""
    bench = Joint(spec=joint(tau_max_nm=100.0), actuator=JointPhysics(thermal=THERMAL))
    return thermal_samples(run("heating", bench), ambient_c=25.0)


def with_noise(clean: ThermalSamples, seed: int, noise_k: float = 0.5) -> ThermalSamples:
    noise = np.random.default_rng(seed).normal(0.0, noise_k, len(clean.winding_c))
    return replace(clean, winding_c=clean.winding_c + noise)


def test_two_nodes_are_recovered_within_three_percent_and_one_node_explains_far_less(
    clean_heating: ThermalSamples,
) -> None:
    for seed in range(2):
        measured = with_noise(clean_heating, seed)
        found, single = fit_thermal(measured), fit_thermal(measured, nodes=1, strict=False)

        assert found.thermal is not None
        for each in found.estimates:
            assert each.value == pytest.approx(getattr(THERMAL, each.name), rel=0.03), each.name
            assert each.half_width < 0.1 * each.value
        assert found.rms_k == pytest.approx(0.5, rel=0.1)
        assert single.rms_k > 5.0 * found.rms_k
        assert single.bic > found.bic


def test_recordings_that_cannot_tell_are_refused_with_what_to_do(clean_heating: ThermalSamples) -> None:
    noisy = with_noise(clean_heating, 1)
    short = replace(noisy, tau_nm=noisy.tau_nm[:60], winding_c=noisy.winding_c[:60])
    with pytest.raises(NotExcitedError, match="case_s"):
        fit_thermal(short)
    cold = replace(clean_heating, tau_nm=0.0 * clean_heating.tau_nm, winding_c=0.0 * clean_heating.tau_nm + 25.0)
    with pytest.raises(NotExcitedError, match="heat it more"):
        fit_thermal(cold)
    with pytest.raises(TraceError, match="50"):
        ThermalSamples(1.0, np.ones(10), np.ones(10), 25.0, 25.0)
    with pytest.raises(TraceError, match="period_s"):
        replace(clean_heating, period_s=0.0)
    with pytest.raises(TraceError, match="nodes"):
        fit_thermal(clean_heating, nodes=3)


def test_least_squares_of_a_line_have_the_textbooks_intervals() -> None:
    """Oracle: the closed form of linear regression, within bounds and at one."""
    random = np.random.default_rng(0)
    x = np.linspace(0.0, 1.0, 200)
    y = 2.0 + 3.0 * x + random.normal(0.0, 0.1, 200)
    found = fit(lambda p: p[0] + p[1] * x - y, [0.0, 0.0], [-10.0, -10.0], [10.0, 10.0])
    design = np.stack([np.ones_like(x), x], axis=1)
    expected, cost = np.linalg.lstsq(design, y, rcond=None)[:2]
    errors = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * cost[0] / 198)

    assert found.values == pytest.approx(expected, rel=1e-6)
    assert found.half_widths == pytest.approx(1.96 * errors, rel=1e-5)
    bounded = fit(lambda p: p[0] + p[1] * x - y, [0.0, 0.0], [-10.0, -10.0], [10.0, 2.5])
    assert bounded.values[1] == 2.5
    assert bounded.values[0] == pytest.approx((y - 2.5 * x).mean(), rel=1e-6)
    flat = fit(lambda p: p[0] + 0.0 * p[1] - y, [0.0, 0.0], [-10.0, -10.0], [10.0, 10.0])
    assert np.isinf(flat.half_widths[1]) and np.isfinite(flat.half_widths[0])
