"""What the control core finds in an emulated robot that breaks, and does not find in one that is sound."""

import numpy as np

from controller import Cohort, Fault, Plausibility, State
from controller.driver import Driver
from sim.catalog import find
from sim.unit import EmulatedUnit

PERIOD_S = 0.002


def follow_sines(cohort: Cohort, unit: Driver, home_rad: np.ndarray, ticks: range) -> None:
    """Move all joints by 0.25 rad about home, each in its own phase, at 0.7 Hz."""
    q, dq = np.empty(len(home_rad)), np.empty(len(home_rad))
    for tick in ticks:
        if tick % 10 == 0:
            phase = 2.0 * np.pi * 0.7 * tick * PERIOD_S + np.arange(len(home_rad))
            cohort.set_target(0, q_ref=home_rad + min(1.0, tick / 400) * 0.25 * np.sin(phase))
        unit.read(q, dq)
        cohort.q[:, 0], cohort.dq[:, 0] = q, dq
        cohort.step()
        unit.write(cohort.tau[:, 0])


def test_a_moving_arm_is_sound_until_a_joint_is_jammed_and_then_the_joint_is_named() -> None:
    entry = find("own_arm")
    unit = EmulatedUnit(entry, serial="own_arm-1", period_s=PERIOD_S)
    cohort = Cohort(entry.robot_spec(), 1, PERIOD_S, plausibility=Plausibility())
    unit.read(cohort.q[:, 0], cohort.dq[:, 0])
    home_rad = cohort.q[:, 0].astype(np.float64)
    cohort.arm(0)
    follow_sines(cohort, unit, home_rad, range(800))
    assert cohort.unit_state(0) == State.RUN
    assert cohort.unit_faults(0) == Fault.NONE
    unit.stick(2, True)
    follow_sines(cohort, unit, home_rad, range(800, 1200))

    assert cohort.joint_faults(0) == {entry.robot_spec().joints[2].name: Fault.JOINT_STUCK}
    assert cohort.unit_state(0) in (State.STOPPING, State.STOPPED)
