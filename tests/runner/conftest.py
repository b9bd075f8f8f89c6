"""Fixtures of the runner."""

import pytest

from tests.runner.desk import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()
