"""Where the published logs lie."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scheduler import places
from tests.scheduler.cluster import Cluster, started


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the published logs: beside the repository, or where the environment says."""
    folder = Path(os.environ.get("PALAESTRA_SHARED", Path(__file__).parents[2].parent / "shared"))
    if not (folder / "data/traces").is_dir():
        pytest.skip(f"the published logs are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """PostgreSQL, for all tests of this run together."""
    with started() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a test on both: what it calls by a path is a file the first time, a database in PostgreSQL the second."""
    if request.param == "postgresql":
        places.use(request.getfixturevalue("cluster"))
    yield request.param
    places.use(None)
