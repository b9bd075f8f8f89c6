"""How a client speaks to a venue: channel options, retries in the channel, the token.

A venue with a standby has several addresses, "a:1,b:2". gRPC itself then finds the one that leads: it keeps a
connection to each, asks each for its health, and sends calls only where that is SERVING.
"""

import asyncio
import json
import socket
from functools import cache
from ipaddress import ip_address
from typing import Any

from google.protobuf.descriptor import MethodDescriptor

from palaestra.errors import PalaestraError, Unreachable
from palaestra.v1 import (
    api_key_service_pb2,
    audit_service_pb2,
    calendar_service_pb2,
    episode_service_pb2,
    estimate_service_pb2,
    fleet_service_pb2,
    job_service_pb2,
    reservation_service_pb2,
    venue_service_pb2,
)

# Mutations that carry request ids, so that a repeat is the same request; and the stop, the return of a reservation and
# the revocation of a key, which are the same done twice and must not be lost. The other operators' calls are not
# repeated: a reset could clear a newer fault. Of two tickets for a slot one is thrown away.
_REPEATABLE = frozenset(
    {
        "SubmitJob", "BatchSubmitJobs", "CancelJob", "StopUnit", "SetUnitHealth", "CalibrateUnit", "CreateReservation",
        "CancelReservation", "CreateClosure", "RevokeApiKey", "StopCell", "StopVenue", "OpenSlot",
    }
)  # fmt: skip
_READS = ("Get", "List", "Explain", "WhatIf")

RECEIVE_MAX_BYTES = 64 * 1024 * 1024

# AIP-194: only UNAVAILABLE is retried. 5 is also the most attempts that gRPC's core allows.
_RETRY_POLICY = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


