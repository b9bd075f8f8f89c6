"""Drives: friction against its laws and against MuJoCo's own, both forms to the bit, a world and a unit to the bit."""

import shutil
from dataclasses import replace
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import ActuatorPhysics, Cohort, Friction, JointPhysics, JointSpec, RobotSpec, Thermal, backend
from sim import substep
from sim.body import body_of
from sim.catalog import ACTUATORS, Actuators, find, robots
from sim.drives import Drives
from sim.unit import EmulatedUnit
from sim.worlds import Worlds

PERIOD_S = 0.002
ARMATURE, ROD = 0.02, 0.03
"""Inertias of the rotor and of what it turns [kg m^2]."""


def rod(*, weight_nm: float = 0.0, damping: float = 0.0, friction_nm: float = 0.0) -> mujoco.MjModel:
    """One joint about a horizontal axis; at 0 its load of `weight_nm` pulls in the negative direction."""
    return mujoco.MjModel.from_xml_string(f"""
      <mujoco>
        <option timestep="{PERIOD_S}" integrator="implicitfast" gravity="0 0 -10"/>
        <worldbody><body>
          <joint name="joint" axis="0 -1 0" armature="{ARMATURE}" damping="{damping}" frictionloss="{friction_nm}"/>
          <inertial pos="{weight_nm / 10.0} 0 0" mass="1" diaginertia="{ROD} {ROD - (weight_nm / 10.0) ** 2} {ROD}"/>
        </body></worldbody>
        <actuator><motor name="joint" joint="joint"/></actuator>
        <keyframe><key name="home" qpos="0"/></keyframe>
      </mujoco>""")


SPEC = RobotSpec(
    robot_model="rod",
    watchdog_s=1e6,
    overspeed_ratio=1e6,
    joints=(
        JointSpec(
            name="joint", q_min_rad=-1e3, q_max_rad=1e3, dq_max_rad_s=50.0, tau_max_nm=20.0, tau_rate_nm_s=1e6,
            kp_nm_rad=0.0, kd_nms_rad=0.0,
        ),
    ),
)  # fmt: skip


def rods(model: mujoco.MjModel, friction: Friction | None, *, q: float = 0.0, dq: float = 0.0) -> Worlds:
    """One world of the rod; its motor is asked for nothing until somebody writes `tau_ff`."""
    physics = friction and ActuatorPhysics(default=JointPhysics(inertia_kg_m2=ARMATURE, friction=friction))
    worlds = Worlds(model, body_of(model, SPEC), 1, 1, physics=physics)
    worlds.qpos[:], worlds.qvel[:] = q, dq
    worlds.renew(np.array([0]))
    return worlds


def swing(worlds: Worlds, substeps: int, torque_nm: float = 0.0) -> np.ndarray:
    """Angles and speeds after each substep, (substeps, 2)."""
    out = np.empty((substeps, 2))
    worlds.drives.cohort.tau_ff[:] = torque_nm
    for k in range(substeps):
        worlds.drives.cohort.submit()
        worlds.advance(None, 1)
        out[k] = worlds.qpos[0, 0], worlds.qvel[0, 0]
    return out


def test_dry_friction_brakes_evenly_and_then_holds() -> None:
    r"""A rod without weight: $\dot q = \dot q_0 - F t / J$ until it stops after J v / F, and then it stays."""
    path = swing(rods(rod(), Friction(coulomb_nm=0.5), dq=3.0), 500)
    braking = 0.5 / (ARMATURE + ROD)
    stop = round(3.0 / braking / PERIOD_S)
    k = np.arange(1, stop)

    assert path[: stop - 1, 1] == pytest.approx(3.0 - braking * PERIOD_S * k, abs=1e-9)
    assert abs(path[-1, 1]) < 1e-9
    assert path[-1, 0] == pytest.approx(path[stop + 50, 0], abs=1e-6)


