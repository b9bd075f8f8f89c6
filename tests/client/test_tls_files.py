"""Certificates in files: processes that run for months follow them, without a restart and without losing calls."""

import asyncio
import contextlib
import shutil
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from palaestra.channel import authorization
from palaestra.tls_files import LOOK_PERIOD_S, NoCertificate, ServerFiles, TlsFiles
from palaestra.v1 import venue_service_pb2, venue_service_pb2_grpc
from tests.scheduler.site import PATIENCE_S, VENUE, LiveServer
from venue.authority import Authority

WHO = venue_service_pb2.GetIdentityRequest()


@pytest.fixture
def looks_always(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LOOK_PERIOD_S > 0.0
    monkeypatch.setattr("palaestra.tls_files.LOOK_PERIOD_S", 0.0)


def issue(authority: Authority, folder: Path, role: str = "gateway") -> TlsFiles:
    """Write what a process of the house shows."""
    folder.mkdir(exist_ok=True)
    process = {"host": "/h", "runner": "/runner"}.get(role, "")
    certificate, key = authority.sign_client(f"spiffe://hall/{role}{process}", days=1)
    files = TlsFiles(folder / "ca.crt", folder / "own.crt", folder / "own.key")
    for path, content in ((files.ca, authority.root), (files.cert, certificate), (files.key, key)):
        assert path is not None
        path.write_bytes(content)
    return files


def serve(folder: Path, authority: Authority) -> LiveServer:
    from scheduler.configuration import settings_of

    authority.sign_server(["127.0.0.1"], days=1)
    table = {"tls": {"listen": "127.0.0.1:0", "client_certificates": True}}
    return LiveServer(folder, settings_of(VENUE | table, "test"), files=folder)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveServer]:
    with serve(tmp_path, Authority.create(tmp_path / "tls", "hall")) as server:
        yield server


def role_of(channel: grpc.Channel) -> str:
    answer = venue_service_pb2_grpc.VenueServiceStub(channel).GetIdentity(WHO, timeout=PATIENCE_S)
    return str(answer.role)


