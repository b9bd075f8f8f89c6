"""`palaestra replay` where there is nothing to run again; what it does with an episode is in tests/runner."""

from pathlib import Path

import pytest

from palaestra.cli import run
from tests.client.fake_venue import VENDOR_TOKEN, FakeVenue


@pytest.mark.parametrize("api_url", ["", "http://127.0.0.1:9"], ids=["no api", "nobody at the api"])
def test_an_episode_that_cannot_be_fetched_does_not_count_as_one_that_differs(
    venue: FakeVenue,
    api_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("PALAESTRA_ADDRESS", venue.address)
    monkeypatch.setenv("PALAESTRA_TOKEN", VENDOR_TOKEN)
    monkeypatch.setenv("PALAESTRA_API_URL", api_url)

    assert run(["replay", "e-7", "--verify"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
