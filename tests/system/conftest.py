"""One venue for all tests of a session: starting it takes seconds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.hall import Hall, open_hall


@pytest.fixture(scope="session")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    with open_hall(tmp_path_factory.mktemp("hall") / "data") as made:
        yield made


@pytest.fixture(scope="session")
def data(hall: Hall) -> Path:
    return hall.supervisor.data