@pytest.mark.usefixtures("looks_always")
def test_a_channel_shows_what_the_files_hold_now(live: LiveServer, tmp_path: Path) -> None:
    """Between two files of a pair nothing changes; a stream from before goes on."""
    authority = Authority(tmp_path / "tls")
    files = issue(authority, tmp_path / "own")
    channel = files.channel(live.tls_address, ())
    stub = venue_service_pb2_grpc.VenueServiceStub(channel)
    assert role_of(channel) == "gateway"
    metadata = live.metadata("operator")
    stream = stub.WatchEvents(venue_service_pb2.WatchEventsRequest(), metadata=metadata)
    next(stream)

    next_files = issue(authority, tmp_path / "next", "host")
    shutil.copy(str(next_files.cert), str(files.cert))
    assert role_of(channel) == "gateway"
    shutil.copy(str(next_files.key), str(files.key))
    assert role_of(channel) == "host"
    # The one stub follows, too: as host it carries nobody's token.
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetIdentity(WHO, timeout=PATIENCE_S, metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    made = live.key("reader", "acme").api_key.name
    assert made in {event.resource for event in next(stream).events}
    channel.close()


@pytest.mark.usefixtures("looks_always")
def test_a_channel_for_asyncio_does_the_same(live: LiveServer, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    files = issue(authority, tmp_path / "own")

    async def roles() -> list[str]:
        async with files.aio_channel(live.tls_address, ()) as channel:
            await channel.channel_ready()
            stub = venue_service_pb2_grpc.VenueServiceStub(channel)
            stream = stub.WatchEvents(venue_service_pb2.WatchEventsRequest(), metadata=live.metadata("operator"))
            assert await stream.read() is not grpc.aio.EOF
            found = []
            for role in ("gateway", "host", "runner", "safety"):
                issue(authority, tmp_path / "own", role)
                found.append((await stub.GetIdentity(WHO, timeout=PATIENCE_S)).role)
            made = live.key("reader", "acme").api_key.name
            assert made in {event.resource for event in (await stream.read()).events}
            return found

    assert asyncio.run(roles()) == ["gateway", "host", "runner", "safety"]


@pytest.mark.usefixtures("looks_always")
def test_a_venue_that_changes_its_authority_is_found_again(tmp_path: Path) -> None:
    """All certificates are of another authority after the restart: who has the new files comes back by itself."""
    old, new = tmp_path / "old", tmp_path / "new"
    files = issue(Authority.create(old / "tls", "hall"), tmp_path / "own")
    with serve(old, Authority(old / "tls")) as first:
        channel = files.channel(first.tls_address, [("grpc.max_reconnect_backoff_ms", 100)])
        assert role_of(channel) == "gateway"
        port = first.tls_address
    authority = Authority.create(new / "tls", "hall")
    from scheduler.configuration import settings_of

    authority.sign_server(["127.0.0.1"], days=1)
    table = {"tls": {"listen": port, "client_certificates": True}}
    with LiveServer(new, settings_of(VENUE | table, "test"), files=new):
        with pytest.raises(grpc.RpcError) as caught:
            role_of(channel)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        issue(authority, tmp_path / "own")
        assert role_of(channel) == "gateway"
    channel.close()


def test_without_certificates_to_trust_a_channel_is_plain(live: LiveServer) -> None:
    with TlsFiles().channel(live.address, ()) as channel:
        stub = venue_service_pb2_grpc.VenueServiceStub(channel)
        answer = stub.GetIdentity(WHO, timeout=PATIENCE_S, metadata=authorization(live.token("gateway")))
    assert answer.role == "gateway"


def test_files_that_cannot_be_used_are_refused_by_name(tmp_path: Path) -> None:
    parser = ArgumentParser()
    TlsFiles.add_options(parser, prefix="scheduler-")
    authority = Authority.create(tmp_path / "tls", "hall")
    files, other = issue(authority, tmp_path / "own"), issue(authority, tmp_path / "other")

    def given(**paths: object) -> TlsFiles:
        words = [word for name, path in paths.items() for word in (f"--scheduler-{name}", str(path))]
        return TlsFiles.of(parser.parse_args(words), prefix="scheduler-")

    assert given(ca=files.ca, cert=files.cert, key=files.key) == files
    assert given() == TlsFiles()
    for wrong, problem in (
        ({"ca": files.ca, "cert": files.cert}, "come together"),
        ({"cert": files.cert, "key": files.key}, "come together"),
        ({"ca": files.ca, "cert": files.cert, "key": other.key}, "is no certificate of"),
        ({"ca": files.ca, "cert": files.cert, "key": tmp_path / "none"}, "none is not there"),
        ({"ca": tmp_path / "none"}, "No such file"),
    ):
        with pytest.raises(NoCertificate, match=problem):
            given(**wrong)
    with pytest.raises(NoCertificate):
        ServerFiles(tmp_path / "none", tmp_path / "none")


def test_a_call_is_made_although_another_thread_takes_new_files_in_meanwhile(live: LiveServer, tmp_path: Path) -> None:
    """What is known of the methods is thrown away between a look at it and its use."""

    class Renewed(dict):  # type: ignore[type-arg]
        def __contains__(self, key: object) -> bool:
            found = super().__contains__(key)
            channel._methods = {}  # type: ignore[attr-defined]
            return found

        def get(self, key: object, default: object = None) -> object:
            found = super().get(key, default)
            channel._methods = {}  # type: ignore[attr-defined]
            return found

    files = issue(Authority(tmp_path / "tls"), tmp_path / "own")
    with contextlib.closing(files.channel(live.tls_address, ())) as channel:
        stub = venue_service_pb2_grpc.VenueServiceStub(channel)
        assert stub.GetIdentity(WHO, timeout=PATIENCE_S).role == "gateway"
        channel._methods = Renewed(channel._methods)  # type: ignore[attr-defined]
        assert stub.GetIdentity(WHO, timeout=PATIENCE_S).role == "gateway"


@pytest.mark.parametrize("address", ["10.0.0.7:7443", "hall.example:7443", "[2001:db8::1]:7443", "0.0.0.0:7443"])
def test_no_token_travels_to_another_machine_unencrypted(address: str) -> None:
    """Of a host, a runner or the api, each with a token of its role, as of the SDK."""
    for open_channel in (TlsFiles().channel, TlsFiles().aio_channel):
        with pytest.raises(NoCertificate, match="is another machine, and tokens would travel there unencrypted"):
            open_channel(address, ())
    for here in ("127.0.0.1:1", "localhost:1", "[::1]:1"):
        TlsFiles().channel(here, ()).close()
