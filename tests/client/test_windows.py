"""`palaestra.data.windows`: from the name of a version to batches, from a folder or over HTTP."""

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from palaestra.data import windows
from palaestra.errors import PalaestraError, Unreachable
from palaestra.login import Login
from palaestra.v1.episode_pb2 import Episode
from palaestra.windows import fetch
from store import ACTION, LocalObjects, read_episode
from tests.store.conftest import House, build_header


class Desk:
    """A venue's answer to who asks for the episodes of a version."""

    def __init__(self, episodes: list[Episode]) -> None:
        self.data = SimpleNamespace(episodes=lambda version: {"walks/1": episodes}[version])


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A store."""
    return House(tmp_path, LocalObjects(tmp_path / "objects"), tmp_path / "spool")


@pytest.fixture
def episodes(house: House) -> list[Episode]:
    """Three episodes, in the order of a version."""
    found = []
    for number in range(3):
        name = f"vendors/acme/episodes/e-{number}"
        sealed = house.seal(build_header(name=name), rows=30 + number, seed=number)
        found.append(Episode(name=name))
        found[-1].content.sha256 = sealed.sha256
    return found


class Content(http.server.BaseHTTPRequestHandler):
    """An api that serves episodes to who shows the token; of one it may serve something else."""

    files: dict[str, bytes]
    token = "the-token"
    asked: list[str]

    def do_GET(self) -> None:
        known = self.headers.get("Authorization") == f"Bearer {self.token}"
        body = self.files.get(self.path, b"") if known else b'{"reason": "BAD_TOKEN", "message": "no"}'
        self.asked.append(self.path)
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


@pytest.fixture
def api(house: House, episodes: list[Episode]) -> Iterator[str]:
    """Its address."""
    Content.asked = []
    Content.files = {
        f"/v1/{episode.name}/content": house.objects.path_of(episode.content.sha256).read_bytes()
        for episode in episodes
    }
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Content) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def login_of(api: str, token: str = "the-token") -> Login:
    return Login(address="127.0.0.1:1", token=token, api_url=api)


def test_a_version_becomes_windows_in_its_order(house: House, episodes: list[Episode], tmp_path: Path) -> None:
    """From the store's own folder; the second call opens what the first has made."""
    desk, told = Desk(episodes[::-1]), []

    for _ in range(2):
        found = windows(
            "walks/1", {ACTION: range(4)}, cache=tmp_path / "cache", client=desk, objects=tmp_path / "objects",
            signals=[ACTION], batch_size=8, seed=5, progress=lambda done, total: told.append((done, total)),
        )  # fmt: skip

    assert told == [(1, 3), (2, 3), (3, 3)]
    assert [one["name"][-1] for one in found.cache.episodes] == ["2", "1", "0"]
    batch = found.take(np.array([0]))
    first = read_episode(house.objects.path_of(episodes[2].content.sha256))
    assert np.array_equal(batch[ACTION][0], first.signals[ACTION][:4])
    assert sum(len(batch["time_s"]) for batch in found.batches()) == 30 + 31 + 32


def test_episodes_come_over_http_once_and_are_whole(
    episodes: list[Episode], api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the store's folder is not on this machine."""
    monkeypatch.setattr("palaestra.login.find", lambda environ, profile: login_of(api))
    desk = Desk(episodes)

    for _ in range(2):
        found = windows("walks/1", {ACTION: [0]}, cache=tmp_path / "cache", client=desk)

    assert len(found) == 93
    assert sorted(Content.asked) == sorted(Content.files)
    assert not list((tmp_path / "cache").glob(".*.parquet*"))


def test_what_is_not_the_episode_is_refused_and_not_kept(
    house: House, episodes: list[Episode], api: str, tmp_path: Path
) -> None:
    """Altered on the way, cut to nothing, or a token that does not hold."""
    kept, path = LocalObjects(tmp_path / "kept"), f"/v1/{episodes[1].name}/content"
    whole = Content.files[path]
    for body, match in ((whole[:-9] + bytes(9), "e-1: what came has the hash"), (b"", "not a whole")):
        Content.files[path] = body
        with pytest.raises(Unreachable, match=match):
            fetch(episodes, kept, login_of(api), tmp_path)
    with pytest.raises(PalaestraError) as refused:
        fetch(episodes[1:], kept, login_of(api, "another"), tmp_path)
    assert refused.value.reason == "BAD_TOKEN"
    assert list(kept.digests()) == [episodes[0].content.sha256]
    assert not list(tmp_path.glob(".*.parquet*"))
    with pytest.raises(PalaestraError, match="names no api_url"):
        fetch(episodes, kept, login_of(""), tmp_path)


def test_without_the_venues_software_it_is_said_what_is_missing() -> None:
    """In a process that cannot import the store, before anything is asked for; the SDK itself imports."""
    program = (
        "import sys; sys.modules['store'] = None\n"
        "from palaestra.data import windows\n"
        "try: windows('walks/1', {'action': [0]}, cache='nowhere')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "print('numpy' in sys.modules)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert "PalaestraError" in said
    assert "need the venue's software (palaestra-server)" in said
    assert said.endswith("False\n")
