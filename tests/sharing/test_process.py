"""`python -m sharing` as the venue starts it: a process, a port, a folder that outlives it."""

import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from sharing.__main__ import server
from sharing.settings import parse
from tests.sharing.stage import Stage, serving
from venue.authority import Authority
from web.listening import Refused, listen

PATIENCE_S = 120.0
PATHS = ["--folder", "f", "--catalogue", "c", "--objects", "o"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--listen", "0.0.0.0:7490"], "is not a loopback address"),
        (["--listen", "7490"], "is not HOST:PORT"),
        (["--cert", "c.pem"], "come together"),
        (["--scheduler", "elsewhere:7400"], "another machine"),
        (["--address", "ftp://x"], "no address of HTTP"),
    ],
)
def test_what_would_send_tokens_in_clear_is_refused(words: list[str], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        parse([*words, *PATHS])


def test_the_process_serves_stops_and_keeps_what_was_registered(staged: Stage, tmp_path: Path) -> None:
    with serving(staged) as environment:
        process, url = started(staged, tmp_path, environment["PALAESTRA_ADDRESS"])
        try:
            mine = {"Authorization": "Bearer aurora"}
            found = httpx.get(f"{url}/sharing/v1/identity", headers=mine, timeout=PATIENCE_S).json()
            assert (found["vendor"], found["address"]) == ("vendors/aurora", url)
            assert httpx.get(f"{url}/sharing/v1/keys", timeout=PATIENCE_S).status_code == 401
            foreign = httpx.get(f"{url}/sharing/v1/keys", headers=mine | {"Host": "evil.example"}, timeout=PATIENCE_S)
            assert foreign.status_code == 403
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) in (0, -signal.SIGTERM)
        finally:
            process.kill()
            process.communicate()
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "mine" / "sharing.db").stat().st_mode & 0o777 == 0o600


def started(staged: Stage, tmp_path: Path, scheduler: str) -> tuple[subprocess.Popen[str], str]:
    """Start the process on a free port; on another one if somebody was faster. Returns it and its address."""
    for _ in range(5):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [
            *(sys.executable, "-m", "sharing", "--listen", f"127.0.0.1:{port}"),
            *("--scheduler", scheduler, "--folder", str(tmp_path / "mine")),
            *("--catalogue", str(staged.settings.catalogue), "--objects", str(tmp_path / "objects")),
        ]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        deadline_s = time.monotonic() + PATIENCE_S
        while process.poll() is None and time.monotonic() < deadline_s:
            if _answers(f"http://127.0.0.1:{port}"):
                return process, f"http://127.0.0.1:{port}"
            time.sleep(0.05)
        process.kill()
        said = process.communicate()[1]
        assert "cannot listen" in said, said
    raise AssertionError("no port was free")


def test_it_serves_with_a_certificate_and_with_its_renewal(staged: Stage, tmp_path: Path) -> None:
    Authority.create(tmp_path, "hall").sign_server(["127.0.0.1"], days=1)
    pair = ["--cert", str(tmp_path / "server.crt"), "--key", str(tmp_path / "server.key")]
    settings = parse(["--listen", "127.0.0.1:0", *pair, *PATHS])
    listening = listen(settings)
    port = listening.getsockname()[1]
    running = server(staged.room, settings)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    context = ssl.create_default_context(cafile=tmp_path / "ca.crt")

    def shown() -> str:
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE_S) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted,
        ):
            return str((encrypted.getpeercert() or {})["serialNumber"])

    try:
        url = f"https://127.0.0.1:{port}/sharing/v1/identity"
        headers = {"Authorization": "Bearer aurora"}
        answer = httpx.get(url, headers=headers, verify=context, timeout=PATIENCE_S)
        assert answer.json()["vendor"] == "vendors/aurora"
        before = shown()
        Authority(tmp_path).sign_server(["127.0.0.1"], days=2)
        end_s = time.monotonic() + PATIENCE_S
        while shown() == before:
            assert time.monotonic() < end_s, "the renewed certificate is never shown"
            time.sleep(0.1)
    finally:
        running.should_exit = True
        thread.join(PATIENCE_S)
        listening.close()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=PATIENCE_S).status_code == 204
    except httpx.TransportError:
        return False
