"""The joint bench: what was put into a joint is what comes out of its tests."""

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import controller
from controller import Friction, JointPhysics, TraceError, load_actuator
from controller.__main__ import main
from controller.jointbench import (
    PROCEDURES,
    Figure,
    Joint,
    Noise,
    Trace,
    command,
    evaluate,
    friction_samples,
    read_trace,
    run,
)
from controller.jointbench.command import add_bench_arguments, bench_joint
from controller.jointbench.trace import join
from tests.controller.robots import joint
from tests.controller.test_physics import OVERLOAD_S

ACTUATORS = Path(controller.__file__).parents[1] / "configs" / "actuators"
IDEAL = Joint(
    spec=joint(tau_max_nm=40.0, kp_nm_rad=100.0, kd_nms_rad=1.5, q_min_rad=-1.5, q_max_rad=1.5),
    actuator=JointPhysics(inertia_kg_m2=0.05),
)


def figures(test: str, mounted: Joint) -> dict[str, Figure]:
    return {each.name: each for each in evaluate(test, run(test, mounted), mounted)}


def with_actuator(**numbers: object) -> Joint:
    return replace(IDEAL, actuator=replace(IDEAL.actuator, **numbers))


@pytest.mark.parametrize(("knee", "noload"), [(10.0, 30.0), (2.0, 5.0), (0.0, 12.0)])
def test_the_sweep_finds_the_corners_of_the_torque_speed_curve(knee: float, noload: float) -> None:
    mounted = replace(IDEAL, spec=replace(IDEAL.spec, v_knee_rad_s=knee, v_noload_rad_s=noload))
    found = figures("torque-speed", mounted)

    assert found["peak_torque_nm"].value == pytest.approx(40.0)
    assert found["knee_speed_rad_s"].value == pytest.approx(knee, abs=1e-6)
    assert found["no_load_speed_rad_s"].value == pytest.approx(noload)
    assert all(each.agrees for each in found.values())
    speed = max(knee, noload / 2)
    assert found["peak_power_w"].value == pytest.approx(
        speed * min(40.0, 40 * (noload - speed) / (noload - knee)), rel=0.02
    )


def test_a_joint_without_a_curve_shows_no_corners() -> None:
    mounted = replace(IDEAL, spec=replace(IDEAL.spec, v_knee_rad_s=None, v_noload_rad_s=None))

    assert math.isnan(figures("torque-speed", mounted)["no_load_speed_rad_s"].value)


def test_a_measured_joint_weaker_than_its_specification_is_told() -> None:
    """The very purpose: a recording of a joint with 80 % of the torque, held against the data sheet."""
    weak = replace(IDEAL, spec=replace(IDEAL.spec, tau_max_nm=32.0))
    recorded = run("torque-speed", weak)
    found = {each.name: each for each in evaluate("torque-speed", recorded, IDEAL)}

    assert found["peak_torque_nm"].agrees is False
    assert found["no_load_speed_rad_s"].agrees


def test_a_figure_agrees_within_five_percent_or_on_its_side_of_a_bound() -> None:
    assert [Figure("f", value, 100.0).agrees for value in (94.0, 96.0, 104.0, 106.0)] == [False, True, True, False]
    assert [Figure("f", v, 100.0, "", "at least").agrees for v in (10.0, 106.0)] == [True, False]
    assert [Figure("f", v, 100.0, "", "at most").agrees for v in (94.0, 900.0)] == [False, True]
    assert Figure("f", math.nan, 100.0).agrees is None and Figure("f", 1.0).agrees is None


