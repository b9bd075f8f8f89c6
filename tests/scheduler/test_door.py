"""The door of a scheduler: who watches its health hears of every change, and calls are refused until it serves."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.wire import Connection
from palaestra.channel import authorization
from palaestra.errors import from_rpc
from palaestra.v1 import job_service_pb2, job_service_pb2_grpc
from scheduler.admission import OpenStreams
from scheduler.door import Door, PortInUse
from scheduler.guard import Guard
from scheduler.identity import Credentials, Identification, Identity, Role
from scheduler.leadership import Mark, Overtaken
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


def test_calls_that_wait_for_a_busy_loop_are_all_answered() -> None:
    """Twice what a connection may have under way: gRPC would cancel some of them, whosever they are."""
    loop, free = asyncio.new_event_loop(), threading.Event()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def opened() -> Door:
        door = Door("127.0.0.1:0")
        await door.open()
        return door

    door = asyncio.run_coroutine_threadsafe(opened(), loop).result(60.0)
    connections = [Connection(door.address, "nobody") for _ in range(2)]
    refused: list[bytes] = []
    try:
        loop.call_soon_threadsafe(free.wait, 60.0)
        for connection in connections:
            for _ in range(1_000):
                connection.call("grpc.health.v1.Health/Check", b"", lambda: None, on_refused=refused.append)
        # gRPC's own threads take them in meanwhile.
        until_s = time.monotonic() + 0.5
        while time.monotonic() < until_s:
            for connection in connections:
                connection.send()
                connection.receive()
        free.set()
        until_s = time.monotonic() + 60.0
        while any(connection.under_way for connection in connections) and time.monotonic() < until_s:
            for connection in connections:
                connection.send()
                connection.receive()
        assert [connection.under_way for connection in connections] == [0, 0]
        assert refused == []
    finally:
        free.set()
        for connection in connections:
            connection.close()
        asyncio.run_coroutine_threadsafe(door.close(0), loop).result(60.0)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_of_an_overtaken_scheduler_those_with_a_credential_alone_hear_where_the_leader_is(tmp_path: Path) -> None:
    """Both of the gate that let calls through, and of the door once it lets none through any more."""
    overtaken = Overtaken(1, Mark(2, "other", "127.0.0.1:7999"))

    def lost() -> None:
        raise overtaken

    async def scene() -> None:
        identification = Identification((Credentials.open(tmp_path, ["acme"]),))
        guard = Guard(identification, OpenStreams(identification), leading=lost)
        job_service_pb2_grpc.add_JobServiceServicer_to_server(job_service_pb2_grpc.JobServiceServicer(), guard)
        door = Door("127.0.0.1:0")
        door.recognise(identification)
        await door.serve(guard)
        token = (tmp_path / "vendor-acme.token").read_text().strip()
        async with grpc.aio.insecure_channel(door.address) as channel:
            stub: Any = job_service_pb2_grpc.JobServiceStub(channel)
            for _ in range(2):
                for shown, told in ((token, {"leader": "127.0.0.1:7999"}), ("wrong", {}), ("", {})):
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await stub.GetJob(
                            job_service_pb2.GetJobRequest(name="x"), timeout=60.0, metadata=authorization(shown)
                        )
                    found = from_rpc(caught.value)
                    assert (found.reason, found.metadata) == ("NOT_LEADER", told)
                    assert ("7999" in found.message) is bool(told)
                await door.dismiss(overtaken)
        await door.close(0)

    asyncio.run(scene())


def test_a_standby_reads_the_tokens_that_are_there_and_mints_none(tmp_path: Path) -> None:
    assert Credentials.read(tmp_path / "tokens", ["acme"]).identify("") is None
    assert not (tmp_path / "tokens").exists()
    Credentials.open(tmp_path / "tokens", ["acme"])
    token = (tmp_path / "tokens" / "vendor-acme.token").read_text().strip()
    (tmp_path / "tokens" / "host.token").write_text("")

    found = Credentials.read(tmp_path / "tokens", ["acme"])
    assert found.identify(token) == Identity(Role.VENDOR, "acme")
    assert found.identify("") is None
    assert (tmp_path / "tokens" / "host.token").read_text() == ""
