"""A room for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sharing.stage import Stage, catalogue_of, stage


@pytest.fixture(scope="session")
def made_catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue's file, made once."""
    path = tmp_path_factory.mktemp("catalogue") / "catalogue.db"
    catalogue_of(path)
    return path


@pytest.fixture
def staged(tmp_path: Path, made_catalogue: Path) -> Iterator[Stage]:
    """A room of two vendors."""
    (tmp_path / "catalogue.db").write_bytes(made_catalogue.read_bytes())
    made = stage(tmp_path)
    yield made
    made.close()