def test_the_bench_answers_a_contradiction_with_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A core that gave 80 % of the torque it is specified for would be told."""
    parser = argparse.ArgumentParser()
    add_bench_arguments(parser)
    given = parser.parse_args(["--test", "torque-speed"])
    assert bench_joint(IDEAL.spec, given) == 0
    weak = run("torque-speed", replace(IDEAL, spec=replace(IDEAL.spec, tau_max_nm=32.0)))
    monkeypatch.setattr(command, "run", lambda test, joint: weak)

    assert bench_joint(IDEAL.spec, given) == 1
    assert "DIFFERS" in capsys.readouterr().out


def test_an_ideal_joint_steps_as_the_textbook_says() -> None:
    """kp 20, kd 0.3, 0.01 kg m^2: overshoot 0.326765; semi-implicit Euler at 1 ms is 0.0201 off, of first order."""
    mounted = replace(
        IDEAL,
        spec=replace(IDEAL.spec, kp_nm_rad=20.0, kd_nms_rad=0.3, tau_rate_nm_s=1e9),
        actuator=JointPhysics(inertia_kg_m2=0.01),
    )
    found = figures("step", mounted)

    assert found["overshoot"].expected == pytest.approx(0.326765, abs=1e-6)
    assert found["overshoot"].value == pytest.approx(0.326765, abs=0.021)
    assert found["final_error_rad"].value < 1e-4


def test_friction_damps_the_step_and_leaves_an_error() -> None:
    rubbing = with_actuator(friction=Friction(coulomb_nm=2.0))
    free, braked = figures("step", IDEAL), figures("step", rubbing)

    assert braked["overshoot"].value < free["overshoot"].value
    assert 1e-3 < braked["final_error_rad"].value <= 2.0 / 100.0


def test_the_bandwidth_is_that_of_a_second_order_joint_and_shrinks_with_friction() -> None:
    free = figures("frequency", IDEAL)["bandwidth_hz"]
    braked = figures("frequency", with_actuator(friction=Friction(coulomb_nm=4.0)))["bandwidth_hz"]

    assert free.value == pytest.approx(free.expected, rel=0.03)
    assert braked.value < 0.95 * free.value


@pytest.mark.parametrize("width_rad", [0.0, 0.002, 0.03])
def test_the_play_that_was_put_in_is_found(width_rad: float) -> None:
    mounted = with_actuator(backlash_rad=width_rad, friction=Friction(coulomb_nm=1.0, viscous_nms_rad=0.2))
    noisy = Noise(q_rad=1e-5).on(run("backlash", mounted), seed=1)
    found = {each.name: each for each in evaluate("backlash", noisy, mounted)}

    assert found["backlash_rad"].value == pytest.approx(width_rad, abs=1e-4)


def test_a_friction_sample_is_the_friction_that_acts() -> None:
    mounted = with_actuator(friction=Friction(coulomb_nm=1.5, viscous_nms_rad=0.1))
    samples = friction_samples(run("friction", mounted))

    assert len(samples.dq_rad_s) > 500
    assert samples.friction_nm == pytest.approx(1.5 + 0.1 * np.abs(samples.dq_rad_s), abs=0.01)


@pytest.mark.parametrize("name", ["robstride_rs03", "robstride_el05"])
def test_overload_times_are_the_vendors_within_a_fifth(name: str) -> None:
    """The core under constant torque on a locked rig, against the vendor's table between its own points."""
    actuator = load_actuator(ACTUATORS / f"{name}.toml")
    assert actuator.thermal is not None
    mounted = replace(IDEAL, spec=replace(IDEAL.spec, tau_max_nm=1e3), actuator=actuator)
    found = figures("overload", mounted)
    torques, times = zip(*sorted(OVERLOAD_S[name].items()), strict=True)
    compared = 0
    for label, each in found.items():
        torque = float(label.split("_at_")[1].split("_nm")[0]) if label.startswith("time_to_limit") else 0.0
        if torques[0] <= torque <= torques[-1]:
            published = math.exp(np.interp(math.log(torque), np.log(torques), np.log(times)))
            assert each.value == pytest.approx(published, rel=0.2)
            compared += 1

    assert compared >= 3
    assert (
        found["rated_torque_at_least_nm"].value < actuator.thermal.tau_rated_nm < found["rated_torque_at_most_nm"].value
    )


def test_a_stalled_joint_loses_torque_to_heat_and_its_winding_stays_below_the_limit() -> None:
    actuator = load_actuator(ACTUATORS / "robstride_rs03.toml")
    mounted = replace(IDEAL, spec=replace(IDEAL.spec, tau_max_nm=60.0), actuator=actuator)
    found = figures("stall", mounted)

    assert found["stall_torque_nm"].value == 60.0
    assert 5.0 < found["full_torque_for_s"].value < 8.0, (
        "60 N m: 7 s by the vendor's table, derating begins a little before"
    )
    assert found["torque_at_end_nm"].value < 40.0
    assert 110.0 < found["winding_max_c"].value < 120.0


def test_both_forms_of_the_core_give_the_same_recording(backend: str) -> None:
    mounted = replace(with_actuator(backlash_rad=0.01, friction=Friction(coulomb_nm=1.0)), backend=backend)
    reference = run("torque-speed", replace(mounted, backend="numpy"))

    assert np.array_equal(run("torque-speed", mounted).tau_nm, reference.tau_nm)


