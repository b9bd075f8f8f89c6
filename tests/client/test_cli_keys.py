"""`palaestra keys` and certificates on the command line, against the real scheduler."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from palaestra.cli import run
from scheduler.configuration import settings_of
from tests.scheduler.site import VENUE, LiveServer
from venue.authority import Authority

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("hall")
    Authority.create(folder / "tls", "hall").sign_server(["127.0.0.1"], days=1)
    table = {"tls": {"listen": "127.0.0.1:0", "client_certificates": True}}
    with LiveServer(folder, settings_of(VENUE | table, "test"), files=folder) as server:
        yield server


@pytest.fixture
def cli(live: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command as somebody; return its exit code and what it printed."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("CA", "CERT", "KEY"):
        # The options of the command line write here; undone after the test.
        monkeypatch.setenv(f"PALAESTRA_{name}", "")

    def call(*words: str, token: str = "", who: str = "vendor-acme") -> tuple[int, str, str]:
        monkeypatch.setenv("PALAESTRA_ADDRESS", live.address)
        monkeypatch.setenv("PALAESTRA_TOKEN", token or live.token(who))
        code = run(list(words))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_the_secret_stands_alone_on_standard_output(cli: Cli) -> None:
    code, secret, told = cli("keys", "create", "--role", "engineer", "--name", "ci", "--expires", "+2h")

    assert code == 0
    assert "told nowhere again" in told
    assert secret.strip() not in told
    code, who, _ = cli("whoami", token=secret.strip())
    assert code == 0
    assert [line.split()[0] for line in who.splitlines()] == ["role", "vendor", "venue", "by", "until"]


def test_keys_are_listed_rotated_and_revoked(cli: Cli) -> None:
    made = json.loads(cli("keys", "create", "--role", "reader", "--method", "JobService/*", "--json")[1])
    name = made["apiKey"]["name"].rpartition("/")[2]

    code, secret, _ = cli("keys", "rotate", name, "--overlap", "1h")
    assert (code, secret.startswith(made["apiKey"]["prefix"])) == (0, True)
    assert cli("whoami", token=made["secret"])[0] == 0
    row = next(line for line in cli("keys", "list")[1].splitlines() if name in line)
    assert "JobService/*" in row
    assert "former secret until" in row
    assert cli("keys", "revoke", name) == (0, f"vendors/acme/apiKeys/{name}: revoked\n", "")
    assert name not in cli("keys", "list")[1]
    assert "revoked" in next(line for line in cli("keys", "list", "--all")[1].splitlines() if name in line)
    for refused in (secret.strip(), made["secret"]):
        code, _, told = cli("whoami", token=refused)
        assert (code, "[KEY_REVOKED]" in told) == (1, True)


def test_operators_make_keys_for_the_house_alone(cli: Cli) -> None:
    house = json.loads(cli("keys", "create", "--role", "host", "--house", "--json", who="operator")[1])

    assert house["apiKey"]["name"].startswith("venues/hall/apiKeys/")
    assert house["apiKey"]["name"] in cli("keys", "list", "--house", who="operator")[1]
    assert cli("keys", "list", "--vendor", "rival", who="operator")[0] == 0
    code, _, told = cli("keys", "create", "--role", "host", "--house")
    assert (code, "[NOT_FOUND]" in told) == (1, True)
    assert cli("keys", "list", "--vendor", "rival", "--house")[0] == 2


def test_a_dry_run_makes_nothing(cli: Cli) -> None:
    def names() -> list[str]:
        # When keys were used last is written down later.
        return [key["name"] for key in json.loads(cli("keys", "list", "--all", "--json")[1])["apiKeys"]]

    before = names()

    assert cli("keys", "create", "--role", "reader", "--dry-run") == (0, "the venue would make this key\n", "")
    assert names() == before


def test_a_certificate_is_named_by_options(
    live: LiveServer, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its own it is enough."""
    folder = live._folder / "tls"
    certificate, key = Authority(folder).sign_client("spiffe://hall/vendors/acme/reader", days=1)
    (tmp_path / "own.crt").write_bytes(certificate)
    (tmp_path / "own.key").write_bytes(key)
    options = ["--ca", str(folder / "ca.crt"), "--cert", str(tmp_path / "own.crt"), "--key", str(tmp_path / "own.key")]
    monkeypatch.setattr(live, "address", live.tls_address)
    monkeypatch.setattr(live, "token", lambda who: "")

    code, who, told = cli(*options, "whoami")

    assert (code, told) == (0, "")
    assert "certificate" in who
    code, _, told = cli("--ca", str(tmp_path / "none.crt"), "whoami")
    assert (code, "none.crt cannot be read" in told) == (1, True)
