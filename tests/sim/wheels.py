"""The mark of tests that need the robot asset wheels (extra [robots])."""

import pytest

from sim.resolve import ASSET_PACKAGES, wheel_root

needs_wheels = pytest.mark.skipif(
    any(wheel_root(package) is None for package in ASSET_PACKAGES),
    reason="the robot asset wheels (extra [robots]) are not installed",
)
