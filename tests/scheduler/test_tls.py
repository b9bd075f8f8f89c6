"""The port for those from elsewhere: who shows a good certificate comes in, as whom it names, while it is good."""

import asyncio
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from palaestra import Client, PalaestraError, Unreachable
from palaestra.channel import authorization
from palaestra.errors import from_rpc
from palaestra.tls import Tls, trouble
from palaestra.tls_files import NoCertificate
from palaestra.v1 import (
    host_service_pb2,
    host_service_pb2_grpc,
    runner_service_pb2,
    runner_service_pb2_grpc,
    venue_service_pb2,
)
from scheduler.certificates import Certificates
from scheduler.configuration import BadConfiguration, settings_of
from scheduler.door import Door, NotLoopback
from scheduler.identity import Identity
from scheduler.roles import Role
from scheduler.server import Server
from scheduler.tls import Tls as TlsTable
from scheduler.tls import files_of, tls_of
from tests.scheduler.site import PATIENCE_S, VENUE, LiveServer, error_of
from venue.authority import Authority

ACME = "spiffe://hall/vendors/acme/engineer"
ATTEMPT = "vendors/acme/jobs/none/attempts/1"
UNITS = [{"id": "arm-1", "robot": "own_arm"}, {"id": "arm-2", "robot": "own_arm"},
         {"id": "arm-3", "robot": "own_arm", "host": "floor-b"}]  # fmt: skip
EXPIRED_DAYS = 1e-9
SHORT_S = 0.3


def settings(**table: Any) -> Any:
    tls = {"listen": "127.0.0.1:0", "client_certificates": True} | table
    return settings_of(VENUE | {"unit": UNITS, "tls": tls}, "test")


def furnish(folder: Path) -> Authority:
    """Make an authority and the server's certificate in a venue's folder."""
    authority = Authority.create(folder / "tls", "hall")
    authority.sign_server(["127.0.0.1", "localhost"], days=1)
    return authority


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hall")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return furnish(folder)


@pytest.fixture(scope="module")
def live(folder: Path, authority: Authority) -> Iterator[LiveServer]:
    with LiveServer(folder, settings(), files=folder) as server:
        yield server


def client(live: LiveServer, tls: Tls, token: str = "", timeout_s: float = PATIENCE_S) -> Client:
    return Client(
        live.tls_address,
        token,
        timeout_s=timeout_s,
        tls_root=tls.root,
        tls_certificate=tls.certificate,
        tls_key=tls.key,
    )


def shown(authority: Authority, uri: str = ACME, days: float = 1.0, *, root: bytes | None = None) -> Tls:
    """Return what somebody shows whom the authority names so."""
    return Tls(root or authority.root, *authority.sign_client(uri, days=days))


def refusal(live: LiveServer, tls: Tls, token: str = "") -> PalaestraError:
    with client(live, tls, token) as opened, pytest.raises(PalaestraError) as caught:
        opened.identity()
    assert not isinstance(caught.value, Unreachable)
    return caught.value


@pytest.mark.parametrize(
    ("uri", "role", "vendor"),
    [
        (ACME, "engineer", "vendors/acme"),
        ("spiffe://hall/vendors/rival/reader", "reader", "vendors/rival"),
        ("spiffe://hall/operator", "operator", ""),
        ("spiffe://hall/host/floor-b", "host", ""),
        ("spiffe://hall/runner/runner", "runner", ""),
    ],
)
def test_a_certificate_is_enough_to_be_known(
    live: LiveServer, authority: Authority, uri: str, role: str, vendor: str
) -> None:
    with client(live, shown(authority, uri)) as opened:
        who = opened.identity()

    assert (who.role, who.vendor, who.credential) == (role, vendor, "certificate")
    assert who.HasField("expire_time")


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://hall/vendors/nobody/engineer",
        "spiffe://hall/vendors/acme/operator",
        "spiffe://hall/vendors/acme",
        "spiffe://hall/vendors/acme/engineer/more",
        "spiffe://hall/engineer",
        "spiffe://hall/host",
        "spiffe://hall/runner",
        "spiffe://hall/host/",
        "spiffe://hall/host/a/b",
        "spiffe://hall/host/A%20B",
        "spiffe://hall/operator/one",
        "spiffe://hall/vendors/acme/engineer/one",
        "spiffe://hall/",
        "spiffe://other/operator",
        "https://hall/operator",
    ],
)
def test_a_certificate_that_names_nobody_of_this_venue_is_refused(
    live: LiveServer, authority: Authority, uri: str
) -> None:
    assert refusal(live, shown(authority, uri)).reason == "CERTIFICATE_REFUSED"


