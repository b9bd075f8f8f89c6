"""`palaestra-venue store`: the rooms as processes, one after the other, on a venue that does not run."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from catalogue import Catalogue
from scheduler import database
from store import LocalObjects
from tests.catalogue.test_keeping import entry
from venue.__main__ import main
from venue.keep import KeepingError, _ended, names
from venue.profile import BadProfile, Profile
from venue.storage import BadStorage, Storage, storage_of

VENUE = """
[venue]
id = "hall"
[[vendor]]
id = "acme"
[[host]]
id = "h"
[store]
keep_days = 30
"""


def test_what_the_catalogue_removed_is_named_by_nobody_and_what_it_does_not_know_yet_is() -> None:
    """One content of two episodes stays for the other; what jobs name stays in any case."""
    a, b, c, d = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)
    catalogue = [f"episode one {a}", f"removed two {b}", f"removed three {a}"]
    scheduler = [f"episode one {a}", f"episode two {b}", f"episode three {a}", f"episode new {c}", f"artifact {d}"]

    assert names(catalogue, scheduler) == {a: True, c: True, d: False}
    assert names(catalogue, [*scheduler, f"artifact {b}"])[b] is False


def test_a_list_without_its_end_is_refused() -> None:
    assert _ended(["x", "end"], "end") == ["x"]
    for lines in ([], ["x"], ["end", "x"]):
        with pytest.raises(KeepingError, match="cut off"):
            _ended(lines, "end")


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"keep_day": 3}, "has no keep_day"),
        ({"keep_days": 0}, "keep_days is 0"),
        ({"keep_rejected_days": "week"}, "keep_rejected_days is 'week'"),
        ({"copies_gb": 5}, "copies_gb needs objects"),
        ({"vendor": [{"keep_days": 3}]}, "id is None"),
        ({"dataset": [{"name": "d"}]}, "keep_days is None"),
        ({"dataset": {"name": "d"}}, r"\[\[store.dataset\]\]"),
        ({"objects": 7}, "objects is 7"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_by_its_field(table: dict[str, Any], why: str) -> None:
    with pytest.raises(BadStorage, match=why):
        storage_of(table)


def test_the_table_says_how_long_and_how_much_here() -> None:
    ever = {"id": "bolt", "keep_days": float("inf")}
    said = {"objects": "s3://b", "copies_gb": 2, "keep_days": 9, "vendor": [ever, {"id": "acme", "quota_gb": 3}]}
    policy = {"days": 9.0, "rejected_days": None, "vendors": {"bolt": None}, "datasets": {}}
    assert storage_of(said) == Storage("s3://b", 2 * 10**9, policy)
    assert storage_of({}).policy["days"] is None


def test_what_is_old_goes_and_its_object_with_the_second_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an operator does it, dry first: retention, then two sweeps; what is new stays whole."""
    (tmp_path / "hall.toml").write_text(VENUE)
    store = tmp_path / "data" / "store"
    objects = LocalObjects(store / "objects")
    catalogue = Catalogue(store / "catalogue.db")
    # Ages in that file are from a day of its own: recorded then, it is old now.
    now_ns = time.time_ns()
    digests = {}
    for uid, start_ns in (("old", 10**18), ("new", now_ns)):
        (tmp_path / uid).write_text(uid)
        digests[uid] = objects.put_file(tmp_path / uid, move=True).sha256
        catalogue.enter([entry(uid, sha256=digests[uid], start_ns=start_ns)], (1, uid))
    catalogue.close()
    database.open_writer(tmp_path / "data" / database.FILE).close()

    def run(*words: str) -> tuple[int, str]:
        options = ["--venue", str(tmp_path / "hall.toml"), "--data", str(tmp_path / "data")]
        monkeypatch.setattr("sys.argv", ["palaestra-venue", "store", *words, *options])
        return main(), capsys.readouterr().out

    assert run("retention")[1].endswith("1 episodes, 0.000 GB would go; --apply lets them\n")
    code, said = run("retention", "--apply")
    assert (code, said.splitlines()[0]) == (0, "vendors/acme/episodes/old  10 bytes  retention")
    now = ("--grace-s", "0", "--wait-s", "0")
    assert "1 marked" in run("sweep", "--apply", *now)[1]
    assert set(objects.digests()) == set(digests.values())
    assert "1 removed" in run("sweep", "--apply", *now)[1]
    assert list(objects.digests()) == [digests["new"]]
    (row,) = [json.loads(line) for line in run("usage", "--json")[1].splitlines()]
    assert (row["episodes"], row["removed_episodes"]) == (1, 1)

    objects.delete(digests["new"])
    code, said = run("sweep", *now)
    assert (code, f"MISSING: an episode's object {digests['new']}" in said) == (1, True)


def test_a_folder_without_a_catalogue_is_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hall.toml").write_text(VENUE)
    words = ["store", "sweep", "--venue", str(tmp_path / "hall.toml"), "--data", str(tmp_path / "none")]
    monkeypatch.setattr("sys.argv", ["palaestra-venue", *words])
    assert main() == 2
    assert not (tmp_path / "none").exists()


def test_a_profile_says_which_table_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "hall.toml").write_text(VENUE.replace("keep_days", "keep_years"))
    with pytest.raises(BadProfile, match="keep_years"):
        Profile.load(tmp_path / "hall.toml")