def test_viscous_friction_brakes_exponentially() -> None:
    path = swing(rods(rod(), Friction(viscous_nms_rad=0.1), dq=3.0), 500)
    times_s = PERIOD_S * np.arange(1, 501)

    assert path[:, 1] == pytest.approx(3.0 * np.exp(-0.1 / (ARMATURE + ROD) * times_s), abs=0.01)


@pytest.mark.parametrize(("weight_nm", "holds"), [(0.45, True), (0.55, False)])
def test_a_joint_at_rest_holds_a_load_up_to_its_friction_and_no_more(weight_nm: float, holds: bool) -> None:
    """Nobody powers the motor: the weight alone pulls at a friction of 0.5 N m for two seconds.

    The first substep knows no load yet; what the joint has gained by then it loses in the next ones.
    """
    path = swing(rods(rod(weight_nm=weight_nm), Friction(coulomb_nm=0.5)), 1000)

    assert (abs(path[-1, 0]) < 1e-3) == holds
    assert abs(path[-1, 0] - path[500, 0]) < 1e-9 or not holds


@pytest.mark.parametrize("torque_nm", [0.6, 1.4])
def test_a_joint_under_torque_and_load_stays_while_their_sum_is_below_its_friction(torque_nm: float) -> None:
    """A weight of 1 N m, friction of 0.5 N m: every torque between 0.5 and 1.5 N m holds it."""
    path = swing(rods(rod(weight_nm=1.0), Friction(coulomb_nm=0.5)), 1000, torque_nm)

    assert abs(path[-1, 0]) < 0.02
    assert abs(path[-1, 0] - path[500, 0]) < 1e-9


def test_friction_moves_a_pendulum_as_mujocos_own_does() -> None:
    """Two swings through the floor of the valley under dry and viscous friction, ours against the engine's."""
    ours = swing(rods(rod(weight_nm=1.5), Friction(coulomb_nm=0.05, viscous_nms_rad=0.02)), 1500)
    theirs = swing(rods(rod(weight_nm=1.5, damping=0.02, friction_nm=0.05), None), 1500)

    assert np.abs(np.diff(np.sign(ours[:, 1]))).sum() >= 4
    assert ours[:, 0] == pytest.approx(theirs[:, 0], abs=0.02)


def energy_j(path: np.ndarray) -> np.ndarray:
    """Kinetic and potential energy of a rod with a weight of 1.5 N m."""
    return 0.5 * (ARMATURE + ROD) * path[:, 1] ** 2 + 1.5 * np.sin(path[:, 0])


@pytest.mark.parametrize(
    "friction",
    [
        Friction(coulomb_nm=0.3),
        Friction(viscous_nms_rad=0.5),
        Friction(coulomb_nm=0.1, stribeck_nm=0.2, stribeck_speed_rad_s=0.2, load_motor=0.05, load_external=0.05),
    ],
)
def test_friction_never_brings_energy(friction: Friction) -> None:
    """A pendulum let go from the side: after a substep it has no more energy than before, but for the integrator's."""
    model = rod(weight_nm=1.5)
    free = swing(rods(model, Friction(coulomb_nm=1e-9), dq=2.0), 1500)
    path = swing(rods(model, friction, dq=2.0), 1500)

    assert energy_j(path)[-1] < energy_j(path)[0] - 0.3
    assert np.diff(energy_j(path)).max() <= np.abs(np.diff(energy_j(free))).max()


@pytest.mark.parametrize("strength", [1.0, 1e3, 1e6])
def test_friction_beyond_all_measure_stops_a_joint_and_does_not_throw_it_back(strength: float) -> None:
    """It could stop the rotor within a substep, and what the rotor turns only in several: it must not overdo it."""
    friction = Friction(coulomb_nm=5.0 * strength, viscous_nms_rad=50.0 * strength)
    path = swing(rods(rod(weight_nm=1.5), friction, dq=2.0), 200)

    assert energy_j(path).max() <= 0.5 * (ARMATURE + ROD) * 2.0**2 + 1e-3
    assert (np.abs(path[100:]) < 0.02).all()
    assert abs(path[-1, 1]) < 1e-9


