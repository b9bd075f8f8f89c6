"""Domain randomisation: whose number it is, what is recomputed, what it does to physics, what a record gives back."""

import json
import statistics
from typing import Any

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.catalog import find
from sim.chance import TASK, philox_uniform, stream
from sim.compact import CompactBatch
from sim.distribution import Distribution, LogUniform, Normal, Uniform, quantile
from sim.errors import BadRandomisation, BadSnapshot
from sim.mjcf import compile_model
from sim.randomisation import NO_RANDOMISATION, QUANTITIES, Level, Randomisation, Term
from sim.slot import SimSlot
from sim.tasks import find_task

MASS = Term("mass_scale", Uniform(0.8, 1.2), each=True)
FRICTION = Term("friction_scale", LogUniform(0.5, 1.5))
GAINS = Term("kp_scale", Uniform(0.7, 1.3), each=True)
ALL_PHYSICAL = Randomisation(
    (
        MASS,
        FRICTION,
        GAINS,
        Term("kd_scale", Normal(1.0, 0.1, 0.5, 1.5)),
        Term("payload_kg", Uniform(0.0, 2.0), of=("trunk",)),
        Term("centre_of_mass_m", Uniform(-0.02, 0.02), of=("trunk", "left_*_knee"), each=True),
        Term("gravity_m_s2", Uniform(-0.2, 0.2)),
        Term("supply", Uniform(0.9, 1.0)),
    )
)


def slot(
    *terms: Term, worlds: int = 3, robot: str = "own_quadruped", task: str = "walk", seed: int = 7, **rest: Any
) -> SimSlot:
    made = Randomisation(tuple(terms))
    return SimSlot(find(robot), find_task(task), worlds=worlds, seed=seed, randomisation=made, **{"threads": 1, **rest})


def run(s: SimSlot, steps: int) -> list[bytes]:
    """What each world shows in so many steps, under actions that belong to its number."""
    rows = [np.random.default_rng([3, int(w)]).uniform(-0.3, 0.3, (steps, s.action_size)) for w in s.world_numbers]
    seen = [b""] * s.worlds
    for action in np.stack(rows, axis=1):
        t = s.step(action)
        table = np.column_stack([t.obs, t.reward, t.terminated, *s.joint_state()])
        seen = [a + b.tobytes() for a, b in zip(seen, table, strict=True)]
    return seen


@pytest.mark.parametrize("level", [Level.CONSTANTS, Level.MODEL])
def test_the_same_key_is_the_same_world_to_the_bit_whatever_the_batch_and_threads(level: Level) -> None:
    sizes = (Term("size_scale", Uniform(0.9, 1.1), of=("*_knee_*",)),) if level == Level.MODEL else ()
    terms = (*ALL_PHYSICAL.terms, *sizes)
    alone = slot(*terms, worlds=1, first_world=2)
    five = slot(*terms, worlds=5, threads=2)
    assert five.randomiser.level == level
    assert alone.randomiser.drawn(0) == five.randomiser.drawn(2)
    assert alone.randomiser.drawn(0) != five.randomiser.drawn(1)

    assert run(alone, 12)[0] == run(five, 12)[2]
    for each in (alone, five):
        each.reset()
    assert run(alone, 5)[0] == run(five, 5)[2]


def test_a_terms_numbers_are_its_own_whatever_other_terms_there_are() -> None:
    few, many = slot(FRICTION), slot(MASS, GAINS, FRICTION)

    assert few.randomiser.drawn(1)[FRICTION.name] == many.randomiser.drawn(1)[FRICTION.name]
    assert many.randomiser.drawn(0)[MASS.name][0] != many.randomiser.drawn(0)[GAINS.name][0]


def test_seed_world_and_episode_each_change_the_numbers() -> None:
    s, other = slot(MASS), slot(MASS, seed=8)
    first, second = s.randomiser.drawn(0), s.randomiser.drawn(1)
    s.reset()

    assert len({json.dumps(d) for d in (first, second, s.randomiser.drawn(0), other.randomiser.drawn(0))}) == 4


def test_random_numbers_are_these_on_every_machine() -> None:
    """Written down once: what other machines and versions must give, too."""
    assert [float(v).hex() for v in philox_uniform(1, 2, 3, 2)] == PINNED_TASK
    purpose = stream("mass_scale(*)")
    assert [float(v).hex() for v in philox_uniform(1, 2, 3, 2, stream=purpose)] == PINNED_MASS
    u = np.array([0.001, 0.3, 0.999])
    assert [float(v).hex() for v in LogUniform(0.5, 3.0).value(u)] == PINNED_LOG
    assert [float(v).hex() for v in Normal(1.0, 0.5, -9.0, 9.0).value(u)] == PINNED_NORMAL
    assert purpose != TASK


