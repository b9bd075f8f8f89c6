"""The store by hand."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from store.__main__ import main
from store.imports import Mapping, import_path
from store.objects import LocalObjects
from store.spool import Claim
from tests.store.conftest import build_header


def test_inspect_prints_what_an_episode_is(house: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON with header, outcome, rows and size."""
    sealed = house.seal(rows=42)

    assert main(["inspect", str(sealed.path)]) == 0

    said = json.loads(capsys.readouterr().out)
    assert said["header"]["task"] == "reach the red box"
    assert said["outcome"] == {"status": "success", "cause": "", "episode_return": 1.5}
    assert (said["rows"], said["size_bytes"]) == (42, sealed.size_bytes)


def test_score_prints_a_score_with_findings_and_the_copies(house: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Random rows are no motion: their velocity is not the slope of their position."""
    one, two = (house.seal(build_header(name=f"vendors/acme/episodes/e-{number}"), 400) for number in (1, 2))

    assert main(["score", str(one.path), str(two.path)]) == 0

    first, second, pair = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["name"] != second["name"]
    assert 0 <= first["score"] < 1
    steps = {step["step"]: step for step in first["steps"]}
    assert "mismatch" in {finding["kind"] for finding in steps["plausibility"]["findings"]}
    assert steps["timing"]["findings"] == []
    assert pair == {"near_duplicates": [str(one.path), str(two.path)], "distance": 0.0}


def test_an_episode_of_streams_alone_is_scored_beside_others(
    house: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was imported and has no joints: no path that could be a copy of another one's."""
    (tmp_path / "x.csv").write_text("time,f\n" + "".join(f"{i / 10},{i}\n" for i in range(5)))
    words = '[robot]\nmodel = "arm_2"\nmaker = "Acme"\n[[signal]]\nname = "observation.force"\nfrom = ["f"]\nunit = "N"'
    (one,) = import_path(tmp_path / "x.csv", tmp_path, vendor="vendors/acme", mapping=Mapping.parse(words)).episodes
    copies = [house.seal(build_header(name=f"vendors/acme/episodes/e-{number}"), 20).path for number in (1, 2)]
    alone = LocalObjects(tmp_path / "objects").path_of(one.sha256)

    assert main(["score", str(alone), *map(str, copies)]) == 0

    *scored, pair = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert [row["file"] for row in scored] == [str(path) for path in (alone, *copies)]
    assert pair["near_duplicates"] == [str(path) for path in copies]


def test_verify_names_the_damaged_object_and_fails(house: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """One of three is altered; repaired, all is well."""
    damaged = [house.seal(seed=seed) for seed in range(3)][1]
    whole = damaged.path.read_bytes()
    damaged.path.write_bytes(whole[:-1])

    assert main(["verify", str(house.root / "objects")]) == 1
    said = capsys.readouterr().out
    assert f"damaged: object {damaged.sha256}" in said
    assert "2 objects whole" in said

    damaged.path.write_bytes(whole)
    assert main(["verify", str(house.root / "objects")]) == 0
    assert "3 objects whole" in capsys.readouterr().out


def test_export_writes_a_data_set(house: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Digests one by one and with commas, in order."""
    digests = [house.seal(seed=seed).sha256 for seed in range(3)]
    arguments = ["--objects", str(house.root / "objects"), "--sha", f"{digests[2]},{digests[0]}"]

    assert main(["export", *arguments, "--sha", digests[1], str(tmp_path / "out")]) == 0

    sidecar = json.loads((tmp_path / "out/meta/palaestra.json").read_text())
    assert [e["sha256"] for e in sidecar["episodes"]] == [digests[2], digests[0], digests[1]]
    assert "3 episodes" in capsys.readouterr().out


def test_what_is_not_there_is_one_line_and_exit_code_1(
    house: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback, and no store is made by looking for one."""
    missing = str(tmp_path / "none")
    for arguments in (
        ["inspect", missing],
        ["inspect", str(Path(__file__))],
        ["verify", missing],
        ["export", "--objects", missing, "--sha", "0" * 64, str(tmp_path / "out")],
        ["export", "--objects", str(house.root / "objects"), "--sha", "../x", str(tmp_path / "out")],
        ["plot", missing, str(tmp_path / "out.png")],
    ):
        assert main(arguments) == 1
        said = capsys.readouterr().err
        assert said.startswith("store: ")
        assert len(said.splitlines()) == 1
    assert not (tmp_path / "none").exists()
    assert not (tmp_path / "out").exists()


def test_plot_and_clean_do_their_work(house: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A picture appears; a dead recorder's file goes, a living one's stays."""
    assert main(["plot", str(house.seal().path), str(tmp_path / "out.png")]) == 0
    assert (tmp_path / "out.png").stat().st_size > 1000

    claim = Claim(house.spool)
    (house.spool / "dead.spool").write_bytes(b"12345")
    assert main(["clean", str(house.spool)]) == 0
    assert "5 bytes freed" in capsys.readouterr().out
    assert house.leftovers() == [claim.path]


def test_the_store_runs_as_a_module() -> None:
    """Help names every command."""
    done = subprocess.run(
        [sys.executable, "-m", "store", "--help"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )

    for command in ("inspect", "verify", "export", "plot", "clean"):
        assert command in done.stdout
