"""`palaestra data import` and `data verify`, from the words typed to what a catalogue finds."""

from pathlib import Path

import pytest

from catalogue import Catalogue
from catalogue.query import Query
from palaestra.cli import run
from palaestra.errors import PalaestraError
from palaestra.imports import import_recording, verify_folder
from palaestra.v1.episode_pb2 import Episode

MAP = """
task = "wave at the camera"
[robot]
model = "arm_2"
maker = "Acme"
[[signal]]
name = "observation.state"
from = ["a"]
unit = "rad"
"""


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A CSV and a mapping beside it."""
    (tmp_path / "map.toml").write_text(MAP)
    path = tmp_path / "x.csv"
    path.write_text("time,a,b\n" + "".join(f"{i / 10},{i},0\n" for i in range(5)))
    return path


def test_what_is_imported_is_found_in_the_catalogue_with_its_source(
    recording: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """By the words of its task, with format and hashes."""
    store = tmp_path / "store"
    words = [
        "data",
        "import",
        str(recording),
        "--into",
        str(store),
        "--map",
        str(tmp_path / "map.toml"),
        "--vendor",
        "acme",
    ]
    assert run(words) == 0
    assert "1 new in the catalogue" in capfd.readouterr().out

    catalogue = Catalogue(store / "catalogue.db")
    found = catalogue.search(Query(vendor="acme", text="wave")).rows
    catalogue.close()

    assert len(found) == 1
    episode = Episode.FromString(found[0].body)
    assert (episode.rows, episode.robot_model, episode.provenance["source.format"]) == (5, "arm_2", "csv")
    assert len(episode.provenance["source.sha256"]) == len(episode.content.sha256) == 64


def test_a_dry_run_and_a_refusal_leave_nothing(
    recording: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """And the refusal names the place."""
    said: list[str] = []
    done = import_recording(
        recording, None, mapping=tmp_path / "map.toml", progress=lambda _count, what: said.append(what)
    )
    assert (len(done.episodes), done.entered, done.left_out) == (1, 0, ("b",)) and said == ["x.csv"]

    recording.write_text("time,a,b\n1,1,0\n0,2,0\n")
    words = ["data", "import", str(recording), "--into", str(tmp_path / "store"), "--map", str(tmp_path / "map.toml")]
    assert run(words) == 1
    assert "row 1: the clock runs backwards" in capfd.readouterr().err
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def test_a_program_beside_the_recording_is_not_run(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stands in a foreign folder when importing runs nothing of it, not even as the store."""
    for name in ("store.py", "json.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)

    done = import_recording(recording.name, None, mapping="map.toml")

    assert len(done.episodes) == 1 and not (tmp_path / "ran").exists()


def test_a_file_whose_name_has_line_breaks_says_nothing_for_the_store(tmp_path: Path) -> None:
    """Neither a progress that is none, nor a last word; and it moves no cursor."""
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "a\nprogress: soon done\x1b[2J").write_text("x")
    said: list[str] = []

    with pytest.raises(PalaestraError, match="none of lerobot"):
        import_recording(folder, None, progress=lambda _done, what: said.append(what))
    assert said == ["reading a progress: soon done [2J"]
    (folder / "b\nstore: all is well").symlink_to("/etc")
    with pytest.raises(PalaestraError, match="b store: all is well: a link"):
        import_recording(folder, None)


def test_a_folder_that_nobody_signed_is_refused(tmp_path: Path) -> None:
    """By the SDK as by the command."""
    with pytest.raises(PalaestraError, match=r"manifest\.json: not there"):
        verify_folder(tmp_path)


def test_a_path_that_begins_like_an_option_is_a_path(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file, a mapping and a folder: none of them says anything to the store but where it is."""
    monkeypatch.chdir(recording.parent)
    recording.rename("--json")
    Path("map.toml").rename("-map")
    done = import_recording("--json", None, form="csv", mapping="-map")
    assert [episode.rows for episode in done.episodes] == [5]
    with pytest.raises(PalaestraError, match=r"manifest\.json: not there"):
        Path("-folder").mkdir()
        verify_folder("-folder")
