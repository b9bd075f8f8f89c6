"""Logins are found where they were put, and nowhere else."""

from pathlib import Path

import pytest

from palaestra import PalaestraError, login
from palaestra.login import Login

LAB = Login(
    address="10.0.0.7:7401",
    token='to"k\\en',
    api_url="http://10.0.0.7:7480",
    vendor="vendors/acme",
    role="vendor",
    tls_root="-----BEGIN\nCERTIFICATE-----\n",
)


def test_a_saved_login_is_found_as_it_was(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    login.save(environ, "lab", LAB)

    assert login.find(environ) == LAB
    assert login.find(environ, "lab") == LAB


def test_the_last_saved_profile_is_the_current_one(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    assert login.current(environ) == "default"
    login.save(environ, "lab", LAB)
    login.save(environ, "hall", Login(address="hall:1", token="x"))

    assert login.find(environ).address == "hall:1"
    assert login.find(environ, "lab") == LAB
    assert (tmp_path / ".config" / "palaestra" / "logins" / "lab.toml").exists()


def test_the_environment_needs_no_file(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "PALAESTRA_ADDRESS": "here:1", "PALAESTRA_TOKEN": "t"}

    assert login.find(environ) == Login(address="here:1", token="t")


def test_the_environment_goes_over_the_file(tmp_path: Path) -> None:
    """With another token the file's vendor is no longer known to be right."""
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    login.save(environ, "lab", LAB)

    found = login.find({**environ, "PALAESTRA_TOKEN": "other"})
    assert (found.address, found.token, found.vendor, found.tls_root) == (
        LAB.address,
        "other",
        "",
        LAB.tls_root,
    )
    assert login.find({**environ, "PALAESTRA_ADDRESS": "here:1"}).token == LAB.token


def test_a_named_profile_counts_alone(tmp_path: Path) -> None:
    """An operator who says --profile must not act as whom the environment names."""
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    login.save(environ, "lab", LAB)

    assert login.find({**environ, "PALAESTRA_ADDRESS": "here:1", "PALAESTRA_TOKEN": "other"}, "lab") == LAB


def test_no_login_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(PalaestraError) as caught:
        login.find({"HOME": str(tmp_path)})
    assert caught.value.reason == "BAD_TOKEN"
    assert "palaestra login" in caught.value.help


@pytest.mark.parametrize("profile", ["../evil", "", "a/b", ".hidden", "a" * 65])
def test_a_profile_cannot_name_a_file_elsewhere(tmp_path: Path, profile: str) -> None:
    with pytest.raises(PalaestraError, match="does not match"):
        login.path_of({"HOME": str(tmp_path)}, profile)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("address = ", "not TOML"),
        ('address = "a"', "token is missing"),
        ('token = "a"', "address is missing"),
        ('address = "a"\ntoken = 3', "token must be text"),
    ],
)
def test_a_broken_login_file_says_what_is_wrong(text: str, problem: str) -> None:
    with pytest.raises(PalaestraError, match=problem):
        login.parse(text, "acme.toml")


def test_a_newer_login_file_may_hold_more() -> None:
    assert login.parse('address = "a"\ntoken = "b"\nfuture = 1\n', "acme.toml") == Login(address="a", token="b")


def test_a_login_never_shows_its_token() -> None:
    assert LAB.token not in repr(LAB)
    assert LAB.token not in str(LAB)


CERTIFIED = Login(
    address="10.0.0.7:7443",
    vendor="vendors/acme",
    role="engineer",
    tls_root="root\n",
    tls_certificate="certificate\n",
    tls_key="key\n",
)


def test_a_certificate_stands_in_for_a_token(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    login.save(environ, "lab", CERTIFIED)

    assert login.find(environ) == CERTIFIED
    assert login.parse(login.text_of(CERTIFIED), "here") == CERTIFIED
    with pytest.raises(PalaestraError, match="token is missing, and so is tls_certificate"):
        login.parse('address = "here:1"\ntls_root = "x"', "here")
    assert "key" not in repr(CERTIFIED) + repr(CERTIFIED.tls())


def test_a_token_of_the_environment_is_shown_with_the_file_s_certificate(tmp_path: Path) -> None:
    """A venue that asks for a certificate asks for it with a key, too."""
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    login.save(environ, "lab", CERTIFIED)

    found = login.find({**environ, "PALAESTRA_TOKEN": "pal_x"})
    assert (found.token, found.tls_certificate, found.tls_key, found.role) == ("pal_x", "certificate\n", "key\n", "")


def test_a_certificate_of_the_environment_is_shown_instead_of_the_file_s_token(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    login.save(environ, "lab", LAB)
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text(f"{name}\n")
    files = {f"PALAESTRA_{name.upper()}": str(tmp_path / name) for name in ("ca", "cert", "key")}

    found = login.find(environ | files)
    assert (found.token, found.tls_root, found.tls_certificate, found.tls_key) == ("", "ca\n", "cert\n", "key\n")
    alone = login.find({"PALAESTRA_ADDRESS": "here:1", **files})
    assert (alone.address, alone.tls_certificate) == ("here:1", "cert\n")
    with pytest.raises(PalaestraError, match=r"PALAESTRA_CERT: .* cannot be read"):
        login.find(environ | files | {"PALAESTRA_CERT": str(tmp_path / "none")})
