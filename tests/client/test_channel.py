"""One address or several: what gRPC is told, and that it finds the one that serves."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from palaestra import channel
from palaestra.channel import addresses, is_loopback, routing, target
from palaestra.errors import PalaestraError, Unreachable
from palaestra.tls_files import TlsFiles

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Place:
    """A server that answers with its name, and says whether it serves."""

    def __init__(self, name: str, serving: int) -> None:
        self._server = grpc.server(ThreadPoolExecutor(8))
        self.health = health.HealthServicer()
        self.health.set("", serving)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            context.send_initial_metadata((("name", name),))
            return empty_pb2.Empty()

        method = grpc.unary_unary_rpc_method_handler(
            answer, empty_pb2.Empty.FromString, empty_pb2.Empty.SerializeToString
        )
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.S", {"Ask": method}),))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self) -> None:
        self._server.stop(0).wait()


def asked(opened: grpc.Channel) -> str:
    """Return who answers."""
    method = opened.unary_unary(
        "/test.S/Ask",
        request_serializer=empty_pb2.Empty.SerializeToString,
        response_deserializer=empty_pb2.Empty.FromString,
    )
    _, call = method.with_call(empty_pb2.Empty(), timeout=60.0, wait_for_ready=True)
    return str(dict(call.initial_metadata())["name"])


def test_calls_go_to_the_one_that_serves_and_follow_when_another_one_does() -> None:
    one, two = Place("one", NOT_SERVING), Place("two", SERVING)
    with TlsFiles().channel(f"{one.address}, {two.address}", []) as opened:
        assert [asked(opened) for _ in range(4)] == ["two"] * 4
        two.stop()
        one.health.set("", SERVING)

        assert [asked(opened) for _ in range(4)] == ["one"] * 4
    one.stop()


def test_the_same_for_asyncio() -> None:
    one, two = Place("one", NOT_SERVING), Place("two", SERVING)

    async def scene() -> None:
        async with TlsFiles().aio_channel(f"{one.address},{two.address}", []) as opened:
            ask: Any = opened.unary_unary("/test.S/Ask")
            call = ask(b"", timeout=60.0, wait_for_ready=True)
            assert dict(await call.initial_metadata())["name"] == "two"

    asyncio.run(scene())
    one.stop()
    two.stop()


def test_one_address_stays_as_it_is() -> None:
    assert target("venue.example:7400") == "venue.example:7400"
    assert routing("venue.example:7400") == []
    assert "loadBalancingConfig" not in dict(channel.options("127.0.0.1:1"))["grpc.service_config"]


def test_several_are_numbers_of_one_family_and_their_certificates_bear_the_first_one_s_name() -> None:
    options = dict(channel.options("localhost:1,127.0.0.1:2"))
    config = json.loads(options["grpc.service_config"])

    assert target("localhost:1,127.0.0.1:2") == "ipv4:127.0.0.1:1,127.0.0.1:2"
    assert target("[::1]:1,[::1]:2") == "ipv6:[::1]:1,[::1]:2"
    assert options["grpc.default_authority"] == "localhost:1"
    assert config["healthCheckConfig"] == {"serviceName": ""}
    assert config["methodConfig"], "repeats as for one"


def test_several_are_on_this_machine_only_if_all_are() -> None:
    assert is_loopback("127.0.0.1:1,localhost:2")
    assert not is_loopback("127.0.0.1:1,192.0.2.1:2")


@pytest.mark.parametrize("address", ["", "a:1,", ",a:1", "a:1,a:1"])
def test_addresses_that_are_none_are_refused(address: str) -> None:
    with pytest.raises(PalaestraError, match="must be HOST:PORT, or several") as caught:
        addresses(address)
    assert caught.value.reason == "INVALID_FIELD"


def test_addresses_that_gRPC_cannot_take_together_are_refused() -> None:
    with pytest.raises(PalaestraError, match="all of IPv4 or all of IPv6"):
        target("127.0.0.1:1,[::1]:2")
    with pytest.raises(PalaestraError, match="must be HOST:PORT"):
        target("127.0.0.1:1,127.0.0.1:x")
    with pytest.raises(Unreachable, match=r"no-such-host\.invalid:1"):
        target("127.0.0.1:1,no-such-host.invalid:1")
