"""The way to the scheduler: one channel, every method by name, every failure one of ours."""

import asyncio
import re
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from palaestra.errors import PalaestraError, Unreachable, from_rpc
from palaestra.tls_files import TlsFiles
from palaestra.v1 import (
    api_key_service_pb2_grpc,
    audit_service_pb2_grpc,
    calendar_service_pb2_grpc,
    data_service_pb2_grpc,
    episode_service_pb2_grpc,
    estimate_service_pb2_grpc,
    fleet_service_pb2_grpc,
    job_array_service_pb2_grpc,
    job_service_pb2_grpc,
    reservation_service_pb2_grpc,
    review_service_pb2_grpc,
    venue_pb2,
    venue_service_pb2,
    venue_service_pb2_grpc,
)

_OPTIONS = [
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A scheduler that comes back is found again within a second.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A page of large jobs is more than gRPC's default of 4 MiB.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
]
# What may stand in a metadata value; anything else would fail inside gRPC, before the scheduler's check.
_TOKEN = re.compile(r"[\x21-\x7e]{1,512}")


class Upstream:
    """The scheduler's services, called with the token of whoever asks. Belongs to one event loop."""

    def __init__(self, address: str, *, timeout_s: float, tls: TlsFiles | None = None) -> None:
        self._channel = (tls or TlsFiles()).aio_channel(address, _OPTIONS)
        self._timeout_s = timeout_s
        self._venue = ""

        def stub(kind: Any) -> Any:  # the generated stubs are untyped
            return kind(self._channel)

        self._stubs: dict[str, Any] = {
            "ApiKeyService": stub(api_key_service_pb2_grpc.ApiKeyServiceStub),
            "AuditService": stub(audit_service_pb2_grpc.AuditServiceStub),
            "DataService": stub(data_service_pb2_grpc.DataServiceStub),
            "ReviewService": stub(review_service_pb2_grpc.ReviewServiceStub),
            "VenueService": stub(venue_service_pb2_grpc.VenueServiceStub),
            "JobService": stub(job_service_pb2_grpc.JobServiceStub),
            "FleetService": stub(fleet_service_pb2_grpc.FleetServiceStub),
            "JobArrayService": stub(job_array_service_pb2_grpc.JobArrayServiceStub),
            "EpisodeService": stub(episode_service_pb2_grpc.EpisodeServiceStub),
            "EstimateService": stub(estimate_service_pb2_grpc.EstimateServiceStub),
            "CalendarService": stub(calendar_service_pb2_grpc.CalendarServiceStub),
            "ReservationService": stub(reservation_service_pb2_grpc.ReservationServiceStub),
        }

    async def call(self, rpc: str, request: Message, *, token: str) -> Any:
        """Call a unary method, such as "JobService.GetJob". Raises PalaestraError, Unreachable among them."""
        try:
            return await self.method(rpc)(request, timeout=self._timeout_s, metadata=_metadata(token))
        except grpc.RpcError as error:
            raise from_rpc(error) from None

    async def stream(self, rpc: str, request: Message, *, token: str) -> AsyncGenerator[Any, None]:
        """Yield the answers of a streaming method; closing the generator ends the call. Raises PalaestraError."""
        call = self.method(rpc)(request, metadata=_metadata(token))
        try:
            async for response in call:
                yield response
        except grpc.RpcError as error:
            raise from_rpc(error) from None
        finally:
            call.cancel()

    async def venue(self, *, token: str) -> str:
        """Return the resource name of the one venue that the scheduler serves, "venues/{venue}"."""
        if not self._venue:
            found: venue_pb2.Venue = await self.call(
                "VenueService.GetVenue", venue_service_pb2.GetVenueRequest(name="venues/-"), token=token
            )
            self._venue = found.name
        return self._venue

    async def ready(self) -> None:
        """Return once the scheduler takes connections. Raises Unreachable after the time for one call."""
        try:
            await asyncio.wait_for(self._channel.channel_ready(), self._timeout_s / 5)
        except TimeoutError:
            raise Unreachable("the scheduler takes no connections") from None

    async def close(self) -> None:
        """End all calls."""
        await self._channel.close()

    def method(self, rpc: str) -> Any:
        """Return what calls a method, such as "JobService.GetJob"."""
        service, _, method = rpc.partition(".")
        return getattr(self._stubs[service], method)


def _metadata(token: str) -> tuple[tuple[str, str], ...]:
    if not _TOKEN.fullmatch(token):
        raise PalaestraError("BAD_TOKEN", "no token was sent, or one with characters that no token has")
    return (("authorization", f"Bearer {token}"),)
