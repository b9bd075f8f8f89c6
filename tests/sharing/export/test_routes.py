"""The way of an export and of a trace over HTTP: by the real gate, the real projector, real recordings."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sharing.problem import NOT_SHARED
from tests.sharing.projection.ground import Ground
from tests.sharing.stage import AURORA, BOREALIS, Stage, stage


@pytest.fixture
def staged(tmp_path: Path) -> Iterator[Stage]:
    """A room over recordings of aurora's."""
    ground = Ground(tmp_path, vendor="aurora")
    ground.record(1, rows=400, joints=12)
    ground.freeze([1])
    made = stage(tmp_path)
    yield made
    made.close()


def test_what_is_agreed_is_fetched_traced_and_ends_with_the_agreement(staged: Stage) -> None:
    """Fetched by its consumer alone; the leaked file names it to the provider alone; revoked, it is gone."""
    digest = staged.agree(columns=("action", "observation.state")).digest
    consumer, provider, third = (staged.as_(name) for name in ("borealis", "aurora", "cygnus"))
    path = f"/sharing/v1/exports/{digest}?format=parquet"

    answer = consumer.get(path)

    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        leaked = packed.read("joints.parquet")
    assert staged.notes.of("bytes")[-1]["size_bytes"] == len(answer.content)
    assert third.get(path).content == NOT_SHARED
    traced = provider.post("/sharing/v1/trace", content=leaked).json()
    assert [(one["consumer"], one["found"]) for one in traced["suspects"]] == [(BOREALIS, True)]
    for other in (third, consumer):
        assert other.post("/sharing/v1/trace", content=leaked).content == NOT_SHARED
    staged.room.register.revoke(digest, AURORA, "")
    assert consumer.get(path).content == NOT_SHARED


@pytest.mark.parametrize(
    "name",
    [
        "..%2f..%2fetc%2fpasswd",
        "%00",
        "a" * 300,
        "%2e%2e",
        "a%2f..%2fb",
        "\u2025",
        "A" * 64,
        "'; DROP TABLE agreement--",
    ],
)
def test_attack_3_no_name_leads_out_of_the_folder(staged: Stage, name: str) -> None:
    """Traversal, NUL, long and foreign names: the one answer."""
    answer = staged.as_("borealis").get(f"/sharing/v1/exports/{name}?format=parquet")

    assert (answer.status_code, answer.content) == (404, NOT_SHARED)


def test_formats_beyond_the_list_and_files_that_are_none_are_refused_in_words(staged: Stage) -> None:
    """Told to who may ask at all."""
    digest = staged.agree(columns=("action",)).digest
    consumer, provider = staged.as_("borealis"), staged.as_("aurora")

    assert consumer.get(f"/sharing/v1/exports/{digest}?format=../../etc").json()["reason"] == "INVALID_FIELD"
    assert consumer.get(f"/sharing/v1/exports/{digest}?format=parquet").status_code == 200
    refused = provider.post("/sharing/v1/trace", content=b"PAR1 no table PAR1").json()
    assert refused["reason"] == "INVALID_FIELD"
    assert "/" not in refused["detail"]