@pytest.mark.skipif(backend() != "compiled" or substep.loaded().handle is None, reason="there is no compiler")
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    units=st.integers(1, 19),
    actuators=st.sampled_from(ACTUATORS),
    wild=st.sampled_from([0.0, np.nan, np.inf, 1e300]),
)
def test_the_compiled_substep_equals_the_numpy_one_to_the_bit(
    seed: int, units: int, actuators: Actuators, wild: float
) -> None:
    """Random states and commands, one of them not what it should be; joints lie anywhere in the rows."""
    entry = find("own_quadruped")
    physics = entry.actuator_physics() if actuators == "physical" else None
    random = np.random.default_rng(seed)
    joints = len(entry.robot_spec().joints)
    q, dq = random.permutation(20)[:joints], random.permutation(18)[:joints]
    qpos, qvel = np.zeros((units, 20)), np.zeros((units, 18))
    twins = []
    for form in ("compiled", "numpy"):
        drives = Drives(entry.robot_spec(), units, PERIOD_S, physics=physics, backend=form)
        out = np.zeros((units, joints))
        drives.renew(np.arange(units), qpos[:, q], qvel[:, dq])
        twins.append((drives, drives.bind(qpos, qvel, out, q, dq), out))
    assert isinstance(twins[0][1], substep.Drive)
    for k in range(6):
        qpos[:], qvel[:] = random.normal(0, 0.5, qpos.shape), random.normal(0, 4.0, qvel.shape)
        if k == 3:
            qvel[random.integers(units), random.integers(18)] = wild
        target = random.normal(0, 0.5, (joints, units))
        for drives, step, _ in twins:
            drives.cohort.q_ref[:] = target
            drives.cohort.submit()
            step()
        assert twins[0][2].tobytes() == twins[1][2].tobytes()
    memories = [drives.memory() for drives, _, _ in twins]
    assert all(memories[0][name].tobytes() == array.tobytes() for name, array in memories[1].items())


def test_a_library_that_is_missing_stale_or_something_else_is_not_used_and_says_why(tmp_path: Path) -> None:
    name = f"_substep{EXTENSION_SUFFIXES[0]}"
    assert "not built" in substep.load(tmp_path).reason

    (tmp_path / name).write_text("no library")
    assert "does not load" in substep.load(tmp_path).reason

    here = Path(substep.__file__).parent
    if (here / name).is_file():
        (tmp_path / name).unlink()
        shutil.copy(here / name, tmp_path / name)
        assert substep.load(tmp_path).handle is not None
        (tmp_path / "substep.c").write_text("/* edited */")
        stale = substep.load(tmp_path)
        assert stale.handle is None
        assert "other sources" in stale.reason


@pytest.mark.parametrize("robot", ["own_arm", "own_quadruped", "own_humanoid"])
@pytest.mark.parametrize("actuators", ACTUATORS)
def test_a_world_and_an_emulated_unit_move_alike_to_the_bit(robot: str, actuators: Actuators) -> None:
    """The same targets: in a world through the drives, on a unit through a host's core, its encoders and its motors."""
    entry = find(robot)
    unit = EmulatedUnit(entry, "twin", period_s=PERIOD_S, actuators=actuators, encoder_noise_rad=0.0)
    host = Cohort(unit.spec, 1, PERIOD_S, dtype=np.float64)
    model = entry.model(actuators=actuators)
    physics = entry.actuator_physics() if actuators == "physical" else None
    world = Worlds(model, body_of(model, unit.spec), 1, 1, physics=physics)
    world.batch.reset(keyframe=0, stage=mujoco.mjtStage.mjSTAGE_NONE)
    world.renew(np.array([0]))
    unit.read(host.q[:, 0], host.dq[:, 0])
    host.arm(0)
    home = np.array(host.q[:, 0])
    random = np.random.default_rng(3)
    target = home
    for tick in range(400):
        if tick % 10 == 0:
            target = target + random.uniform(-0.03, 0.03, len(home))
            host.set_target(0, q_ref=target)
            world.drives.cohort.q_ref[:, 0] = target
            world.drives.cohort.submit()
        unit.read(host.q[:, 0], host.dq[:, 0])
        host.step()
        unit.write(host.tau[:, 0])
        world.advance(None, 1)

        assert unit._data.qpos.tobytes() == world.qpos[0].tobytes()
    assert np.abs(world.qpos[0] - model.key("home").qpos).max() > 0.03
    assert unit._data.qvel.tobytes() == world.qvel[0].tobytes()


