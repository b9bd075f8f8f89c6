"""Settings of the scheduler's tests, and where the published logs lie."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no defect: examples may take as long as they take.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the published logs: beside the repository, or where the environment says."""
    folder = Path(os.environ.get("PALAESTRA_SHARED", Path(__file__).parents[2].parent / "shared"))
    if not (folder / "data/traces").is_dir():
        pytest.skip(f"the published logs are not at {folder}")
    return folder
