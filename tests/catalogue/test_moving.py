"""A catalogue moves from its file into PostgreSQL whole, goes on after a cut, and is never in two places."""

import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("psycopg")

from catalogue import Catalogue, HasMoved, Query, SchemaMismatch, moving
from catalogue.__main__ import main
from catalogue.catalogue import Change
from catalogue.moving import back, move
from catalogue.place import ENVIRONMENT, REVISIONS, place
from database import file
from database.address import Address
from database.postgres import copying
from database.postgres.connection import Connection
from database.postgres.copying import NotMoved
from palaestra.errors import PalaestraError
from tests.catalogue.test_catalogue import entry

ROOT = Path(__file__).parents[2]
QUERIES = (
    Query(), Query(vendor="acme", text="red"), Query(vendor="bolt", quality_min=0.3), Query(robot="venues/v/units/a"),
    Query(vendor="acme", labels=(("reviewed", None),)), Query(text="抓取"),
)  # fmt: skip


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file with some of everything, also an episode that is gone, and a version whose making died half-way."""
    path = tmp_path / "catalogue.db"
    made = Catalogue(path, "leader")
    made.lead(5, lambda: None)
    made.enter([entry(number) for number in range(40)], (40, "e-39"))
    for number in range(40):
        change = Change({"reviewed": "anna"} if number % 4 else {}, quality=number / 40, method="m/1", parts={"a": 0.1})
        made.change(entry(number).vendor, [f"e-{number}"], change, by="test", now_ns=1)
    acmes = [f"e-{number}" for number in range(40) if entry(number).vendor == "acme"]
    for name in ("grasps", "walks"):
        made.datasets.create("acme", name, "", by="anna", now_ns=1)
    made.datasets.freeze("acme", "grasps", uids=acmes[:5], by="anna", now_ns=1)
    made.datasets._begin((2, 1, "", 1, "anna", 3, 1.0, 1, "0" * 64), [])
    made.forget([acmes[0]])
    made.close()
    return path


def seen(catalogue: Catalogue) -> Any:
    """Everything that can be asked."""
    sets = catalogue.datasets
    return (
        [catalogue.search(query, size=100).rows for query in QUERIES],
        [tuple(row) for row in catalogue.sessions(None)],
        [tuple(row) for row in sets.list(None)],
        sets.episodes(sets.version("acme", "grasps", 1)["id"]),
        catalogue.followed(),
    )


def test_what_has_moved_answers_the_same_and_goes_on_with_the_next_numbers(old: Path, there: Address) -> None:
    """And its versions stay for ever there too."""
    before = Catalogue(old)
    wanted, last = seen(before), before.search(Query(), size=1).rows
    before.close()

    found = move(old, there)

    after = Catalogue(there, "leader")
    assert seen(after) == wanted
    assert last
    assert found.tables["episode"].rows == 40
    assert found.resumed_rows == 0
    after.lead(6, lambda: None)
    assert after.enter([entry(77, vendor="acme", task="a new one")], (41, "e-77")) == 1
    assert max(number for number, _ in after.uids(0, 100)) == 41
    assert after.datasets.freeze("acme", "walks", uids=["e-77"], by="anna", now_ns=2)["number"] == 1
    with pytest.raises(Exception, match="never changes"), after.transaction() as db:
        db.execute("DELETE FROM dataset_version").fetchall()
    after.close()


def test_a_file_whose_catalogue_has_moved_is_opened_by_nobody_until_somebody_goes_back_on_purpose(
    old: Path, there: Address, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever has it open already writes no more."""
    open_before = Catalogue(old, "leader")
    move(old, there)

    with pytest.raises(HasMoved, match=re.escape(str(there)) + r".*\n?.*catalogue back"):
        Catalogue(old)
    with pytest.raises(PalaestraError, match="the catalogue has moved to postgresql://"):
        open_before.enter([entry(99)], (41, "e-99"))
    open_before.close()
    with pytest.raises(HasMoved, match="already"):
        move(old, there)
    assert main(["enter", str(old)]) == 1
    assert main(["back", str(old)]) == 0
    assert str(there) in capsys.readouterr().out
    Catalogue(old).close()
    assert main(["back", str(old)]) == 1
    with pytest.raises(NotMoved, match="is not empty"):
        move(old, there)
    Catalogue(old).close()


SLOW = """
import sys, time
from pathlib import Path
from catalogue import moving
from catalogue.place import place
moving.PORTION_ROWS = 7
def say(text):
    print(text, flush=True)
    if text == "body: 14 rows":
        time.sleep(600)
moving.move(Path(sys.argv[1]), place("-"), say)
"""


