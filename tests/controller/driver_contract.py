"""What every driver must do. A driver's test inherits this class and says how to make one.

    class TestMyDriver(DriverContract):
        def make(self) -> Driver:
            return MyDriver(...)

Where several tests of one class need the same expensive thing (a compiled model), cache it in the class.
"""

from collections.abc import Iterator

import numpy as np
import pytest

from controller.driver import Capabilities, Driver, Identity
from controller.errors import DriverError


class DriverContract:
    """Inherit and override `make`."""

    def make(self) -> Driver:
        """Return a new connected driver at rest."""
        raise NotImplementedError

    @pytest.fixture
    def driver(self) -> Iterator[Driver]:
        """One driver per test, closed at its end."""
        driver = self.make()
        yield driver
        driver.close()

    def test_it_is_a_driver(self, driver: Driver) -> None:
        assert isinstance(driver, Driver)

    def test_its_identity_is_complete_and_constant(self, driver: Driver) -> None:
        identity = driver.identity()

        assert isinstance(identity, Identity)
        assert identity.robot_model
        assert identity.serial
        assert identity.firmware
        assert len(set(identity.joints)) == len(identity.joints) > 0
        assert driver.identity() == identity

    def test_its_capabilities_are_complete_and_constant(self, driver: Driver) -> None:
        capabilities = driver.capabilities()

        assert isinstance(capabilities, Capabilities)
        assert capabilities.rate_max_hz > 0.0
        assert capabilities.device_watchdog_s is None or capabilities.device_watchdog_s > 0.0
        assert driver.capabilities() == capabilities

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_it_reads_finite_values_into_columns_and_nowhere_else(self, driver: Driver, dtype: type) -> None:
        """The columns of a joint-major block are strided; the neighbours' columns keep their mark."""
        joints = len(driver.identity().joints)
        q, dq = np.full((joints, 3), 77.0, dtype), np.full((joints, 3), 77.0, dtype)
        driver.read(q[:, 1], dq[:, 1])

        assert np.isfinite(q[:, 1]).all()
        assert np.isfinite(dq[:, 1]).all()
        assert (np.delete(q, 1, axis=1) == 77.0).all()
        assert (np.delete(dq, 1, axis=1) == 77.0).all()
        assert not (dq[:, 1] == 77.0).any()

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_it_takes_torques_from_a_column_and_leaves_it_alone(self, driver: Driver, dtype: type) -> None:
        tau = np.full((len(driver.identity().joints), 3), 0.01, dtype)
        driver.write(tau[:, 1])

        assert (tau == np.array(0.01, dtype)).all()

    def test_reading_twice_without_a_write_gives_the_same(self, driver: Driver) -> None:
        """An emulation's time passes only in `write`."""
        if not driver.capabilities().simulated:
            pytest.skip("a real robot's time passes by itself")
        joints = len(driver.identity().joints)
        first, second = np.zeros((2, joints)), np.zeros((2, joints))
        driver.read(first[0], first[1])
        driver.read(second[0], second[1])

        assert np.array_equal(first, second)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_it_refuses_a_torque_that_is_not_finite(self, driver: Driver, bad: float) -> None:
        joints = len(driver.identity().joints)
        before, after = np.zeros((2, joints)), np.zeros((2, joints))
        driver.read(before[0], before[1])
        tau = np.zeros(joints)
        tau[-1] = bad
        with pytest.raises(DriverError):
            driver.write(tau)
        driver.read(after[0], after[1])

        if driver.capabilities().simulated:
            assert np.array_equal(before, after)

    def test_the_base_pose_is_a_position_and_a_unit_quaternion_or_nothing(self, driver: Driver) -> None:
        pose = np.full(7, 77.0)
        known = driver.base_pose(pose)

        if known:
            assert np.isfinite(pose).all()
            assert np.linalg.norm(pose[3:]) == pytest.approx(1.0, abs=1e-6)
        else:
            assert (pose == 77.0).all()

    def test_the_safe_state_may_be_asked_for_at_any_time(self, driver: Driver) -> None:
        """Twice at once, before the first write, after a write, and after closing; it works on afterwards."""
        joints = len(driver.identity().joints)
        driver.safe_state()
        driver.safe_state()
        driver.write(np.zeros(joints))
        driver.safe_state()
        driver.write(np.zeros(joints))
        driver.close()
        driver.safe_state()

    def test_a_closed_driver_refuses_and_closes_again_quietly(self, driver: Driver) -> None:
        joints = len(driver.identity().joints)
        driver.close()
        driver.close()

        with pytest.raises(DriverError):
            driver.read(np.zeros(joints), np.zeros(joints))
        with pytest.raises(DriverError):
            driver.write(np.zeros(joints))
