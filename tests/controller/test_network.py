"""Learned actuators: against plain mathematics, in a loop, and files that are refused."""

import hashlib
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import controller
from controller import ActuatorPhysics, Cohort, JointPhysics, LearnedActuator, RobotSpec, SpecError, load_actuator
from controller.learned import ACTIVATIONS, count_weights
from tests.controller.robots import PERIOD_S, joint, robot, running

WIDTHS = (6, 32, 32, 1)
WIDE = {"q_min_rad": -2.0, "q_max_rad": 2.0, "tau_rate_nm_s": 1e9, "v_knee_rad_s": None, "v_noload_rad_s": None}


def random_weights(seed: int = 1, widths: tuple[int, ...] = WIDTHS) -> tuple[float, ...]:
    return tuple(float(np.float32(w)) for w in np.random.default_rng(seed).normal(0.0, 0.3, count_weights(widths)))


def learned(**changes: Any) -> LearnedActuator:
    made: dict[str, Any] = {
        "widths": WIDTHS, "weights": random_weights(), "history_s": 2 * PERIOD_S, "position_scale": 2.0,
        "velocity_scale": 0.1, "torque_scale": 20.0,
    }  # fmt: skip
    return LearnedActuator(**(made | changes))


def with_network(made: LearnedActuator, backend: str, **options: Any) -> Cohort:
    spec = RobotSpec(robot_model="one", joints=(joint("knee", **WIDE), joint("hip", **WIDE)), watchdog_s=1e6)
    actuators = ActuatorPhysics(joints={"knee": JointPhysics(learned=made)})
    return running(spec, dtype=np.float64, physics=actuators, backend=backend, **options)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_joints_torque_is_what_the_layers_make_of_its_last_errors_and_speeds(backend: str, activation: Any) -> None:
    """Against matrix products in f64: errors and speeds of now, 2 and 4 ticks ago, newest first."""
    made = learned(activation=activation)
    cohort = with_network(made, backend)
    layers, at = [], 0
    for inputs, outputs in pairwise(WIDTHS):
        matrix = np.array(made.weights[at : at + inputs * outputs]).reshape(outputs, inputs)
        at += inputs * outputs
        layers.append((matrix, np.array(made.weights[at : at + outputs])))
        at += outputs
    act = {"softsign": lambda x: x / (1 + np.abs(x)), "tanh": np.tanh, "relu": lambda x: np.maximum(x, 0.0)}
    random, past = np.random.default_rng(5), [(0.0, 0.0)] * 5
    for _ in range(12):
        q_ref, q, dq = random.uniform(-2.5, 2.5), random.normal(), random.normal(0.0, 3.0)
        cohort.q[:], cohort.dq[:] = q, dq
        cohort.set_target(0, q_ref=q_ref, kp=50.0, kd=1.0, tau_ff=7.0)
        cohort.step()
        past = [(float(np.clip(q_ref, -2.0, 2.0)) - q, dq), *past]
        x = np.array([2.0 * past[k][0] for k in (0, 2, 4)] + [0.1 * past[k][1] for k in (0, 2, 4)])
        for index, (matrix, biases) in enumerate(layers):
            x = matrix @ x + biases
            x = x if index == len(layers) - 1 else act[activation](x)

        assert cohort.tau[0, 0] == pytest.approx(np.clip(20.0 * x[0], -100.0, 100.0), rel=1e-9, abs=1e-9)
        assert cohort.tau[1, 0] == pytest.approx(np.clip(50.0 * past[0][0] - dq + 7.0, -100.0, 100.0), rel=1e-9)


def test_a_network_that_says_what_the_law_says_drives_a_joint_as_the_law_does(backend: str) -> None:
    """One linear layer with the gains as weights: a mass swings in the same way under both."""
    kp, kd = 60.0, 8.0
    law = LearnedActuator(widths=(2, 1), weights=(kp, -kd, 0.0))
    cohort, q, dq = with_network(law, backend), np.zeros(2), np.zeros(2)
    for tick in range(240):
        cohort.q[:, 0], cohort.dq[:, 0] = q, dq
        cohort.set_target(0, q_ref=0.5 if tick < 100 else -0.3, kp=kp, kd=kd)
        cohort.step()
        dq += cohort.tau[:, 0] / 0.3 * PERIOD_S
        q += dq * PERIOD_S

        assert q[0] == pytest.approx(q[1], abs=1e-12)
    assert abs(q[0] + 0.3) < 0.1


