"""Actuator physics against published numbers, other engines, and between both forms."""

import math
import time
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import controller
from controller import (
    ActuatorPhysics,
    Cohort,
    CommandError,
    Friction,
    JointPhysics,
    LeadScrew,
    LearnedActuator,
    LuGre,
    Plausibility,
    RobotSpec,
    SpecError,
    Thermal,
    kernel,
    load_actuator,
    physics,
    reflected_inertia_kg_m2,
)
from tests.controller.builds import SCALAR_FLAGS, X86, build, isa_flags
from tests.controller.robots import PERIOD_S, joint, robot, running, same_bits

ACTUATORS = Path(controller.__file__).parents[1] / "configs" / "actuators"
compiled_only = pytest.mark.skipif(controller.backend() != "compiled", reason=controller.backend_reason())
WIDE = {
    "tau_rate_nm_s": 1e9, "q_min_rad": -100.0, "q_max_rad": 100.0, "dq_max_rad_s": 1000.0,
    "v_knee_rad_s": None, "v_noload_rad_s": None,
}  # fmt: skip
THERMAL = Thermal(tau_rated_nm=10.0, winding_share=0.3, winding_s=5.0, case_s=100.0)
OVERLOAD_S = {
    "cybergear": {12: 28, 11: 45, 10: 60, 9: 90, 8: 160, 7: 320, 6: 700, 5: 1800, 4.5: 2500},
    "robstride_rs00": {14: 5, 13: 6, 12: 10, 11: 12, 10: 18, 9: 22, 8: 55, 7: 120, 6: 280},
    "robstride_rs03": {60: 7, 50: 12, 40: 26, 30: 189},
    "robstride_el05": {6: 5, 5: 7, 4: 14, 3: 44, 2: 300},
}
"""Torque [N m] to seconds until the limit temperature: vendors' manuals as transcribed publicly."""


def rows(joint_physics: JointPhysics, lanes: int = 1, period_s: float = PERIOD_S) -> physics.Physics:
    spec = RobotSpec(robot_model="one", joints=(joint(),))
    return physics.Physics(ActuatorPhysics(default=joint_physics), spec, period_s, lanes, np.dtype(np.float64))


def budget_nm(friction: Friction, tau: float, external: float, dq: float) -> float:
    values = (np.array([[value]], dtype=np.float64) for value in (tau, external, dq))
    return float(physics.friction_budget(rows(JointPhysics(friction=friction)), *values)[0, 0])


@pytest.mark.parametrize(
    ("tau", "external", "dq", "published"),
    [
        (0.0, 0.0, 0.0, 0.121964328),
        (2.0, -1.0, 0.0, 1.024566888),
        (2.0, -1.0, 1.0, 0.775553701),
        (5.0, -4.0, 0.0, 2.543438081),
        (1.0, -3.0, 0.5, 0.730481415),
    ],
)
def test_friction_of_the_mx_106_is_the_published_one(tau: float, external: float, dq: float, published: float) -> None:
    """BAM's M6 of the Dynamixel MX-106, without the viscous part, which BAM hands over apart."""
    friction = load_actuator(ACTUATORS / "dynamixel_mx106.toml").friction
    assert friction is not None

    assert budget_nm(friction, tau, external, dq) - friction.viscous_nms_rad * abs(dq) == pytest.approx(
        published, abs=1e-9
    )


