"""Contents and exports: the real store behind them, owners only."""

import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest

from api.content import refused
from palaestra.v1 import episode_pb2, job_pb2
from store import EpisodeHeader, EpisodeRecorder, LocalObjects, Outcome, Status, StoreUnreachable, joint_frames
from store.encrypted import begin_encryption

BYTES = bytes(range(256)) * 40
PATH = "/v1/vendors/acme/episodes/e-1/content"


def catalogue(stage: Any, digest: str, name: str = "vendors/acme/episodes/e-1") -> None:
    row = episode_pb2.Episode(name=name, job="vendors/acme/jobs/j-1", content={"sha256": digest})

    def put(state: Any) -> None:
        state.jobs["vendors/acme/jobs/j-1"] = job_pb2.Job(name="vendors/acme/jobs/j-1")
        state.episodes[name] = row

    stage.do(put)


@pytest.fixture
def acme(stage: Any) -> httpx.Client:
    catalogue(stage, stage.put_object(BYTES))
    return stage.client("acme-token")  # type: ignore[no-any-return]


def test_an_owner_reads_the_whole_file(acme: httpx.Client) -> None:
    response = acme.get(PATH)

    assert response.content == BYTES
    assert response.headers["content-type"] == "application/vnd.apache.parquet"


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-9", 206, BYTES[:10]),
        ("bytes=100-", 206, BYTES[100:]),
        ("bytes=-7", 206, BYTES[-7:]),
        ("bytes=999999-", 416, None),
    ],
)
def test_a_range_is_that_part(acme: httpx.Client, asked: str, status: int, part: bytes | None) -> None:
    response = acme.get(PATH, headers={"range": asked})

    assert response.status_code == status
    assert part is None or response.content == part


def test_an_encrypted_object_is_downloaded_as_ever_until_its_key_is_destroyed(stage: Any, tmp_path: Path) -> None:
    """Whole and by ranges; then its owner is told why it cannot be had, and nobody else anything."""
    objects = begin_encryption(tmp_path / "objects", tmp_path / "keys").of("vendors/acme")
    (tmp_path / "source").write_bytes(BYTES)
    catalogue(stage, objects.put_file(tmp_path / "source", move=True).sha256)
    state = stage.server.config.app.state
    plain, state.objects = state.objects, objects
    try:
        owner, rival = stage.client("acme-token"), stage.client("rival-token")
        assert owner.get(PATH).content == BYTES
        assert owner.get(PATH, headers={"range": "bytes=100-109"}).content == BYTES[100:110]
        before = rival.get(PATH)
        objects.shred("vendors/acme")
        said = owner.get(PATH)
        assert said.status_code == 404
        assert "vendors/acme: its key was destroyed on" in said.text
        assert rival.get(PATH).content == before.content
    finally:
        state.objects = plain


def test_parts_of_an_interrupted_download_make_the_file(acme: httpx.Client) -> None:
    tag = acme.get(PATH, headers={"range": "bytes=0-0"}).headers["etag"]
    parts = [
        acme.get(PATH, headers={"range": f"bytes={n}-{n + 2999}", "if-range": tag}).content
        for n in range(0, len(BYTES), 3000)
    ]

    assert b"".join(parts) == BYTES


def test_anothers_episode_and_no_episode_are_the_same_bytes(stage: Any, acme: httpx.Client) -> None:
    rival = stage.client("rival-token")
    there = rival.get(PATH)
    stage.do(lambda state: state.episodes.clear())

    assert there.status_code == 404
    assert there.content == rival.get(PATH).content


def test_an_operator_sees_the_row_and_not_the_content(stage: Any, acme: httpx.Client) -> None:
    operator = stage.client("operator-token")

    assert operator.get("/v1/vendors/acme/episodes/e-1").status_code == 200
    assert operator.get(PATH).status_code == 404
    assert operator.get("/v1/vendors/acme/jobs/j-1/export").status_code == 404


@pytest.mark.parametrize("digest", ["0" * 64, "../../../etc/passwd", ""])
def test_a_row_without_its_object_is_not_found(stage: Any, digest: str) -> None:
    catalogue(stage, digest)

    assert stage.client("acme-token").get(PATH).status_code == 404


def record(objects: LocalObjects, spool: Path, number: int) -> str:
    header = EpisodeHeader(
        name=f"vendors/acme/episodes/e-{number}",
        vendor="acme",
        job="vendors/acme/jobs/j-1",
        attempt=1,
        unit="venues/hall/units/arm-2",
        robot_model="own_arm",
        maker="Palaestra",
        joint_names=("a", "b"),
        task="reach",
        seed=number,
        control_rate_hz=500.0,
        sample_rate_hz=100.0,
        clock_source="simulation",
        engine="mujoco",
        engine_version="4.0.0",
        architecture="x86_64",
        model_sha256="0" * 64,
        controller_version="0.1.0",
        controller_backend="numpy",
        started_at_ns=1,
        frames=joint_frames(),
        calibration="model",
    )
    with EpisodeRecorder(header, spool, objects) as recorder:
        for row in range(50):
            recorder.append(row / 100.0, *(np.full(2, number + row / 50.0) for _ in range(4)))
        return recorder.seal(Outcome(Status.SUCCESS)).sha256


def test_a_store_that_does_not_answer_is_said_and_not_where_it_is() -> None:
    """It is not the catalogue's fault, and a vendor learns no name of a bucket."""
    told = refused(StoreUnreachable("s3://a-bucket: 0123: no route"))

    assert (told.reason, told.code) == ("STORE_UNREACHABLE", grpc.StatusCode.UNAVAILABLE)
    assert "does not answer" in str(told)
    assert "a-bucket" not in str(told)


def test_an_export_is_a_data_set_and_leaves_no_file_behind(
    stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two recorded episodes come back as one zipped LeRobot data set of a hundred steps at most."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    objects = LocalObjects(stage.settings.objects)
    for number in (1, 2):
        catalogue(stage, record(objects, tmp_path / "spool", number), f"vendors/acme/episodes/e-{number}")

    response = stage.client("acme-token").get("/v1/vendors/acme/jobs/j-1/export", params={"fps": 50})

    assert response.status_code == 200, response.text
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        info = json.loads(archive.read("j-1/meta/info.json"))
    assert (info["codebase_version"], info["total_episodes"], info["fps"]) == ("v3.0", 2, 50)
    stage.wait_for(lambda: not list(temporary.iterdir()), "the temporary folder is gone")


def test_a_job_without_episodes_cannot_be_exported(stage: Any) -> None:
    stage.do(lambda state: state.jobs.update({"vendors/acme/jobs/j-1": job_pb2.Job(name="vendors/acme/jobs/j-1")}))

    response = stage.client("acme-token").get("/v1/vendors/acme/jobs/j-1/export")

    assert (response.status_code, response.json()["reason"]) == (400, "INVALID_FIELD")