_LEADER = {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}
# No oftener than servers here permit; a dead peer is noticed within 40 s even on a quiet stream.
_KEEPALIVE = [
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
]
# Where somebody else can answer, one who does not is given up sooner.
_KEEPALIVE_SEVERAL = [
    ("grpc.keepalive_time_ms", 4_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.max_pings_without_data", 0),
]


def is_repeatable(method: MethodDescriptor) -> bool:
    """Return whether sending a call of the method twice does no more than sending it once."""
    unary = not method.client_streaming and not method.server_streaming
    return unary and (method.name.startswith(_READS) or method.name in _REPEATABLE)


def addresses(address: str) -> list[str]:
    """Return the addresses of an "a:1,b:2". Raises INVALID_FIELD for one that is empty or named twice."""
    found = [each.strip() for each in address.split(",")]
    if not all(found) or len(set(found)) < len(found):
        raise PalaestraError("INVALID_FIELD", f"address {address!r} must be HOST:PORT, or several with commas between")
    return found


def target(address: str) -> str:
    """Return what gRPC takes for one address or several. Raises INVALID_FIELD; Unreachable for an unknown name."""
    found = addresses(address)
    return found[0] if len(found) == 1 else _numeric(found)


def routing(address: str) -> list[tuple[str, Any]]:
    """Return the options that have a channel find the leader; none for one address."""
    found = addresses(address)
    if len(found) == 1:
        return []
    return [
        ("grpc.service_config", json.dumps(_LEADER)),
        # Certificates are checked against one name: each of the schedulers shows one with the first's.
        ("grpc.default_authority", found[0]),
        *_KEEPALIVE_SEVERAL,
    ]


@cache
def repeatable_paths() -> frozenset[str]:
    """Return the repeatable methods of the services that clients call, as their paths in a request."""
    modules = (
        job_service_pb2, venue_service_pb2, episode_service_pb2, fleet_service_pb2, reservation_service_pb2,
        calendar_service_pb2, estimate_service_pb2, api_key_service_pb2, audit_service_pb2,
    )  # fmt: skip
    return frozenset(
        f"/{service.full_name}/{method.name}"
        for module in modules
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if is_repeatable(method)
    )


def service_config() -> dict[str, Any]:
    """Return the gRPC service config: which methods the channel repeats by itself, and how."""
    names = [dict(zip(("service", "method"), path[1:].split("/"), strict=True)) for path in sorted(repeatable_paths())]
    return {"methodConfig": [{"name": names, "retryPolicy": _RETRY_POLICY}]}


def options(address: str) -> list[tuple[str, Any]]:
    """Return the options of a channel to `address`."""
    several = routing(address)
    return [
        # gRPC's own 4 MiB is less than a page of jobs with long return curves may take.
        ("grpc.max_receive_message_length", RECEIVE_MAX_BYTES),
        # A proxy could not reach this machine, and must not see its tokens.
        ("grpc.enable_http_proxy", 0 if is_loopback(address) else 1),
        *((key, value) for key, value in several if key != "grpc.service_config"),
        ("grpc.service_config", json.dumps(service_config() | (_LEADER if several else {}))),
        *(() if several else _KEEPALIVE),
        # gRPC's own 1 s to 120 s would leave a restarted scheduler unnoticed for minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]


def resuming_options() -> list[tuple[str, Any]]:
    """Return options for a channel that must work again within seconds of a cut: those of hosts, runner and workers.

    A network that swallows packets tells nobody. TCP then sends again ever more slowly, and after a long cut it would
    find out about its end only after as long again. With keepalive on, gRPC has Linux give up a connection on which
    nothing was acknowledged for the keepalive's timeout (TCP_USER_TIMEOUT; gRPC proposal A18); the minimal back-off is
    also how long it tries one connection, whose first packet is repeated ever more slowly, too. Five seconds for both:
    on a machine that is short of processors a sound peer may need some of them.
    """
    return [
        # A little less often than servers here permit.
        ("grpc.keepalive_time_ms", 12_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 5_000),
        ("grpc.max_reconnect_backoff_ms", 1_000),
    ]


def is_loopback(address: str) -> bool:
    """Return whether a host and port are on this machine; of several, whether all are."""
    if "," in address:
        return all(is_loopback(each) for each in addresses(address))
    host = address.rpartition(":")[0].strip("[]") if ":" in address else address
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_private(address: str, token: str, *, encrypted: bool) -> None:
    """Raise PalaestraError, INVALID_FIELD, if a token would travel to another machine for everybody to read."""
    if token and not encrypted and not is_loopback(address):
        raise PalaestraError(
            "INVALID_FIELD",
            f"{address} is another machine, and the token would travel there unencrypted: name the certificates to "
            "trust (a login file that the venue made, PALAESTRA_CA, or tls_root)",
        )


def authorization(token: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata that says who calls; none without a token, where a certificate says it."""
    return (("authorization", f"Bearer {token}"),) if token else ()


def stay_cancelled() -> None:
    """Raise asyncio.CancelledError if the current task was told to end.

    For loops that go on after a call has failed: where a call fails in the same moment, grpc.aio's preparation of it
    swallows the cancellation (`_call.py`, `_prepare_rpc`) and all that is seen is the failure.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _numeric(found: list[str]) -> str:
    """Return a target of several addresses, which gRPC takes as numbers only, and of one family."""
    ends: list[tuple[str, dict[int, str]]] = []
    for address in found:
        host, _, port = address.rpartition(":")
        try:
            known = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        except ValueError:
            raise PalaestraError("INVALID_FIELD", f"address {address!r} must be HOST:PORT") from None
        except OSError as error:
            raise Unreachable(f"{address}: {error.strerror}") from None
        # The first of each family, as a connection would be tried.
        ends.append((port, {int(family): str(place[0]) for family, _, _, _, place in reversed(known)}))
    if all(socket.AF_INET in numbers for _, numbers in ends):
        return "ipv4:" + ",".join(f"{numbers[socket.AF_INET]}:{port}" for port, numbers in ends)
    if all(socket.AF_INET6 in numbers for _, numbers in ends):
        return "ipv6:" + ",".join(f"[{numbers[socket.AF_INET6]}]:{port}" for port, numbers in ends)
    raise PalaestraError("INVALID_FIELD", f"addresses {', '.join(found)} must be all of IPv4 or all of IPv6")
