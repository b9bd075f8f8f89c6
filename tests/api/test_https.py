"""Console and REST beyond loopback: with a certificate, which may be renewed while they run."""

import socket
import ssl
import threading
import time
from pathlib import Path

import httpx
import pytest

from api.__main__ import server
from api.settings import parse
from palaestra.download import download
from palaestra.errors import PalaestraError
from venue.authority import Authority
from web.listening import Refused, listen


def serial(port: int, root: Path) -> str:
    """Return the serial number of the certificate that a new connection is shown."""
    context = ssl.create_default_context(cafile=root)
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted,
    ):
        return str((encrypted.getpeercert() or {})["serialNumber"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Authority.create(tmp_path, "hall").sign_server(["127.0.0.1"], days=1)
    return tmp_path


def test_pages_are_served_with_a_certificate_and_with_its_renewal(folder: Path) -> None:
    words = ["--listen", "127.0.0.1:0", "--objects", str(folder), "--allow-remote"]
    settings = parse([*words, "--cert", str(folder / "server.crt"), "--key", str(folder / "server.key")])
    listening = listen(settings)
    port = listening.getsockname()[1]
    running = server(settings)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        context = ssl.create_default_context(cafile=folder / "ca.crt")
        with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, timeout=20) as client:
            assert client.get("/healthz").status_code == 200
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/healthz")
        before = serial(port, folder / "ca.crt")
        Authority(folder).sign_server(["127.0.0.1"], days=2)
        end_s = time.monotonic() + 30
        while serial(port, folder / "ca.crt") == before:
            assert time.monotonic() < end_s, "the renewed certificate is never shown"
            time.sleep(0.1)
    finally:
        running.should_exit = True
        thread.join(30)


def test_beyond_loopback_a_certificate_is_enough(folder: Path) -> None:
    words = ["--listen", "0.0.0.0:80", "--objects", str(folder)]
    pair = ["--cert", str(folder / "server.crt"), "--key", str(folder / "server.key")]

    assert not parse([*words, *pair]).loopback_only
    for wrong in (words, [*words, *pair[:2]], [*words, *pair[:2], "--key", str(folder / "ca.key")]):
        with pytest.raises(Refused):
            parse(wrong)


def test_the_command_line_trusts_the_login_s_authority_for_downloads(folder: Path, tmp_path: Path) -> None:
    """A certificate alone is no token; with one, the server's refusal comes through TLS that the login vouches for."""
    settings = parse(
        [
            *("--listen", "127.0.0.1:0", "--objects", str(folder), "--scheduler", "127.0.0.1:1"),
            *("--cert", str(folder / "server.crt"), "--key", str(folder / "server.key")),
        ]
    )
    listening = listen(settings)
    url = f"https://127.0.0.1:{listening.getsockname()[1]}/v1/vendors/acme/jobs/one:export"
    running = server(settings)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    root = (folder / "ca.crt").read_text()
    try:
        for token, trusted, told in (
            ("", root, "PALAESTRA_TOKEN"),
            ("token", "", "CERTIFICATE_VERIFY_FAILED"),
            ("token", root, "no answer from the server"),
        ):
            with pytest.raises(PalaestraError, match=told):
                download(url, token, tmp_path / "out.zip", show=False, tls_root=trusted)
        assert not (tmp_path / "out.zip").exists()
    finally:
        running.should_exit = True
        thread.join(30)
