"""Scores into a store's catalogue, through the rooms' own processes."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from catalogue import Catalogue, Query
from catalogue.catalogue import Change
from palaestra.cli.data import data
from palaestra.errors import PalaestraError
from palaestra.imports import run
from palaestra.scores import METHOD, is_low, score_store
from palaestra.v1.episode_pb2 import Episode
from store import EpisodeRecorder, LocalObjects, Outcome
from store.episode import ACTION, STATE, VELOCITY
from store.quality.score import METHOD as STORES_METHOD
from tests.store.conftest import build_header

UIDS = ("good", "chatter", "lost")


def test_the_client_names_the_stores_own_method() -> None:
    """Both are told apart in the catalogue by this line."""
    assert METHOD == STORES_METHOD


def test_a_part_below_its_bound_is_low_however_good_the_rest_is() -> None:
    """One that the method does not have is not low."""
    assert is_low(0.9, {"timing": 0.2}, 0.5, {"timing": 0.3})
    assert is_low(0.4, {}, 0.5, {})
    assert not is_low(0.9, {"timing": 0.3}, 0.5, {"timing": 0.3, "unheard": 1.0})


def seal(root: Path, name: str, *, noise_rad_per_s: float) -> tuple[str, int]:
    """Seal four seconds of a slow sine, with noise on the measured speed."""
    header = build_header(joints=2, name=f"vendors/acme/episodes/{name}")
    rows = round(4 * header.sample_rate_hz)
    time_s = np.arange(rows) / header.sample_rate_hz
    path = np.stack([np.sin(time_s), np.sin(time_s + 1)], axis=1)
    speed = np.stack([np.cos(time_s), np.cos(time_s + 1)], axis=1)
    speed += noise_rad_per_s * np.random.default_rng(1).standard_normal(speed.shape)
    signals = {key: np.zeros((rows, header.width(key)), np.float32) for key in header.signals}
    signals |= {STATE: path.astype("f4"), ACTION: path.astype("f4"), VELOCITY: speed.astype("f4")}
    with EpisodeRecorder(header, root / "spool", LocalObjects(root / "objects")) as recorder:
        recorder.extend(time_s, signals)
        sealed = recorder.seal(Outcome("success"))
    return sealed.sha256, sealed.size_bytes


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with an episode that is good, one that is not, and one whose object is gone."""
    contents = [seal(tmp_path, "good", noise_rad_per_s=0.0), seal(tmp_path, "chatter", noise_rad_per_s=3.0)]
    lines = b""
    for uid, (sha256, size_bytes) in zip(UIDS, [*contents, ("0" * 64, 1)], strict=True):
        one = Episode(name=f"vendors/acme/episodes/{uid}", robot_model="own_arm", duration_s=4.0)
        one.attempt = f"vendors/acme/jobs/{uid}/attempts/1"
        one.content.sha256, one.content.size_bytes = sha256, size_bytes
        lines += base64.b64encode(one.SerializeToString()) + b"\n"
    assert run(["-m", "catalogue", "enter", str(tmp_path / "catalogue.db")], lines) == b"3\n"
    return tmp_path


def record(store: Path, uid: str) -> Any:
    """Return what the catalogue has of an episode."""
    catalogue = Catalogue(store / "catalogue.db")
    try:
        return catalogue.record("acme", uid)
    finally:
        catalogue.close()


def test_what_is_scored_is_found_by_its_score_its_faults_and_what_is_to_be_reviewed(store: Path) -> None:
    """What cannot be read is told and ends nothing; another time only that is tried again."""
    said = CliRunner().invoke(data, ["score", str(store), "--review-below", "0.9", "--no-twin", "--json"])

    assert said.exit_code == 0, said.output
    done = json.loads(said.stdout)
    assert (done["changed"], done["review"], list(done["refused"])) == (2, ["chatter"], ["lost"])
    good, bad = record(store, "good"), record(store, "chatter")
    assert good.quality == 1.0 and not good.labels and good.method == METHOD
    assert bad.quality < 0.9 and min(bad.parts.values()) < 1.0
    assert bad.labels["review"] == "open" and int(bad.labels["fault.jerk"]) == 2
    catalogue = Catalogue(store / "catalogue.db")
    found = catalogue.search(Query(vendor="acme", labels=(("review", "open"), ("fault.jerk", None)))).rows
    catalogue.close()
    assert [one.id for one in found] == [bad.id]

    again = score_store(store, review_below=0.9, twin=False)
    assert (again.changed, list(again.refused)) == (0, ["lost"])


