"""The command line and its refusals."""

import socket
from pathlib import Path

import pytest

from api.__main__ import main
from api.settings import parse
from web.listening import Refused


def test_a_command_line_becomes_settings(tmp_path: Path) -> None:
    token = tmp_path / "operator.token"
    token.write_text("secret\n")

    found = parse(["--listen", "[::1]:9000", "--objects", str(tmp_path), "--token-file", str(token)])

    assert (found.host, found.port, found.probe_token) == ("::1", 9000, "secret")


@pytest.mark.parametrize("address", ["0.0.0.0:80", "192.0.2.1:80", "venue.example:80", "[::]:80"])
def test_beyond_loopback_needs_a_word(tmp_path: Path, address: str) -> None:
    arguments = ["--listen", address, "--objects", str(tmp_path)]
    with pytest.raises(Refused, match="TLS"):
        parse(arguments)

    assert parse([*arguments, "--allow-remote"]).allow_remote


@pytest.mark.parametrize("address", ["", "80", ":80", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000"])
def test_a_malformed_address_is_named(tmp_path: Path, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--listen", address, "--objects", str(tmp_path)]) == 2
    assert repr(address) in capsys.readouterr().err


def test_a_taken_port_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["--listen", f"127.0.0.1:{port}", "--objects", str(tmp_path)]) == 1
    assert str(port) in capsys.readouterr().err
