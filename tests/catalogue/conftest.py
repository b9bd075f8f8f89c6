"""Where the tests' catalogues are: each test of what a catalogue does runs on a file and on PostgreSQL."""

from contextlib import closing
from pathlib import Path

import pytest

from database.address import Address, Place
from tests.cluster import Cluster

BACKENDS = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def one_database(cluster: Cluster) -> Address:
    """A database for one test after the other."""
    return cluster.fresh(empty=True)


@pytest.fixture
def there(one_database: Address) -> Address:
    """A database in which there is no catalogue yet."""
    from database.postgres.connection import Connection

    with closing(Connection(one_database.url, {})) as db:
        db.script("DROP SCHEMA IF EXISTS catalogue CASCADE")
    return one_database


@pytest.fixture(params=BACKENDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place where nothing has been written yet."""
    if request.param == "sqlite":
        return tmp_path / "catalogue.db"
    found: Address = request.getfixturevalue("there")
    return found


@pytest.fixture(scope="module", params=BACKENDS)
def shared_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The same, for a module."""
    if request.param == "sqlite":
        return tmp_path_factory.mktemp("filled") / "catalogue.db"
    cluster: Cluster = request.getfixturevalue("cluster")
    return cluster.fresh(empty=True)