def test_what_a_person_has_said_stands(store: Path) -> None:
    """A verdict is not opened again, and a score by somebody's own method is not overwritten."""
    catalogue = Catalogue(store / "catalogue.db")
    catalogue.change("acme", ["chatter"], Change({"review": "accepted"}), by="anna", now_ns=1)
    catalogue.change("acme", ["good"], Change(quality=0.1, method="own/1"), by="anna", now_ns=1)
    catalogue.close()

    assert score_store(store, review_below=1.0, twin=False).changed == 1

    assert record(store, "chatter").labels["review"] == "accepted"
    assert record(store, "chatter").quality is not None
    assert (record(store, "good").quality, record(store, "good").method) == (0.1, "own/1")


def test_a_newer_number_of_the_method_scores_again(store: Path) -> None:
    """What an older one has said is its own, and replaced, with the faults that it saw; a person's label is not."""
    catalogue = Catalogue(store / "catalogue.db")
    old = Change({"fault.gap": "1", "review": "open"}, (), 0.1, {}, "palaestra-quality/0")
    catalogue.score({"good": old}, by="venue", now_ns=1)
    catalogue.change("acme", ["good"], Change({"fault.seen": "by anna"}), by="anna", now_ns=1)
    catalogue.close()

    score_store(store, limit=1, twin=False)

    assert record(store, "good").quality == 1.0
    assert dict(record(store, "good").labels) == {"fault.seen": "by anna"}


def test_numbers_that_are_no_shares_are_refused_and_nothing_is_written(store: Path) -> None:
    """The first of the lines is good, and is not written either."""
    lines = [{"uid": uid, "quality": q, "parts": {}} for uid, q in (("good", 0.5), ("chatter", float("nan")))]
    given = "".join(json.dumps(line) + "\n" for line in lines).encode()

    with pytest.raises(PalaestraError, match="chatter: quality is nan"):
        run(["-m", "catalogue", "score", str(store / "catalogue.db"), METHOD], given)

    assert record(store, "good").quality is None


def test_an_older_file_is_not_brought_forward_beside_a_scheduler(tmp_path: Path) -> None:
    """The scheduler that uses it may know no newer revision, and would not open it again."""
    from catalogue.place import REVISIONS
    from database.file import open_writer

    file = tmp_path / "catalogue.db"
    open_writer(file, REVISIONS[:-1]).close()

    with pytest.raises(PalaestraError, match="start its scheduler first"):
        run(["-m", "catalogue", "enter", str(file)], b"")

    db = open_writer(file, REVISIONS[:-1])
    assert db.execute("PRAGMA user_version").fetchone()[0] == len(REVISIONS) - 1
    db.close()


def test_a_replay_in_the_twin_gives_a_part_and_the_joints_limits(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the processes of both rooms; of an arm with joints of its own names there is no twin, and it is scored
    without; where there is one, what the simulator says goes into the score."""
    assert score_store(store, limit=1, twin=True).changed == 1
    assert "twin" not in record(store, "good").parts
    asked: list[list[str]] = []

    def simulated(command: Any, given: bytes = b"", progress: Any = None) -> bytes:
        asked.append(list(command))
        if command[1] != "runner.replay.measure":
            return run(command, given, progress)
        told = {"engine": "mujoco 9", "rms_rad": [0.5, 0.0], "lower_rad": [-0.5, -9], "upper_rad": [0.5, 9]}
        return "".join(json.dumps({"file": file, **told}) + "\n" for file in command[2:]).encode()

    monkeypatch.setattr("palaestra.scores.run", simulated)
    assert score_store(store, review_below=1.0, twin=True).review == ("chatter",)

    found = record(store, "chatter")
    assert found.parts["twin"] < 1 and found.parts["plausibility"] < 1
    assert found.labels["fault.residual"] == "1" and int(found.labels["fault.limit"]) > 0
    assert [command[1] for command in asked] == ["catalogue", "runner.replay.measure", "store", "catalogue"]
