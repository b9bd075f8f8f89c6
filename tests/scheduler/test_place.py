"""Where a database may be, and what is needed for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from database import address
from database.address import Address, NoPlace
from scheduler import database
from scheduler.postgres import command
from tests.scheduler.process import ROOT

URL = "postgresql://palaestra:hidden@db.example/hall"


@pytest.fixture
def without_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "find_spec", lambda name: None)


def test_a_file_and_a_database_in_postgresql_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "find_spec", lambda name: object())
    monkeypatch.setenv(database.ENVIRONMENT, URL)

    assert database.place("data/scheduler.db") == Path("data/scheduler.db")
    assert database.place(URL) == database.place("-") == Address(URL)
    assert "hidden" not in str(database.place(URL))


def test_an_environment_that_names_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(database.ENVIRONMENT, raising=False)
    with pytest.raises(NoPlace, match="names no database in PALAESTRA_DATABASE"):
        database.place("-")


@pytest.mark.usefixtures("without_driver")
def test_who_has_no_driver_is_told_what_to_install(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NoPlace, match=r"pip install 'palaestra-server\[postgres\]'"):
        database.place(URL)
    assert command.main(["--data", str(tmp_path), "--to", URL]) == 2
    assert "needs psycopg" in capsys.readouterr().err


def test_a_venue_moves_to_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--data", str(tmp_path), "--to", str(tmp_path / "there")]) == 2
    assert "is no postgresql://" in capsys.readouterr().err


def test_a_scheduler_on_a_file_imports_nothing_of_postgresql(tmp_path: Path) -> None:
    """As far as a writer, a reader and a seat, in a process of its own."""
    program = (
        "import sys; from pathlib import Path; import scheduler.__main__; from scheduler import database, seat; "
        "place = Path(sys.argv[1]); held = seat.lead(place, ttl_s=60.0); database.open_writer(place); "
        "database.open_reader(place); print(*[name for name in sys.modules if 'psycopg' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "db")], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
