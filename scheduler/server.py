"""Puts the services on ports: a plain one for this machine, and one with TLS for those from elsewhere."""

import asyncio
import itertools
import logging
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from palaestra.channel import is_loopback
from palaestra.v1 import (
    api_key_service_pb2_grpc,
    audit_service_pb2_grpc,
    calendar_service_pb2_grpc,
    episode_service_pb2_grpc,
    estimate_service_pb2_grpc,
    fleet_service_pb2_grpc,
    host_service_pb2_grpc,
    job_array_service_pb2_grpc,
    job_service_pb2_grpc,
    reservation_service_pb2_grpc,
    runner_service_pb2_grpc,
    venue_service_pb2_grpc,
)
from scheduler.admission import LOOK_PERIOD_S, OpenStreams
from scheduler.commands import keying
from scheduler.core import Core
from scheduler.guard import MESSAGE_BYTES_MAX, Guard
from scheduler.identity import Certifier, Credentials, Identification
from scheduler.keys import Keys
from scheduler.services.arrays import JobArrayService
from scheduler.services.audit import AuditService
from scheduler.services.calendar import CalendarService
from scheduler.services.episodes import EpisodeService
from scheduler.services.estimates import EstimateService
from scheduler.services.fleet import FleetService
from scheduler.services.hosts import HostService
from scheduler.services.jobs import JobService
from scheduler.services.keys import ApiKeyService
from scheduler.services.reservations import ReservationService
from scheduler.services.runners import RunnerService
from scheduler.services.venue import VenueService
from scheduler.tls import Tls, files_of

log = logging.getLogger(__name__)
# Writing down when keys were last used is one commit for all of them.
LOOKS_PER_USE = 10
DRAIN_LOOK_S = 0.02
# For answers that are on their way.
LAST_WORDS_S = 0.3
OPTIONS: list[tuple[str, Any]] = [
    # With port reuse two schedulers could listen on one port without noticing each other.
    ("grpc.so_reuseport", 0),
    # The guard refuses what is over the limit with a reason; gRPC itself, without one, what is far over it.
    ("grpc.max_receive_message_length", 4 * MESSAGE_BYTES_MAX),
    ("grpc.max_concurrent_streams", 1000),
    # Let clients send the keepalive pings that our SDK sends.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
]


class PortInUse(Exception):
    """Something else listens on the address."""


class NotLoopback(Exception):
    """A plain connection was asked for beyond this machine."""


class Server:
    """The gRPC server of one scheduler.

    Args:
        listen: Address and port on this machine; without TLS. Raises NotLoopback for any other.
        tls: The port for those from elsewhere; its files lie in `data`. Raises NoCertificate.

    Attributes:
        address: What it listens on, with the port it got.
        tls_address: The same of the port with TLS; empty if there is none.
    """

    def __init__(
        self, core: Core, credentials: Credentials, listen: str, tls: Tls | None = None, data: Path | None = None
    ) -> None:
        if not is_loopback(listen):
            raise NotLoopback(
                f"{listen} can be reached from other machines, where tokens would travel unencrypted. Keep --listen on "
                "127.0.0.1, and let others in by [tls] listen in the venue file; docs/security.md has the steps"
            )
        self._core = core
        folder = (data or Path()) / tls.folder if tls is not None and tls.listen else None
        vendors = [vendor.id for vendor in core.settings.venue.vendors]
        # The clock may be another one later.
        self._keys = Keys(core.venue, vendors, core.secret, core.house, lambda: core.clock.now_ns())
        certifier: Certifier | None = None
        if tls is not None and folder is not None and tls.client_certificates:
            # Here and not at the top: a venue that stays on its machine needs no such library.
            from scheduler.certificates import Certificates

            certifier = Certificates(core.venue, vendors, folder / "revoked", lambda: core.clock.now_ns())
        identification = Identification((credentials, self._keys), certifier)
        self._streams = OpenStreams(identification)
        self._looking: asyncio.Task[None] | None = None
        self._guard = Guard(identification, self._streams)
        self._server = grpc.aio.server(interceptors=[self._guard], options=OPTIONS)
        api_key_service_pb2_grpc.add_ApiKeyServiceServicer_to_server(ApiKeyService(core, self._keys), self._server)
        audit_service_pb2_grpc.add_AuditServiceServicer_to_server(AuditService(core), self._server)
        job_service_pb2_grpc.add_JobServiceServicer_to_server(JobService(core), self._server)
        job_array_service_pb2_grpc.add_JobArrayServiceServicer_to_server(JobArrayService(core), self._server)
        venue_service_pb2_grpc.add_VenueServiceServicer_to_server(VenueService(core), self._server)
        episode_service_pb2_grpc.add_EpisodeServiceServicer_to_server(EpisodeService(core), self._server)
        estimate_service_pb2_grpc.add_EstimateServiceServicer_to_server(EstimateService(core), self._server)
        calendar_service_pb2_grpc.add_CalendarServiceServicer_to_server(CalendarService(core), self._server)
        reservation_service_pb2_grpc.add_ReservationServiceServicer_to_server(ReservationService(core), self._server)
        runner_service_pb2_grpc.add_RunnerServiceServicer_to_server(RunnerService(core), self._server)
        fleet_service_pb2_grpc.add_FleetServiceServicer_to_server(FleetService(core), self._server)
        host_service_pb2_grpc.add_HostServiceServicer_to_server(HostService(core), self._server)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self.address = self._open(listen, None)
        self.tls_address = ""
        if tls is not None and folder is not None:
            files = files_of(folder, client_certificates=tls.client_certificates)
            self.tls_address = self._open(tls.listen, files.credentials())

    async def start(self) -> None:
        self._keys.load()
        await self._server.start()
        self._looking = asyncio.create_task(self._look())
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace_s: float) -> None:
        """Say NOT_SERVING first, refuse what comes with a reason, and let what runs finish for a while.

        gRPC's own way to stop would cut without a reason what has come and not begun.
        """
        if self._looking is not None:
            self._looking.cancel()
        await self._health.enter_graceful_shutdown()
        self._guard.drain()
        self._core.drain()
        loop = asyncio.get_running_loop()
        end_s = loop.time() + grace_s
        # Those who watch our health never hang up, and are not waited for.
        while self._guard.running and loop.time() < end_s:
            await asyncio.sleep(DRAIN_LOOK_S)
        await self._server.stop(min(LAST_WORDS_S, grace_s))

    def _open(self, listen: str, credentials: grpc.ServerCredentials | None) -> str:
        try:
            if credentials is None:
                port = self._server.add_insecure_port(listen)
            else:
                port = self._server.add_secure_port(listen, credentials)
        except RuntimeError as error:
            raise PortInUse(f"cannot listen on {listen}: {error}") from error
        return f"{listen.rpartition(':')[0]}:{port}"

    async def _look(self) -> None:
        """End streams whose credential is no longer good, and write down when keys were used."""
        for count in itertools.count(1):
            await asyncio.sleep(LOOK_PERIOD_S)
            try:
                self._streams.look()
                if count % LOOKS_PER_USE == 0:
                    await self._write_used()
            except Exception:
                log.exception("looking after credentials failed")

    async def _write_used(self) -> None:
        used_ns = self._keys.take_used_ns()
        if used_ns:
            await self._core.run(keying.used(used_ns))


def write_address(folder: Path, address: str) -> None:
    """Leave the plain address where tools of the same venue look for it, replaced as a whole."""
    temporary = folder / "scheduler.address.tmp"
    temporary.write_text(f"{address}\n")
    temporary.rename(folder / "scheduler.address")
