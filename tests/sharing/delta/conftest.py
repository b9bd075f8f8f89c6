"""A room with tables for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sharing.delta.ground import Delta, delta


@pytest.fixture
def opened(tmp_path: Path, made_catalogue: Path) -> Iterator[Delta]:
    """A room of two vendors over made-up tables."""
    (tmp_path / "catalogue.db").write_bytes(made_catalogue.read_bytes())
    made = delta(tmp_path)
    yield made
    made.stage.close()
