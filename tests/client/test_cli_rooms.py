"""Commands that a room answers."""

import json
from pathlib import Path

import pytest

from palaestra.cli import run


def test_a_room_that_lies_in_the_working_folder_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Who looks at somebody else's files where they lie, runs none of them."""
    (tmp_path / "sim.py").write_text("raise SystemExit(7)\n")
    monkeypatch.chdir(tmp_path)

    assert run(["scenarios", "list", "--sector", "medical", "--json"]) == 0
    assert len(json.loads(capfd.readouterr().out)["scenarios"]) >= 5