PINNED_TASK = ["0x1.7018c20539e47p-1", "0x1.a522e854d0a7cp-2"]
PINNED_MASS = ["0x1.ea71cda625cfep-1", "0x1.32c4147beeb53p-1"]
PINNED_LOG = ["0x1.007587aeba57bp-1", "0x1.b6368cac7175ap-1", "0x1.7f500544c5631p+1"]
PINNED_NORMAL = ["-0x1.171976e4088e0p-1", "0x1.79c0e353e9d02p-1", "0x1.45c65db902238p+1"]


@pytest.mark.parametrize(
    ("distribution", "cumulative"),
    [
        (Uniform(2.0, 5.0), lambda x: (x - 2.0) / 3.0),
        (LogUniform(0.25, 4.0), lambda x: np.log(x / 0.25) / np.log(16.0)),
        (Normal(1.0, 0.2, -9.0, 9.0), lambda x: [statistics.NormalDist(1.0, 0.2).cdf(v) for v in x]),
    ],
)
def test_values_are_distributed_as_they_should_be(distribution: Distribution, cumulative: Any) -> None:
    """Kolmogorov-Smirnov over the numbers of 4000 worlds: the distance stays below that of one in 10^6."""
    u = np.array([philox_uniform(5, world, 0, 1, stream=9)[0] for world in range(4000)])
    values = np.sort(distribution.value(u))
    steps = np.arange(1, 4001) / 4000
    distance = np.abs(np.asarray(cumulative(values)) - steps).max()

    assert distance < np.sqrt(-np.log(0.5e-6) / 2 / 4000)


@given(st.floats(min_value=1e-10, max_value=1.0 - 1e-10))
def test_the_normal_quantile_is_that_of_the_standard_library(p: float) -> None:
    assert quantile(np.array([p]))[0] == pytest.approx(statistics.NormalDist().inv_cdf(p), rel=1e-9, abs=1e-13)


@given(st.floats(0.0, 1.0 - 2.0**-53), st.floats(1e-3, 1e3), st.floats(1.0, 1e6))
def test_no_value_leaves_its_bounds(u: float, low: float, ratio: float) -> None:
    high = low * ratio
    for each in (Uniform(low, high), LogUniform(low, high), Normal(0.5 * (low + high), high, low, high)):
        assert each.bounds[0] <= each.value(np.array([u]))[0] <= each.bounds[1]


def test_after_set_const_a_world_is_what_the_compiler_would_have_made() -> None:
    """Masses, inertias and centres of mass changed in the spec and compiled: the same constants, the same motion."""
    centre = Term("centre_of_mass_m", Uniform(-0.02, 0.02), of=("trunk",))
    s = slot(MASS, centre, worlds=2)
    drawn = s.randomiser.drawn(1)
    spec = s.entry.mjspec(visuals=False, actuators=s.actuators)
    s.task.furnish(spec, s.entry)
    nominal = s.model
    for body, scale in zip(range(1, nominal.nbody), drawn[MASS.name], strict=True):
        changed = spec.body(nominal.body(body).name)
        changed.explicitinertial = True
        changed.mass = nominal.body_mass[body] * scale
        changed.inertia = nominal.body_inertia[body] * scale
        changed.ipos, changed.iquat = nominal.body_ipos[body].copy(), nominal.body_iquat[body].copy()
        if changed.name == "trunk":
            changed.ipos = nominal.body_ipos[body] + drawn[centre.name]
    expected, ours = compile_model(spec, label="expected"), s.core.batch.get_model(1)

    for name in ("body_mass", "body_subtreemass", "body_inertia", "body_ipos", "body_invweight0", "dof_invweight0"):
        assert getattr(ours, name) == pytest.approx(getattr(expected, name), rel=1e-9, abs=1e-12), name
    states = []
    for model in (ours, expected):
        data = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, data, 0)
        for _ in range(50):
            mujoco.mj_step(model, data)
        states.append(data.qpos.copy())
    assert states[0] == pytest.approx(states[1], abs=1e-9)


def test_every_quantity_that_the_engine_derives_from_is_marked_so() -> None:
    """MuJoCo names the fields that mj_setConst reads; options count among them."""
    for name, quantity in QUANTITIES.items():
        derived = [f for f in quantity.fields if f in mujoco.MjModel._setconst_inputs or f.startswith("opt.")]
        assert (quantity.level >= Level.CONSTANTS) == bool(derived or name == "size_scale"), name


