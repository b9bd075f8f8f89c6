"""The host's stream to the scheduler: registers, beats, receives grants, comes back after every cut."""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import grpc
import grpc.aio

from controller.settings import HostSettings
from palaestra import errors
from palaestra.channel import authorization, resuming_options, stay_cancelled
from palaestra.failpoint import Failpoint
from palaestra.v1 import host_service_pb2 as pb
from palaestra.v1 import host_service_pb2_grpc as services

log = logging.getLogger(__name__)

BEAT_MIN_S = 0.02
"""Changes within this time share a beat."""

BEATING = Failpoint("controller.host.beat", "a host is about to say how its units are")


class Hosting(Protocol):
    """What the uplink asks of the host."""

    def hello(self) -> pb.HostHello:
        """Return who this host is and what it serves."""
        ...

    def beat(self) -> pb.HostBeat:
        """Return all units as they are."""
        ...

    async def obey(self, response: pb.ConnectResponse) -> None:
        """Take over grants and carry out orders. Never raises for what the scheduler sent."""
        ...


def pause_s(cuts: int, settings: HostSettings, chance: float) -> float:
    """Return how long to wait after the `cuts`-th cut in a row, spread by `chance` in [0, 1)."""
    longest_s = min(settings.reconnect_min_s * 2.0 ** min(cuts, 16), settings.reconnect_max_s)
    return longest_s * (0.5 + 0.5 * chance)


class Uplink:
    """Keeps one `HostService.Connect` stream open for ever."""

    def __init__(self, host: Hosting, settings: HostSettings, chance: Callable[[], float] = random.random) -> None:
        self._host = host
        self._settings = settings
        self._chance = chance
        self._changed = asyncio.Event()
        self.connected = False

    def notify(self) -> None:
        """Send a beat at once: something has changed."""
        self._changed.set()

    async def run(self) -> None:
        """Connect, serve, reconnect; until cancelled."""
        cuts = 0
        async with self._settings.tls.aio_channel(self._settings.scheduler, resuming_options()) as channel:
            stub: Any = services.HostServiceStub(channel)
            while True:
                try:
                    await self._serve(stub)
                    reason = "the scheduler closed the stream"
                except grpc.aio.AioRpcError as failure:
                    reason = str(errors.from_rpc(failure))
                except TimeoutError:
                    reason = f"no word from the scheduler in {self._settings.silence_s} s"
                stay_cancelled()
                cuts = 0 if self.connected else cuts + 1
                self.connected = False
                wait_s = pause_s(cuts, self._settings, self._chance())
                log.warning("cut off from the scheduler, next try in %.2f s: %s", wait_s, reason)
                await asyncio.sleep(wait_s)

    async def _serve(self, stub: Any) -> None:
        metadata = authorization(self._settings.token)
        call = stub.Connect(self._requests(), metadata=metadata)
        try:
            while True:
                async with asyncio.timeout(self._settings.silence_s):
                    response = await call.read()
                if response is grpc.aio.EOF:
                    return
                if not self.connected:
                    log.info("connected to the scheduler at %s", self._settings.scheduler)
                self.connected = True
                await self._host.obey(response)
        finally:
            call.cancel()

    async def _requests(self) -> AsyncIterator[pb.ConnectRequest]:
        yield pb.ConnectRequest(hello=self._host.hello())
        while True:
            self._changed.clear()
            BEATING()
            yield pb.ConnectRequest(beat=self._host.beat())
            await asyncio.sleep(BEAT_MIN_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.beat_s):
                    await self._changed.wait()