MODELS = {
    "M1": {},
    "M2": {"stribeck_nm": 0.3, "stribeck_speed_rad_s": 0.7, "stribeck_exponent": 1.35},
    "M3": {"load_motor": 0.1, "load_external": 0.1},
    "M4": {
        "stribeck_nm": 0.3, "stribeck_speed_rad_s": 0.7, "stribeck_exponent": 1.35, "load_motor": 0.1,
        "load_external": 0.1, "load_motor_stribeck": 0.2, "load_external_stribeck": 0.2,
    },
    "M5": {
        "stribeck_nm": 0.3, "stribeck_speed_rad_s": 0.7, "stribeck_exponent": 2.0, "load_motor": 0.1,
        "load_external": 0.05, "load_motor_stribeck": 0.2, "load_external_stribeck": 0.03,
    },
    "M6": {
        "stribeck_nm": 0.3, "stribeck_speed_rad_s": 0.7, "stribeck_exponent": 0.9, "load_motor": 0.1,
        "load_external": 0.05, "load_motor_stribeck": 0.2, "load_external_stribeck": 0.03,
        "quad_motor_per_nm": 0.01, "quad_external_per_nm": 0.02,
    },
}  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
def test_each_friction_model_is_its_formula(model: str) -> None:
    """The six models written out with the mathematics of the standard library, at random points."""
    f = Friction(viscous_nms_rad=0.05, coulomb_nm=0.1, **MODELS[model])
    random = np.random.default_rng(6)
    for tau, external, dq in random.normal(0.0, 3.0, (200, 3)):
        e = math.exp(-(abs(dq / f.stribeck_speed_rad_s) ** f.stribeck_exponent))
        quad = 0.0
        if tau * external < 0.0:
            quad = f.quad_external_per_nm * external**2 if abs(tau) > abs(external) else f.quad_motor_per_nm * tau**2
        expected = f.viscous_nms_rad * abs(dq) + f.coulomb_nm + abs(f.load_motor * tau - f.load_external * external)
        rest = abs(f.load_motor_stribeck * tau - f.load_external_stribeck * external)
        expected += e * (f.stribeck_nm + rest + quad)
        assert budget_nm(f, tau, external, dq) == pytest.approx(expected, abs=1e-9)


def test_a_joint_at_rest_breaks_away_only_above_its_friction(backend: str) -> None:
    """Below the budget no torque reaches the joint; above it, the rest does; a load counts."""
    made = ActuatorPhysics(default=JointPhysics(friction=Friction(coulomb_nm=2.0)))
    cohort = running(RobotSpec(robot_model="one", joints=(joint(**WIDE),)), physics=made, backend=backend)

    def moved_by(push_nm: float, load_nm: float) -> float:
        cohort.set_target(0, tau_ff=push_nm, kp=0.0, kd=0.0)
        cohort.tau_external[:] = load_nm
        cohort.step()
        assert cohort.tau[0, 0] == push_nm
        return float(cohort.tau_joint[0, 0])

    assert moved_by(1.5, 0.0) == 0.0
    assert moved_by(5.0, 0.0) == 3.0
    assert moved_by(5.0, -4.0) == 4.0, "net 1 N m is held by friction: 4 of the motor meet 4 of the load"
    assert moved_by(0.0, -5.0) == 2.0


def test_the_mini_cheetah_meets_its_published_torques(backend: str) -> None:
    """Cheetah-Software's ActuatorModel: gear 6, kt 0.05, 0.173 Ohm, 24 V, damping 0.01, dry friction 0.2, motor
    torque at most 3, command 17 N m. Its model knows no friction at rest, ours does: 0.2 less there."""
    slope = 6.0 * 1.5 * 0.05 * (6.0 * 0.05 * 2.0) / 0.173
    noload = 24.0 / (6.0 * 0.05 * 2.0)
    curve = WIDE | {"tau_max_nm": 18.0, "v_knee_rad_s": noload - 18.0 / slope, "v_noload_rad_s": noload}
    made = ActuatorPhysics(default=JointPhysics(friction=Friction(viscous_nms_rad=0.01, coulomb_nm=0.2)))
    cohort = running(
        RobotSpec(robot_model="hip", joints=(joint(**curve),)), dtype=np.float64, physics=made, backend=backend
    )

    def torque_nm(dq_rad_s: float) -> float:
        cohort.dq[:] = dq_rad_s
        cohort.set_target(0, tau_ff=17.0, kp=0.0, kd=0.0)
        cohort.step()
        return float(cohort.tau_joint[0, 0])

    assert torque_nm(0.0) == pytest.approx(17.0 - 0.2)
    assert [torque_nm(v) for v in (10.0, 20.0, 30.0, 40.0)] == pytest.approx([16.7, 16.6, 15.1069, -0.6], abs=5e-5)


