"""The venue's own processes on other machines: they come in by certificate, and back after everything was renewed."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from api.upstream import Upstream
from controller.drive import DriveService
from controller.errors import HostError
from controller.host import _listen
from palaestra import Client, errors
from palaestra.errors import PalaestraError
from palaestra.tls_files import TlsFiles
from palaestra.v1 import runner_service_pb2, unit_host_service_pb2, venue_pb2, venue_service_pb2
from runner.link import Link
from scheduler.configuration import settings_of
from tests.scheduler.site import PATIENCE_S, VENUE, LiveServer
from venue.authority import Authority


def issue(authority: Authority, folder: Path, role: str) -> TlsFiles:
    """Write what a process of the house shows."""
    folder.mkdir(exist_ok=True)
    process = {"host": "/dry-run", "runner": "/runner"}.get(role, "")
    certificate, key = authority.sign_client(f"spiffe://hall/{role}{process}", days=1)
    (folder / "ca.crt").write_bytes(authority.root)
    (folder / "own.crt").write_bytes(certificate)
    (folder / "own.key").write_bytes(key)
    return TlsFiles(folder / "ca.crt", folder / "own.crt", folder / "own.key")


def venue(folder: Path, listen: str = "127.0.0.1:0") -> LiveServer:
    table = {"tls": {"listen": listen, "client_certificates": True}}
    return LiveServer(folder, settings_of(VENUE | table, "test"), files=folder)


def is_online(live: LiveServer) -> bool:
    with Client(live.address, live.token("operator"), timeout_s=PATIENCE_S) as client:
        return any(
            unit.name.endswith("/dry-1") and unit.state != venue_pb2.UNIT_STATE_OFFLINE for unit in client.units()
        )


def test_a_unit_host_comes_back_after_venue_and_certificates_were_renewed(tmp_path: Path) -> None:
    """Another authority, another certificate on either side, and the host process is never touched."""
    authority = Authority.create(tmp_path / "tls", "hall")
    authority.sign_server(["127.0.0.1"], days=1)
    own = issue(authority, tmp_path / "own", "host")
    with ExitStack() as lives:
        first = lives.enter_context(venue(tmp_path))
        listen = first.tls_address
        host = subprocess.Popen(
            [
                *(sys.executable, "-m", "controller", "host", "--dry-run", "--scheduler", listen, "--venue", "hall"),
                *("--token-file", os.devnull, "--state-folder", str(tmp_path)),
                *("--ca", str(own.ca), "--cert", str(own.cert), "--key", str(own.key)),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            first.until(lambda: is_online(first), bool)
            lives.close()
            (tmp_path / "tls").rename(tmp_path / "former")
            renewed = Authority.create(tmp_path / "tls", "hall")
            renewed.sign_server(["127.0.0.1"], days=1)
            second = lives.enter_context(venue(tmp_path, listen))
            assert not is_online(second)
            issue(renewed, tmp_path / "own", "host")
            second.until(lambda: is_online(second), bool)
        finally:
            host.send_signal(signal.SIGTERM)
            assert host.wait(30) == 0


def test_runner_and_api_come_in_by_certificate(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "tls", "hall")
    authority.sign_server(["127.0.0.1"], days=1)
    with venue(tmp_path) as live:
        link = Link(live.tls_address, "", issue(authority, tmp_path / "runner", "runner"))
        with pytest.raises(PalaestraError) as caught:
            request = runner_service_pb2.StartAttemptRequest(
                attempt="vendors/acme/jobs/none/attempts/1", instance="runner/1"
            )
            link.call(link.runner.StartAttempt, request)
        link.close()
        assert caught.value.reason == "NOT_FOUND"

        async def ask() -> str:
            upstream = Upstream(
                live.tls_address, timeout_s=PATIENCE_S, tls=issue(authority, tmp_path / "api", "gateway")
            )
            await upstream.ready()
            request = venue_service_pb2.GetIdentityRequest()
            answer = await upstream.call("VenueService.GetIdentity", request, token=live.token("vendor-acme"))
            await upstream.close()
            return str(answer.vendor)

        assert asyncio.run(ask()) == "vendors/acme"


def test_a_unit_elsewhere_is_driven_by_the_runner_and_by_no_other_certificate_of_the_authority(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "tls", "hall")
    authority.sign_server(["127.0.0.1"], days=1)
    tls = tmp_path / "tls"
    unit = "venues/hall/units/u-1"
    station: Any = SimpleNamespace(units={unit: None})
    grants: Any = SimpleNamespace(grant=lambda _: None, newest=lambda _: 0)
    settings: Any = SimpleNamespace(open_patience_s=PATIENCE_S)

    async def refusal(role: str, address: str) -> str:
        opening = unit_host_service_pb2.DriveRequest()
        opening.open.unit, opening.open.lease, opening.open.epoch = unit, "vendors/acme/leases/l-1", 1
        opening.open.token = "t"
        async with issue(authority, tmp_path / role.replace("/", "-"), role).aio_channel(address, ()) as channel:
            stream = channel.stream_stream("/palaestra.v1.UnitHostService/Drive")
            try:
                async for _ in stream(iter([opening.SerializeToString()]), timeout=PATIENCE_S):
                    pass
            except grpc.aio.AioRpcError as error:
                return errors.from_rpc(error).reason
        return "nothing"

    async def play() -> None:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((DriveService(station, grants, settings, lambda: 0.0).handler(),))
        address = _listen(server, "0.0.0.0:0", TlsFiles(tls / "ca.crt", tls / "server.crt", tls / "server.key"))
        await server.start()
        address = address.replace("0.0.0.0", "127.0.0.1")
        try:
            for role in ("vendors/acme/engineer", "host", "gateway"):
                assert await refusal(role, address) == "ROLE_DENIED"
            # The runner's certificate passes; that no such lease holds is said next.
            assert await refusal("runner", address) == "LEASE_NOT_ACTIVE"
        finally:
            await server.stop(0)

    asyncio.run(play())


def test_drives_are_served_beyond_loopback_by_certificate_alone(tmp_path: Path) -> None:
    """Whoever opens a unit from elsewhere shows one too, before the lease's token is sent."""
    authority = Authority.create(tmp_path / "tls", "hall")
    authority.sign_server(["127.0.0.1"], days=1)
    tls = tmp_path / "tls"
    serving = TlsFiles(tls / "ca.crt", tls / "server.crt", tls / "server.key")

    async def connects(files: TlsFiles, address: str) -> bool:
        async with files.aio_channel(address, ()) as channel:
            try:
                await channel.unary_unary("/none/None")(b"", timeout=1.0)
            except grpc.aio.AioRpcError as error:
                return error.code() is grpc.StatusCode.UNIMPLEMENTED
        return False

    async def play() -> None:
        server = grpc.aio.server()
        for files in (TlsFiles(), TlsFiles(serving.ca)):
            with pytest.raises(HostError, match="--ca, --cert and --key"):
                _listen(server, "0.0.0.0:0", files)
        address = _listen(server, "0.0.0.0:0", serving).replace("0.0.0.0", "127.0.0.1")
        await server.start()
        assert await connects(issue(authority, tmp_path / "runner", "runner"), address)
        assert not await connects(TlsFiles(), address)
        assert not await connects(TlsFiles(serving.ca), address)
        await server.stop(0)

    asyncio.run(play())
