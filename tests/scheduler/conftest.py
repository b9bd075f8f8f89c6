"""Where the published logs lie."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the published logs: beside the repository, or where the environment says."""
    folder = Path(os.environ.get("PALAESTRA_SHARED", Path(__file__).parents[2].parent / "shared"))
    if not (folder / "data/traces").is_dir():
        pytest.skip(f"the published logs are not at {folder}")
    return folder