def test_a_heavier_robot_presses_harder_on_the_floor() -> None:
    """Two worlds that stand still: the forces of the floor are as their weights."""
    s = slot(Term("mass_scale", Uniform(0.5, 2.0)), worlds=2, robot="own_humanoid", task="stand")
    scale = [s.randomiser.drawn(i)["mass_scale(*)"][0] for i in range(2)]
    weights = []
    for i in range(2):
        model, data = s.core.batch.get_model(i), s.core.batch.get_data(i)
        mujoco.mj_forward(model, data)
        data.qvel[:] = 0.0
        data.qpos[2] = 5.0
        mujoco.mj_forward(model, data)
        weights.append(float(data.qfrc_bias[2]))

    assert weights[0] / weights[1] == pytest.approx(scale[0] / scale[1], rel=1e-12)
    assert abs(scale[0] - scale[1]) > 0.05


def test_less_friction_lets_a_robot_slide_further() -> None:
    """All worlds are thrown sideways alike; the distance falls with the friction that they have drawn."""
    s = slot(Term("friction_scale", LogUniform(0.05, 1.0)), worlds=6)
    s.reset(worlds=np.zeros(6, np.int64), drawn={"friction_scale(*)": np.geomspace(0.05, 1.0, 6)[:, None]})
    s.core.qvel[:, 1] = 1.0
    start = s.core.qpos[:, 1].copy()
    for _ in range(25):
        s.step(np.zeros((6, 12)))
    moved = s.core.qpos[:, 1] - start

    assert moved[0] > 1.5 * moved[-1]
    assert moved[:3].min() > moved[3:].max()


def test_a_stiffer_law_follows_closer() -> None:
    """An arm holds against gravity: with less stiffness it hangs lower, by about the inverse ratio."""
    gains = Term("kp_scale", Uniform(0.5, 2.0), each=True)
    s = slot(gains, worlds=2, robot="own_arm", task="reach", actuators="ideal")
    scales = np.stack([np.full(7, 0.5), np.full(7, 2.0)])
    s.reset(worlds=[0, 0], episodes=[0, 0], drawn={gains.name: scales})
    for _ in range(60):
        s.step(np.zeros((2, 7)))
    q, _, _, q_ref = s.joint_state()
    error = np.abs(q - q_ref).max(axis=1)

    assert error[0] / error[1] == pytest.approx(4.0, rel=0.3)


def test_terms_of_one_joint_multiply() -> None:
    """Of gains as of all else: a law that is softer as a whole, and each joint of some by itself."""
    whole, each = (
        Term("kp_scale", Uniform(0.5, 2.0)),
        Term("kp_scale", Uniform(0.5, 2.0), of=("shoulder_yaw", "shoulder_pitch"), each=True),
    )
    s = slot(whole, each, worlds=2, robot="own_arm", task="reach", actuators="ideal")
    nominal = np.array([joint.kp_nm_rad for joint in s.core.drives.cohort.spec.joints])
    drawn = {whole.name: np.array([[0.5], [2.0]]), each.name: np.array([[0.75, 0.75], [1.25, 1.25]])}
    for _ in range(2):
        s.reset(worlds=[0, 0], episodes=[0, 0], drawn=drawn)
        assert np.allclose(s.core.drives.cohort.kp[2:], nominal[2:, None] * [0.5, 2.0], rtol=1e-6)
        assert np.allclose(s.core.drives.cohort.kp[:2], nominal[:2, None] * [0.375, 2.5], rtol=1e-6)


def test_a_record_of_what_was_drawn_brings_the_episode_back_in_another_slot() -> None:
    """Through JSON, into a slot of another size where the world has another place."""
    terms = ALL_PHYSICAL.terms
    s = slot(*terms, worlds=3)
    record = json.loads(json.dumps(s.randomiser.drawn(2)))
    table = json.loads(json.dumps(Randomisation(terms).to_table()))
    again = SimSlot(
        s.entry, s.task, worlds=1, threads=1, seed=7, first_world=2, randomisation=Randomisation.from_table(table)
    )
    again.reset(episodes=[0], drawn={name: [row] for name, row in record.items()})

    assert again.randomiser.randomisation.sha256 == s.randomiser.randomisation.sha256
    assert run(s, 10)[2] == run(again, 10)[0]


def test_a_snapshot_carries_what_was_drawn_and_refuses_another_randomisation() -> None:
    s, fresh = slot(*ALL_PHYSICAL.terms, worlds=2), slot(*ALL_PHYSICAL.terms, worlds=2)
    s.reset()
    run(s, 5)
    kept = s.snapshot()
    expected = run(s, 8)
    fresh.restore(kept)
    assert run(fresh, 8) == expected
    with pytest.raises(BadSnapshot, match="randomisation"):
        slot(MASS, worlds=2).restore(kept)