def test_killed_in_the_middle_nobody_opens_either_and_the_next_move_goes_on_where_it_was(
    old: Path, there: Address
) -> None:
    before = Catalogue(old)
    wanted = seen(before)
    before.close()
    environment = {**os.environ, ENVIRONMENT: there.url}
    command = [sys.executable, "-c", SLOW, str(old)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env=environment)
    assert child.stdout is not None
    while not child.stdout.readline().startswith(b"body: 14"):
        assert child.poll() is None
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()

    with pytest.raises(HasMoved):
        Catalogue(old)
    with pytest.raises(SchemaMismatch, match="a part of a move"):
        Catalogue(there)
    told: list[str] = []
    found = move(old, there, told.append)
    assert found.resumed_rows >= 14 + 40
    assert not [one for one in told if one.startswith("episode")]
    after = Catalogue(there)
    assert seen(after) == wanted
    after.close()


def test_a_part_of_a_move_that_was_given_up_is_not_taken_for_another_one_s(
    old: Path, there: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has changed meanwhile."""

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(moving, "_index", cut)
    with pytest.raises(KeyboardInterrupt):
        move(old, there)
    monkeypatch.undo()
    back(old)
    changed = Catalogue(old)
    changed.add([entry(50)])
    changed.close()

    with pytest.raises(NotMoved, match="is not empty"):
        move(old, there)
    Catalogue(old).close()


def test_a_row_that_arrives_otherwise_than_sent_is_noticed_and_the_file_goes_on(
    old: Path, there: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = copying._bytes
    monkeypatch.setattr(copying, "_hashed", lambda value: repr(value).encode())
    monkeypatch.setattr(copying, "_bytes", lambda value: sound("Pwn" if value == "Own" else value))

    with pytest.raises(NotMoved, match=r"kind has \d+ rows, hash"):
        move(old, there)
    Catalogue(old).close()
    with pytest.raises(SchemaMismatch):
        Catalogue(there)


def test_what_is_no_catalogue_s_is_left_alone_and_the_file_goes_on(old: Path, there: Address) -> None:
    with closing(Connection(there.url, {})) as db:
        db.script("CREATE SCHEMA catalogue; CREATE TABLE catalogue.somebodys (value TEXT)")
        with pytest.raises(NotMoved, match="is not empty"):
            move(old, there)
        assert db.execute("SELECT count(*) FROM catalogue.somebodys").fetchone()[0] == 0
    Catalogue(old).close()


def test_an_older_file_is_brought_forward_first(tmp_path: Path, there: Address) -> None:
    path = tmp_path / "older.db"
    file.open_writer(path, REVISIONS[:-1]).close()
    with pytest.raises(SchemaMismatch, match="start its scheduler first"):
        move(path, there)
    with pytest.raises(FileNotFoundError):
        move(tmp_path / "none.db", there)


def test_the_commands_take_a_place_and_show_no_password(
    old: Path, there: Address, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT, there.url.replace("postgres@", "postgres:hidden@"))
    assert main(["move", str(old), "-"]) == 0
    told = capsys.readouterr().out
    assert "the same on both sides" in told
    assert main(["unscored", "-", "m/2"]) == 0
    told += capsys.readouterr().out
    assert told.count('"uid"') == 39
    assert main(["move", str(old), str(old)]) == 1
    assert main(["move", str(old), "-"]) == 1
    printed = capsys.readouterr()
    assert "has moved to" in printed.err
    assert "hidden" not in told + printed.out + printed.err
    assert place("-") == Address(there.url.replace("postgres@", "postgres:hidden@"))


def migrated(data: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run `palaestra-venue migrate --catalogue` as an operator does."""
    command = [sys.executable, "-m", "venue", "migrate", "--catalogue", "--data", str(data), *words]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)


def test_an_operator_moves_a_venue_s_catalogue_and_takes_it_back_with_one_command(
    old: Path, there: Address, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    file = data / "store" / "catalogue.db"
    file.parent.mkdir(parents=True)
    with closing(Catalogue(old)) as before:
        wanted = seen(before)
    old.rename(file)
    refused = migrated(data)
    assert (refused.returncode, "needs --to or --back" in refused.stderr) == (2, True)

    # In the environment, where no other user of the machine reads its password.
    moved = migrated(data, "--to", "-", **{ENVIRONMENT: there.url.replace("postgres@", "postgres:hidden@")})
    assert moved.returncode == 0, moved.stderr
    assert "episode" in moved.stdout
    assert "hidden" not in moved.stdout + moved.stderr
    with closing(Catalogue(there)) as after:
        assert seen(after) == wanted
    again = migrated(data, "--to", there.url)
    assert (again.returncode, "already" in again.stderr) == (1, True)

    assert migrated(data, "--back").returncode == 0
    with closing(Catalogue(file)) as back_again:
        assert seen(back_again) == wanted
    assert "Traceback" not in refused.stderr + moved.stderr + again.stderr
