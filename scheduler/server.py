"""Puts the services behind a door."""

import asyncio
import itertools
import logging
from collections.abc import Callable
from pathlib import Path

from database.address import Place
from palaestra.errors import PalaestraError
from palaestra.v1 import (
    api_key_service_pb2_grpc,
    audit_service_pb2_grpc,
    calendar_service_pb2_grpc,
    data_service_pb2_grpc,
    episode_service_pb2_grpc,
    estimate_service_pb2_grpc,
    fleet_service_pb2_grpc,
    host_service_pb2_grpc,
    job_array_service_pb2_grpc,
    job_service_pb2_grpc,
    reservation_service_pb2_grpc,
    review_service_pb2_grpc,
    runner_service_pb2_grpc,
    store_service_pb2_grpc,
    venue_service_pb2_grpc,
)
from scheduler.admission import LOOK_PERIOD_S, OpenStreams
from scheduler.allowance import Allowance
from scheduler.commands import keying
from scheduler.configuration import Settings
from scheduler.core import Core
from scheduler.door import Door
from scheduler.guard import Guard
from scheduler.identity import Certifier, Credentials, Identification
from scheduler.keys import Keys
from scheduler.rates import Rates
from scheduler.recognition import Shapes
from scheduler.services.arrays import JobArrayService
from scheduler.services.audit import AuditService
from scheduler.services.calendar import CalendarService
from scheduler.services.data import DataService
from scheduler.services.episodes import EpisodeService
from scheduler.services.estimates import EstimateService
from scheduler.services.fleet import FleetService
from scheduler.services.hosts import HostService
from scheduler.services.jobs import JobService
from scheduler.services.keys import ApiKeyService
from scheduler.services.reservations import ReservationService
from scheduler.services.review import ReviewService
from scheduler.services.runners import RunnerService
from scheduler.services.store import StoreService
from scheduler.services.venue import VenueService
from scheduler.shelf import FILE, Shelf
from scheduler.tls import Tls

log = logging.getLogger(__name__)
# Writing down when keys were last used is one commit for all of them.
LOOKS_PER_USE = 10
DRAIN_LOOK_S = 0.02
# For answers that are on their way.
LAST_WORDS_S = 0.3


class Server:
    """The gRPC server of one scheduler.

    Args:
        listen, tls, data: As a `Door` takes them, if none is there yet. Raises what that raises.
        door: One that was opened before, while another scheduler led.
        catalogue: Where the catalogue of what was recorded is; None: a file beside the database, or in `data`.

    Attributes:
        address: What it listens on, with the port it got.
        tls_address: The same of the port with TLS; empty if there is none.
    """

    def __init__(
        self,
        core: Core,
        credentials: Credentials,
        listen: str,
        tls: Tls | None = None,
        data: Path | None = None,
        *,
        door: Door | None = None,
        catalogue: Place | None = None,
    ) -> None:
        self._core = core
        self._door = door = door or Door(listen, tls, data)
        self.address, self.tls_address = door.address, door.tls_address
        vendors = [vendor.id for vendor in core.settings.venue.vendors]
        # The clock may be another one later.
        self._keys = Keys(core.venue, vendors, core.secret, core.house, lambda: core.clock.now_ns())
        certifier = certifier_of(core.settings, door, tls, lambda: core.clock.now_ns())
        identification = Identification((credentials, self._keys), certifier)
        door.recognise(identification)
        self._streams = OpenStreams(identification)
        self._looking: asyncio.Task[None] | None = None
        shapes = Shapes()
        guard = self._guard = Guard(
            identification,
            self._streams,
            Rates(core.settings.rate),
            leading=core.leadership.check,
            known=shapes.readers(),
        )
        api_key_service_pb2_grpc.add_ApiKeyServiceServicer_to_server(ApiKeyService(core, self._keys), guard)
        audit_service_pb2_grpc.add_AuditServiceServicer_to_server(AuditService(core), guard)
        job_service_pb2_grpc.add_JobServiceServicer_to_server(JobService(core, shapes), guard)
        job_array_service_pb2_grpc.add_JobArrayServiceServicer_to_server(JobArrayService(core), guard)
        venue_service_pb2_grpc.add_VenueServiceServicer_to_server(VenueService(core), guard)
        catalogue = catalogue or (core.folder or data or Path()) / FILE
        # A call of one vendor brings in what is new of all of them, so that the house reads.
        self._shelf = Shelf(catalogue, core.house, core.leadership)
        allowance = Allowance(core.settings.quotas, self._shelf)
        store_service_pb2_grpc.add_StoreServiceServicer_to_server(StoreService(core, allowance), guard)
        data_service_pb2_grpc.add_DataServiceServicer_to_server(DataService(core, self._shelf), guard)
        review_service_pb2_grpc.add_ReviewServiceServicer_to_server(ReviewService(core, self._shelf), guard)
        episode_service_pb2_grpc.add_EpisodeServiceServicer_to_server(EpisodeService(core), guard)
        estimate_service_pb2_grpc.add_EstimateServiceServicer_to_server(EstimateService(core), guard)
        calendar_service_pb2_grpc.add_CalendarServiceServicer_to_server(CalendarService(core), guard)
        reservation_service_pb2_grpc.add_ReservationServiceServicer_to_server(ReservationService(core), guard)
        runner_service_pb2_grpc.add_RunnerServiceServicer_to_server(RunnerService(core, allowance), guard)
        fleet_service_pb2_grpc.add_FleetServiceServicer_to_server(FleetService(core), guard)
        host_service_pb2_grpc.add_HostServiceServicer_to_server(HostService(core), guard)

    async def start(self) -> None:
        self._keys.load()
        await self._shelf.lead()
        await self._door.serve(self._guard)
        self._looking = asyncio.create_task(self._look())

    async def stop(self, grace_s: float) -> None:
        """Say NOT_SERVING first, refuse what comes with a reason, and let what runs finish for a while.

        gRPC's own way to stop would cut without a reason what has come and not begun.
        """
        if self._looking is not None:
            self._looking.cancel()
        stopping = PalaestraError("SHUTTING_DOWN", "the scheduler is stopping", retry_after_s=1.0)
        leaving = asyncio.create_task(self._door.dismiss(self._core.leadership.lost or stopping))
        self._guard.drain()
        self._core.drain()
        await leaving
        loop = asyncio.get_running_loop()
        end_s = loop.time() + grace_s
        # Those who watch our health never hang up, and are not waited for.
        while self._guard.running and loop.time() < end_s:
            await asyncio.sleep(DRAIN_LOOK_S)
        await self._door.close(min(LAST_WORDS_S, grace_s))
        self._shelf.close()

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


def certifier_of(settings: Settings, door: Door, tls: Tls | None, now_ns: Callable[[], int]) -> Certifier | None:
    """Return who reads the certificates of callers, None where there are none."""
    if tls is None or door.tls_folder is None or not tls.client_certificates:
        return None
    # Here and not at the top: a venue that stays on its machine needs no such library.
    from scheduler.certificates import Certificates

    vendors = [vendor.id for vendor in settings.venue.vendors]
    return Certificates(settings.venue.id, vendors, door.tls_folder / "revoked", now_ns)


def write_address(folder: Path, address: str) -> None:
    """Leave the plain address where tools of the same venue look for it, replaced as a whole."""
    temporary = folder / "scheduler.address.tmp"
    temporary.write_text(f"{address}\n")
    temporary.rename(folder / "scheduler.address")
