"""Where the published logs lie."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scheduler import places


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the published logs: beside the repository, or where the environment says."""
    folder = Path(os.environ.get("PALAESTRA_SHARED", Path(__file__).parents[2].parent / "shared"))
    if not (folder / "data/traces").is_dir():
        pytest.skip(f"the published logs are not at {folder}")
    return folder


def _backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run on both: what is called by a path is a file at first, then a database in PostgreSQL."""
    if request.param == "postgresql":
        places.use(request.getfixturevalue("cluster"))
    yield request.param
    places.use(None)


# For all tests of a module, and for one.
backend = pytest.fixture(scope="module", params=["sqlite", "postgresql"], name="backend")(_backend)
each_backend = pytest.fixture(params=["sqlite", "postgresql"], name="each_backend")(_backend)


@pytest.fixture(autouse=True, scope="session")
def everything_on_postgres(request: pytest.FixtureRequest) -> None:
    """Where the environment asks for it, put every database of the tests that they call by a path into PostgreSQL."""
    if os.environ.get("PALAESTRA_TEST_DATABASE") == "postgresql":
        places.use_for_all(request.getfixturevalue("cluster"))