def test_without_terms_nothing_is_expanded_and_nothing_changes() -> None:
    plain = SimSlot(find("own_arm"), find_task("reach"), worlds=2, threads=1, seed=1)
    named = slot(worlds=2, robot="own_arm", task="reach", seed=1)

    assert plain.randomiser.randomisation == NO_RANDOMISATION
    # Worlds that are kept compact share their model: there is nothing to expand.
    assert isinstance(plain.core.batch, CompactBatch) or not plain.core.batch._expanded
    assert run(plain, 5) == run(named, 5)


def test_randomising_one_world_anew_leaves_the_others_exactly_as_they_were() -> None:
    s, untouched = slot(*ALL_PHYSICAL.terms), slot(*ALL_PHYSICAL.terms)
    run(s, 5), run(untouched, 5)
    s.reset([False, True, False])
    a, b = run(s, 5), run(untouched, 5)

    assert a[0] == b[0]
    assert a[2] == b[2]
    assert a[1] != b[1]


@pytest.mark.parametrize(
    ("term", "reason"),
    [
        (lambda: Term("mass", Uniform(1, 2)), "mass_scale"),
        (lambda: Term("mass_scale", Uniform(0.0, 2)), "no less than"),
        (lambda: Term("mass_scale", Uniform(1, 2), of="trunk"), "tuple"),  # type: ignore[arg-type]
        (lambda: Term("mass_scale", Uniform(1, 2), of=()), "at least one"),
        (lambda: Uniform(2.0, 1.0), "above high"),
        (lambda: Uniform(float("nan"), 1.0), "finite"),
        (lambda: LogUniform(0.0, 1.0), "above 0"),
        (lambda: Normal(0.0, -1.0, 0.0, 1.0), "deviation"),
        (lambda: Randomisation((MASS, MASS)), r"mass_scale\(\*\)"),
        (lambda: Randomisation.from_table([{"quantity": "mass_scale", "distribution": "beta"}]), "beta"),
        (lambda: Randomisation.from_table([{"quantity": "mass_scale", "distribution": "uniform", "low": 1}]), "high"),
        (lambda: slot(Term("mass_scale", Uniform(1, 2), of=("trunk", "tail"))), "'tail'"),
        (lambda: slot(Term("kp_scale", Uniform(1, 2), of=("elbow",))), "left_front"),
        (lambda: slot(Term("damping_scale", Uniform(1, 2))), "the drives have it"),
        (lambda: slot(Term("supply", Uniform(0.5, 1)), actuators="ideal"), "physical"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(term: Any, reason: str) -> None:
    with pytest.raises(BadRandomisation, match=reason):
        term()


@pytest.mark.parametrize(
    ("drawn", "reason"),
    [
        ({}, "drawn are"),
        ({MASS.name: [[1.0]]}, "numbers"),
        ({MASS.name: [[9.0] * 13]}, r"\[0.8, 1.2\]"),
        ({MASS.name: [[np.nan] * 13]}, r"\[0.8, 1.2\]"),
    ],
)
def test_drawn_numbers_that_are_not_this_randomisations_are_refused(drawn: Any, reason: str) -> None:
    s, untouched = slot(MASS, worlds=1), slot(MASS, worlds=1)
    with pytest.raises(BadRandomisation, match=reason):
        s.reset(drawn=drawn)
    assert run(s, 3) == run(untouched, 3)


def test_friction_and_damping_of_ideal_joints_and_sizes_reach_the_model() -> None:
    terms = (
        Term("damping_scale", Uniform(2.0, 2.0)),
        Term("dry_friction_scale", Uniform(3.0, 3.0), of=("shoulder_*",)),
        Term("armature_scale", Uniform(1.5, 1.5)),
    )
    s = slot(*terms, worlds=1, robot="own_arm", task="reach", actuators="ideal")
    model = s.core.batch.get_model(0)
    shoulder = [int(s.model.joint(n).dofadr[0]) for n in s.joint_names if n.startswith("shoulder")]
    others = np.setdiff1d(np.arange(s.model.nv), shoulder)

    assert model.dof_damping == pytest.approx(2.0 * s.model.dof_damping)
    assert model.dof_armature == pytest.approx(1.5 * s.model.dof_armature)
    assert model.dof_frictionloss[shoulder] == pytest.approx(3.0 * s.model.dof_frictionloss[shoulder])
    assert np.array_equal(model.dof_frictionloss[others], s.model.dof_frictionloss[others])
    size = slot(Term("size_scale", Uniform(0.5, 0.5), of=("trunk_0",)), worlds=1)
    own = size.core.batch.get_model(0)
    assert own.geom("trunk_0").size == pytest.approx(0.5 * size.model.geom("trunk_0").size)
    assert own.geom("trunk_0").rbound == pytest.approx(0.5 * size.model.geom("trunk_0").rbound)
