"""Emulated batteries, alone and in a robot."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.driver import Powered
from controller.errors import DriverError
from controller.unit import Battery
from sim.battery import DRIVE_EFFICIENCY, EmulatedBattery
from sim.catalog import find, robots
from sim.unit import BATTERY_EVERY, EmulatedUnit

PERIOD_S = 0.005
TEN_WH = Battery(capacity_wh=10.0, work_power_w=20.0, idle_power_w=10.0, rest_power_w=1.0, charge_power_w=40.0)


def test_a_battery_empties_by_idle_and_mechanical_power_and_fills_on_a_charger() -> None:
    """By hand: an hour at rest takes 1 Wh; 6 min under control, with 7 W from the joints, (10 + 7 / 0.7) / 10 Wh."""
    battery = EmulatedBattery(TEN_WH)
    battery.pass_time(3600.0, powered=False)
    assert math.isclose(battery.level, 0.9)
    battery.pass_time(360.0, powered=True, mechanical_w=10.0 * DRIVE_EFFICIENCY)
    assert math.isclose(battery.level, 0.7)
    battery.charging = True
    battery.pass_time(180.0, powered=False)
    assert math.isclose(battery.level, 0.9)
    battery.pass_time(3600.0, powered=False)
    assert (battery.level, battery.charging) == (1.0, False)


@given(
    st.lists(st.tuples(st.floats(0.0, 1e5), st.booleans(), st.floats(-1e4, 1e4), st.booleans()), max_size=20),
    st.floats(0.1, 1e3),
)
def test_a_charge_stays_between_empty_and_full(steps: list[tuple[float, bool, float, bool]], lapse: float) -> None:
    battery = EmulatedBattery(TEN_WH, lapse=lapse)
    for duration_s, powered, mechanical_w, charging in steps:
        battery.charging = charging
        battery.pass_time(duration_s, powered=powered, mechanical_w=mechanical_w)
        assert 0.0 <= battery.level <= 1.0


def test_a_time_lapse_is_a_smaller_battery() -> None:
    fast, slow = EmulatedBattery(TEN_WH, lapse=60.0), EmulatedBattery(TEN_WH)
    fast.pass_time(10.0, powered=True)
    slow.pass_time(600.0, powered=True)
    assert math.isclose(fast.level, slow.level)


def test_every_battery_of_the_catalogue_rests_cheaper_than_it_idles_and_idles_cheaper_than_it_works() -> None:
    batteries = [entry.battery for entry in robots() if entry.battery is not None]
    assert len(batteries) >= 7
    for battery in batteries:
        assert 0.0 < battery.rest_power_w < battery.idle_power_w < battery.work_power_w


def unit(level: float) -> EmulatedUnit:
    entry = find("own_quadruped")
    assert entry.battery is not None
    return EmulatedUnit(entry, "dog", period_s=PERIOD_S, battery=EmulatedBattery(entry.battery, level=level))


def hold(robot: EmulatedUnit, periods: int) -> None:
    torque = np.full(len(robot.spec.joints), 0.1)
    for _ in range(periods):
        robot.write(torque)


def test_a_robot_under_control_drains_its_battery_faster_than_one_at_rest() -> None:
    driven, resting = unit(0.5), unit(0.5)
    assert isinstance(driven, Powered)
    hold(driven, 10 * BATTERY_EVERY)
    for _ in range(10 * BATTERY_EVERY):
        resting.write(np.zeros(len(resting.spec.joints)))
    levels = (driven.charge_level(), resting.charge_level())
    assert levels[0] is not None and levels[1] is not None and levels[0] < levels[1] < 0.5


def test_a_robot_with_an_empty_battery_does_nothing_until_it_was_charged() -> None:
    robot = unit(1e-9)
    with pytest.raises(DriverError, match="battery is empty"):
        hold(robot, 2 * BATTERY_EVERY)
    robot.charge(True)
    assert robot.is_charging()
    for _ in range(BATTERY_EVERY):
        robot.write(np.zeros(len(robot.spec.joints)))
    hold(robot, 1)
    assert not robot.is_charging(), "whoever drives takes it off the charger"


def test_a_robot_on_mains_has_no_charge_and_goes_to_no_charger() -> None:
    arm = EmulatedUnit(find("own_arm"), "arm", period_s=PERIOD_S)
    assert arm.charge_level() is None
    arm.charge(False)
    with pytest.raises(DriverError, match="mains"):
        arm.charge(True)
