"""The venue's certificate authority, from the command line on: what it makes, and every way it refuses."""

import json
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from palaestra import login
from venue.__main__ import main
from venue.authority import Authority, AuthorityError, certified_names, client_uri
from venue.profile import Tls

HALL = '[venue]\nid = "hall"\n[[vendor]]\nid = "acme"\n[[host]]\nid = "one"\n[tls]\nlisten = "0.0.0.0:7443"\n'


class Desk:
    """The command line of one venue."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.tls = folder / "data" / "tls"
        self._monkeypatch = monkeypatch
        (folder / "hall.toml").write_text(HALL)

    def ca(self, *words: str) -> int:
        paths = ["--venue", str(self.folder / "hall.toml"), "--data", str(self.folder / "data")]
        self._monkeypatch.setattr("sys.argv", ["palaestra-venue", "ca", *words, *paths])
        return main()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_from_nothing_to_a_login_in_three_commands(desk: Desk) -> None:
    out = desk.folder / "out"
    assert desk.ca("init") == desk.ca("server", "10.0.0.7", "hall.example") == 0
    assert desk.ca("issue", "--vendor", "acme", "--out", str(out)) == 0

    found = login.parse((out / "acme-engineer.toml").read_text(), "test")
    assert (found.address, found.token, found.vendor, found.role) == (
        "10.0.0.7:7443", "", "vendors/acme", "engineer",
    )  # fmt: skip
    assert found.tls_root == (desk.tls / "ca.crt").read_text()
    assert found.tls_certificate == (out / "acme-engineer.crt").read_text()
    assert found.tls_key == (out / "acme-engineer.key").read_text()


def test_private_keys_are_their_owners_alone(desk: Desk) -> None:
    desk.ca("init")
    desk.ca("server", "hall.example")
    desk.ca("issue", "--role", "operator", "--out", str(desk.folder))

    private = [
        desk.tls / "ca.key",
        desk.tls / "server.key",
        desk.folder / "operator.key",
        desk.folder / "operator.toml",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (desk.tls, desk.tls.parent)} == {0o700}
    assert not [path for path in desk.folder.rglob(".*") if path.is_file()]


def test_certificates_say_what_they_are_for_and_are_signed(desk: Desk) -> None:
    desk.ca("init")
    desk.ca("server", "10.0.0.7", "fd00::7", "hall.example")
    desk.ca("issue", "--vendor", "acme", "--role", "reader", "--days", "2", "--out", str(desk.folder))
    root, server, client = (
        x509.load_pem_x509_certificate(path.read_bytes())
        for path in (desk.tls / "ca.crt", desk.tls / "server.crt", desk.folder / "acme-reader.crt")
    )

    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(True, 0)
    for leaf, purpose in ((server, ExtendedKeyUsageOID.SERVER_AUTH), (client, ExtendedKeyUsageOID.CLIENT_AUTH)):
        leaf.verify_directly_issued_by(root)
        assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [purpose]
        assert leaf.not_valid_after_utc <= root.not_valid_after_utc
    names = client.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["spiffe://hall/vendors/acme/reader"]
    assert certified_names(desk.tls / "server.crt") == ["10.0.0.7", "fd00::7", "hall.example"]
    assert 2.0 <= (client.not_valid_after_utc - client.not_valid_before_utc).total_seconds() / 86400 < 2.01


def test_renewing_keeps_the_names_and_changes_the_certificate(desk: Desk) -> None:
    desk.ca("init")
    desk.ca("server", "10.0.0.7", "hall.example")
    before = (desk.tls / "server.crt").read_bytes()

    assert desk.ca("server") == 0
    assert (desk.tls / "server.crt").read_bytes() != before
    assert certified_names(desk.tls / "server.crt") == ["10.0.0.7", "hall.example"]


def test_the_book_lists_what_was_signed_and_what_was_taken_back(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.ca("init")
    desk.ca("issue", "--vendor", "acme", "--address", "hall:1", "--out", str(desk.folder))
    desk.ca("issue", "--role", "host", "--id", "one", "--address", "hall:1", "--out", str(desk.folder))
    serials = [line.serial for line in Authority(desk.tls).issued()]
    capsys.readouterr()
    for what in (str(desk.folder / "acme-engineer.crt"), serials[0].upper()):
        assert desk.ca("revoke", what) == 0
    assert (desk.tls / "revoked").read_text().count(serials[0]) == 1
    capsys.readouterr()
    desk.ca("list")

    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == serials
    assert [line.endswith("revoked") for line in listed] == [True, False]
    assert Authority(desk.tls).revoked() == {serials[0]}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["init"], "is there already"),
        (["server"], "needs a name"),
        (["server", "no name"], "neither a host name nor an IP address"),
        (["server", "hällo"], "neither a host name nor an IP address"),
        (["issue", "--vendor", "nobody"], "is no vendor of"),
        (["issue", "--vendor", "acme", "--role", "operator"], "no role of vendor acme"),
        (["issue", "--role", "engineer"], "no role of the house"),
        (["issue"], "no role of the house"),
        (["issue", "--vendor", "acme", "--name", "10.0.0.8"], "--name is for --role host"),
        (["issue", "--role", "operator"], "--address is missing"),
        (["issue", "--role", "host"], "needs --id"),
        (["issue", "--role", "host", "--id", "two"], "is no host of"),
        (["issue", "--role", "runner", "--id", "A b"], "is no id of a runner"),
        (["issue", "--role", "safety", "--id", "one"], "has no --id"),
        (["revoke", "abc"], "no serial number"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(
    desk: Desk, capsys: pytest.CaptureFixture[str], words: list[str], problem: str
) -> None:
    desk.ca("init")
    before = sorted(path.name for path in desk.tls.iterdir())

    assert desk.ca(*words) == 2
    assert problem in capsys.readouterr().err
    assert sorted(path.name for path in desk.tls.iterdir()) == before


def test_without_an_authority_it_says_how_to_make_one(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.ca("server", "hall") == 2
    assert "ca init" in capsys.readouterr().err


def test_a_key_of_another_authority_is_noticed(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        Authority.create(folder, "hall")
    (one / "ca.key").write_bytes((two / "ca.key").read_bytes())

    with pytest.raises(AuthorityError, match="is not the key of"):
        Authority(one)


def test_an_authority_that_has_expired_signs_nothing(tmp_path: Path) -> None:
    with pytest.raises(AuthorityError, match="has expired"):
        Authority.create(tmp_path, "hall", days=0)


def test_no_certificate_outlives_the_authority(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path, "hall", days=1)
    pem, _ = authority.sign_client(client_uri("hall", "host", "", "one"), days=30)

    root = x509.load_pem_x509_certificate(authority.root)
    assert x509.load_pem_x509_certificate(pem).not_valid_after_utc == root.not_valid_after_utc
    assert json.loads((tmp_path / "issued.jsonl").read_text())["name"] == "spiffe://hall/host/one"


@pytest.mark.parametrize(
    ("listen", "names", "reached"),
    [
        ("0.0.0.0:7443", ["10.0.0.7", "hall"], "10.0.0.7:7443"),
        ("0.0.0.0:7443", ["fd00::7"], "[fd00::7]:7443"),
        ("10.0.0.7:7443", ["hall", "10.0.0.7"], "10.0.0.7:7443"),
        ("10.0.0.7:7443", ["hall"], "hall:7443"),
        ("10.0.0.7:7443", [], "10.0.0.7:7443"),
        ("[::]:7443", [], ""),
        ("", ["hall"], ""),
    ],
)
def test_others_are_told_a_name_that_the_certificate_holds(listen: str, names: list[str], reached: str) -> None:
    assert Tls().reached(listen, names) == reached


@pytest.mark.parametrize("torn", ['{"serial": "ab', '{"serial": "ab", "name": "x"}', "\x00\x00", "[1]"])
def test_a_torn_line_in_the_book_hides_no_other(torn: str, tmp_path: Path) -> None:
    """A crash or a full disk in the middle of a line: what was signed before and after can be listed and taken back."""
    authority = Authority.create(tmp_path, "hall")
    authority.sign_client("spiffe://hall/operator", days=1)
    with (tmp_path / "issued.jsonl").open("a") as book:
        book.write(torn)
    authority.sign_client("spiffe://hall/safety", days=1)

    assert [line.name for line in authority.issued()] == ["spiffe://hall/operator", "spiffe://hall/safety"]
    for line in authority.issued():
        authority.revoke(line.serial)
    assert len(authority.revoked()) == 2