def test_a_recording_survives_its_file(tmp_path: Path) -> None:
    recorded = run("torque-speed", IDEAL)
    recorded.write(tmp_path / "sweep.csv")
    again = read_trace(tmp_path / "sweep.csv")

    assert np.array_equal(again.run, recorded.run)
    assert again.tau_nm == pytest.approx(recorded.tau_nm, rel=1e-8)
    assert np.isnan(again.winding_c).all(), "no thermal model, no temperature"
    assert evaluate("torque-speed", again, IDEAL) == evaluate("torque-speed", again, IDEAL)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no samples"),
        ("t_s,q_rad\n", "no samples"),
        ("q_rad\n1\n", "t_s"),
        ("t_s,torque\n0,1\n", "'torque'"),
        ("t_s,t_s\n0,1\n", "once"),
        ("t_s,q_rad\n0\n", "line 2"),
        ("t_s,q_rad\n0,abc\n", "'abc'"),
        ("t_s,q_rad\n0,1\n\n0.1,1\n0.1,2\n", "line 5"),
        ("t_s,q_rad\n0,1\n,1\n", "line 3"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_with_its_place(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(TraceError, match=told):
        read_trace(path)


def test_recordings_that_lack_what_a_test_needs_are_refused_by_the_column() -> None:
    recorded = run("torque-speed", IDEAL)
    blind = replace(recorded, tau_nm=np.full_like(recorded.tau_nm, np.nan))
    with pytest.raises(TraceError, match="tau_nm"):
        evaluate("torque-speed", blind)
    with pytest.raises(TraceError, match="no step"):
        evaluate("step", recorded)
    with pytest.raises(TraceError, match="three"):
        friction_samples(replace(recorded, tau_external_nm=recorded.tau_nm))
    with pytest.raises(TraceError, match="no test 'shake'"):
        evaluate("shake", recorded)
    with pytest.raises(TraceError, match="no test 'shake'"):
        run("shake", IDEAL)
    with pytest.raises(TraceError, match="thermal"):
        run("overload", IDEAL)
    with pytest.raises(TraceError, match="gain is 0"):
        run("step", replace(IDEAL, spec=replace(IDEAL.spec, kp_nm_rad=0.0)))
    with pytest.raises(TraceError, match="OVER_SPEED"):
        run("step", replace(IDEAL, spec=replace(IDEAL.spec, dq_max_rad_s=0.1)))
    with pytest.raises(TraceError, match="no samples"):
        Trace(*[np.zeros(0)] * 9)


def test_recordings_are_evaluated_and_identified_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = Friction(coulomb_nm=1.5, viscous_nms_rad=0.1)
    mounted = with_actuator(friction=truth)
    some = join(list(run("friction", mounted).runs())[::4])
    noisy = Noise(dq_rad_s=1e-3, tau_nm=0.01).on(some, seed=0)
    noisy.write(tmp_path / "friction.csv")
    out = tmp_path / "out"

    assert main(["evaluate-joint", str(tmp_path / "friction.csv"), "--test", "friction", "--out", str(out)]) == 0
    command = ["identify", "friction", str(tmp_path / "friction.csv"), "--model", "M1", "--out", str(out)]
    assert main(command) == 0
    found = load_actuator(out / "friction.toml").friction
    assert found is not None
    assert found.coulomb_nm == pytest.approx(1.5, rel=0.05)
    assert found.viscous_nms_rad == pytest.approx(0.1, rel=0.1)
    assert {path.name for path in out.iterdir()} == {"friction.png", "friction-fit.png", "friction.toml"}
    assert main(["identify", "thermal", str(tmp_path / "friction.csv")]) == 2
    assert "error: " in capsys.readouterr().err


def test_admission_on_the_command_line_says_yes_no_and_why_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["admit-bus", "mit-can", "--joints", "6", "--rate-hz", "400"]) == 0
    assert main(["admit-bus", "mit-can", "--joints", "6", "--rate-hz", "1000"]) == 1
    assert main(["admit-bus", "mit-can", "--joints", "6", "--rate-hz", "400", "--bit-rate-hz", "0"]) == 2
    assert main(["admit-bus", "ethercat", "--joints", "29", "--rate-hz", "1000", "--command-b", "12"]) == 2
    told = capsys.readouterr()
    assert "highest rate     493 Hz" in told.out
    assert "--reply-b" in told.err


def test_every_test_draws_its_picture(tmp_path: Path) -> None:
    from controller.jointbench.plot import DRAWINGS, draw

    assert set(DRAWINGS) == set(PROCEDURES)
    for test in ("torque-speed", "backlash"):
        recorded = run(test, IDEAL)
        draw(test, recorded, evaluate(test, recorded, IDEAL), IDEAL, tmp_path / f"{test}.png")
        assert (tmp_path / f"{test}.png").read_bytes().startswith(b"\x89PNG")
