"""The analytic plant is a driver and obeys its equation."""

import numpy as np
import pytest

from controller import Driver, DriverError
from controller.plant import PlantDriver
from tests.controller.driver_contract import DriverContract
from tests.controller.robots import robot


class TestPlant(DriverContract):
    """The plant keeps the drivers' contract."""

    def make(self) -> Driver:
        return PlantDriver(robot(), period_s=0.002)


def test_constant_torque_gives_constant_acceleration() -> None:
    """After n semi-implicit steps: dq = n h a, q = h^2 a n (n + 1) / 2."""
    driver = PlantDriver(robot(1), period_s=0.01, inertia_kg_m2=0.5, q_start_rad=0.0)
    for _ in range(100):
        driver.write(np.array([2.0]))

    assert driver.dq_rad_s[0] == pytest.approx(100 * 0.01 * 4.0)
    assert driver.q_rad[0] == pytest.approx(0.01**2 * 4.0 * 100 * 101 / 2)


def test_damping_lets_a_push_end_at_its_terminal_speed() -> None:
    driver = PlantDriver(robot(1), period_s=0.001, inertia_kg_m2=0.01, damping_nms_rad=0.5)
    for _ in range(2000):
        driver.write(np.array([3.0]))

    assert driver.dq_rad_s[0] == pytest.approx(6.0)


def test_a_jammed_joint_does_not_move_until_it_is_freed() -> None:
    driver = PlantDriver(robot(2), period_s=0.001)
    driver.stick(0, True)
    before = driver.q_rad.copy()
    driver.write(np.array([5.0, 5.0]))
    assert driver.q_rad[0] == before[0]
    assert driver.q_rad[1] > before[1]
    driver.stick(0, False)
    driver.write(np.array([5.0, 5.0]))

    assert driver.q_rad[0] > before[0]


@pytest.mark.parametrize("wrong", [{"inertia_kg_m2": 0.0}, {"damping_nms_rad": -1.0}, {"period_s": np.nan}])
def test_a_plant_of_nonsense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(DriverError, match=next(iter(wrong))):
        PlantDriver(robot(), **({"period_s": 0.01} | wrong))