def test_a_braking_unit_brakes_by_the_law_and_forgets_its_history(backend: str) -> None:
    cohort = with_network(learned(), backend)
    cohort.dq[:] = 3.0
    for _ in range(6):
        cohort.set_target(0, q_ref=1.0)
        cohort.step()
    cohort.request_stop(0, 1)
    cohort.step()

    assert cohort.tau[0, 0] == pytest.approx(-2.0 * 3.0)
    assert cohort.block.physics is not None
    assert not cohort.block.physics.history.any()


def test_limits_hold_whatever_a_network_says(backend: str) -> None:
    """A network of huge torques is held by the torque limit; one that overflows stops its unit."""
    huge = with_network(LearnedActuator(widths=(2, 1), weights=(0.0, 0.0, 1e9)), backend)
    huge.step()
    assert huge.tau[0, 0] == 100.0
    spec = robot(1, watchdog_s=1e6)
    blown = LearnedActuator(widths=(2, 2, 1), weights=(0, 0, 0, 0, 3e38, 3e38, 3e38, -3e38, 0), activation="relu")
    made = ActuatorPhysics(default=JointPhysics(learned=blown))
    cohort = running(spec, dtype=np.float32, physics=made, backend=backend)
    cohort.step()
    cohort.step()

    assert not cohort.tau.any()
    assert controller.Fault.TORQUE_NOT_FINITE in cohort.unit_faults(0)


def write(folder: Path, data: bytes, text: str) -> Path:
    (folder / "knee.f32").write_bytes(data)
    file = folder / "knee.toml"
    file.write_text(text.replace("HASH", hashlib.sha256(data).hexdigest()))
    return file


GOOD = """[learned]
file = "knee.f32"
sha256 = "HASH"
widths = [6, 32, 32, 1]
source = "trained on a test bench"
activation = "tanh"
history_s = 0.01
torque_scale = 20.0
"""


def test_a_network_is_loaded_from_its_file_and_knows_where_it_comes_from(tmp_path: Path) -> None:
    weights = np.array(random_weights(), "<f4")
    made = load_actuator(write(tmp_path, weights.tobytes(), GOOD))

    assert made.learned is not None
    assert made.learned.weights == tuple(float(w) for w in weights)
    assert (made.learned.activation, made.learned.torque_scale) == ("tanh", 20.0)
    assert made.sources["learned"] == "trained on a test bench"


def test_bad_networks_are_refused_with_their_reason(tmp_path: Path) -> None:
    data = np.array(random_weights(), "<f4").tobytes()
    for text, reason in (
        (GOOD.replace("HASH", "0" * 64), "it is another file"),
        (GOOD.replace("[6, 32, 32, 1]", "[6, 32, 1]"), r"1313 weights, but layers of \[6, 32, 1\] have 257"),
        (GOOD.replace("[6, 32, 32, 1]", "[5, 32, 32, 1]"), "an even number of inputs"),
        (GOOD.replace("[6, 32, 32, 1]", "[6, 65, 32, 1]"), "at most 8 layers of 1 to 64"),
        (GOOD.replace("[6, 32, 32, 1]", '"six"'), "widths must be a list"),
        (GOOD.replace("tanh", "gelu"), "activation = 'gelu': must be one of softsign, tanh, relu"),
        (GOOD.replace("0.01", "0.0"), "history_s = 0.0"),
        (GOOD.replace("0.01", "2.0"), "history_s = 2.0"),
        (GOOD.replace("knee.f32", "../knee.f32"), "a name without a folder"),
        (GOOD.replace("knee.f32", "hip.f32"), "hip.f32"),
        (GOOD.replace('source = "trained on a test bench"\n', ""), "source is missing"),
        (GOOD + "colour = 1\n", "colour"),
        ("learned = 3\n", "knee.toml"),
    ):
        with pytest.raises(SpecError, match=reason):
            load_actuator(write(tmp_path, data, text))
    for broken, reason in (
        (data[:-1], "no whole number of f32"),
        (data[:-4] + np.array([math.nan], "<f4").tobytes(), "weights: one is not finite"),
    ):
        with pytest.raises(SpecError, match=reason):
            load_actuator(write(tmp_path, broken, GOOD))
