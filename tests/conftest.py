"""How property tests look for examples.

By default they look at the same ones each time, so that a change is judged by what it changes; `make test-search` looks
at others each time, and more of them can be asked for with `--hypothesis-seed`.
"""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.cluster import Cluster, started

# A busy machine is no defect: examples may take as long as they take.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", PATIENT)
settings.register_profile("same", PATIENT, derandomize=True)
settings.load_profile("same")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """PostgreSQL, for all tests of this run together."""
    with started() as found:
        yield found