@pytest.mark.parametrize("entry", [e for e in robots() if e.available()], ids=lambda e: e.id)
def test_what_the_drives_bring_is_in_the_model_no_more(entry) -> None:
    """Friction and limits are gone, gains are one, the rotor's inertia stays; the ideal model has it all."""
    ideal, physical = entry.model(), entry.model(actuators="physical")
    dofs = [physical.joint(name).dofadr[0] for name in entry.joint_names()]
    physics = entry.actuator_physics()
    named = any(group.actuator for group in entry._groups)

    assert not physical.dof_damping[dofs].any()
    assert not physical.dof_frictionloss[dofs].any()
    assert not physical.actuator_forcelimited.any()
    assert not physical.actuator_ctrllimited.any()
    assert (physical.actuator_gainprm[:, 0] == 1.0).all()
    assert not physical.actuator_biasprm.any()
    assert (physical.actuator_gear[:, 0] == 1.0).all()
    assert np.array_equal(physical.dof_armature, ideal.dof_armature)
    for name, dof in zip(entry.joint_names(), dofs, strict=True):
        drive = physics.joints[name]
        friction = drive.friction or Friction()
        if not named:
            assert friction.viscous_nms_rad == pytest.approx(ideal.dof_damping[dof].flat[0])
            assert friction.coulomb_nm == pytest.approx(ideal.dof_frictionloss[dof])
        if drive.friction is not None:
            assert drive.inertia_kg_m2 == pytest.approx(ideal.dof_armature[dof])
            assert {"inertia_kg_m2", "friction.viscous_nms_rad", "friction.coulomb_nm"} <= set(drive.sources)


def test_numbers_change_the_fingerprint_of_drives_and_their_sources_do_not() -> None:
    def fingerprint(joint: JointPhysics) -> str:
        return Drives(SPEC, 1, PERIOD_S, physics=ActuatorPhysics(default=joint)).sha256

    rubbing = JointPhysics(friction=Friction(coulomb_nm=0.5))

    assert fingerprint(rubbing) == fingerprint(replace(rubbing, sources={"friction.coulomb_nm": "somebody"}))
    assert fingerprint(rubbing) != fingerprint(replace(rubbing, friction=Friction(coulomb_nm=0.6)))
    assert Drives(SPEC, 1, PERIOD_S, physics=None).sha256 != Drives(SPEC, 1, 2 * PERIOD_S, physics=None).sha256


def test_a_new_robot_has_cool_motors_and_remembers_no_load() -> None:
    thermal = Thermal(tau_rated_nm=1.0, winding_share=0.5, winding_s=1.0, case_s=10.0)
    physics = ActuatorPhysics(default=JointPhysics(thermal=thermal), command_delay_s=0.004)
    drives = Drives(SPEC, 3, PERIOD_S, physics=physics)
    drives.renew(np.arange(3), np.zeros((3, 1)), np.zeros((3, 1)))
    fresh = {name: array.copy() for name, array in drives.memory().items()}
    drives.cohort.tau_ff[:] = 5.0
    for _ in range(100):
        drives.cohort.submit()
        drives.step(np.full((3, 1), 0.1), np.full((3, 1), 0.2))
    assert (drives.cohort.winding_c > 26.0).all()
    drives.renew(np.array([1]), np.zeros((1, 1)), np.zeros((1, 1)))

    assert drives.cohort.winding_c[0, 1] == 25.0
    assert drives.cohort.winding_c[0, 2] > 26.0
    for name, array in drives.memory().items():
        if array.shape[-1:] == (drives.cohort.block.lanes,):
            assert np.array_equal(array[..., 1], fresh[name][..., 1]), name
