"""The marks of tests that need robot models of installed wheels."""

import pytest

from sim.catalog import find
from sim.resolve import ASSET_PACKAGES, wheel_root

needs_wheels = pytest.mark.skipif(
    any(wheel_root(package) is None for package in ASSET_PACKAGES),
    reason="the robot asset wheels (extra [robots]) are not installed",
)


def needs(robot: str) -> pytest.MarkDecorator:
    """The mark of a test of one robot, whichever wheel has it."""
    entry = find(robot)
    return pytest.mark.skipif(not entry.available(), reason=f"{robot}: {entry.package} is not installed")