def test_reflected_inertias_are_the_published_ones() -> None:
    """Unitree's two-stage planetary gears as mjlab has them, and the armature of their published tables."""
    for inertias, ratios, published in (
        ((0.139e-4, 0.017e-4, 0.169e-4), (1 + 46 / 18, 1 + 56 / 16), 0.003609725),
        ((0.489e-4, 0.098e-4, 0.533e-4), (4.5, 1 + 48 / 22), 0.01017752004),
        ((0.489e-4, 0.109e-4, 0.738e-4), (4.5, 5.0), 0.025101925),
        ((0.068e-4, 0.0, 0.0), (5.0, 5.0), 0.00425),
    ):
        assert reflected_inertia_kg_m2(inertias, ratios) == pytest.approx(published, abs=1e-9)
    with pytest.raises(SpecError, match="need one inertia more"):
        reflected_inertia_kg_m2([1.0], [2.0])
    with pytest.raises(SpecError, match="must be finite"):
        reflected_inertia_kg_m2([1.0, -1.0], [2.0])


@pytest.mark.parametrize("name", OVERLOAD_S)
def test_the_vendors_overload_tables_are_met_within_a_fifth(name: str) -> None:
    """Constant torque from cold until the limit temperature, short times with small steps; and for ever at
    the rated torque."""
    made = load_actuator(ACTUATORS / f"{name}.toml")
    assert made.thermal is not None
    table = OVERLOAD_S[name]
    tripped = np.full(len(table), np.inf)
    for period_s, until_s in ((0.02, 60.0), (1.0, 3000.0)):
        x = rows(made, len(table), period_s)
        tau = np.array([list(table)], dtype=np.float64)
        for tick in range(1, round(until_s / period_s) + 1):
            physics.heat(x, tau)
            hot = (x.winding[0] >= made.thermal.limit_c) & np.isinf(tripped)
            tripped[hot] = tick * period_s
    x = rows(made, 1, 1.0)
    for _ in range(20_000):
        physics.heat(x, np.array([[made.thermal.tau_rated_nm]]))

    assert tripped == pytest.approx(np.array(list(table.values())), rel=0.2)
    assert x.winding[0, 0] == pytest.approx(made.thermal.limit_c, abs=0.5)


def test_a_hot_winding_takes_torque_away_until_none_is_left(backend: str) -> None:
    spec = RobotSpec(robot_model="one", joints=(joint(**WIDE),))
    cohort = running(spec, physics=ActuatorPhysics(default=JointPhysics(thermal=THERMAL)), backend=backend)
    seen = []
    for winding_c in (25.0, 110.0, 115.0, 120.0, 500.0):
        cohort.winding_c[:] = winding_c
        cohort.set_target(0, tau_ff=1e3, kp=0.0, kd=0.0)
        cohort.step()
        seen.append(float(cohort.tau[0, 0]))

    assert seen == pytest.approx([100.0, 100.0, 50.0, 0.0, 0.0])


def test_a_lower_supply_voltage_lowers_the_speed_and_not_the_torque(backend: str) -> None:
    spec = RobotSpec(robot_model="one", joints=(joint(tau_rate_nm_s=1e9, dq_max_rad_s=1000.0),))
    cohort = running(spec, 2, physics=ActuatorPhysics(), backend=backend)
    cohort.supply[1] = 0.8

    def most(dq_rad_s: float) -> list[float]:
        cohort.dq[:] = dq_rad_s
        cohort.tau_ff[:] = 1e3
        cohort.kp[:] = cohort.kd[:] = 0.0
        cohort.submit()
        cohort.step()
        return [float(tau) for tau in cohort.tau[0]]

    assert most(0.0) == [100.0, 100.0]
    assert most(20.0) == pytest.approx([50.0, 20.0])
    assert most(24.0) == pytest.approx([30.0, 0.0], abs=1e-4)


@pytest.mark.parametrize("bad", [math.nan, -math.inf, math.inf])
def test_a_voltage_or_temperature_that_is_no_number_leaves_no_driving_torque(backend: str, bad: float) -> None:
    spec = RobotSpec(robot_model="one", joints=(joint(tau_rate_nm_s=1e9),))
    made = ActuatorPhysics(default=JointPhysics(thermal=THERMAL))
    cohort = running(spec, 2, physics=made, backend=backend)
    cohort.supply[0] = bad
    cohort.winding_c[0, 1] = abs(bad)
    cohort.dq[:] = 1.0
    cohort.tau_ff[:] = 1e6
    cohort.submit()
    cohort.step()

    assert cohort.tau[0, 0] <= 0.0
    assert cohort.tau[0, 1] == 0.0


