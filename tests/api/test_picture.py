"""Pictures of episodes that cannot be drawn; those that can, and for whom, are in test_review.py."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from store import LocalObjects
from tests.api.test_content import catalogue, record

PATH = "/v1/vendors/acme/episodes/e-1/picture"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is just now."""
    monkeypatch.setattr("api.picture.PATIENCE_S", 600.0)


def ask(stage: Any, token: str) -> httpx.Response:
    return httpx.get(f"{stage.url}{PATH}", headers={"authorization": f"Bearer {token}"}, timeout=600)


def test_what_is_no_episode_is_refused_without_a_word_of_where_it_is(stage: Any) -> None:
    catalogue(stage, stage.put_object(b"PAR1 is all there is PAR1"))

    refused = ask(stage, "acme-token")

    assert refused.status_code == 400
    assert refused.json()["detail"] == "the episode cannot be drawn"
    assert str(stage.settings.objects) not in refused.text


def test_drawing_that_takes_too_long_is_ended(stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue(stage, record(LocalObjects(stage.settings.objects), tmp_path / "spool", 1))
    monkeypatch.setattr("api.picture.PATIENCE_S", 0.01)

    assert "took longer" in ask(stage, "acme-token").json()["detail"]
