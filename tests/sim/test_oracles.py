"""What physics says, against the engine as slots use it: energy, periods, friction.

Bars come from the laws themselves: the order of an integrator, the analytic period, Coulomb's angle. None is a number
that this engine once gave. Masses, limits and disagreements of published robots are in `test_catalog.py`; equality to
the bit in `test_slot.py` and `test_vector_env.py`.
"""

import math

import mujoco
import numpy as np
import pytest
from mujoco.batch import Batch

from sim.mjcf import load_mjcf

DOUBLE_PENDULUM = """
<mujoco><option integrator="{integrator}" timestep="{period_s}"><flag contact="disable" energy="enable"/></option>
  <worldbody><body pos="0 0 2"><joint axis="0 1 0"/><geom type="capsule" fromto="0 0 0 .5 0 0" size=".02" mass="1"/>
    <body pos=".5 0 0"><joint axis="0 1 0"/><geom type="capsule" fromto="0 0 0 .5 0 0" size=".02" mass="1"/></body>
  </body></worldbody></mujoco>"""
BOB_M = 0.01
PENDULUM = f"""
<mujoco><option integrator="RK4" timestep="0.001"><flag contact="disable"/></option>
  <worldbody><body pos="0 0 2"><joint axis="0 1 0"/><geom type="sphere" pos="0 0 -1" size="{BOB_M}" mass="1"/></body>
  </worldbody></mujoco>"""
INCLINE = """
<mujoco><option cone="elliptic" impratio="100" timestep="0.002"/>
  <worldbody><geom type="plane" size="9 9 1" euler="0 {angle_deg} 0" friction=".6"/>
    <body pos="{x} 0 {z}" euler="0 {angle_deg} 0"><freejoint/>
      <geom type="box" size=".1 .1 .05" mass="1" friction=".6"/></body></worldbody></mujoco>"""


def batch(text: str, tmp_path) -> Batch:  # type: ignore[no-untyped-def]
    """One world of a model that came in by the door for models."""
    return Batch(load_mjcf(text, tmp_path).compile(), 1, 1)


def energy_drift_j(integrator: str, period_s: float, tmp_path) -> float:  # type: ignore[no-untyped-def]
    """Largest change of a free double pendulum's energy within 2 s, thrown from the horizontal."""
    world = batch(DOUBLE_PENDULUM.format(integrator=integrator, period_s=period_s), tmp_path)
    energy = world.bind("energy")
    world.forward()
    start = energy[0].sum()
    drift = 0.0
    for _ in range(round(2.0 / period_s)):
        world.step(stage=mujoco.mjtStage.mjSTAGE_VEL)
        drift = max(drift, abs(energy[0].sum() - start))
    return float(drift)


@pytest.mark.parametrize(("integrator", "order"), [("RK4", 4.0), ("Euler", 1.0), ("implicitfast", 1.0)])
def test_energy_is_kept_to_the_order_of_the_integrator(integrator: str, order: float, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Half the period: a sixteenth of the drift with Runge-Kutta 4, half of it with the methods of first order."""
    coarse, fine = (energy_drift_j(integrator, period_s, tmp_path) for period_s in (0.008, 0.002))

    assert math.log2(coarse / fine) / 2.0 == pytest.approx(order, abs=0.6)


def test_a_small_pendulum_has_the_period_of_the_formula(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """T = 2 pi sqrt(I/(m g l)) (1 + a^2/16 + 11 a^4/3072), with the sphere's own inertia 2/5 m r^2."""
    amplitude, length_m, g = 0.02, 1.0, 9.81
    world = batch(PENDULUM, tmp_path)
    qpos = world.bind("qpos")
    qpos[0] = amplitude
    crossings_s, before = [], amplitude
    for k in range(1, 4200):
        world.step()
        now = float(qpos[0, 0])
        if before > 0.0 >= now:
            crossings_s.append((k - 1 + before / (before - now)) * 0.001)
        before = now
    inertia = length_m**2 + 0.4 * BOB_M**2
    expected_s = 2 * math.pi * math.sqrt(inertia / (g * length_m)) * (1 + amplitude**2 / 16 + 11 * amplitude**4 / 3072)

    assert crossings_s[1] - crossings_s[0] == pytest.approx(expected_s, rel=2e-8)


def slid_m(angle_deg: float, tmp_path) -> float:  # type: ignore[no-untyped-def]
    """How far a box slides down an incline in the second of two seconds."""
    a = math.radians(angle_deg)
    # The middle of the box stands half its height off the plane.
    world = batch(INCLINE.format(angle_deg=angle_deg, x=0.0499 * math.sin(a), z=0.0499 * math.cos(a)), tmp_path)
    qpos = world.bind("qpos")
    world.step(nstep=500)
    before = qpos[0, :3].copy()
    world.step(nstep=500)
    return float(np.linalg.norm(qpos[0, :3] - before))


def test_a_box_begins_to_slide_at_coulombs_angle(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """arctan 0.6 = 30.96 degrees: below it a box creeps by less than 2 mm a second, above it slides away."""
    critical_deg = math.degrees(math.atan(0.6))

    assert slid_m(critical_deg - 1.0, tmp_path) < 0.002
    assert slid_m(critical_deg + 1.0, tmp_path) > 0.05
