"""The door of a scheduler: who watches its health hears of every change, and calls are refused until it serves."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from scheduler.door import Door, PortInUse
from scheduler.serving import NOT_SERVING, SERVING

Request = health_pb2.HealthCheckRequest


def test_who_watches_hears_of_every_change_also_after_others_have_left() -> None:
    async def scene() -> None:
        door = Door("127.0.0.1:0")
        await door.open()
        async with grpc.aio.insecure_channel(door.address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            leaves, stays, other = (stub.Watch(Request(service=name), timeout=60.0) for name in ("", "", "other"))
            assert (await leaves.read()).status == (await stays.read()).status == NOT_SERVING
            assert (await other.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            leaves.cancel()
            await asyncio.sleep(0.05)
            # What a guard does is its own tests' matter.
            await door.serve(None)  # type: ignore[arg-type]
            assert (await stays.read()).status == SERVING
            assert (await stub.Check(Request(), timeout=60.0)).status == SERVING
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Check(Request(service="other"), timeout=60.0)
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        await door.close(0)

    asyncio.run(scene())


def test_a_port_that_is_taken_is_refused_before_anything_else() -> None:
    async def scene() -> None:
        door = Door("127.0.0.1:0")
        with pytest.raises(PortInUse, match="cannot listen on"):
            Door(door.address)
        await door.close(0)

    asyncio.run(scene())