def test_token_and_certificate_must_belong_together(live: LiveServer, authority: Authority) -> None:
    """A token that was stolen is of no use with another vendor's certificate; the gateway carries everybody's."""
    engineer, gateway = shown(authority), shown(authority, "spiffe://hall/gateway")
    with client(live, engineer, live.token("vendor-acme")) as opened:
        assert opened.identity().role == "vendor"
    for name in ("vendor-rival", "operator", "host"):
        assert refusal(live, engineer, live.token(name)).reason == "CERTIFICATE_REFUSED"
        with client(live, gateway, live.token(name)) as opened:
            assert opened.identity().credential == "token"
    assert refusal(live, shown(authority, "spiffe://hall/operator"), live.token("host")).reason == "CERTIFICATE_REFUSED"
    assert refusal(live, engineer, "wrong").reason == "BAD_TOKEN"
    with client(live, gateway) as opened, pytest.raises(PalaestraError) as caught:
        list(opened.units())
    assert caught.value.reason == "ROLE_DENIED"


def hello(live: LiveServer, tls: Tls, host: str, unit: str, token: str = "") -> str:
    """Return why a host is refused, "" if it is not."""
    declared = host_service_pb2.UnitDeclaration(unit=f"venues/hall/units/{unit}", robot_model="own_arm", joint_count=3)
    first = host_service_pb2.HostHello(host=host, address="127.0.0.1:1", instance="i", units=[declared])
    credentials = tls.credentials()
    assert credentials is not None
    with grpc.secure_channel(live.tls_address, credentials) as channel:
        stub = host_service_pb2_grpc.HostServiceStub(channel)
        stream = stub.Connect(
            iter([host_service_pb2.ConnectRequest(hello=first)]), timeout=PATIENCE_S, metadata=authorization(token)
        )
        try:
            next(stream)
        except grpc.RpcError as error:
            return from_rpc(error).reason
        finally:
            stream.cancel()
    return ""


@pytest.mark.parametrize("with_token", [False, True], ids=["alone", "with the role's token"])
def test_a_host_s_certificate_is_good_for_that_host_and_no_other(
    live: LiveServer, authority: Authority, with_token: bool
) -> None:
    """Who has stolen one cannot take over the units of another host, not even of one that is away."""
    token = live.token("host") if with_token else ""
    own = shown(authority, "spiffe://hall/host/floor-a")

    assert hello(live, own, "floor-a", "arm-1", token) == ""
    assert hello(live, own, "floor-b", "arm-2", token) == "CERTIFICATE_REFUSED"
    assert hello(live, own, "floor-a", "arm-3", token) == "HOST_CONFLICT", "the venue file gives it to floor-b"
    assert hello(live, shown(authority, "spiffe://hall/host/floor-b"), "floor-b", "arm-3", token) == ""


@pytest.mark.parametrize(
    ("method", "request_", "own"),
    [
        ("WatchAssignments", runner_service_pb2.WatchAssignmentsRequest(runner="b", instance="b/1"), False),
        ("WatchAssignments", runner_service_pb2.WatchAssignmentsRequest(runner="a", instance="a/1"), True),
        ("HeartbeatAttempts", runner_service_pb2.HeartbeatAttemptsRequest(instance="b/1"), False),
        ("HeartbeatAttempts", runner_service_pb2.HeartbeatAttemptsRequest(instance="a/1"), True),
        ("StartAttempt", runner_service_pb2.StartAttemptRequest(attempt=ATTEMPT, instance="b/1"), False),
        ("FinishAttempt", runner_service_pb2.FinishAttemptRequest(attempt=ATTEMPT, instance="b/1", outcome=3), False),
        ("AppendLog", runner_service_pb2.AppendLogRequest(attempt=ATTEMPT, lines=["x"]), False),
    ],
)
def test_a_runner_s_certificate_is_good_for_that_runner_and_no_other(
    live: LiveServer, authority: Authority, method: str, request_: Message, own: bool
) -> None:
    credentials = shown(authority, "spiffe://hall/runner/a").credentials()
    assert credentials is not None
    with grpc.secure_channel(live.tls_address, credentials) as channel:
        call = getattr(runner_service_pb2_grpc.RunnerServiceStub(channel), method)

        def ask() -> None:
            answer = call(request_, timeout=PATIENCE_S)
            if method == "WatchAssignments":
                next(answer)
                answer.cancel()

        if own:
            ask()
        else:
            assert error_of(ask).reason == "CERTIFICATE_REFUSED"


def test_without_a_good_certificate_there_is_no_connection(
    live: LiveServer, authority: Authority, tmp_path: Path
) -> None:
    """None, one that has expired, one of another authority, and none of it encrypted; each is told why."""
    other = Authority.create(tmp_path / "other", "hall")
    token = live.token("vendor-acme")
    cases = {
        "asks for a client certificate": Tls(authority.root),
        "expired": shown(authority, days=EXPIRED_DAYS),
        "another authority": shown(other, root=authority.root),
        "not to be trusted": shown(authority, root=other.root),
    }
    for why, tls in cases.items():
        with client(live, tls, token, SHORT_S) as opened, pytest.raises(Unreachable):
            opened.identity()
        assert why in (trouble(live.tls_address, tls) or "")
    with Client(live.tls_address, token, timeout_s=SHORT_S) as plain, pytest.raises(Unreachable):
        plain.identity()
    assert trouble(live.address, shown(authority)) is not None
    assert trouble(live.tls_address, shown(authority)) is None


