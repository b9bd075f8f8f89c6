"""`palaestra share audit`, against a served room: what a vendor does from its command line and from cron."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from palaestra.cli import run
from sharing.audit.log import Log
from tests.sharing.stage import AURORA, BOREALIS, serving, stage


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    """Serve a room with a log of five leaves, and be Aurora."""
    (tmp_path / "stage").mkdir()
    staged = stage(tmp_path / "stage", witness=None)
    log = staged.room.witness
    assert isinstance(log, Log)
    for number in range(5):
        log.note("decision", {"provider": AURORA, "consumer": BOREALIS, "about": f"file-{number}"})
    with serving(staged) as environment:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("PALAESTRA_TOKEN", "aurora")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield log
    staged.close()


def said(capsys: pytest.CaptureFixture[str], *words: str, ends: int = 0) -> dict[str, object]:
    """Return what a command says as JSON."""
    capsys.readouterr()
    assert run(["share", "audit", *words, "--json"]) == ends, capsys.readouterr()
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_a_vendor_that_looks_again_finds_out_what_was_changed_and_where(
    room: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = said(capsys, "verify")
    assert (first["size"], first["new"], first["own"]) == (room.size, room.size, len(room.leaves(AURORA)))
    assert str(said(capsys, "head")["head"]).startswith(room.origin)
    room.note("decision", {"provider": BOREALIS, "consumer": BOREALIS})
    room.note("decision", {"provider": AURORA, "consumer": BOREALIS})
    again = said(capsys, "verify", "--quick")
    assert (again["new"], again["own"]) == (2, 1)

    place = room.size - 5
    db = sqlite3.connect(tmp_path / "stage" / "sharing" / "sharing.db")
    db.execute("DROP TRIGGER audit_leaf_stays")
    db.execute("UPDATE audit_leaf SET hash = ? WHERE idx = ?", (bytes(32), place))
    db.commit()
    db.close()

    wrong = said(capsys, "verify", ends=1)
    assert (wrong["whole"], wrong["kind"], wrong["index"]) == (False, "edit", place)
    # What was kept is evidence, and stays.
    assert said(capsys, "verify", ends=1) == wrong
    assert run(["share", "audit", "watch", "--every-s", "1"]) == 1
    assert f"edit at leaf {place}" in capsys.readouterr().err


def test_two_vendors_compare_what_they_were_shown(
    room: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said(capsys, "verify", "--folder", str(tmp_path / "mine"))
    monkeypatch.setenv("PALAESTRA_TOKEN", "borealis")
    said(capsys, "verify", "--folder", str(tmp_path / "theirs"))
    both = ["compare", str(tmp_path / "theirs"), "--folder", str(tmp_path / "mine")]
    assert said(capsys, *both)["common"] == room.size

    hashes = tmp_path / "theirs" / "hashes"
    hashes.write_bytes(hashes.read_bytes()[:32] + bytes(32) + hashes.read_bytes()[64:])
    assert said(capsys, *both, ends=1)["index"] == 1


def test_another_key_than_the_one_that_was_kept_is_told(
    room: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "kept"
    said(capsys, "verify", "--folder", str(folder))
    (folder / "key").write_text("00" * 32)

    assert said(capsys, "verify", "--folder", str(folder), ends=1)["kind"] == "key"
