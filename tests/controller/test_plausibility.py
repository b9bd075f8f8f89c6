"""Frozen encoders and stuck joints are found; robots that stand, hold, lean and move are left alone."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import Cohort, Fault, Plausibility, RobotSpec, SpecError, State
from tests.controller.robots import PERIOD_S, joint, keep_commanding, running

NOISE_RAD = 1e-5
"""Of a good encoder, and of the emulated units."""
SPEC = RobotSpec(
    robot_model="arm", joints=tuple(joint(f"joint_{i}", kp_nm_rad=100.0, kd_nms_rad=5.0) for i in range(3))
)


class Bench:
    """Three joints of 0.5 kg m^2 that follow their targets, with noisy encoders, under gravity-like loads."""

    def __init__(self, backend: str, *, seed: int = 3, spec: RobotSpec = SPEC, **plausibility: float) -> None:
        self.cohort = running(spec, 2, backend=backend, plausibility=Plausibility(**plausibility))
        self.q, self.dq = np.zeros((3, 2)), np.zeros((3, 2))
        self.load_nm = np.zeros((3, 2))
        self.stuck = np.zeros((3, 2), np.bool_)
        self.frozen: dict[tuple[int, int], float] = {}
        self.noise_rad = NOISE_RAD
        self.random = np.random.default_rng(seed)

    def run(self, ticks: int, q_ref: float | None = None) -> None:
        if q_ref is not None:
            self.cohort.q_ref[:] = q_ref
        for _ in range(ticks):
            self.cohort.submit()
            self.cohort.step()
            self.dq += (self.cohort.tau.astype(np.float64) + self.load_nm) / 0.5 * PERIOD_S
            self.dq[self.stuck] = 0.0
            self.q += self.dq * PERIOD_S
            self.cohort.q[:] = self.q + self.noise_rad * self.random.standard_normal(self.q.shape)
            self.cohort.dq[:] = self.dq
            for place, q_rad in self.frozen.items():
                self.cohort.q[place], self.cohort.dq[place] = q_rad, 0.0

    def swing(self, ticks: int, amplitude_rad: float = 0.6) -> None:
        for tick in range(ticks // 10):
            self.run(10, amplitude_rad * math.sin(2.0 * math.pi * tick * 10 * PERIOD_S))


def test_a_frozen_encoder_is_found_named_and_stops_its_unit_alone(backend: str) -> None:
    bench = Bench(backend)
    bench.swing(500)
    assert not bench.cohort.unit_fault.any()
    bench.frozen[1, 0] = float(bench.cohort.q[1, 0])
    bench.swing(300)

    assert bench.cohort.joint_faults(0) == {"joint_1": Fault.ENCODER_FROZEN}
    assert bench.cohort.unit_state(0) == State.STOPPED
    assert bench.cohort.unit_state(1) == State.RUN
    assert not bench.cohort.tau[:, 0].any()


def test_a_stuck_joint_is_found_named_and_braked(backend: str) -> None:
    bench = Bench(backend)
    bench.swing(500)
    bench.stuck[2, 1] = True
    bench.swing(600)

    assert bench.cohort.joint_faults(1) == {"joint_2": Fault.JOINT_STUCK}
    assert bench.cohort.unit_state(1) == State.STOPPED
    assert bench.cohort.unit_state(0) == State.RUN


@pytest.mark.parametrize("noise_rad", [0.0, NOISE_RAD])
def test_a_robot_standing_still_is_not_called_frozen(backend: str, noise_rad: float) -> None:
    """Three seconds at rest under a load of 60 % of the largest torque, with an encoder that shows noise or none."""
    bench = Bench(backend)
    bench.noise_rad = noise_rad
    bench.load_nm[:] = [[60.0], [-30.0], [0.0]]
    bench.run(1500, 0.1)

    assert np.abs(bench.dq).max() < 1e-3, "it stands"
    assert np.abs(bench.cohort.tau).max() > 55.0, "and holds a load"
    assert not bench.cohort.unit_fault.any()


@pytest.mark.parametrize("noise_rad", [0.0, NOISE_RAD])
def test_a_torque_of_the_tick_that_is_looked_at_says_nothing_of_a_position_measured_before_it(
    backend: str, noise_rad: float
) -> None:
    """At rest for long, then a step to the full torque, in each of the ticks between two looks."""
    sudden = RobotSpec(
        robot_model="sudden", joints=tuple(joint(f"j{i}", kp_nm_rad=900.0, tau_rate_nm_s=1e9) for i in range(3))
    )
    for ticks in range(200, 200 + 10):
        bench = Bench(backend, spec=sudden)
        bench.noise_rad = noise_rad
        bench.run(ticks, 0.0)
        bench.run(60, 0.5)

        assert np.abs(bench.cohort.tau).max() > 0.0
        assert not (bench.cohort.unit_fault & (Fault.JOINT_STUCK | Fault.ENCODER_FROZEN)).any(), ticks


def test_a_robot_leaning_on_a_wall_is_not_called_stuck(backend: str) -> None:
    """A stiff wall takes what the joint pushes: it yields by more than noise, and the push stays as it is."""
    bench = Bench(backend)
    for tick in range(900):
        bench.load_nm[:] = np.where(bench.q > 0.5, -1e4 * (bench.q - 0.5) - 50.0 * bench.dq, 0.0)
        bench.run(1, 0.9 if tick < 600 else 0.6)

    assert np.abs(bench.cohort.tau).max() > 5.0
    assert not bench.cohort.unit_fault.any()


def test_a_joint_pressed_against_the_end_of_its_range_is_not_judged(backend: str) -> None:
    bench = Bench(backend)
    bench.run(500, 0.0)
    bench.q[:] = 1.995
    bench.stuck[:] = True
    bench.run(300, 1.995)
    bench.cohort.tau_ff[:] = 80.0
    bench.run(300, 1.995)

    assert not (bench.cohort.unit_fault & (Fault.JOINT_STUCK | Fault.ENCODER_FROZEN)).any()


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    moves=st.lists(st.tuples(st.integers(1, 30), st.floats(-1.5, 1.5)), min_size=3, max_size=12),
    load_nm=st.floats(-60.0, 60.0),
)
def test_no_sound_robot_is_called_broken_whatever_it_is_told(
    seed: int, moves: list[tuple[int, float]], load_nm: float
) -> None:
    """Random targets, held or jumping, under random loads: jumps swing the torque fully, but the joint moves."""
    bench = Bench("numpy" if seed % 5 == 0 else Cohort(SPEC, 1, PERIOD_S).backend, seed=seed)
    bench.load_nm[:] = load_nm
    for tens, q_ref_rad in moves:
        bench.run(10 * tens, q_ref_rad)

    assert not (bench.cohort.unit_fault & (Fault.JOINT_STUCK | Fault.ENCODER_FROZEN)).any()


def test_a_fault_found_stays_until_a_reset_and_comes_back_if_it_is_still_there(backend: str) -> None:
    bench = Bench(backend)
    bench.frozen[0, 0] = 0.0
    bench.swing(300)
    assert Fault.ENCODER_FROZEN in bench.cohort.unit_faults(0)
    bench.run(50, 0.0)
    bench.cohort.reset(0)
    assert bench.cohort.unit_faults(0) == Fault.NONE
    bench.cohort.arm(0)
    bench.swing(300)
    assert Fault.ENCODER_FROZEN in bench.cohort.unit_faults(0)
    bench.frozen.clear()
    bench.q[:] = bench.dq[:] = 0.0
    bench.run(50, 0.0)
    bench.cohort.reset(0)
    bench.cohort.arm(0)
    bench.swing(500)

    assert bench.cohort.unit_state(0) == State.RUN


def test_units_without_power_are_not_judged(backend: str) -> None:
    cohort = Cohort(SPEC, 1, PERIOD_S, backend=backend, plausibility=Plausibility())
    keep_commanding(cohort, 300)

    assert cohort.unit_state(0) == State.INIT
    assert not cohort.unit_fault.any()


def test_impossible_plausibility_is_refused_by_name() -> None:
    for wrong in ({"interval_s": 0.0}, {"stuck_window_s": math.nan}, {"travel_rad": -1.0}, {"frozen_share": 0.0}):
        with pytest.raises(SpecError, match=next(iter(wrong))):
            Plausibility(**wrong)
    with pytest.raises(SpecError, match=r"frozen_window_s = 0\.5: must not be below interval_s"):
        Plausibility(interval_s=1.0, frozen_window_s=0.5)