def test_a_certificate_of_the_server_is_none_of_a_client(live: LiveServer, authority: Authority, folder: Path) -> None:
    pair = ((folder / "tls/server.crt").read_bytes(), (folder / "tls/server.key").read_bytes())
    with client(live, Tls(authority.root, *pair), timeout_s=SHORT_S) as opened, pytest.raises(Unreachable):
        opened.identity()


@pytest.mark.parametrize("ending", ["revoked", "expired"])
def test_what_a_certificate_opened_ends_soon_after_it(
    live: LiveServer, authority: Authority, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """The connection would outlive the certificate: streams and calls on it do not."""
    tls = shown(authority)
    with client(live, tls) as opened:
        stream = opened.watch_events(0)
        next(stream)
        serial = authority.issued()[-1].serial
        if ending == "revoked":
            authority.revoke(serial)
        else:
            now_ns = live.core.clock.now_ns
            monkeypatch.setattr(live.core.clock, "now_ns", lambda: now_ns() + 25 * 3600 * 10**9)
        with pytest.raises(PalaestraError) as caught:
            while True:
                next(stream)
        assert caught.value.reason == ("KEY_REVOKED" if ending == "revoked" else "KEY_EXPIRED")
        assert serial in caught.value.message
        with pytest.raises(PalaestraError) as caught:
            opened.identity()
        assert caught.value.reason == ("KEY_REVOKED" if ending == "revoked" else "KEY_EXPIRED")


def test_a_renewed_certificate_is_shown_without_a_restart(
    live: LiveServer, authority: Authority, folder: Path, tmp_path: Path
) -> None:
    """Connections from before go on; a pair that is half replaced is not taken."""
    tls, root = shown(authority), folder / "tls"
    with client(live, tls) as before:
        assert before.identity().role == "engineer"
        first = _serial(live, tls)
        key = (root / "server.key").read_bytes()
        authority.sign_server(["127.0.0.1"], days=2)
        second = _serial(live, tls)
        assert second != first
        good = (root / "server.key").read_bytes()
        (root / "server.key").write_bytes(key)
        assert _serial(live, tls) == second
        (root / "server.key").unlink()
        assert _serial(live, tls) == second
        (root / "server.key").write_bytes(good)
        assert before.identity().role == "engineer"
        with client(live, tls) as after:
            assert after.identity().role == "engineer"


def _serial(live: LiveServer, tls: Tls) -> str:
    """Return the serial number of the certificate that a new connection is shown."""
    context = ssl.create_default_context(cadata=(tls.root or b"").decode())
    context.set_alpn_protocols(["h2"])
    host, _, port = live.tls_address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), PATIENCE_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as encrypted,
    ):
        return str((encrypted.getpeercert() or {})["serialNumber"])


def test_with_tls_alone_a_token_is_what_counts(tmp_path: Path) -> None:
    authority = furnish(tmp_path)
    with LiveServer(tmp_path, settings(client_certificates=False), files=tmp_path) as live:
        with client(live, Tls(authority.root), live.token("vendor-acme")) as opened:
            assert opened.identity().vendor == "vendors/acme"
        assert refusal(live, Tls(authority.root)).reason == "BAD_TOKEN"
        assert refusal(live, shown(authority)).reason == "BAD_TOKEN"


def test_the_plain_port_stays_open_to_this_machine_and_asks_for_tokens(live: LiveServer) -> None:
    stub = live.channel.unary_unary("/palaestra.v1.VenueService/GetIdentity")
    request = venue_service_pb2.GetIdentityRequest().SerializeToString()

    assert stub(request, timeout=PATIENCE_S, metadata=live.metadata("vendor-acme"))
    with pytest.raises(grpc.RpcError) as caught:
        stub(request, timeout=PATIENCE_S)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:7400", "hall.example:7400", ":7400"])
def test_a_plain_port_beyond_loopback_is_refused_with_what_to_do(live: LiveServer, listen: str) -> None:
    with pytest.raises(NotLoopback, match=r"\[tls\] listen in the venue file"):
        Server(live.core, None, listen)  # type: ignore[arg-type]


