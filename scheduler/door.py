"""The ports of a scheduler, open before it leads: until then every call is refused, with the leader's address to those
who are known here.

A plain port for this machine, and one with TLS for those from elsewhere.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc

from palaestra.channel import is_loopback
from palaestra.errors import PalaestraError
from scheduler.guard import MESSAGE_BYTES_MAX, Guard, abort, is_known, shown_by
from scheduler.identity import Identification
from scheduler.leadership import Mark, Overtaken, leader_of
from scheduler.serving import NOT_SERVING, SERVING, Serving
from scheduler.tls import Tls, files_of

OPTIONS: list[tuple[str, Any]] = [
    # With port reuse two schedulers could listen on one port without noticing each other.
    ("grpc.so_reuseport", 0),
    # The guard refuses what is over the limit with a reason; gRPC itself, without one, what is far over it.
    ("grpc.max_receive_message_length", 4 * MESSAGE_BYTES_MAX),
    ("grpc.max_concurrent_streams", 1000),
    # Calls that wait to be looked at while the loop is busy. Beyond the first number gRPC cancels some at random,
    # whosever they are; by default it stands at what one vendor may send down one connection.
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 30_000),
    # Let clients send the keepalive pings that our SDK sends.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 2_000),
]
RETRY_S = 0.5
# For clients to hear that this one serves no longer.
LEAVE_S = 0.2


class PortInUse(Exception):
    """Something else listens on the address."""


class NotLoopback(Exception):
    """A plain connection was asked for beyond this machine."""


class _Gate(grpc.GenericRpcHandler):
    """All methods of the contract: a guard's, once there is one."""

    def __init__(self) -> None:
        self.guard: Guard | None = None
        self.leader: Mark | None = None
        self.leaving: PalaestraError | None = None
        self.identification: Identification | None = None
        # On the wire an error is the same for all kinds of methods.
        self._refusing: Any = grpc.stream_stream_rpc_method_handler(self._refuse)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        if self.guard is not None:
            return self.guard.service(handler_call_details)
        return self._refusing if handler_call_details.method.startswith("/palaestra.") else None

    async def _refuse(self, requests: AsyncIterator[bytes], context: Any) -> None:
        told = self._knows(context)
        error = self.leaving
        if error is None:
            known = leader_of(self.leader) if told else {}
            who = f"; the leader is at {known['leader']}" if known else "" if self.leader else "; no leader is known"
            standby = f"this scheduler is a standby{who}"
            error = PalaestraError("NOT_LEADER", standby, metadata=known, retry_after_s=RETRY_S)
        elif isinstance(error, Overtaken) and not told:
            error = error.to_a_stranger()
        await abort(context, error, "refusal")

    def _knows(self, context: Any) -> bool:
        found = self.identification
        return found is not None and is_known(shown_by(context, found), found)


class Door:
    """One gRPC server: its ports, its health, and the gate to what is behind it.

    Args:
        listen: Address and port on this machine; without TLS. Raises NotLoopback for any other, PortInUse.
        tls: The port for those from elsewhere; its files lie in `data`. Raises NoCertificate, PortInUse.

    Attributes:
        address: What it listens on, with the port it got.
        tls_address: The same of the port with TLS; empty if there is none.
        tls_folder: Where its certificates are; None without TLS.
    """

    def __init__(self, listen: str, tls: Tls | None = None, data: Path | None = None) -> None:
        if not is_loopback(listen):
            raise NotLoopback(
                f"{listen} can be reached from other machines, where tokens would travel unencrypted. Keep --listen on "
                "127.0.0.1, and let others in by [tls] listen in the venue file; docs/security.md has the steps"
            )
        self._gate = _Gate()
        self._open = False
        self._server = grpc.aio.server(options=OPTIONS)
        self._server.add_generic_rpc_handlers((self._gate,))
        self._serving = Serving()
        health_pb2_grpc.add_HealthServicer_to_server(self._serving, self._server)
        self.address = self._listen(listen, None)
        self.tls_address = ""
        self.tls_folder = (data or Path()) / tls.folder if tls is not None and tls.listen else None
        if tls is not None and self.tls_folder is not None:
            files = files_of(self.tls_folder, client_certificates=tls.client_certificates)
            self.tls_address = self._listen(tls.listen, files.credentials())

    def recognise(self, identification: Identification) -> None:
        """Say who is told where the leader is; before that, nobody."""
        self._gate.identification = identification

    async def open(self) -> None:
        """Answer, though not yet serve: NOT_SERVING to those who ask for health, NOT_LEADER to all others."""
        if not self._open:
            self._open = True
            await self._server.start()

    def tell(self, leader: Mark | None) -> None:
        """Say from now on that this one leads."""
        self._gate.leader = leader

    async def serve(self, guard: Guard) -> None:
        """Let calls through to the services."""
        self._gate.guard = guard
        await self.open()
        self._serving.tell(SERVING)

    async def dismiss(self, why: PalaestraError) -> None:
        """Say NOT_SERVING and refuse new calls, for good, until clients have gone elsewhere.

        What comes to a server that gRPC stops ends as CANCELLED, which nobody sends again.
        """
        self._gate.leaving, self._gate.guard = why, None
        self._serving.tell(NOT_SERVING)
        await asyncio.sleep(LEAVE_S)

    async def close(self, grace_s: float) -> None:
        """Let calls finish for a while."""
        await self._server.stop(grace_s)

    def _listen(self, listen: str, credentials: grpc.ServerCredentials | None) -> str:
        try:
            if credentials is None:
                port = self._server.add_insecure_port(listen)
            else:
                port = self._server.add_secure_port(listen, credentials)
        except RuntimeError as error:
            raise PortInUse(f"cannot listen on {listen}: {error}") from error
        return f"{listen.rpartition(':')[0]}:{port}"
