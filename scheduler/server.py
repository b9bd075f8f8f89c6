"""Puts the services on a port."""

from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from palaestra.v1 import (
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
from scheduler.core import Core
from scheduler.guard import MESSAGE_BYTES_MAX, Guard
from scheduler.identity import Credentials
from scheduler.services.arrays import JobArrayService
from scheduler.services.calendar import CalendarService
from scheduler.services.episodes import EpisodeService
from scheduler.services.estimates import EstimateService
from scheduler.services.fleet import FleetService
from scheduler.services.hosts import HostService
from scheduler.services.jobs import JobService
from scheduler.services.reservations import ReservationService
from scheduler.services.runners import RunnerService
from scheduler.services.venue import VenueService

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


class Server:
    """The gRPC server of one scheduler. `address` is what it listens on, with the port it got."""

    def __init__(self, core: Core, credentials: Credentials, listen: str) -> None:
        self._core = core
        self._server = grpc.aio.server(interceptors=[Guard(credentials)], options=OPTIONS)
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
        try:
            port = self._server.add_insecure_port(listen)
        except RuntimeError as error:
            raise PortInUse(f"cannot listen on {listen}: {error}") from error
        self.address = f"{listen.rpartition(':')[0]}:{port}"

    async def start(self) -> None:
        await self._server.start()
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace_s: float) -> None:
        """Say NOT_SERVING first, then let calls finish for a while."""
        await self._health.enter_graceful_shutdown()
        self._core.drain()
        await self._server.stop(grace_s)


def write_address(folder: Path, address: str) -> None:
    """Leave the address where tools of the same venue look for it, replaced as a whole."""
    temporary = folder / "scheduler.address.tmp"
    temporary.write_text(f"{address}\n")
    temporary.rename(folder / "scheduler.address")
