"""The host's stream to the scheduler ends when it is told to, whatever gRPC does at that moment."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from controller.settings import HostSettings
from controller.uplink import Uplink
from palaestra.v1 import host_service_pb2 as pb


class Host:
    def hello(self) -> pb.HostHello:
        return pb.HostHello()

    def beat(self) -> pb.HostBeat:
        return pb.HostBeat()

    async def obey(self, response: pb.ConnectResponse) -> None:
        return


class FailingCall:
    """A call that fails in the moment in which its task is cancelled: what grpc.aio then shows is the failure alone."""

    def __init__(self, reading: asyncio.Event) -> None:
        self._reading = reading

    async def read(self) -> Any:
        self._reading.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            nothing = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing) from None

    def cancel(self) -> None:
        return


def test_it_ends_when_it_is_told_to_in_the_moment_in_which_its_call_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        reading = asyncio.Event()

        class Stub:
            def __init__(self, channel: object) -> None:
                self.Connect = lambda requests, metadata: FailingCall(reading)

        monkeypatch.setattr("controller.uplink.services.HostServiceStub", Stub)
        settings = HostSettings(
            host="h", scheduler="127.0.0.1:9", token="t", state_folder=tmp_path, silence_s=600.0, reconnect_max_s=600.0
        )
        task = asyncio.create_task(Uplink(Host(), settings).run())
        await reading.wait()
        task.cancel()
        await asyncio.wait([task], timeout=30.0)
        ended = task.done()
        task.cancel()

        assert ended
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())