def test_play_hides_small_movements_from_the_law(backend: str) -> None:
    """Inside a gap of 0.2 rad nothing is seen; beyond it the motor side is dragged, and lags when turned."""
    made = ActuatorPhysics(default=JointPhysics(backlash_rad=0.2))
    spec = RobotSpec(robot_model="one", joints=(joint(**WIDE),))
    cohort = running(spec, dtype=np.float64, physics=made, backend=backend)
    torques = []
    for q_rad in (0.0, 0.09, -0.09, 0.3, 0.15, 0.0):
        cohort.q[:] = q_rad
        cohort.set_target(0, q_ref=0.0, kp=10.0, kd=0.0)
        cohort.step()
        torques.append(float(cohort.tau[0, 0]))

    assert torques == pytest.approx([0.0, 0.0, 0.0, -2.0, -2.0, -1.0])


def test_a_delay_holds_commands_back_and_forgets_them_at_a_stop(backend: str) -> None:
    spec = RobotSpec(robot_model="one", joints=(joint(**WIDE),))
    made = ActuatorPhysics(command_delay_s=3 * PERIOD_S)
    cohort = running(spec, physics=made, backend=backend)

    def torques(ticks: int) -> list[float]:
        seen = []
        for _ in range(ticks):
            cohort.step()
            seen.append(float(cohort.tau[0, 0]))
        return seen

    cohort.set_target(0, tau_ff=5.0, kp=0.0, kd=0.0)
    assert torques(5) == [0.0, 0.0, 0.0, 5.0, 5.0]
    cohort.request_stop(0, 0)
    assert torques(1) == [0.0]
    cohort.reset(0)
    cohort.arm(0)
    cohort.set_target(0, tau_ff=-1.0, kp=0.0, kd=0.0)

    assert torques(5) == [0.0, 0.0, 0.0, -1.0, -1.0]


def test_the_go2_calf_has_the_torque_and_speed_of_its_knee_gear(backend: str) -> None:
    """Unitree Go2: hip 23.7 N m and 30.1 rad/s, the calf behind another 1.917 to 1: 45.43 N m, 15.70 rad/s."""
    ratio = 1.917
    curve = WIDE | {"tau_max_nm": 23.7 * ratio, "v_knee_rad_s": 0.0, "v_noload_rad_s": 30.1 / ratio}
    spec = RobotSpec(robot_model="calf", joints=(joint(**curve),))
    cohort = running(spec, dtype=np.float64, backend=backend)
    seen = []
    for dq_rad_s in (0.0, 15.70, 15.71):
        cohort.dq[:] = dq_rad_s
        cohort.set_target(0, tau_ff=1e3, kp=0.0, kd=0.0)
        cohort.step()
        seen.append(float(cohort.tau[0, 0]))

    assert seen == [pytest.approx(45.43, abs=5e-3), pytest.approx(0.0, abs=0.01), pytest.approx(0.0, abs=0.03)]
    assert seen[1] > 0.0 > seen[2]


