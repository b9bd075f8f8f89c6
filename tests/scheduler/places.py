"""Where the tests' databases are: files, or for tests of both backends a database of PostgreSQL's for each file."""

from pathlib import Path

from database.address import Place
from tests.cluster import Cluster

_cluster: Cluster | None = None
_for_all: Cluster | None = None
_known: dict[Path, Place] = {}


def use(cluster: Cluster | None) -> None:
    """From now on put new databases into a cluster; None: into files."""
    global _cluster
    _cluster = cluster or _for_all
    _known.clear()


def use_for_all(cluster: Cluster) -> None:
    """Put all databases into a cluster, also of tests that ask for no backend."""
    global _for_all
    _for_all = cluster
    use(cluster)


def place(path: Path) -> Place:
    """Return where the database is that a test calls by a path; the same again for the same path."""
    if path not in _known:
        if _cluster is None:
            return path
        _known[path] = _cluster.fresh()
    return _known[path]


def let(path: Path, place: Place) -> None:
    """Have a path stand for a place, until the next `use`."""
    _known[path] = place