def test_the_process_says_what_is_missing_and_ends(tmp_path: Path) -> None:
    venue = tmp_path / "hall.toml"
    venue.write_text('[venue]\nid = "hall"\n[[vendor]]\nid = "acme"\n[tls]\nlisten = "127.0.0.1:0"\n')
    command = [sys.executable, "-m", "scheduler", "--venue", str(venue), "--data", str(tmp_path / "data")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (ended.returncode, "palaestra-venue ca init" in ended.stderr) == (2, True)
    assert "Traceback" not in ended.stderr


def test_files_that_do_not_belong_together_are_refused_at_the_start(tmp_path: Path) -> None:
    one, two = furnish(tmp_path / "one"), furnish(tmp_path / "two")
    assert one.root != two.root
    tls = tmp_path / "one/tls"
    files_of(tls, client_certificates=True)
    kept = tmp_path / "kept"
    for name, content in (
        ("server.key", (tmp_path / "two/tls/server.key").read_bytes()),
        ("server.key", b"no key"),
        ("server.crt", b""),
        ("ca.crt", b"no certificate"),
        ("ca.crt", None),
    ):
        shutil.copytree(tls, kept)
        (kept / name).unlink()
        if content is not None:
            (kept / name).write_bytes(content)
        with pytest.raises(NoCertificate, match="palaestra-venue ca"):
            files_of(kept, client_certificates=True)
        shutil.rmtree(kept)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"listen": "7443"}, "must be an address and a port"),
        ({"listen": "127.0.0.1:99999"}, "must be an address and a port"),
        ({"listen": 7443}, "not a text"),
        ({"client_certificates": "yes"}, "not true or false"),
        ({"lisen": "x"}, "has no lisen"),
    ],
)
def test_a_wrong_tls_table_is_refused_by_name(table: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadConfiguration, match=problem):
        tls_of(table, "hall.toml")


def test_without_a_tls_table_there_is_no_such_port() -> None:
    assert settings_of(VENUE, "test").tls == TlsTable()


def test_the_book_of_revoked_certificates_is_read_again_and_survives_nonsense(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path, "hall")
    pem, _ = authority.sign_client("spiffe://hall/operator", days=1)
    serial, book = authority.issued()[-1].serial, tmp_path / "revoked"
    certificates = Certificates("hall", ["acme"], book, time.time_ns)
    known = certificates.identify(pem)
    assert known == Identity(Role.OPERATOR, "", "certificate", expire_ns=known.expire_ns)

    book.write_text(f"\n  \n{serial.upper()} by hand\n")
    with pytest.raises(PalaestraError) as caught:
        certificates.identify(pem)
    assert caught.value.reason == "KEY_REVOKED"
    # Broken: what was known stays known, for nobody comes back because a file is damaged.
    book.write_bytes(b"\xff\xfe")
    with pytest.raises(PalaestraError):
        certificates.identify(pem)
    book.unlink()
    assert certificates.identify(pem) == known


@pytest.mark.parametrize("line", ["0ab1", "AB1", "0x0ab1", "0A:B1", "00:0a:b1 by hand", "nonsense\n0AB1"])
def test_a_serial_number_is_taken_back_however_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """The tools of other authorities fill up with zeros, and part bytes with colons."""
    monkeypatch.setattr("cryptography.x509.random_serial_number", lambda: 0xAB1)
    pem, _ = Authority.create(tmp_path, "hall").sign_client("spiffe://hall/operator", days=1)
    (tmp_path / "revoked").write_text(f"{line}\n")

    with pytest.raises(PalaestraError) as caught:
        Certificates("hall", ["acme"], tmp_path / "revoked", time.time_ns).identify(pem)
    assert caught.value.reason == "KEY_REVOKED"


@pytest.mark.parametrize("pem", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_names_nobody(pem: bytes) -> None:
    with pytest.raises(PalaestraError) as caught:
        Certificates("hall", ["acme"], None, time.time_ns).identify(pem)
    assert caught.value.reason == "CERTIFICATE_REFUSED"


def test_with_tls_too_the_leader_is_found_among_several(folder: Path, live: LiveServer, authority: Authority) -> None:
    """Both show the same certificate, as the schedulers of one venue do; the first one named only waits."""
    waiting = threading.Event()
    ending = threading.Event()
    found: list[str] = []

    async def wait() -> None:
        door = Door("127.0.0.1:0", settings().tls, folder)
        await door.open()
        found.append(door.tls_address)
        waiting.set()
        await asyncio.to_thread(ending.wait)
        await door.close(0)

    thread = threading.Thread(target=lambda: asyncio.run(wait()))
    thread.start()
    assert waiting.wait(PATIENCE_S)
    tls = shown(authority, ACME)
    address = f"{found[0]},{live.tls_address}"
    with Client(
        address, "", timeout_s=PATIENCE_S, tls_root=tls.root, tls_certificate=tls.certificate, tls_key=tls.key
    ) as both:
        assert both.identity().vendor == "vendors/acme"
    ending.set()
    thread.join()