def test_the_torque_speed_curve_is_that_of_mujocos_dc_motor(backend: str) -> None:
    """MuJoCo's dcmotor under the full voltage of either sign, at random speeds: the ends of our envelope."""
    mujoco = pytest.importorskip("mujoco")
    model = mujoco.MjModel.from_xml_string(
        """<mujoco><worldbody><body><joint name="j"/><geom size=".1"/></body></worldbody>
        <actuator><dcmotor joint="j" motorconst="0.1" resistance="0.5"/></actuator></mujoco>"""
    )
    data = mujoco.MjData(model)
    noload = 24.0 / 0.1
    slope = 0.1 * 0.1 / 0.5
    curve = WIDE | {"tau_max_nm": 1e3, "v_noload_rad_s": noload, "v_knee_rad_s": 0.0}
    spec = RobotSpec(robot_model="dc", joints=(joint(**curve),))
    cohort = running(spec, dtype=np.float64, backend=backend)
    cohort.block.parameters[0, controller.block.PARAMETERS.index("tau_slope")] = slope
    for dq_rad_s in np.random.default_rng(2).uniform(-400.0, 400.0, 50):
        for sign in (-1.0, 1.0):
            data.ctrl[0], data.qvel[0] = 24.0 * sign, dq_rad_s
            mujoco.mj_forward(model, data)
            cohort.dq[:] = dq_rad_s
            cohort.set_target(0, tau_ff=900.0 * sign, kp=0.0, kd=0.0)
            cohort.step()
            assert cohort.tau[0, 0] == pytest.approx(data.actuator_force[0], rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_powers_are_accurate(dtype: type) -> None:
    close = {np.float32: 5e-7, np.float64: 1e-12}[dtype]
    x = np.linspace(-79.0, 79.0, 4001, dtype=dtype)
    y = np.geomspace(1e-20, 1e20, 4001, dtype=dtype)

    assert physics.exp2(x).astype(np.float64) == pytest.approx(2.0 ** x.astype(np.float64), rel=close)
    assert physics.exp2(np.zeros(1, dtype)) == 1.0
    assert physics.log2(y).astype(np.float64) == pytest.approx(np.log2(y.astype(np.float64)), rel=close, abs=close)


FULL = ActuatorPhysics(
    default=JointPhysics(
        inertia_kg_m2=0.03,
        backlash_rad=0.05,
        friction=Friction(viscous_nms_rad=0.05, coulomb_nm=0.1, **MODELS["M6"]),
        thermal=THERMAL,
    ),
    joints={"joint_1": JointPhysics(friction=Friction(coulomb_nm=0.5))},
    command_delay_s=2 * PERIOD_S,
)
ODD = ActuatorPhysics(
    default=JointPhysics(
        lugre=LuGre(
            stiffness_nm_rad=200.0, damping_nms_rad=0.1, coulomb_nm=0.4, static_nm=0.7, stribeck_speed_rad_s=0.3,
            viscous_nms_rad=0.02,
        ),
    ),
    joints={
        "joint_1": JointPhysics(
            friction=Friction(coulomb_nm=0.1, stribeck_nm=0.2, stribeck_exponent=2.0),
            lead_screw=LeadScrew(lead_m=0.01, efficiency_forward=0.7, efficiency_backward=-0.2),
        ),
        "joint_2": JointPhysics(learned=LearnedActuator(
            widths=(4, 9, 5, 1), weights=tuple(math.sin(3.0 * i) for i in range(101)), activation="tanh",
            history_s=3 * PERIOD_S, torque_scale=30.0,
        )),
    },
    command_delay_s=PERIOD_S,
    command_jitter_s=4 * PERIOD_S,
    seed=1 << 40 | 5,
)  # fmt: skip
STRANGE = [0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-40, 1e38, -3e38, 5.0, -5.0]


def assert_agreement(compiled: Cohort, plain: Cohort, ticks: int) -> None:
    random = np.random.default_rng(8)
    for _ in range(ticks):
        values = {
            name: random.normal(0.0, 3.0, plain.q.shape) for name in ("q", "dq", "q_ref", "tau_ff", "tau_external")
        }
        for name in ("dq", "q", "tau_external"):
            odd = random.random(plain.q.shape) < 0.004
            values[name] = np.where(odd, random.choice(STRANGE, plain.q.shape), values[name])
        supply = random.uniform(0.5, 1.2, plain.units)
        with np.errstate(over="ignore"):
            for cohort in (compiled, plain):
                for name, value in values.items():
                    getattr(cohort, name)[:] = value
                cohort.supply[:] = supply
                cohort.submit()
                cohort.step()
        memories = compiled.block.memory(), plain.block.memory()
        for name, array in memories[0].items():
            assert same_bits(array, memories[1][name]), name
        assert np.isfinite(compiled.tau_joint).all()


@compiled_only
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("units", [1, 40, 1100])
@pytest.mark.parametrize("made", [FULL, ODD], ids=["full", "odd"])
def test_both_forms_agree_in_every_bit_with_full_physics(units: int, dtype: type, made: ActuatorPhysics) -> None:
    """Full: every term of friction, play, heat, delay. Odd: LuGre, a screw, a network, random delay, inspection."""
    looks = Plausibility(interval_s=2 * PERIOD_S, frozen_window_s=4 * PERIOD_S, travel_rad=4.0, stuck_share=0.2)
    compiled, plain = (
        running(robot(3), units, dtype=dtype, backend=b, physics=made, plausibility=looks if made is ODD else None)
        for b in ("compiled", "numpy")
    )
    assert_agreement(compiled, plain, 60 if units < 1000 else 20)


# It builds the kernel anew, which takes minutes where the processor is shared with many.
@pytest.mark.timeout(600)
@compiled_only
def test_full_physics_agrees_on_plain_sse2_and_without_vectors_and_is_slower_there() -> None:
    """Other builds give the same bits. The ratio guards vectorisation: about 3 with AVX2."""
    builds = {"scalar": build(*SCALAR_FLAGS), "shipped": kernel.loaded().handle}
    if X86:
        builds["sse2"] = build(*isa_flags("x86-64"))
    for handle in builds.values():
        for dtype, made in product((np.float32, np.float64), (FULL, ODD)):
            forms = [running(robot(3), 40, dtype=dtype, backend=b, physics=made) for b in ("compiled", "numpy")]
            forms[0].step = kernel.bind([forms[0].block], handle)
            assert_agreement(forms[0], forms[1], 20)

    steps = {
        name: kernel.bind([running(robot(29), 256, physics=FULL).block], builds[name]) for name in ("scalar", "shipped")
    }
    times_s: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(15):
        for name, step in steps.items():
            start_s = time.perf_counter()
            step()
            times_s[name].append(time.perf_counter() - start_s)

    assert min(times_s["scalar"]) > 1.5 * min(times_s["shipped"])


@compiled_only
@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.lists(st.sampled_from(STRANGE), min_size=3, max_size=3), min_size=5, max_size=5))
def test_both_forms_agree_with_physics_on_any_numbers(rows: list[list[float]]) -> None:
    compiled, plain = (running(robot(3), backend=b, physics=FULL) for b in ("compiled", "numpy"))
    for _ in range(4):
        with np.errstate(over="ignore"):
            for cohort in (compiled, plain):
                for name, values in zip(("q", "dq", "q_ref", "tau_ff", "tau_external"), rows, strict=True):
                    getattr(cohort, name)[:, 0] = np.array(values)
                cohort.submit()
                cohort.step()

        assert same_bits(compiled.tau_joint, plain.tau_joint)
        assert np.isfinite(plain.tau_joint).all()
        assert np.isfinite(plain.winding_c).all()


