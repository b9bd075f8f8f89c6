"""Attack 4, by pictures: a face gets out of no channel, and pictures that nobody looked at not either.

The detector here knows its planted faces; the real one is tested in `tests/sharing/desensitise/test_detector.py`.
"""

import io
import json
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest

from palaestra.cli import run
from sharing.desensitise import cover
from sharing.errors import NotReleasable
from sharing.grant import Ask
from sharing.problem import NOT_SHARED
from sharing.projection import projector
from sharing.terms import Channel, Purpose
from store.camera import decode
from store.episode import STATE
from tests.sharing.desensitise.pictures import (
    CAMERA,
    FILLED,
    STREAM,
    Coloured,
    Planted,
    in_process,
    packets_of,
    record,
    scene,
)
from tests.sharing.projection.ground import Ground
from tests.sharing.stage import AURORA, Stage, rows, serving, stage

FRAMES = 8
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venue's files: one episode with a magenta face in every frame."""
    root = tmp_path_factory.mktemp("venue")
    ground = Ground(root, vendor="aurora")
    record(ground, 1, packets_of([scene(n) for n in range(FRAMES)]))
    ground.freeze([1])
    ground.catalogue.close()
    return root


@pytest.fixture
def staged(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A room over them, in which a detector is installed."""
    for name in ("catalogue.db", "objects"):
        (tmp_path / name).symlink_to(recorded / name)
    monkeypatch.setattr(projector, "run", in_process(Coloured))
    made = stage(tmp_path)
    yield made
    made.close()


def reviewed(staged: Stage, digest: str) -> dict[str, Any]:
    """Have an agreement's pictures made as their provider, and return what that ended with."""
    due_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < due_s:
        answer = staged.as_("aurora").post("/sharing/v1/reviews", json={"agreement": digest})
        assert answer.status_code == 200, answer.content
        if answer.json()["state"] != "making":
            return dict(answer.json())
        time.sleep(0.02)
    raise AssertionError("pictures were not made in time")


def magenta(pictures: bytes, form: str) -> int:
    """Return how many pixels of all frames of a video are of a planted face."""
    with av.open(io.BytesIO(pictures), format=form) as video:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in video.decode(video=0)]
    assert len(frames) >= FRAMES
    return int(sum(((f[..., 0] > 140) & (f[..., 2] > 140) & (f[..., 1] < 110)).sum() for f in frames))


