"""Encrypted connections trust the certificates they were given, and no others."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from palaestra import AsyncClient, Client, PalaestraError, Unreachable
from tests.client.fake_venue import VENDOR_TOKEN, FakeVenue

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")


def certificate(folder: Path) -> tuple[bytes, bytes]:
    """Return a fresh key and its self-signed certificate for this machine, both PEM."""
    folder.mkdir()
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-nodes",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ),
            *("-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
        timeout=30,
    )
    return key.read_bytes(), cert.read_bytes()


@pytest.fixture
def pair(tmp_path: Path) -> tuple[bytes, bytes]:
    """A key and certificate."""
    return certificate(tmp_path / "own")


@pytest.fixture
def secure(pair: tuple[bytes, bytes]) -> Iterator[FakeVenue]:
    """A venue that speaks only TLS."""
    fake = FakeVenue()
    fake.start(pair)
    yield fake
    fake.stop()


def test_a_trusted_certificate_opens_the_connection(secure: FakeVenue, pair: tuple[bytes, bytes]) -> None:
    with Client(secure.address, VENDOR_TOKEN, tls_root=pair[1]) as client:
        assert client.identity().vendor == "vendors/acme"

    async def work() -> str:
        async with AsyncClient(secure.address, VENDOR_TOKEN, tls_root=pair[1]) as client:
            return (await client.identity()).vendor

    assert asyncio.run(work()) == "vendors/acme"


def test_another_certificate_never_sees_the_token(secure: FakeVenue, tmp_path: Path) -> None:
    _, other = certificate(tmp_path / "other")

    with (
        Client(secure.address, VENDOR_TOKEN, tls_root=other, timeout_s=1.0) as client,
        pytest.raises(Unreachable),
    ):
        client.identity()
    assert not secure.received


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_token_does_not_travel_unencrypted_to_another_machine(kind: type[Client] | type[AsyncClient]) -> None:
    """Whoever forgets the certificates to trust would tell the token to everybody on the way."""
    for address in ("192.0.2.7:7443", "hall.example:7443", "[2001:db8::7]:7443"):
        with pytest.raises(PalaestraError, match="unencrypted") as caught:
            kind(address, "secret-token")
        assert caught.value.reason == "INVALID_FIELD"
        assert "secret-token" not in str(caught.value)