def test_wrong_actuators_are_refused_by_name(tmp_path: Path) -> None:
    for wrong in (
        lambda: Friction(coulomb_nm=-1.0),
        lambda: Friction(stribeck_speed_rad_s=0.0),
        lambda: Friction(coulomb_nm=math.nan),
        lambda: Thermal(tau_rated_nm=1.0, winding_share=1.0, winding_s=1.0, case_s=1.0),
        lambda: JointPhysics(inertia_kg_m2=0.0),
        lambda: ActuatorPhysics(command_delay_s=math.inf),
    ):
        with pytest.raises(SpecError):
            wrong()
    with pytest.raises(SpecError, match="no joint 'tail'"):
        Cohort(robot(), 1, PERIOD_S, physics=ActuatorPhysics(joints={"tail": JointPhysics()}))
    with pytest.raises(CommandError):
        Cohort(robot(), 0, PERIOD_S, physics=ActuatorPhysics())
    file = tmp_path / "bad.toml"
    for text, reason in (
        ("backlash_rad = 0.1", "must be { value"),
        ('backlash_rad = { value = 0.1, source = "" }', "must be { value"),
        ('backlash_rad = { value = -0.1, source = "x" }', "not negative"),
        ('colour = { value = 0.1, source = "x" }', "colour"),
        ("[[", "bad.toml"),
    ):
        file.write_text(text)
        with pytest.raises(SpecError, match=reason):
            load_actuator(file)


def test_every_shipped_actuator_loads_and_names_a_source_for_each_number() -> None:
    files = sorted(ACTUATORS.glob("*.toml"))
    assert len(files) >= 5
    for file in files:
        made = load_actuator(file)
        assert made.sources
        assert all(len(source) > 5 for source in made.sources.values())