def archive(answer: httpx.Response) -> dict[str, bytes]:
    """Return the files of an export."""
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def test_pictures_leave_once_their_provider_has_looked_and_then_without_faces(
    staged: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way over HTTP. Before, the consumer sees what it sees of what is not there, and no work is done."""
    digest = staged.agree(columns=(STATE, CAMERA), transforms=FILLED, channels=("export",)).digest
    consumer, provider, third = (staged.as_(name) for name in ("borealis", "aurora", "cygnus"))
    path = f"/sharing/v1/exports/{digest}?format=parquet"
    assert consumer.get(path).content == NOT_SHARED
    assert not list((staged.room.folder / "projections").iterdir())
    assert "approved" in str(staged.notes.of("projection")[-1]["refused"])

    review = reviewed(staged, digest)["review"]

    address = f"/sharing/v1/reviews/{review['review']}"
    assert review["report"]["cameras"][CAMERA] == {
        "frames": FRAMES,
        "frames_with_faces": FRAMES,
        "frames_covered": FRAMES,
        "detections": FRAMES,
        "covered_millionths": review["report"]["cameras"][CAMERA]["covered_millionths"],
        "released_frames": FRAMES,
        "sampled_frames": FRAMES,
        "sampled_with_faces_left": 0,
    }
    # Made, and not yet looked at: still not there. Nobody else may look, or say anything.
    assert consumer.get(path).content == NOT_SHARED
    for other in (consumer, third):
        assert other.get(address).content == NOT_SHARED
        assert other.get(f"{address}/sheets/{CAMERA}").content == NOT_SHARED
        assert other.post(f"{address}:approve").content == NOT_SHARED
        assert other.post("/sharing/v1/reviews", json={"agreement": digest}).content == NOT_SHARED
    for helper in ("aurora-engineer", "aurora-reader", "operator"):
        assert staged.as_(helper).get(address).json()["state"] == "waiting"
        assert staged.as_(helper).post(f"{address}:approve").json()["reason"] == "ROLE_DENIED"
    sheet = provider.get(f"{address}/sheets/{CAMERA}")
    assert sheet.headers["Content-Type"] == "image/jpeg"
    assert sheet.content[:2] == b"\xff\xd8"

    assert provider.post(f"{address}:approve").json()["state"] == "approved"

    files = archive(consumer.get(path))
    (video,) = (name for name in files if name.endswith(".mp4"))
    assert magenta(files[video], "mp4") == 0
    lerobot = archive(consumer.get(path.replace("parquet", "lerobot")))
    (shown,) = (name for name in lerobot if name.endswith(".mp4"))
    assert magenta(lerobot[shown], "mp4") == 0
    assert json.loads(lerobot["meta/info.json"])["features"][CAMERA]["dtype"] == "video"
    assert [note["what"] for note in staged.notes.of("review")] == ["made", "approved"]
    assert staged.notes.of("review")[0]["frames"] == FRAMES
    assert all("consumer" not in note for note in staged.notes.of("review"))
    # What was decided stays, also for whoever has the file in hand.
    assert provider.post(f"{address}:refuse", json={}).json()["reason"] == "BAD_STEP"
    for change in ("UPDATE picture_review SET decision = 'refused'", "DELETE FROM picture_review"):
        with pytest.raises(Exception, match=r"stays|never goes"), staged.room.database.transaction() as db:
            db.execute(change)
    staged.room.register.revoke(digest, AURORA, "")
    assert consumer.get(path).content == NOT_SHARED


def test_what_was_refused_does_not_leave(staged: Stage) -> None:
    """By the provider or, against it, by the house; a reason is kept."""
    for who, days in (("aurora", 2), ("operator", 3)):
        digest = staged.agree(
            columns=(CAMERA,),
            transforms=FILLED,
            channels=("export",),
            valid_until_s=int(staged.hand.at_s) + days * 86_400,
        ).digest
        address = f"/sharing/v1/reviews/{reviewed(staged, digest)['review']['review']}"

        said = staged.as_(who).post(f"{address}:refuse", json={"reason": "a mirror"}).json()

        assert (said["state"], said["reason"]) == ("refused", "a mirror")
        assert staged.as_("aurora").post(f"{address}:approve").json()["reason"] == "BAD_STEP"
        assert staged.as_("borealis").get(f"/sharing/v1/exports/{digest}?format=parquet").content == NOT_SHARED
    assert len(staged.as_("operator").get("/sharing/v1/reviews").json()["reviews"]) == 2
    assert staged.as_("borealis").get("/sharing/v1/reviews").json() == {"reviews": []}


def test_the_mutants_let_a_face_out(staged: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without covering, the planted face is in what leaves, and the sheet's count says so; without the review, what
    nobody saw leaves."""
    monkeypatch.setattr(cover, "_painted", _unpainted)
    digest = staged.agree(columns=(STATE, CAMERA), transforms=FILLED, channels=("export",)).digest
    review = reviewed(staged, digest)["review"]
    assert review["report"]["cameras"][CAMERA]["sampled_with_faces_left"] == FRAMES
    grant = staged.room.gate.authorize(Ask("vendors/borealis", digest, Channel.EXPORT, Purpose.TRAINING))
    made = staged.room.projector
    with pytest.raises(NotReleasable, match="approved"):
        made.project(grant)
    monkeypatch.setattr(made, "_released", lambda key: frozenset({review["review"]}))

    (file,) = made.project(grant).tables[CAMERA]

    packets = pq.read_table(io.BytesIO(made.read(file, 0, file.size_bytes)))["frame"].to_pylist()
    assert sum(len(Coloured().find(frame)) for frame in decode(STREAM, packets)) == FRAMES


def _unpainted(frame: np.ndarray, found: object, here: int, seen: cover.Seen) -> np.ndarray:
    seen.frames += 1
    return frame


def test_other_pictures_than_those_approved_do_not_leave(staged: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made anew under the same name, by another detector: nobody has seen these. A consumer has nothing made."""
    digest = staged.agree(columns=(STATE, CAMERA), transforms=FILLED, channels=("export",)).digest
    review = reviewed(staged, digest)["review"]
    staged.as_("aurora").post(f"/sharing/v1/reviews/{review['review']}:approve")
    grant = staged.room.gate.authorize(Ask("vendors/borealis", digest, Channel.EXPORT, Purpose.TRAINING))
    assert CAMERA in staged.room.projector.project(grant).tables
    staged.room.projector.drop(digest)
    with pytest.raises(NotReleasable, match="made again"):
        staged.room.projector.project(grant)
    monkeypatch.setattr(projector, "run", in_process(lambda: Planted(frozenset())))

    other = reviewed(staged, digest)["review"]

    assert (other["projection"], other["state"]) == (review["projection"], "waiting")
    with pytest.raises(NotReleasable, match="not those that were approved"):
        staged.room.projector.project(grant)
    # The mutant: were it enough that something of this name was approved, they would leave.
    with monkeypatch.context() as mutant:
        mutant.setattr(staged.room.projector, "_released", lambda key: frozenset({review["review"], other["review"]}))
        assert CAMERA in staged.room.projector.project(grant).tables
    # The very same, made anew, are still those that were approved.
    staged.room.projector.drop(digest)
    monkeypatch.setattr(projector, "run", in_process(Coloured))
    made = reviewed(staged, digest)["review"]
    assert (made["review"], made["state"]) == (review["review"], "approved")
    assert CAMERA in staged.room.projector.project(grant).tables


def test_a_provider_reviews_from_the_command_line(
    staged: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As docs/projections.md says: prepare, show, approve; what another vendor asks is not there for it."""
    digest = staged.agree(columns=(STATE, CAMERA), transforms=FILLED, channels=("export",)).digest
    with serving(staged) as environment:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PALAESTRA_TOKEN", "aurora")
        monkeypatch.setattr("palaestra.cli.share_review.POLL_S", 0.05)
        assert run(["share", "review", "prepare", digest[:12]]) == 0
        shown = capsys.readouterr().out
        name = next(line.split()[1] for line in shown.splitlines() if line.startswith("review"))
        assert "magenta" in shown
        assert run(["share", "review", "show", name[:12], "--out", str(tmp_path / "sheets")]) == 0
        assert (tmp_path / "sheets" / f"{CAMERA}.jpg").read_bytes()[:2] == b"\xff\xd8"
        monkeypatch.setenv("PALAESTRA_TOKEN", "borealis")
        assert run(["share", "review", "approve", name]) == 1
        monkeypatch.setenv("PALAESTRA_TOKEN", "aurora")
        assert run(["share", "review", "approve", name[:12]]) == 0
        capsys.readouterr()
        assert run(["share", "review"]) == 0
        assert "approved" in capsys.readouterr().out
        assert run(["share", "review", "refuse", name]) == 1
        assert "BAD_STEP" in capsys.readouterr().err


def test_pictures_leave_by_no_other_channel(staged: Stage) -> None:
    """Not even those approved: neither a table nor a byte of them; and no review is asked for the rest."""
    digest = staged.agree(
        columns=(STATE, CAMERA),
        transforms=FILLED,
        channels=("delta-share", "export", "compute", "aggregate"),
        privacy_millionths=1_000_000,
    ).digest
    for channel in (Channel.DELTA, Channel.COMPUTE, Channel.AGGREGATE):
        grant = staged.room.gate.authorize(Ask("vendors/borealis", digest, channel, Purpose.TRAINING))
        assert CAMERA in grant.columns
        made = staged.room.projector.project(grant)
        assert set(made.tables) == set(made.schemas) == {"episodes", "joints"}
    assert not rows(staged.room.folder / "sharing.db", "SELECT * FROM picture_review")
    # The mutant: a channel for which columns are not left out has them, and is refused for want of a review.
    with pytest.raises(NotReleasable, match="approved"):
        staged.room.projector.project(replace(grant, channel=Channel.EXPORT))


def test_terms_of_which_no_picture_can_be_made_are_refused_in_words_to_their_provider(staged: Stage) -> None:
    """Distances, cameras that are too large, no channel for it, no camera; to the consumer it is not there."""
    provider = staged.as_("aurora")
    for fields, word in (
        ({"columns": (STATE, CAMERA), "channels": ("delta-share",)}, "exports"),
        ({"columns": (STATE,), "channels": ("export",)}, "no pictures"),
    ):
        digest = staged.agree(transforms=FILLED, **fields).digest
        answer = provider.post("/sharing/v1/reviews", json={"agreement": digest}).json()
        assert (answer["reason"], word in answer["detail"]) == ("INVALID_FIELD", True)
    for name in ("", "../x", "0" * 64, "%00"):
        assert provider.get(f"/sharing/v1/reviews/{name or 'x'}").content == NOT_SHARED
        assert provider.post("/sharing/v1/reviews", json={"agreement": name}).content == NOT_SHARED
