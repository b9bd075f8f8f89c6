"""docs/delta-sharing.md, followed as it stands: the consumer's commands, and the profile file that they leave."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from palaestra.cli import run
from sharing.clock import Clock
from tests.sharing.delta.ground import WALKS, Tables
from tests.sharing.stage import Stage, serving, stage

PAGE = Path(__file__).parents[3] / "docs" / "delta-sharing.md"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A room behind a socket; whoever runs commands is borealis."""
    staged = stage(tmp_path, clock=Clock(), projector=Tables(tmp_path / "tables"))
    with serving(staged) as environment:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("PALAESTRA_TOKEN", "borealis")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        yield staged
    staged.close()


def test_the_page_runs_as_it_is_written(
    served: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    agreement = served.agree(valid_from_s=1, valid_until_s=253_402_300_799).digest
    commands = re.findall(r"^borealis\$ palaestra (.+)$", PAGE.read_text(), re.MULTILINE)
    assert len(commands) == 5
    names = {"AGREEMENT": agreement[:12]}
    statuses = []
    for line in commands:
        assert run([names.get(word, word) for word in shlex.split(line)]) == 0, (line, capsys.readouterr().err)
        out = capsys.readouterr().out
        if match := re.search(r"^credential ([0-9a-f]{16}) opens aurora\.walks;", out, re.MULTILINE):
            names["CREDENTIAL"] = match[1]
        path = tmp_path / "aurora.share"
        if path.exists():
            assert path.stat().st_mode & 0o777 == 0o600
            profile = json.loads(path.read_text())
            assert profile["shareCredentialsVersion"] == 1
            assert profile["bearerToken"] not in out
            assert profile["endpoint"] == f"{served.room.address}/delta-sharing"
            client = served.as_(profile["bearerToken"])
            statuses.append(client.get(f"{WALKS}/tables/joints/version").status_code)
    assert statuses == [200, 200, 200, 401]


def test_what_is_there_is_not_written_over(served: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agreement = served.agree(valid_from_s=1, valid_until_s=253_402_300_799).digest
    (tmp_path / "mine.share").write_text("precious")
    assert run(["share", "token", "create", agreement, "--out", "mine.share"]) != 0
    assert (tmp_path / "mine.share").read_text() == "precious"
    assert not served.notes.of("credential")
    capsys.readouterr()


def test_two_agreements_on_one_data_set_need_names(
    served: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two = [served.agree(valid_from_s=1, valid_until_s=253_402_300_799, note=note).digest for note in ("a", "b")]
    assert run(["share", "token", "create", *two]) != 0
    assert "aurora.walks" in capsys.readouterr().err
    assert run(["share", "token", "create", *two, "--share", "first", "--share", "second", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert [one["share"] for one in made["opens"]] == ["first", "second"]
    assert {one["agreement"] for one in made["opens"]} == set(two)
